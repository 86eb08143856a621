"""What the figures are made of: which counters and histograms the table reads, and by which of their labels. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..families import Family
from ..formulas import METRICS, Gain, Observations, Observed, PerMinute, Quantile, Ratio
from .promql import Matchers, Raw, by

__all__ = ["BUCKETS", "COUNTERS", "SUMS", "Part", "parts"]


class Counted(NamedTuple):
    """A counter as the table needs it: the labels that tell its gains apart, and the series that matter."""

    family: Family
    labels: tuple[str, ...]
    matchers: Matchers


class Part(NamedTuple):
    """One part: the name of its series, how it is read from raw series, and the expression."""

    name: str
    how: str
    expr: str


def _counters() -> dict[str, Counted]:
    gains: dict[str, list[Gain]] = defaultdict(list)
    for metric in METRICS.values():
        match metric.expression:
            case Gain() as one:
                gains[one.family.name].append(one)
            case PerMinute(inner):
                gains[inner.family.name].append(inner)
            case Ratio(top, bottom):
                for part in (top, bottom):
                    if isinstance(part, Gain):
                        gains[part.family.name].append(part)
    return {name: _counted(told) for name, told in gains.items()}


def _counted(gains: list[Gain]) -> Counted:
    labels = tuple(sorted({one.label for one in gains if one.label}))
    whole = len(labels) != 1 or any(not one.label for one in gains)
    values = tuple(sorted({value for one in gains for value in one.values}))
    return Counted(gains[0].family, labels, {} if whole else {labels[0]: values})


def _histograms() -> tuple[dict[str, Family], dict[str, Family]]:
    buckets, sums = {}, {}
    for metric in METRICS.values():
        match metric.expression:
            case Quantile(_, family):
                buckets[family.name] = family
            case Ratio(Observed(family), Observations()):
                sums[family.name] = family
    return buckets, sums


COUNTERS: Final[Mapping[str, Counted]] = _counters()
BUCKETS, SUMS = _histograms()


def parts(raw: Raw) -> list[Part]:
    """Write what the table's figures are made of, uptime left out: gains by feature, environment and some labels."""
    told = [
        Part(name, "gain", by(raw.gains(family, {**raw.matchers, **matchers}), *labels))
        for name, (family, labels, matchers) in COUNTERS.items()
    ]
    for name, family in SUMS.items():
        told.append(Part(f"{name}_sum", "gain", raw.histogram(Observed(family))))
        told.append(Part(f"{name}_count", "gain", raw.histogram(Observations(family))))
    told += [Part(f"{name}_bucket", "increase", raw.buckets(family)) for name, family in BUCKETS.items()]
    return told
