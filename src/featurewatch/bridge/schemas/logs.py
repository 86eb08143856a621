"""Lines. They are parsed by `ingest`, which is faster; a test holds both to the same examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import AT, FEATURE, Schema


class LogShape(Schema):
    """A line. Fields that are absent are left out."""

    id: str = Field(examples=["0018e0c1f7a2b3c4d5e6f70800000001"])
    featureId: str = Field(examples=[FEATURE])
    timestamp: str = Field(examples=[AT])
    level: Literal["debug", "info", "warn", "error", "fatal"]
    message: str = Field(examples=["no answer within 30 s"])
    source: str = Field(examples=["app"])
    environment: str = Field(examples=["production"])
    metadata: dict[str, Any] | None = Field(None, examples=[{"model": "gpt-5-mini"}])
    trace_id: str | None = None
    user_id: str | None = None


class LogPageShape(Schema):
    """A page of lines; `next_cursor` is null on the last one."""

    logs: list[LogShape]
    next_cursor: str | None
    environment: str = Field(examples=["production"])


class LogAroundShape(Schema):
    """A line between its neighbours, oldest first."""

    log: LogShape
    logs: list[LogShape]


class LogIn(Schema):
    """A line to keep. Also a list of them, or `{"logs": [...]}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "featureId": FEATURE,
                "level": "error",
                "message": "no answer within 30 s",
                "metadata": {"model": "gpt-5-mini"},
                "environment": "production",
            }
        }
    )

    featureId: str = Field(description="The feature; `feature_id` means the same.")
    message: str = Field(description="The text; longer than the limit is cut with a mark.")
    id: str | None = Field(None, description="Makes a repeat harmless: a feature keeps an id once.")
    timestamp: str | None = Field(None, description="ISO 8601 to the nanosecond; now by default.")
    level: Literal["debug", "info", "warn", "error", "fatal"] = "info"
    source: str = Field("app", description="Which part of the app says so.")
    environment: str | None = Field(None, description="The bridge's own by default.")
    metadata: dict[str, Any] | None = Field(None, description="Fields of your own.")
    trace_id: str | None = None
    user_id: str | None = None


class LogsKept(Schema):
    """The lines are safe."""

    success: Literal[True]
    ids: list[str] = Field(description="In the order of the lines.")
