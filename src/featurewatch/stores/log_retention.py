"""What the embedded log store forgets: lines past their age, then the oldest ones above the size.

Run on the writer's thread in small steps between its transactions, so that nothing waits long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..model import LEVELS
from ..times import NS

__all__ = ["Retention", "Sweeper"]

SWEEP_EVERY_S: Final = 60
_STEP: Final = 1000
_VACUUM_PAGES: Final = 256
_SPARE_BYTES: Final = 4 * 1024**2
"""Free space in the file that is worth more to the next lines than to the disk."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long lines are kept, by their timestamp or their arrival, whichever ends first; and how large the file is."""

    seconds: float
    max_bytes: int

    @property
    def wal_bytes(self) -> int:
        """The part of the size that the write-ahead log gets."""
        return min(16 * 1024**2, self.max_bytes // 8)

    @property
    def database_bytes(self) -> int:
        """The part that the database gets; the rest is room for one group of lines above the limit."""
        return (self.max_bytes - self.wal_bytes) * 9 // 10

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Set the writing connection up for the sizes."""
        pages = max(self.wal_bytes // 2 // _pragma(connection, "page_size"), 16)
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        connection.execute(f"PRAGMA journal_size_limit = {self.wal_bytes}")
        connection.execute("PRAGMA cache_size = -32768")


class Sweeper:
    """Deletes lines, oldest first. `removed_by_age` and `removed_by_size` count them."""

    def __init__(self, connection: sqlite3.Connection, retention: Retention, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._retention = retention
        self._clock = clock
        self._due_ns = clock()
        self.removed_by_age = 0
        self.removed_by_size = 0
        page_size = _pragma(connection, "page_size")
        self._limit_pages = retention.database_bytes // page_size
        self._spare_pages = _SPARE_BYTES // page_size

    def shrink(self, at_least: int) -> bool:
        """Delete the oldest lines where the file is over its size, one step; tell whether there is more to do."""
        if self._pages() <= self._limit_pages:
            return False
        self.removed_by_size += self._delete(
            "SELECT position FROM lines ORDER BY position LIMIT ?", max(_STEP, at_least)
        )
        return self._pages() > self._limit_pages

    def step(self, last_position: int) -> bool:
        """Do one step of the sweep by age where one is due, note the arrival; tell whether there is more to do."""
        now = self._clock()
        if now < self._due_ns <= now + SWEEP_EVERY_S * NS:  # a clock set back must not put it off
            return False
        horizon = max(now - int(self._retention.seconds * NS), -(2**63))
        removed = self._expire(horizon)
        self.removed_by_age += removed
        if removed >= _STEP or self._vacuum():
            return True
        self._connection.execute("INSERT OR REPLACE INTO arrivals VALUES (?, ?)", (now, last_position))
        self._connection.execute("DELETE FROM arrivals WHERE at < ?", (horizon,))
        self._due_ns = now + SWEEP_EVERY_S * NS
        return False

    def _expire(self, horizon_ns: int) -> int:
        arrived = self._connection.execute(
            "SELECT position FROM arrivals WHERE at < ? ORDER BY at DESC LIMIT 1", (horizon_ns,)
        ).fetchone()
        removed = 0
        if arrived is not None:
            removed = self._delete("SELECT position FROM lines WHERE position <= ? LIMIT ?", *arrived, _STEP)
        levels = ", ".join(f"({number})" for number in range(len(LEVELS)))
        return removed + self._delete(
            f"WITH levels (number) AS (VALUES {levels}) "
            "SELECT position FROM streams CROSS JOIN levels CROSS JOIN lines INDEXED BY lines_by_level "
            "ON stream = streams.id AND level = levels.number AND ts < ? LIMIT ?",
            horizon_ns,
            max(_STEP - removed, 1),
        )

    def _delete(self, which: str, *parameters: int) -> int:
        """Delete the lines that a SELECT names, and the names that none of the rest uses."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            removed = connection.execute(f"DELETE FROM lines WHERE position IN ({which})", parameters).rowcount
            if removed:
                (oldest,) = connection.execute("SELECT coalesce(min(position), 1 << 62) FROM lines").fetchone()
                for table in ("streams", "sources"):
                    connection.execute(f"DELETE FROM {table} WHERE newest < ?", (oldest,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return removed

    def _vacuum(self) -> bool:
        """Give a little of the file's free space back to the disk where there is much; tell whether there was."""
        free, pages = _pragma(self._connection, "freelist_count"), _pragma(self._connection, "page_count")
        if not free or (pages <= self._limit_pages and free <= max(self._spare_pages, pages // 4)):
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        return _pragma(self._connection, "freelist_count") < free

    def _pages(self) -> int:
        return _pragma(self._connection, "page_count") - _pragma(self._connection, "freelist_count")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
