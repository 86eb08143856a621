"""Alert rules, what became of them, and who did what."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import AT, FEATURE, Schema


class LogSelectionShape(Schema):
    """Which lines a rule on logs counts."""

    levels: list[Literal["debug", "info", "warn", "error", "fatal"]] = Field([], description="Empty: all.")
    search: str = Field("", description="A substring of message, source or metadata, in whatever case.")
    source: str = Field("", description="Only lines of this source.")


class BurnShape(Schema):
    """The windows of an objective's rule: it fires while the budget burns `factor` times too fast over both."""

    factor: float = Field(examples=[14.4])
    long_minutes: int = Field(examples=[60])
    short_minutes: int = Field(examples=[5])


class AlertRuleIn(Schema):
    """A rule as people write it. POST needs name, metric, condition, threshold and severity."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "name": "Errors",
                "metric": "error_rate",
                "condition": "greater_than",
                "threshold": 20,
                "severity": "high",
                "notification_channels": ["ops"],
            }
        },
    )

    name: str = Field(max_length=200, description="What people call it; each name once in a feature.")
    metric: str = Field(
        description="A figure, also written metrics.error_rate; left out where `kind` is logs.", examples=["error_rate"]
    )
    condition: Literal["greater_than", "less_than", "equals"] = Field(
        description="`equals` compares counts rounded, others within 0.5 % of the threshold."
    )
    threshold: float = Field(ge=0, description="In the figure's unit: percent, milliseconds, US dollars, a count.")
    severity: Literal["low", "medium", "high", "critical"]
    enabled: bool = Field(True, description="Whether it is evaluated.")
    cooldown_minutes: int = Field(60, ge=1, le=7200, description="Between two reminders of an alert that stays.")
    notification_channels: list[str] = Field([], description="Who is told; empty: the bridge alone.")
    window_minutes: int = Field(5, ge=1, le=7200, description="What the figure is taken over; for uptime 1440.")
    for_minutes: int = Field(1, ge=0, le=7200, description="How long the condition has to hold before it fires.")
    keep_firing_minutes: int = Field(0, ge=0, le=7200, description="How long it stays after the condition ended.")
    on_no_data: Literal["ignore", "alert"] = Field(
        "ignore", description="Whether absent series are an alert; a feature that is idle has series."
    )
    environment: str | None = Field(None, description="null: each environment by itself.")
    kind: Literal["metric", "logs"] = Field("metric", description="logs: count lines instead of a figure.")
    logs: LogSelectionShape | None = Field(None, description="Which lines, where `kind` is logs.")


class DeploymentShape(Schema):
    """How far a rule got on its way to whoever evaluates it."""

    revision: int = Field(description="The revision that this is told of.", examples=[3])
    state: Literal["saved", "written", "loaded", "evaluated", "failed"]
    error: str | None = Field(description="Why it failed, in one line.")
    at: str | None = Field(description="Since when.", examples=[AT])


class AlertRuleShape(Schema):
    """A rule."""

    id: str
    featureId: str = Field(examples=[FEATURE])
    name: str = Field(examples=["Errors"])
    metric: str = Field(examples=["error_rate"])
    condition: Literal["greater_than", "less_than", "equals"]
    threshold: float = Field(examples=[20])
    severity: Literal["low", "medium", "high", "critical"]
    enabled: bool
    cooldown_minutes: int = Field(examples=[60])
    notification_channels: list[str] = Field(examples=[["ops"]])
    window_minutes: int = Field(examples=[5])
    for_minutes: int = Field(examples=[1])
    keep_firing_minutes: int = Field(examples=[0])
    on_no_data: Literal["ignore", "alert"]
    environment: str | None
    kind: Literal["metric", "logs", "slo"] = Field(description="slo: of the feature's objective.")
    logs: LogSelectionShape | None = Field(None, description="Where `kind` is logs.")
    burn: BurnShape | None = Field(None, description="Where `kind` is slo.")
    origin: Literal["api", "file", "import", "slo"] = Field(description="file: it is kept by a features.yml.")
    revision: int = Field(description="Counts the edits; what If-Match compares.", examples=[3])
    created_at: str | None = Field(
        None,
        description="Left out, as the three below, where nobody wrote it: in a preview, or of an objective.",
        examples=[AT],
    )
    created_by: str | None = Field(None, examples=["ada"])
    updated_at: str | None = Field(None, examples=[AT])
    updated_by: str | None = Field(None, examples=["ada"])
    deployment: DeploymentShape


class RuleList(Schema):
    """Rules."""

    rules: list[AlertRuleShape]


class RuleAnswer(Schema):
    """One rule."""

    rule: AlertRuleShape


class WouldFireShape(Schema):
    """An alert that there would have been."""

    environment: str = Field(examples=["production"])
    start: str = Field(examples=[AT])
    end: str | None = Field(description="null: it would fire now.", examples=[AT])
    value: float | None = Field(description="The worst figure while it fired; null where there was no data.")
    reason: Literal["condition", "no_data"]


class ComparedShape(Schema):
    """The figure that a rule compares, over its window, thinned: the worst of each stretch of time."""

    environment: str = Field(examples=["production"])
    points: list[tuple[int, float | None]] = Field(
        description="Epoch milliseconds and value; null: no data.", examples=[[[1769860800000, 12.5]]]
    )


class PreviewShape(Schema):
    """How often and when a rule would have fired."""

    count: int = Field(description="How many alerts.", examples=[2])
    firings: list[WouldFireShape] = Field(description="Oldest first.")
    notifications: int = Field(description="What each channel would have been told, reminders included.", examples=[5])
    start: str = Field(description="From when.", examples=[AT])
    end: str = Field(description="Until when.", examples=[AT])
    step_seconds: int = Field(description="Between two evaluations.", examples=[60])
    rule: AlertRuleShape = Field(description="The rule as it was understood, defaults included.")
    chart: list[ComparedShape] | None = Field(None, description="What was compared, where `chart` asks for it.")


class DeedShape(Schema):
    """Something that somebody did."""

    id: str
    timestamp: str = Field(examples=[AT])
    actor: str = Field(description="The name of the caller's token.", examples=["ada"])
    action: str = Field(description="What was done to what.", examples=["rule.change"])
    featureId: str | None = Field(None, description="Left out where it is no feature's.", examples=[FEATURE])
    target: str = Field(description="The id or name of what it was done to.")
    details: dict[str, Any] = Field(description="What changed.", examples=[{"changes": {"threshold": [20, 10]}}])


class DeedList(Schema):
    """Who did what, newest first."""

    deeds: list[DeedShape]
    next_cursor: str | None
