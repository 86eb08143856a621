"""One figure minute by minute, each over a window that ends there, as Prometheus tells it: what rules look at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from ..formulas import Metric, Quantile, Uptime
from ..model import FeatureKey
from .prometheus_api import QueryApi, Values
from .prometheus_figures import key_of
from .prometheus_minutes import figures, names_of
from .promql import HEARD_S, Raw, render, selector, verdict
from .sliding import Sliding
from .steps import MAX_POINTS, points_of

__all__ = ["STEP_S", "series", "whole_minutes"]

STEP_S: Final = 60
MOST_SERIES: Final = 80
"""Raw series that are read at each minute: above it their figure is asked for, less often."""
SPARING: Final = 5
_QUICK_S: Final = 3600
"""A quantile of so short a window costs Prometheus less than to tell all buckets."""

_Labels: TypeAlias = tuple[tuple[str, str], ...]
_MINUTE_MS: Final = 60_000


def whole_minutes(start_ms: int, end_ms: int) -> Sequence[int]:
    """Return the whole minutes in [start, end], epoch ms; OutOfRange where they are too many."""
    return points_of(-(-start_ms // _MINUTE_MS) * _MINUTE_MS, end_ms // _MINUTE_MS * _MINUTE_MS, STEP_S)


async def series(
    api: QueryApi, key: FeatureKey, row: Metric, raw: Raw, recorded: str | None, points: Sequence[int]
) -> list[tuple[int, float | None]]:
    """Ask for a figure at each point; where its series are very many, at each fifth.

    Args:
        raw: how it is read from raw series, over its window.
        recorded: how it is read as it was recorded; None where it is not.
        points: whole minutes, epoch ms.
    """
    if not points:
        return []
    if recorded is not None:
        told = await _asked(api, key, recorded, points)
        return [(at, told.get(at)) for at in points]
    if isinstance(row.expression, Uptime):
        return await _uptime(api, key, raw, points)
    window_s = max(STEP_S, round(raw.window_s))
    begin = points[0] - (window_s + HEARD_S) * 1000
    selected = selector("", {"__name__": names_of(row.expression)}, raw.matchers)
    many = await api.count(selected, begin, points[-1]) > MOST_SERIES
    if many or (isinstance(row.expression, Quantile) and window_s <= _QUICK_S):
        every = points[::SPARING] if many else points
        told = await _asked(api, key, render(row.expression, raw), every)
        return [(at, told.get(at)) for at in every]
    found: dict[_Labels, dict[int, float]] = {}
    for part in _parts(range(begin, points[-1] + 1, _MINUTE_MS)):
        for one in await api.range(selected, part[0], part[-1], STEP_S):
            if key_of(one.labels) == key:
                found.setdefault(tuple(sorted(one.labels.items())), {}).update(one.values)
    raws = [Values(dict(labels), values) for labels, values in found.items()]
    minutes = range(begin // _MINUTE_MS, points[-1] // _MINUTE_MS + 1)
    values = await asyncio.to_thread(lambda: list(figures(row.expression, raws, minutes, points, window_s)))
    return list(zip(points, values, strict=True))


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
    for part in _parts(points):
        step_s = (part[1] - part[0]) // 1000 if len(part) > 1 else STEP_S
        for one in await api.range(promql, part[0], part[-1], step_s):
            if key_of(one.labels) == key:
                values.update(one.values)
    return values


def _parts(points: Sequence[int]) -> Iterator[Sequence[int]]:
    return (points[start : start + MAX_POINTS] for start in range(0, len(points), MAX_POINTS))
