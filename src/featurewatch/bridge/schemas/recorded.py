"""Calls, test results, events. What comes in is parsed by `ingest`; a test holds both to the same examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import AT, FEATURE, Schema


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
    featureId: str = Field(examples=[FEATURE])
    environment: str = Field(examples=["production"])
    timestamp: str = Field(examples=[AT])
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
