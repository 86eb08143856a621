"""What became of alerts: signals in, episodes kept and told to the streams, open ones at hand for the health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ..alert_model import Alert, ResolveReason
from ..episode_model import Episode, Place, Remark, Step
from ..ids import new_id
from ..model import AlertSummary, FeatureKey, MetricsSnapshot, Severity
from ..stores.base import LogStore, MetricStore
from ..stores.state_alerts import Alerts, Written
from .endings import RuleFinder, why
from .episodes import hear, lost, place
from .signals import Delivery, Signal

__all__ = ["History"]

Known = Callable[[FeatureKey], MetricsSnapshot | None]
"""Returns a feature's last snapshot, at once, None where there is none."""


class History:
    """Keeps the episodes of all alerts. Belongs to one event loop; `load` it before it is asked.

    Args:
        rules: finds rules by id, for the reason why an alert ended.
        known: the last snapshot of a feature, kept with an alert that fires.
        logs: counts lines, for the same reason.
        settled: called with the episodes that a step brought to an end or cleared, so that their silences end at once.
    """

    def __init__(
        self,
        alerts: Alerts,
        metrics: MetricStore,
        rules: RuleFinder,
        known: Known,
        *,
        clock: Callable[[], int],
        settled: Callable[[Sequence[Episode]], None] = lambda _: None,
        logs: LogStore | None = None,
    ) -> None:
        self.alerts = alerts
        self.heard: Counter[str] = Counter()
        """Signals by source."""
        self.ignored = 0
        """Alerts in webhooks that are no feature's."""
        self.changed: Counter[tuple[FeatureKey, Severity, str]] = Counter()
        """What became of alerts: triggered, acknowledged, resolved."""
        self._metrics = metrics
        self._logs = logs
        self._rules = rules
        self._known = known
        self._clock = clock
        self._settled = settled
        self._unsettled: dict[str, Episode] = {}
        self._open: dict[FeatureKey, list[AlertSummary]] | None = None
        self._loading: list[list[Step]] = []
        """What was noted since each `load` that runs began."""

    async def load(self) -> None:
        """Read what is open. What other bridges changed since the last time is seen with it."""
        meanwhile: list[Step] = []
        self._loading.append(meanwhile)
        try:
            self._unsettled = {episode.alert.id: episode for episode in await self.alerts.unsettled()}
        finally:
            self._loading = [other for other in self._loading if other is not meanwhile]
        # What was read may be older than what was kept while it was.
        self._apply(meanwhile)

    @property
    def unsettled(self) -> Collection[Episode]:
        """The episodes that are open, or closed by people while their condition holds."""
        return self._unsettled.values()

    def open_alerts(self, key: FeatureKey) -> Sequence[AlertSummary]:
        """Return the active and acknowledged alerts of a feature, as a snapshot carries them."""
        if self._open is None:
            self._open = {}
            for episode in self._unsettled.values():
                if episode.open:
                    self._open.setdefault(episode.alert.key, []).append(_summary(episode.alert))
        return self._open.get(key, ())

    async def receive(self, delivery: Delivery) -> int:
        """Keep what a webhook says; return how many episodes it changed. When it returns, it is safe.

        Raises:
            Unavailable, TooMany: it could not be kept; the same webhook sent again harms nothing.
        """
        self.ignored += delivery.ignored
        return await self.take(delivery.signals, receiver=delivery.receiver)

    async def take(self, signals: Sequence[Signal], *, receiver: str = "") -> int:
        """Keep signals, all or none; those that say nothing new change nothing."""
        if not signals:
            return 0
        self.heard.update(signal.source for signal in signals)
        places = {place(signal) for signal in signals}
        ended = sorted((signal.ends_ns, place(signal)) for signal in signals if signal.ends_ns is not None)
        reasons = await self._reasons({at: ends_ns for ends_ns, at in ended})
        now = self._clock()

        def work(current: Mapping[Place, Episode]) -> Written:
            latest = dict(current)
            steps: list[Step] = []
            for signal in sorted(signals, key=_in_time):
                at = place(signal)
                step = hear(signal, latest.get(at), lambda: new_id(now))
                if step is None:
                    continue
                step = self._completed(step, reasons.get(at, "unknown"), now)
                latest[at] = step.episode
                steps.append(step)
            delivered = [_delivery(step, receiver, now) for step in steps if step.changes] if receiver else []
            return Written(steps, delivered)

        return len(await self.alerts.change(places, work, then=self.note))

    async def miss(self, present: Mapping[Place, frozenset[str]], missing: Collection[Place]) -> int:
        """Take note that of these places' instances only those present fire still."""
        if not missing:
            return 0
        now = self._clock()
        reasons = await self._reasons(dict.fromkeys(missing, now))

        def work(current: Mapping[Place, Episode]) -> Written:
            steps = []
            for at, episode in current.items():
                step = lost(episode, present.get(at, frozenset()), now) if episode.open or episode.held else None
                if step is not None:
                    steps.append(self._completed(step, reasons.get(at, "unknown"), now))
            return Written(steps)

        return len(await self.alerts.change(missing, work, then=self.note))

    async def end(self, at: Place, at_ns: int) -> int:
        """Take note that a place's open episode ended at an instant that was found out afterwards."""
        reasons = await self._reasons({at: at_ns})

        def work(current: Mapping[Place, Episode]) -> Written:
            episode = current.get(at)
            step = lost(episode, frozenset(), at_ns) if episode is not None and episode.open else None
            return Written([] if step is None else [self._completed(step, reasons.get(at, "unknown"), at_ns)])

        return len(await self.alerts.change([at], work, then=self.note))

    def note(self, steps: Sequence[Step]) -> None:
        """Take what was kept into what is at hand; called on the event loop, in the order of commits."""
        for meanwhile in self._loading:
            meanwhile.extend(steps)
        settled = self._apply(steps)
        if settled:
            self._settled(settled)

    def _apply(self, steps: Sequence[Step]) -> list[Episode]:
        """Bring what is at hand up to these steps, and return the episodes that they settle."""
        self._open = None
        settled = []
        for step in steps:
            episode = step.episode
            for change in _changes(self._unsettled.get(episode.alert.id), step):
                self.changed[episode.alert.key, episode.alert.severity, change] += 1
            if episode.open or episode.held:
                self._unsettled[episode.alert.id] = episode
            else:
                self._unsettled.pop(episode.alert.id, None)
                settled.append(episode)
        return settled

    def _completed(self, step: Step, reason: ResolveReason, now_ns: int) -> Step:
        alert = step.episode.alert
        if step.changes[:1] == ("triggered",):
            snapshot = self._known(alert.key)
            figures = {} if snapshot is None else {"metrics_snapshot": dict(snapshot.metrics)}
            alert = replace(alert, metadata={**alert.metadata, **figures})
        if "resolved" in step.changes and alert.resolve_reason == "unknown":
            alert = replace(alert, resolve_reason=reason)
        return step._replace(episode=replace(step.episode, alert=alert))

    async def _reasons(self, ends: Mapping[Place, int]) -> dict[Place, ResolveReason]:
        fired = {episode.place: episode.alert for episode in reversed(self._unsettled.values())}
        return await why(ends, fired, self._rules, self._metrics, self._clock(), logs=self._logs)


def _changes(before: Episode | None, step: Step) -> list[str]:
    """Name what is counted of a step; an edit of an alert that stays as it was is not."""
    named: list[str] = [change for change in step.changes if change != "updated"]
    acknowledged = step.episode.alert.status == "acknowledged"
    if acknowledged and (before is None or before.alert.status != "acknowledged"):
        named.append("acknowledged")
    return named


def _summary(alert: Alert) -> AlertSummary:
    type_ = str(alert.metadata.get("metric") or "alert")
    return AlertSummary(type_, alert.message, alert.severity, alert.triggered_ns)


def _in_time(signal: Signal) -> tuple[int, bool]:
    """Order signals as they happened; an end before a start of the same instant."""
    return (signal.starts_ns if signal.ends_ns is None else signal.ends_ns, signal.ends_ns is None)


def _delivery(step: Step, receiver: str, now_ns: int) -> Remark:
    alert = step.episode.alert
    return Remark(alert.id, "delivery", now_ns, receiver, "resolved" if not step.episode.open else "firing")
