"""The embedded log store's questions as SQL, each a function of a read-only connection.

Lines of a stream are ordered by (ts, position). A page is read span by span: after a cursor first what remains at the
cursor's own timestamp, then what lies beyond it, so that however many lines share a timestamp, a page costs the same.
Within a span an index yields the lines in order; for a set of levels one ordered, limited range for each is merged.

A search has to look into the lines themselves, which lie in order of arrival. Read forward, they come from the disk in
long runs; read backward, one by one. So a search for the newest walks back in windows, and forward within each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import OutOfRange
from ..model import LEVELS, FeatureKey, StoredLog
from .base import LogFilter, LogPage, LogQuery
from .log_conditions import Condition, filter_condition
from .log_cursor import Cursor
from .log_schema import COLUMNS, LEVEL_NUMBERS, stored

__all__ = ["around", "counts", "features", "forward_chunk", "page", "positions", "reached", "since", "tally"]

_EARLIEST: Final = -(2**63)
_LATEST: Final = 2**63 - 1
_FIRST_WINDOW: Final = 2_000
_LARGEST_WINDOW: Final = 500_000
_FEW: Final = 50_000
"""So many lines are fetched one by one, in random order, within a tenth of a second."""


def page(connection: sqlite3.Connection, query: LogQuery) -> LogPage:
    """Read one page as LogQuery defines it.

    Raises:
        BadInput: the cursor is none; OutOfRange: the limit is below 1.
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
    arrived = Condition("AND position <= ?", (last_position,))
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


def counts(
    connection: sqlite3.Connection, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
) -> list[int]:
    """Count the lines that match in each step of (start, end]."""
    step_ns = step_s * 1_000_000_000
    counted = [0] * max(0, -(-(end_ns - start_ns) // step_ns))
    found = connection.execute("SELECT id FROM streams WHERE feature = ? AND environment = ?", key).fetchone()
    condition = None if found is None else filter_condition(connection, filter)
    if condition is None or not counted:
        return counted
    levels = sorted(LEVEL_NUMBERS[level] for level in filter.levels) if len(filter.levels) < len(LEVELS) else []
    among = f"AND level IN ({', '.join(map(str, levels))})" if levels else ""
    rows = connection.execute(
        f"SELECT (ts - ? - 1) / ? AS step, count(*) FROM lines WHERE stream = ? {among} AND ts > ? AND ts <= ? "
        f"{condition.sql} GROUP BY step",
        (start_ns, step_ns, found[0], _within(start_ns), _within(end_ns), *condition.parameters),
    )
    for step, count in rows:
        counted[step] = count
    return counted


def features(connection: sqlite3.Connection) -> set[FeatureKey]:
    """Read which features and environments have lines."""
    return {
        key
        for stream, key in _streams(connection)
        if connection.execute("SELECT 1 FROM lines WHERE stream = ? LIMIT 1", (stream,)).fetchone()
    }


def positions(connection: sqlite3.Connection, key: FeatureKey, ids: Collection[str]) -> dict[str, int]:
    """Read where the lines of a feature with these ids stand."""
    found = connection.execute("SELECT id FROM streams WHERE feature = ? AND environment = ?", key).fetchone()
    if found is None:
        return {}
    sql = "SELECT position FROM lines WHERE id = ? AND stream = ?"
    rows = {id_: connection.execute(sql, (id_, found[0])).fetchone() for id_ in ids}
    return {id_: row[0] for id_, row in rows.items() if row is not None}


def tally(connection: sqlite3.Connection, width_ns: int, start_ns: int) -> dict[tuple[FeatureKey, int], int]:
    """Count lines by feature and bucket of time; bucket n holds what is above (n - 1) * width, up to n * width."""
    counts: dict[tuple[FeatureKey, int], int] = {}
    for stream, key in _streams(connection):
        rows = connection.execute(
            "SELECT (ts + ?1 - 1) / ?1 AS bucket, count(*) FROM lines INDEXED BY lines_by_time "
            "WHERE stream = ?2 AND ts >= ?3 GROUP BY bucket",
            (width_ns, stream, _within(start_ns)),
        )
        counts |= {(key, bucket): count for bucket, count in rows}
    return counts


def reached(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Read when which position was reached, oldest first."""
    return [(at, position) for at, position in connection.execute("SELECT at, position FROM arrivals ORDER BY at")]


_NOWHERE: Final = Condition()


def _streams(connection: sqlite3.Connection) -> Iterator[tuple[int, FeatureKey]]:
    for stream, feature, environment in connection.execute("SELECT id, feature, environment FROM streams").fetchall():
        yield stream, FeatureKey(feature, environment)


def _lines(
    connection: sqlite3.Connection,
    query: LogQuery,
    limit: int,
    *,
    backward: bool,
    beyond: Condition,
    cursor: Cursor | None = None,
) -> list[StoredLog]:
    """Read at most `limit` lines from the cursor on (an explicit one, else the query's), in the order asked for."""
    if cursor is None and query.cursor:
        cursor = Cursor.decode(query.cursor)
    found = connection.execute("SELECT id FROM streams WHERE feature = ? AND environment = ?", query.key).fetchone()
    condition = None if found is None else filter_condition(connection, query.filter)
    if condition is None:
        return []
    low = _EARLIEST if query.start_ns is None else _within(query.start_ns)
    high = _LATEST if query.end_ns is None else _within(query.end_ns - 1)
    plan = _plan(connection, found[0], query.filter, low, high, backward=backward)
    lines: list[StoredLog] = []
    for span in _spans(connection, plan, low, high, cursor):
        sql, parameters = _select(plan, span & beyond & condition, limit - len(lines))
        lines += (stored(row, *query.key) for row in connection.execute(sql, parameters))
        if len(lines) >= limit:
            break
    return lines


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a stream's lines are walked: by time, or by time within each of `levels` (as numbers)."""

    stream: int
    levels: tuple[int, ...]
    by_level: bool
    backward: bool
    windows: bool


def _plan(
    connection: sqlite3.Connection, stream: int, filter: LogFilter, low: int, high: int, *, backward: bool
) -> _Plan:
    levels = tuple(LEVEL_NUMBERS[level] for level in filter.levels) if len(filter.levels) < len(LEVELS) else ()
    looks_inside = bool(filter.search or filter.source)
    by_level = bool(levels) and not (looks_inside and _are_many(connection, stream, levels, low, high))
    return _Plan(stream, levels, by_level, backward, windows=backward and looks_inside and not by_level)


def _are_many(connection: sqlite3.Connection, stream: int, levels: Sequence[int], low: int, high: int) -> bool:
    """Tell whether the lines of the levels are so many that walking all lines in order is faster than fetching each."""
    sql = "SELECT 1 FROM lines INDEXED BY lines_by_level WHERE stream = ? AND level = ? AND ts >= ? AND ts <= ? LIMIT ?"
    left = _FEW
    for level in levels:
        (count,) = connection.execute(f"SELECT count(*) FROM ({sql})", (stream, level, low, high, left + 1)).fetchone()
        left -= count
        if left < 0:
            return True
    return False


def _spans(
    connection: sqlite3.Connection, plan: _Plan, low: int, high: int, cursor: Cursor | None
) -> Iterator[Condition]:
    """Split the timestamps from low to high, both included, at the cursor, and into windows where planned."""
    if cursor is not None and low <= cursor.timestamp_ns <= high:
        yield Condition(f"AND ts = ? AND position {'<' if plan.backward else '>'} ?", cursor)
    if cursor is not None and plan.backward:
        high = min(high, cursor.timestamp_ns - 1)
    elif cursor is not None:
        low = max(low, cursor.timestamp_ns + 1)
    size = _FIRST_WINDOW if plan.windows else None
    while low <= high:
        begin = low if size is None else _back(connection, plan.stream, low, high, size)
        yield Condition("AND ts >= ? AND ts <= ?", (_within(begin), _within(high)))
        high = begin - 1
        size = None if size is None else min(4 * size, _LARGEST_WINDOW)


def _back(connection: sqlite3.Connection, stream: int, low: int, high: int, size: int) -> int:
    """Find the timestamp that lies so many lines before `high`, at least `low`; the index alone is read."""
    found = connection.execute(
        "SELECT ts FROM lines INDEXED BY lines_by_time WHERE stream = ? AND ts >= ? AND ts <= ? "
        "ORDER BY ts DESC LIMIT 1 OFFSET ?",
        (stream, _within(low), _within(high), size),
    ).fetchone()
    return low if found is None else int(found[0])


def _select(plan: _Plan, condition: Condition, limit: int) -> tuple[str, tuple[Any, ...]]:
    order = "ts DESC, position DESC" if plan.backward else "ts, position"
    if not plan.by_level:
        levels = f"AND level IN ({', '.join(map(str, plan.levels))})" if plan.levels else ""
        # + hides the column from the planner: it reads the window forward and sorts what it finds.
        order = "+ts DESC, +position DESC" if plan.windows else order
        return (
            f"SELECT {COLUMNS} FROM lines INDEXED BY lines_by_time WHERE stream = ? {levels} {condition.sql} "
            f"ORDER BY {order} LIMIT ?",
            (plan.stream, *condition.parameters, limit),
        )
    branches: list[str] = []
    parameters: list[Any] = []
    for level in plan.levels:
        branches.append(
            f"SELECT * FROM (SELECT {COLUMNS} FROM lines INDEXED BY lines_by_level WHERE stream = ? AND level = ? "
            f"{condition.sql} ORDER BY {order} LIMIT ?)"
        )
        parameters += (plan.stream, level, *condition.parameters, limit)
    return f"{' UNION ALL '.join(branches)} ORDER BY {order} LIMIT ?", (*parameters, limit)


def _within(number: int) -> int:
    """Bring a number into the range of SQLite's integers."""
    return min(max(number, _EARLIEST), _LATEST)
