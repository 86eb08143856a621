"""One figure of the embedded metric store minute by minute, each over a window that ends there: what rules look at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from ..formulas import Expression, Uptime, evaluate_one, families_of
from ..model import FeatureKey
from ..times import NS
from .cumulative import apportion
from .metric_figures import HEARD_WITHIN_S
from .metric_schema import HOURS, MINUTES
from .metric_windows import COUNTED, Labelled, Names, Span, rows_of, wanted, window_of
from .sliding import Sliding
from .steps import points_of

__all__ = ["STEP_S", "series"]

STEP_S: Final = MINUTES.width_s
"""The distance between two points."""

_MINUTE_MS: Final = 60_000


def series(
    db: sqlite3.Connection,
    key: FeatureKey,
    expression: Expression,
    window_s: int,
    start_ms: int,
    end_ms: int,
    now_ns: int,
) -> list[tuple[int, float | None]]:
    """Compute a figure at each whole minute in [start, end], over the window that ends there.

    Minutes that are kept no longer are taken from their hour, shared evenly.

    Args:
        window_s: whole minutes.

    Raises:
        OutOfRange: more than `MAX_POINTS`.
    """
    first, last = -(-start_ms // _MINUTE_MS), end_ms // _MINUTE_MS
    points = range(first, first + len(points_of(first * _MINUTE_MS, last * _MINUTE_MS, STEP_S)))
    length = max(1, window_s // STEP_S)
    known = {found: k for k, found in wanted(db, [key]).items()}
    if key not in known or not points:
        return [(minute * _MINUTE_MS, None) for minute in points]
    k = known[key]
    minutes = _Minutes(db, k, first - length, last, now_ns)
    if isinstance(expression, Uptime):
        values = _uptime(minutes, points, length)
    else:
        values = _figures(db, minutes, k, expression, points, length, window_s)
    return [(minute * _MINUTE_MS, value) for minute, value in zip(points, values, strict=True)]


def _figures(
    db: sqlite3.Connection,
    minutes: _Minutes,
    k: int,
    expression: Expression,
    points: range,
    length: int,
    window_s: int,
) -> Iterator[float | None]:
    read = families_of(expression)
    columns = [column for family in sorted(read) for column in COUNTED.get(family, ())]
    counted = {column: Sliding() for column in columns}
    labelled: dict[tuple[str, tuple[str, ...]], Sliding] = {}
    for minute, values in minutes.counted(columns):
        for sliding, value in zip(counted.values(), values, strict=True):
            if value:
                sliding.add(minute, value)
    if others := read - COUNTED.keys():
        for minute, name, value in minutes.labelled():
            if name[0] in others:
                labelled.setdefault(name, Sliding()).add(minute, value)
    present = _presence(db, k, points, max(window_s, HEARD_WITHIN_S))
    for minute, bits in zip(points, present, strict=True):
        sums = {column: sliding.at(minute, length) for column, sliding in counted.items()}
        gained: Labelled = {}
        for (family, labels), sliding in labelled.items():
            value = sliding.at(minute, length)
            if sliding.held:
                gained.setdefault(family, {})[labels] = value
        yield evaluate_one(expression, window_of(window_s, sums, gained, bits))


def _uptime(minutes: _Minutes, points: range, length: int) -> Iterator[float | None]:
    ups, downs = Sliding(), Sliding()
    for minute, (up, down) in minutes.counted(["up", "down"]):
        ups.add(minute, up)
        downs.add(minute, down)
    for minute in points:
        up, down = ups.at(minute, length), downs.at(minute, length)
        yield 100.0 * up / (up + down) if up + down else None


@dataclass(frozen=True, slots=True)
class _Minutes:
    """The rows of one feature from minute `first` (exclusive) to `last`, each named by the minute at its end."""

    db: sqlite3.Connection
    k: int
    first: int
    last: int
    now_ns: int

    def counted(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[float]]]:
        if not columns:
            return
        shown = ", ".join(["t", *columns])
        for span, parts in self._spans():
            for t, *values in rows_of(self.db, span, shown, "", [self.k], ""):
                yield from parts.of(t, values)

    def labelled(self) -> Iterator[tuple[int, tuple[str, tuple[str, ...]], float]]:
        names = Names(self.db)
        for span, parts in self._spans():
            for t, s, value in rows_of(self.db, span, "t, s, v", "_labelled", [self.k], ""):
                for minute, (share,) in parts.of(t, [value]):
                    yield minute, names[s], share

    def _spans(self) -> Iterator[tuple[Span, _Parts]]:
        begin, end = self.first * 60, self.last * 60
        held = floor(self.now_ns / NS - MINUTES.held_s)
        climb = min(end, max(begin, -(-held // HOURS.width_s) * HOURS.width_s))
        if climb > begin:
            hour = begin // HOURS.width_s * HOURS.width_s
            yield Span(HOURS, hour, climb), _Parts(60, self.first, self.last)
        yield Span(MINUTES, climb, end), _Parts(1, self.first, self.last)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Shares a row among the minutes that it covers."""

    minutes: int
    first: int
    last: int

    def of(self, t: int, values: Sequence[float]) -> Iterator[tuple[int, Sequence[float]]]:
        minute = t // 60 + 1
        if self.minutes == 1:
            yield minute, values
            return
        pieces = [(minute + n, 1) for n in range(self.minutes)]
        shares: dict[int, list[float]] = {}
        for column, value in enumerate(values):
            for end, share in apportion(value, pieces):
                shares.setdefault(end, [0] * len(values))[column] = share
        yield from ((end, told) for end, told in shares.items() if self.first < end <= self.last)


def _presence(db: sqlite3.Connection, k: int, points: range, within_s: int) -> list[int]:
    """Tell for each minute which families had series within so many seconds before it."""
    bits = [0] * len(points)
    rows = db.execute("SELECT families, from_ns, to_ns FROM presence WHERE k = ?", (k,))
    for families, from_ns, to_ns in rows:
        begin = max(points.start, -(-from_ns // (60 * NS)))
        end = min(points.stop - 1, (to_ns + within_s * NS) // (60 * NS))
        for minute in range(begin, end + 1):
            bits[minute - points.start] |= families
    return bits
