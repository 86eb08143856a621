"""PromQL of the figures: each row of `formulas.METRICS` rendered for Prometheus and what speaks its language. Pure.

What a counter gained is the difference of its last values, not `increase()`, which extrapolates (19 calls read as
19.47) and does not see the first value of a series that is born above 0. See `gain`. Everything is by (feature,
environment), in the units of the table; what cannot be known has no series.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from .. import families
from ..families import Family
from ..formulas import METRICS, Expression, Gain, Metric, Observations, Observed, PerMinute, Quantile, Ratio, Uptime

__all__ = [
    "ALL", "BY", "LATE", "Matchers", "Raw", "Source", "by", "duration", "expression", "gain", "number", "quoted",
    "render", "selector", "tagged", "verdict",
]  # fmt: skip

Matchers: TypeAlias = Mapping[str, str | Collection[str]]
"""Which series: label to the value it has, or to the values of which it has one."""

ALL: Final[Matchers] = MappingProxyType({})
"""Every series of a name."""

BY: Final = ("feature", "environment")

HEARD_S: Final = 300
"""A series is known for so long after its last sample: Prometheus's own look-back."""

_PLAIN_S: Final = 120
"""Over so long a window a histogram's buckets are read by `increase` alone: their ratios are what is asked for."""

LATE: Final = frozenset({"model", "error_type"})
"""Labels whose values are not known in advance: their series are born with the first call, not at 0."""

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNITS: Final = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def quoted(value: str) -> str:
    """Write a text as a PromQL string, so that no text of it can end it or name another series.

    https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals
    """
    marks = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    told = "".join(marks.get(mark) or (f"\\x{ord(mark):02x}" if mark < " " else mark) for mark in value)
    return f'"{told}"'


def selector(name: str, *matchers: Matchers) -> str:
    """Write a selector of the series of a name; of a label that is matched twice both must hold.

    Raises:
        ValueError: a label has a name that no label has.
    """
    conditions = []
    for given in matchers:
        for label, wanted in given.items():
            if _NAME.fullmatch(label) is None:
                raise ValueError(f"expected the name of a label, got {label!r}")
            if isinstance(wanted, str):
                conditions.append(f"{label}={quoted(wanted)}")
            else:
                alternatives = "|".join(_literal(value) for value in sorted(set(wanted)))
                conditions.append(f"{label}=~{quoted(alternatives)}")
    return f"{name}{{{','.join(conditions)}}}" if conditions else name


def duration(seconds: float) -> str:
    """Write a duration as PromQL does, exact to a millisecond: 300 is `5m`, 90 is `90s`, a day `24h`."""
    ms = max(1, round(seconds * 1000))
    unit, size = next((unit, size) for unit, size in _UNITS if ms % size == 0)
    return f"{ms // size}{unit}"


def number(value: float) -> str:
    """Write a number with all its digits."""
    return str(int(value)) if value == int(value) else repr(float(value))


def by(inner: str, *labels: str) -> str:
    """Sum series by feature, environment and these labels."""
    return f"sum by ({', '.join((*BY, *labels))}) ({inner})"


def tagged(inner: str, stat: str) -> str:
    """Name a statistic by a label, so that several of them come as one answer, joined by `or`."""
    return f'label_replace({inner}, "stat", {quoted(stat)}, "", "")'


def gain(
    family: Family,
    window_s: float,
    matchers: Matchers = ALL,
    *,
    name: str = "",
    targets: Matchers | None = None,
    heard_s: float = 0,
) -> str:
    """Write what each series of a counter gained in the window, in whole steps of what the app counted.

    A series that was there when the window began gained its last value less the one it had then. One that was not is
    counted from its first value in the window, or from 0 where it is known to have begun since: because its process was
    there without it (a model, a kind of error) or had not succeeded once, or because its target was scraped more often
    than it was seen. A series that comes back after a gap is none of these: what it counted before is no gain. After a
    restart within the window `increase` tells it, which knows resets and is right to some percent. A NaN is no gain.

    Args:
        name: of the series, where it is not the family's own: `…_count`.
        targets: the matchers of `up`, which says how often a target was scraped; None: it is not asked.
        heard_s: a series without a sample in the window stands with 0 while it was heard so recently.
    """
    window = duration(window_s)
    series = selector(name or family.name, matchers)
    last = f"last_over_time({series}[{window}])"
    before = [f"{series} offset {window}"]
    own = ", ".join((*BY, *family.labels))
    if LATE & set(family.labels):
        others = ", ".join((*family.labels, "outcome"))
        process = selector(families.REQUESTS.name, _without(matchers, *family.labels), {"outcome": "success"})
        born = f"{process} offset {window} or min_over_time({process}[{window}]) == 0"
        before.append(f"{last} * 0 and ignoring ({others}) ({born})")
    if targets is not None:
        scraped = f"sum_over_time({selector('up', targets)}[{duration(window_s + HEARD_S)}])"
        fewer = f"< ignoring ({own}) group_left () max without ({own}) ({scraped})"
        before.append(f"(count_over_time({series}[{window}]) {fewer}) * 0")
    before.append(f"min_over_time({series}[{window}])")
    told = [
        f"({last} - ({' or '.join(before)}) >= 0 unless resets({series}[{window}]) > 0)",
        f"increase({series}[{window}]) >= 0",
    ]
    if heard_s > window_s:
        told.append(f"last_over_time({series}[{duration(heard_s)}]) * 0 >= 0")
    return " or ".join(told)


def verdict(threshold: float, matchers: Matchers = ALL, *, ago_s: float = 0) -> str:
    """Write whether each feature was up (1) or down (0) in the minute that ended `ago_s` ago; an idle one is absent.

    Down is a minute in which `threshold` percent of the decided calls failed, or more. Where none was decided, the last
    results of a probe say it. What a counter gained is its value less the one of a minute before; from 0 where it had
    none or is smaller.
    """
    up, down = number(100 - threshold), number(threshold)
    succeeded, failed = (
        _minute(selector(families.REQUESTS.name, matchers, {"outcome": outcome}), ago_s)
        for outcome in ("success", "error")
    )
    # Success weighs the threshold and failure what is left: the sum is above 0 where fewer failed. One pass over each.
    calls = by(f"{down} * {succeeded} or -{up} * {failed}")
    probe = f"avg by ({', '.join(BY)}) ({_offset(selector(families.PROBE.name, matchers), ago_s)})"
    return f"({calls} > bool 0) or (100 * {probe} > bool {up})"


class Source(Protocol):
    """Where an expression's parts are read: raw series, or recorded ones."""

    @property
    def window_s(self) -> float: ...

    def gained(self, part: Gain) -> str:
        """Write the sum by feature and environment of what a counter gained."""
        ...

    def histogram(self, part: Observed | Observations) -> str:
        """Write the sum of the values, or the number of them, that a histogram observed."""
        ...

    def buckets(self, family: Family) -> str:
        """Write the gains of a histogram's cumulative buckets, by feature, environment and `le`."""
        ...

    def uptime(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Raw:
    """The series as the apps export them, over a window.

    Attributes:
        threshold: percent of failed calls from which on a minute is down.
        targets, heard_s: as of `gain`.
        every: uptime is taken from every so manieth minute.
    """

    window_s: float
    matchers: Matchers
    threshold: float = 50.0
    targets: Matchers | None = None
    heard_s: float = 0
    every: int = 1

    def gained(self, part: Gain) -> str:
        only: Matchers = {part.label: _one_or_many(part.values)} if part.label else {}
        return by(self.gains(part.family, {**self.matchers, **only}))

    def histogram(self, part: Observed | Observations) -> str:
        suffix = "sum" if isinstance(part, Observed) else "count"
        return by(self.gains(part.family, self.matchers, f"{part.family.name}_{suffix}"))

    def buckets(self, family: Family) -> str:
        name = f"{family.name}_bucket"
        if self.window_s >= _PLAIN_S:
            return by(f"increase({selector(name, self.matchers)}[{duration(self.window_s)}]) >= 0", "le")
        return by(self.gains(family, self.matchers, name), "le")

    def uptime(self) -> str:
        # A millisecond less: Prometheus 2 counts both ends of a range, which would be a minute too much.
        window, step = duration(max(60, self.window_s) - 0.001), duration(60 * self.every)
        return f"avg_over_time(({verdict(self.threshold, self.matchers)})[{window}:{step}])"

    def gains(self, family: Family, matchers: Matchers, name: str = "") -> str:
        return gain(family, self.window_s, matchers, name=name, targets=self.targets, heard_s=self.heard_s)


def render(expression: Expression, source: Source) -> str:
    """Write an expression of the table, its parts read from `source`."""
    match expression:
        case Gain():
            return f"round({source.gained(expression)})" if expression.whole else source.gained(expression)
        case PerMinute(inner):
            return f"{source.gained(inner)} * 60 / {number(source.window_s)}"
        case Ratio(top, bottom, scale):
            below = source.gained(bottom) if isinstance(bottom, Gain) else source.histogram(bottom)
            above = source.gained(top) if isinstance(top, Gain) else source.histogram(top)
            if top.family == bottom.family and isinstance(top, Gain):
                above = f"({above} or {below} * 0)"  # of a family that is there, a label that is not counts 0
            share = f"{above} / ({below} > 0)"
            return share if scale == 1 else f"{number(scale)} * {share}"
        case Quantile(q, family, scale):
            value = f"histogram_quantile({number(q)}, {source.buckets(family)})"
            return f"{number(scale)} * {value} >= 0"  # without traffic it is NaN
        case Uptime():
            return f"100 * {source.uptime()}"


def expression(
    metric: Metric | str,
    window_s: float,
    matchers: Matchers = ALL,
    *,
    threshold: float = 50.0,
    targets: Matchers | None = None,
) -> str:
    """Write a figure over the window that ends now: one series by feature and environment, in the table's unit.

    Args:
        metric: a row of `formulas.METRICS`, or its name.
        matchers: which series, such as `{"feature": "chat", "environment": "production"}`.
        threshold: percent of failed calls from which on a minute is down, for uptime.
        targets: as of `gain`; where all of `up` is asked for, it is not for rules of which there are thousands.

    Raises:
        KeyError: there is no metric of this name.
    """
    row = METRICS[metric] if isinstance(metric, str) else metric
    return render(row.expression, Raw(window_s, matchers, threshold, targets))


def _minute(series: str, ago_s: float) -> str:
    now = _offset(series, ago_s)
    return f"(({now} - {_offset(series, ago_s + 60)} >= 0 or {now}) > 0 < Inf)"


def _offset(series: str, seconds: float) -> str:
    return f"{series} offset {duration(seconds)}" if round(seconds * 1000) else series


def _without(matchers: Matchers, *labels: str) -> Matchers:
    return {label: wanted for label, wanted in matchers.items() if label not in labels}


def _one_or_many(values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values


def _literal(value: str) -> str:
    """Escape a text for RE2, in which Go's `regexp.QuoteMeta` escapes these alone."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", lambda mark: "\\" + mark.group(), value)
