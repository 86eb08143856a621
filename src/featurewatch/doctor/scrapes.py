"""The apps themselves, scraped several times as Prometheus does: do several workers answer, in which format."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from .findings import Finding, broken, doubtful, fine, left_out
from .targets import Scraped

__all__ = ["ScrapeFacts", "gather", "judge"]

ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5"
)
ROUNDS: Final = 4
AT_ONCE: Final = 4
MOST_TARGETS: Final = 50
_MOST_BYTES: Final = 32 * 1024**2
_COUNTER: Final = re.compile(
    r"^(feature_(?:requests_total|request_duration_seconds_count)\{[^}]*\}) (\S+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class ScrapeFacts:
    """What one target answered, in rounds of scrapes at once; `failure`: why it could not be asked from here."""

    target: Scraped
    rounds: Sequence[Sequence[Mapping[str, float]]] = ()
    content_type: str = ""
    failure: str = ""


async def gather(targets: Sequence[Scraped], headers: Mapping[str, Mapping[str, str]]) -> list[ScrapeFacts]:
    """Scrape targets, each ROUNDS times AT_ONCE, on connections of their own: so any worker may answer.

    Args:
        headers: credentials by `host:port`, for targets that want some.
    """
    gate = asyncio.Semaphore(4)
    # Making one reads all certificate authorities: not for each connection, and not where none is shown a certificate.
    trust: ssl.SSLContext | bool = False
    if any(target.url.startswith("https://") for target in targets):
        trust = ssl.create_default_context()

    async def one(target: Scraped) -> ScrapeFacts:
        async with gate:
            return await _scrape(target, headers.get(urlsplit(target.url).netloc, {}), trust)

    return list(await asyncio.gather(*map(one, targets[:MOST_TARGETS])))


def judge(facts: Sequence[ScrapeFacts], left: int = 0) -> list[Finding]:
    """Judge what targets answered; `left` more were not asked."""
    found: list[Finding] = []
    workers = plain = asked = 0
    for each in facts:
        shown = each.target.shown
        if each.failure:
            found.append(left_out("workers", shown, f"it cannot be scraped from here: {each.failure}"))
            continue
        asked += 1
        if series := _went_back(each.rounds):
            workers += 1
            name, before, after = series
            found.append(
                broken(
                    "workers",
                    shown,
                    f"{name} was {before:g} and then {after:g}: several workers answer, each with its own "
                    "counts, so calls are lost and rates jump",
                    "set FEATUREWATCH_MULTIPROCESS_DIR to a local folder that all workers share (configure("
                    "multiprocess_dir=…)), and restart the app",
                )
            )
        if not each.content_type.startswith("application/openmetrics-text"):
            plain += 1
            found.append(
                doubtful(
                    "openmetrics",
                    shown,
                    f"asked for OpenMetrics it answers {each.content_type or 'without Content-Type'}: "
                    "exemplars are lost",
                    "serve /metrics by featurewatch.metrics_route() or metrics_app(); with prometheus_client by "
                    "make_asgi_app(); see that no proxy removes the Accept header",
                )
            )
    if asked and not workers:
        found.append(
            fine("workers", "apps", f"{asked} targets gave {ROUNDS * AT_ONCE} scrapes each that never went back")
        )
    if asked and not plain:
        found.append(fine("openmetrics", "apps", "all answer in OpenMetrics"))
    if left:
        found.append(left_out("workers", "apps", f"{left} more targets were not scraped"))
    return found


async def _scrape(target: Scraped, headers: Mapping[str, str], trust: ssl.SSLContext | bool) -> ScrapeFacts:
    rounds = []
    content_type = ""
    try:
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(_once(target.url, headers, trust) for _ in range(AT_ONCE)))
            content_type = answers[0][0]
            rounds.append([{name: float(value) for name, value in _COUNTER.findall(text)} for _, text in answers])
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return ScrapeFacts(target, failure=reason)
    return ScrapeFacts(target, rounds, content_type)


async def _once(url: str, headers: Mapping[str, str], trust: ssl.SSLContext | bool) -> tuple[str, str]:
    asked = {"Accept": ACCEPT, "User-Agent": "featurewatch-doctor", "Connection": "close", **headers}
    async with (
        httpx.AsyncClient(timeout=5.0, trust_env=False, verify=trust) as client,
        client.stream("GET", url, headers=asked) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"it answers {answer.status_code}")
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                raise ValueError("its answer is longer than 32 MB")
        return answer.headers.get("content-type", ""), body.decode(errors="replace")


def _went_back(rounds: Sequence[Sequence[Mapping[str, float]]]) -> tuple[str, float, float] | None:
    """Find a counter that is lower than in a scrape that had ended before; what begins anew does so once and stays.

    A restart of the app between two rounds lowers a counter for good; a worker among others is back a round later.
    """
    highest: dict[str, float] = {}
    lower: dict[str, tuple[float, float]] = {}
    for scrapes in rounds:
        for scrape in scrapes:
            for name, value in scrape.items():
                before = highest.get(name, 0.0)
                if value < before and name not in lower:
                    lower[name] = before, value
        for scrape in scrapes:
            for name, value in scrape.items():
                highest[name] = max(value, highest.get(name, 0.0))
        spread = _spread(scrapes, lower)
        if spread is not None:
            return spread
    return None


def _spread(
    scrapes: Sequence[Mapping[str, float]], lower: Mapping[str, tuple[float, float]]
) -> tuple[str, float, float] | None:
    """Whether a counter that went back is high again in the same round: then it is not one process that began anew."""
    for name, (before, after) in lower.items():
        if any(scrape.get(name, 0.0) >= before for scrape in scrapes):
            return name, before, after
    return None
