"""The tick: every feature measured once, whatever the number of clients; changes of health become events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import FeaturewatchError
from ..model import FeatureKey, HealthStatus, MetricsSnapshot
from ..snapshots import Snapshots, sends
from ..stores.base import MetricStore, StateStore
from .hub import Hub

__all__ = ["MetricPoll"]

FIRST_TICK_S: Final = 1.0
"""How long the start waits for a store that is slow to answer."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PollStats:
    """Counts since the start."""

    ticks: int = 0
    failures: int = 0
    last_seconds: float = 0.0


class MetricPoll:
    """Publishes all snapshots every `interval_s` seconds. A tick never overlaps itself; a late one is not made up.

    A store that cannot answer harms the tick alone: stale snapshots are published where there are some, and the
    failure is logged once until it is over.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        metrics: MetricStore,
        state: StateStore,
        hub: Hub,
        *,
        interval_s: float,
        clock: Callable[[], int],
    ) -> None:
        self.stats = PollStats()
        self.latest: Sequence[MetricsSnapshot] = ()
        """The snapshots of the last tick."""
        self._snapshots = snapshots
        self._metrics = metrics
        self._state = state
        self._hub = hub
        self._interval_s = interval_s
        self._clock = clock
        self._health: dict[FeatureKey, HealthStatus] = {}
        self._failing = False
        self._ticked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to tick; returns after the first tick, so that whoever connects finds snapshots, or after a second."""
        self._task = asyncio.create_task(self._run(), name="featurewatch-metric-poll")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TICK_S):
                await self._ticked.wait()

    async def stop(self) -> None:
        """End the ticks; one that runs is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def tick(self) -> None:
        """Measure, publish, note new features and record changes of health."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self._note_arrived()
            snapshots = await self._snapshots.current(None)
            self._hub.publish_snapshots(snapshots)
            self.latest = snapshots
            if any(snapshot.stale for snapshot in snapshots):
                self._report("the metric store cannot answer: the last snapshots are shown as stale")
            else:
                # What is neither declared nor sends is gone, unless it came this very moment.
                self._hub.directory.forget({snapshot.key for snapshot in snapshots} | self._hub.new_keys)
                await self._note_measured(snapshots)
                await self._record_changes(snapshots)
                self._report("")
        except FeaturewatchError as error:
            self._report(str(error))
        except Exception:
            self.stats.failures += 1
            _log.exception("a metrics tick failed")
        self.stats.ticks += 1
        self.stats.last_seconds = loop.time() - started

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.tick()
            self._ticked.set()
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _note_arrived(self) -> None:
        """Tell the state store of the features whose lines or events came first."""
        arrived, self._hub.new_keys = self._hub.new_keys, set()
        if not arrived:
            return
        try:
            await self._state.see(arrived, {})
        except FeaturewatchError:
            self._hub.new_keys |= arrived
            raise

    async def _note_measured(self, snapshots: Iterable[MetricsSnapshot]) -> None:
        """Tell the state store of the features that send figures, and what they say of themselves."""
        gone = self._snapshots.just_forgotten
        sending = {one.key for one in snapshots if sends(one.metrics) and not gone(one.key.feature)}
        if sending:
            info = await self._metrics.info()
            await self._state.see(sending, {key: info[key] for key in sending & info.keys()})

    async def _record_changes(self, snapshots: Iterable[MetricsSnapshot]) -> None:
        """Record each change of health; a first sight is none."""
        for snapshot in snapshots:
            before = self._health.get(snapshot.key)
            if before is not None and before != snapshot.health:
                change = {"from": before, "to": snapshot.health, "reasons": list(snapshot.reasons)}
                await self._state.record_event(snapshot.key, "status_change", snapshot.timestamp_ns, change)
            self._health[snapshot.key] = snapshot.health

    def _report(self, failure: str) -> None:
        self.stats.failures += bool(failure)
        if failure and not self._failing:
            _log.warning("metrics tick: %s", failure)
        elif self._failing and not failure:
            _log.info("metrics tick: the stores answer again")
        self._failing = bool(failure)
