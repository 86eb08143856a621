"""Rules evaluated by the bridge itself, as Prometheus would: where no other system does.

Each round reads the figures of all rules in as few questions as there are windows, compares them by `conditions`, and
follows each alert by `tracker`. What fires or ended is told as signals, the very ones that webhooks bring.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

from ..alert_model import AlertRule, LogSelection
from ..episode_model import Episode, Place
from ..errors import FeaturewatchError
from ..model import FeatureKey, Measurement
from ..stores.base import LogFilter, LogStore, MetricStore
from ..times import NS
from . import texts
from .conditions import Reading, breached, readings
from .prometheus import NO_DATA_LABEL, labels_of, window_of
from .signals import Signal
from .tracker import Tracker

__all__ = ["Evaluator", "Firing", "RoundStats"]

RuleSource: TypeAlias = Callable[[], Awaitable[Sequence[AlertRule]]]
Environments: TypeAlias = Callable[[], Awaitable[Mapping[str, Collection[str]]]]
Out: TypeAlias = Callable[[Sequence[Signal], Sequence[Signal]], Awaitable[None]]
"""Takes what changed in a round, and all that fires after it."""

_MINUTE_NS: Final = 60 * NS
_HEARD_S: Final = 300.0
"""Series that were heard of so recently are there."""
_LOG_QUERIES: Final = 4

_log = logging.getLogger(__name__)


class _Alert(NamedTuple):
    """One alert of a rule: `no_data` is its twin for absent series."""

    place: Place
    no_data: bool


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires: since when, and the value that it fired with."""

    rule: AlertRule
    signal: Signal


@dataclass(slots=True)
class RoundStats:
    """Counts since the start."""

    rounds: int = 0
    failures: int = 0
    rules: int = 0
    last_seconds: float = 0.0


class Evaluator:
    """Evaluates rules every `interval_s`. Belongs to one event loop.

    Args:
        rules: all rules; disabled ones are left out here, and so are those that `wanted` refuses.
        environments: where each feature was seen or declared.
        out: takes what changed and what fires; where it fails, the same is told again in the next round.
        evaluated: hears of the revisions that were evaluated for the first time, by rule.
        uptime_over_window: see `MetricStore.measure`.
    """

    def __init__(
        self,
        rules: RuleSource,
        environments: Environments,
        metrics: MetricStore,
        logs: LogStore,
        out: Out,
        *,
        clock: Callable[[], int],
        wanted: Callable[[AlertRule], bool] = lambda _: True,
        evaluated: Callable[[Mapping[str, int]], None] = lambda _: None,
        interval_s: float = 15.0,
    ) -> None:
        self.stats = RoundStats()
        self._rules = rules
        self._environments = environments
        self._metrics = metrics
        self._logs = logs
        self._out = out
        self._clock = clock
        self._wanted = wanted
        self._evaluated = evaluated
        self._interval_s = interval_s
        self._trackers: dict[_Alert, Tracker] = {}
        self._firing: dict[_Alert, Signal] = {}
        self._untold: dict[_Alert, Signal] = {}
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def resume(self, episodes: Iterable[Episode]) -> None:
        """Take up what fired before a restart, so that it goes on and is not begun anew."""
        for episode in episodes:
            for name, instance in episode.instances.items():
                if instance.ends_ns is not None:
                    continue
                alert = _Alert(episode.place, NO_DATA_LABEL in instance.labels)
                started, told = instance.starts_ns, {"title": episode.alert.title, "message": episode.alert.message}
                self._trackers[alert] = Tracker(0, 0, pending_since=started, firing_since=started)
                self._firing[alert] = Signal(
                    episode.alert.rule_id, episode.alert.key, name, started, None, instance.labels, told, "evaluator"
                )

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="featurewatch-alert-evaluator")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def round(self) -> None:
        """Evaluate every rule once.

        Raises:
            Unavailable, UpstreamError: a store did not answer; nothing changes then, and the next round goes on.
        """
        now = self._clock()
        rules = [rule for rule in await self._rules() if rule.enabled and self._wanted(rule)]
        places = await self._places(rules)
        figures = await self._read(places)
        changed: dict[_Alert, Signal] = dict(self._untold)
        seen: set[_Alert] = set()
        for rule, key in places:
            for alert, held, value in self._judge(rule, key, figures):
                seen.add(alert)
                signal = self._step(rule, alert, held, value, now)
                if signal is not None:
                    changed[alert] = signal
        for alert in self._trackers.keys() - seen:
            del self._trackers[alert]
            fired = self._firing.pop(alert, None)
            if fired is not None:
                changed[alert] = _ended(fired, now)
        self.stats.rules = len(rules)
        self._untold = changed
        await self._out(list(changed.values()), list(self._firing.values()))
        self._untold = {}
        if news := {rule.id: rule.revision for rule in rules if not _is_told(rule)}:
            self._evaluated(news)

    async def _places(self, rules: Sequence[AlertRule]) -> list[tuple[AlertRule, FeatureKey]]:
        known = await self._environments()
        return [
            (rule, FeatureKey(rule.feature, environment))
            for rule in rules
            for environment in ([rule.environment] if rule.environment else sorted(known.get(rule.feature, ())))
        ]

    async def _read(self, places: Sequence[tuple[AlertRule, FeatureKey]]) -> _Figures:
        by_window: defaultdict[int, set[FeatureKey]] = defaultdict(set)
        lines: dict[tuple[str, FeatureKey], tuple[LogSelection, int]] = {}
        heard: set[FeatureKey] = set()
        for rule, key in places:
            if rule.kind == "logs":
                lines[rule.id, key] = (rule.logs or LogSelection(), rule.window_minutes)
                continue
            for reading in readings(rule):
                by_window[reading.window_minutes].add(key)
            if rule.on_no_data == "alert":
                heard.add(key)
        measured = {
            window: await self._metrics.measure(keys, window * 60.0, window * 60.0)
            for window, keys in by_window.items()
        }
        present = (
            {key for key, told in (await self._metrics.measure(heard, _HEARD_S)).items() if _is_heard(told)}
            if heard
            else set()
        )
        return _Figures(measured, await self._count(lines), heard - present)

    async def _count(
        self, wanted: Mapping[tuple[str, FeatureKey], tuple[LogSelection, int]]
    ) -> dict[tuple[str, FeatureKey], int]:
        now, turns = self._clock(), asyncio.Semaphore(_LOG_QUERIES)

        async def count(key: FeatureKey, lines: LogSelection, minutes: int) -> int:
            chosen = LogFilter(frozenset(lines.levels), lines.source, lines.search)
            async with turns:
                return sum(await self._logs.counts(key, chosen, now - minutes * _MINUTE_NS, now, minutes * 60))

        counts = await asyncio.gather(*(count(key, *told) for (_, key), told in wanted.items()))
        return dict(zip(wanted, counts, strict=True))

    def _judge(
        self, rule: AlertRule, key: FeatureKey, figures: _Figures
    ) -> Iterable[tuple[_Alert, bool, float | None]]:
        place = Place(rule.id, key)
        values = figures.of(rule, key)
        yield _Alert(place, False), breached(rule, *values), values[0]
        if rule.on_no_data == "alert" and rule.kind != "logs":
            yield _Alert(place, True), key in figures.absent, None

    def _step(self, rule: AlertRule, alert: _Alert, held: bool, value: float | None, now: int) -> Signal | None:
        tracker = self._trackers.get(alert)
        if tracker is None:
            tracker = self._trackers[alert] = Tracker(0)
        tracker.for_, tracker.keep_firing = rule.for_minutes * _MINUTE_NS, rule.keep_firing_minutes * _MINUTE_NS
        match tracker.step(now, held):
            case "fired":
                self._firing[alert] = _signal(rule, alert, value, now)
                return self._firing[alert]
            case "ended":
                return _ended(self._firing.pop(alert), now)
        return None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            began = loop.time()
            failure = ""
            try:
                await self.round()
            except FeaturewatchError as error:
                failure = error.message
            except Exception:
                _log.exception("evaluating rules failed")
                failure = "an error of our own"
            self.stats.rounds += 1
            self.stats.last_seconds = loop.time() - began
            self._report(failure)
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    def _report(self, failure: str) -> None:
        self.stats.failures += bool(failure)
        if failure and not self._failing:
            _log.warning("evaluating rules: %s", failure)
        elif self._failing and not failure:
            _log.info("evaluating rules: the stores answer again")
        self._failing = bool(failure)


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a round read: figures by window, counted lines by rule, and where series are absent."""

    measured: Mapping[int, Mapping[FeatureKey, Measurement]]
    lines: Mapping[tuple[str, FeatureKey], int]
    absent: Collection[FeatureKey]

    def of(self, rule: AlertRule, key: FeatureKey) -> list[float | None]:
        if rule.kind == "logs":
            return [self.lines[rule.id, key]]
        return [self._one(reading, key) for reading in readings(rule)]

    def _one(self, reading: Reading, key: FeatureKey) -> float | None:
        told = self.measured[reading.window_minutes].get(key)
        return None if told is None else told.metrics.get(reading.metric)


def _is_heard(told: Measurement) -> bool:
    return told.metrics.get("total_requests") is not None


def _is_told(rule: AlertRule) -> bool:
    told = rule.deployment
    return told is not None and (told.revision, told.state) == (rule.revision, "evaluated")


def _signal(rule: AlertRule, alert: _Alert, value: float | None, now_ns: int) -> Signal:
    labels = {"alertname": rule.name, "environment": alert.place.key.environment, **labels_of(rule)}
    if alert.no_data:
        labels[NO_DATA_LABEL] = "true"
    annotations = {
        "title": texts.title(rule),
        "message": texts.message(rule, None if value is None else texts.figure(rule.metric, value)),
        "value": texts.NO_DATA if value is None else repr(value),
        "threshold": texts.plain(rule.threshold),
        "unit": texts.unit(rule.metric),
        "condition": rule.condition,
        "window": window_of(rule),
    }
    digest = blake2b(repr((alert.place, alert.no_data)).encode(), digest_size=8).hexdigest()
    return Signal(rule.id, alert.place.key, digest, now_ns, None, labels, annotations, "evaluator")


def _ended(signal: Signal, now_ns: int) -> Signal:
    return Signal(
        signal.rule_id, signal.key, signal.fingerprint, signal.starts_ns, max(now_ns, signal.starts_ns),
        signal.labels, signal.annotations, "evaluator",
    )  # fmt: skip
