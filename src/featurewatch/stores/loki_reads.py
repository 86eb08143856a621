"""What the live half asks of Loki: how many lines there are of each moment, and all lines of a range."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import TimedOut, UpstreamError
from ..model import FEATURE_ID, FeatureKey, LogEntry
from .loki_counts import Counts
from .loki_fetch import QUERY_RANGE, Ask, Excessive, Fetcher
from .loki_memory import EVERY, selector_of
from .loki_walk import Walk

__all__ = ["LokiReads", "Scope"]

PAGE: Final = 5_000
SHORTEST_NS: Final = 10**9
MOST_BUCKETS: Final = 600
QUICK_S: Final = 1.0
"""After an answer that took no longer more is asked for at once."""
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MARKS: Final = "-._"
_TOO_MANY_SERIES: Final = "maximum number of series"


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
    """Reads over a fetcher of its own. `queries` counts them by kind."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._counted = 0
        # How `EVERY` was divided the last time, so that what was refused is not asked again each time.
        self._parts: list[Scope] = [Scope.of((EVERY,))]
        self._buckets: dict[int, int] = {}
        """How many buckets, by their width, Loki counts in time."""

    @property
    def queries(self) -> Mapping[str, int]:
        return {"counts": self._counted, "lines": self._fetcher.stats.queries - self._counted}

    async def counts(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts:
        """Count lines by feature and bucket, in as many queries as Loki's limits of time and series make necessary.

        Args:
            start_ns: exclusive, `end_ns` inclusive; both ends of buckets.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's, see `Upstream.ask`.
        """
        counts: dict[tuple[FeatureKey, int], int] = {}
        time = asyncio.get_running_loop().time
        while start_ns < end_ns:
            buckets = min((end_ns - start_ns) // width_ns, self._buckets.get(width_ns, MOST_BUCKETS))
            until, started = start_ns + buckets * width_ns, time()
            try:
                for place, count in (await self._all_series(features, start_ns, until, width_ns)).items():
                    counts[place] = counts.get(place, 0) + count
            except TimedOut:
                if buckets == 1:
                    raise
                self._buckets[width_ns] = buckets // 2
                continue
            if time() - started < QUICK_S:
                self._buckets[width_ns] = min(MOST_BUCKETS, 2 * self._buckets.get(width_ns, MOST_BUCKETS))
            start_ns = until
        return counts

    async def lines(
        self, features: Collection[str], start_ns: int, end_ns: int
    ) -> AsyncGenerator[Sequence[LogEntry], None]:
        """Yield all lines of a range, oldest first, page by page.

        Args:
            start_ns: exclusive, `end_ns` inclusive.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's; what was yielded is not all.
        """
        ask = Ask(selector_of(features))
        walk = Walk(self._fetcher, ask, start_ns + 1, end_ns + 1, backward=False, first_ns=end_ns - start_ns)
        async for chunk in walk.chunks():
            yield chunk

    async def newest(self, features: Collection[str], start_ns: int, end_ns: int) -> tuple[Sequence[LogEntry], int]:
        """Read the last lines of a range, oldest first, and the timestamp (ns) from which on they are all of them.

        Args:
            start_ns: inclusive, as is `end_ns`.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        ask = Ask(selector_of(features))
        while True:
            try:
                page = await self._fetcher.page(ask, start_ns, end_ns + 1, PAGE, backward=True)
                return page.entries, start_ns if page.complete else page.reached + 1
            except Excessive as excess:
                if end_ns - start_ns <= SHORTEST_NS:
                    raise excess.error from None
                start_ns = end_ns - (end_ns - start_ns) // 4

    async def _all_series(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts:
        every = EVERY in features
        waiting = list(self._parts) if every else _named(features)
        done: list[Scope] = []
        counts: dict[tuple[FeatureKey, int], int] = {}
        while waiting:
            scope = waiting.pop()
            try:
                counts.update(await self._count(scope, start_ns, end_ns, width_ns))
            except UpstreamError as error:
                halves = scope.split() if _TOO_MANY_SERIES in error.message else None
                if halves is None:
                    raise
                waiting += halves
                continue
            done.append(scope)
        if every:
            self._parts = done
        return counts

    async def _count(self, scope: Scope, start_ns: int, end_ns: int, width_ns: int) -> Counts:
        width_s = width_ns // 10**9
        self._counted += 1
        told = await self._fetcher.ask(
            QUERY_RANGE,
            {
                "query": f"sum by (feature, environment) (count_over_time({scope.selector()}[{width_s}s]))",
                # A bucket is told at its end.
                "start": str(start_ns + width_ns),
                "end": str(end_ns),
                "step": f"{width_s}s",
            },
        )
        counts: dict[tuple[FeatureKey, int], int] = {}
        try:
            for series in told["result"]:
                labels = series["metric"]
                feature = labels.get("feature") or ""
                if FEATURE_ID.fullmatch(feature) is None:
                    continue
                key = FeatureKey(feature, labels.get("environment") or self._fetcher.environment)
                for at_s, count in series["values"]:
                    place = key, round(at_s / width_s)
                    counts[place] = counts.get(place, 0) + int(count)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UpstreamError(f"expected counts of Loki, got {str(told)[:80]!r}") from None
        return counts


def _named(features: Iterable[str]) -> list[Scope]:
    """Divide features into scopes whose selectors are not too long, and whose series not too many by far."""
    names = sorted(features)
    return [Scope(tuple(names[at : at + 200])) for at in range(0, len(names), 200)]


def _escaped(name: str) -> str:
    return name.replace(".", "[.]")
