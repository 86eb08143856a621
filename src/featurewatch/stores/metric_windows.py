"""How the embedded metric store reads rows: which ones make a window, and what they say together.

A window of the last w seconds holds the rows whose end is after now - w. It is read from the finest tier that still
holds its beginning, and from there climbs to wider rows where one begins: at most 11 rows of 5 seconds, 59 of a
minute, and the rest hours. So its edge is exact to 5 seconds for windows of up to 2 hours, to a minute for up to 8
days, and to an hour beyond.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from math import ceil, floor
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from .. import families
from ..families import FAMILIES
from ..formulas import Histogram, Window
from ..model import OUTCOMES, FeatureKey
from ..times import NS
from .metric_schema import DURATION_COLUMNS, FIRST_TOKEN_COLUMNS, PRESENCE, SKEW_S, TIERS, Tier, buckets

__all__ = ["COUNTED", "SCAN_ABOVE", "Labelled", "Names", "Span", "all_keys", "rows_of", "spans", "wanted", "window_of"]

SCAN_ABOVE: Final = 20
"""From more features on, their rows are found by passing over those of all."""

COUNTED: Final = {
    families.REQUESTS.name: OUTCOMES,
    families.DURATION.name: ("d_sum", *DURATION_COLUMNS),
    families.FIRST_TOKEN.name: ("f_sum", *FIRST_TOKEN_COLUMNS),
}
"""The families that have columns of their own; all others are labelled rows."""

_Sums: TypeAlias = Mapping[str, float]
Labelled: TypeAlias = dict[str, dict[tuple[str, ...], float]]


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


def wanted(db: sqlite3.Connection, keys: Collection[FeatureKey] | None) -> dict[int, FeatureKey]:
    if keys is None or len(keys) > SCAN_ABOVE:
        return {k: key for k, key in all_keys(db).items() if keys is None or key in keys}
    found = {}
    for key in keys:
        row = db.execute("SELECT k FROM keys WHERE feature = ? AND environment = ?", tuple(key)).fetchone()
        if row is not None:
            found[row[0]] = key
    return found


def rows_of(db: sqlite3.Connection, span: Span, shown: str, suffix: str, only: Sequence[int] | None, tail: str) -> Any:
    table = f"{span.tier.table}{suffix}"
    at = {"first": span.first, "end": span.end, "width": span.tier.width_s, "ks": orjson.dumps(only or ()).decode()}
    if only is None:
        return db.execute(f"SELECT {shown} FROM {table} WHERE t >= :first AND t < :end {tail}", at)
    return db.execute(
        f"{buckets()} SELECT {shown} FROM bucket CROSS JOIN {table} USING (t) "
        f"WHERE k IN (SELECT value FROM json_each(:ks)) {tail}",
        at,
    )


def window_of(seconds: float, sums: _Sums, labelled: Labelled, present: int, uptime: float | None = None) -> Window:
    """Make a window of what was gained; families that were present stand with 0."""
    counters: dict[str, Mapping[tuple[str, ...], float]] = {}
    histograms = {}
    for family, bit in PRESENCE.items():
        columns = COUNTED.get(family)
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


class Names(dict[int, tuple[str, tuple[str, ...]]]):
    """Families and labels by number, looked up at first use."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __missing__(self, s: int) -> tuple[str, tuple[str, ...]]:
        family, labels = self._db.execute("SELECT family, labels FROM series WHERE s = ?", (s,)).fetchone()
        self[s] = family, tuple(orjson.loads(labels))
        return self[s]
