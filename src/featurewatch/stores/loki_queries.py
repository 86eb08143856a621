"""What the bridge asks of lines in Loki: pages, neighbours, exports, and which features there are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from ..errors import OutOfRange, TimedOut
from ..model import ENVIRONMENT, FEATURE_ID, FeatureKey, LogEntry, StoredLog
from ..times import NS
from . import logql
from .base import LogFilter, LogPage, LogQuery
from .loki_cursor import LokiCursor
from .loki_fetch import LINES, Ask, Fetcher
from .loki_histogram import counts
from .loki_walk import FIRST_SLICE_NS, Walk
from .matching import storable

__all__ = ["LokiQueries"]

SERIES: Final = "/loki/api/v1/series"
LABELS: Final = "/loki/api/v1/labels"

AHEAD_NS: Final = 3600 * NS
"""Loki takes lines of up to 10 minutes ahead by default."""
FARTHEST_NS: Final = 30 * 86_400 * NS
"""Further ahead nothing is looked for, whatever end is asked for."""
EXPORT_AHEAD: Final = 2
"""Slices that an export asks for at a time; each is held in memory."""
EXPORT_CHUNK: Final = 1_000
EXPORT_FIRST_NS: Final = 60 * NS
SEARCH_FIRST_NS: Final = 600 * NS
EXPORT_PATIENCE_S: Final = 30.0
"""An export that was begun cannot tell of a failure but by breaking off: it waits so long for Loki to come back."""
FIND_S: Final = 30.0
"""How long a line is looked for by its id."""
NEAR_NS: Final = 3600 * NS
"""An id that begins with its time is looked for around it first."""
LISTED_NS: Final = 3600 * NS
RECENT_NS: Final = 2 * 3600 * NS
PING_NS: Final = 300 * NS
_BESIDES: Final = 20
"""Lines that are asked for besides a page, so that those of its last timestamp are mostly among them."""
_MOST_NAMED: Final = 200

_TIMED_ID: Final = re.compile(r"[0-9a-f]{32}")


class LokiQueries:
    """Questions over a Fetcher.

    Args:
        lookback_s: how far back lines are looked for where a query names no start.
        clock: nanoseconds since the epoch.
    """

    def __init__(self, fetcher: Fetcher, *, lookback_s: float, clock: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._lookback_ns = int(lookback_s * NS)
        self._clock = clock
        self._listed: set[FeatureKey] = set()
        self._listed_ns = -LISTED_NS

    async def page(self, query: LogQuery) -> LogPage:
        """Read one page as LogQuery defines it; positions are 0, since Loki has no order of arrival.

        Raises:
            BadInput: the cursor is none; OutOfRange: the limit is below 1.
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        if query.limit < 1:
            raise OutOfRange(f"limit: expected at least 1, got {query.limit}")
        cursor = LokiCursor.decode(query.cursor) if query.cursor else None
        backward = query.direction != "forward"
        found = await self._some(query, query.limit + 1, cursor, backward=backward)
        entries = found[: query.limit]
        more = len(found) > query.limit
        next_cursor = LokiCursor(entries[-1].timestamp_ns, entries[-1].id).encode() if more else None
        if query.direction is None:
            entries.reverse()
        return LogPage(tuple(StoredLog(0, entry) for entry in entries), next_cursor)

    async def around(self, entry_id: str, keys: Collection[FeatureKey] | None, count: int) -> LogPage | None:
        """Find a line and its neighbours; see LogStore. Of lines with the same id, that with the latest timestamp.

        Raises:
            TimedOut: it was looked for as long as may be, and not everywhere yet.
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        if (keys is not None and not keys) or not entry_id or not storable(entry_id):
            return None
        try:
            async with asyncio.timeout(FIND_S):
                found = await self._find(entry_id, keys)
        except TimeoutError:
            raise TimedOut(f"line {entry_id[:80]!r} was not found within {FIND_S:g} s of looking for it") from None
        if found is None:
            return None
        query, here = LogQuery(found.key), LokiCursor(found.timestamp_ns, found.id)
        before = await self._some(query, count, here, backward=True) if count > 0 else []
        after = await self._some(query, count, here, backward=False) if count > 0 else []
        return LogPage(tuple(StoredLog(0, entry) for entry in (*reversed(before), found, *after)))

    async def export(self, query: LogQuery) -> AsyncGenerator[Sequence[LogEntry], None]:
        """Yield the lines of a range; see LogStore. Those that arrive meanwhile and lie ahead are among them."""
        walk = self._walk(query, None, backward=False, limit=LINES, export=True)
        if walk is None:
            return
        async with aclosing(walk.chunks()) as chunks:
            async for chunk in chunks:
                for begin in range(0, len(chunk), EXPORT_CHUNK):
                    yield chunk[begin : begin + EXPORT_CHUNK]

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        """Count the lines that match in each step of (start, end]; see LogStore and `loki_histogram`."""
        query = LogQuery(key, filter, start_ns + 1, end_ns + 1)

        async def chunks() -> AsyncGenerator[list[LogEntry], None]:
            walk = self._walk(query, None, backward=False, limit=LINES, export=True)
            if walk is not None:
                async with aclosing(walk.chunks()) as found:
                    async for chunk in found:
                        yield chunk

        ask = Ask(self._fetcher.streams_of(key), key, filter)
        async with aclosing(chunks()) as lines:
            return await counts(self._fetcher, ask, start_ns, end_ns, step_s, lines)

    async def keys(self) -> set[FeatureKey]:
        """Return the features and environments that have lines, as far back as lines are looked for.

        Everything is read once in an hour, which takes Loki half a second for 30 days; in between what is recent.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        now = self._clock()
        everything = not 0 <= now - self._listed_ns < LISTED_NS
        found = set() if everything else set(self._listed)
        start, end = now - (self._lookback_ns if everything else RECENT_NS), now + AHEAD_NS
        while start < end:
            until = min(start + self._fetcher.range_ns, end)
            params = {"match[]": logql.selector(), "start": str(start), "end": str(until)}
            for labels in await self._fetcher.ask(SERIES, params) or ():
                feature, environment = labels.get("feature", ""), labels.get("environment") or self._fetcher.environment
                if FEATURE_ID.fullmatch(feature) and ENVIRONMENT.fullmatch(environment):
                    found.add(FeatureKey(feature, environment))
            start = until
        if everything:
            self._listed_ns = now
        self._listed = found
        return set(found)

    async def ping(self) -> None:
        """Return when Loki answers questions; raise as `Upstream.ask`."""
        now = self._clock()
        await self._fetcher.ask(LABELS, {"start": str(now - PING_NS), "end": str(now)})

    async def _some(self, query: LogQuery, count: int, cursor: LokiCursor | None, *, backward: bool) -> list[LogEntry]:
        """Read the first lines beyond a cursor, in the order of the way."""
        walk = self._walk(query, cursor, backward=backward, limit=count + _BESIDES)
        found: list[LogEntry] = []
        if walk is None:
            return found
        async with aclosing(walk.chunks()) as chunks:
            async for chunk in chunks:
                found += _beyond(chunk, cursor, backward=backward)
                if len(found) >= count:
                    break
        return found[:count]

    def _walk(
        self, query: LogQuery, cursor: LokiCursor | None, *, backward: bool, limit: int, export: bool = False
    ) -> Walk | None:
        """Make the way through what a query asks for; None where no line can be."""
        if not (storable(query.filter.source) and storable(query.filter.search)):
            return None
        now = self._clock()
        start = now - self._lookback_ns if query.start_ns is None else query.start_ns
        end = now + AHEAD_NS if query.end_ns is None else query.end_ns
        if cursor is not None:
            start, end = (
                (start, min(end, cursor.timestamp_ns + 1)) if backward else (max(start, cursor.timestamp_ns), end)
            )
        ask = Ask(self._fetcher.streams_of(query.key), query.key, query.filter)
        start, end = max(start, 0), min(end, now + FARTHEST_NS)
        if export:
            return Walk(
                self._fetcher,
                ask,
                start,
                end,
                backward=backward,
                limit=limit,
                ahead=EXPORT_AHEAD,
                patience_s=EXPORT_PATIENCE_S,
                first_ns=EXPORT_FIRST_NS,
            )
        # Backward, the first slice has what lies ahead of the clock, too; a search may have much to look at.
        first = SEARCH_FIRST_NS if query.filter.search else FIRST_SLICE_NS
        first += max(0, end - now) if backward else 0
        return Walk(self._fetcher, ask, start, end, backward=backward, limit=limit, first_ns=first)

    async def _find(self, entry_id: str, keys: Collection[FeatureKey] | None) -> LogEntry | None:
        features = set() if keys is None else {key.feature for key in keys}
        selection = logql.selector(features if len(features) <= _MOST_NAMED else ())
        by_id = Ask(selection).among(logql.having_id(entry_id))
        now = self._clock()
        whole = (now - self._lookback_ns, now + AHEAD_NS)
        ways = [(by_id, *whole)]
        if _TIMED_ID.fullmatch(entry_id):
            at = int(entry_id[:16], 16)
            if whole[0] <= at < whole[1]:
                # An id that is made of the line itself, and one that was made when the line was.
                ways[:0] = [(Ask(selection), at, at + 1), (by_id, at - NEAR_NS, at + NEAR_NS)]
        for ask, start, end in ways:
            walk = Walk(self._fetcher, ask, start, end, backward=True, limit=100)
            async with aclosing(walk.chunks()) as chunks:
                async for chunk in chunks:
                    for entry in reversed(chunk):
                        if entry.id == entry_id and (keys is None or entry.key in keys):
                            return entry
        return None


def _beyond(chunk: list[LogEntry], cursor: LokiCursor | None, *, backward: bool) -> Iterator[LogEntry]:
    for entry in reversed(chunk) if backward else chunk:
        place = LokiCursor(entry.timestamp_ns, entry.id)
        if cursor is None or (place < cursor if backward else place > cursor):
            yield entry
