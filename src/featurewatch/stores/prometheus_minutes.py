"""Raw series at each minute, as what each of them gained by then: the sums of any window follow by subtracting. Pure.

To ask Prometheus for a figure over a window at each minute of a week takes it many times as long as to tell the values
that the counters had at those minutes, and any window's gain is the sum of its minutes'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeAlias

from .. import families
from ..families import FAMILIES, Family
from ..formulas import Expression, Histogram, Quantile, Window, evaluate_one, families_of
from .prometheus_api import Values
from .promql import HEARD_S, LATE

__all__ = ["figures", "names_of"]

_MINUTE_MS: Final = 60_000
_HEARD_MINUTES: Final = HEARD_S // 60

_Place: TypeAlias = tuple[str, tuple[str, ...]]
"""A series' name and the values of the labels that its family has, `le` for buckets."""


def names_of(expression: Expression) -> list[str]:
    """Name the series that an expression reads, and those that tell whether a process was there."""
    names = {families.REQUESTS.name}
    for family in families_of(expression):
        if FAMILIES[family].kind != "histogram":
            names.add(family)
        elif isinstance(expression, Quantile):
            names.add(f"{family}_bucket")
        else:
            names |= {f"{family}_sum", f"{family}_count"}
    return sorted(names)


def figures(
    expression: Expression, told: Sequence[Values], minutes: range, points: Sequence[int], window_s: int
) -> Iterator[float | None]:
    """Compute an expression at each point over the window that ends there.

    Args:
        told: the series of `names_of`.
        minutes: the minutes (since the epoch) that they were asked for; they begin a window before the first point.
        points: whole minutes, epoch ms.
        window_s: whole minutes.
    """
    length = max(1, window_s // 60)
    wanted = families_of(expression)
    processes = {_process(one): one.values for one in told if one.labels.get("outcome") == "success"}
    places: dict[_Place, _Kept] = {}
    for one in told:
        place = _place(one)
        if place is not None and _family(place[0])[0].name in wanted:
            kept = places.setdefault(place, _Kept([0.0] * len(minutes), bytearray(len(minutes))))
            kept.add(one.values, minutes, processes.get(_process(one), {}), length, late=_is_late(place))
    sums = {place: _Sums.of(kept) for place, kept in sorted(places.items(), key=_order)}
    for at in points:
        yield evaluate_one(expression, _window(sums, at // _MINUTE_MS - minutes.start, length, window_s))


@dataclass(slots=True)
class _Kept:
    """What all series of one place gained in each minute, and whether any was there."""

    gained: list[float]
    heard: bytearray

    def add(
        self, values: Mapping[int, float], minutes: range, process: Mapping[int, float], length: int, *, late: bool
    ) -> None:
        last, seen = math.nan, -1
        for index, minute in enumerate(minutes):
            value = values.get(minute * _MINUTE_MS)
            if value is None:
                continue
            self.heard[index] = 1
            if seen < 0:
                if late and _was_there(process, minute * _MINUTE_MS):
                    self.gained[index] += value
            elif value < last:
                self.gained[index] += value  # a restart counts from 0
            elif index - seen <= length:
                # What was counted while nobody looked is a gain of windows that reach back to before alone.
                self.gained[index] += value - last
            last, seen = value, index


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums up to each minute: of gains, of minutes with a gain, of minutes in which the place was heard."""

    gained: Sequence[float]
    gains: Sequence[int]
    heard: Sequence[int]

    @classmethod
    def of(cls, kept: _Kept) -> _Sums:
        return cls(
            [0.0, *accumulate(kept.gained)],
            [0, *accumulate(map(bool, kept.gained))],
            [0, *accumulate(kept.heard)],
        )

    def within(self, index: int, length: int) -> float | None:
        """Return what was gained in the minutes up to `index`; None where nothing was heard of it."""
        # Values are shown for five minutes after the last sample already.
        since = max(0, index + 1 - max(1, length - _HEARD_MINUTES + 1))
        if self.heard[index + 1] == self.heard[since]:
            return None
        begin = max(0, index + 1 - length)
        if self.gains[index + 1] == self.gains[begin]:
            return 0.0  # and not the rest that subtracting fractions leaves
        return self.gained[index + 1] - self.gained[begin]


@dataclass(slots=True)
class _Observed:
    """What a histogram gained: cumulative buckets by their bounds, ascending; sum and count."""

    bounds: list[float] = field(default_factory=list)
    cumulative: list[float] = field(default_factory=list)
    total: float = 0.0
    count: float | None = None

    def histogram(self) -> Histogram:
        counts, below = [], 0.0
        for upto in self.cumulative:
            counts.append(max(0.0, upto - below))
            below = max(below, upto)
        bounds = self.bounds[:-1] if self.bounds and math.isinf(self.bounds[-1]) else self.bounds
        return Histogram(counts if len(counts) > len(bounds) else [*counts, 0.0], self.total, self.count, bounds)


def _window(sums: Mapping[_Place, _Sums], index: int, length: int, window_s: int) -> Window:
    counters: dict[str, dict[tuple[str, ...], float]] = {}
    observed: dict[str, _Observed] = {}
    for (name, labels), one in sums.items():
        value = one.within(index, length)
        if value is None:
            continue
        family, _, what = _family(name)
        if not what:
            counters.setdefault(name, {})[labels] = value
            continue
        histogram = observed.setdefault(family.name, _Observed())
        if what == "bucket":
            histogram.bounds.append(float(labels[0]))
            histogram.cumulative.append(value)
        elif what == "sum":
            histogram.total = value
        else:
            histogram.count = value
    return Window(window_s, counters, {name: one.histogram() for name, one in observed.items()})


def _was_there(process: Mapping[int, float], at: int) -> bool:
    """Whether a process was there a minute before, or is so young that nothing succeeded yet."""
    return at - _MINUTE_MS in process or process.get(at) == 0


def _is_late(place: _Place) -> bool:
    return bool(LATE & set(_family(place[0])[0].labels))


def _process(one: Values) -> tuple[tuple[str, str], ...]:
    own = {"__name__", "le", *LATE, "outcome", "kind", "source"}
    return tuple(sorted((name, value) for name, value in one.labels.items() if name not in own))


def _place(one: Values) -> _Place | None:
    name = one.labels.get("__name__", "")
    _, labels, what = _family(name)
    if what == "bucket":
        return (name, (one.labels["le"],)) if "le" in one.labels else None
    return name, tuple(one.labels.get(label, "") for label in labels)


def _order(item: tuple[_Place, object]) -> tuple[str, float]:
    """Sort buckets by their bounds."""
    (name, labels), _ = item
    return name, float(labels[0]) if name.endswith("_bucket") else 0.0


def _family(name: str) -> tuple[Family, tuple[str, ...], str]:
    """Return the family of a series' name, its labels, and which part of a histogram it is."""
    if name in FAMILIES:
        return FAMILIES[name], FAMILIES[name].labels, ""
    base, _, what = name.rpartition("_")
    return FAMILIES[base], (), what
