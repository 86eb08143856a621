"""Figures of minutes that are over: what a rule saw when its alert fired, or ended."""

from __future__ import annotations

from typing import Final

from ..model import FeatureKey
from ..stores.base import MetricStore
from ..times import NS

__all__ = ["AT_ONCE", "MINUTE_NS", "figure_of_minute", "minute_of"]

AT_ONCE: Final = 8
"""Figures that a store is asked for at a time."""
MINUTE_NS: Final = 60 * NS


def minute_of(at_ns: int) -> int:
    """Return the minute since the epoch by whose end an instant has come."""
    return -(-at_ns // MINUTE_NS)


async def figure_of_minute(
    metrics: MetricStore, key: FeatureKey, metric: str, window_minutes: int, minute: int
) -> float | None:
    """Return a figure over the window that ended with a minute, None where it cannot be known.

    Raises:
        FeaturewatchError: the store cannot be asked.
    """
    at_ms = minute * 60_000
    return dict(await metrics.series(key, metric, window_minutes * 60, at_ms, at_ms)).get(at_ms)
