"""The history of one figure: rows of the embedded metric store by the steps that they fall in."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from ..formulas import Expression, Uptime, evaluate_one, families_of
from ..model import FeatureKey
from ..times import NS
from .cumulative import apportion
from .metric_schema import HOURS, TIERS
from .metric_windows import COUNTED, Labelled, Names, Span, rows_of, wanted, window_of
from .steps import points_of

__all__ = ["history"]

_GRACE_NS: Final = 60 * NS
"""A feature heard so recently before a step is there in it: not every app pushes each second."""


def history(
    db: sqlite3.Connection,
    key: FeatureKey,
    expression: Expression,
    start_ms: int,
    end_ms: int,
    step_s: int,
    now_ns: int,
) -> list[tuple[int, float | None]]:
    """Compute a point for each step; it covers the rows whose end lies in (point - step, point].

    Read from the finest tier that still holds the beginning. Where its rows are wider than a step, each is shared
    among the steps that it covers.

    Raises:
        OutOfRange: too many points; the message says which step to use.
    """
    step_ms = step_s * 1000
    points = points_of(start_ms, end_ms, step_s)
    count = len(points)
    known = {found: k for k, found in wanted(db, [key]).items()}
    if not points or key not in known:
        return [(point, None) for point in points]
    k = known[key]
    tiers = TIERS[1:] if isinstance(expression, Uptime) else TIERS
    since_s = points[0] / 1000 - step_s
    tier = next((tier for tier in tiers if now_ns / NS - since_s <= tier.held_s), HOURS)
    span = Span(tier, floor(since_s / tier.width_s) * tier.width_s, ceil(points[-1] / 1000))
    grid = _Grid(start_ms, step_ms, count, tier.width_s * 1000)
    if isinstance(expression, Uptime):
        return list(zip(points, _uptime_by_step(db, span, k, grid), strict=True))
    read = families_of(expression)
    by_step = _columns_by_step(db, span, k, grid, [c for f in sorted(read) for c in COUNTED.get(f, ())])
    labelled = _labelled_by_step(db, span, k, grid, read - COUNTED.keys())
    present = _presence_by_step(db, k, points, step_ms)
    return [
        (point, evaluate_one(expression, window_of(step_s, by_step.get(at, {}), labelled.get(at, {}), present[at])))
        for at, point in enumerate(points)
    ]


@dataclass(frozen=True, slots=True)
class _Grid:
    """The steps of a history and how rows fall into them; milliseconds."""

    start_ms: int
    step_ms: int
    count: int
    width_ms: int

    def step_of(self, end_ms: int) -> int:
        return -((self.start_ms - end_ms) // self.step_ms)

    def parts(self, t: int) -> list[tuple[int, int]]:
        """Cut a row into (step, length): one, unless the row is wider than a step."""
        end_ms = t * 1000 + self.width_ms
        if self.width_ms <= self.step_ms:
            parts = [(self.step_of(end_ms), self.width_ms)]
        else:
            first, last = self.step_of(t * 1000 + 1), self.step_of(end_ms)
            parts = [(step, self.step_ms) for step in range(first, last + 1)]
        return parts

    def holds(self, step: int) -> bool:
        return 0 <= step < self.count


def _columns_by_step(
    db: sqlite3.Connection, span: Span, k: int, grid: _Grid, columns: Sequence[str]
) -> dict[int, dict[str, float]]:
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    if columns:
        for t, *values in rows_of(db, span, ", ".join(["t", *columns]), "", [k], ""):
            parts = grid.parts(t)
            for column, value in zip(columns, values, strict=True):
                for step, share in apportion(value, parts):
                    if grid.holds(step):
                        into = by_step[step]
                        into[column] = into.get(column, 0) + share
    return by_step


def _labelled_by_step(
    db: sqlite3.Connection, span: Span, k: int, grid: _Grid, wanted: Collection[str]
) -> dict[int, Labelled]:
    by_step: dict[int, Labelled] = defaultdict(dict)
    if wanted:
        names = Names(db)
        for t, s, value in rows_of(db, span, "t, s, v", "_labelled", [k], ""):
            family, labels = names[s]
            if family in wanted:
                for step, share in apportion(value, grid.parts(t)):
                    if grid.holds(step):
                        series = by_step[step].setdefault(family, {})
                        series[labels] = series.get(labels, 0) + share
    return by_step


def _presence_by_step(db: sqlite3.Connection, k: int, points: Sequence[int], step_ms: int) -> list[int]:
    """Tell for each step which families were there at any time within it."""
    present = [0] * len(points)
    first_ns = (points[0] - step_ms) * 1_000_000
    rows = db.execute(
        "SELECT families, from_ns, to_ns FROM presence WHERE k = ? AND to_ns > ?", (k, first_ns - _GRACE_NS)
    )
    for bits, from_ns, to_ns in rows:
        from_ms, to_ms = from_ns // 1_000_000, (to_ns + _GRACE_NS) // 1_000_000
        first = max(0, ceil((from_ms - points[0]) / step_ms))
        last = min(len(points), ceil((to_ms + step_ms - points[0]) / step_ms)) - 1
        for at in range(first, last + 1):
            present[at] |= bits
    return present


def _uptime_by_step(db: sqlite3.Connection, span: Span, k: int, grid: _Grid) -> list[float | None]:
    judged = [[0, 0] for _ in range(grid.count)]
    for t, up, down in rows_of(db, span, "t, up, down", "", [k], ""):
        for step, _ in grid.parts(t):
            if grid.holds(step):
                judged[step][0] += up
                judged[step][1] += down
    return [100.0 * up / (up + down) if up + down else None for up, down in judged]
