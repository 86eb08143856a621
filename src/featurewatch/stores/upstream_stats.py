"""What is counted of the requests to one upstream: how long answers took, and what became of the others."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["BOUNDS", "FAILURES", "Failure", "UpstreamStats"]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency's buckets, seconds."""

Failure: TypeAlias = Literal["timeout", "unreachable", "broken", "busy", "refused", "error", "garbage"]
FAILURES: Final[tuple[Failure, ...]] = get_args(Failure)
"""Why a request failed: no answer in time, no connection, cut off, 429, another 4xx or 3xx, 5xx, not what was asked."""


@dataclass(slots=True)
class UpstreamStats:
    """Counts since the start. `counts` is by bucket of `BOUNDS`, the last one above the highest bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    last_seconds: float = 0.0
    failures: Counter[Failure] = field(default_factory=Counter)

    def answered(self, seconds: float, status: int) -> None:
        """Count an answer, whatever it says."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.last_seconds = seconds
        if status == 429:
            self.failures["busy"] += 1
        elif status >= 500:
            self.failures["error"] += 1
        elif status >= 300:
            self.failures["refused"] += 1
