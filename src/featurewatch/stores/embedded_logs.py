"""Logs in one SQLite file: what serves where no Loki is set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ..model import FeatureKey, LogEntry, StoredLog
from . import log_queries
from .base import LogListener, LogPage, LogQuery
from .log_cursor import Cursor
from .log_retention import Retention, Sweeper
from .log_schema import SCHEMA, VERSION
from .log_writer import Append, LogWriter
from .sqlite import Readers, connect, create, translated

__all__ = ["EmbeddedLogs"]

_EXPORT_CHUNK: Final = 2000
_GROUP_BYTES: Final = 4 * 1024**2


class EmbeddedLogs:
    """A LogStore (see `stores.base`) in a SQLite file. Made by `open`; belongs to the event loop that opened it.

    One thread writes, four read. Lines that wait for the disk are bounded by `queue_bytes`: above it `append` raises
    TooMany. A line is kept `retention_s` seconds, by its timestamp or its arrival, whichever ends first; above
    `max_bytes` the oldest by arrival go.
    """

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._loop = loop
        self._listeners: list[LogListener] = []
        self._promises: dict[Append, asyncio.Future[int]] = {}
        self._writer: LogWriter
        self._sweeper: Sweeper
        self._readers: Readers
        self._last_position = 0

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        retention_s: float,
        max_bytes: int,
        queue_bytes: int,
        clock: Callable[[], int] = time.time_ns,
    ) -> EmbeddedLogs:
        """Open the file, made where there is none.

        Raises:
            Unavailable: it cannot be opened, is corrupt or of another version; StoreLocked: another process holds it.
        """
        store = cls(path, asyncio.get_running_loop())
        await asyncio.to_thread(store._open, Retention(retention_s, max_bytes), queue_bytes, clock)
        return store

    def _open(self, retention: Retention, queue_bytes: int, clock: Callable[[], int]) -> None:
        connection = connect(self._path)
        try:
            create(connection, self._path, version=VERSION, schema=SCHEMA)
            with translated(self._path):
                retention.prepare(connection)
                self._sweeper = Sweeper(connection, retention, clock)
                self._writer = LogWriter(
                    connection,
                    self._path,
                    self._sweeper,
                    queue_bytes=queue_bytes,
                    group_bytes=min(_GROUP_BYTES, retention.max_bytes // 32),
                    done=self._written,
                )
        except BaseException:
            connection.close()
            raise
        self._last_position = self._writer.last_position
        self._readers = Readers(self._path, name="featurewatch-log-reader")

    @property
    def queued_bytes(self) -> int:
        """Bytes of lines that wait for the disk."""
        return self._writer.queued_bytes

    @property
    def removed(self) -> Mapping[str, int]:
        """How many lines retention removed since the start, by its reason."""
        return {"age": self._sweeper.removed_by_age, "size": self._sweeper.removed_by_size}

    async def append(self, entries: Sequence[LogEntry]) -> int:
        """Keep the lines; see LogStore. A cancelled append may have been kept all the same."""
        if not entries:
            return 0
        append = Append(entries)
        self._writer.submit(append)
        promise: asyncio.Future[int] = self._loop.create_future()
        self._promises[append] = promise
        return await promise

    def listen(self, listener: LogListener) -> Callable[[], None]:
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    async def query(self, query: LogQuery) -> LogPage:
        return await self._readers.run(lambda connection: log_queries.page(connection, query))

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

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        return await self._readers.run(lambda connection: log_queries.since(connection, position, keys, limit))

    async def last_position(self) -> int:
        return self._last_position

    async def keys(self) -> set[FeatureKey]:
        return await self._readers.run(log_queries.features)

    async def ping(self) -> None:
        await self._readers.run(lambda connection: connection.execute("SELECT 1 FROM lines LIMIT 1").fetchone())

    async def close(self) -> None:
        """Commit what waits, stop what reads, end the threads. Harmless when repeated."""
        await asyncio.to_thread(self._writer.close)
        await self._readers.close()
        await asyncio.sleep(0)  # what was committed last is told before this returns

    def _written(self, group: Sequence[Append]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, group)

    def _tell(self, group: Sequence[Append]) -> None:
        for append in group:
            if append.stored:
                self._last_position = append.stored[-1].position
                for listener in tuple(self._listeners):
                    self._call(listener, append.stored)
            promise = self._promises.pop(append)
            if promise.done():
                continue
            if append.error is None:
                promise.set_result(len(append.stored))
            else:
                promise.set_exception(append.error)

    def _call(self, listener: LogListener, lines: Sequence[StoredLog]) -> None:
        try:
            listener(lines)
        except Exception as error:  # one listener's fault must not keep the lines from the others
            self._loop.call_exception_handler({"message": "a listener of the log store failed", "exception": error})
