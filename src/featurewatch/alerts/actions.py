"""What people do to alerts: acknowledge, take that back, resolve, comment. Alertmanager first, then the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..alert_model import Alert, Deed
from ..episode_model import Change, Episode, Hold, Remark, Step
from ..errors import Conflict, FeaturewatchError, NotFound
from ..stores.state_alerts import Alerts, Written
from ..times import NS, format_instant
from . import silencing
from .alertmanager_client import AlertmanagerClient
from .episodes import close
from .history import History

__all__ = ["Actions", "unknown_alert"]


class Actions:
    """Changes alerts for a caller. `api` None: nobody has to be silenced but the bridge's own evaluator.

    Every method raises NotFound for an alert that does not exist, Conflict where it is in no state for it, and
    Unavailable or UpstreamError where Alertmanager did not take it; nothing is then recorded.
    """

    def __init__(self, history: History, api: AlertmanagerClient | None, *, clock: Callable[[], int]) -> None:
        self._history = history
        self._alerts: Alerts = history.alerts
        self._api = api
        self._clock = clock

    async def acknowledge(
        self, alert_id: str, actor: str, *, comment: str = "", expires_minutes: float | None = None
    ) -> Alert:
        """Take an alert on: nobody is notified of it until it resolves, or the acknowledgement expires.

        Acknowledged again, it gets the new comment and end.
        """
        episode = await self._open(alert_id, "acknowledged")
        now = self._clock()
        until = None if expires_minutes is None else now + int(expires_minutes * 60 * NS)
        kept = episode.hold or Hold()
        hold = await self._held(episode, replace(kept, until_ns=until, by=actor, comment=comment), now)

        def work(current: Episode) -> Written:
            if not current.open:
                return Written()
            alert = replace(
                current.alert, status="acknowledged", acknowledged_ns=now, acknowledged_by=actor,
                metadata=_lasting(current.alert.metadata, until),
            )  # fmt: skip
            details: dict[str, Any] = {"comment": comment} if comment else {}
            if expires_minutes is not None:
                details["expires_minutes"] = expires_minutes
            return _written(replace(current, alert=alert, hold=hold), actor, "acknowledge", comment, now, details)

        steps = await self._alerts.change_one(alert_id, work, then=self._history.note)
        if not steps:
            await self._released(hold)
            raise Conflict(f"alert {alert_id} resolved meanwhile: there is nothing left to acknowledge")
        return steps[-1].episode.alert

    async def unacknowledge(self, alert_id: str, actor: str, *, comment: str = "") -> Alert:
        """Take an acknowledgement back: people are notified again."""
        episode = await self._open(alert_id, "un-acknowledged")
        if episode.alert.status != "acknowledged":
            raise Conflict(f"alert {alert_id} is not acknowledged")
        return await self.release(episode, actor, "unacknowledge", comment)

    async def release(self, episode: Episode, actor: str, action: str, comment: str) -> Alert:
        """End an episode's acknowledgement and its silence."""
        await self._released(episode.hold)
        now = self._clock()

        def work(current: Episode) -> Written:
            if current.alert.status != "acknowledged":
                return Written()
            alert = replace(
                current.alert, status="active", acknowledged_ns=None, acknowledged_by=None,
                metadata=_lasting(current.alert.metadata, None),
            )  # fmt: skip
            return _written(replace(current, alert=alert, hold=None), actor, action, comment, now)

        steps = await self._alerts.change_one(episode.alert.id, work, then=self._history.note)
        if not steps:
            raise Conflict(f"alert {episode.alert.id} changed meanwhile: look at it again")
        return steps[-1].episode.alert

    async def resolve(self, alert_id: str, actor: str, *, comment: str = "") -> Alert:
        """Close an alert by hand. While its condition holds the answer says so (`condition_active`): it stays silenced
        until that clears, and then fires as a new one.
        """
        episode = await self._open(alert_id, "resolved")
        now = self._clock()
        kept = episode.hold or Hold()
        hold = await self._held(
            episode, replace(kept, until_ns=None, by=actor, comment=comment or "closed by hand"), now
        )

        def work(current: Episode) -> Written:
            if not current.open:
                return Written()
            closed = close(current, now, reason="manual", by=actor, condition_active=True)
            return _written(replace(closed, hold=hold), actor, "resolve", comment, now, change="resolved")

        steps = await self._alerts.change_one(alert_id, work, then=self._history.note)
        if not steps:
            await self._released(hold)
            raise Conflict(f"alert {alert_id} resolved meanwhile")
        return steps[-1].episode.alert

    async def comment(self, alert_id: str, actor: str, text: str) -> Alert:
        """Say something about an alert, whatever its state."""
        now = self._clock()

        def work(current: Episode) -> Written:
            told = int(current.alert.metadata.get("comments", 0)) + 1
            alert = replace(current.alert, metadata={**current.alert.metadata, "comments": told})
            return Written(
                [Step(replace(current, alert=alert), ("updated",))],
                [Remark(alert_id, "comment", now, actor, text)],
                [_deed(current.alert, actor, "comment", now, {"comment": text})],
            )

        steps = await self._alerts.change_one(alert_id, work, then=self._history.note)
        if steps is None:
            raise unknown_alert(alert_id)
        return steps[-1].episode.alert

    async def _open(self, alert_id: str, wanted: str) -> Episode:
        episode = await self._alerts.one(alert_id)
        if episode is None:
            raise unknown_alert(alert_id)
        if not episode.open:
            raise Conflict(f"alert {alert_id} is resolved already: it cannot be {wanted}")
        return episode

    async def _held(self, episode: Episode, hold: Hold, now_ns: int) -> Hold:
        return hold if self._api is None else await silencing.put(self._api, episode, hold, now_ns)

    async def _released(self, hold: Hold | None) -> None:
        if self._api is not None:
            await silencing.expire(self._api, hold)


def unknown_alert(alert_id: str) -> FeaturewatchError:
    return NotFound(f"alert {alert_id[:80]!r} does not exist")


def _lasting(metadata: Mapping[str, Any], until_ns: int | None) -> dict[str, Any]:
    """Note in an alert's metadata when its acknowledgement ends, where that is before the alert does."""
    kept = {name: value for name, value in metadata.items() if name != "acknowledged_until"}
    return kept if until_ns is None else kept | {"acknowledged_until": format_instant(until_ns)}


def _written(
    episode: Episode,
    actor: str,
    action: str,
    comment: str,
    now_ns: int,
    details: Mapping[str, Any] | None = None,
    *,
    change: Change = "updated",
) -> Written:
    alert = episode.alert
    told = details or ({"comment": comment} if comment else {})
    remarks = [Remark(alert.id, "action", now_ns, actor, action)]
    if comment:
        remarks.append(Remark(alert.id, "comment", now_ns, actor, comment))
    return Written([Step(episode, (change,))], remarks, [_deed(alert, actor, action, now_ns, told)])


def _deed(alert: Alert, actor: str, action: str, now_ns: int, details: Mapping[str, Any]) -> Deed:
    return Deed(actor, f"alert.{action}", alert.key.feature, alert.id, now_ns, details)
