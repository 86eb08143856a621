"""The verdict on a feature."""

from __future__ import annotations

import pytest

from featurewatch.health import judge, statuses
from featurewatch.model import AlertSummary, Severity, Thresholds

FINE: dict[str, float | None] = {
    "uptime": 100.0, "error_rate": 0.0, "success_rate": 100.0, "response_time": 80.0, "response_time_p95": 100.0,
    "total_requests": 100,
}  # fmt: skip


def verdict(**changes: float | None) -> str:
    return judge({**FINE, **changes}, Thresholds())[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "healthy"),
        ({"uptime": 99.0}, "healthy"),
        ({"uptime": 98.99}, "warning"),
        ({"error_rate": 4.99}, "healthy"),
        ({"error_rate": 5.0}, "warning"),
        ({"error_rate": 49.9}, "warning"),
        ({"error_rate": 50.0}, "error"),
        ({"error_rate": 100.0, "total_requests": 10}, "error"),
        ({"error_rate": 100.0, "total_requests": 9}, "warning"),
        ({"response_time_p95": 9999.0}, "healthy"),
        ({"response_time_p95": 10_000.0}, "warning"),
        ({"error_rate": None, "response_time_p95": None, "total_requests": 0}, "healthy"),
        ({"error_rate": None, "response_time_p95": None, "uptime": None, "total_requests": 0}, "unknown"),
        ({"error_rate": None, "response_time_p95": None, "uptime": None, "total_requests": None}, "unknown"),
    ],
)
def test_thresholds(changes: dict[str, float | None], expected: str) -> None:
    assert verdict(**changes) == expected


def test_a_feature_keeps_thresholds_of_its_own() -> None:
    assert judge({**FINE, "error_rate": 7.0}, Thresholds(error_rate=8))[0] == "healthy"
    assert judge({**FINE, "error_rate": 55.0}, Thresholds(error_rate=60))[0] == "error"


@pytest.mark.parametrize(
    ("severity", "expected"), [("low", "healthy"), ("medium", "healthy"), ("high", "error"), ("critical", "error")]
)
def test_only_a_high_or_critical_alert_is_an_error(severity: Severity, expected: str) -> None:
    alert = AlertSummary("error_rate", "Errors", severity, 0)
    assert judge(FINE, Thresholds(), [alert])[0] == expected


def test_an_error_outranks_unknown_and_says_why() -> None:
    nothing = dict.fromkeys(FINE)
    alert = AlertSummary("uptime", "Probe fails", "critical", 0)
    assert judge(nothing, Thresholds(), [alert]) == ("error", ("Probe fails",))
    assert judge(nothing, Thresholds())[0] == "unknown"


def test_every_verdict_but_healthy_has_a_reason() -> None:
    status, reasons = judge({**FINE, "uptime": 90.0, "error_rate": 12.345678}, Thresholds())
    assert status == "warning"
    assert reasons == ("error_rate is 12.35 %, the threshold is 5 %", "uptime is 90 %, the threshold is 99 %")


def test_marks_for_display() -> None:
    marks = statuses({"uptime": 99.0, "success_rate": 95.1, "error_rate": 1.0, "response_time": 499.0, "total_cost": 1})
    assert marks == {"uptime": "warning", "success_rate": "good", "error_rate": "warning", "response_time": "good"}
    assert statuses({"uptime": None, "error_rate": 5.0}) == {"uptime": "unknown", "error_rate": "error"}


def test_a_threshold_that_is_missed_by_a_hair_is_not_said_to_be_met() -> None:
    _, reasons = judge({"uptime": 99.996, "error_rate": 0.1}, Thresholds(uptime=99.999))
    assert reasons == ("uptime is 99.996 %, the threshold is 99.999 %",)
