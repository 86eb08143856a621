"""Whom the bridge itself tells of alerts, and when: where no Alertmanager does.

As Alertmanager would: alerts of a feature and environment travel together; each channel of a rule hears of a firing
at once, of one that stays after each cooldown, and of the end if it wants that. What is acknowledged, closed, under
maintenance, or beside a more severe alert on the same figure is told to nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from ..alert_model import SEVERITIES, Alert, AlertRule, Channel
from ..episode_model import Episode, Maintenance, Remark
from ..errors import FeaturewatchError, TooMany, Unavailable
from ..model import FeatureKey
from ..times import NS, format_instant
from . import texts
from .notifications import NEVER, Group, wanted

__all__ = ["Notifier", "NotifierStats", "Send", "more_severe"]

Send: TypeAlias = Callable[[Channel, Group], Awaitable[str]]
"""Tells a channel of a group; raises Unavailable or TooMany where it is worth trying again."""

QUEUED: Final = 1_000
"""Groups that wait to be sent; above it the oldest are dropped, and counted."""
ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 300.0
_FIGURES: Final = ("threshold", "unit", "condition", "window")

_log = logging.getLogger(__name__)


class _To(NamedTuple):
    """A channel and an alert: what is remembered of the one telling the other."""

    channel: str
    alert_id: str


@dataclass(slots=True)
class NotifierStats:
    """Counts since the start, by channel where it says so."""

    sent: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    channel: str
    group: Group
    alerts: tuple[tuple[str, bool], ...]
    """Their ids, and whether they fire."""


class Notifier:
    """Decides at each `look` who is to be told, and sends in the background.

    Args:
        rules, channels, maintenance: what there is now.
        send: tells a channel.
        record: keeps what was delivered with the alerts.
        link: the console's address, for messages.
    """

    def __init__(
        self,
        rules: Callable[[Collection[str]], Awaitable[Mapping[str, AlertRule]]],
        channels: Callable[[], Awaitable[Mapping[str, Channel]]],
        maintenance: Callable[[Collection[str]], Awaitable[Sequence[Maintenance]]],
        send: Send,
        record: Callable[[Sequence[Remark]], Awaitable[None]],
        *,
        clock: Callable[[], int],
        link: str = "",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.stats = NotifierStats()
        self._rules = rules
        self._channels = channels
        self._maintenance = maintenance
        self._send = send
        self._record = record
        self._clock = clock
        self._link = link
        self._pause = pause
        self._told: dict[_To, int] = {}
        self._queues: dict[str, deque[_Letter]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    @property
    def queued(self) -> int:
        """Groups that wait to be sent."""
        return sum(map(len, self._queues.values()))

    def resume(self, remarks: Iterable[Remark]) -> None:
        """Take up who was told before a restart, oldest first, so that nobody is told twice."""
        for remark in remarks:
            if remark.kind == "delivery":
                to = _To(remark.author, remark.alert_id)
                if remark.text == "firing":
                    self._told[to] = remark.at_ns
                elif remark.text == "resolved":
                    self._told.pop(to, None)

    async def stop(self) -> None:
        """Give up what waits; it is told after the next start, since nobody recorded it as told."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    async def look(self, unsettled: Collection[Episode], ended: Sequence[Episode] = ()) -> None:
        """Queue what is to be told now.

        Args:
            unsettled: the episodes that are open, or closed by people while their condition holds.
            ended: those that resolved since the last look.
        """
        now = self._clock()
        firing = [episode for episode in unsettled if episode.alert.status == "active"]
        rules = await self._rules({episode.alert.rule_id for episode in (*firing, *ended)})
        firing = await self._unhindered(firing, rules, now)
        due: defaultdict[tuple[str, FeatureKey], list[tuple[Episode, bool]]] = defaultdict(list)
        for episode in firing:
            rule = rules.get(episode.alert.rule_id)
            if rule is None:
                continue
            for channel in rule.channels:
                last = self._told.get(_To(channel, episode.alert.id))
                if last is None or now - last >= rule.cooldown_minutes * 60 * NS:
                    due[channel, episode.alert.key].append((episode, True))
                    self._told[_To(channel, episode.alert.id)] = now
        for episode in ended:
            # Whoever heard of the firing hears of the end, whatever became of the rule.
            for to in [to for to in self._told if to.alert_id == episode.alert.id]:
                del self._told[to]
                due[to.channel, episode.alert.key].append((episode, False))
        for (channel, key), alerts in due.items():
            self._put(_Letter(channel, self._group(channel, key, alerts), _named(alerts)))

    async def _unhindered(
        self, firing: Sequence[Episode], rules: Mapping[str, AlertRule], now_ns: int
    ) -> list[Episode]:
        """Leave those that nothing keeps quiet: no maintenance, no more severe alert that stands for them."""
        windows = await self._maintenance({episode.alert.key.feature for episode in firing}) if firing else ()
        worst: dict[tuple[FeatureKey, str], int] = {}
        for episode in firing:
            if _reaches_people(episode.alert, rules):
                figure = _figure(episode.alert)
                worst[figure] = max(worst.get(figure, 0), SEVERITIES.index(episode.alert.severity))
        return [
            episode
            for episode in firing
            if not any(window.covers(episode.alert.key, now_ns) for window in windows)
            and SEVERITIES.index(episode.alert.severity) >= worst.get(_figure(episode.alert), 0)
        ]

    def _group(self, channel: str, key: FeatureKey, alerts: Sequence[tuple[Episode, bool]]) -> Group:
        told = [_alert(episode, fires, self._link) for episode, fires in alerts]
        labels = {"feature": key.feature, "environment": key.environment}
        return {
            "version": "4", "groupKey": f"{channel}:{key.feature}/{key.environment}", "truncatedAlerts": 0,
            "status": "firing" if any(fires for _, fires in alerts) else "resolved",
            "receiver": f"featurewatch/{channel}", "groupLabels": labels,
            "commonLabels": _common([alert["labels"] for alert in told]),
            "commonAnnotations": _common([alert["annotations"] for alert in told]),
            "externalURL": self._link, "alerts": told,
        }  # fmt: skip

    def _put(self, letter: _Letter) -> None:
        if self.queued >= QUEUED:
            fullest = max(self._queues, key=lambda name: len(self._queues[name]))
            self._queues[fullest].popleft()
            self.stats.dropped += 1
            _log.error("a notification to channel %r was dropped: %d wait already", fullest, QUEUED)
        self._queues.setdefault(letter.channel, deque()).append(letter)
        if letter.channel not in self._workers:
            # Each channel by itself: one whose provider is down must not hold up the others.
            worker = asyncio.create_task(self._work(letter.channel), name=f"featurewatch-notify-{letter.channel}")
            self._workers[letter.channel] = worker

    async def _work(self, name: str) -> None:
        queue = self._queues[name]
        try:
            while queue:
                letter = queue.popleft()
                try:
                    await self._deliver(letter)
                except Exception:
                    self.stats.failed[name] += 1
                    _log.exception("notifying channel %r failed", name)
        finally:
            del self._workers[name]
            del self._queues[name]

    async def _deliver(self, letter: _Letter) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            # As it is now: one whose address was mended meanwhile is told there, one that was removed is left alone.
            channel = (await self._channels()).get(letter.channel)
            if channel is None:
                _log.error("channel %r is gone: nobody is told of %d alerts", letter.channel, len(letter.alerts))
                return
            group = wanted(channel, letter.group)
            if group is None:
                return
            # Of a group a channel may be told a part: of the others it heard nothing.
            alerts = [
                one for one, told in zip(letter.alerts, letter.group["alerts"], strict=True) if told in group["alerts"]
            ]
            try:
                await self._send(channel, group)
                break
            except FeaturewatchError as error:
                again = isinstance(error, Unavailable | TooMany) and attempt < ATTEMPTS
                _log.log(logging.WARNING if again else logging.ERROR, "%s", error.message)
                if not again:
                    self.stats.failed[letter.channel] += 1
                    await self._note(letter.channel, alerts, f"failed: {error.message}")
                    return
                longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempt - 1))
                await self._pause(longest * random.uniform(0.5, 1))
        self.stats.sent[letter.channel] += 1
        await self._note(letter.channel, alerts)

    async def _note(self, channel: str, alerts: Sequence[tuple[str, bool]], failure: str = "") -> None:
        """Record what became of alerts: that they were told, or why they could not be."""
        now = self._clock()
        await self._record(
            [
                Remark(alert_id, "delivery", now, channel, failure or ("firing" if fires else "resolved"))
                for alert_id, fires in alerts
            ]
        )


def more_severe(alert: Alert, unsettled: Iterable[Episode], rules: Mapping[str, AlertRule]) -> list[str]:
    """Return the titles of the alerts beside which `alert` is told to nobody: active, on its figure, more severe."""
    return [
        episode.alert.title
        for episode in unsettled
        if episode.alert.status == "active"
        and _figure(episode.alert) == _figure(alert)
        and SEVERITIES.index(episode.alert.severity) > SEVERITIES.index(alert.severity)
        and _reaches_people(episode.alert, rules)
    ]


def _reaches_people(alert: Alert, rules: Mapping[str, AlertRule]) -> bool:
    """Whether its rule names a channel: what nobody is told of stands for no other alert."""
    rule = rules.get(alert.rule_id)
    return rule is not None and bool(rule.channels)


def _figure(alert: Alert) -> tuple[FeatureKey, str]:
    return alert.key, str(alert.metadata.get("metric", ""))


def _named(alerts: Sequence[tuple[Episode, bool]]) -> tuple[tuple[str, bool], ...]:
    return tuple((episode.alert.id, fires) for episode, fires in alerts)


def _common(told: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what is the same in all."""
    return dict(set.intersection(*(set(one.items()) for one in told)))


def _figures(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what the annotations of a rule file say too, from what is kept of an alert."""
    told = {"value": metadata.get("trigger_value"), **{name: metadata.get(name) for name in _FIGURES}}
    return {
        name: texts.plain(value) if isinstance(value, (int, float)) else str(value)
        for name, value in told.items()
        if value is not None
    }


def _alert(episode: Episode, fires: bool, link: str) -> dict[str, Any]:
    alert = episode.alert
    name, instance = next(iter(episode.instances.items()))
    return {
        "status": "firing" if fires else "resolved",
        "labels": {**instance.labels, "severity": alert.severity},
        "annotations": {"title": alert.title, "message": alert.message, **_figures(alert.metadata)},
        "startsAt": format_instant(alert.triggered_ns),
        "endsAt": NEVER if fires else format_instant(alert.resolved_ns or alert.triggered_ns),
        "generatorURL": link,
        "fingerprint": name,
    }
