"""How often a rule would have fired, had it been there: the same comparison and the same waiting, over what is kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..alert_model import AlertRule, Condition
from ..model import FeatureKey
from ..stores.base import LogFilter, LogStore, MetricStore
from ..stores.sliding import Sliding
from ..times import NS
from .conditions import breached, readings
from .tracker import Firing, firings

__all__ = ["DAYS", "STEP_S", "Preview", "WouldFire", "preview"]

DAYS: Final = 7
DRAWN: Final = 360
"""Points of a chart at most, about."""

STEP_S: Final = 60
"""Between two evaluations, unless a store cannot tell so many."""

_MINUTE_MS: Final = 60_000
_NO_DATA_MINUTES: Final = 5
"""A series is missed once nothing was heard of it for so long, as `alerts.prometheus` writes it."""

Values: TypeAlias = Sequence[tuple[int, float | None]]


@dataclass(frozen=True, slots=True)
class WouldFire:
    """An alert that there would have been; epoch ms, `end_ms` None: it would fire now.

    Attributes:
        value: the worst that was seen while it fired; None for a reason of no data.
    """

    environment: str
    start_ms: int
    end_ms: int | None
    value: float | None
    reason: Literal["condition", "no_data"] = "condition"


@dataclass(frozen=True, slots=True)
class Preview:
    """What would have happened from `start_ms` to `end_ms`, oldest first.

    `notifications` counts what each channel would have been told: each alert once, and again after each cooldown.
    `step_s` lies between two evaluations, at most. `figures` is what was compared, by environment; of a rule over two
    windows the longer.
    """

    firings: tuple[WouldFire, ...]
    notifications: int
    start_ms: int
    end_ms: int
    step_s: int = STEP_S
    figures: Mapping[str, Values] = field(default_factory=dict)

    def drawn(self, rule: AlertRule, range_s: float) -> dict[str, list[tuple[int, float | None]]]:
        """Thin the figures of the last `range_s` seconds for a chart: of each stretch its worst, where it was."""
        begin = max(self.start_ms, self.end_ms - int(range_s * 1000))
        apart = max(1, (self.end_ms - begin) // DRAWN)
        return {name: _thinned(values, begin, apart, rule.condition) for name, values in self.figures.items()}


async def preview(
    rule: AlertRule,
    environments: Collection[str],
    metrics: MetricStore,
    logs: LogStore,
    *,
    now_ns: int,
    days: int = DAYS,
) -> Preview:
    """Evaluate a rule at each minute of the last days.

    Args:
        environments: where the feature is; a rule that names one looks at that alone.

    Raises:
        Unavailable, UpstreamError: the store cannot answer.
    """
    end_ms = now_ns // (STEP_S * NS) * _MINUTE_MS
    start_ms = end_ms - days * 1440 * _MINUTE_MS
    found: list[WouldFire] = []
    figures: dict[str, Values] = {}
    step_s = STEP_S
    for environment in [rule.environment] if rule.environment else sorted(environments):
        key = FeatureKey(rule.feature, environment)
        if rule.kind == "logs":
            told = [await _lines(rule, key, logs, start_ms, end_ms)]
        else:
            told = [
                await metrics.series(key, reading.metric, reading.window_minutes * 60, start_ms, end_ms)
                for reading in readings(rule)
            ]
        figures[environment] = told[0]
        found += _fired(rule, environment, told)
        step_s = max(step_s, *map(_step_s, told))
        if rule.on_no_data == "alert":
            heard = await metrics.series(key, "total_requests", _NO_DATA_MINUTES * 60, start_ms, end_ms)
            found += _missed(rule, environment, heard)
    found.sort(key=lambda one: (one.start_ms, one.environment))
    cooldown_ms = rule.cooldown_minutes * _MINUTE_MS
    lasted = [(end_ms if one.end_ms is None else one.end_ms) - one.start_ms for one in found]
    notified = sum(max(1, -(-one // cooldown_ms)) for one in lasted)
    return Preview(tuple(found), notified, start_ms, end_ms, step_s, figures)


def _step_s(told: Values) -> int:
    return (told[1][0] - told[0][0]) // 1000 if len(told) > 1 else STEP_S


def _fired(rule: AlertRule, environment: str, told: Sequence[Values]) -> Iterator[WouldFire]:
    by_instant = [dict(one) for one in told]
    # Of two windows one may be told at fewer instants.
    instants = [at for at, _ in told[0] if all(at in one for one in by_instant)]
    values = [tuple(one[at] for one in by_instant) for at in instants]
    held = [breached(rule, *value) for value in values]
    worst = min if rule.condition == "less_than" else max
    for firing in _firings(rule, list(zip(instants, held, strict=True))):
        begin = bisect_left(instants, firing.start)
        end = len(instants) if firing.end is None else bisect_left(instants, firing.end)
        shown = [value[0] for value, holds in zip(values[begin:end], held[begin:end], strict=True) if holds]
        yield WouldFire(environment, firing.start, firing.end, worst(value for value in shown if value is not None))


def _thinned(values: Values, begin_ms: int, apart_ms: int, condition: Condition) -> list[tuple[int, float | None]]:
    chosen: dict[int, tuple[int, float | None]] = {}
    for at, value in values:
        if at < begin_ms:
            continue
        stretch = (at - begin_ms) // apart_ms
        known = chosen.get(stretch)
        if known is None or known[1] is None or (value is not None and _worse(value, known[1], condition)):
            chosen[stretch] = (at, value)
    return list(chosen.values())


def _worse(value: float, than: float, condition: Condition) -> bool:
    return value < than if condition == "less_than" else value > than


def _missed(rule: AlertRule, environment: str, heard: Values) -> Iterator[WouldFire]:
    for firing in _firings(rule, [(at, value is None) for at, value in heard]):
        yield WouldFire(environment, firing.start, firing.end, None, "no_data")


def _firings(rule: AlertRule, held: Sequence[tuple[int, bool]]) -> list[Firing]:
    return firings(held, for_=rule.for_minutes * _MINUTE_MS, keep_firing=rule.keep_firing_minutes * _MINUTE_MS)


async def _lines(rule: AlertRule, key: FeatureKey, logs: LogStore, start_ms: int, end_ms: int) -> Values:
    """Count the lines that a rule selects, at each minute over the window that ends there."""
    wanted = rule.logs
    filter_ = LogFilter() if wanted is None else LogFilter(frozenset(wanted.levels), wanted.source, wanted.search)
    first, last = start_ms // _MINUTE_MS, end_ms // _MINUTE_MS
    begin = first - rule.window_minutes
    counted = await logs.counts(key, filter_, begin * STEP_S * NS, last * STEP_S * NS, STEP_S)
    sliding = Sliding()
    for minute, count in enumerate(counted, begin + 1):
        if count:
            sliding.add(minute, count)
    return [(minute * _MINUTE_MS, sliding.at(minute, rule.window_minutes)) for minute in range(first, last + 1)]
