"""The tables of the embedded log store, and how a line becomes a row and back."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, TypeAlias

from ..model import LEVELS, LogEntry, StoredLog

__all__ = ["COLUMNS", "INSERT", "LEVEL_NUMBERS", "SCHEMA", "VERSION", "Row", "fold", "stored", "to_row"]

Row: TypeAlias = tuple[Any, ...]

VERSION: Final = 1

# Names that repeat on every line (feature, environment, source, level) are numbers there. `newest` is the position of
# the last line that used a name: below the oldest line's position the name is no longer needed.
# `folded_*` holds the casefolded text where LIKE, which ignores case in ASCII alone, cannot serve; else NULL.
# `arrivals` notes now and then which position was reached when.
SCHEMA: Final = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, feature TEXT NOT NULL, environment TEXT NOT NULL, newest INTEGER NOT NULL,
    UNIQUE (feature, environment)
);
CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, folded TEXT NOT NULL, newest INTEGER NOT NULL);
CREATE TABLE lines (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL, level INTEGER NOT NULL, ts INTEGER NOT NULL, source INTEGER NOT NULL,
    id TEXT NOT NULL, message TEXT NOT NULL, metadata TEXT, folded_message TEXT, folded_metadata TEXT,
    trace_id TEXT, user_id TEXT
);
CREATE INDEX lines_by_time ON lines (stream, ts);
CREATE INDEX lines_by_level ON lines (stream, level, ts);
CREATE UNIQUE INDEX lines_by_id ON lines (id, stream);
CREATE TABLE arrivals (at INTEGER PRIMARY KEY, position INTEGER NOT NULL)
"""

INSERT: Final = f"INSERT INTO lines VALUES ({', '.join('?' * 12)}) ON CONFLICT (id, stream) DO NOTHING"

COLUMNS: Final = (
    "position, ts, id, level, message, (SELECT name FROM sources WHERE sources.id = lines.source) AS source_name, "
    "metadata, trace_id, user_id"
)
"""What `stored` reads, in its order, from `lines`; feature and environment come after them or are known."""

LEVEL_NUMBERS: Final = {level: number for number, level in enumerate(LEVELS)}


def fold(text: str) -> str | None:
    """Casefold a text that LIKE cannot search: one beyond ASCII, or with a NUL, where LIKE would stop."""
    return None if text.isascii() and "\0" not in text else text.casefold()


def to_row(position: int, entry: LogEntry, stream: int, source: int) -> Row:
    message, metadata = entry.message, entry.metadata
    return (
        position,
        stream,
        LEVEL_NUMBERS[entry.level],
        entry.timestamp_ns,
        source,
        entry.id,
        message,
        metadata,
        fold(message),
        None if metadata is None else fold(metadata),
        entry.trace_id,
        entry.user_id,
    )


def stored(row: Row | sqlite3.Row, feature: str, environment: str) -> StoredLog:
    """Make a line of a row of COLUMNS."""
    position, ts, id_, level, message, source, metadata, trace_id, user_id = row
    return StoredLog(
        position,
        LogEntry(id_, feature, environment, ts, LEVELS[level], message, source, metadata, trace_id, user_id),
    )
