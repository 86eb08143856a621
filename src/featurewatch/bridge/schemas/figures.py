"""Figures: of a window, and over time."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from .base import AT, FEATURE, Schema


class Figures(Schema):
    """Figures of a window; null is what cannot be known."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "uptime": 99.9,
                "error_rate": 0.4,
                "success_rate": 99.6,
                "response_time": 412.0,
                "total_requests": 1234,
            }
        }
    )

    uptime: float | None = Field(None, description="Percent of the minutes with traffic that were up.")
    error_rate: float | None = Field(None, description="Percent of the decided calls that failed.")
    success_rate: float | None = Field(None, description="Percent of the decided calls that succeeded.")
    response_time: float | None = Field(None, description="Mean duration, milliseconds.")
    total_requests: float | None = Field(None, description="Calls that ended.")
    requests_per_minute: float | None = Field(None, description="Calls that ended, by minute.")
    cost_per_request: float | None = Field(None, description="US dollars.")
    response_time_p50: float | None = Field(None, description="Milliseconds.")
    response_time_p95: float | None = Field(None, description="Milliseconds.")
    response_time_p99: float | None = Field(None, description="Milliseconds.")
    time_to_first_token_p95: float | None = Field(None, description="Milliseconds.")
    total_cost: float | None = Field(None, description="US dollars.")
    tokens_per_request: float | None = Field(None, description="Input and output tokens.")


class Window(Schema):
    """Which window an answer is about."""

    environment: str = Field(examples=["production"])
    time_range: str = Field(examples=["5m"])
    timestamp: str = Field(description="When the window ends.", examples=[AT])
    statuses: dict[str, str] = Field(description="good, warning, error or unknown, by figure.")
    stale: bool = Field(description="The store cannot be reached; these are the last figures that were known.")


class MetricsShape(Window):
    """Usage of a feature."""

    uptime: float | None = Field(description="Percent.", examples=[99.9])
    total_requests: float | None = Field(examples=[1234])
    requests_per_minute: float | None = Field(examples=[246.8])
    tokens_per_request: float | None = Field(examples=[932.0])
    requests_in_progress: int | None = Field(None, description="Calls that run now.", examples=[2])


class PerformanceShape(Window):
    """Errors and response times of a feature. Percent and milliseconds."""

    error_rate: float | None = Field(examples=[0.4])
    success_rate: float | None = Field(examples=[99.6])
    avg_response_time: float | None = Field(examples=[412.0])
    response_time: float | None = Field(description="The same as avg_response_time.", examples=[412.0])
    response_time_p50: float | None = Field(examples=[380.0])
    response_time_p95: float | None = Field(examples=[910.0])
    response_time_p99: float | None = Field(examples=[1400.0])
    time_to_first_token_p95: float | None = Field(examples=[230.0])
    errors_by_type: dict[str, int] = Field(description="Failed calls by kind of error.", examples=[{"timeout": 4}])


class ModelCostShape(Schema):
    """What one model cost."""

    model: str = Field(examples=["gpt-5-mini"])
    cost_usd: float = Field(examples=[0.31])
    reported_usd: float
    estimated_usd: float
    tokens: dict[str, int] = Field(examples=[{"input": 81200, "output": 12000}])
    unpriced_requests: int = Field(description="Calls whose model has no known price.")


class CostsShape(Window):
    """Cost of a feature, US dollars."""

    cost_per_request: float | None = Field(examples=[0.0021])
    total_cost: float | None = Field(examples=[2.59])
    budget_usd_per_day: float | None = Field(None, description="The budget that the app declared.", examples=[10.0])
    by_model: list[ModelCostShape] = Field(description="Dearest first.")


class AlertBrief(Schema):
    """An open alert."""

    type: str
    message: str
    severity: Literal["low", "medium", "high", "critical"]
    timestamp: str


class HealthShape(Schema):
    """Whether a feature works, and why not."""

    status: Literal["healthy", "warning", "error", "unknown"]
    reasons: list[str] = Field(examples=[["error_rate is 7.2 %, the threshold is 5 %"]])
    alerts: list[AlertBrief]
    environment: str = Field(examples=["production"])
    timestamp: str = Field(examples=[AT])
    stale: bool


class SnapshotShape(Schema):
    """A MetricsSnapshot: what streams send as `metrics_update`."""

    featureId: str = Field(examples=[FEATURE])
    environment: str = Field(examples=["production"])
    timestamp: str = Field(examples=[AT])
    metrics: Figures
    statuses: dict[str, str]
    health_status: Literal["healthy", "warning", "error", "unknown"]
    reasons: list[str]
    alerts: list[AlertBrief]
    stale: bool


class CurrentShape(Schema):
    """The latest snapshot of a feature."""

    data: SnapshotShape


class CurrentListShape(Schema):
    """The latest snapshots of features."""

    data: list[SnapshotShape]


class HistoryShape(Schema):
    """One figure over time."""

    metric: str = Field(examples=["error_rate"])
    unit: str = Field(examples=["percent"])
    environment: str = Field(examples=["production"])
    step: str = Field(description="Each point covers so long before it.", examples=["15s"])
    points: list[tuple[int, float | None]] = Field(
        description="Epoch milliseconds and the figure, null where it cannot be known.",
        examples=[[[1769860800000, 0.4], [1769860815000, None]]],
    )
