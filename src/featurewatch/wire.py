"""How values look as JSON: one function each, pure, used alike by REST, WebSocket, SSE and export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .model import Event, FeatureRecord, LogEntry, MetricsSnapshot, ModelCost, Slo
from .times import format_instant


def dump(value: Any) -> bytes:
    """Encode to JSON; text that is not valid Unicode (lone surrogates) is replaced, not refused."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_mended(value), option=orjson.OPT_NON_STR_KEYS)


def envelope(type_: str, feature: str | None, data: Any, timestamp: str, position: str | None = None) -> dict[str, Any]:
    """Make a stream message `{"type","featureId","data","timestamp","id"}`; what is absent is left out."""
    message: dict[str, Any] = {"type": type_}
    if feature is not None:
        message["featureId"] = feature
    message["data"] = data
    message["timestamp"] = timestamp
    if position is not None:
        message["id"] = position
    return message


def log_entry(entry: LogEntry, *, late: bool = False) -> dict[str, Any]:
    """Render a line; metadata goes in as it came, fields that are absent are left out."""
    shown: dict[str, Any] = {
        "id": entry.id,
        "featureId": entry.feature,
        "timestamp": format_instant(entry.timestamp_ns),
        "level": entry.level,
        "message": entry.message,
        "source": entry.source,
        "environment": entry.environment,
    }
    if entry.metadata is not None:
        shown["metadata"] = orjson.Fragment(entry.metadata)
    if entry.trace_id is not None:
        shown["trace_id"] = entry.trace_id
    if entry.user_id is not None:
        shown["user_id"] = entry.user_id
    if late:
        shown["late"] = True
    return shown


def snapshot(value: MetricsSnapshot, *, unknown_as_zero: bool = False) -> dict[str, Any]:
    """Render a MetricsSnapshot; `unknown_as_zero` is for UIs that cannot take null."""
    return {
        "featureId": value.key.feature,
        "environment": value.key.environment,
        "timestamp": format_instant(value.timestamp_ns),
        "metrics": figures(value.metrics, unknown_as_zero=unknown_as_zero),
        "statuses": dict(value.statuses),
        "health_status": value.health,
        "reasons": list(value.reasons),
        "alerts": [
            {
                "type": alert.type,
                "message": alert.message,
                "severity": alert.severity,
                "timestamp": format_instant(alert.timestamp_ns),
            }
            for alert in value.alerts
        ],
        "stale": value.stale,
    }


def figures(metrics: Mapping[str, float | None], *, unknown_as_zero: bool = False) -> dict[str, float | None]:
    """Render figures at seven significant digits: more is noise of the arithmetic, not measurement."""
    return {
        name: (0 if unknown_as_zero else None) if value is None else _rounded(value) for name, value in metrics.items()
    }


def model_cost(value: ModelCost) -> dict[str, Any]:
    """Render what one model cost, its sums rounded as other figures are."""
    return {
        "model": value.model,
        "cost_usd": _rounded(value.cost_usd),
        "reported_usd": _rounded(value.reported_usd),
        "estimated_usd": _rounded(value.estimated_usd),
        "tokens": dict(value.tokens),
        "unpriced_requests": value.unpriced_requests,
    }


def event(value: Event) -> dict[str, Any]:
    return {
        "id": value.id,
        "type": value.kind,
        "featureId": value.key.feature,
        "environment": value.key.environment,
        "timestamp": format_instant(value.timestamp_ns),
        "data": dict(value.data),
    }


def feature(value: FeatureRecord) -> dict[str, Any]:
    """Render what is declared of a feature; the bridge adds `metrics` and `health_indicators`."""
    return {
        "id": value.id,
        "name": value.name,
        "description": value.description,
        "owner": value.owner,
        "version": value.version,
        "organization_id": value.organization_id,
        "environments": sorted(value.environments),
        "thresholds": {
            "uptime": value.thresholds.uptime,
            "error_rate": value.thresholds.error_rate,
            "response_time_p95": value.thresholds.response_time_p95,
        },
        "slo": _slo(value.slo),
        "revision": value.revision,
    }


def _slo(value: Slo | None) -> dict[str, Any] | None:
    if value is None:
        return None
    shown: dict[str, Any] = {"objective": value.objective, "window": value.window}
    if value.channels:
        shown |= {"notification_channels": list(value.channels), "cooldown_minutes": value.cooldown_minutes}
    return shown


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.7g}")


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mended(item) for item in value]
    return value
