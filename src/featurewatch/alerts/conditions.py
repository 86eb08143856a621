"""When a rule's condition holds: one meaning for the evaluator, the preview and the systems that are told. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..alert_model import LOG_ENTRIES, AlertRule, Condition
from ..formulas import METRICS, Gain

__all__ = ["Band", "Reading", "band", "breached", "counts", "holds", "readings"]

NEAR: Final = 0.005
"""`equals` means within this share of the threshold, for what is no count."""


class Band(NamedTuple):
    """What `equals` takes for equal, both ends included."""

    low: float
    high: float


class Reading(NamedTuple):
    """A figure that a rule needs to know: which one, over how long."""

    metric: str
    window_minutes: int


def counts(metric: str) -> bool:
    """Whether a metric is a number of whole things, which is compared rounded."""
    if metric == LOG_ENTRIES:
        return True
    expression = METRICS[metric].expression
    return isinstance(expression, Gain) and expression.whole


def band(metric: str, threshold: float) -> Band:
    """Return the values that equal a threshold: for a count itself, else ±0.5 % of it."""
    if counts(metric):
        return Band(round(threshold), round(threshold))
    return Band(_short(threshold * (1 - NEAR)), _short(threshold * (1 + NEAR)))


def holds(metric: str, condition: Condition, threshold: float, value: float | None) -> bool:
    """Whether a figure meets a condition; one that cannot be known meets none."""
    if value is None:
        return False
    compared = round(value) if counts(metric) else value
    match condition:
        case "greater_than":
            return compared > threshold
        case "less_than":
            return compared < threshold
        case "equals":
            low, high = band(metric, threshold)
            return low <= compared <= high


def readings(rule: AlertRule) -> tuple[Reading, ...]:
    """Name the figures that `breached` asks for, in its order; where there are two, the rule holds while both do."""
    if rule.burn is not None:
        return Reading(rule.metric, rule.burn.long_minutes), Reading(rule.metric, rule.burn.short_minutes)
    return (Reading(rule.metric, rule.window_minutes),)


def breached(rule: AlertRule, *values: float | None) -> bool:
    """Whether a rule's condition holds, given the values of its `readings`."""
    return all(holds(rule.metric, rule.condition, rule.threshold, value) for value in values)


def _short(value: float) -> float:
    """Drop the digits that binary arithmetic adds: rules are read by people."""
    return float(f"{value:.12g}")
