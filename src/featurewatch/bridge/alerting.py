"""What the routes of alerts are handed: the history, the actions, and whoever notifies people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from ..alert_model import AlertRule, Deed
from ..alerts import silencing
from ..alerts.actions import Actions
from ..alerts.alertmanager_api import AlertmanagerApi
from ..alerts.backfill import Backfill
from ..alerts.explain import Evidence, explain
from ..alerts.history import History, RuleFinder
from ..alerts.watch import Watch
from ..episode_model import Episode, Maintenance
from ..errors import FeaturewatchError
from ..settings import Settings
from ..snapshots import Snapshots
from ..stores import Stores
from ..stores.state_alerts import Alerts
from ..stores.state_maintenance import Windows
from ..stores.state_rules import Rules
from ..stores.upstream import Upstream, target_of, targets_of

__all__ = ["Alerting", "start"]


@dataclass(frozen=True, slots=True)
class Alerting:
    """The parts of alerting that answer requests. `api` and `watch` are None where there is no Alertmanager."""

    history: History
    actions: Actions
    windows: Windows
    rules: RuleFinder
    api: AlertmanagerApi | None
    watch: Watch | None
    clock: Callable[[], int]

    async def explain(self, episode: Episode) -> dict[str, Any]:
        """Gather what is known of an alert, and say why somebody was or was not notified."""
        alert, now = episode.alert, self.clock()
        found = await self.rules({alert.rule_id})
        remarks = await self.history.alerts.remarks(alert.id)
        windows = await self.windows.listed({alert.key.feature}, ending_after_ns=now)
        told = Evidence(
            episode,
            found.get(alert.rule_id),
            now,
            remarks=remarks,
            maintenance=[window for window in windows if _covers(window, episode, now)],
        )
        return explain(told if self.api is None else await self._asked(self.api, told))

    async def add_window(self, window: Maintenance, deed: Deed) -> Maintenance:
        """Keep a maintenance window, silenced in Alertmanager first; raises as `silencing.put_maintenance`."""
        if self.api is not None:
            window = Maintenance(
                window.id, window.feature, window.environment, window.starts_ns, window.ends_ns, window.comment,
                window.created_by, await silencing.put_maintenance(self.api, window),
            )  # fmt: skip
        await self.windows.add(window, deed)
        return window

    async def end_window(self, window: Maintenance, deed: Deed) -> None:
        """End a maintenance window and its silence."""
        if self.api is not None and window.silence:
            await self.api.expire(window.silence)
        await self.windows.remove(window.id, deed)

    async def _asked(self, api: AlertmanagerApi, told: Evidence) -> Evidence:
        alert = told.episode.alert
        try:
            place = {"feature": alert.key.feature, "environment": alert.key.environment}
            listed = (await api.alerts(place)).alerts
            silences = await api.silences()
        except FeaturewatchError:
            return replace(told, reachable=False)
        return replace(
            told,
            reachable=True,
            seen=[seen for seen in listed if seen.signal.rule_id == alert.rule_id],
            silences=silences,
            inhibitors={
                seen.signal.fingerprint: seen.signal.annotations.get("title", seen.signal.rule_id) for seen in listed
            },
        )


def _covers(window: Maintenance, episode: Episode, now_ns: int) -> bool:
    same = window.environment is None or window.environment == episode.alert.key.environment
    return same and window.starts_ns <= now_ns < window.ends_ns


async def start(
    running: AsyncExitStack,
    settings: Settings,
    stores: Stores,
    snapshots: Snapshots,
    *,
    clock: Callable[[], int],
) -> Alerting:
    """Put alerting together and start what runs beside the requests; `running` ends it.

    Raises:
        SettingsError: a file of certificate authorities cannot be read. Unavailable: the state cannot be read.
    """
    rules = Rules(stores.state.database)

    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {rule.id: rule for rule in await rules.rules_by_id(ids)}

    def settled(episodes: Sequence[Episode]) -> None:
        if watch is not None:
            watch.settle(episodes)

    history = History(
        Alerts(stores.state, clock=clock), stores.metrics, find, snapshots.last, clock=clock, settled=settled
    )
    await history.load()
    targets = targets_of(settings, "alertmanager_urls")
    api = AlertmanagerApi([Upstream(target) for target in targets], clock=clock) if targets else None
    actions = Actions(history, api, clock=clock)
    watch: Watch | None = None
    if api is not None:
        running.push_async_callback(api.close)
        backfill = None
        if settings.prometheus_url:
            prometheus = Upstream(target_of(settings, "prometheus"))
            running.push_async_callback(prometheus.close)
            backfill = Backfill(prometheus, history)
        watch = Watch(api, history, actions, backfill, clock=clock, interval_s=settings.alert_poll_interval)
        await watch.start()
        running.push_async_callback(watch.stop)
    return Alerting(history, actions, Windows(stores.state.database), find, api, watch, clock)
