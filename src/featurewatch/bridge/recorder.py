"""Calls told one by one: counted in the store, and shown on the bridge's own /metrics for Prometheus to scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from ..errors import Unavailable
from ..exporter.snapshot import Snapshot
from ..model import CallReport, FeatureKey, Sample
from ..stores.base import MetricStore
from ..stores.metric_calls import Price
from ..stores.tally import Tally

MOST_FEATURES: Final = 5_000
"""Features and environments whose calls /metrics shows; the calls of others are counted in the store alone."""


@runtime_checkable
class Ledger(Protocol):
    """A metric store that figures are written to; one over Prometheus has none of this."""

    async def write(self, samples: Sequence[Sample]) -> None:
        """Keep cumulative samples; returns once they are safe."""
        ...

    async def count_calls(
        self, calls: Mapping[FeatureKey, Sequence[CallReport]]
    ) -> Sequence[tuple[FeatureKey, CallReport]]:
        """Count calls, all or none, each id of a feature once; returns those that were new."""
        ...


class CallCounter(Protocol):
    """What counts finished calls, and shows what it counted since its start."""

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int: ...

    def snapshots(self) -> Sequence[Snapshot]: ...


def ledger(metrics: MetricStore) -> Ledger:
    """Return the store as one that is written to.

    Raises:
        Unavailable: it reads from elsewhere; the message says where to send.
    """
    if isinstance(metrics, Ledger):
        return metrics
    raise Unavailable(
        "this bridge reads metrics from FEATUREWATCH_PROMETHEUS_URL and keeps none itself: let Prometheus scrape the "
        "app, or set FEATUREWATCH_OTLP_FORWARD_URL to where OTLP goes"
    )


class Recorder:
    """Counts finished calls, each once."""

    def __init__(self, metrics: MetricStore, price: Price, *, clock: Callable[[], int]) -> None:
        self._metrics = metrics
        self._price = price
        self._clock = clock
        self._tallies: dict[FeatureKey, Tally] = {}
        self._counting = asyncio.Lock()

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int:
        """Count calls and return how many were new, once they are safe. All are counted, or none.

        Raises:
            Unavailable, TooMany: the store cannot take them now.
        """
        # The store knows which of them are new, also after a restart.
        new = await ledger(self._metrics).count_calls(calls)
        if new:
            async with self._counting:
                # In a thread, since looking up a price takes some 0.2 ms.
                await asyncio.to_thread(self._count, new)
        return len(new)

    def snapshots(self) -> list[Snapshot]:
        """Return what was counted since the start, by feature."""
        return [tally.snapshot() for tally in list(self._tallies.values())]

    def _count(self, calls: Sequence[tuple[FeatureKey, CallReport]]) -> None:
        for key, call in calls:
            tally = self._tallies.get(key)
            if tally is None:
                if len(self._tallies) >= MOST_FEATURES:
                    continue
                tally = self._tallies[key] = Tally(key, self._clock())
            tally.add(call, self._price)
