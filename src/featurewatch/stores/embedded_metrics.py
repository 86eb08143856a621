"""The metric store that needs nothing else: SQLite, fed by OTLP and by calls told one by one."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

from ..errors import FeaturewatchError
from ..model import CallReport, FeatureKey, Measurement, ModelCost, Sample
from ..times import NS
from . import metric_calls, metric_figures, metric_samples, metric_series, metric_upkeep
from .group_commit import GroupWriter
from .metric_calls import Price, PricedCall
from .metric_history import history
from .metric_ledger import Ids
from .metric_schema import SCHEMA, TIERS, VERSION, Tier
from .metric_windows import all_keys
from .sqlite import Readers, connect, create
from .steps import metric_of

__all__ = ["EmbeddedMetrics"]

_QUEUE: Final = 500_000
"""So many samples and calls wait for the disk at most; above it: TooMany."""

_SLICE: Final = 3_000
"""So many samples share a piece of work: a large push does not hold up the small ones behind it."""

_SWEEP_EVERY_S: Final = 60.0


def _no_price(model: str, tokens: Mapping[str, int]) -> float | None:
    return None


class EmbeddedMetrics:
    """A MetricStore over one SQLite file; see `metric_schema` for its tables, `metric_windows` for what a window holds.

    What is acknowledged is on the disk, and what is sent again is not counted again. Samples may come in any order,
    late, or not at all: being cumulative, the last of each series tells everything.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        uptime_threshold: float,
        retention_s: float,
        clock: Callable[[], int],
        price: Price,
    ) -> None:
        """Use `open`."""
        self._path = path
        self._threshold = uptime_threshold
        self._retention_s = retention_s
        self._clock = clock
        self._price = price
        self._ids = Ids()
        self._round = 0
        self.dropped_samples = 0
        self._writer = GroupWriter(
            connection, path, capacity=_QUEUE, undone=self._ids.forget, name="featurewatch-metrics"
        )
        self._readers = Readers(path, count=2, name="featurewatch-metrics-reader")
        self._sweeper: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        uptime_threshold: float,
        retention_s: float,
        clock: Callable[[], int] = time.time_ns,
        price: Price = _no_price,
    ) -> Self:
        """Open the store, or make it.

        Args:
            uptime_threshold: percent; a minute is down from this share of failed calls on.
            retention_s: how long hours are kept; narrower rows are kept for 8 days and 2 hours, if that is less.
            clock: the time now, nanoseconds UTC.
            price: (model, tokens by kind) to US dollars, None where the model has no known price.

        Raises:
            Unavailable: the file cannot be opened, is corrupt, or of another version.
        """

        def connected() -> sqlite3.Connection:
            connection = connect(path)
            try:
                create(connection, path, version=VERSION, schema=SCHEMA)
            except BaseException:
                connection.close()
                raise
            return connection

        store = cls(
            path,
            await asyncio.to_thread(connected),
            uptime_threshold=uptime_threshold,
            retention_s=retention_s,
            clock=clock,
            price=price,
        )
        try:
            await store._writer.run(lambda db: metric_upkeep.adopt_threshold(db, uptime_threshold, clock()))
            store._round = await store._writer.run(metric_upkeep.count_round)
        except BaseException:
            await store.close()
            raise
        store._sweeper = asyncio.create_task(store._sweep_forever(), name="featurewatch-metrics-sweep")
        return store

    async def write(self, samples: Sequence[Sample]) -> None:
        """Keep cumulative samples; returns once they are safe. The same ones again change nothing.

        Samples older than 2 days, and those of the series beyond 5,000 of one feature in one process, are not kept
        but counted in `dropped_samples`.

        Raises:
            TooMany: the disk is too far behind.
            StoreFull: what was not written before it was full can be sent again, wholly.
        """
        for start in range(0, len(samples), _SLICE):
            part = samples[start : start + _SLICE]
            self.dropped_samples += await self._writer.run(partial(self._add, part), weight=len(part))

    async def record_calls(self, key: FeatureKey, calls: Sequence[CallReport]) -> int:
        """Count calls of one feature told one by one; see `record`."""
        return await self.record({key: calls})

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int:
        """Count calls told one by one and return how many were new; see `count_calls`."""
        return len(await self.count_calls(calls))

    async def count_calls(
        self, calls: Mapping[FeatureKey, Sequence[CallReport]]
    ) -> Sequence[tuple[FeatureKey, CallReport]]:
        """Count calls told one by one, all or none, each id once within a day; returns those that were new.

        A call without a cost gets one estimated from its model and tokens; where none is known it is unpriced.

        Raises:
            BadInput: the tokens of a call contradict each other.
            OutOfRange: a call lies before what is kept, or more than 10 minutes ahead.
            TooMany: the disk is too far behind.
        """
        now_ns = self._clock()
        metric_calls.check_times(calls, now_ns - int(self._retention_s * NS), now_ns)
        priced = await asyncio.to_thread(self._priced, calls)
        return await self._writer.run(partial(self._add_calls, priced), weight=sum(map(len, calls.values())))

    async def keys(self) -> set[FeatureKey]:
        return set((await self._readers.run(all_keys)).values())

    async def info(self) -> Mapping[FeatureKey, Mapping[str, str]]:
        return await self._readers.run(metric_figures.info)

    async def measure(
        self, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        now_ns = self._clock()
        wanted = None if keys is None else frozenset(keys)
        return await self._readers.run(lambda db: metric_figures.measure(db, wanted, window_s, uptime_window_s, now_ns))

    async def history(
        self, key: FeatureKey, metric: str, start_ms: int, end_ms: int, step_s: int
    ) -> Sequence[tuple[int, float | None]]:
        expression, now_ns = metric_of(metric).expression, self._clock()
        return await self._readers.run(lambda db: history(db, key, expression, start_ms, end_ms, step_s, now_ns))

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> Sequence[tuple[int, float | None]]:
        expression, now_ns = metric_of(metric).expression, self._clock()
        return await self._readers.run(
            lambda db: metric_series.series(db, key, expression, window_s, start_ms, end_ms, now_ns)
        )

    async def costs(self, key: FeatureKey, window_s: float) -> Sequence[ModelCost]:
        now_ns = self._clock()
        return await self._readers.run(lambda db: metric_figures.costs(db, key, window_s, now_ns))

    async def errors(self, key: FeatureKey, window_s: float) -> Mapping[str, int]:
        now_ns = self._clock()
        return await self._readers.run(lambda db: metric_figures.errors(db, key, window_s, now_ns))

    async def in_progress(self, keys: Collection[FeatureKey] | None) -> Mapping[FeatureKey, int]:
        now_ns = self._clock()
        return await self._readers.run(lambda db: metric_figures.in_progress(db, keys, now_ns))

    async def sweep(self) -> None:
        """Delete what is past its time, in small transactions; done each minute by itself."""
        self._round = await self._writer.run(metric_upkeep.count_round)
        for tier in TIERS:
            while await self._writer.run(partial(self._forget_rows, tier)):
                pass
        await self._writer.run(self._forget_rest)

    async def ping(self) -> None:
        await self._readers.run(lambda db: db.execute("SELECT 1 FROM keys LIMIT 1").fetchone())
        await self._writer.check()

    async def close(self) -> None:
        """Finish what waits for the disk, stop what reads, close the file. Harmless when repeated."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        await self._readers.close()
        await self._writer.close()

    def _priced(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> dict[FeatureKey, list[PricedCall]]:
        return {
            key: [(call, metric_calls.estimated_cost(call, self._price)) for call in told]
            for key, told in calls.items()
        }

    def _add_calls(
        self, calls: Mapping[FeatureKey, Sequence[PricedCall]], db: sqlite3.Connection
    ) -> list[tuple[FeatureKey, CallReport]]:
        return metric_calls.add_calls(db, self._ids, calls, threshold=self._threshold, now_ns=self._clock())

    def _add(self, samples: Iterable[Sample], db: sqlite3.Connection) -> int:
        return metric_samples.add_samples(
            db, self._ids, samples, threshold=self._threshold, now_ns=self._clock(), round_=self._round
        )

    def _forget_rows(self, tier: Tier, db: sqlite3.Connection) -> bool:
        return metric_upkeep.forget_rows(db, tier, self._retention_s, self._clock())

    def _forget_rest(self, db: sqlite3.Connection) -> None:
        metric_upkeep.forget_rest(db, self._retention_s, self._round, self._clock())
        self._ids.forget()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            with suppress(FeaturewatchError):  # told by whoever writes or asks next; the sweep comes again
                await self.sweep()
