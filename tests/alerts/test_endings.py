"""Why alerts ended is told of the time when they did, by the rule as it was when they fired."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from featurewatch.alert_model import Alert, AlertRule, LogSelection, ResolveReason
from featurewatch.alerts.endings import MOST_LATE, why
from featurewatch.episode_model import Place
from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey, Measurement
from featurewatch.stores.base import LogFilter
from featurewatch.times import NS

MINUTE_NS = 60 * NS
MINUTE = 29_833_333
NOW_NS = MINUTE * MINUTE_NS + 20 * NS
LONG_AGO_NS = (MINUTE - 60) * MINUTE_NS - 25 * NS
KEY = FeatureKey("chat", "production")
RULE = AlertRule("r1", "chat", "Errors", "error_rate", "greater_than", 20.0, "high", window_minutes=5)

pytestmark = pytest.mark.anyio


@dataclass
class Figures:
    """A store of which it is known what it says: now, and in past minutes by metric and window in minutes."""

    now: Mapping[str, float | None] = field(default_factory=dict)
    past: Mapping[tuple[str, int, int], float | None] = field(default_factory=dict)
    away: bool = False

    async def measure(
        self, keys: Collection[FeatureKey], window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        if self.away:
            raise Unavailable("it is away")
        return {key: Measurement(key, NOW_NS, self.now) for key in keys} if self.now else {}

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> Sequence[tuple[int, float | None]]:
        if self.away:
            raise Unavailable("it is away")
        return [(start_ms, self.past.get((metric, window_s // 60, start_ms // 60_000)))]


def fired(**metadata: Any) -> Alert:
    told = {"metric": "error_rate", "condition": "greater_than", "threshold": 20.0, "window": "5m"}
    return Alert("a", "r1", KEY, "", "", "high", "active", LONG_AGO_NS - MINUTE_NS, metadata={**told, **metadata})


async def reason(figures: Figures, end_ns: int, alert: Alert | None, rule: AlertRule | None) -> ResolveReason | None:
    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {} if rule is None else {rule.id: rule}

    at = Place("r1", KEY)
    found = await why({at: end_ns}, {} if alert is None else {at: alert}, find, figures, NOW_NS)  # type: ignore[arg-type]  # a store of two verbs
    return found.get(at)


def edited(**changes: Any) -> AlertRule:
    told = {name: getattr(RULE, name) for name in RULE.__slots__} | changes
    return AlertRule(**{**told, "updated_ns": NOW_NS})


THEN = MINUTE - 60


@pytest.mark.parametrize(
    ("figures", "rule", "expected"),
    [
        (Figures({}, {("error_rate", 5, THEN): 3.0}), RULE, "recovered"),
        (Figures({"error_rate": 3.0}, {}), RULE, "no_data"),
        (Figures({}, {("error_rate", 5, THEN): 60.0}), edited(threshold=90.0), "rule_changed"),
        (Figures({"error_rate": 60.0}, {("error_rate", 5, THEN): 3.0}), edited(threshold=90.0), "recovered"),
        (Figures({}, {("error_rate", 5, THEN): 60.0}), edited(metric="total_cost", threshold=9.0), "rule_changed"),
        (
            Figures({}, {("error_rate", 5, THEN): 60.0, ("error_rate", 60, THEN): 2.0}),
            edited(window_minutes=60),
            "rule_changed",
        ),
        (Figures({}, {("error_rate", 5, THEN): 60.0}), None, "rule_removed"),
        (Figures(away=True), RULE, None),
    ],
)
async def test_what_is_heard_of_late_is_told_as_it_was(
    figures: Figures, rule: AlertRule | None, expected: ResolveReason | None
) -> None:
    assert await reason(figures, LONG_AGO_NS, fired(), rule) == expected


@dataclass
class Lines:
    """A store of lines that counts so many, and remembers what was asked."""

    count: int
    asked: list[Any] = field(default_factory=list)

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        self.asked.append((filter.search, end_ns - start_ns, end_ns))
        return [self.count]


@pytest.mark.parametrize(("count", "expected"), [(50, "rule_changed"), (3, "recovered")])
async def test_lines_are_counted_where_their_rule_was_edited(count: int, expected: ResolveReason) -> None:
    rule = edited(metric="log_entries", kind="logs", logs=LogSelection(search="timeout"), threshold=1000.0)

    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {"r1": rule}

    at, lines = Place("r1", KEY), Lines(count)
    alert = fired(metric="log_entries", threshold=10.0)
    found = await why({at: LONG_AGO_NS}, {at: alert}, find, Figures(), NOW_NS, logs=lines)  # type: ignore[arg-type]  # stores of few verbs
    assert found == {at: expected}
    assert lines.asked == [("timeout", 5 * MINUTE_NS, LONG_AGO_NS)]


async def test_what_ends_now_is_told_as_it_is() -> None:
    figures = Figures({"error_rate": 3.0}, {("error_rate", 5, MINUTE): 60.0})
    assert await reason(figures, NOW_NS - 10 * NS, fired(), RULE) == "recovered"
    assert await reason(Figures(), NOW_NS - 10 * NS, fired(), RULE) == "no_data"
    # Its minute is not over yet.
    assert await reason(figures, NOW_NS - 50 * NS, fired(), edited(threshold=90.0)) == "rule_changed"
    assert await reason(figures, NOW_NS - 10 * NS, fired(window="a week"), RULE) == "recovered"


async def test_a_store_is_not_asked_for_very_many_past_figures_at_once() -> None:
    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {"r1": RULE}

    ends = {Place("r1", FeatureKey(f"f{n}", "production")): LONG_AGO_NS for n in range(MOST_LATE + 5)}
    assert len(await why(ends, {}, find, Figures(), NOW_NS)) == MOST_LATE  # type: ignore[arg-type]  # a store of two verbs
