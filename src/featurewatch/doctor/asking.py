"""Upstreams, asked for facts: what cannot be had is told as a reason, and how far their clocks are is noted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx
import yaml

from ..errors import FeaturewatchError
from ..stores.upstream import Upstream
from ..times import NS
from .findings import shortened

T = TypeVar("T")

__all__ = ["Got", "Vector", "get", "load_yaml", "query"]

_MOST_BYTES: Final = 64 * 1024**2
_LONG: Final = 256 * 1024
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, or why there is none.

    Attributes:
        data: what the answer says as JSON or, where it is none, as text; None where `failure` is set.
        failure: one line, "" where the answer is a success.
        status: of HTTP, 0 where nothing was answered.
        said: the upstream's own words of a refusal, "" where it has none.
        ahead_s: how far the upstream's clock is ahead of ours, to half a second; None where it is not told.
    """

    data: Any
    failure: str = ""
    status: int = 0
    ahead_s: float | None = None
    said: str = ""

    def __bool__(self) -> bool:
        return not self.failure


@dataclass(frozen=True, slots=True)
class Vector:
    """What an expression came to: labels and values, NaN among them; `failure` says why there is nothing."""

    series: tuple[tuple[Mapping[str, str], float], ...] = ()
    failure: str = ""


async def get(
    upstream: Upstream, path: str, *, clock: Callable[[], int] = time.time_ns, method: str = "GET", **options: Any
) -> Got:
    """Ask for one thing. Never raises for what an upstream does."""
    began = clock()
    try:
        answer = await upstream.request(method, path, at_most=_MOST_BYTES, **options)
    except FeaturewatchError as error:
        return Got(None, error.message)
    ahead = _ahead(answer, (began + clock()) / 2)
    if not answer.is_success:
        return Got(None, upstream.refusal(answer).message, answer.status_code, ahead, _said(answer))
    return Got(await _beside(answer, _read), "", answer.status_code, ahead)


async def query(upstream: Upstream, expression: str, **form: str) -> Vector:
    """Evaluate a PromQL expression now, or at `time`; a scalar is a vector of one."""
    try:
        answer = await upstream.request(
            "POST", "/api/v1/query", data={"query": expression, **form}, at_most=_MOST_BYTES
        )
    except FeaturewatchError as error:
        return Vector(failure=error.message)
    if not answer.is_success:
        return Vector(failure=upstream.refusal(answer).message)
    return await _beside(answer, lambda whole: _vector(whole, upstream.target.shown))


def _vector(answer: httpx.Response, shown: str) -> Vector:
    try:
        told = answer.json()["data"]
        if told["resultType"] in ("scalar", "string"):
            return Vector((({}, float(told["result"][1])),) if told["resultType"] == "scalar" else ())
        return Vector(
            tuple(
                (one["metric"], float(one["value"][1] if "value" in one else one["values"][-1][1]))
                for one in told["result"]
                if "value" in one or "values" in one
            )
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return Vector(failure=f"{shown} answered with something else than the query API does")


async def _beside(answer: httpx.Response, read: Callable[[httpx.Response], T]) -> T:
    """Read an answer; a long one in a thread, since it would hold up the bridge's event loop."""
    return read(answer) if len(answer.content) < _LONG else await asyncio.to_thread(read, answer)


def load_yaml(text: Any) -> dict[str, Any] | None:
    """Read a configuration that an upstream shows, None where it is none."""
    if isinstance(text, dict):
        return text
    with suppress(yaml.YAMLError):
        told = yaml.load(text, Loader=_LOADER) if isinstance(text, str) else None
        return told if isinstance(told, dict) else None
    return None


def data_of(got: Got, *keys: str) -> Any:
    """Walk down an answer's objects, None where it does not go so far."""
    found = got.data
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list, whatever else is there."""
    return [one for one in listed(value) if isinstance(one, dict)]


def an_object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        return answer.text


def _said(answer: httpx.Response) -> str:
    told = an_object(_read(answer))
    return shortened(str(told.get("error") or told.get("message") or ""))


def _ahead(answer: httpx.Response, at_ns: float) -> float | None:
    with suppress(ValueError, TypeError):
        # Whole seconds, cut: in the middle it was half a second later.
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() + 0.5 - at_ns / NS
    return None
