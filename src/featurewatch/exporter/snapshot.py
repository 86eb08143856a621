"""What a scrape or a push shows of one feature, at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..model import FeatureKey

OTHER: Final = "other"
"""What counts for all that is one too many: error types, models, features."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's state: `counts` per bucket (not cumulative; the last is above the highest bound), their sum."""

    counts: tuple[int, ...]
    sum: float


class Exemplar(NamedTuple):
    """A call that stands for its bucket: its trace, its span if that is known, seconds it took, Unix time of it."""

    trace_id: str
    span_id: str
    value: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All series of one feature in one environment at one instant.

    Attributes:
        start_ns: since when it counts, nanoseconds UTC.
        numbers: by family name, then by the values of the family's labels in their order. Counts are int.
        distributions: by family name.
        exemplars: of the duration's buckets, the latest of each, by the bucket's index.
    """

    key: FeatureKey
    start_ns: int
    numbers: Mapping[str, Mapping[tuple[str, ...], float]]
    distributions: Mapping[str, Distribution]
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
