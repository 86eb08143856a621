"""Reading rules: what is right is taken as it is meant, what is wrong is told with its reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alert_model import AlertRule, LogSelection
from featurewatch.alerts.rules import read_rule
from featurewatch.errors import BadInput, OutOfRange
from featurewatch.formulas import METRICS

ERRORS: dict[str, Any] = {
    "name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high",
}  # fmt: skip
LINES: dict[str, Any] = {
    "name": "Lines", "kind": "logs", "condition": "greater_than", "threshold": 10, "severity": "low",
    "logs": {"levels": ["error", "fatal"], "search": "timeout"},
}  # fmt: skip


def read(changes: dict[str, Any] | None = None, **given: Any) -> AlertRule:
    return read_rule({**ERRORS, **(changes or {})}, "chat", **given)


def refused(changes: dict[str, Any], **given: Any) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(changes, **given)
    return caught.value


def test_what_is_left_out_gets_its_default() -> None:
    assert read() == AlertRule("", "chat", "Errors", "error_rate", "greater_than", 20.0, "high")


def test_everything_that_is_given_is_taken() -> None:
    rule = read(
        {
            "enabled": False, "cooldown_minutes": 5, "notification_channels": ["ops", "mail", "ops"],
            "window_minutes": 30, "for_minutes": 0, "keep_firing_minutes": 10, "on_no_data": "alert",
            "environment": "staging", "threshold": 0.5, "condition": "less_than",
        },
        channels={"ops", "mail"},
    )  # fmt: skip
    assert rule == AlertRule(
        "", "chat", "Errors", "error_rate", "less_than", 0.5, "high", False, 5, ("ops", "mail"), 30, 0, 10, "alert",
        "staging",
    )  # fmt: skip


def test_a_metric_is_named_also_with_its_prefix_or_an_older_name() -> None:
    assert read({"metric": "metrics.error_rate"}).metric == "error_rate"
    assert read({"metric": "avg_response_time"}).metric == "response_time"
    assert read({"metric": "metrics.avg_response_time"}).metric == "response_time"


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_have_a_rule(metric: str) -> None:
    assert read({"metric": metric}).metric == metric


def test_uptime_is_taken_over_a_day_unless_the_rule_says_otherwise() -> None:
    assert read({"metric": "uptime", "condition": "less_than"}).window_minutes == 1440
    assert read({"metric": "uptime", "condition": "less_than", "window_minutes": 60}).window_minutes == 60


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"metric": "eror_rate"}, "metric", "did you mean error_rate?"),
        ({"metric": "metrics.p95"}, "metric", "is no metric"),
        ({"metric": "response_time_p90"}, "metric", "did you mean response_time_p"),
        ({"metric": "Error_Rate"}, "metric", "did you mean error_rate?"),
        ({"metric": None}, "metric", "is missing"),
        ({"metric": 7}, "metric", "7 is no metric"),
        ({"metric": "log_entries"}, "metric", "kind: 'logs'"),
        ({"condition": "greater"}, "condition", "did you mean greater_than?"),
        ({"condition": ">"}, "condition", "expected greater_than, less_than, equals"),
        ({"condition": None}, "condition", "is missing"),
        ({"threshold": "20"}, "threshold", "expected a number, got '20'"),
        ({"threshold": True}, "threshold", "expected a number, got true"),
        ({"threshold": None}, "threshold", "is missing"),
        ({"threshold": float("nan")}, "threshold", "nothing compares"),
        ({"threshold": float("inf")}, "threshold", "finite"),
        ({"severity": "urgent"}, "severity", "low, medium, high, critical"),
        ({"severity": "hihg"}, "severity", "did you mean high?"),
        ({"enabled": "yes"}, "enabled", "true or false"),
        ({"cooldown_minutes": "60"}, "cooldown_minutes", "whole minutes from 1 to 7200"),
        ({"name": ""}, "name", "what people call the rule"),
        ({"name": "  "}, "name", "what people call the rule"),
        ({"name": "a\nb"}, "name", "one line"),
        ({"name": ["x"]}, "name", "expected text"),
        ({"name": " SLO burn rate (critical) "}, "name", "what a rule of an objective is called"),
        ({"notification_channels": "ops"}, "notification_channels", "expected a list"),
        ({"notification_channels": ["ops", 7]}, "notification_channels", "expected a list"),
        ({"notification_channels": ["a b"]}, "notification_channels", "letters, digits"),
        ({"environment": "pro duction"}, "environment", "letters, digits"),
        ({"environment": 7}, "environment", "letters, digits"),
        ({"on_no_data": "fire"}, "on_no_data", "ignore, alert"),
        ({"kind": "log"}, "kind", "did you mean logs?"),
        ({"kind": "slo"}, "kind", "feature's slo"),
        ({"featureId": "search"}, "featureId", "the address says 'chat'"),
    ],
)
def test_what_is_malformed_is_told(changes: dict[str, Any], field: str, words: str) -> None:
    error = refused(changes)
    assert not isinstance(error, OutOfRange), error
    assert [problem.field for problem in error.problems] == [field]
    assert words in error.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": -1}, "no figure is less"),
        ({"threshold": 1e300}, "expected at most 1e+15, got 1e+300"),
        ({"threshold": 100}, "can never fire: error_rate is never more than 100"),
        ({"threshold": 120}, "can never fire: error_rate is never more than 100"),
        ({"condition": "less_than", "threshold": 0}, "can never fire: error_rate is never less than 0"),
        ({"condition": "less_than", "threshold": 120}, "always fires"),
        ({"condition": "equals", "threshold": 101}, "can never fire"),
        ({"metric": "total_requests", "condition": "equals", "threshold": 2.5}, "total_requests is a whole number"),
        ({"metric": "response_time_p95", "threshold": 81920}, "highest bucket"),
        ({"metric": "response_time_p99", "condition": "equals", "threshold": 90_000}, "highest bucket"),
        ({"cooldown_minutes": 0}, "cooldown_minutes: expected whole minutes from 1 to 7200, got 0"),
        ({"cooldown_minutes": 7201}, "got 7201"),
        ({"window_minutes": 0}, "window_minutes: expected whole minutes from 1"),
        ({"window_minutes": 2.5}, "got 2.5"),
        ({"for_minutes": -1}, "for_minutes: expected whole minutes from 0"),
        ({"keep_firing_minutes": 99_999}, "keep_firing_minutes"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"notification_channels": [f"c{n}" for n in range(21)]}, "at most 20"),
    ],
)
def test_what_is_out_of_range_says_why(changes: dict[str, Any], words: str) -> None:
    error = refused(changes)
    assert isinstance(error, OutOfRange)
    assert words in error.message


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0},
        {"threshold": 99.999},
        {"condition": "equals", "threshold": 0},
        {"condition": "equals", "threshold": 100},
        {"condition": "less_than", "threshold": 100},
        {"metric": "response_time", "threshold": 500_000},
        {"metric": "response_time_p95", "threshold": 81_919},
        {"metric": "response_time_p95", "condition": "equals", "threshold": 81_920},
        {"metric": "total_requests", "threshold": 19.5},
        {"metric": "total_requests", "condition": "equals", "threshold": 0},
        {"cooldown_minutes": 7200},
        {"window_minutes": 30.0},
        {"for_minutes": 0},
        {"environment": ""},
        {"featureId": "chat"},
        {"name": "Fehler {{ $value }} \u00fc\U0001f600"},
    ],
)
def test_what_can_fire_is_taken(changes: dict[str, Any]) -> None:
    assert read(changes)


def test_a_channel_that_is_not_there_is_told_with_the_nearest() -> None:
    assert "did you mean ops?" in refused({"notification_channels": ["opps"]}, channels={"ops", "mail"}).message
    assert "there are mail, ops" in refused({"notification_channels": ["x"]}, channels={"ops", "mail"}).message
    assert "there is none yet" in refused({"notification_channels": ["x"]}, channels=set()).message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    error = refused({"metric": "x", "severity": "x", "cooldown_minutes": 0})
    assert [problem.field for problem in error.problems] == ["metric", "severity", "cooldown_minutes"]


@pytest.mark.parametrize("body", [None, [], "rule", 7])
def test_a_rule_is_an_object(body: Any) -> None:
    with pytest.raises(BadInput, match="expected a rule such as"):
        read_rule(body, "chat")


def test_a_change_leaves_what_it_does_not_name() -> None:
    base = replace(
        read({"environment": "staging", "notification_channels": ["ops"], "window_minutes": 30, "enabled": False}),
        id="r1", revision=3, created_ns=5, created_by="ada", origin="file",
    )  # fmt: skip
    assert read_rule({}, "chat", base=base) == base
    assert read_rule({"threshold": 5}, "chat", base=base) == replace(base, threshold=5.0)
    assert read_rule({"metric": "uptime", "condition": "less_than"}, "chat", base=base).window_minutes == 1440


def test_null_gives_a_field_its_default_back() -> None:
    base = read({"environment": "staging", "notification_channels": ["ops"], "window_minutes": 30, "enabled": False})
    given = dict.fromkeys(
        ("environment", "notification_channels", "window_minutes", "enabled", "for_minutes", "on_no_data")
    )
    assert read_rule(given, "chat", base=base) == read()


def test_a_rule_that_has_an_objectives_name_from_before_can_still_be_changed() -> None:
    base = replace(read(), name="SLO burn rate (low)")
    assert read_rule({"name": base.name, "threshold": 30}, "chat", base=base).threshold == 30


def test_a_change_is_checked_as_a_whole() -> None:
    base = read_rule({**ERRORS, "metric": "response_time", "threshold": 500}, "chat")
    with pytest.raises(OutOfRange, match="never more than 100"):
        read_rule({"metric": "error_rate"}, "chat", base=base)


def test_a_rule_on_logs_counts_lines() -> None:
    rule = read_rule(LINES, "chat")
    assert (rule.kind, rule.metric) == ("logs", "log_entries")
    assert rule.logs == LogSelection(("error", "fatal"), "timeout")
    assert read_rule({"logs": {"levels": "WARN,critical"}}, "chat", base=rule).logs == LogSelection(("warn", "fatal"))
    assert read_rule({"logs": None}, "chat", base=rule).logs == LogSelection()
    assert read_rule({"threshold": 3}, "chat", base=rule).logs == rule.logs


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"logs": ["error"]}, "logs"),
        ({"logs": {"levels": ["loud"]}}, "logs.levels"),
        ({"logs": {"levels": [7]}}, "logs.levels"),
        ({"logs": {"levels": 7}}, "logs.levels"),
        ({"logs": {"search": 7}}, "logs.search"),
        ({"logs": {"search": "x" * 1001}}, "logs.search"),
        ({"metric": "error_rate"}, "metric"),
        ({"on_no_data": "alert"}, "on_no_data"),
        ({"threshold": 1.5, "condition": "equals"}, "threshold"),
        ({"threshold": 0, "condition": "less_than"}, "threshold"),
    ],
)
def test_what_is_wrong_with_a_rule_on_logs_is_told(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_rule({**LINES, **changes}, "chat")
    assert [problem.field for problem in caught.value.problems] == [field]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


NAMES = [
    *ERRORS, "kind", "logs", "enabled", "cooldown_minutes", "window_minutes", "for_minutes", "keep_firing_minutes",
    "on_no_data", "environment", "notification_channels", "featureId",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_comes_is_taken_or_refused_in_one_line(changes: dict[str, Any]) -> None:
    with suppress(BadInput):
        rule = read(changes)
        assert rule.name == rule.name.strip() != ""
        return
    error = refused(changes)
    assert error.problems
    assert "\n" not in error.message
