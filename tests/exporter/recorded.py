"""What a feature has recorded, in the words of the tests."""

from __future__ import annotations

from dataclasses import dataclass

from featurewatch import Feature
from featurewatch.exporter.runtime import RUNTIME


@dataclass(frozen=True)
class Recorded:
    success: int
    error: int
    cancelled: int
    in_progress: int
    durations: int
    duration_sum: float
    first_tokens: int
    errors: dict[str, int]
    tokens: dict[tuple[str, str], int]
    cost: dict[tuple[str, str], float]
    unpriced: dict[str, int]

    @property
    def outcomes(self) -> tuple[int, int, int]:
        return self.success, self.error, self.cancelled


def recorded(feature: Feature) -> Recorded:
    (snapshot,) = (snapshot for snapshot in RUNTIME.snapshots() if snapshot.key.feature == feature.id)
    numbers = snapshot.numbers
    requests = numbers["feature_requests_total"]
    return Recorded(
        success=int(requests["success",]),
        error=int(requests["error",]),
        cancelled=int(requests["cancelled",]),
        in_progress=int(numbers["feature_requests_in_progress"][()]),
        durations=sum(snapshot.distributions["feature_request_duration_seconds"].counts),
        duration_sum=snapshot.distributions["feature_request_duration_seconds"].sum,
        first_tokens=sum(snapshot.distributions["feature_time_to_first_token_seconds"].counts),
        errors={labels[0]: int(count) for labels, count in numbers["feature_errors_total"].items()},
        tokens={(model, kind): int(count) for (model, kind), count in numbers["feature_tokens_total"].items() if count},
        cost={(model, source): usd for (model, source), usd in numbers["feature_cost_usd_total"].items() if usd},
        unpriced={labels[0]: int(count) for labels, count in numbers["feature_unpriced_requests_total"].items()},
    )


def dropped(signal: str, reason: str) -> int:
    """Sum what was dropped for a reason over all features."""
    return sum(
        count
        for (its_signal, its_reason, _), count in RUNTIME.drops.snapshot().items()
        if (its_signal, its_reason) == (signal, reason)
    )
