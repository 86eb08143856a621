"""Why somebody was, or was not, notified of an alert: rule, route, silences, inhibition, cooldown, deliveries. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..alert_model import AlertRule
from ..episode_model import Episode, Maintenance, Remark
from ..times import NS, format_instant
from .alertmanager import BRIDGE
from .alertmanager_client import Seen, Silence
from .routes import ROUTE_LABEL, read_route

__all__ = ["Evidence", "explain"]

OWN_RECEIVERS: Final = ("featurewatch", BRIDGE)
"""They tell the bridge, not people: the one that an operator writes, and ours. Others of ours lead to channels."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an alert when somebody asks.

    Attributes:
        rule: None where it is gone.
        seen: the alert as Alertmanager lists it now, of each instance; empty where it does not fire there.
        silences: those that Alertmanager names, by id.
        reachable: whether Alertmanager could be asked; None where there is none.
        remarks: what was told of the episode, deliveries among it.
        inhibitors: titles of the alerts that inhibit it, by fingerprint.
        deaf: channels that are not told of alerts of its severity.
        above: titles of more severe alerts on the same figure, beside which the bridge itself tells nobody of it.
    """

    episode: Episode
    rule: AlertRule | None
    now_ns: int
    seen: Sequence[Seen] = ()
    silences: Mapping[str, Silence] | None = None
    reachable: bool | None = None
    remarks: Sequence[Remark] = ()
    maintenance: Sequence[Maintenance] = ()
    inhibitors: Mapping[str, str] | None = None
    deaf: Collection[str] = ()
    above: Sequence[str] = ()


def explain(told: Evidence) -> dict[str, Any]:
    """Return what `ExplainShape` documents: `summary` is one line for people, `reasons` what it is drawn from."""
    alert = told.episode.alert
    receivers = sorted({name for seen in told.seen for name in seen.receivers})
    people = [name for name in receivers if name not in OWN_RECEIVERS]
    silenced = sorted({id_ for seen in told.seen for id_ in seen.silenced_by})
    inhibited = sorted({name for seen in told.seen for name in seen.inhibited_by})
    label = next(
        (one.labels[ROUTE_LABEL] for one in told.episode.instances.values() if ROUTE_LABEL in one.labels), None
    )
    cooldown = _cooldown(told)
    deliveries = [remark for remark in told.remarks if remark.kind == "delivery"]
    named = _channels(told, label)
    channels = [name for name in named if name not in told.deaf]
    reasons = _reasons(told, people, silenced, inhibited)
    if named and not channels:
        reasons.append(f"no channel of its rule is told of severity {alert.severity}: {', '.join(named)}")
    due = None if reasons or (not people and told.reachable) else _next(told, cooldown)
    shown: dict[str, Any] = {
        "summary": reasons[0] if reasons else _notified(told, people, channels),
        "reasons": reasons,
        "rule": _rule(told),
        "route": {"label": label, "channels": channels},
        "receivers": receivers,
        "silences": [_silence(told, id_) for id_ in silenced],
        "inhibited_by": [{"fingerprint": name, "title": (told.inhibitors or {}).get(name, "")} for name in inhibited],
        "maintenance": [window.id for window in told.maintenance],
        "cooldown_minutes": cooldown,
        "deliveries": [
            {"timestamp": format_instant(remark.at_ns), "receiver": remark.author, "status": remark.text}
            for remark in deliveries
        ],
        "firing_in_alertmanager": bool(told.seen) if told.reachable else None,
        "next_notification_at": None if due is None else format_instant(due),
    }
    return shown | {"alert_status": alert.status}


def _reasons(told: Evidence, people: Sequence[str], silenced: Sequence[str], inhibited: Sequence[str]) -> list[str]:
    """Say what keeps people from being notified now, the most decisive first."""
    alert, reasons = told.episode.alert, []
    if told.reachable is False:
        reasons.append("Alertmanager cannot be reached: whether it notifies anyone is not known")
    if alert.status == "resolved" and not alert.condition_active:
        reasons.append(f"the alert resolved at {format_instant(alert.resolved_ns or 0)} ({alert.resolve_reason})")
    elif alert.status == "resolved":
        reasons.append(f"{alert.resolved_by} closed it by hand; it stays silenced until its condition clears")
    elif alert.status == "acknowledged":
        reasons.append(f"{alert.acknowledged_by} acknowledged it: nobody is notified while that lasts")
    reasons += [
        f"{window.feature} is under maintenance until {format_instant(window.ends_ns)}" for window in told.maintenance
    ]
    said = {window.silence for window in told.maintenance}
    said |= {told.episode.hold.silence} if told.episode.hold else set()
    for id_ in silenced:
        silence = (told.silences or {}).get(id_)
        if silence is not None and id_ not in said:
            reasons.append(f"{silence.created_by} silenced it until {format_instant(silence.ends_ns)}")
    titles = told.inhibitors or {}
    held_by = [*(titles.get(name) or name for name in inhibited), *told.above]
    reasons += [f"a more severe alert inhibits it: {title}" for title in held_by]
    if told.rule is not None and not told.rule.channels:
        reasons.append("its rule names no notification channel")
    elif told.reachable and told.seen and not people:
        reasons.append("no route of Alertmanager leads it to people: is the configuration published?")
    if told.reachable and not told.seen and told.episode.open:
        reasons.append("Alertmanager does not know it (any more): Prometheus has not sent it, or it just ended")
    return reasons


def _notified(told: Evidence, people: Sequence[str], channels: Sequence[str]) -> str:
    if people:
        # Receivers of ours are named after all channels of a rule; those that leave the severity out are told nothing.
        theirs = [name for name in people if not name.startswith(f"{OWN_RECEIVERS[0]}/")]
        return f"notified: {', '.join([*theirs, *channels] if len(theirs) < len(people) and channels else people)}"
    if told.reachable is not None or not channels:
        return "nobody is notified"
    last = {remark.author: remark.text for remark in told.remarks if remark.kind == "delivery"}
    failed = [name for name in channels if last.get(name, "").startswith("failed: ")]
    said = {
        "notified": [name for name in channels if name in last and name not in failed],
        "could not be told": failed,
        "not told yet": [name for name in channels if name not in last],
    }
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items() if names)


def _rule(told: Evidence) -> dict[str, Any] | None:
    rule = told.rule
    if rule is None:
        return None
    return {"id": rule.id, "name": rule.name, "enabled": rule.enabled, "channels": list(rule.channels)}


def _channels(told: Evidence, label: str | None) -> Sequence[str]:
    route = None if label is None else read_route(label)
    if route is not None:
        return route.channels
    return () if told.rule is None else told.rule.channels


def _cooldown(told: Evidence) -> int | None:
    return None if told.rule is None else told.rule.cooldown_minutes


def _next(told: Evidence, cooldown: int | None) -> int | None:
    """Tell when the next reminder is due: a multiple of the cooldown after the alert fired."""
    alert = told.episode.alert
    if cooldown is None or not told.episode.open:
        return None
    step = cooldown * 60 * NS
    return alert.triggered_ns + ((told.now_ns - alert.triggered_ns) // step + 1) * step


def _silence(told: Evidence, id_: str) -> dict[str, Any]:
    silence = (told.silences or {}).get(id_)
    if silence is None:
        return {"id": id_}
    return {
        "id": id_,
        "created_by": silence.created_by,
        "comment": silence.comment,
        "ends_at": format_instant(silence.ends_ns),
        "matchers": [f"{name}={value}" for name, value in silence.matchers],
    }
