"""How the values of alerting look as JSON, as `wire` does it for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .alert_model import Alert, AlertRule, Burn, Deed, LogSelection
from .episode_model import Maintenance, Remark
from .times import format_instant

__all__ = ["RULE_FIELDS", "alert", "changes", "deed", "deployment", "read_rule", "rule"]

RULE_FIELDS: Final = (
    "name", "metric", "condition", "threshold", "severity", "enabled", "cooldown_minutes", "notification_channels",
    "window_minutes", "for_minutes", "keep_firing_minutes", "on_no_data", "environment", "kind", "logs",
)  # fmt: skip
"""The fields of a rule that people write."""


def rule(value: AlertRule) -> dict[str, Any]:
    """Render an AlertRule; `logs` and `burn` stand where it has them, the times where it was made by somebody."""
    shown: dict[str, Any] = {
        "id": value.id,
        "featureId": value.feature,
        "name": value.name,
        "metric": value.metric,
        "condition": value.condition,
        "threshold": _plain(value.threshold),
        "severity": value.severity,
        "enabled": value.enabled,
        "cooldown_minutes": value.cooldown_minutes,
        "notification_channels": list(value.channels),
        "window_minutes": value.window_minutes,
        "for_minutes": value.for_minutes,
        "keep_firing_minutes": value.keep_firing_minutes,
        "on_no_data": value.on_no_data,
        "environment": value.environment,
        "kind": value.kind,
        "origin": value.origin,
        "revision": value.revision,
    }
    if value.logs is not None:
        shown["logs"] = {"levels": list(value.logs.levels), "search": value.logs.search, "source": value.logs.source}
    if value.burn is not None:
        shown["burn"] = {
            "factor": value.burn.factor,
            "long_minutes": value.burn.long_minutes,
            "short_minutes": value.burn.short_minutes,
        }
    if value.created_ns:
        shown |= {
            "created_at": format_instant(value.created_ns),
            "created_by": value.created_by,
            "updated_at": format_instant(value.updated_ns),
            "updated_by": value.updated_by,
        }
    shown["deployment"] = deployment(value)
    return shown


def read_rule(told: Mapping[str, Any]) -> AlertRule:
    """Read a rule as a bridge shows it; how far it got and who made it are left out."""
    logs, burn = told.get("logs"), told.get("burn")
    return AlertRule(
        id=told["id"],
        feature=told["featureId"],
        name=told["name"],
        metric=told["metric"],
        condition=told["condition"],
        threshold=float(told["threshold"]),
        severity=told["severity"],
        enabled=told["enabled"],
        cooldown_minutes=told["cooldown_minutes"],
        channels=tuple(told["notification_channels"]),
        window_minutes=told["window_minutes"],
        for_minutes=told["for_minutes"],
        keep_firing_minutes=told["keep_firing_minutes"],
        on_no_data=told["on_no_data"],
        environment=told["environment"],
        kind=told["kind"],
        logs=None if logs is None else LogSelection(tuple(logs["levels"]), logs["search"], logs["source"]),
        burn=None if burn is None else Burn(burn["factor"], burn["long_minutes"], burn["short_minutes"]),
        origin=told["origin"],
        revision=told["revision"],
    )


def deployment(value: AlertRule) -> dict[str, Any]:
    """Render how far a rule's newest revision got: what is known of an older one is not of this."""
    told = value.deployment
    if told is None or told.revision < value.revision:
        return {
            "revision": value.revision,
            "state": "saved",
            "error": None,
            "at": format_instant(value.updated_ns) if value.updated_ns else None,
        }
    return {"revision": told.revision, "state": told.state, "error": told.error, "at": format_instant(told.at_ns)}


def changes(before: AlertRule, after: AlertRule) -> dict[str, list[Any]]:
    """Name the fields that an edit changed, each with what it was and is."""
    one, other = rule(before), rule(after)
    return {name: [one.get(name), other.get(name)] for name in RULE_FIELDS if one.get(name) != other.get(name)}


def alert(value: Alert) -> dict[str, Any]:
    """Render an Alert; what is absent is left out."""
    shown: dict[str, Any] = {
        "id": value.id,
        "ruleId": value.rule_id,
        "featureId": value.key.feature,
        "title": value.title,
        "message": value.message,
        "severity": value.severity,
        "status": value.status,
        "triggered_at": format_instant(value.triggered_ns),
        "environment": value.key.environment,
        "condition_active": value.condition_active,
        "metadata": dict(value.metadata),
    }
    told = {
        "acknowledged_at": None if value.acknowledged_ns is None else format_instant(value.acknowledged_ns),
        "acknowledged_by": value.acknowledged_by,
        "resolved_at": None if value.resolved_ns is None else format_instant(value.resolved_ns),
        "resolved_by": value.resolved_by,
        "resolve_reason": value.resolve_reason,
    }
    return shown | {name: one for name, one in told.items() if one is not None}


def deed(value: Deed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(value.position),
        "timestamp": format_instant(value.at_ns),
        "actor": value.actor,
        "action": value.action,
    }
    if value.feature:
        shown["featureId"] = value.feature
    return {**shown, "target": value.target, "details": dict(value.details)}


def _plain(value: float) -> float:
    """Show 20 for 20.0, as it was typed."""
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def remark(value: Remark) -> dict[str, Any]:
    """Render a comment, a delivery or an action."""
    return {
        "kind": value.kind,
        "timestamp": format_instant(value.at_ns),
        "author": value.author,
        "text": value.text,
    }


def maintenance(value: Maintenance, now_ns: int) -> dict[str, Any]:
    """Render a maintenance window and whether it is on."""
    shown: dict[str, Any] = {
        "id": value.id,
        "featureId": value.feature,
        "start_time": format_instant(value.starts_ns),
        "end_time": format_instant(value.ends_ns),
        "comment": value.comment,
        "created_by": value.created_by,
        "active": value.starts_ns <= now_ns < value.ends_ns,
    }
    if value.environment is not None:
        shown["environment"] = value.environment
    return shown
