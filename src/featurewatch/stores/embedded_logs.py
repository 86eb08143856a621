"""Logs in one SQLite file: what serves where no Loki is set."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ..errors import TooMany, Unavailable
from ..model import FeatureKey, LogEntry, LogGap, StoredLog
from ..times import NS
from . import log_queries
from .base import GapListener, LogFilter, LogListener, LogPage, LogQuery
from .group_commit import GroupWriter
from .log_cursor import Cursor
from .log_ledger import Added, LogLedger, weigh
from .log_retention import SWEEP_EVERY_S, Retention, Sweeper
from .log_schema import SCHEMA, VERSION
from .sqlite import Readers, connect, create, translated

__all__ = ["EmbeddedLogs"]

_EXPORT_CHUNK: Final = 2000
_GROUP_BYTES: Final = 4 * 1024**2
_LOOK_AT_CLOCK_S: Final = 1.0


class EmbeddedLogs:
    """A LogStore (see `stores.base`) in a SQLite file. Made by `open`; belongs to the event loop that opened it.

    One thread writes, four read. Lines that wait for the disk are bounded by `queue_bytes`: above it `append` raises
    TooMany. A line is kept `retention_s` seconds, by its timestamp or its arrival, whichever ends first; above
    `max_bytes` the oldest by arrival go.
    """

    def __init__(
        self, path: Path, writer: GroupWriter, ledger: LogLedger, readers: Readers, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._writer = writer
        self._ledger = ledger
        self._readers = readers
        self._clock = clock
        self._last_position = ledger.last_position
        self._listeners: list[LogListener] = []
        self._removed = {"age": 0, "size": 0}
        self._sweeping = asyncio.create_task(self._sweep_for_ever())

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        retention_s: float,
        max_bytes: int,
        queue_bytes: int,
        clock: Callable[[], int] = time.time_ns,
        by_arrival: bool = False,
        durable: bool = True,
        first_position: int = 1,
    ) -> EmbeddedLogs:
        """Open the file, made where there is none.

        Args:
            by_arrival: a line's age counts from its arrival alone, whatever its timestamp.
            durable: False: where the machine fails, the last lines may be gone; a fault of this process loses none.
            first_position: of a file that is made now.

        Raises:
            Unavailable: it cannot be opened, is corrupt or of another version; StoreLocked: another process holds it.
        """
        retention = Retention(retention_s, max_bytes, by_arrival)
        connection, ledger = await asyncio.to_thread(_open, path, retention, durable, first_position)
        writer = GroupWriter(
            connection,
            path,
            capacity=queue_bytes,
            together=min(_GROUP_BYTES, max_bytes // 32),
            undone=ledger.forget_names,
            name="featurewatch-log-writer",
        )
        return cls(path, writer, ledger, Readers(path, name="featurewatch-log-reader"), clock)

    @property
    def queued_bytes(self) -> int:
        """Bytes of lines that wait for the disk."""
        return self._writer.weight

    @property
    def removed_position(self) -> int:
        """Up to here lines were removed, or there never were any: what came after it is all here."""
        return self._ledger.removed_position

    @property
    def removed(self) -> Mapping[str, int]:
        """How many lines retention removed since the start, by its reason: age or size."""
        return dict(self._removed)

    async def append(self, entries: Sequence[LogEntry]) -> int:
        """Keep the lines; see LogStore. A cancelled append may have been kept all the same."""
        if not entries:
            return 0
        added = await self._writer.run(
            lambda connection: self._ledger.add(connection, entries), weight=weigh(entries), then=self._tell
        )
        return len(added.lines)

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        """Listen; see LogStore. There are no gaps: what is here was told."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    async def query(self, query: LogQuery) -> LogPage:
        return await self._readers.run(lambda connection: log_queries.page(connection, query))

    def want(self, features: Collection[str] | None) -> None:
        """Do nothing: every line comes by here."""

    async def newest(self, key: FeatureKey, filter: LogFilter, limit: int) -> Sequence[StoredLog]:
        return (await self.query(LogQuery(key, filter, limit=limit))).entries

    async def around(self, entry_id: str, keys: Collection[FeatureKey] | None, count: int) -> LogPage | None:
        return await self._readers.run(lambda connection: log_queries.around(connection, entry_id, keys, count))

    async def export(self, query: LogQuery) -> AsyncGenerator[Sequence[LogEntry], None]:
        """Yield the lines that had arrived when the export began; see LogStore."""
        cursor, last = None, self._last_position
        while True:
            read = partial(log_queries.forward_chunk, query=query, after=cursor, last_position=last, size=_EXPORT_CHUNK)
            chunk = await self._readers.run(read)
            if chunk:
                yield [line.entry for line in chunk]
            if len(chunk) < _EXPORT_CHUNK:
                return
            cursor = Cursor(chunk[-1].entry.timestamp_ns, chunk[-1].position)

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        return await self._readers.run(
            lambda connection: log_queries.counts(connection, key, filter, start_ns, end_ns, step_s)
        )

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        return await self._readers.run(lambda connection: log_queries.since(connection, position, keys, limit))

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        return "expired" if position < self.removed_position else None

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        return ()

    async def positions(self, key: FeatureKey, ids: Collection[str]) -> Mapping[str, int]:
        """Return where the lines of a feature with these ids stand; absent where there are none."""
        return await self._readers.run(lambda connection: log_queries.positions(connection, key, ids))

    async def tally(self, width_ns: int, start_ns: int) -> Mapping[tuple[FeatureKey, int], int]:
        """Count the lines from a timestamp on, by feature and bucket; bucket n ends with timestamp n * width."""
        return await self._readers.run(lambda connection: log_queries.tally(connection, width_ns, start_ns))

    async def reached(self) -> Sequence[tuple[int, int]]:
        """Return when (ns) which position was reached, about once a minute, oldest first."""
        return await self._readers.run(log_queries.reached)

    async def last_position(self) -> int:
        return self._last_position

    async def keys(self) -> set[FeatureKey]:
        return await self._readers.run(log_queries.features)

    async def ping(self) -> None:
        await self._readers.run(lambda connection: connection.execute("SELECT 1 FROM lines LIMIT 1").fetchone())
        await self._writer.check()

    async def close(self) -> None:
        """Commit what waits, stop what reads, end the threads. Harmless when repeated."""
        self._sweeping.cancel()
        await asyncio.wait([self._sweeping])
        await self._writer.close()
        await self._readers.close()

    def _tell(self, added: Added) -> None:
        """Tell the listeners of a committed append; appends come here in the order of their positions."""
        self._removed["size"] += added.removed
        if added.lines:
            self._last_position = added.lines[-1].position
            for listener in tuple(self._listeners):
                self._call(listener, added.lines)

    def _call(self, listener: LogListener, lines: Sequence[StoredLog]) -> None:
        try:
            listener(lines)
        except Exception as error:  # one listener's fault must not keep the lines from the others
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a listener of the log store failed", "exception": error}
            )

    async def _sweep_for_ever(self) -> None:
        """Sweep at the start and each minute of the clock, step by step; appends get their turn in between."""
        due_ns = now_ns = self._clock()
        while True:
            # A clock that was set back must not put the sweep off.
            if not now_ns < due_ns <= now_ns + SWEEP_EVERY_S * NS:
                more = False
                with suppress(Unavailable, TooMany):  # a full or locked disk, which appends tell of: the next round
                    more = await self._sweep(now_ns)
                if more:
                    continue
                due_ns = now_ns + SWEEP_EVERY_S * NS
            await asyncio.sleep(_LOOK_AT_CLOCK_S)
            now_ns = self._clock()

    async def _sweep(self, now_ns: int) -> bool:
        swept = await self._writer.run(lambda connection: self._ledger.sweep(connection, now_ns), weight=0)
        self._removed["age"] += swept.by_age
        self._removed["size"] += swept.by_size
        return swept.more


def _open(path: Path, retention: Retention, durable: bool, first_position: int) -> tuple[sqlite3.Connection, LogLedger]:
    connection = connect(path)
    try:
        create(connection, path, version=VERSION, schema=SCHEMA)
        with translated(path):
            if not durable:
                connection.execute("PRAGMA synchronous = NORMAL")
            page_size = retention.prepare(connection)
            return connection, LogLedger(connection, Sweeper(retention, page_size), first_position)
    except BaseException:
        connection.close()
        raise
