"""What requests and answers look like, for the documentation; FeatureEdit and TokenIn also check what comes in.

The hot paths (lines, calls, pushes) are parsed by `ingest`, which is five times as fast: a test holds both to the
same examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

_ID = "summarize"
_AT = "2026-01-31T12:00:00.000000Z"


class Schema(BaseModel):
    """A documented shape."""

    model_config = ConfigDict(extra="ignore")


class Detail(Schema):
    """One thing that is wrong with an input."""

    index: int | None = Field(None, description="Which item of a list; left out where there is no list.", examples=[3])
    field: str = Field(description="The field.", examples=["level"])
    message: str = Field(description="What was expected and what came.", examples=["expected info, got 'loud'"])


class Error(Schema):
    """What went wrong, in one line."""

    error: str = Field(description="One line: what was expected, what came, what to do.")
    code: str = Field(description="A stable word for programs.", examples=["bad_request"])
    details: list[Detail] = Field(description="What is wrong with which item; empty where the line says it all.")


class ThresholdsShape(Schema):
    """What a feature must keep to be healthy; one missed is a warning."""

    uptime: float = Field(99.0, ge=0, le=100, description="Percent, at least.", allow_inf_nan=False)
    error_rate: float = Field(5.0, ge=0, le=100, description="Percent, below.", allow_inf_nan=False)
    response_time_p95: float = Field(10_000.0, gt=0, description="Milliseconds, below.", allow_inf_nan=False)


class SloShape(Schema):
    """A service level objective."""

    objective: float = Field(gt=0, lt=100, description="Percent of calls that succeed.", examples=[99.5])
    window: str = Field("30d", description="Over so long.", examples=["30d"])


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
    window: str = Field("30d", description="Over so long: 7d, 30d.", max_length=16)


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


class FeatureShape(Schema):
    """A feature: what was declared of it, its figures now, and how it does."""

    id: str = Field(examples=[_ID])
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
    health_indicators: HealthIndicators


class FeatureList(Schema):
    """All features that the caller may see."""

    features: list[FeatureShape]


class Window(Schema):
    """Which window an answer is about."""

    environment: str = Field(examples=["production"])
    time_range: str = Field(examples=["5m"])
    timestamp: str = Field(description="When the window ends.", examples=[_AT])
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
    timestamp: str = Field(examples=[_AT])
    stale: bool


class SnapshotShape(Schema):
    """A MetricsSnapshot: what streams send as `metrics_update`."""

    featureId: str = Field(examples=[_ID])
    environment: str = Field(examples=["production"])
    timestamp: str = Field(examples=[_AT])
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


class LogShape(Schema):
    """A line. Fields that are absent are left out."""

    id: str = Field(examples=["0018e0c1f7a2b3c4d5e6f70800000001"])
    featureId: str = Field(examples=[_ID])
    timestamp: str = Field(examples=[_AT])
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
                "featureId": _ID,
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


class CallIn(Schema):
    """A finished call. Also a list of them, or `{"requests": [...]}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "job-17",
                "outcome": "success",
                "duration_ms": 412,
                "model": "gpt-5-mini",
                "tokens": {"input": 812, "output": 120},
            }
        }
    )

    outcome: Literal["success", "error", "cancelled"]
    duration_ms: float = Field(ge=0, description="Milliseconds.")
    id: str | None = Field(None, description="Makes a repeat harmless: a feature counts an id once.")
    timestamp: str | None = Field(None, description="When it ended, ISO 8601; now by default.")
    error_type: str | None = Field(None, description="The kind of error; few kinds, not messages.")
    time_to_first_token_ms: float | None = Field(None, ge=0)
    model: str | None = None
    tokens: dict[str, int] | None = Field(
        None,
        description="input, output, cache_read, cache_write, reasoning; the last three are parts of the first two.",
    )
    cost_usd: float | None = Field(None, ge=0, description="Left out: estimated from the model and the tokens.")
    environment: str | None = Field(None, description="The bridge's own by default.")


class CallsKept(Schema):
    """The calls are counted."""

    success: Literal[True]
    accepted: int = Field(examples=[1])
    duplicates: int = Field(description="How many had an id that was counted before.", examples=[0])


class TestResultIn(Schema):
    """A test's result. Also a list of them, or `{"results": [...]}`."""

    __test__ = False
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "answers in French",
                "passed": False,
                "duration_ms": 1830,
                "message": "answered in English",
            }
        }
    )

    name: str = Field(description="What was tested.")
    passed: bool | None = Field(None, description="Whether it passed; or `ok`, or `status`.")
    status: Literal["passed", "failed"] | None = Field(None, description="Instead of `passed`.")
    id: str | None = Field(None, description="Makes a repeat harmless.")
    timestamp: str | None = Field(None, description="ISO 8601; now by default.")
    duration_ms: float | None = None
    message: str | None = None
    suite: str | None = None
    version: str | None = Field(None, description="Of the feature that was tested.")
    url: str | None = Field(None, description="Where the run can be seen.")
    metadata: dict[str, Any] | None = None
    environment: str | None = Field(None, description="The bridge's own by default.")


class EventShape(Schema):
    """Something that happened to a feature."""

    id: str
    type: Literal["status_change", "test_result", "alert"]
    featureId: str = Field(examples=[_ID])
    environment: str = Field(examples=["production"])
    timestamp: str = Field(examples=[_AT])
    data: dict[str, Any]


class TestResultsKept(Schema):
    """The results are safe, and told to whoever listens."""

    __test__ = False
    success: Literal[True]
    ids: list[str]


class TestResultList(Schema):
    """Test results, newest first."""

    __test__ = False
    test_results: list[EventShape]
    next_cursor: str | None


class EventList(Schema):
    """What happened, newest first."""

    events: list[EventShape]
    next_cursor: str | None


class TokenIn(Schema):
    """A credential."""

    model_config = ConfigDict(extra="ignore", strict=True, json_schema_extra={"example": {"token": "fw_…"}})

    token: str = Field(min_length=1, max_length=16_384)


class SessionShape(Schema):
    """The cookie was set."""

    success: Literal[True]
    expires_at: str | None = Field(None, examples=[_AT])


class TicketShape(Schema):
    """A ticket: once, within 30 seconds, as `?ticket=` of a stream."""

    ticket: str
    expires_at: str = Field(examples=[_AT])


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
    checks: dict[str, Any] | None = Field(None, description="With ?verbose: the state of each store.")


def models() -> dict[str, type[Schema]]:
    """Return every shape by its name."""
    found, waiting = {}, [Schema]
    while waiting:
        for model in waiting.pop().__subclasses__():
            found[model.__name__] = model
            waiting.append(model)
    return found


def content(
    shape: type[BaseModel] | Mapping[str, Any] | None, media_type: str, example: Any = None
) -> dict[str, Any] | None:
    """Describe a body: a model by reference, a mapping as it is."""
    if shape is None:
        return None
    entry: dict[str, Any] = (
        {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}} if isinstance(shape, type) else dict(shape)
    )
    return {media_type: entry if example is None else {**entry, "example": example}}


def one_or_many(shape: type[BaseModel], wrapper: str) -> dict[str, Any]:
    """Describe a body of one object, a list, or a list under `wrapper`."""
    one = {"$ref": f"#/components/schemas/{shape.__name__}"}
    many = {"type": "array", "items": one}
    wrapped = {"type": "object", "properties": {wrapper: many}, "required": [wrapper]}
    example = (shape.model_config.get("json_schema_extra") or {}).get("example")  # type: ignore[union-attr]  # ours are mappings
    return {"schema": {"oneOf": [one, many, wrapped]}, "example": example}


def components() -> dict[str, Any]:
    """Return the JSON schema of every shape, by name."""
    _, schema = models_json_schema(
        [(model, "validation") for model in models().values()], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
