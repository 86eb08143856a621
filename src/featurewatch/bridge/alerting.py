"""What the routes of alerts are handed: the history, the actions, and whoever notifies people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..alert_model import Deed, Episode, Maintenance
from ..alerts import silencing
from ..alerts.actions import Actions
from ..alerts.alertmanager_api import AlertmanagerApi
from ..alerts.explain import Evidence, explain
from ..alerts.history import History, RuleFinder
from ..alerts.watch import Watch
from ..errors import FeaturewatchError
from ..stores.state_maintenance import Windows

__all__ = ["Alerting"]


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
        return _replaced(
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
