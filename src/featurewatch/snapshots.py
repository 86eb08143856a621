"""How features are now: figures joined with thresholds and open alerts, judged once for REST and streams alike."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from .directory import Directory, unknown_feature
from .errors import Unavailable, UpstreamError
from .formulas import METRICS
from .health import judge, statuses
from .model import AlertSummary, FeatureKey, FeatureRecord, Measurement, MetricsSnapshot, Thresholds
from .stores.base import MetricStore, StateStore
from .times import NS

OpenAlerts: TypeAlias = Callable[[FeatureKey], Sequence[AlertSummary]]

FRESH_NS: Final = NS
"""How long an answer serves others who ask the same."""
QUERIES_KEPT: Final = 256
WINDOWS_KEPT: Final = 8
"""Of so many windows the last snapshots are kept, to be shown as stale when the store cannot be reached."""

UPTIME_WINDOW_S: Final = 86_400.0
"""What uptime is taken over where nothing else is asked for."""

_Windows: TypeAlias = tuple[float, float]
_Query: TypeAlias = tuple[frozenset[FeatureKey] | None, float, float, int]


class Snapshots:
    """Measures and judges features. Identical concurrent calls run once, and their answer serves for a second.

    Args:
        window_s: the window of a snapshot where none is asked for, seconds.
        default_environment: where a feature that was declared and never seen stands.
        clock: nanoseconds since the epoch.
        alerts: the open alerts of a feature.
    """

    def __init__(
        self,
        metrics: MetricStore,
        state: StateStore,
        *,
        window_s: float,
        clock: Callable[[], int],
        default_environment: str = "development",
        alerts: OpenAlerts = lambda _: (),
        directory: Directory | None = None,
    ) -> None:
        self.directory = directory or Directory()
        self.window_s = window_s
        self.declared: Mapping[str, FeatureRecord] = {}
        """What was declared of each feature, as of the last measurement."""
        self._metrics = metrics
        self._state = state
        self._clock = clock
        self._default_environment = default_environment
        self._alerts = alerts
        self._writes = 0
        self._forgotten: dict[str, int] = {}
        self._running: dict[_Query, asyncio.Task[list[MetricsSnapshot]]] = {}
        self._answers: OrderedDict[_Query, tuple[int, list[MetricsSnapshot]]] = OrderedDict()
        self._last: OrderedDict[_Windows, dict[FeatureKey, MetricsSnapshot]] = OrderedDict()

    async def current(
        self,
        keys: Collection[FeatureKey] | None,
        *,
        window_s: float | None = None,
        uptime_window_s: float = UPTIME_WINDOW_S,
    ) -> list[MetricsSnapshot]:
        """Return a snapshot of each key (None: of every feature that is declared or sends), sorted by key.

        Where the store cannot answer, the last ones, marked stale.

        Raises:
            Unavailable, UpstreamError: the store cannot answer and of some key nothing was ever known.
        """
        query = (None if keys is None else frozenset(keys), window_s or self.window_s, uptime_window_s, self._writes)
        if query[0] is not None and not query[0]:
            return []
        answer = self._answers.get(query)
        if answer is not None and 0 <= self._clock() - answer[0] < FRESH_NS:
            return answer[1]
        running = self._running.get(query)
        if running is None:
            running = self._running[query] = asyncio.create_task(self._answer(*query[:3]))
            running.add_done_callback(lambda task: self._done(query, task))
        return await asyncio.shield(running)

    async def known(
        self,
        keys: Collection[FeatureKey],
        *,
        window_s: float | None = None,
        uptime_window_s: float = UPTIME_WINDOW_S,
        blank: bool = False,
    ) -> list[MetricsSnapshot]:
        """Return snapshots as `current` does; where the store cannot answer and some were never known, these are empty.

        Args:
            blank: whether all of them may be; a list of features is one without any figure, too.

        Raises:
            Unavailable, UpstreamError: as `current`, unless `blank`, where all would be empty.
        """
        try:
            return await self.current(keys, window_s=window_s, uptime_window_s=uptime_window_s)
        except (Unavailable, UpstreamError) as error:
            last = self._last.get((window_s or self.window_s, uptime_window_s), {})
            if not blank and last.keys().isdisjoint(keys):
                raise
            empty = self._judged(set(keys) - last.keys(), {}, await self._state.features())
            unknown = [replace(snapshot, stale=True, reasons=(error.message,)) for snapshot in empty]
            return sorted([*unknown, *(replace(last[key], stale=True) for key in set(keys) & last.keys())], key=_by_key)

    def last(self, key: FeatureKey) -> MetricsSnapshot | None:
        """Return the last snapshot of a key over the usual window, at once, however old it is."""
        return self._last.get((self.window_s, UPTIME_WINDOW_S), {}).get(key)

    def show_alerts(self, alerts: OpenAlerts) -> None:
        """Take the open alerts of a feature from here, from now on."""
        self._alerts = alerts

    def expire(self) -> None:
        """Answer nobody from before now: called when this process wrote figures, so that whoever did sees them."""
        self._writes += 1
        self._answers.clear()

    def forget(self, feature: str) -> None:
        """Forget a feature that was deleted: what it sent before, still within the window, does not bring it back."""
        self._forgotten[feature] = self._clock()
        self.directory.forget([key for key in self.directory.keys() if key.feature != feature])  # noqa: SIM118 (not a mapping)
        for last in self._last.values():
            for key in [key for key in last if key.feature == feature]:
                del last[key]
        self.expire()

    async def environment_of(self, feature: str, asked: str | None) -> str:
        """Return the environment that a request means: the one asked for, else the feature's own choice.

        Raises:
            NotFound: the feature is neither declared nor seen.
        """
        chosen = self.directory.choose(feature)
        if chosen is None:
            record = (await self._state.features()).get(feature)
            if record is None:
                raise unknown_feature(feature)
            self.directory.note(self._places(record))
            chosen = self.directory.choose(feature)
        return asked or chosen or self._default_environment

    def _places(self, record: FeatureRecord, sending: Collection[str] = ()) -> list[FeatureKey]:
        """List where a feature was seen or declared; one that was seen nowhere stands in the default environment."""
        if not record.environments and record.id in sending:
            return []
        return [FeatureKey(record.id, name) for name in record.environments or (self._default_environment,)]

    def _done(self, query: _Query, task: asyncio.Task[list[MetricsSnapshot]]) -> None:
        del self._running[query]
        if task.cancelled() or task.exception() is not None:
            return
        self._answers[query] = (self._clock(), task.result())
        self._answers.move_to_end(query)
        if len(self._answers) > QUERIES_KEPT:
            self._answers.popitem(last=False)

    async def _answer(
        self, keys: frozenset[FeatureKey] | None, window_s: float, uptime_window_s: float
    ) -> list[MetricsSnapshot]:
        try:
            records = self.declared = await self._state.features()
            measured = await self._metrics.measure(keys, window_s, uptime_window_s)
        except (Unavailable, UpstreamError):
            stale = self._stale(keys, (window_s, uptime_window_s))
            if stale is None:
                raise
            return stale
        if keys is None:
            sending = {
                key
                for key, value in measured.items()
                if sends(value.metrics) and (key.feature in records or not self.just_forgotten(key.feature))
            }
            names = {key.feature for key in sending}
            declared = [key for record in records.values() for key in self._places(record, names)]
            keys = frozenset(sending.union(declared))
            self.directory.note(keys)
        snapshots = self._judged(sorted(keys), measured, records)
        self._keep((window_s, uptime_window_s), snapshots)
        return snapshots

    def just_forgotten(self, feature: str) -> bool:
        """Tell whether a feature was deleted within the window, so that what is measured may be from before."""
        forgotten_ns = self._forgotten.get(feature)
        if forgotten_ns is not None and not 0 <= self._clock() - forgotten_ns <= self.window_s * NS:
            del self._forgotten[feature]
            return False
        return forgotten_ns is not None

    def _judged(
        self,
        keys: Iterable[FeatureKey],
        measured: Mapping[FeatureKey, Measurement],
        records: Mapping[str, FeatureRecord],
    ) -> list[MetricsSnapshot]:
        now = self._clock()
        unknown: Mapping[str, float | None] = dict.fromkeys(METRICS)
        snapshots = []
        for key in keys:
            measurement = measured.get(key) or Measurement(key, now, unknown)
            record = records.get(key.feature)
            alerts = tuple(self._alerts(key))
            health, reasons = judge(measurement.metrics, record.thresholds if record else Thresholds(), alerts)
            snapshots.append(
                MetricsSnapshot(
                    key,
                    measurement.timestamp_ns,
                    measurement.metrics,
                    statuses(measurement.metrics),
                    health,
                    reasons,
                    alerts,
                )
            )
        return snapshots

    def _keep(self, windows: _Windows, snapshots: Iterable[MetricsSnapshot]) -> None:
        last = self._last.setdefault(windows, {})
        last.update((snapshot.key, snapshot) for snapshot in snapshots)
        self._last.move_to_end(windows)
        while len(self._last) > WINDOWS_KEPT:
            oldest = next(kept for kept in self._last if kept != (self.window_s, UPTIME_WINDOW_S))
            del self._last[oldest]

    def _stale(self, keys: frozenset[FeatureKey] | None, windows: _Windows) -> list[MetricsSnapshot] | None:
        last = self._last.get(windows, {})
        wanted = last.keys() if keys is None else keys
        if not wanted or not wanted <= last.keys():
            return None
        return [replace(last[key], stale=True) for key in sorted(wanted)]


def _by_key(snapshot: MetricsSnapshot) -> FeatureKey:
    return snapshot.key


def sends(metrics: Mapping[str, float | None]) -> bool:
    """Whether anything arrived within the window; a store may still list a feature that fell silent."""
    return any(value is not None for name, value in metrics.items() if name != "uptime")
