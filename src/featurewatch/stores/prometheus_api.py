"""Prometheus's query API as VictoriaMetrics, Mimir and Thanos speak it too: ask, and read the answer.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from ..errors import TooMany, Unavailable, UpstreamError
from ..times import NS
from .upstream import Upstream

T = TypeVar("T")

__all__ = ["QueryApi", "Series", "Values", "read_answer"]

_BESIDE_LOOP: Final = 256 * 1024
"""From so many bytes on an answer is read in a thread."""

_HARMLESS: Final = ("PromQL info:", "PromQL warning:")
"""How remarks on an expression begin; every other warning tells that something is missing."""


class Series(NamedTuple):
    """One series of a vector. What is no finite number is left out of vectors."""

    labels: Mapping[str, str]
    value: float


class Values(NamedTuple):
    """One series over time: epoch milliseconds to value, finite numbers alone."""

    labels: Mapping[str, str]
    values: Mapping[int, float]


class QueryApi:
    """Asks one upstream. It stops evaluating when the caller is cancelled, since the connection is closed then.

    Args:
        clock: the time now, nanoseconds UTC, to be compared with the upstream's.
    """

    def __init__(self, upstream: Upstream, clock: Callable[[], int] = time.time_ns) -> None:
        self.ahead_s = 0.0
        """How far our clock is ahead of the upstream's, as its last answer said; it tells whole seconds."""
        self._upstream = upstream
        self._clock = clock

    async def instant(self, promql: str, time_ns: int) -> list[Series]:
        """Evaluate an expression at an instant.

        Raises:
            Unavailable: it cannot be reached, is too slow or busy, or answers from a part of its data alone.
            UpstreamError: it refuses the expression, or answers something else.
        """
        return await self._ask("query", {"query": promql, "time": _seconds(time_ns // 1_000_000)}, _vector)

    async def range(self, promql: str, start_ms: int, end_ms: int, step_s: int) -> list[Values]:
        """Evaluate an expression at each step; raises as `instant`."""
        span = {"start": _seconds(start_ms), "end": _seconds(end_ms), "step": str(step_s)}
        return await self._ask("query_range", {"query": promql, **span}, _matrix)

    async def count(self, selector: str, start_ms: int, end_ms: int) -> int:
        """Count the series of a selector that there were in a span; raises as `instant`."""
        span = {"start": _seconds(start_ms), "end": _seconds(end_ms)}
        return await self._ask("series", {"match[]": selector, **span}, len)

    async def _ask(self, path: str, form: Mapping[str, str], read: Callable[[Any], T]) -> T:
        given = {
            **form,
            "timeout": f"{max(1, math.ceil(self._upstream.target.timeout_s))}s",
            # VictoriaMetrics would answer for 30 s ago, and move start and end to multiples of the step.
            "nocache": "1",
            # Thanos would answer without the stores that fail.
            "partial_response": "false",
        }
        try:
            answer = await self._upstream.ask("POST", f"/api/v1/{path}", data=given)
        except TooMany as busy:
            raise Unavailable(busy.message) from None
        with suppress(ValueError):
            told = parsedate_to_datetime(answer.headers.get("Date", ""))
            self.ahead_s = self._clock() / NS - told.timestamp()
        if len(answer.content) < _BESIDE_LOOP:
            return self._read(answer.content, read)
        return await asyncio.to_thread(self._read, answer.content, read)

    def _read(self, body: bytes, read: Callable[[Any], T]) -> T:
        shown = self._upstream.target.shown
        try:
            return read(read_answer(body, shown))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            self._upstream.stats.failures["garbage"] += 1
            raise UpstreamError(
                f"{shown} answered with something else than the query API does: "
                f"is {self._upstream.target.setting}_URL right?"
            ) from None


def read_answer(body: bytes, shown: str) -> Any:
    """Return the `data` of an answer.

    Raises:
        ValueError, TypeError, KeyError: it is none.
        Unavailable: it tells that a part of the data is missing, so that its sums are too low.
        UpstreamError: it tells an error, though its status is 200.
    """
    told = orjson.loads(body)
    if told["status"] != "success":
        raise UpstreamError(f"{shown} answered with an error: {_line(told.get('error', 'none is told'))}")
    missing = [str(one) for one in told.get("warnings") or () if not str(one).startswith(_HARMLESS)]
    if told.get("isPartial"):  # VictoriaMetrics as a cluster
        missing.append("a storage node did not answer")
    if missing:
        raise Unavailable(f"{shown} answered from a part of its data: {_line('; '.join(missing))}")
    return told["data"]


def _vector(data: Any) -> list[Series]:
    if data["resultType"] == "scalar":
        return [Series({}, float(data["result"][1]))]
    _expect(data["resultType"], "vector")
    found = []
    for one in data["result"]:
        value = float(one["value"][1])
        if math.isfinite(value):
            found.append(Series(_labels(one["metric"]), value))
    return found


def _matrix(data: Any) -> list[Values]:
    _expect(data["resultType"], "matrix")
    return [
        Values(
            _labels(one["metric"]),
            {round(at * 1000): value for at, text in one["values"] if math.isfinite(value := float(text))},
        )
        for one in data["result"]
    ]


def _labels(told: Any) -> Mapping[str, str]:
    if not isinstance(told, dict):
        raise TypeError(f"expected labels, got {told!r}")
    return told


def _expect(got: Any, wanted: str) -> None:
    if got != wanted:
        raise ValueError(f"expected {wanted}, got {got!r}")


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"


def _line(words: Any) -> str:
    line = " ".join(str(words).split())
    return line if len(line) <= 300 else f"{line[:300]}…"
