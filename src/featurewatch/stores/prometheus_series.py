"""One figure minute by minute, each over a window that ends there, as Prometheus tells it: what rules look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..formulas import Metric, Uptime
from ..model import FeatureKey
from .prometheus_api import QueryApi
from .prometheus_figures import key_of
from .promql import Raw, render, verdict
from .sliding import Sliding
from .steps import MAX_POINTS, points_of

__all__ = ["STEP_S", "series", "whole_minutes"]

STEP_S: Final = 60
_MINUTE_MS: Final = 60_000


def whole_minutes(start_ms: int, end_ms: int) -> Sequence[int]:
    """Return the whole minutes in [start, end], epoch ms; OutOfRange where they are too many."""
    return points_of(-(-start_ms // _MINUTE_MS) * _MINUTE_MS, end_ms // _MINUTE_MS * _MINUTE_MS, STEP_S)


async def series(
    api: QueryApi, key: FeatureKey, row: Metric, raw: Raw, recorded: str | None, points: Sequence[int]
) -> list[tuple[int, float | None]]:
    """Ask for a figure at each point.

    Args:
        raw: how it is read from raw series, over its window.
        recorded: how it is read as it was recorded; None where it is not.
        points: whole minutes, epoch ms.
    """
    if not points:
        return []
    if recorded is None and isinstance(row.expression, Uptime):
        return await _uptime(api, key, raw, points)
    told = await _asked(api, key, recorded or render(row.expression, raw), points)
    return [(at, told.get(at)) for at in points]


async def _uptime(api: QueryApi, key: FeatureKey, raw: Raw, points: Sequence[int]) -> list[tuple[int, float | None]]:
    """Ask for each minute's verdict once: a subquery would compute each anew for every point of its window."""
    length = max(1, round(raw.window_s / STEP_S))
    before = range(points[0] - (length - 1) * _MINUTE_MS, points[0], _MINUTE_MS)
    up, judged = Sliding(), Sliding()
    for at, value in (await _asked(api, key, verdict(raw.threshold, raw.matchers), [*before, *points])).items():
        up.add(at // _MINUTE_MS, value)
        judged.add(at // _MINUTE_MS, 1)
    found: list[tuple[int, float | None]] = []
    for at in points:
        minute = at // _MINUTE_MS
        ups, minutes = up.at(minute, length), judged.at(minute, length)
        found.append((at, 100 * ups / minutes if minutes else None))
    return found


async def _asked(api: QueryApi, key: FeatureKey, promql: str, points: Sequence[int]) -> dict[int, float]:
    values: dict[int, float] = {}
    for start in range(0, len(points), MAX_POINTS):
        part = points[start : start + MAX_POINTS]
        for one in await api.range(promql, part[0], part[-1], STEP_S):
            if key_of(one.labels) == key:
                values.update(one.values)
    return values
