"""Notification channels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ...alert_model import ChannelKind
from ...model import Severity
from .base import AT, Schema


class ChannelIn(Schema):
    """A channel to be made, or what one is to be from now on."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "kind": "webhook",
                "settings": {"url": "https://example.com/hook", "bearer_token": "XXXX"},
                "send_resolved": True,
            }
        },
    )

    kind: ChannelKind = Field(description="What it is.")
    settings: dict[str, Any] = Field(
        description="What the kind needs. webhook: url, bearer_token or username and password. email: to, from, "
        "smarthost, username, password, require_tls. slack: webhook_url, channel, username. pagerduty: routing_key, "
        "url. opsgenie: api_key, url, team. msteams, discord: webhook_url. telegram: bot_token, chat_id, url. "
        "apprise: url. A secret that is sent as `set`, as answers show it, stays as it is."
    )
    send_resolved: bool = Field(True, description="Whether the end of an alert is told too.")
    severities: list[Severity] | None = Field(None, description="Only alerts of these are told; left out: all.")


class DeliveryShape(Schema):
    """Who tells a channel, and whether that works."""

    by: Literal["alertmanager", "bridge"] = Field(
        description="Alertmanager, or the bridge in its place where it cannot, or where there is none."
    )
    published: bool = Field(description="Whether a route of the live configuration leads to it: once a rule uses it.")
    error: str | None = Field(None, description="Why it is left out; absent where it is not.")


class ChannelShape(Schema):
    """A channel; every secret is shown as `set`."""

    name: str = Field(examples=["ops"])
    kind: ChannelKind
    settings: dict[str, Any] = Field(examples=[{"url": "https://example.com/hook", "bearer_token": "set"}])
    send_resolved: bool
    severities: list[Severity]
    delivery: DeliveryShape
    revision: int = Field(description="Counts the edits; what If-Match compares.", examples=[3])
    updated_at: str = Field(examples=[AT])
    updated_by: str = Field(examples=["ada"])


class ChannelList(Schema):
    """All channels, by name."""

    channels: list[ChannelShape]
    problem: str | None = Field(
        None, description="Why Alertmanager's configuration is not as it should be; absent where it is."
    )


class ChannelTested(Schema):
    """What came of a test notification."""

    delivered: bool = Field(description="Whether the provider took it.")
    detail: str = Field(
        description="What the provider said, or why it could not be asked.",
        examples=["channel 'ops': hooks.slack.com answered 200: ok"],
    )
