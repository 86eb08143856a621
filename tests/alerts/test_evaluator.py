"""The evaluator: what fires when, told once, through failures, edits and restarts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from featurewatch.alert_model import AlertRule, LogSelection
from featurewatch.alerts.episodes import hear
from featurewatch.alerts.evaluator import Evaluator
from featurewatch.alerts.signals import Signal
from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey, Measurement
from featurewatch.stores.base import LogFilter

pytestmark = pytest.mark.anyio

KEY = FeatureKey("chat", "production")
MINUTE = 60 * 10**9
ERRORS = AlertRule("r1", "chat", "Errors", "error_rate", "greater_than", 20, "high", for_minutes=0)


@dataclass
class World:
    """Figures, lines and rules as the test says, and what the evaluator told."""

    now: int = 10**18
    rules: list[AlertRule] = field(default_factory=lambda: [ERRORS])
    environments: dict[str, set[str]] = field(default_factory=lambda: {"chat": {"production"}})
    figures: dict[FeatureKey, dict[str, float | None]] = field(default_factory=dict)
    lines: int = 0
    down: bool = False
    refuses: bool = False
    asked: list[tuple[frozenset[FeatureKey], float]] = field(default_factory=list)
    told: list[Signal] = field(default_factory=list)
    firing: list[Signal] = field(default_factory=list)

    def evaluator(self) -> Evaluator:
        async def rules() -> Sequence[AlertRule]:
            return self.rules

        async def environments() -> Mapping[str, Collection[str]]:
            return self.environments

        async def out(changed: Sequence[Signal], firing: Sequence[Signal]) -> None:
            if self.refuses:
                raise Unavailable("no")
            self.told += changed
            self.firing = list(firing)

        here: Any = self
        return Evaluator(rules, environments, here, here, out, clock=lambda: self.now)

    async def measure(
        self, keys: Collection[FeatureKey], window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        if self.down:
            raise Unavailable("the store is away")
        self.asked.append((frozenset(keys), window_s))
        return {key: Measurement(key, self.now, self.figures[key]) for key in keys if key in self.figures}

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        assert filter == LogFilter(frozenset({"error"}), "", "timeout")
        assert end_ns - start_ns == step_s * 10**9
        return [self.lines]

    def set(self, rate: float | None, key: FeatureKey = KEY, total: float | None = 100) -> None:
        self.figures[key] = {"error_rate": rate, "total_requests": total}

    def changes(self) -> list[tuple[str, str, bool]]:
        """What was told since the last look: rule, environment, whether it fires."""
        told, self.told = self.told, []
        return [(one.rule_id, one.key.environment, one.ends_ns is None) for one in told]


async def test_it_fires_once_and_ends_once() -> None:
    world = World()
    evaluator = world.evaluator()
    for rate in (10.0, 20.0, 20.1, 50.0, 20.0, 10.0):
        world.set(rate)
        await evaluator.round()
        world.now += MINUTE
    assert [(one.starts_ns, one.ends_ns) for one in world.told] == [
        (10**18 + 2 * MINUTE, None),
        (10**18 + 2 * MINUTE, 10**18 + 4 * MINUTE),
    ]
    fired = world.told[0]
    assert fired.annotations["title"] == "Errors Alert"
    assert fired.annotations["message"] == "error_rate is 20.1 %, which is greater than threshold of 20 %"
    assert fired.labels == {
        "alertname": "Errors", "feature": "chat", "environment": "production", "rule_id": "r1", "metric": "error_rate",
        "severity": "high", "featurewatch_route": "none",
    }  # fmt: skip


async def test_it_waits_for_its_time_and_starts_anew_where_the_condition_paused() -> None:
    world = World(rules=[replace(ERRORS, for_minutes=2)])
    evaluator = world.evaluator()
    for rate in (50, 50, 10, 50, 50):
        world.set(rate)
        await evaluator.round()
        world.now += MINUTE
    assert world.changes() == []
    await evaluator.round()
    assert world.changes() == [("r1", "production", True)]


async def test_each_environment_is_by_itself_and_a_rule_may_name_one() -> None:
    world = World(environments={"chat": {"production", "staging"}})
    world.set(50, FeatureKey("chat", "staging"))
    world.set(0)
    evaluator = world.evaluator()
    await evaluator.round()
    assert world.changes() == [("r1", "staging", True)]
    world.rules = [replace(ERRORS, environment="production")]
    await evaluator.round()
    assert world.changes() == [("r1", "staging", False)]


async def test_absent_series_fire_what_asks_for_that_and_idle_ones_do_not() -> None:
    world = World(rules=[replace(ERRORS, on_no_data="alert")])
    evaluator = world.evaluator()
    world.set(None, total=0)
    await evaluator.round()
    assert world.changes() == []
    world.figures.clear()
    await evaluator.round()
    assert world.changes() == [("r1", "production", True)]
    assert world.firing[0].labels["no_data"] == "true"
    assert "no data" in world.firing[0].annotations["message"]
    world.set(0)
    await evaluator.round()
    assert world.changes() == [("r1", "production", False)]


async def test_lines_are_counted() -> None:
    logs = LogSelection(("error",), "timeout")
    world = World(rules=[replace(ERRORS, kind="logs", metric="log_entries", threshold=3, logs=logs)])
    evaluator = world.evaluator()
    for world.lines in (3, 4):
        await evaluator.round()
    assert world.changes() == [("r1", "production", True)]
    assert world.firing[0].annotations["message"] == "log_entries is 4, which is greater than threshold of 3"


async def test_rules_share_the_questions_of_their_windows() -> None:
    rules = [replace(ERRORS, id=f"r{number}", window_minutes=5 if number % 2 else 10) for number in range(100)]
    world = World(rules=rules)
    world.set(0)
    await world.evaluator().round()
    assert sorted(window for _, window in world.asked) == [300.0, 600.0]


async def test_a_store_that_is_away_changes_nothing() -> None:
    world = World()
    evaluator = world.evaluator()
    world.set(50)
    await evaluator.round()
    world.down = True
    with pytest.raises(Unavailable):
        await evaluator.round()
    world.down = False
    await evaluator.round()
    assert world.changes() == [("r1", "production", True)]


async def test_what_could_not_be_told_is_told_in_the_next_round() -> None:
    world = World(refuses=True)
    evaluator = world.evaluator()
    world.set(50)
    with pytest.raises(Unavailable):
        await evaluator.round()
    world.refuses = False
    await evaluator.round()
    assert world.changes() == [("r1", "production", True)]
    await evaluator.round()
    assert world.changes() == []


@pytest.mark.parametrize("gone", [[], [replace(ERRORS, enabled=False)]])
async def test_a_rule_that_is_gone_or_off_ends_its_alerts(gone: list[AlertRule]) -> None:
    world = World()
    evaluator = world.evaluator()
    world.set(50)
    await evaluator.round()
    world.rules = gone
    await evaluator.round()
    assert world.changes() == [("r1", "production", True), ("r1", "production", False)]


async def test_a_restart_goes_on_where_it_was() -> None:
    world = World()
    world.set(50)
    await world.evaluator().round()
    step = hear(world.told[0], None, lambda: "a1")
    assert step is not None
    world.changes()
    world.now += 5 * MINUTE
    again = world.evaluator()
    again.resume([step.episode])
    await again.round()
    assert world.changes() == []
    world.set(0)
    await again.round()
    ended = world.told[0]
    assert (ended.starts_ns, ended.ends_ns) == (10**18, world.now)
    closed = hear(ended, step.episode, lambda: "a2")
    assert closed is not None
    assert closed.episode.alert.status == "resolved"
