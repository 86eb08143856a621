"""Shapes of alerts: episodes, what people do to them, why somebody was notified, maintenance windows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import AT, FEATURE, Schema

ID = "18bc3f1a2b4c5d6e0a1b2c3d00000001"


class AlertShape(Schema):
    """One episode of a rule in one environment, from its firing to its end. Fields that are absent are left out."""

    id: str = Field(examples=[ID])
    ruleId: str
    featureId: str = Field(examples=[FEATURE])
    title: str = Field(examples=["Errors Alert"])
    message: str = Field(examples=["error_rate is 32.1 %, which is greater than threshold of 20 %"])
    severity: Literal["low", "medium", "high", "critical"]
    status: Literal["active", "acknowledged", "resolved"]
    triggered_at: str = Field(examples=[AT])
    acknowledged_at: str | None = None
    acknowledged_by: str | None = None
    resolved_at: str | None = None
    resolved_by: str | None = None
    resolve_reason: Literal["recovered", "no_data", "rule_removed", "rule_changed", "manual", "unknown"] | None = None
    environment: str = Field(examples=["production"])
    condition_active: bool = Field(description="Whether the condition holds as far as is known, also where closed.")
    metadata: dict[str, Any]


class AlertListShape(Schema):
    """Alerts, the one that fired last first, history included."""

    alerts: list[AlertShape]
    next_cursor: str | None


class RemarkShape(Schema):
    """Something told of an alert: a comment, a delivery that was seen, what somebody did."""

    kind: Literal["comment", "delivery", "action"]
    timestamp: str = Field(examples=[AT])
    author: str
    text: str


class AlertDetailShape(AlertShape):
    """An alert with everything that was told of it, oldest first."""

    remarks: list[RemarkShape]


class ActionIn(Schema):
    """What is said with an action; all of it may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"comment": "provider is down, watching it", "expires_minutes": 60}}
    )

    comment: str | None = Field(None, max_length=4_000)
    expires_minutes: float | None = Field(
        None, gt=0, le=10_080, description="An acknowledgement ends then; left out: with the alert."
    )


class CommentIn(Schema):
    """Something to say about an alert."""

    model_config = ConfigDict(json_schema_extra={"example": {"comment": "seen before: the provider's cache"}})

    comment: str = Field(min_length=1, max_length=4_000)


class BulkIn(Schema):
    """One action on many alerts."""

    model_config = ConfigDict(json_schema_extra={"example": {"ids": [ID], "action": "acknowledge"}})

    ids: list[str] = Field(min_length=1, max_length=500)
    action: Literal["acknowledge", "unacknowledge", "resolve", "comment"]
    comment: str | None = Field(None, max_length=4_000)
    expires_minutes: float | None = Field(None, gt=0, le=10_080)


class BulkFailure(Schema):
    """What one alert of many was refused with."""

    id: str
    error: str
    code: str


class BulkShape(Schema):
    """The alerts as they are now, and those that were refused."""

    alerts: list[AlertShape]
    failed: list[BulkFailure]


class ExplainShape(Schema):
    """Why somebody was, or was not, notified of an alert."""

    summary: str = Field(examples=["ops acknowledged it: nobody is notified while that lasts"])
    reasons: list[str]
    rule: dict[str, Any] | None
    route: dict[str, Any]
    receivers: list[str]
    silences: list[dict[str, Any]]
    inhibited_by: list[dict[str, Any]]
    maintenance: list[str]
    cooldown_minutes: int | None
    deliveries: list[dict[str, Any]]
    firing_in_alertmanager: bool | None
    next_notification_at: str | None
    alert_status: str


class MaintenanceIn(Schema):
    """A time in which nobody is notified of the feature's alerts; `duration_minutes` may stand for the end."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"duration_minutes": 90, "comment": "moving to a new model"}}
    )

    start_time: str | None = Field(None, description="ISO 8601; now by default.")
    end_time: str | None = Field(None, description="ISO 8601; either it or duration_minutes is needed.")
    duration_minutes: float | None = Field(None, gt=0, le=525_600)
    environment: str | None = Field(None, description="Only this environment; left out: all.")
    comment: str | None = Field(None, max_length=4_000)


class MaintenanceShape(Schema):
    """A maintenance window."""

    id: str
    featureId: str = Field(examples=[FEATURE])
    environment: str | None = None
    start_time: str = Field(examples=[AT])
    end_time: str = Field(examples=[AT])
    comment: str
    created_by: str
    active: bool


class MaintenanceListShape(Schema):
    """The maintenance windows that are on or to come, the first to begin first."""

    maintenance: list[MaintenanceShape]
