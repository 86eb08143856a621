"""How lines enter the embedded log store: numbered, once by their id, with the names they share as numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..errors import BadInput
from ..model import LogEntry, StoredLog
from .log_retention import Sweeper, Swept
from .log_schema import INSERT, to_row

__all__ = ["Added", "LogLedger", "weigh"]

_LINE_OVERHEAD: Final = 200
"""Bytes that a line takes besides its message and metadata, in memory and, roughly, on disk."""

_NAMES_KEPT: Final = 10_000


def weigh(entries: Sequence[LogEntry]) -> int:
    """Estimate the bytes that lines take."""
    texts = sum(len(entry.message) + len(entry.metadata or "") for entry in entries)
    return texts + _LINE_OVERHEAD * len(entries)


class Added(NamedTuple):
    """Which lines of an append were new, and how many old ones had to make room."""

    lines: list[StoredLog]
    removed: int


class LogLedger:
    """Adds and removes lines, always within the caller's transaction and on the one thread that writes.

    `forget_names` is to be called after a rollback: what the ledger remembers of the tables may not be so.
    """

    def __init__(self, connection: sqlite3.Connection, sweeper: Sweeper, first_position: int = 1) -> None:
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lines'").fetchone()
        self.last_position: int = found[0] if found else first_position - 1
        (oldest,) = connection.execute("SELECT min(position) FROM lines").fetchone()
        self.removed_position = self.last_position if oldest is None else int(oldest) - 1
        self._sweeper = sweeper
        self._streams: dict[tuple[str, str], int] = {}
        self._sources: dict[str, int] = {}

    def add(self, connection: sqlite3.Connection, entries: Sequence[LogEntry]) -> Added:
        """Insert the lines whose ids their streams do not hold; where the file has no room for them, old ones go.

        Raises:
            BadInput: a line is nothing that the database takes.
        """
        # Twice as many go as come, so that the file shrinks even where each append finds it too large.
        removed = self._sweeper.shrink(connection, 2 * len(entries), weigh(entries))
        if removed:
            self._removed(connection)
        try:
            try:
                lines = self._insert(connection, entries)
            except UnicodeEncodeError:
                lines = self._insert(connection, [LogEntry(*map(_mended, entry)) for entry in entries])
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError, OverflowError, KeyError) as error:
            raise BadInput(f"a line cannot be kept: {type(error).__name__}: {error}") from error
        return Added(lines, removed)

    def sweep(self, connection: sqlite3.Connection, now_ns: int) -> Swept:
        """Do one step of retention."""
        swept = self._sweeper.sweep(connection, now_ns, self.last_position)
        if swept.by_age or swept.by_size:
            self._removed(connection)
        return swept

    def forget_names(self) -> None:
        """Forget the numbers of names: their rows may be gone."""
        self._streams.clear()
        self._sources.clear()

    def _removed(self, connection: sqlite3.Connection) -> None:
        (oldest,) = connection.execute("SELECT min(position) FROM lines").fetchone()
        self.removed_position = self.last_position if oldest is None else int(oldest) - 1
        self.forget_names()

    def _insert(self, connection: sqlite3.Connection, entries: Sequence[LogEntry]) -> list[StoredLog]:
        first = self.last_position + 1
        last = self.last_position = self.last_position + len(entries)  # never given out again, come what may
        streams = {key: self._stream(connection, *key) for key in {(entry[1], entry[2]) for entry in entries}}
        sources = {name: self._source(connection, name) for name in {entry.source for entry in entries}}
        rows = [
            to_row(position, entry, streams[entry[1], entry[2]], sources[entry.source])
            for position, entry in enumerate(entries, first)
        ]
        try:
            kept = connection.executemany(INSERT, rows).rowcount
        except UnicodeEncodeError:
            connection.execute("DELETE FROM lines WHERE position >= ?", (first,))
            raise
        for table, numbers in (("streams", streams.values()), ("sources", sources.values())):
            connection.executemany(
                f"UPDATE {table} SET newest = ? WHERE id = ?", [(last, number) for number in numbers]
            )
        numbered = map(StoredLog, range(first, last + 1), entries)
        if kept == len(rows):
            return list(numbered)
        new = {
            position for (position,) in connection.execute("SELECT position FROM lines WHERE position >= ?", (first,))
        }
        return [line for line in numbered if line.position in new]

    def _stream(self, connection: sqlite3.Connection, feature: str, environment: str) -> int:
        number = self._streams.get((feature, environment))
        if number is None:
            number = self._streams[feature, environment] = _number(
                connection,
                "INSERT INTO streams VALUES (NULL, ?, ?, 0) "
                "ON CONFLICT (feature, environment) DO UPDATE SET newest = newest RETURNING id",
                feature,
                environment,
            )
        return number

    def _source(self, connection: sqlite3.Connection, name: str) -> int:
        number = self._sources.get(name)
        if number is None:
            if len(self._sources) >= _NAMES_KEPT:
                self._sources.clear()
            number = self._sources[name] = _number(
                connection,
                "INSERT INTO sources VALUES (NULL, ?, ?, 0) "
                "ON CONFLICT (name) DO UPDATE SET newest = newest RETURNING id",
                name,
                name.casefold(),
            )
        return number


def _number(connection: sqlite3.Connection, sql: str, *names: str) -> int:
    ((number,),) = connection.execute(sql, names).fetchall()
    return int(number)


def _mended(value: Any) -> Any:
    """Replace lone surrogates, which no database takes."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
