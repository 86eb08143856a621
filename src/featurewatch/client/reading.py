"""JSON of either transport read as messages; and the client's own, made. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .messages import (
    Alert,
    AlertResolved,
    AlertTriggered,
    AlertUpdated,
    Connected,
    Disconnected,
    Gap,
    LogEntry,
    LogHistory,
    LogLine,
    Message,
    MetricsUpdate,
    Refused,
    StatusChange,
    TestResult,
    TransportChanged,
)

__all__ = ["disconnected", "log_entry", "parse", "transport_changed"]


def parse(raw: Mapping[str, Any]) -> Message:
    """Read a message of either transport. One of an unknown type, or not as expected, becomes a plain `Message`."""
    type_, data = str(raw.get("type", "")), raw.get("data")
    if type_ == "connected":  # an event stream's first: its fields stand beside the type
        type_, data = "connection_confirmed", {name: value for name, value in raw.items() if name not in ("type", "id")}
    envelope = (type_, _text(raw.get("featureId")), data, str(raw.get("timestamp", "")), _text(raw.get("id")))
    known = _TYPES.get(type_)
    if known is None:
        return Message(*envelope)
    kind, read = known
    try:
        return kind(*envelope, **read(data))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Message(*envelope)


def disconnected(feature: str | None, reason: str, retry_in_s: float) -> Disconnected:
    """Make the message that says that nothing comes for now."""
    rounded = round(retry_in_s, 1)
    data = {"reason": reason, "retry_in_s": rounded}
    return Disconnected("disconnected", feature, data, "", reason=reason, retry_in_s=rounded)


def transport_changed(feature: str | None, transport: str, reason: str) -> TransportChanged:
    """Make the message that says by what the stream goes on."""
    data = {"transport": transport, "reason": reason}
    return TransportChanged("transport_changed", feature, data, "", transport=transport, reason=reason)


def log_entry(data: Mapping[str, Any]) -> LogEntry:
    """Read a line as the bridge shows it anywhere: streams, pages, exports.

    Raises:
        KeyError: it has no id, message or timestamp.
    """
    return LogEntry(
        id=data["id"],
        feature=data.get("featureId", ""),
        timestamp=data["timestamp"],
        level=data.get("level", "info"),
        message=data["message"],
        source=data.get("source", "app"),
        environment=data.get("environment", ""),
        metadata=data.get("metadata") or {},
        trace_id=data.get("trace_id"),
        user_id=data.get("user_id"),
        late=bool(data.get("late", False)),
    )


def _connected(data: Mapping[str, Any]) -> dict[str, Any]:
    environments = dict(data.get("environments") or {})
    return {
        "recovered": bool(data.get("recovered", False)),
        "features": tuple(data.get("featureIds") or environments),
        "environments": environments,
    }


def _metrics(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "environment": data["environment"],
        "metrics": dict(data["metrics"]),
        "statuses": dict(data.get("statuses") or {}),
        "health": data["health_status"],
        "reasons": tuple(data.get("reasons") or ()),
        "alerts": tuple(data.get("alerts") or ()),
        "stale": bool(data.get("stale", False)),
    }


def _status(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "before": data["from"],
        "after": data["to"],
        "reasons": tuple(data.get("reasons") or ()),
        "environment": data.get("environment"),
    }


def _test_result(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": data["name"],
        "passed": bool(data["passed"]),
        "duration_ms": data.get("duration_ms"),
        "message": data.get("message"),
        "environment": data.get("environment"),
    }


def _alert(data: Mapping[str, Any]) -> dict[str, Any]:
    same = (
        "environment", "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by", "resolve_reason",
        "condition_active", "metadata",
    )  # fmt: skip
    alert = Alert(
        id=data["id"],
        feature=data["featureId"],
        title=data.get("title", ""),
        message=data.get("message", ""),
        severity=data["severity"],
        status=data["status"],
        triggered_at=data["triggered_at"],
        rule_id=data.get("ruleId"),
        **{name: data.get(name) for name in same},
    )
    return {"alert": alert}


def _gap(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"reason": data["reason"], "count": data.get("count"), "start": data["from"], "end": data["to"]}


def _refused(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": str(data.get("code", "")), "text": str(data.get("message", ""))}


_Kind: TypeAlias = Callable[..., Message]
_Read: TypeAlias = Callable[[Any], dict[str, Any]]

_TYPES: Final[Mapping[str, tuple[_Kind, _Read]]] = {
    "connection_confirmed": (Connected, _connected),
    "metrics_update": (MetricsUpdate, _metrics),
    "log_entry": (LogLine, lambda data: {"entry": log_entry(data)}),
    "log_history": (LogHistory, lambda data: {"lines": tuple(map(log_entry, data))}),
    "status_change": (StatusChange, _status),
    "test_result": (TestResult, _test_result),
    "alert_triggered": (AlertTriggered, _alert),
    "alert_updated": (AlertUpdated, _alert),
    "alert_resolved": (AlertResolved, _alert),
    "gap": (Gap, _gap),
    "error": (Refused, _refused),
}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
