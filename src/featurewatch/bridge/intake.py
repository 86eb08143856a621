"""The way in, whatever the protocol: check the caller, make it safe, let everybody know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..access import Principal
from ..model import CallReport, Event, FeatureKey, LogEntry, Sample
from ..snapshots import Snapshots
from ..stores import Stores
from .catalog import Catalog
from .ingest import TestResult, allow_features
from .meters import Meters
from .recent import Recent
from .recorder import Recorder, ledger


@dataclass(frozen=True, slots=True)
class Intake:
    """Keeps what was parsed. When a method returns it is safe, and whoever asks finds it."""

    stores: Stores
    catalog: Catalog
    recorder: Recorder
    snapshots: Snapshots
    recent: Recent
    meters: Meters

    async def lines(self, entries: Sequence[LogEntry], caller: Principal, protocol: str) -> None:
        """Keep lines, all or none.

        Raises:
            Forbidden: the caller may not write for one of the features.
            TooMany, Unavailable: the store cannot take them now.
        """
        keys = {entry.key for entry in entries}
        allow_features(keys, caller.sees)
        await self.stores.logs.append(entries)
        await self.catalog.see(keys)
        self.meters.ingested.labels("logs", protocol).inc(len(entries))

    async def samples(self, samples: Sequence[Sample], caller: Principal) -> None:
        """Keep cumulative samples; the same ones again change nothing. Raises as `lines`."""
        keys = {sample.key for sample in samples}
        allow_features(keys, caller.sees)
        await ledger(self.stores.metrics).write(samples)
        await self._figures_changed(keys)
        self.meters.ingested.labels("metrics", "otlp").inc(len(samples))

    async def calls(self, calls: Mapping[FeatureKey, Sequence[CallReport]], caller: Principal) -> int:
        """Count finished calls, all or none, each id once, and return how many were new. Raises as `lines`."""
        allow_features(calls, caller.sees)
        accepted = await self.recorder.record(calls)
        await self._figures_changed(set(calls))
        self.meters.ingested.labels("calls", "json").inc(accepted)
        return accepted

    async def test_results(self, feature: str, results: Sequence[TestResult], caller: Principal) -> Sequence[Event]:
        """Keep test results and tell the streams. Raises as `lines`."""
        keys = {FeatureKey(feature, result.environment) for result in results}
        allow_features(keys, caller.sees)
        await self.catalog.see(keys)
        events = await self.stores.state.record_events(
            [
                Event(
                    0,
                    result.id or "",
                    FeatureKey(feature, result.environment),
                    "test_result",
                    result.timestamp_ns,
                    result.data,
                )
                for result in results
            ]
        )
        self.meters.ingested.labels("test_results", "json").inc(len(events))
        return events

    async def _figures_changed(self, keys: set[FeatureKey]) -> None:
        await self.catalog.see(keys)
        self.recent.figures += 1
        self.snapshots.expire()
