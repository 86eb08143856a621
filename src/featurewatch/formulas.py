"""What a figure means: one row of `METRICS` each, read by every store, rule, dashboard and answer.

A definition is a small expression over what the families of `families.py` gained within a window. `evaluate`
computes it from a `Window` that an embedded store counted; a store over Prometheus renders the same expression
as PromQL. So the two cannot disagree about what `error_rate` is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from . import families
from .families import BUCKETS, Family


@dataclass(frozen=True, slots=True)
class Gain:
    """What a counter gained in the window, summed over the series whose label is one of `values`."""

    family: Family
    label: str = ""
    values: tuple[str, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Observed:
    """The sum of what a histogram observed in the window, in the family's unit."""

    family: Family


@dataclass(frozen=True, slots=True)
class Observations:
    """How many values a histogram observed in the window."""

    family: Family


@dataclass(frozen=True, slots=True)
class PerMinute:
    """An expression divided by the window's length in minutes."""

    inner: Gain


@dataclass(frozen=True, slots=True)
class Ratio:
    """`scale` × top / bottom; unknown where the bottom is absent or 0."""

    top: Gain | Observed
    bottom: Gain | Observations
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Quantile:
    """The q-quantile of a histogram by linear interpolation within its bucket, as PromQL's histogram_quantile."""

    q: float
    family: Family
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Uptime:
    """Percent of the minutes with traffic in which fewer than a share of the calls failed."""


Expression: TypeAlias = Gain | PerMinute | Ratio | Quantile | Uptime


@dataclass(frozen=True, slots=True)
class Mark:
    """How a figure is marked for display: good while `above` or below `good`, an error from `error` on."""

    good: float
    error: float
    above: bool

    def judge(self, value: float) -> str:
        if value > self.good if self.above else value < self.good:
            return "good"
        return "warning" if (value > self.error if self.above else value < self.error) else "error"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its name on the wire, unit, meaning, and how it is computed."""

    name: str
    unit: str
    help: str
    expression: Expression
    mark: Mark | None = None


_CALLS: Final = Gain(families.REQUESTS)
_FAILED: Final = Gain(families.REQUESTS, "outcome", ("error",))
_SUCCEEDED: Final = Gain(families.REQUESTS, "outcome", ("success",))
_DECIDED: Final = Gain(families.REQUESTS, "outcome", ("success", "error"))
_COST: Final = Gain(families.COST, whole=False)
_TOKENS: Final = Gain(families.TOKENS, "kind", ("input", "output"))
_MEAN: Final = Ratio(Observed(families.DURATION), Observations(families.DURATION), 1000.0)

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            "uptime",
            "percent",
            "Minutes with traffic in which fewer than half of the calls failed, over 24 hours.",
            Uptime(),
            Mark(99, 95, above=True),
        ),
        Metric(
            "error_rate",
            "percent",
            "Failed calls among those that succeeded or failed; cancelled ones are left out.",
            Ratio(_FAILED, _DECIDED, 100.0),
            Mark(1, 5, above=False),
        ),
        Metric(
            "success_rate",
            "percent",
            "Successful calls among those that succeeded or failed.",
            Ratio(_SUCCEEDED, _DECIDED, 100.0),
            Mark(95, 90, above=True),
        ),
        Metric("response_time", "ms", "Mean duration of a call.", _MEAN, Mark(500, 1000, above=False)),
        Metric("total_requests", "requests", "Calls that ended, cancelled ones included.", _CALLS),
        Metric("requests_per_minute", "requests/min", "Calls that ended, by minute.", PerMinute(_CALLS)),
        Metric("cost_per_request", "USD", "Mean cost of a call.", Ratio(_COST, _CALLS)),
        Metric("response_time_p50", "ms", "Median duration.", Quantile(0.5, families.DURATION, 1000.0)),
        Metric("response_time_p95", "ms", "95 of 100 calls are faster.", Quantile(0.95, families.DURATION, 1000.0)),
        Metric("response_time_p99", "ms", "99 of 100 calls are faster.", Quantile(0.99, families.DURATION, 1000.0)),
        Metric(
            "time_to_first_token_p95",
            "ms",
            "95 of 100 calls gave their first token sooner.",
            Quantile(0.95, families.FIRST_TOKEN, 1000.0),
        ),
        Metric("total_cost", "USD", "Cost of all calls, reported and estimated.", _COST),
        Metric("tokens_per_request", "tokens", "Mean input and output tokens of a call.", Ratio(_TOKENS, _CALLS)),
    )
}

ALIASES: Final[dict[str, str]] = {"avg_response_time": "response_time"}


def metric_named(name: str) -> Metric | None:
    """Find a metric by its name, also written `metrics.error_rate` or by an older name."""
    bare = name.removeprefix("metrics.")
    return METRICS.get(ALIASES.get(bare, bare))


@dataclass(slots=True)
class Histogram:
    """What a histogram gained: `counts` per bucket (not cumulative), the last one above the highest bound.

    Attributes:
        total: the sum of what was observed.
        observed: how many values, where that is known better than from the buckets.
    """

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    total: float = 0.0
    observed: float | None = None
    bounds: Sequence[float] = BUCKETS

    @property
    def count(self) -> float:
        return sum(self.counts) if self.observed is None else self.observed


@dataclass(slots=True)
class Window:
    """What the families of one feature and environment gained within `seconds`.

    Attributes:
        counters: family name to label values (in the family's order) to gain. A series that exists without
            traffic stands with 0; a family that is absent has no series.
        histograms: family name to its gains.
        uptime: percent, counted by the store over the uptime's own range; None where no minute had traffic.
    """

    seconds: float
    counters: Mapping[str, Mapping[tuple[str, ...], float]]
    histograms: Mapping[str, Histogram]
    uptime: float | None = None


def evaluate(window: Window) -> dict[str, float | None]:
    """Compute every metric of the table; what cannot be known is None, never 0 or 100."""
    return {name: evaluate_one(metric.expression, window) for name, metric in METRICS.items()}


def evaluate_one(expression: Expression, window: Window) -> float | None:
    """Compute one expression over a window, None where it cannot be known."""
    match expression:
        case Gain():
            gained = _gain(expression, window)
            return round(gained) if gained is not None and expression.whole else gained
        case PerMinute(inner):
            gained = _gain(inner, window)
            return None if gained is None else gained * 60 / window.seconds
        case Ratio(top, bottom, scale):
            below = _gain(bottom, window) if isinstance(bottom, Gain) else _observations(bottom, window)
            above = _gain(top, window) if isinstance(top, Gain) else _observed(top, window)
            return scale * above / below if below and above is not None else None
        case Quantile(q, family, scale):
            histogram = window.histograms.get(family.name)
            value = None if histogram is None else quantile(q, histogram.counts, histogram.bounds)
            return None if value is None else value * scale
        case Uptime():
            return window.uptime


def quantile(q: float, counts: Sequence[float], bounds: Sequence[float] = BUCKETS) -> float | None:
    """Estimate a quantile from bucket counts, as Prometheus does.

    Linear within the bucket that holds the rank; the first starts at 0; above the highest bound that bound is
    the answer. https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    total = sum(counts)
    if total <= 0:
        return None
    rank = q * total
    below = 0.0
    for index, count in enumerate(counts[:-1]):
        if count > 0 and below + count >= rank:
            start = bounds[index - 1] if index else 0.0
            return start + (bounds[index] - start) * (rank - below) / count
        below += count
    return bounds[-1]


def bucket_of(seconds: float) -> int:
    """Find the bucket (its upper bound is inclusive) that an observation falls in."""
    return bisect_left(BUCKETS, seconds)


def _gain(gain: Gain, window: Window) -> float | None:
    series = window.counters.get(gain.family.name)
    if not series:
        return None
    if not gain.label:
        return sum(series.values())
    at = gain.family.labels.index(gain.label)
    return sum(value for labels, value in series.items() if labels[at] in gain.values)


def _observed(expression: Observed, window: Window) -> float | None:
    histogram = window.histograms.get(expression.family.name)
    return None if histogram is None else histogram.total


def _observations(expression: Observations, window: Window) -> float | None:
    histogram = window.histograms.get(expression.family.name)
    return None if histogram is None else histogram.count


def families_of(expression: Expression) -> frozenset[str]:
    """Name the families that an expression reads, so that a store fetches no others; uptime reads none of a Window."""
    match expression:
        case Ratio(top, bottom):
            return frozenset({top.family.name, bottom.family.name})
        case PerMinute(inner):
            return frozenset({inner.family.name})
        case Uptime():
            return frozenset()
        case _:
            return frozenset({expression.family.name})
