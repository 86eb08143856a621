"""What the live half asks of Loki: how many lines there are of each moment, and all lines of a range."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..errors import UpstreamError
from ..model import FEATURE_ID, FeatureKey, LogEntry
from .loki_counts import Counts
from .loki_entries import CATEGORIZED, read_streams
from .loki_memory import EVERY, selector_of
from .upstream import Upstream

__all__ = ["Crowded", "LokiReads", "Scope"]

QUERY_RANGE: Final = "/loki/api/v1/query_range"
PAGE: Final = 5_000
"""Lines of a page; Loki's default limit."""
SMALLEST_PAGE: Final = 20
PAGE_BYTES: Final = 32 * 1024**2
"""A page that is larger is asked for again with fewer lines."""

# Whether lines are missing must not be read from a cache of before they came.
_FRESH: Final = {"Cache-Control": "no-cache"}
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MARKS: Final = "-._"
_LIMIT: Final = re.compile(r"max entries limit.*\(\d+ > (\d+)\)")
_TOO_MANY_SERIES: Final = "maximum number of series"


class Crowded(UpstreamError):
    """More lines than a page holds have one and the same timestamp: those beyond cannot be asked for."""


class _Oversized(Exception):
    """An answer has more bytes than are taken."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Some features: these, and those that begin with one of the prefixes."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, features: Collection[str]) -> Scope:
        return cls(prefixes=tuple(_LETTERS)) if EVERY in features else cls(tuple(sorted(features)))

    def selector(self) -> str:
        if self.prefixes == tuple(_LETTERS):
            return selector_of((EVERY,))
        patterns = [_escaped(name) for name in self.names] + [f"{_escaped(prefix)}.*" for prefix in self.prefixes]
        return f'{{feature=~"{"|".join(patterns)}"}}'

    def split(self) -> tuple[Scope, Scope] | None:
        """Divide the features into two scopes; None where there is but one."""
        if len(self.names) + len(self.prefixes) > 1:
            middle = (len(self.names) + len(self.prefixes)) // 2
            more = max(0, middle - len(self.names))
            return (
                Scope(self.names[:middle], self.prefixes[:more]),
                Scope(self.names[middle:], self.prefixes[more:]),
            )
        if not self.prefixes:
            return None
        (prefix,) = self.prefixes
        return Scope((prefix,)), Scope(prefixes=tuple(prefix + mark for mark in _MARKS + _LETTERS))


class LokiReads:
    """Reads over an upstream. `queries` counts them by kind.

    Args:
        environment: of lines whose labels name none.
    """

    def __init__(self, upstream: Upstream, environment: str) -> None:
        self.queries = {"counts": 0, "lines": 0}
        self._upstream = upstream
        self._environment = environment
        self._limit = self._most = PAGE
        # How `EVERY` was divided the last time, so that what was refused is not asked again each time.
        self._parts: list[Scope] = [Scope.of((EVERY,))]

    async def counts(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts:
        """Count lines by feature and bucket.

        Args:
            start_ns: exclusive, `end_ns` inclusive; both ends of buckets.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's, see `Upstream.ask`.
        """
        every = EVERY in features
        waiting = list(self._parts) if every else _named(features)
        done: list[Scope] = []
        counts: dict[tuple[FeatureKey, int], int] = {}
        while waiting:
            scope = waiting.pop()
            try:
                told = await self._count(scope, start_ns, end_ns, width_ns)
            except UpstreamError as error:
                halves = scope.split() if _TOO_MANY_SERIES in error.message else None
                if halves is None:
                    raise
                waiting += halves
                continue
            done.append(scope)
            for place, count in told.items():
                counts[place] = counts.get(place, 0) + count
        if every:
            self._parts = done
        return counts

    async def lines(
        self, features: Collection[str], start_ns: int, end_ns: int
    ) -> AsyncGenerator[Sequence[LogEntry], None]:
        """Yield all lines of a range, oldest first, page by page.

        Args:
            start_ns: exclusive, `end_ns` inclusive.

        Raises:
            Crowded: more lines of one timestamp than a page holds; what was yielded is not all.
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        selector, start = selector_of(features), start_ns + 1
        seen: set[tuple[str, str, str]] = set()
        while True:
            limit, page = await self._page(selector, start, end_ns + 1, "forward")
            page.sort(key=lambda entry: entry.timestamp_ns)
            new = [entry for entry in page if entry.timestamp_ns != start or entry[:3] not in seen]
            if new:
                yield new
            if len(page) < limit:
                return
            last = page[-1].timestamp_ns
            if last == page[0].timestamp_ns:
                raise Crowded(f"more than {limit} lines have the timestamp {last}: those beyond cannot be read")
            # The next page begins where this one ends, since lines of the same moment may lie on both.
            seen = {entry[:3] for entry in page if entry.timestamp_ns == last}
            start = last

    async def newest(self, features: Collection[str], start_ns: int, end_ns: int) -> tuple[Sequence[LogEntry], bool]:
        """Read the newest page of a range (both ends inclusive), oldest first; whether that is all there is."""
        limit, page = await self._page(selector_of(features), start_ns, end_ns + 1, "backward")
        page.sort(key=lambda entry: entry.timestamp_ns)
        return page, len(page) < limit

    async def _count(self, scope: Scope, start_ns: int, end_ns: int, width_ns: int) -> Counts:
        width_s = width_ns // 10**9
        self.queries["counts"] += 1
        told = await self._upstream.ask_json(
            "GET",
            QUERY_RANGE,
            params={
                "query": f"sum by (feature, environment) (count_over_time({scope.selector()}[{width_s}s]))",
                # A bucket is told at its end.
                "start": str(start_ns + width_ns),
                "end": str(end_ns),
                "step": f"{width_s}s",
            },
            headers=_FRESH,
        )
        counts: dict[tuple[FeatureKey, int], int] = {}
        try:
            for series in told["data"]["result"]:
                labels = series["metric"]
                feature = labels.get("feature") or ""
                if FEATURE_ID.fullmatch(feature) is None:
                    continue
                key = FeatureKey(feature, labels.get("environment") or self._environment)
                for at_s, count in series["values"]:
                    place = key, round(at_s / width_s)
                    counts[place] = counts.get(place, 0) + int(count)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UpstreamError(f"{self._upstream.target.shown} answered a count with something else") from None
        return counts

    async def _page(self, selector: str, start_ns: int, end_ns: int, direction: str) -> tuple[int, list[LogEntry]]:
        """Ask for one page; the limit that it was asked with is returned too."""
        while True:
            limit = self._limit
            self.queries["lines"] += 1
            params = {
                "query": selector,
                "start": str(start_ns),
                "end": str(end_ns),
                "limit": str(limit),
                "direction": direction,
            }
            try:
                body = await self._bounded(params)
            except UpstreamError as error:
                allowed = _LIMIT.search(error.message)
                if allowed is None or int(allowed[1]) >= limit:
                    raise
                self._limit = self._most = max(1, int(allowed[1]))
                continue
            except _Oversized:
                if limit <= SMALLEST_PAGE:
                    raise UpstreamError(
                        f"{self._upstream.target.shown} answered {limit} lines with more than {PAGE_BYTES} bytes"
                    ) from None
                self._limit = max(SMALLEST_PAGE, limit // 4)
                continue
            # Beside the event loop: some 50 ms for a page.
            page = await asyncio.to_thread(self._read, body)
            if limit < self._most and len(body) < PAGE_BYTES // 16:
                self._limit = min(self._most, limit * 2)
            return limit, page

    async def _bounded(self, params: Mapping[str, str]) -> bytes:
        parts: list[bytes] = []
        size = 0
        async with self._upstream.stream(
            "GET", QUERY_RANGE, params=params, headers={**CATEGORIZED, **_FRESH}
        ) as answer:
            if not answer.is_success:
                await answer.aread()
                raise self._upstream.refusal(answer)
            async for part in answer.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > PAGE_BYTES:
                    raise _Oversized
        return b"".join(parts)

    def _read(self, body: bytes) -> list[LogEntry]:
        try:
            told: Any = orjson.loads(body)
            streams = told["data"]["result"]
        except (ValueError, KeyError, TypeError):
            raise UpstreamError(f"{self._upstream.target.shown} answered a query with something else") from None
        return read_streams(streams, self._environment)


def _named(features: Iterable[str]) -> list[Scope]:
    """Divide features into scopes whose selectors are not too long, and whose series not too many by far."""
    names = sorted(features)
    return [Scope(tuple(names[at : at + 200])) for at in range(0, len(names), 200)]


def _escaped(name: str) -> str:
    return name.replace(".", "[.]")
