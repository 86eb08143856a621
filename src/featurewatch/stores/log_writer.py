"""The one thread that writes lines: what waits is committed together, and told only after the commit."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..errors import BadInput, FeaturewatchError, TooMany, Unavailable
from ..model import LogEntry, StoredLog
from .log_retention import Sweeper
from .log_schema import INSERT, Row, to_row
from .sqlite import explain

__all__ = ["Append", "LogWriter"]

_LINE_OVERHEAD: Final = 200
"""Bytes that a line takes besides its message and metadata, in memory and, roughly, on disk."""

_NAMES_KEPT: Final = 10_000
_IDLE_S: Final = 1.0


class Append:
    """Lines that are to be kept together, and what became of them: `stored` are those that were new."""

    __slots__ = ("entries", "error", "size", "stored")

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = entries
        self.size = sum(len(e.message) + len(e.metadata or "") for e in entries) + _LINE_OVERHEAD * len(entries)
        self.stored: Sequence[StoredLog] = ()
        self.error: FeaturewatchError | None = None


class LogWriter:
    """Commits appends in the order in which they were submitted, several in one transaction where several wait.

    Where a transaction fails, each of its appends is tried alone, so that one fails for its own reason only.
    `done` is called on the writer's thread with each finished group, in order.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        sweeper: Sweeper,
        *,
        queue_bytes: int,
        group_bytes: int,
        done: Callable[[Sequence[Append]], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._sweeper = sweeper
        self._queue_bytes = queue_bytes
        self._group_bytes = group_bytes
        self._done = done
        self._names = _Names(connection)
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lines'").fetchone()
        self.last_position: int = found[0] if found else 0
        self._waiting: deque[Append] = deque()
        self._bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="featurewatch-log-writer", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """Bytes of lines that are not yet committed."""
        return self._bytes

    def submit(self, append: Append) -> None:
        """Put lines in the queue.

        Raises:
            TooMany: the queue is over its bytes. What is larger than the whole queue goes in when it is empty.
            Unavailable: the store is closed.
        """
        with self._wake:
            if self._closing:
                raise Unavailable(f"{self._path}: the store is closed")
            if self._bytes and self._bytes + append.size > self._queue_bytes:
                raise TooMany(
                    f"{self._bytes:,} bytes of lines wait for the disk (at most {self._queue_bytes:,}): "
                    f"send them again in a second"
                )
            self._waiting.append(append)
            self._bytes += append.size
            self._wake.notify()

    def close(self) -> None:
        """Commit what waits and end the thread; blocks until then."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        busy = True  # the file may be over its size, or hold lines past their age, from the start
        while True:
            with self._wake:
                if not self._waiting and not self._closing and not busy:
                    self._wake.wait(_IDLE_S)
                group = self._take()
                if not group and self._closing:
                    return
            if group:
                self._commit(group)
                with self._wake:
                    self._bytes -= sum(append.size for append in group)
                self._done(group)
            busy = self._sweep(sum(len(append.entries) for append in group))

    def _take(self) -> list[Append]:
        group: list[Append] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= self._group_bytes):
            append = self._waiting.popleft()
            size += append.size
            group.append(append)
        return group

    def _commit(self, group: Sequence[Append]) -> None:
        try:
            self._transact(group)
        except Exception as error:  # whatever it is, the thread must live on and the appends must hear of it
            self._undo()
            if len(group) > 1:
                for append in group:
                    self._commit([append])
            elif isinstance(error, UnicodeEncodeError):
                group[0].entries = [LogEntry(*map(_mended, entry)) for entry in group[0].entries]
                self._commit(group)
            else:
                group[0].stored = ()
                group[0].error = self._explained(error)

    def _transact(self, group: Sequence[Append]) -> None:
        connection, position = self._connection, self.last_position
        connection.execute("BEGIN IMMEDIATE")
        for append in group:
            rows: list[Row] = []
            for entry in append.entries:
                position += 1
                rows.append(
                    to_row(position, entry, self._names.stream(entry.feature, entry.environment), self._names.source)
                )
            kept = connection.executemany(INSERT, rows).rowcount if rows else 0
            first = position - len(rows) + 1
            numbered = map(StoredLog, range(first, position + 1), append.entries)
            if kept == len(rows):
                append.stored = list(numbered)
            else:
                new = {p for (p,) in connection.execute("SELECT position FROM lines WHERE position >= ?", (first,))}
                append.stored = [line for line in numbered if line.position in new]
        self._names.note_use(position)
        connection.execute("COMMIT")
        self.last_position = position

    def _undo(self) -> None:
        self._names.clear()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _explained(self, error: Exception) -> FeaturewatchError:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | OverflowError | ValueError | KeyError):
            return BadInput(f"a line cannot be kept: {type(error).__name__}: {error}")
        if isinstance(error, sqlite3.Error | OSError):
            return explain(error, self._path)
        return Unavailable(f"{self._path}: {type(error).__name__}: {error}")

    def _sweep(self, arrived: int) -> bool:
        """Do one small step of retention; tell whether there is more. As many lines go as came, and again as many."""
        removed = self._sweeper.removed_by_age + self._sweeper.removed_by_size
        try:
            return self._sweeper.shrink(2 * arrived) or self._sweeper.step(self.last_position)
        except sqlite3.Error:
            return False  # a full or busy disk: the next round tries again, and the appends tell of it
        finally:
            if removed != self._sweeper.removed_by_age + self._sweeper.removed_by_size:
                self._names.clear()


class _Names:
    """The numbers that stand for names on the lines; a name is stored when a line first uses it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._streams: dict[tuple[str, str], int] = {}
        self._sources: dict[str, int] = {}
        self._used_streams: set[int] = set()
        self._used_sources: set[int] = set()

    def stream(self, feature: str, environment: str) -> int:
        number = self._streams.get((feature, environment))
        if number is None:
            number = self._streams[feature, environment] = self._number(
                "INSERT INTO streams VALUES (NULL, ?, ?, 0) "
                "ON CONFLICT (feature, environment) DO UPDATE SET newest = newest RETURNING id",
                (feature, environment),
            )
        self._used_streams.add(number)
        return number

    def source(self, name: str) -> int:
        number = self._sources.get(name)
        if number is None:
            number = self._sources[name] = self._number(
                "INSERT INTO sources VALUES (NULL, ?, ?, 0) "
                "ON CONFLICT (name) DO UPDATE SET newest = newest RETURNING id",
                (name, name.casefold()),
            )
        self._used_sources.add(number)
        return number

    def note_use(self, position: int) -> None:
        """Write down that lines up to a position use the names asked for since the last time."""
        for table, used in (("streams", self._used_streams), ("sources", self._used_sources)):
            self._connection.executemany(
                f"UPDATE {table} SET newest = ? WHERE id = ?", [(position, number) for number in used]
            )
            used.clear()
        if len(self._streams) + len(self._sources) > _NAMES_KEPT:
            self.clear()

    def clear(self) -> None:
        """Forget the numbers: their rows may be gone, by a rollback or a sweep."""
        for kept in (self._streams, self._sources, self._used_streams, self._used_sources):
            kept.clear()

    def _number(self, sql: str, names: tuple[str, ...]) -> int:
        ((number,),) = self._connection.execute(sql, names).fetchall()
        return int(number)


def _mended(value: Any) -> Any:
    """Replace lone surrogates, which no database takes."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
