"""Calls told one by one: counted in the store, and shown on the bridge's own /metrics for Prometheus to scrape."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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

IDS_KEPT: Final = 100_000


@runtime_checkable
class Ledger(Protocol):
    """A metric store that figures are written to; one over Prometheus has none of this."""

    async def write(self, samples: Sequence[Sample]) -> None:
        """Keep cumulative samples; returns once they are safe."""
        ...

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int:
        """Count calls, all or none, each id of a feature once; returns how many were new."""
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
        self._told: OrderedDict[tuple[FeatureKey, str], None] = OrderedDict()
        self._counting = asyncio.Lock()

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int:
        """Count calls and return how many were new, once they are safe. All are counted, or none.

        Raises:
            Unavailable, TooMany: the store cannot take them now.
        """
        accepted = await ledger(self._metrics).record(calls)
        if accepted:
            new = [(key, call) for key, told in calls.items() for call in told if self._is_new(key, call)]
            async with self._counting:
                # In a thread, since looking up a price takes some 0.2 ms.
                await asyncio.to_thread(self._count, new[:accepted])
        return accepted

    def snapshots(self) -> list[Snapshot]:
        """Return what was counted since the start, by feature."""
        return [tally.snapshot() for tally in list(self._tallies.values())]

    def _is_new(self, key: FeatureKey, call: CallReport) -> bool:
        """Tell whether this process did not see the call before; the store remembers longer, and decides."""
        if call.id is None:
            return True
        if (key, call.id) in self._told:
            return False
        self._told[key, call.id] = None
        if len(self._told) > IDS_KEPT:
            self._told.popitem(last=False)
        return True

    def _count(self, calls: Sequence[tuple[FeatureKey, CallReport]]) -> None:
        for key, call in calls:
            tally = self._tallies.get(key)
            if tally is None:
                if len(self._tallies) >= MOST_FEATURES:
                    continue
                tally = self._tallies[key] = Tally(key, self._clock())
            tally.add(call, self._price)
