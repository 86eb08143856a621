"""What the embedded log store forgets: lines past their age, and the oldest ones above the size.

In steps of a thousand lines, each in a transaction of its own, so that writers need not wait long.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..model import LEVELS
from ..times import NS

__all__ = ["SWEEP_EVERY_S", "Retention", "Sweeper", "Swept"]

SWEEP_EVERY_S: Final = 60
_STEP: Final = 1000
_VACUUM_PAGES: Final = 256
_SPARE_BYTES: Final = 4 * 1024**2
"""Free space in the file that is worth more to the next lines than to the disk."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long lines are kept, by their timestamp or their arrival, whichever ends first; and how large the file is.

    `by_arrival`: their arrival alone counts.
    """

    seconds: float
    max_bytes: int
    by_arrival: bool = False

    @property
    def wal_bytes(self) -> int:
        """The part of the size that the write-ahead log gets."""
        return min(16 * 1024**2, self.max_bytes // 4)

    @property
    def database_bytes(self) -> int:
        """The part that the database gets; the rest is room for one group of lines above the limit."""
        return (self.max_bytes - self.wal_bytes) * 9 // 10

    def prepare(self, connection: sqlite3.Connection) -> int:
        """Set the writing connection up for the sizes; its page size is returned."""
        page_size = _pragma(connection, "page_size")
        connection.execute(f"PRAGMA wal_autocheckpoint = {max(self.wal_bytes // 4 // page_size, 16)}")
        connection.execute(f"PRAGMA journal_size_limit = {self.wal_bytes}")
        connection.execute("PRAGMA cache_size = -32768")
        # Some builds overwrite what is deleted by default, which writes each freed page once more.
        connection.execute("PRAGMA secure_delete = FAST")
        return page_size


class Swept(NamedTuple):
    """What one step of a sweep removed, and whether there is more to do."""

    by_age: int
    by_size: int
    more: bool


class Sweeper:
    """Deletes lines, oldest first, each time within the caller's transaction."""

    def __init__(self, retention: Retention, page_size: int) -> None:
        self._seconds = retention.seconds
        self._by_arrival = retention.by_arrival
        self._page_size = page_size
        self._limit_pages = retention.database_bytes // page_size
        self._spare_pages = _SPARE_BYTES // page_size

    def shrink(self, connection: sqlite3.Connection, at_least: int, room_bytes: int = 0) -> int:
        """Delete the oldest lines by arrival, one step, where the file has no such room; how many is returned."""
        used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
        if used + room_bytes // self._page_size <= self._limit_pages:
            return 0
        return _delete(connection, "SELECT position FROM lines ORDER BY position LIMIT ?", max(_STEP, at_least))

    def sweep(self, connection: sqlite3.Connection, now_ns: int, last_position: int) -> Swept:
        """Do one step: size, age, space given back; after the last one note the arrival."""
        by_size = self.shrink(connection, _STEP)
        horizon = max(now_ns - int(self._seconds * NS), -(2**63))
        by_age = _expire(connection, horizon, self._by_arrival)
        more = by_size > 0 or by_age >= _STEP or self._vacuum(connection)
        if not more:
            connection.execute("INSERT OR REPLACE INTO arrivals VALUES (?, ?)", (now_ns, last_position))
            connection.execute("DELETE FROM arrivals WHERE at < ?", (horizon,))
        return Swept(by_age, by_size, more)

    def _vacuum(self, connection: sqlite3.Connection) -> bool:
        """Give a little of the file's free space back to the disk where there is much; tell whether there was."""
        free, pages = _pragma(connection, "freelist_count"), _pragma(connection, "page_count")
        if not free or (pages <= self._limit_pages and free <= max(self._spare_pages, pages // 4)):
            return False
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        return _pragma(connection, "freelist_count") < free


def _expire(connection: sqlite3.Connection, horizon_ns: int, by_arrival: bool) -> int:
    """Delete lines that arrived before the horizon, whatever their timestamp, and those with a timestamp before it.

    `by_arrival`: not the latter.
    """
    arrived = connection.execute(
        "SELECT position FROM arrivals WHERE at < ? ORDER BY at DESC LIMIT 1", (horizon_ns,)
    ).fetchone()
    removed = 0
    if arrived is not None:
        removed = _delete(connection, "SELECT position FROM lines WHERE position <= ? LIMIT ?", *arrived, _STEP)
    if by_arrival:
        return removed
    levels = ", ".join(f"({number})" for number in range(len(LEVELS)))
    return removed + _delete(
        connection,
        f"WITH levels (number) AS (VALUES {levels}) "
        "SELECT position FROM streams CROSS JOIN levels CROSS JOIN lines INDEXED BY lines_by_level "
        "ON stream = streams.id AND level = levels.number AND ts < ? LIMIT ?",
        horizon_ns,
        max(_STEP - removed, 1),
    )


def _delete(connection: sqlite3.Connection, which: str, *parameters: int) -> int:
    """Delete the lines that a SELECT names, and the names that none of the rest uses."""
    removed = connection.execute(f"DELETE FROM lines WHERE position IN ({which})", parameters).rowcount
    if removed:
        (oldest,) = connection.execute("SELECT coalesce(min(position), 1 << 62) FROM lines").fetchone()
        for table in ("streams", "sources"):
            connection.execute(f"DELETE FROM {table} WHERE newest < ?", (oldest,))
    return removed


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
