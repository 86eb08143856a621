"""Features, and what people declare of them. FeatureEdit also checks what comes in."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from .base import FEATURE, Schema
from .figures import Figures


class ThresholdsShape(Schema):
    """What a feature must keep to be healthy; one missed is a warning."""

    uptime: float = Field(99.0, ge=0, le=100, description="Percent, at least.", allow_inf_nan=False)
    error_rate: float = Field(5.0, ge=0, le=100, description="Percent, below.", allow_inf_nan=False)
    response_time_p95: float = Field(10_000.0, gt=0, description="Milliseconds, below.", allow_inf_nan=False)


class SloShape(Schema):
    """A service level objective."""

    objective: float = Field(gt=0, lt=100, description="Percent of calls that succeed.", examples=[99.5])
    window: str = Field("30d", description="Over so long.", examples=["30d"])
    notification_channels: list[str] = Field([], description="Left out where it has none.", examples=[["ops"]])
    cooldown_minutes: int = Field(60, description="Left out with them.")


class ThresholdsEdit(Schema):
    """Thresholds to set; null means the default."""

    model_config = ConfigDict(extra="ignore", strict=True)

    uptime: float | None = Field(None, ge=0, le=100, allow_inf_nan=False, description="Percent, at least.")
    error_rate: float | None = Field(None, ge=0, le=100, allow_inf_nan=False, description="Percent, below.")
    response_time_p95: float | None = Field(None, gt=0, allow_inf_nan=False, description="Milliseconds, below.")


class SloEdit(Schema):
    """A service level objective to set."""

    model_config = ConfigDict(extra="ignore", strict=True)

    objective: float = Field(gt=0, lt=100, allow_inf_nan=False, description="Percent of calls that succeed.")
    window: str = Field("30d", description="Over so long: 1d to 366d, such as 7d or 30d.", max_length=16)
    notification_channels: list[str] = Field(
        [], max_length=20, description="Who is told when the error budget burns too fast."
    )
    cooldown_minutes: int = Field(60, ge=1, le=7200, description="Between two reminders of that.")


class FeatureEdit(Schema):
    """What people declare of a feature. PUT sets what is left out to its default, PATCH leaves it as it is."""

    model_config = ConfigDict(
        extra="ignore",
        strict=True,
        json_schema_extra={
            "example": {
                "name": "Summaries",
                "owner": "docs",
                "thresholds": {"error_rate": 2},
                "slo": {"objective": 99.5},
            }
        },
    )

    name: str | None = Field(None, max_length=200, description="What people call it; the id by default.")
    description: str | None = Field(None, max_length=4000, description="What it does.")
    owner: str | None = Field(None, max_length=200, description="Who answers for it.")
    version: str | None = Field(None, max_length=100, description="Its version.")
    organization_id: str | None = Field(None, max_length=200, description="Whose it is.")
    thresholds: ThresholdsEdit | None = Field(None, description="What it must keep to be healthy.")
    slo: SloEdit | None = Field(None, description="Its service level objective.")
    environments: list[str] | None = Field(None, max_length=50, description="Where it is expected.")


class HealthIndicators(Schema):
    """How a feature does, in brief."""

    status: Literal["healthy", "warning", "error", "unknown"]
    alerts_count: int = Field(description="Open alerts.")
    last_error: str | None = Field(description="The message of the latest line of level error or fatal.")


class FeatureShape(Schema):
    """A feature: what was declared of it, its figures now, and how it does."""

    id: str = Field(examples=[FEATURE])
    name: str = Field(examples=["Summaries"])
    description: str
    owner: str
    version: str
    organization_id: str | None
    environments: list[str] = Field(examples=[["production"]])
    environment: str = Field(description="The one that the figures are of.", examples=["production"])
    thresholds: ThresholdsShape
    slo: SloShape | None
    revision: int = Field(description="Counts the edits; what If-Match compares.", examples=[3])
    metrics: Figures
    statuses: dict[str, str] = Field(
        description="good, warning, error or unknown, by figure.", examples=[{"error_rate": "good"}]
    )
    health_indicators: HealthIndicators


class FeatureList(Schema):
    """All features that the caller may see."""

    features: list[FeatureShape]
