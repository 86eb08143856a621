"""What alerts said of which only the series `ALERTS` is left: it has their labels, and neither values nor texts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..alert_model import AlertRule
from ..errors import FeaturewatchError
from ..formulas import METRICS
from ..stores.base import MetricStore
from . import texts
from .conditions import holds, readings
from .endings import RuleFinder
from .past_figures import AT_ONCE, figure_of_minute, minute_of
from .prometheus import NO_DATA_LABEL, window_of
from .signals import Signal

__all__ = ["MOST_VALUES", "retell"]

MOST_VALUES: Final = 200
"""Values that are asked for at once; of further alerts only the threshold is told."""

_log = logging.getLogger(__name__)


async def retell(signals: Sequence[Signal], rules: RuleFinder, metrics: MetricStore) -> list[Signal]:
    """Give signals the annotations that they had, as far as their rules are still what they were.

    A value is that of the minute in which the alert fired; where that does not meet the condition, none is told.
    """
    try:
        found = await rules({signal.rule_id for signal in signals})
    except FeaturewatchError as error:
        _log.warning("what alerts said is not known: %s", error)
        return list(signals)
    turns = asyncio.Semaphore(AT_ONCE)

    async def told(number: int, signal: Signal) -> Signal:
        rule = found.get(signal.rule_id)
        if rule is None:
            return signal
        if rule.updated_ns > signal.starts_ns or rule.metric != signal.labels.get("metric"):
            return replace(signal, annotations={"title": texts.title(rule)})
        value = None
        if NO_DATA_LABEL not in signal.labels and rule.metric in METRICS and number < MOST_VALUES:
            async with turns:
                value = await _value(rule, signal, metrics)
        return replace(signal, annotations=_annotations(rule, value, no_data=NO_DATA_LABEL in signal.labels))

    return list(await asyncio.gather(*(told(number, signal) for number, signal in enumerate(signals))))


async def _value(rule: AlertRule, signal: Signal, metrics: MetricStore) -> float | None:
    reading, minute = readings(rule)[0], minute_of(signal.starts_ns)
    try:
        value = await figure_of_minute(metrics, signal.key, reading.metric, reading.window_minutes, minute)
    except FeaturewatchError as error:
        _log.warning("the value with which an alert of %s fired is not known: %s", signal.key.feature, error)
        return None
    return value if holds(rule.metric, rule.condition, rule.threshold, value) else None


def _annotations(rule: AlertRule, value: float | None, *, no_data: bool) -> dict[str, str]:
    told = {
        "title": texts.title(rule),
        "threshold": texts.plain(rule.threshold),
        "unit": texts.unit(rule.metric),
        "condition": rule.condition,
        "window": window_of(rule),
    }
    if no_data:
        return {**told, "message": texts.message(rule, None), "value": texts.NO_DATA}
    if value is None:
        return {**told, "message": texts.crossing(rule)}
    return {**told, "message": texts.message(rule, texts.figure(rule.metric, value)), "value": repr(value)}
