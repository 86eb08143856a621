"""What the embedded metric store reads from its tables: windows and steps, which `formulas` turns into figures.

A window of the last w seconds holds the rows whose end is after now - w. It is read from the finest tier that still
holds its beginning, and from there climbs to wider rows where one begins: at most 11 rows of 5 seconds, 59 of a
minute, and the rest hours. So its edge is exact to 5 seconds for windows of up to 2 hours, to a minute for up to 8
days, and to an hour beyond.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from .. import families
from ..errors import OutOfRange
from ..families import FAMILIES
from ..formulas import Expression, Histogram, Uptime, Window, evaluate, evaluate_one, families_of
from ..model import OUTCOMES, FeatureKey, Measurement, ModelCost
from ..times import NS
from .cumulative import apportion
from .metric_schema import (
    COLUMNS,
    DURATION_COLUMNS,
    FIRST_TOKEN_COLUMNS,
    HOURS,
    MINUTES,
    PRESENCE,
    SKEW_S,
    TIERS,
    Tier,
    buckets,
)  # fmt: skip

__all__ = ["MAX_POINTS", "all_keys", "costs", "errors", "history", "in_progress", "info", "measure"]

MAX_POINTS: Final = 11_000

HEARD_WITHIN_S: Final = 300
"""A series is known, and a gauge's value holds, while its process was heard so recently."""

_SCAN_ABOVE: Final = 20
_GRACE_NS: Final = 60 * NS

_COUNTED: Final = {
    families.REQUESTS.name: OUTCOMES,
    families.DURATION.name: ("d_sum", *DURATION_COLUMNS),
    families.FIRST_TOKEN.name: ("f_sum", *FIRST_TOKEN_COLUMNS),
}
"""The families that have columns of their own; all others are labelled rows."""

_Sums: TypeAlias = Mapping[str, float]
_Labelled: TypeAlias = dict[str, dict[tuple[str, ...], float]]


class Span(NamedTuple):
    """Rows of one tier: from the one at `first` up to the one at `end`, exclusive; seconds since the epoch."""

    tier: Tier
    first: int
    end: int


def spans(window_s: float, now_ns: int, tiers: Sequence[Tier] = TIERS) -> list[Span]:
    """Choose the rows whose sum is a window that ends now."""
    now_s = now_ns / NS
    end = floor(now_s) + SKEW_S
    start_s = now_s - window_s
    left = [tier for tier in tiers if tier.held_s >= window_s] or [tiers[-1]]
    chosen = []
    first = floor(start_s / left[0].width_s) * left[0].width_s
    for tier, wider in zip(left, [*left[1:], None], strict=True):
        climb = end if wider is None else ceil(first / wider.width_s) * wider.width_s
        if wider is None or climb > now_s:
            chosen.append(Span(tier, first, end))
            break
        if climb > first:
            chosen.append(Span(tier, first, climb))
        first = climb
    return chosen


def all_keys(db: sqlite3.Connection) -> dict[int, FeatureKey]:
    return {k: FeatureKey(feature, environment) for k, feature, environment in db.execute("SELECT * FROM keys")}


def measure(
    db: sqlite3.Connection, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float, now_ns: int
) -> dict[FeatureKey, Measurement]:
    """Measure every metric of the keys that have series; the others are absent from the answer."""
    known = _wanted(db, keys)
    only = None if keys is None or len(known) > _SCAN_ABOVE else list(known)
    sums: dict[int, dict[str, float]] = defaultdict(dict)
    labelled: dict[int, _Labelled] = defaultdict(dict)
    for span in spans(window_s, now_ns):
        for k, row in _sum(db, span, COLUMNS, only):
            into = sums[k]
            for column, value in row.items():
                into[column] = into.get(column, 0) + value
        _sum_labelled(db, span, only, labelled)
    judged = _judged(db, uptime_window_s, now_ns, only)
    present = _present(db, now_ns - int(max(window_s, HEARD_WITHIN_S) * NS))
    measured = {}
    for k, key in known.items():
        up, down = judged.get(k, (0, 0))
        uptime = 100.0 * up / (up + down) if up + down else None
        window = _window(window_s, sums.get(k, {}), labelled.get(k, {}), present.get(k, 0), uptime)
        measured[key] = Measurement(key, now_ns, evaluate(window))
    return measured


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
        OutOfRange: more than `MAX_POINTS`; the message says which step to use.
    """
    step_ms = step_s * 1000
    count = (end_ms - start_ms) // step_ms + 1
    if count > MAX_POINTS:
        least = ceil((end_ms - start_ms) / 1000 / (MAX_POINTS - 1))
        raise OutOfRange(f"step: {step_s} s would make {count} points, at most {MAX_POINTS} are given: use {least} s")
    points = [start_ms + index * step_ms for index in range(max(0, count))]
    known = {found: k for k, found in _wanted(db, [key]).items()}
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
    wanted = families_of(expression)
    by_step = _columns_by_step(db, span, k, grid, [c for f in sorted(wanted) for c in _COUNTED.get(f, ())])
    labelled = _labelled_by_step(db, span, k, grid, wanted - _COUNTED.keys())
    present = _presence_by_step(db, k, points, step_ms)
    return [
        (point, evaluate_one(expression, _window(step_s, by_step.get(at, {}), labelled.get(at, {}), present[at])))
        for at, point in enumerate(points)
    ]


def costs(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> list[ModelCost]:
    labelled = _labelled_of(db, key, window_s, now_ns)
    cost, tokens = labelled.get(families.COST.name, {}), labelled.get(families.TOKENS.name, {})
    unpriced = labelled.get(families.UNPRICED.name, {})
    models = {labels[0] for series in (cost, tokens, unpriced) for labels in series}
    answer = []
    for model in models:
        reported, estimated = cost.get((model, "reported"), 0.0), cost.get((model, "estimated"), 0.0)
        used = {kind: round(value) for (of, kind), value in tokens.items() if of == model}
        missing = round(unpriced.get((model,), 0))
        answer.append(ModelCost(model, reported + estimated, reported, estimated, used, missing))
    return sorted(answer, key=lambda one: (-one.cost_usd, one.model))


def errors(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> dict[str, int]:
    found = _labelled_of(db, key, window_s, now_ns).get(families.ERRORS.name, {})
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {labels[0]: round(value) for labels, value in ordered if round(value)}


def in_progress(db: sqlite3.Connection, keys: Collection[FeatureKey] | None, now_ns: int) -> dict[FeatureKey, int]:
    rows = db.execute(
        "SELECT k, SUM(in_progress) FROM processes WHERE in_progress IS NOT NULL AND heard_ns > ? GROUP BY k",
        (now_ns - HEARD_WITHIN_S * NS,),
    ).fetchall()
    known = _wanted(db, keys)
    return {known[k]: running for k, running in rows if k in known}


def info(db: sqlite3.Connection) -> dict[FeatureKey, dict[str, str]]:
    """Tell what the process heard last says of each feature."""
    known = all_keys(db)
    found: dict[FeatureKey, dict[str, str]] = {}
    for k, text, budget in db.execute("SELECT k, info, budget FROM processes ORDER BY heard_ns"):
        if text is not None:
            found.setdefault(known[k], {}).update(orjson.loads(text))
        if budget is not None:
            found.setdefault(known[k], {})["budget_usd_per_day"] = f"{budget:.10g}"
    return found


def _wanted(db: sqlite3.Connection, keys: Collection[FeatureKey] | None) -> dict[int, FeatureKey]:
    if keys is None or len(keys) > _SCAN_ABOVE:
        return {k: key for k, key in all_keys(db).items() if keys is None or key in keys}
    found = {}
    for key in keys:
        row = db.execute("SELECT k FROM keys WHERE feature = ? AND environment = ?", tuple(key)).fetchone()
        if row is not None:
            found[row[0]] = key
    return found


def _rows(db: sqlite3.Connection, span: Span, shown: str, suffix: str, only: Sequence[int] | None, tail: str) -> Any:
    table = f"{span.tier.table}{suffix}"
    at = {"first": span.first, "end": span.end, "width": span.tier.width_s, "ks": orjson.dumps(only or ()).decode()}
    if only is None:
        return db.execute(f"SELECT {shown} FROM {table} WHERE t >= :first AND t < :end {tail}", at)
    return db.execute(
        f"{buckets()} SELECT {shown} FROM bucket CROSS JOIN {table} USING (t) "
        f"WHERE k IN (SELECT value FROM json_each(:ks)) {tail}",
        at,
    )


def _sum(
    db: sqlite3.Connection, span: Span, columns: Sequence[str], only: Sequence[int] | None
) -> Iterator[tuple[int, dict[str, float]]]:
    shown = ", ".join(["k", *(f"SUM({column})" for column in columns)])
    for k, *values in _rows(db, span, shown, "", only, "GROUP BY k"):
        yield k, dict(zip(columns, values, strict=True))


def _sum_labelled(db: sqlite3.Connection, span: Span, only: Sequence[int] | None, into: dict[int, _Labelled]) -> None:
    names = _Names(db)
    for k, s, value in _rows(db, span, "k, s, SUM(v)", "_labelled", only, "GROUP BY k, s"):
        family, labels = names[s]
        series = into[k].setdefault(family, {})
        series[labels] = series.get(labels, 0) + value


def _labelled_of(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> _Labelled:
    only = list(_wanted(db, [key]))
    found: dict[int, _Labelled] = defaultdict(dict)
    for span in spans(window_s, now_ns):
        _sum_labelled(db, span, only, found)
    return next(iter(found.values()), {})


def _judged(
    db: sqlite3.Connection, window_s: float, now_ns: int, only: Sequence[int] | None
) -> dict[int, tuple[int, int]]:
    judged: dict[int, tuple[int, int]] = {}
    for span in spans(window_s, now_ns, (MINUTES, HOURS)):
        for k, row in _sum(db, span, ("up", "down"), only):
            up, down = judged.get(k, (0, 0))
            judged[k] = int(up + row["up"]), int(down + row["down"])
    return judged


def _present(db: sqlite3.Connection, since_ns: int) -> dict[int, int]:
    present: dict[int, int] = {}
    for k, bits in db.execute("SELECT k, families FROM presence WHERE to_ns > ?", (since_ns,)):
        present[k] = present.get(k, 0) | bits
    return present


def _window(seconds: float, sums: _Sums, labelled: _Labelled, present: int, uptime: float | None = None) -> Window:
    """Make a window of what was gained; families that were present stand with 0."""
    counters: dict[str, Mapping[tuple[str, ...], float]] = {}
    histograms = {}
    for family, bit in PRESENCE.items():
        columns = _COUNTED.get(family)
        if columns is None:
            gained = labelled.get(family)
            if gained or present & bit:
                counters[family] = gained or {("",) * len(FAMILIES[family].labels): 0}
            continue
        values = [sums.get(column, 0) for column in columns]
        if not present & bit and not any(values):
            continue
        if family == families.REQUESTS.name:
            counters[family] = {(outcome,): value for outcome, value in zip(columns, values, strict=True)}
        else:
            histograms[family] = Histogram(values[1:], values[0])
    return Window(seconds, counters, histograms, uptime)


class _Names(dict[int, tuple[str, tuple[str, ...]]]):
    """Families and labels by number, looked up at first use."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __missing__(self, s: int) -> tuple[str, tuple[str, ...]]:
        family, labels = self._db.execute("SELECT family, labels FROM series WHERE s = ?", (s,)).fetchone()
        self[s] = family, tuple(orjson.loads(labels))
        return self[s]


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
        for t, *values in _rows(db, span, ", ".join(["t", *columns]), "", [k], ""):
            parts = grid.parts(t)
            for column, value in zip(columns, values, strict=True):
                for step, share in apportion(value, parts):
                    if grid.holds(step):
                        into = by_step[step]
                        into[column] = into.get(column, 0) + share
    return by_step


def _labelled_by_step(
    db: sqlite3.Connection, span: Span, k: int, grid: _Grid, wanted: Collection[str]
) -> dict[int, _Labelled]:
    by_step: dict[int, _Labelled] = defaultdict(dict)
    if wanted:
        names = _Names(db)
        for t, s, value in _rows(db, span, "t, s, v", "_labelled", [k], ""):
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
    for t, up, down in _rows(db, span, "t, up, down", "", [k], ""):
        for step, _ in grid.parts(t):
            if grid.holds(step):
                judged[step][0] += up
                judged[step][1] += down
    return [100.0 * up / (up + down) if up + down else None for up, down in judged]
