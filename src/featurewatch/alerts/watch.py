"""What no webhook tells: Alertmanager is asked what fires, silences are kept while they are wanted, and ended."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from ..episode_model import Episode, Hold, Place, Step
from ..errors import Conflict, FeaturewatchError
from ..stores.state_alerts import Written
from ..times import NS
from . import silencing
from .actions import Actions
from .alertmanager_client import AlertmanagerClient, Listed
from .backfill import Backfill
from .history import History

__all__ = ["Watch", "WatchStats"]

MATURE_S: Final = 180.0
"""An Alertmanager that runs for less may not have heard of all that fires: Prometheus tells it again each minute."""
PATIENCE_S: Final = 30.0
"""A webhook has so long to tell of an end before the absence of the alert does, whose instant is less exact."""
WATCHED: Final = "alertmanager_watched"
"""The mark of when Alertmanager was last seen whole."""
AWAY_S: Final = 60.0
"""After so long without a look, Prometheus is asked what fired meanwhile."""
MOST_ENDINGS: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class WatchStats:
    """Counts since the start."""

    polls: int = 0
    failures: int = 0
    found: int = 0
    """Signals that no webhook had told."""
    dropped_endings: int = 0
    """Silences that were left to end by themselves, since too many waited to be ended."""


class Watch:
    """Looks at Alertmanager every `interval_s`, and at once when something settled.

    Hand `settle` to the history: the silences of what resolved end within a moment, so that a re-fire notifies.
    """

    def __init__(
        self,
        api: AlertmanagerClient,
        history: History,
        actions: Actions,
        backfill: Backfill | None,
        *,
        clock: Callable[[], int],
        interval_s: float = 10.0,
        mature_s: float = MATURE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.stats = WatchStats()
        self._api = api
        self._history = history
        self._actions = actions
        self._backfill = backfill
        self._clock = clock
        self._interval_s = interval_s
        self._mature_s = mature_s
        self._patience_s = patience_s
        self._absent: dict[Place, int] = {}
        self._endings: deque[Hold] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._swept = self._failing = False

    def settle(self, episodes: Sequence[Episode]) -> None:
        """End the silences of these episodes, soon."""
        for episode in episodes:
            if episode.hold is not None and episode.hold.silence:
                if len(self._endings) >= MOST_ENDINGS:
                    self.stats.dropped_endings += 1
                    continue
                self._endings.append(episode.hold)
        if self._endings:
            self._wake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="featurewatch-alert-watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def tick(self) -> None:
        """Look once.

        Raises:
            Unavailable, UpstreamError, TooMany: Alertmanager or a store did not answer; the next tick goes on.
        """
        await self._end_silences()
        await self._history.load()
        before = list(self._history.unsettled)
        listed = await self._api.alerts()
        await self._catch_up(listed)
        await self._take(listed)
        await self._miss(before, listed)
        await self._keep_silences()
        if not self._swept:
            await self._sweep_silences()
            self._swept = True
        if listed.uptime_s >= self._mature_s:
            await self._history.alerts.set_mark(WATCHED, self._clock())

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.stats.polls += 1
            failure = ""
            try:
                await self.tick()
            except FeaturewatchError as error:
                failure = error.message
            except Exception:
                _log.exception("watching Alertmanager failed")
                failure = "an error of our own"
            self._report(failure)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()

    async def _take(self, listed: Listed) -> None:
        """Take what fires and is not known: its webhook was lost, or is on its way."""
        known = {
            (episode.place, fingerprint)
            for episode in self._history.unsettled
            for fingerprint, instance in episode.instances.items()
            if instance.ends_ns is None
        }
        fresh = [
            seen.signal
            for seen in listed.alerts
            if (Place(seen.signal.rule_id, seen.signal.key), seen.signal.fingerprint) not in known
        ]
        self.stats.found += await self._history.take(fresh)

    async def _miss(self, before: Collection[Episode], listed: Listed) -> None:
        """Conclude that what was firing and is listed no more has ended."""
        present: defaultdict[Place, set[str]] = defaultdict(set)
        for seen in listed.alerts:
            present[Place(seen.signal.rule_id, seen.signal.key)].add(seen.signal.fingerprint)
        now = self._clock()
        missing = set()
        absent: dict[Place, int] = {}
        for episode in before:
            at = episode.place
            firing = {name for name, instance in episode.instances.items() if instance.ends_ns is None}
            if not firing - present[at]:
                continue
            absent[at] = self._absent.get(at, now)
            silent = episode.hold is not None  # no webhook tells of the end of what is silenced
            if listed.uptime_s >= self._mature_s and (silent or now - absent[at] >= self._patience_s * NS):
                missing.add(at)
        self._absent = absent
        await self._history.miss({at: frozenset(names) for at, names in present.items()}, missing)

    async def _keep_silences(self) -> None:
        """Extend the silences that are wanted; take back the acknowledgements that expired or whose silence is gone."""
        now = self._clock()
        holding = [episode for episode in self._history.unsettled if episode.hold is not None]
        if not holding:
            return
        silences = await self._api.silences()
        for episode in holding:
            hold = episode.hold
            assert hold is not None
            acknowledged = episode.alert.status == "acknowledged"
            with suppress(Conflict):  # it changed meanwhile: the next tick sees what it is now
                if hold.until_ns is not None and now >= hold.until_ns and acknowledged:
                    await self._actions.release(
                        episode, hold.by, "expire", "the acknowledgement ended as it was set to"
                    )
                elif hold.silence and hold.silence not in silences and now < hold.ends_ns and acknowledged:
                    words = "its silence was ended in Alertmanager"
                    await self._actions.release(episode, "alertmanager", "unacknowledge", words)
                elif hold.ends_ns - now < silencing.REFRESH_S * NS and hold.ends_ns != hold.until_ns:
                    await self._extend(episode, hold, now)

    async def _extend(self, episode: Episode, hold: Hold, now_ns: int) -> None:
        extended = await silencing.put(self._api, episode, hold, now_ns)

        def work(current: Episode) -> Written:
            if not (current.open or current.held) or current.hold is None:
                return Written()
            return Written([Step(replace(current, hold=extended), ())])

        if not await self._history.alerts.change_one(episode.alert.id, work, then=self._history.note):
            await silencing.expire(self._api, extended)

    async def _end_silences(self) -> None:
        while self._endings:
            await silencing.expire(self._api, self._endings[0])
            self._endings.popleft()

    async def _sweep_silences(self) -> None:
        """End silences of ours whose alert has settled: a bridge died between the two."""
        wanted = {episode.hold.silence for episode in self._history.unsettled if episode.hold is not None}
        for silence in (await self._api.silences()).values():
            if silencing.alert_of(silence.comment) is not None and silence.id not in wanted:
                await self._api.expire(silence.id)

    async def _catch_up(self, listed: Listed) -> None:
        """Ask Prometheus what fired while nobody looked."""
        if self._backfill is None:
            return
        now, mark = self._clock(), await self._history.alerts.mark(WATCHED)
        if mark is not None and now - mark > AWAY_S * NS:
            firing = {Place(seen.signal.rule_id, seen.signal.key) for seen in listed.alerts}
            await self._backfill.run(mark, now, firing)

    def _report(self, failure: str) -> None:
        self.stats.failures += bool(failure)
        if failure and not self._failing:
            _log.warning("watching Alertmanager: %s", failure)
        elif self._failing and not failure:
            _log.info("watching Alertmanager: it answers again")
        self._failing = bool(failure)
