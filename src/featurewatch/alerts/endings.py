"""Why alerts end: the rule is gone or was edited, its figure cannot be known any more, or it recovered.

What counts is how it was when the alert ended, not when somebody heard of it: a reload of Prometheus delays an end by a
minute, and what ended while the bridge was away is found out hours later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, NamedTuple

from ..alert_model import CONDITIONS, Alert, AlertRule, LogSelection, ResolveReason
from ..episode_model import Place
from ..errors import BadInput, FeaturewatchError
from ..formulas import METRICS
from ..model import FeatureKey
from ..stores.base import LogFilter, LogStore, MetricStore
from ..times import NS, parse_duration
from .conditions import holds
from .past_figures import AT_ONCE, MINUTE_NS, figure_of_minute, minute_of

__all__ = ["MOST_LATE", "RuleFinder", "why"]

RuleFinder = Callable[[Collection[str]], Awaitable[Mapping[str, AlertRule]]]
"""Finds rules by their ids; those that are gone are left out."""

LATE_NS: Final = 30 * NS
"""An end that was heard of so much later is judged by the figure of its own minute."""
MOST_LATE: Final = 200
"""Figures of past minutes that are asked for at once; why further alerts ended stays unknown."""

_log = logging.getLogger(__name__)


class _Figure(NamedTuple):
    """The figure that an alert fired by; `minute` (since the epoch) None: as it is now."""

    key: FeatureKey
    metric: str
    window_minutes: int
    minute: int | None


async def why(
    ends: Mapping[Place, int],
    fired: Mapping[Place, Alert],
    rules: RuleFinder,
    metrics: MetricStore,
    now_ns: int,
    *,
    logs: LogStore | None = None,
) -> dict[Place, ResolveReason]:
    """Find out why alerts ended; those of which it cannot be known are left out.

    Args:
        ends: when each ended, ns.
        fired: the alerts as they fired, of those that are known.
        logs: counts the lines of rules on lines that were edited; None: these recovered.
    """
    if not ends:
        return {}
    try:
        found = await rules({at.rule_id for at in ends})
    except FeaturewatchError as error:
        _log.warning("why alerts ended is not known: %s", error)
        return {}
    reasons: dict[Place, ResolveReason] = {}
    asked: dict[Place, _Figure] = {}
    counted: list[Place] = []
    for at, end_ns in ends.items():
        rule = found.get(at.rule_id)
        if rule is None or not rule.enabled:
            reasons[at] = "rule_removed"
        elif rule.metric in METRICS:
            asked[at] = _figure(at.key, rule, fired.get(at), end_ns, now_ns)
        elif logs is not None and _edited(rule, fired.get(at)) and len(counted) < MOST_LATE:
            counted.append(at)
        else:
            reasons[at] = "recovered"
    for at in counted:
        rule = found[at.rule_id]
        value = await _lines(rule, fired[at], ends[at], logs) if logs is not None else None
        if value is not None:
            reasons[at] = _reason(rule, fired[at], rule.metric, value)
    values = await _values(set(asked.values()), metrics)
    for at, figure in asked.items():
        if figure in values:
            reasons[at] = _reason(found[at.rule_id], fired.get(at), figure.metric, values[figure])
    return reasons


def _figure(key: FeatureKey, rule: AlertRule, alert: Alert | None, end_ns: int, now_ns: int) -> _Figure:
    """Name the figure: that of the rule as it was when the alert fired, which says so in its metadata."""
    told = {} if alert is None else alert.metadata
    metric = told.get("metric")
    minute = minute_of(end_ns)
    late = now_ns - end_ns >= LATE_NS and minute * MINUTE_NS <= now_ns
    return _Figure(
        key,
        metric if metric in METRICS else rule.metric,
        _window(told.get("window")) or rule.window_minutes,
        minute if late else None,
    )


def _window(told: object) -> int:
    """Read an alert's window, of two the longer; 0 where it does not say."""
    try:
        return round(parse_duration(str(told or "").partition(" ")[0]) / 60)
    except BadInput:
        return 0


async def _values(asked: Collection[_Figure], metrics: MetricStore) -> dict[_Figure, float | None]:
    values: dict[_Figure, float | None] = {}
    now: defaultdict[int, list[_Figure]] = defaultdict(list)
    late: list[tuple[_Figure, int]] = []
    for figure in asked:
        if figure.minute is None:
            now[figure.window_minutes].append(figure)
        else:
            late.append((figure, figure.minute))
    for window, figures in now.items():
        try:
            measured = await metrics.measure({figure.key for figure in figures}, window * 60.0, window * 60.0)
        except FeaturewatchError as error:
            _log.warning("why alerts ended is not known: %s", error)
            continue
        for figure in figures:
            told = measured.get(figure.key)
            values[figure] = None if told is None else told.metrics.get(figure.metric)
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(figure: _Figure, minute: int) -> None:
        async with turns:
            try:
                told = await figure_of_minute(metrics, figure.key, figure.metric, figure.window_minutes, minute)
            except FeaturewatchError as error:
                _log.warning("why an alert of %s ended is not known: %s", figure.key.feature, error)
                return
        values[figure] = told

    await asyncio.gather(*(ask(figure, minute) for figure, minute in late[:MOST_LATE]))
    return values


async def _lines(rule: AlertRule, alert: Alert, end_ns: int, logs: LogStore) -> float | None:
    """Count the lines of the window in which an alert ended, selected as the rule does now."""
    wanted, minutes = rule.logs or LogSelection(), _window(alert.metadata.get("window")) or rule.window_minutes
    chosen = LogFilter(frozenset(wanted.levels), wanted.source, wanted.search)
    try:
        return sum(await logs.counts(alert.key, chosen, end_ns - minutes * MINUTE_NS, end_ns, minutes * 60))
    except FeaturewatchError as error:
        _log.warning("why an alert of %s ended is not known: %s", alert.key.feature, error)
        return None


def _edited(rule: AlertRule, alert: Alert | None) -> bool:
    return alert is not None and rule.updated_ns > alert.triggered_ns


def _reason(rule: AlertRule, alert: Alert | None, metric: str, value: float | None) -> ResolveReason:
    if value is None:
        return "no_data"
    if alert is not None and _edited(rule, alert):
        condition, threshold = alert.metadata.get("condition"), alert.metadata.get("threshold")
        before = next((known for known in CONDITIONS if known == condition), None)
        if before and isinstance(threshold, (int, float)) and holds(metric, before, threshold, value):
            return "rule_changed"
    return "recovered"
