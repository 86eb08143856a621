"""All figures of all features as one PromQL expression, and what its answer says. Pure.

The answer holds the parts that the rows of `formulas.METRICS` are made of, each named by the label `stat`: what
counters and histograms gained by (feature, environment) and the labels that the table tells apart. They are put
together by `formulas.evaluate`, as the embedded store's are. So each part is evaluated once, where 13 figures would ask
for the same calls eleven times.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .. import families
from ..families import FAMILIES
from ..formulas import METRICS, Gain, Histogram, Window, evaluate
from ..model import ENVIRONMENT, FEATURE_ID, FeatureKey, Measurement
from .prometheus_api import Series
from .promql import BY, Matchers, by, selector, tagged
from .promql_parts import BUCKETS, COUNTERS, SUMS
from .recording import MARKER, METRIC_OF

__all__ = ["MINUTE", "UPTIME", "Answer", "gauges", "key_of", "only", "read"]

UPTIME: Final = "uptime"
MINUTE: Final = "minute_"
"""How the statistic of a minute's verdict begins; the minute's number follows."""
_IN_PROGRESS: Final = "in_progress"
_INFO: Final = "info"
_BUDGET: Final = "budget"


def only(keys: Collection[FeatureKey] | None) -> Matchers:
    """Return the matchers of the series of some features; they may match more, see `Answer`."""
    if keys is None:
        return {}
    return {name: tuple({key[at] for key in keys}) for at, name in enumerate(BY)}


def gauges(matchers: Matchers) -> list[str]:
    """Write what holds now: what each feature is, its budget, how many calls run."""
    labels = ", ".join((*BY, *families.INFO.labels))
    return [
        tagged(f"count by ({labels}) ({selector(families.INFO.name, matchers)})", _INFO),
        tagged(f"max by ({', '.join(BY)}) ({selector(families.BUDGET.name, matchers)} >= 0)", _BUDGET),
        tagged(by(f"{selector(families.IN_PROGRESS.name, matchers)} >= 0"), _IN_PROGRESS),
    ]


@dataclass(slots=True)
class Answer:
    """What an answer says, by feature and environment.

    Attributes:
        figures: recorded figures by name.
        markers: the labels of what tells that recording rules run.
        skipped: series whose feature or environment is no name that featurewatch takes.
    """

    gained: dict[FeatureKey, dict[str, dict[tuple[str, ...], float]]] = field(default_factory=lambda: defaultdict(dict))
    observed: dict[FeatureKey, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    buckets: dict[FeatureKey, dict[str, dict[float, float]]] = field(default_factory=lambda: defaultdict(dict))
    figures: dict[FeatureKey, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    uptimes: dict[FeatureKey, float] = field(default_factory=dict)
    minutes: dict[int, dict[FeatureKey, bool]] = field(default_factory=lambda: defaultdict(dict))
    running: dict[FeatureKey, int] = field(default_factory=dict)
    budgets: dict[FeatureKey, float] = field(default_factory=dict)
    infos: dict[FeatureKey, Counter[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(Counter))
    markers: list[Mapping[str, str]] = field(default_factory=list)
    skipped: int = 0

    def keys(self) -> set[FeatureKey]:
        """Return every feature of which anything was said."""
        told = (self.gained, self.observed, self.buckets, self.figures, self.uptimes, self.running, self.budgets)
        return set().union(*told, self.infos)

    def info(self) -> dict[FeatureKey, dict[str, str]]:
        """Tell name, owner and version as most processes say them (of equals the greatest), and the budget."""
        found: dict[FeatureKey, dict[str, str]] = {}
        for key, said in self.infos.items():
            values = max(said, key=lambda values: (said[values], values))
            found[key] = dict(zip(families.INFO.labels, values, strict=True))
        for key, budget in self.budgets.items():
            found.setdefault(key, {})["budget_usd_per_day"] = f"{budget:.10g}"
        return found

    def measure(
        self, keys: Iterable[FeatureKey], window_s: float, time_ns: int, uptimes: Mapping[FeatureKey, float]
    ) -> dict[FeatureKey, Measurement]:
        """Put the parts together."""
        return {key: Measurement(key, time_ns, evaluate(self._window(key, window_s, uptimes.get(key)))) for key in keys}

    def recorded(
        self, keys: Iterable[FeatureKey], time_ns: int, uptimes: Mapping[FeatureKey, float]
    ) -> dict[FeatureKey, Measurement]:
        """Take the figures as they were recorded."""
        return {
            key: Measurement(
                key, time_ns, {**dict.fromkeys(METRICS), **self.figures.get(key, {}), UPTIME: uptimes.get(key)}
            )
            for key in keys
        }

    def _window(self, key: FeatureKey, window_s: float, up: float | None) -> Window:
        said, sums = self.buckets.get(key, {}), self.observed.get(key, {})
        histograms = {}
        for name in {**BUCKETS, **SUMS}:
            cumulative = said.get(name, {})
            if cumulative or f"{name}_count" in sums:
                histograms[name] = _histogram(cumulative, sums.get(f"{name}_sum"), sums.get(f"{name}_count"))
        return Window(window_s, self.gained.get(key, {}), histograms, up)


def read(series: Iterable[Series], keys: Collection[FeatureKey] | None) -> Answer:
    """Sort an answer's series by what they are, those of other features than `keys` left out."""
    answer = Answer()
    keys = None if keys is None else frozenset(keys)
    known: dict[tuple[str | None, str | None], FeatureKey | None] = {}
    for labels, value in series:
        stat = labels.get("stat") or labels.get("__name__", "")
        if stat == MARKER:
            answer.markers.append(labels)
            continue
        told = labels.get("feature"), labels.get("environment")
        if told not in known:
            known[told] = key_of(labels)
        key = known[told]
        if key is None:
            answer.skipped += 1
        elif keys is None or key in keys:
            _sort(answer, key, METRIC_OF.get(stat, stat), labels, value)
    return answer


def key_of(labels: Mapping[str, str]) -> FeatureKey | None:
    """Return the feature and environment of a series; None where they are no names that featurewatch takes."""
    feature, environment = (labels.get(name, "") for name in BY)
    if FEATURE_ID.fullmatch(feature) is None or ENVIRONMENT.fullmatch(environment) is None:
        return None
    return FeatureKey(feature, environment)


def _sort(answer: Answer, key: FeatureKey, stat: str, labels: Mapping[str, str], value: float) -> None:
    if stat in COUNTERS:
        values = tuple(labels.get(label, "") for label in FAMILIES[stat].labels)
        answer.gained[key].setdefault(stat, {})[values] = value
    elif stat.endswith("_bucket"):
        answer.buckets[key].setdefault(stat.removesuffix("_bucket"), {})[float(labels["le"])] = value
    elif stat in METRICS and stat != UPTIME:
        expression = METRICS[stat].expression
        whole = isinstance(expression, Gain) and expression.whole
        answer.figures[key][stat] = round(value) if whole else value
    elif stat.startswith(MINUTE):
        answer.minutes[int(stat.removeprefix(MINUTE))][key] = value > 0
    elif stat == UPTIME:
        answer.uptimes[key] = value
    elif stat == _IN_PROGRESS:
        answer.running[key] = round(value)
    elif stat == _BUDGET:
        answer.budgets[key] = value
    elif stat == _INFO:
        answer.infos[key][tuple(labels.get(label, "") for label in families.INFO.labels)] += round(value)
    else:
        answer.observed[key][stat] = value


def _histogram(cumulative: Mapping[float, float], total: float | None, observed: float | None) -> Histogram:
    """Make a histogram of buckets by their upper bounds; without its sum nothing is known of the mean."""
    bounds = sorted(bound for bound in cumulative if math.isfinite(bound))
    counts, below = [], 0.0
    for bound in (*bounds, math.inf):
        upto = max(below, cumulative.get(bound, below))
        counts.append(upto - below)
        below = upto
    return Histogram(counts, total or 0.0, 0.0 if total is None else observed, bounds)
