"""Metric stores over real servers, which want samples of these days: the tests' own time is moved by whole days."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from featurewatch.model import FeatureKey, Measurement, Sample
from featurewatch.stores.base import MetricStore
from featurewatch.stores.prometheus import PrometheusStore
from featurewatch.stores.upstream import Target, Upstream
from metric_samples import NOW, NS
from prometheus import Server
from remote_write import points_of

DAY_NS: Final = 86_400 * NS

SHIFT_NS: Final = ((time.time_ns() - NOW) // DAY_NS - 1) * DAY_NS
"""From the tests' time to one of the last two days."""

_cases = itertools.count(1)


class Shifted:
    """A MetricStore that is asked in the tests' time and answers in it."""

    def __init__(self, store: MetricStore) -> None:
        self.store = store
        self.keys = store.keys
        self.info = store.info
        self.costs: Callable[..., Any] = store.costs
        self.errors: Callable[..., Any] = store.errors
        self.in_progress = store.in_progress
        self.ping = store.ping
        self.close = store.close

    async def measure(
        self, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        measured = await self.store.measure(keys, window_s, uptime_window_s)
        return {key: replace(one, timestamp_ns=one.timestamp_ns - SHIFT_NS) for key, one in measured.items()}

    async def history(
        self, key: FeatureKey, metric: str, start_ms: int, end_ms: int, step_s: int
    ) -> Sequence[tuple[int, float | None]]:
        by = SHIFT_NS // 1_000_000
        points = await self.store.history(key, metric, start_ms + by, end_ms + by, step_s)
        return [(at - by, value) for at, value in points]

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> Sequence[tuple[int, float | None]]:
        by = SHIFT_NS // 1_000_000
        points = await self.store.series(key, metric, window_s, start_ms + by, end_ms + by)
        return [(at - by, value) for at, value in points]


@asynccontextmanager
async def over(server: Server, samples: Sequence[Sample], now_ns: int, **options: Any) -> AsyncIterator[Shifted]:
    """Open a store over a server that heard these samples; others' are told apart by a label."""
    case = f"{os.getpid()}-{next(_cases)}"
    server.write(points_of(samples, shift_ms=SHIFT_NS // 1_000_000, extra={"case": case}))
    store = PrometheusStore(
        Upstream(Target("Prometheus", "FEATUREWATCH_PROMETHEUS", server.url, timeout_s=60)),
        uptime_threshold=50,
        matchers={"case": case},
        clock=lambda: now_ns + SHIFT_NS,
        **options,
    )
    try:
        yield Shifted(store)
    finally:
        await store.close()
