"""Sessions, tickets, who asks, and whether the bridge is ready. TokenIn also checks what comes in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import AT, Schema


class TokenIn(Schema):
    """A credential: an API token or a JWT."""

    model_config = ConfigDict(extra="ignore", strict=True, json_schema_extra={"example": {"token": "fw_…"}})

    token: str = Field(min_length=1, max_length=16_384)


class SessionShape(Schema):
    """The cookie was set."""

    success: Literal[True]
    expires_at: str | None = Field(None, examples=[AT])


class TicketShape(Schema):
    """A ticket: once, within 30 seconds, as `?ticket=` of a stream."""

    ticket: str
    expires_at: str = Field(examples=[AT])


class MeShape(Schema):
    """Who asks."""

    name: str = Field(examples=["ci"])
    role: Literal["viewer", "operator", "editor", "ingest", "admin"]
    features: list[str] = Field(description="Patterns of the features that it may see.", examples=[["sum*"]])
    actions: list[str] = Field(examples=[["read"]])
    authentication: bool = Field(description="Whether the bridge asks for credentials at all.")
    expires_at: str | None = None


class ReadyShape(Schema):
    """Whether the bridge can do its work."""

    status: Literal["ready", "unready"]
    checks: dict[str, Any] = Field(
        description="The state of each store, and of the keys of JWTs.", examples=[{"logs": {"ok": True}}]
    )
    doctor: dict[str, Any] | None = Field(
        None, description="With `?verbose`: what the last look at the installation found, and what to do."
    )
