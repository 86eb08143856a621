"""What the bridge itself sends to a channel: the requests and mails of each kind. Pure.

A group of alerts is what Alertmanager's webhook carries, version 4:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
A generic webhook gets just that; the others get its title and a line for each alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from ..alert_model import Channel
from ..errors import BadInput
from ..fields import shown
from ..times import format_instant

__all__ = ["Group", "Post", "email_of", "mood_of", "post_of", "read_group", "sample", "text_of", "title_of", "wanted"]

Group: TypeAlias = Mapping[str, Any]

NEVER: Final = "0001-01-01T00:00:00Z"
"""How Alertmanager writes the end of an alert that fires."""

_MOST_ALERTS: Final = 20
"""Alerts that one message lists; the others are counted."""

PAGERDUTY_SEVERITIES: Final = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}
OPSGENIE_PRIORITIES: Final = {"critical": "P1", "high": "P2", "medium": "P3", "low": "P4"}
_URGENCY: Final = ("critical", "high", "medium", "low")
_COLOURS: Final = {"critical": 0xC62828, "high": 0xEF6C00, "medium": 0xF9A825, "low": 0x1565C0, "resolved": 0x2E7D32}


@dataclass(frozen=True, slots=True)
class Post:
    """A request to be made: `body` is sent as JSON. Its repr shows the host alone, since URLs hold secrets."""

    url: str = field(repr=False)
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "?"


def read_group(body: Any) -> Group:
    """Check that a body is a group of alerts, as far as it is used here.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(body, dict) or not isinstance(body.get("alerts"), list):
        raise BadInput(f"expected Alertmanager's webhook with a list of alerts, got {shown(body)}")
    if not isinstance(body.get("groupLabels", {}), dict):
        raise BadInput(f"groupLabels: expected an object, got {shown(body['groupLabels'])}")
    for index, alert in enumerate(body["alerts"]):
        if not isinstance(alert, dict) or alert.get("status") not in ("firing", "resolved"):
            raise BadInput(f"alerts[{index}]: expected an alert with status firing or resolved, got {shown(alert)}")
        for name in ("labels", "annotations"):
            if not isinstance(alert.get(name, {}), dict):
                raise BadInput(f"alerts[{index}].{name}: expected an object, got {shown(alert[name])}")
    alerts = [{**alert, "labels": alert.get("labels", {})} for alert in body["alerts"]]
    return {**body, "alerts": alerts}


def wanted(channel: Channel, group: Group) -> Group | None:
    """Leave of a group what a channel is told: its severities, and the ends of alerts only if it wants them."""
    alerts = [
        alert
        for alert in group["alerts"]
        if (channel.send_resolved or alert["status"] == "firing")
        and (not channel.severities or alert["labels"].get("severity") in channel.severities)
    ]
    if not alerts:
        return None
    firing = any(alert["status"] == "firing" for alert in alerts)
    return {**group, "alerts": alerts, "status": "firing" if firing else "resolved"}


def sample(channel: Channel, now_ns: int, link: str) -> Group:
    """Make the group of one alert that a test sends; it says what it is."""
    labels = {
        "alertname": "Test notification", "feature": "test", "environment": "test", "severity": "low",
        "metric": "test", "rule_id": "test",
    }  # fmt: skip
    annotations = {
        "title": "Test notification",
        "message": f"featurewatch tests the channel {channel.name}: nothing is wrong, and nothing is to be done.",
    }
    alert = {
        "status": "firing", "labels": labels, "annotations": annotations, "startsAt": format_instant(now_ns),
        "endsAt": NEVER, "generatorURL": link, "fingerprint": blake2b(b"test", digest_size=8).hexdigest(),
    }  # fmt: skip
    return {
        "version": "4", "groupKey": f"test/{channel.name}/{now_ns}", "truncatedAlerts": 0, "status": "firing",
        "receiver": f"featurewatch/{channel.name}", "groupLabels": {"feature": "test", "environment": "test"},
        "commonLabels": labels, "commonAnnotations": annotations, "externalURL": link, "alerts": [alert],
    }  # fmt: skip


def title_of(group: Group) -> str:
    """Say what a group is about, in one line."""
    alerts: Sequence[Mapping[str, Any]] = group["alerts"]
    firing = [alert for alert in alerts if alert["status"] == "firing"]
    told = firing or alerts
    state = f"firing: {len(firing)}" if len(firing) > 1 else "firing" if firing else "resolved"
    first = _summary(told[0]) if told else "no alert"
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    labels = group.get("groupLabels", {})
    place = " ".join(str(labels[name]) for name in ("feature", "environment") if labels.get(name))
    return " ".join(f"[{state}] {first}{more}{f' ({place})' if place else ''}".split())[:250]


def post_of(channel: Channel, secrets: Mapping[str, str], group: Group) -> Post:
    """Make the request that tells a channel (any but email) of a group."""
    settings = channel.settings
    match channel.kind:
        case "webhook":
            token, user = secrets.get("bearer_token"), settings.get("username")
            return Post(
                secrets.get("url") or settings["url"],
                group,
                {"Authorization": f"Bearer {token}"} if token else {},
                (user, secrets.get("password", "")) if user else None,
            )
        case "slack":
            return Post(secrets["webhook_url"], _slack(settings, group))
        case "msteams":
            return Post(secrets["webhook_url"], _teams(group))
        case "discord":
            return Post(secrets["webhook_url"], _discord(group))
        case "telegram":
            base = settings.get("url", "https://api.telegram.org").rstrip("/")
            text = f"{title_of(group)}\n\n{text_of(group)}"[:4096]
            return Post(f"{base}/bot{secrets['bot_token']}/sendMessage", {"chat_id": settings["chat_id"], "text": text})
        case "pagerduty":
            url = settings.get("url", "https://events.pagerduty.com/v2/enqueue")
            return Post(url, _pagerduty(secrets["routing_key"], group))
        case "opsgenie":
            return _opsgenie(settings, secrets["api_key"], group)
        case _:
            raise ValueError(f"{channel.kind} is no kind that is told by HTTP")


def email_of(sender: str, to: str, group: Group) -> EmailMessage:
    """Make the mail that tells of a group."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = title_of(group)
    mail["From"] = sender
    mail["To"] = to
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text_of(group) + "\n")
    return mail


def _slack(settings: Mapping[str, Any], group: Group) -> dict[str, Any]:
    attachment = {"color": f"#{_colour(group):06X}", "text": text_of(group), "fallback": title_of(group)}
    named = {name: settings[name] for name in ("channel", "username") if settings.get(name)}
    return {
        "text": _escaped(title_of(group)),
        "attachments": [{**attachment, "text": _escaped(text_of(group))}],
        **named,
    }


def _teams(group: Group) -> dict[str, Any]:
    """Make an adaptive card: https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook"""
    blocks = [
        {"type": "TextBlock", "weight": "Bolder", "size": "Medium", "wrap": True, "text": title_of(group)},
        {"type": "TextBlock", "wrap": True, "text": text_of(group)},
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _discord(group: Group) -> dict[str, Any]:
    embed = {"title": title_of(group), "description": text_of(group)[:4000], "color": _colour(group)}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _pagerduty(key: str, group: Group) -> dict[str, Any]:
    """Make an event: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "resolve" if group["status"] == "resolved" else "trigger",
        "dedup_key": _key(group),
    }
    if group["status"] == "resolved":
        return event
    payload = {
        "summary": title_of(group),
        "source": group.get("groupLabels", {}).get("feature") or "featurewatch",
        "severity": PAGERDUTY_SEVERITIES.get(_severity(group), "error"),
        "custom_details": {"alerts": text_of(group)},
    }
    return {**event, "payload": payload, "client": "featurewatch"}


def _opsgenie(settings: Mapping[str, Any], key: str, group: Group) -> Post:
    """Make or close an alert: https://docs.opsgenie.com/docs/alert-api"""
    base = settings.get("url", "https://api.opsgenie.com").rstrip("/")
    headers = {"Authorization": f"GenieKey {key}"}
    if group["status"] == "resolved":
        return Post(f"{base}/v2/alerts/{_key(group)}/close?identifierType=alias", {"source": "featurewatch"}, headers)
    alert: dict[str, Any] = {
        "message": title_of(group)[:130],
        "alias": _key(group),
        "description": text_of(group)[:15_000],
        "priority": OPSGENIE_PRIORITIES.get(_severity(group), "P3"),
        "source": "featurewatch",
    }
    if settings.get("team"):
        alert["responders"] = [{"name": settings["team"], "type": "team"}]
    return Post(f"{base}/v2/alerts", alert, headers)


def mood_of(group: Group) -> Literal["success", "warning", "failure"]:
    """Tell how bad a group is, in the three words that apprise has for it."""
    if group["status"] == "resolved":
        return "success"
    return "failure" if _severity(group) in ("critical", "high") else "warning"


def text_of(group: Group) -> str:
    """Say what each alert of a group is about, a line each."""
    alerts: Sequence[Mapping[str, Any]] = group["alerts"]
    lines = [_line(alert) for alert in alerts[:_MOST_ALERTS]]
    if len(alerts) > _MOST_ALERTS:
        lines.append(f"and {len(alerts) - _MOST_ALERTS} more")
    return "\n".join(lines)


def _line(alert: Mapping[str, Any]) -> str:
    labels, annotations = alert["labels"], alert.get("annotations", {})
    about = annotations.get("message") or annotations.get("description") or ""
    state = "resolved" if alert["status"] == "resolved" else labels.get("severity", "firing")
    return " ".join(f"{_summary(alert)} ({state}): {about}".split()).removesuffix(":")


def _summary(alert: Mapping[str, Any]) -> str:
    annotations, labels = alert.get("annotations", {}), alert["labels"]
    return str(annotations.get("title") or annotations.get("summary") or labels.get("alertname") or "alert")


def _severity(group: Group) -> str:
    found = {alert["labels"].get("severity") for alert in group["alerts"] if alert["status"] == "firing"}
    return next((severity for severity in _URGENCY if severity in found), "")


def _colour(group: Group) -> int:
    return _COLOURS["resolved"] if group["status"] == "resolved" else _COLOURS.get(_severity(group), _COLOURS["high"])


def _key(group: Group) -> str:
    """Name a group in the same few letters each time it is told of."""
    return "featurewatch-" + blake2b(str(group.get("groupKey", "")).encode(), digest_size=12).hexdigest()


def _escaped(text: str) -> str:
    """Write text so that Slack shows it: https://docs.slack.dev/messaging/formatting-message-text/#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
