"""What calls that were told one by one add up to since the start, as the exporter's own series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .. import families
from ..exporter.snapshot import Distribution, Snapshot
from ..families import BUCKETS
from ..formulas import bucket_of
from ..model import OUTCOMES, CallReport, FeatureKey
from .metric_calls import Price

LABEL_LIMIT: Final = 50
"""Kinds of error, and models, that one feature shows; further ones become `other`."""

OTHER: Final = "other"
UNKNOWN_MODEL: Final = "unknown"


@dataclass(slots=True)
class _Observed:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bucket_of(seconds)] += 1
        self.sum += seconds

    def distribution(self) -> Distribution:
        return Distribution(tuple(self.counts), self.sum)


@dataclass(slots=True)
class Tally:
    """The totals of one feature in one environment. Not safe for threads."""

    key: FeatureKey
    start_ns: int
    _requests: Counter[tuple[str, ...]] = field(default_factory=lambda: Counter({(name,): 0 for name in OUTCOMES}))
    _errors: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _tokens: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _unpriced: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _cost: dict[tuple[str, ...], float] = field(default_factory=dict)
    _durations: _Observed = field(default_factory=_Observed)
    _first_tokens: _Observed = field(default_factory=_Observed)
    _kinds: set[str] = field(default_factory=set)
    _models: set[str] = field(default_factory=set)

    def add(self, call: CallReport, price: Price) -> None:
        """Count a call; its cost is estimated where it is not told."""
        self._requests[(call.outcome,)] += 1
        self._durations.add(call.duration_s)
        if call.outcome == "error":
            self._errors[(_bounded(call.error_type or OTHER, self._kinds),)] += 1
        if call.time_to_first_token_s is not None:
            self._first_tokens.add(call.time_to_first_token_s)
        model = _bounded(call.model or UNKNOWN_MODEL, self._models)
        for kind, count in call.tokens.items():
            self._tokens[model, kind] += count
        if call.cost_usd is not None:
            self._spend(model, "reported", call.cost_usd)
        elif call.model and call.tokens:
            estimated = price(call.model, call.tokens)
            if estimated is None:
                self._unpriced[(model,)] += 1
            else:
                self._spend(model, "estimated", estimated)

    def state(self) -> dict[str, Any]:
        """Return all that was counted, in what JSON can hold."""
        counted = (self._requests, self._errors, self._tokens, self._unpriced, self._cost)
        return {
            "start_ns": self.start_ns,
            "counts": [[[*labels, value] for labels, value in series.items()] for series in counted],
            "observed": [[one.counts, one.sum] for one in (self._durations, self._first_tokens)],
        }

    @classmethod
    def restore(cls, key: FeatureKey, state: Mapping[str, Any]) -> Tally:
        """Make the tally that told this state."""
        counts: list[dict[tuple[str, ...], Any]] = [
            {tuple(labels): value for *labels, value in series} for series in state["counts"]
        ]
        requests, errors, tokens, unpriced, cost = counts
        durations, first_tokens = (_Observed(counts, total) for counts, total in state["observed"])
        tally = cls(
            key, state["start_ns"], Counter(requests), Counter(errors), Counter(tokens), Counter(unpriced), cost,
            durations, first_tokens,
        )  # fmt: skip
        tally._kinds = {labels[0] for labels in errors} - {OTHER}
        tally._models = {labels[0] for series in (tokens, unpriced, cost) for labels in series} - {OTHER}
        return tally

    def snapshot(self) -> Snapshot:
        numbers: dict[str, Mapping[tuple[str, ...], float]] = {
            families.REQUESTS.name: dict(self._requests),
            families.ERRORS.name: dict(self._errors),
            families.TOKENS.name: dict(self._tokens),
            families.COST.name: dict(self._cost),
            families.UNPRICED.name: dict(self._unpriced),
        }
        distributions = {
            families.DURATION.name: self._durations.distribution(),
            families.FIRST_TOKEN.name: self._first_tokens.distribution(),
        }
        return Snapshot(self.key, self.start_ns, numbers, distributions)

    def _spend(self, model: str, source: str, usd: float) -> None:
        self._cost[model, source] = self._cost.get((model, source), 0.0) + usd


def _bounded(value: str, known: set[str]) -> str:
    if value not in known:
        if len(known) >= LABEL_LIMIT:
            return OTHER
        known.add(value)
    return value
