"""The embedded log store's questions as SQL, each a function of a read-only connection.

Lines of a stream are ordered by (ts, position). A page is read span by span: after a cursor first what remains at the
cursor's own timestamp, then what lies beyond it, so that however many lines share a timestamp, a page costs the same.
Within a span an index yields the lines in order; for a set of levels one ordered, limited range for each is merged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import OutOfRange
from ..model import LEVELS, FeatureKey, StoredLog
from .base import LogFilter, LogPage, LogQuery
from .log_cursor import Cursor
from .log_schema import COLUMNS, LEVEL_NUMBERS, stored

__all__ = ["around", "features", "forward_chunk", "page", "since"]

_EARLIEST: Final = -(2**63)
_LATEST: Final = 2**63 - 1
_SEARCH_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class _Condition:
    """SQL that a line must meet besides its place, with its parameters."""

    sql: str = ""
    parameters: tuple[Any, ...] = ()

    def __and__(self, other: _Condition) -> _Condition:
        return _Condition(f"{self.sql} {other.sql}", self.parameters + other.parameters)


def page(connection: sqlite3.Connection, query: LogQuery) -> LogPage:
    """Read one page as LogQuery defines it.

    Raises:
        BadInput: the cursor is none; OutOfRange: the limit is below 1 or the search text too long.
    """
    if query.limit < 1:
        raise OutOfRange(f"limit: expected at least 1, got {query.limit}")
    backward = query.direction != "forward"
    found = _lines(connection, query, query.limit + 1, backward=backward, beyond=_NOWHERE)
    entries = found[: query.limit]
    more = len(found) > query.limit
    cursor = Cursor(entries[-1].entry.timestamp_ns, entries[-1].position).encode() if more else None
    return LogPage(tuple(reversed(entries) if query.direction is None else entries), cursor)


def forward_chunk(
    connection: sqlite3.Connection, query: LogQuery, after: Cursor | None, last_position: int, size: int
) -> Sequence[StoredLog]:
    """Read the next lines of an export, oldest first, that had arrived by `last_position`."""
    arrived = _Condition("AND position <= ?", (last_position,))
    return _lines(connection, query, size, backward=False, beyond=arrived, cursor=after)


def around(
    connection: sqlite3.Connection, entry_id: str, keys: Collection[FeatureKey] | None, count: int
) -> LogPage | None:
    """Find a line by id and its neighbours; of lines in several streams with that id, the one that came last."""
    candidates = connection.execute(
        "SELECT position, ts, feature, environment FROM lines JOIN streams ON streams.id = stream "
        "WHERE lines.id = ? ORDER BY position DESC",
        (entry_id,),
    ).fetchall()
    for position, ts, feature, environment in candidates:
        key = FeatureKey(feature, environment)
        if keys is not None and key not in keys:
            continue
        query, here = LogQuery(key), Cursor(ts, position)
        before = _lines(connection, query, count, backward=True, beyond=_NOWHERE, cursor=here) if count > 0 else []
        # The line itself is the first one after the place just before it.
        after = _lines(
            connection, query, max(count, 0) + 1, backward=False, beyond=_NOWHERE, cursor=Cursor(ts, position - 1)
        )
        return LogPage((*reversed(before), *after))
    return None


def since(
    connection: sqlite3.Connection, position: int, keys: Collection[FeatureKey] | None, limit: int
) -> Sequence[StoredLog]:
    """Read what arrived after a position, in order of arrival."""
    names = dict(_streams(connection))
    wanted = names if keys is None else {stream: key for stream, key in names.items() if key in keys}
    if not wanted:
        return []
    # Numbers, not parameters: there may be more streams than SQLite takes parameters.
    among = "" if keys is None else f"AND stream IN ({', '.join(map(str, wanted))})"
    rows = connection.execute(
        f"SELECT {COLUMNS}, stream FROM lines WHERE position > ? {among} ORDER BY position LIMIT ?",
        (_within(position), _within(limit)),
    )
    return [stored(row[:-1], *names[row[-1]]) for row in rows]


def features(connection: sqlite3.Connection) -> set[FeatureKey]:
    """Read which features and environments have lines."""
    return {
        key
        for stream, key in _streams(connection)
        if connection.execute("SELECT 1 FROM lines WHERE stream = ? LIMIT 1", (stream,)).fetchone()
    }


_NOWHERE: Final = _Condition()


def _streams(connection: sqlite3.Connection) -> Iterator[tuple[int, FeatureKey]]:
    for stream, feature, environment in connection.execute("SELECT id, feature, environment FROM streams").fetchall():
        yield stream, FeatureKey(feature, environment)


def _lines(
    connection: sqlite3.Connection,
    query: LogQuery,
    limit: int,
    *,
    backward: bool,
    beyond: _Condition,
    cursor: Cursor | None = None,
) -> list[StoredLog]:
    """Read at most `limit` lines from the cursor on (an explicit one, else the query's), in the order asked for."""
    if cursor is None and query.cursor:
        cursor = Cursor.decode(query.cursor)
    found = connection.execute("SELECT id FROM streams WHERE feature = ? AND environment = ?", query.key).fetchone()
    condition = None if found is None else _filter(connection, query.filter)
    if condition is None:
        return []
    low = _EARLIEST if query.start_ns is None else _within(query.start_ns)
    high = _LATEST if query.end_ns is None else _within(query.end_ns - 1)
    lines: list[StoredLog] = []
    for span in _spans(low, high, cursor, backward=backward):
        sql, parameters = _select(
            found[0], query.filter, span & beyond & condition, backward=backward, limit=limit - len(lines)
        )
        lines += (stored(row, *query.key) for row in connection.execute(sql, parameters))
        if len(lines) >= limit:
            break
    return lines


def _spans(low: int, high: int, cursor: Cursor | None, *, backward: bool) -> Iterator[_Condition]:
    """Split the timestamps from low to high, both included, at the cursor."""
    if cursor is not None and low <= cursor.timestamp_ns <= high:
        yield _Condition(f"AND ts = ? AND position {'<' if backward else '>'} ?", cursor)
    if cursor is not None and backward:
        high = min(high, cursor.timestamp_ns - 1)
    elif cursor is not None:
        low = max(low, cursor.timestamp_ns + 1)
    if low <= high:
        yield _Condition("AND ts >= ? AND ts <= ?", (_within(low), _within(high)))


def _select(
    stream: int, filter: LogFilter, condition: _Condition, *, backward: bool, limit: int
) -> tuple[str, tuple[Any, ...]]:
    order = "ts DESC, position DESC" if backward else "ts, position"
    if len(filter.levels) in (0, len(LEVELS)):
        return (
            f"SELECT {COLUMNS} FROM lines INDEXED BY lines_by_time WHERE stream = ? {condition.sql} "
            f"ORDER BY {order} LIMIT ?",
            (stream, *condition.parameters, limit),
        )
    branches: list[str] = []
    parameters: list[Any] = []
    for level in filter.levels:
        branches.append(
            f"SELECT * FROM (SELECT {COLUMNS} FROM lines INDEXED BY lines_by_level WHERE stream = ? AND level = ? "
            f"{condition.sql} ORDER BY {order} LIMIT ?)"
        )
        parameters += (stream, LEVEL_NUMBERS[level], *condition.parameters, limit)
    return f"{' UNION ALL '.join(branches)} ORDER BY {order} LIMIT ?", (*parameters, limit)


def _filter(connection: sqlite3.Connection, filter: LogFilter) -> _Condition | None:
    """Make the condition of source and search text; None where no line can meet it."""
    condition = _Condition()
    if not _storable(filter.source) or not _storable(filter.search):
        return None
    if filter.source:
        found = connection.execute("SELECT id FROM sources WHERE name = ?", (filter.source,)).fetchone()
        if found is None:
            return None
        condition &= _Condition("AND source = ?", found)
    if filter.search:
        condition &= _search(connection, filter.search)
    return condition


def _search(connection: sqlite3.Connection, search: str) -> _Condition:
    """Make the condition that one of message, metadata, source holds the text, in whatever case.

    LIKE serves where both text and line are ASCII: there it ignores case and is fast. The columns of folded text serve
    the rest by instr, which takes every character as it is. A match of LIKE is right beyond ASCII too, so that it
    need not be told which lines it may look at. Most lines have neither metadata nor folded text: asking for NULL first
    saves three calls of a function for each of millions of lines, and 40 % of the time.
    """
    if len(search) > _SEARCH_LIMIT:
        raise OutOfRange(f"search: expected at most {_SEARCH_LIMIT} characters, got {len(search)}")
    folded = search.casefold()
    parts = [f"{column} IS NOT NULL AND instr({column}, ?)" for column in ("folded_message", "folded_metadata")]
    parameters = [folded, folded]
    if folded.isascii() and "\0" not in folded:
        pattern = "%{}%".format(folded.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_"))
        parts = [r"message LIKE ? ESCAPE '\'", r"metadata IS NOT NULL AND metadata LIKE ? ESCAPE '\'", *parts]
        parameters = [pattern, pattern, *parameters]
    if connection.execute("SELECT 1 FROM sources WHERE instr(folded, ?) LIMIT 1", (folded,)).fetchone():
        parts.append("source IN (SELECT id FROM sources WHERE instr(folded, ?))")
        parameters.append(folded)
    return _Condition(f"AND ({' OR '.join(parts)})", tuple(parameters))


def _within(number: int) -> int:
    """Bring a number into the range of SQLite's integers."""
    return min(max(number, _EARLIEST), _LATEST)


def _storable(text: str) -> bool:
    """Tell whether a line can hold the text: lone surrogates are replaced before it is kept."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
