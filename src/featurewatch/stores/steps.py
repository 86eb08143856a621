"""The points of a history: one for each step, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from ..errors import BadInput, OutOfRange
from ..formulas import METRICS, Metric, metric_named

__all__ = ["MAX_POINTS", "metric_of", "points_of"]

MAX_POINTS: Final = 11_000
"""As many as Prometheus gives."""


def points_of(start_ms: int, end_ms: int, step_s: int) -> Sequence[int]:
    """Return the instants of a history, epoch milliseconds.

    Raises:
        OutOfRange: more than `MAX_POINTS`; the message says which step to use.
    """
    count = (end_ms - start_ms) // (step_s * 1000) + 1
    if count > MAX_POINTS:
        least = ceil((end_ms - start_ms) / 1000 / (MAX_POINTS - 1))
        raise OutOfRange(f"step: {step_s} s would make {count} points, at most {MAX_POINTS} are given: use {least} s")
    return range(start_ms, start_ms + max(0, count) * step_s * 1000, step_s * 1000)


def metric_of(name: str) -> Metric:
    """Return the metric of a name.

    Raises:
        BadInput: there is none.
    """
    found = metric_named(name)
    if found is None:
        raise BadInput(f"metric: expected one of {', '.join(METRICS)}, got {name[:64]!r}")
    return found
