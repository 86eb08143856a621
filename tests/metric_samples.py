"""Apps for tests of metric stores: they count calls as an exporter does, and tell what they counted as samples.

Deliberately plain and apart from the code under test: expected figures are computed from the list of calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from featurewatch.model import FeatureKey, Outcome, Sample

NS: Final = 10**9
EDGES: Final = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

CHAT: Final = FeatureKey("chat", "production")
STAGED: Final = FeatureKey("chat", "staging")
SEARCH: Final = FeatureKey("search", "production")

NOW: Final = 1_771_000_000 * NS + 3 * NS
"""A Friday, 16:26:43: not on an edge of any row."""


@dataclass(frozen=True)
class Done:
    """A call that ended."""

    at_ns: int
    outcome: Outcome = "success"
    seconds: float = 0.1
    first_token: float | None = None
    error_type: str = "TimeoutError"
    model: str = ""
    tokens: tuple[tuple[str, int], ...] = ()
    reported: float | None = None
    estimated: float | None = None


@dataclass
class App:
    """One process with one feature. `samples` tells all that it would export at an instant."""

    key: FeatureKey = CHAT
    instance: str = "one"
    start_ns: int = NOW - 3600 * NS
    calls: list[Done] = field(default_factory=list)
    in_progress: int = 0
    budget: float | None = None
    info: tuple[str, str, str] | None = None
    probes: list[tuple[int, bool]] = field(default_factory=list)

    def samples(self, at_ns: int) -> list[Sample]:
        done = [call for call in self.calls if call.at_ns <= at_ns]
        outcomes = Counter({"success": 0, "error": 0, "cancelled": 0})
        outcomes.update(call.outcome for call in done)
        told = [self._counter("feature_requests_total", (outcome,), at_ns, n) for outcome, n in outcomes.items()]
        errors = Counter(call.error_type for call in done if call.outcome == "error")
        told += [self._counter("feature_errors_total", (kind,), at_ns, n) for kind, n in errors.items()]
        told.append(self._histogram("feature_request_duration_seconds", at_ns, [call.seconds for call in done]))
        if first := [call.first_token for call in done if call.first_token is not None]:
            told.append(self._histogram("feature_time_to_first_token_seconds", at_ns, first))
        tokens: Counter[tuple[str, str]] = Counter()
        cost: Counter[tuple[str, str]] = Counter()
        unpriced: Counter[str] = Counter()
        for call in done:
            for kind, count in call.tokens:
                tokens[call.model, kind] += count
            for source in ("reported", "estimated"):
                if (usd := getattr(call, source)) is not None:
                    cost[call.model, source] += usd
            if call.tokens and call.reported is None and call.estimated is None:
                unpriced[call.model] += 1
        told += [self._counter("feature_tokens_total", labels, at_ns, n) for labels, n in tokens.items()]
        told += [self._counter("feature_cost_usd_total", labels, at_ns, float(usd)) for labels, usd in cost.items()]
        told += [self._counter("feature_unpriced_requests_total", (of,), at_ns, n) for of, n in unpriced.items()]
        told.append(self._gauge("feature_requests_in_progress", at_ns, self.in_progress))
        if self.budget is not None:
            told.append(self._gauge("feature_budget_usd_per_day", at_ns, self.budget))
        if self.info is not None:
            told.append(self._gauge("feature_info", at_ns, 1, self.info))
        if results := [ok for probed_ns, ok in self.probes if probed_ns <= at_ns]:
            told.append(self._gauge("feature_probe_success", at_ns, float(results[-1])))
        return told

    def pushes(self, until_ns: int = NOW, *, since_ns: int | None = None, every_s: float = 5) -> Iterator[list[Sample]]:
        """Tell everything at each interval."""
        step = int(every_s * NS)
        for at_ns in range((since_ns or self.start_ns) + step, until_ns + 1, step):
            yield self.samples(at_ns)

    def _counter(self, family: str, labels: tuple[str, ...], at_ns: int, value: float) -> Sample:
        return Sample(family, self.key, labels, self.instance, self.start_ns, at_ns, value)

    def _gauge(self, family: str, at_ns: int, value: float, labels: tuple[str, ...] = ()) -> Sample:
        return Sample(family, self.key, labels, self.instance, 0, at_ns, value)

    def _histogram(self, family: str, at_ns: int, values: list[float]) -> Sample:
        counts = [0] * (len(EDGES) + 1)
        for value in values:
            counts[sum(edge < value for edge in EDGES)] += 1
        return Sample(family, self.key, (), self.instance, self.start_ns, at_ns, float(sum(values)), tuple(counts))


def requests(total: int, *, at_ns: int, start_ns: int, instance: str = "one", key: FeatureKey = CHAT) -> Sample:
    """Make the sample of a process's successful calls."""
    return Sample("feature_requests_total", key, ("success",), instance, start_ns, at_ns, total)


def flat(pushes: Iterable[list[Sample]]) -> list[Sample]:
    return [sample for push in pushes for sample in push]
