"""Whether a feature works: figures, thresholds and open alerts in, a verdict with its reasons out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from .formulas import METRICS
from .model import AlertSummary, FigureStatus, HealthStatus, Thresholds

FEW_CALLS: Final = 10
"""Below so many calls in the window a rate says little: it makes at most a warning."""

BROKEN_ERROR_RATE: Final = 50.0
"""From this percentage of failed calls on, the feature is broken whatever its own thresholds say."""


def statuses(metrics: Mapping[str, float | None]) -> dict[str, FigureStatus]:
    """Mark each figure that has display thresholds: good, warning, error, or unknown where it is None."""
    marks: dict[str, FigureStatus] = {}
    for name, metric in METRICS.items():
        if metric.mark is not None and name in metrics:
            value = metrics[name]
            marks[name] = "unknown" if value is None else cast(FigureStatus, metric.mark.judge(value))
    return marks


def judge(
    metrics: Mapping[str, float | None], thresholds: Thresholds, alerts: Sequence[AlertSummary] = ()
) -> tuple[HealthStatus, tuple[str, ...]]:
    """Judge a feature: error > unknown > warning > healthy, with a reason for all but healthy.

    An open high or critical alert, or an error rate of 50 % and more, is an error; a missed threshold is a
    warning; where none of the figures can be known, unknown.
    """
    errors = [alert.message for alert in alerts if alert.severity in ("high", "critical")]
    warnings: list[str] = []
    uptime, error_rate = metrics.get("uptime"), metrics.get("error_rate")
    p95, calls = metrics.get("response_time_p95"), metrics.get("total_requests") or 0
    if error_rate is not None:
        reason = f"error_rate is {_percent(error_rate)} %, the threshold is {thresholds.error_rate:g} %"
        if error_rate >= BROKEN_ERROR_RATE and calls >= FEW_CALLS:
            errors.append(reason)
        elif error_rate >= thresholds.error_rate:
            warnings.append(reason)
    if uptime is not None and uptime < thresholds.uptime:
        warnings.append(f"uptime is {_percent(uptime)} %, the threshold is {thresholds.uptime:g} %")
    if p95 is not None and p95 >= thresholds.response_time_p95:
        warnings.append(f"response_time_p95 is {p95:.0f} ms, the threshold is {thresholds.response_time_p95:g} ms")
    if errors:
        return "error", (*errors, *warnings)
    if uptime is None and error_rate is None and p95 is None:
        return "unknown", ("no data: no call was recorded within the window",)
    if warnings:
        return "warning", tuple(warnings)
    return "healthy", ()


def _percent(value: float) -> str:
    """Show a percentage: near 100 in six digits, since 99.996 misses a threshold that 100 does not."""
    return f"{value:.6g}" if value > 99 else f"{value:.4g}"
