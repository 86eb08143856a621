"""The running bridge, asked over HTTP as this command's caller: is it ready, what does it say of what it publishes."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..stores.upstream import Target, Upstream
from .asking import Got, an_object, data_of, get, objects
from .findings import Finding, broken, doubtful, fine, left_out
from .upstreams import clock as judge_clock
from .upstreams import said_of

__all__ = ["BridgeFacts", "BridgeLine", "gather", "judge"]

_SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_RELEASED: Final = "publishing_"


class BridgeLine:
    """The way to a bridge; `token` is shown to it and to nobody else."""

    def __init__(self, url: str, token: str | None, prefix: str, timeout_s: float = 10.0) -> None:
        self.upstream = Upstream(
            Target("the bridge", "FEATUREWATCH", url, timeout_s=timeout_s, url_setting="FEATUREWATCH_URL")
        )
        self.prefix = prefix
        self.token = token
        self.headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def shown(self) -> str:
        return self.upstream.target.shown

    async def get(self, path: str, **options: Any) -> Got:
        return await get(self.upstream, path, headers=dict(self.headers), **options)

    async def counted(self) -> Counter[tuple[str, frozenset[tuple[str, str]]]] | None:
        """Read its own metrics, None where it does not show them to this caller."""
        got = await self.get("/metrics")
        if not isinstance(got.data, str):
            return None
        found: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
        for name, labels, value in _SAMPLE.findall(got.data):
            found[name, frozenset(_LABEL.findall(labels))] = float(value)  # type: ignore[assignment]  # counts are floats
        return found


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """What a bridge says of itself; `refused` counts what it refused on the way in, by signal, protocol and code."""

    shown: str
    alive: Got
    ready: Got
    me: Got
    rules: Got
    refused: Mapping[tuple[str, str, str], float] | None = None
    token: bool = False


async def gather(bridge: BridgeLine, *, clock: Callable[[], int] = time.time_ns) -> BridgeFacts:
    """Ask a bridge."""
    alive = await bridge.get("/healthz", clock=clock)
    if alive and data_of(alive, "status") != "ok":
        alive = Got(None, f"{bridge.shown} answered with something else than a bridge does", alive.status)
    if not alive:
        return BridgeFacts(bridge.shown, alive, alive, alive, alive)
    ready, me, rules, counted = await asyncio.gather(
        _ready(bridge), bridge.get(f"{bridge.prefix}/me"), bridge.get(f"{bridge.prefix}/alerts/rules"), bridge.counted()
    )
    refused: dict[tuple[str, str, str], float] | None = None
    if counted is not None:
        refused = {}
        for (name, labels), value in counted.items():
            told = dict(labels)
            if name == "featurewatch_refused_total" and value:
                refused[told["signal"], told["protocol"], told["code"]] = value
    return BridgeFacts(bridge.shown, alive, ready, me, rules, refused, bool(bridge.token))


def judge(facts: BridgeFacts) -> list[Finding]:
    """Judge a bridge."""
    shown = facts.shown
    if not facts.alive:
        return [
            broken(
                "bridge",
                shown,
                facts.alive.said or said_of(shown, facts.alive),
                "do as it says, or name it as it knows itself: FEATUREWATCH_URL or --url"
                if facts.alive.said
                else "start it ('featurewatch serve'), or say where it is: FEATUREWATCH_URL or --url",
            )
        ]
    found = [fine("bridge", shown, "answers"), judge_clock(shown, facts.alive.ahead_s)]
    if facts.me.status in (401, 403):
        why = (
            "it refuses FEATUREWATCH_TOKEN" if facts.token else "it asks for a token, and FEATUREWATCH_TOKEN is not set"
        )
        found.append(left_out("bridge", f"{shown}, API", f"{why}: set one of role viewer for all features"))
    elif not facts.me:
        todo = "set FEATUREWATCH_API_PREFIX as the bridge has it"
        found.append(broken("bridge", f"{shown}, API", said_of(shown, facts.me), todo))
    found += _readiness(shown, facts.ready)
    found += _rules(shown, facts.rules)
    found += _pushes(shown, facts.refused)
    return found


async def _ready(bridge: BridgeLine) -> Got:
    """Read /readyz, whose body counts also where it says 503."""
    from ..errors import FeaturewatchError

    try:
        answer = await bridge.upstream.request("GET", "/readyz", headers=dict(bridge.headers))
        return Got(answer.json(), "", answer.status_code)
    except (FeaturewatchError, ValueError) as error:
        return Got(None, str(error))


def _readiness(shown: str, ready: Got) -> list[Finding]:
    checks = data_of(ready, "checks")
    if not isinstance(checks, dict):
        return [broken("bridge", f"{shown}, /readyz", ready.failure or "no answer", "read the bridge's log")]
    found = []
    for name, check in checks.items():
        if not isinstance(check, dict) or check.get("ok"):
            notice = check.get("notice") if isinstance(check, dict) else None
            if notice:
                found.append(doubtful("bridge", f"{shown}, {name}", str(notice), "do as the notice says"))
            continue
        said = str(check.get("error") or "not ok; FEATUREWATCH_TOKEN of an admin shows the reason")
        if name.startswith(_RELEASED):
            what = name.removeprefix(_RELEASED)
            found.append(
                broken(
                    "publishing", f"{shown}, {what}", said, "do as the reason says; the bridge tries again by itself"
                )
            )
        else:
            found.append(
                broken(
                    "bridge",
                    f"{shown}, {name}",
                    said,
                    "see what this report says of that upstream, and the bridge's log",
                )
            )
    return found or [fine("bridge", f"{shown}, /readyz", "ready")]


def _rules(shown: str, rules: Got) -> list[Finding]:
    """Judge how far rules got, by the bridge's own word."""
    if not rules:
        return []
    told = [rule for rule in objects(data_of(rules, "rules")) if rule.get("enabled")]
    found = []
    for rule in told:
        deployment = an_object(rule.get("deployment"))
        if deployment.get("state") == "failed":
            name = f"{rule.get('featureId')}/{rule.get('name')}"
            said = str(deployment.get("error") or "it failed")
            found.append(
                broken(
                    "publishing", f"rule {name}", said, "edit the rule as the reason says; 'featurewatch rules status'"
                )
            )
    return found or [fine("publishing", shown, f"none of {len(told)} rules failed")]


def _pushes(shown: str, refused: Mapping[tuple[str, str, str], float] | None) -> list[Finding]:
    """Tell of metrics that apps push and the bridge refuses; delta temporality is the usual reason."""
    found = []
    for (signal, protocol, code), count in sorted((refused or {}).items()):
        if signal != "metrics" or protocol != "otlp":
            continue
        if code == "partial":
            said = (
                f"{count:.0f} pushed points were refused since it runs: delta temporality, or names that nobody knows"
            )
            todo = "in the app set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative; its log has the reason"
        else:
            said = f"{count:.0f} pushes of metrics were refused ({code}) since it runs"
            todo = "read the answer in the app's log: it says what is wrong"
        found.append(doubtful("type", f"{shown}, OTLP", said, todo))
    return found
