"""Logs in Loki: lines are pushed to it, asked of it, and told live as they come to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from ..model import FeatureKey, LogEntry, LogGap, StoredLog
from .base import GapListener, LogFilter, LogListener, LogPage, LogQuery
from .loki_fetch import Fetcher
from .loki_live import LokiLive, Reading
from .loki_push import Pusher
from .loki_queries import LokiQueries
from .next_flight import NextFlight
from .upstream import Upstream

__all__ = ["LokiStore"]


class LokiStore:
    """A LogStore (see `stores.base`) over Loki. Made by `open`; belongs to the event loop that opened it.

    What an append promises: when it returns, Loki has said that it has every line. When it raises, Loki may have some
    of them (it stores the valid lines of a push that it refuses, and a large append is several pushes). Sending all
    again is harmless: of lines that are the same in all, Loki reads one, and an id that was kept of late is not pushed
    again. Its counts alone may have such a line twice.

    Lines of one timestamp are in the order of their ids, since Loki has no order among them.
    """

    def __init__(
        self, upstream: Upstream, pusher: Pusher, fetcher: Fetcher, queries: LokiQueries, live: LokiLive
    ) -> None:
        self.stats = upstream.stats
        self._pusher = pusher
        self._fetcher = fetcher
        self._queries = queries
        self._live = live
        self._flights = NextFlight[Sequence[StoredLog]]()
        self._opened = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        upstream: Upstream,
        folder: Path,
        *,
        environment: str,
        lookback_s: float,
        queue_bytes: int,
        journal_bytes: int,
        clock: Callable[[], int],
    ) -> Self:
        """Open what the store keeps itself, its journal of arrivals. Loki need not be there yet.

        Args:
            upstream: is closed with the store.
            folder: where the journal is kept.
            environment: of lines whose labels name none.
            lookback_s: how far back lines are looked for where a query names no start.
            queue_bytes: of lines that wait for Loki, above which `append` raises TooMany; and of those that wait for
                the journal.
            journal_bytes: how large the journal may grow.

        Raises:
            Unavailable: the journal cannot be opened; StoreLocked: another process holds it.
        """
        async with AsyncExitStack() as opened:
            opened.push_async_callback(upstream.close)
            live = await LokiLive.open(
                upstream,
                folder,
                environment=environment,
                max_bytes=journal_bytes,
                queue_bytes=queue_bytes,
                clock=clock,
            )
            opened.push_async_callback(live.close)
            pusher = Pusher(upstream, queue_bytes=queue_bytes)
            opened.push_async_callback(pusher.close)
            fetcher = Fetcher(upstream, environment)
            store = cls(upstream, pusher, fetcher, LokiQueries(fetcher, lookback_s=lookback_s, clock=clock), live)
            opened.push_async_callback(store._flights.close)
            store._opened = opened.pop_all()
            return store

    @property
    def queued_bytes(self) -> int:
        """Bytes of lines that wait for Loki."""
        return self._pusher.queued_bytes

    async def append(self, entries: Sequence[LogEntry]) -> int:
        """Push the entries and return once Loki has them; see the class, LogStore and `Pusher.append`."""
        if not entries:
            return 0
        new = await self._pusher.append(entries)
        await self._live.appended(new)
        return len(new)

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        return self._live.listen(listener, gaps)

    def want(self, features: Collection[str] | None) -> None:
        self._live.want(features)

    async def query(self, query: LogQuery) -> LogPage:
        """Read a page; see LogStore. The positions of its lines are 0: `newest` tells those of arrival."""
        return await self._queries.page(query)

    async def newest(self, key: FeatureKey, filter: LogFilter, limit: int) -> Sequence[StoredLog]:
        """Read the last lines; see LogStore. Of however many who ask alike, Loki is asked twice at most at a time."""
        return await self._flights.ask((key, filter, limit), lambda: self._newest(key, filter, limit))

    async def _newest(self, key: FeatureKey, filter: LogFilter, limit: int) -> Sequence[StoredLog]:
        await self._live.ready(key.feature)
        page = await self._queries.page(LogQuery(key, filter, limit=limit))
        return await self._live.meet(key, [line.entry for line in page.entries])

    async def around(self, entry_id: str, keys: Collection[FeatureKey] | None, count: int) -> LogPage | None:
        return await self._queries.around(entry_id, keys, count)

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        return await self._queries.counts(key, filter, start_ns, end_ns, step_s)

    def export(self, query: LogQuery) -> AsyncGenerator[Sequence[LogEntry], None]:
        return self._queries.export(query)

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        return await self._live.since(position, keys, limit)

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        return self._live.lost(position, features)

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        return self._live.gaps(position, keys)

    async def last_position(self) -> int:
        return await self._live.last_position()

    async def keys(self) -> set[FeatureKey]:
        return await self._queries.keys()

    async def ping(self) -> None:
        """Return when Loki takes questions and lines, and what arrives is compared with it; see LogStore."""
        await asyncio.gather(self._queries.ping(), self._pusher.ping(), self._live.ping())

    async def close(self) -> None:
        """Push what waits, and close. Harmless when repeated."""
        await self._opened.aclose()

    def readings(self) -> Iterator[Reading]:
        """Yield what is shown on /metrics."""
        pushes, queries = self._pusher.stats, self._fetcher.stats
        yield "featurewatch_loki_pushes_total", "counter", "Pushes sent to Loki.", {(): pushes.pushes}
        yield (
            "featurewatch_loki_push_failures_total",
            "counter",
            "Pushes that Loki did not take, by reason.",
            {(("reason", reason),): count for reason, count in pushes.failures.items()},
        )
        yield "featurewatch_loki_push_seconds_total", "counter", "Time that pushes took.", {(): pushes.seconds}
        yield "featurewatch_loki_pushed_lines_total", "counter", "Lines that Loki took.", {(): pushes.lines}
        yield "featurewatch_loki_pushed_bytes_total", "counter", "Bytes of pushes, compressed.", {(): pushes.bytes}
        yield "featurewatch_loki_reads_total", "counter", "Questions asked for requests.", {(): queries.queries}
        yield "featurewatch_loki_read_failures_total", "counter", "Of these, those that failed.", {(): queries.failures}
        yield "featurewatch_loki_read_seconds_total", "counter", "Time that they took.", {(): queries.seconds}
        yield "featurewatch_loki_read_lines_total", "counter", "Lines that they brought.", {(): queries.lines}
        yield from self._live.readings()
