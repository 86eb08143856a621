"""The way in, whatever the protocol: check the caller, make it safe, let everybody know."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from ..access import Principal
from ..model import CallReport, Event, FeatureKey, LogEntry, Sample
from ..snapshots import Snapshots
from ..stores import Stores
from .catalog import Catalog
from .ingest import TestResult, allow_features
from .meters import Meters
from .otlp_forward import ForwardBatch, Forwarder
from .recent import Recent
from .recorder import CallCounter, ledger


class Left(NamedTuple):
    """How many items were left out since their features are new and there are too many, and why in one line."""

    items: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Intake:
    """Keeps what was parsed. When a method returns it is safe, and whoever asks finds it."""

    stores: Stores
    catalog: Catalog
    recorder: CallCounter
    snapshots: Snapshots
    recent: Recent
    meters: Meters
    forwarder: Forwarder | None = None

    async def lines(self, entries: Sequence[LogEntry], caller: Principal, protocol: str) -> None:
        """Keep lines, all or none.

        Raises:
            Forbidden: the caller may not write for one of the features.
            OutOfRange: one of them is new and there are too many.
            TooMany, Unavailable: the store cannot take them now.
        """
        with self._room({entry.key for entry in entries}, caller):
            await self._keep_lines(entries, protocol)

    async def fitting_lines(self, entries: Sequence[LogEntry], caller: Principal, protocol: str) -> Left:
        """Keep the lines of features for which there is room, and tell what was left out. Raises as `lines`."""
        keys = {entry.key for entry in entries}
        allow_features(keys, caller.sees)
        with self.catalog.room(keys) as excess:
            fitting = [entry for entry in entries if entry.key not in excess] if excess else entries
            await self._keep_lines(fitting, protocol)
            return self._left(len(entries) - len(fitting), excess)

    async def fitting_samples(self, samples: Sequence[Sample], caller: Principal) -> Left:
        """Keep cumulative samples; the same ones again change nothing. Else as `fitting_lines`."""
        keys = {sample.key for sample in samples}
        allow_features(keys, caller.sees)
        with self.catalog.room(keys) as excess:
            fitting = [sample for sample in samples if sample.key not in excess] if excess else samples
            await ledger(self.stores.metrics).write(fitting)
            await self._figures_changed(keys - excess)
            self.meters.ingested.labels("metrics", "otlp").inc(len(fitting))
            return self._left(len(samples) - len(fitting), excess)

    async def forwarded(self, batch: ForwardBatch, caller: Principal) -> Left:
        """Pass cumulative points on to where metrics are kept. Else as `fitting_samples`.

        Raises:
            UpstreamError: they were refused there.
        """
        if self.forwarder is None:
            ledger(self.stores.metrics)
            return Left()
        allow_features(batch.keys, caller.sees)
        with self.catalog.room(batch.keys) as excess:
            fitting = batch.without(excess) if excess else batch.points
            refused, why = await self.forwarder.send(batch.request, fitting)
            await self.catalog.see(batch.keys - excess)
            self.meters.ingested.labels("metrics", "otlp").inc(len(fitting) - refused)
            left = self._left(len(batch.points) - len(fitting), excess)
            return Left(left.items + refused, left.message or why)

    async def calls(self, calls: Mapping[FeatureKey, Sequence[CallReport]], caller: Principal) -> int:
        """Count finished calls, all or none, each id once, and return how many were new. Raises as `lines`."""
        with self._room(set(calls), caller):
            accepted = await self.recorder.record(calls)
            await self._figures_changed(set(calls))
        self.meters.ingested.labels("calls", "json").inc(accepted)
        return accepted

    async def test_results(self, feature: str, results: Sequence[TestResult], caller: Principal) -> Sequence[Event]:
        """Keep test results and tell the streams. Raises as `lines`."""
        keys = {FeatureKey(feature, result.environment) for result in results}
        with self._room(keys, caller):
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
        for event in events:
            self.meters.test_results.labels(*event.key, str(event.data["passed"]).lower()).inc()
        return events

    @contextmanager
    def _room(self, keys: set[FeatureKey], caller: Principal) -> Iterator[None]:
        allow_features(keys, caller.sees)
        with self.catalog.room(keys) as excess:
            if excess:
                raise self.catalog.no_room(excess)
            yield

    def _left(self, count: int, excess: Collection[FeatureKey]) -> Left:
        return Left(count, self.catalog.no_room(excess).message if excess else "")

    async def _keep_lines(self, entries: Sequence[LogEntry], protocol: str) -> None:
        await self.stores.logs.append(entries)
        # A store may hear of its own lines later than whoever sent them asks for them.
        self.recent.lines += 1
        await self.catalog.see({entry.key for entry in entries})
        self.meters.ingested.labels("logs", protocol).inc(len(entries))

    async def _figures_changed(self, keys: set[FeatureKey]) -> None:
        await self.catalog.see(keys)
        self.recent.figures += 1
        self.snapshots.expire()
