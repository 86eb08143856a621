"""Edits go out one publication at a time, are followed until they work, and are taken back where they do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featurewatch.alert_model import Deployment
from featurewatch.alerts.deployments import Deployments
from featurewatch.alerts.publisher import Publisher
from featurewatch.alerts.routes import Route
from featurewatch.alerts.rulers import Progress, Report, RuleGroup, SeenGroup, SeenRule
from featurewatch.errors import StoreFull, StoreLocked, Unavailable
from prometheus import Prometheus

from .groups import by_id, group, target_on
from .promtool import needs_promtool

pytestmark = pytest.mark.anyio

AMBIGUOUS = 'vector(1) == on() (vector(1) or label_replace(vector(2), "x", "y", "", ""))'
"""Well-formed, and fails whenever it is evaluated: two series on the right match one on the left."""


class Source:
    """Rules that a test edits."""

    def __init__(self, *groups: RuleGroup) -> None:
        self.rules = by_id(groups)
        self.asked: list[set[str]] = []

    async def versions(self) -> Mapping[str, str]:
        return {rule: f"{group.revision}" for rule, group in self.rules.items()}

    async def groups(self, ids: Collection[str]) -> Sequence[RuleGroup]:
        self.asked.append(set(ids))
        return [self.rules[rule] for rule in ids]


class Store:
    """What the state would keep of deployments."""

    def __init__(self) -> None:
        self.told: dict[str, Deployment] = {}
        self.states: dict[str, list[str]] = {}

    async def deploy(self, told: Mapping[str, Deployment]) -> None:
        for rule, deployment in told.items():
            self.states.setdefault(rule, []).append(deployment.state)
        self.told |= told


class Target:
    """Somewhere that takes rules at once; a test says what goes wrong."""

    name = "target"

    def __init__(self) -> None:
        self.live: dict[str, RuleGroup] = {}
        self.published: list[set[str]] = []
        self.report: Callable[[], Report] = Report
        self.health: Callable[[str], tuple[str, str]] = lambda rule: ("ok", "")
        self.evaluations = 0
        self.drift = ""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, wanted: Mapping[str, RuleGroup], changed: Collection[str], progress: Progress) -> Report:
        self.published.append(set(changed))
        report = self.report()
        passed = [rule for rule in changed if rule in wanted and rule not in report.refused]
        progress(passed, "written")
        if not report.waiting:
            self.live = {rule: group for rule, group in wanted.items() if rule not in report.refused}
            progress(passed, "loaded")
        return report

    async def seen(self, names: Collection[str] = ()) -> Sequence[Mapping[str, SeenGroup]]:
        self.evaluations += 1
        return [{g.group.name: SeenGroup(g.group.name, g.file, (self._seen(g),)) for g in self.live.values()}]

    def _seen(self, group: RuleGroup) -> SeenRule:
        rule = group.group.rules[0]
        health, error = self.health(group.id)
        return SeenRule(rule.alert, rule.expr, rule.labels, rule.annotations, 60, 0, health, error, self.evaluations)

    async def drifted(self) -> str:
        drift, self.drift = self.drift, ""
        return drift


@asynccontextmanager
async def running(source: Source, target: Any, **given: Any) -> AsyncIterator[tuple[Publisher, Store]]:
    store = Store()
    deployments = Deployments(store, clock=time.time_ns)  # type: ignore[arg-type]  # all of a store that it uses
    publisher = Publisher(source, target, deployments, **given)
    await publisher.start()
    try:
        yield publisher, store
    finally:
        await publisher.stop()


async def until(condition: Callable[[], Any], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is waited for is not ours to signal
            await asyncio.sleep(0.02)


def states(store: Store, state: str) -> set[str]:
    return {rule for rule, told in store.told.items() if told.state == state}


async def test_the_first_edit_goes_out_at_once_and_those_after_it_together() -> None:
    source, target = Source(group("a")), Target()
    async with running(source, target, interval_s=3) as (publisher, _):
        await until(lambda: target.published)
        for number in range(20):
            source.rules[f"b{number}"] = group(f"b{number}")
            publisher.nudge()
            await asyncio.sleep(0.005)
        await until(lambda: len(target.live) == 21)
        assert target.published == [{"a"}, {f"b{number}" for number in range(20)}]
        assert source.asked == target.published


async def test_only_what_changed_is_translated_and_what_is_gone_is_removed() -> None:
    source, target = Source(group("a"), group("b"), group("c")), Target()
    async with running(source, target, interval_s=0) as (publisher, store):
        await until(lambda: len(states(store, "evaluated")) == 3)
        source.rules["b"] = replace(source.rules["b"], revision=7)
        del source.rules["c"]
        publisher.nudge()
        await until(lambda: len(target.published) == 2 and states(store, "evaluated") == {"a", "b", "c"})
        assert (source.asked[-1], target.published[-1], set(target.live)) == ({"b"}, {"b", "c"}, {"a", "b"})
        await until(lambda: store.told["b"].revision == 7)


async def test_refused_rules_are_failed_with_the_reason_until_they_are_edited() -> None:
    source, target = Source(group("a"), group("bad")), Target()
    target.report = lambda: Report({"bad": "no PromQL"})
    async with running(source, target, interval_s=0) as (publisher, store):
        await until(lambda: states(store, "evaluated") == {"a"})
        assert (store.told["bad"].state, store.told["bad"].error) == ("failed", "no PromQL")
        target.report = Report
        source.rules["bad"] = group("bad", revision=2)
        publisher.nudge()
        await until(lambda: states(store, "evaluated") == {"a", "bad"})
        assert store.told["bad"].error is None


async def test_what_waits_is_tried_again_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.alerts.upkeep.RETRY_S", (0.05,))
    source, target = Source(group("a")), Target()
    target.report = lambda: Report(waiting="Prometheus cannot be reached")
    async with running(source, target, interval_s=0) as (publisher, store):
        await until(lambda: publisher.stats.publications > 2)
        assert (store.told["a"].state, store.told["a"].error) == ("written", "Prometheus cannot be reached")
        assert publisher.problem == "Prometheus cannot be reached"
        target.report = Report
        target.live = dict(source.rules)
        source.rules["a"] = group("a", revision=2)
        await until(lambda: publisher.stats.waiting == 0 and states(store, "evaluated") == {"a"})
        assert publisher.problem == ""


async def test_a_full_disk_is_told_of_each_rule_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.alerts.upkeep.RETRY_S", (0.05,))
    source, target = Source(group("a")), Target()

    def full() -> Report:
        raise StoreFull("the disk is full")

    target.report = full
    async with running(source, target, interval_s=0) as (publisher, store):
        await until(lambda: publisher.stats.failures > 1)
        assert (store.told["a"].state, store.told["a"].error) == ("saved", "the disk is full")
        target.report = Report
        await until(lambda: states(store, "evaluated") == {"a"})


async def test_what_others_changed_is_put_right() -> None:
    source, target = Source(group("a"), group("b")), Target()
    async with running(source, target, interval_s=0, sync_s=0.1) as (publisher, store):
        await until(lambda: states(store, "evaluated") == {"a", "b"})
        target.drift = "chat.yml was changed"
        await until(lambda: {"a", "b"} in target.published[1:])
        assert publisher.stats.repairs == 1
        del target.live["a"]
        await until(lambda: "a" in target.live)
        assert target.published[-1] == {"a"}


async def test_a_rule_that_fails_later_is_told_of_and_stays() -> None:
    source, target = Source(group("a"), group("b")), Target()
    async with running(source, target, interval_s=0, sync_s=0.1) as (_, store):
        await until(lambda: states(store, "evaluated") == {"a", "b"})
        target.health = lambda rule: ("err", "too many samples") if rule == "a" else ("ok", "")
        await until(lambda: states(store, "failed") == {"a"})
        assert store.told["a"].error == "its evaluation failed: too many samples"
        assert set(target.live) == {"a", "b"}
        target.health = lambda rule: ("ok", "")
        await until(lambda: states(store, "evaluated") == {"a", "b"})


async def test_where_nothing_works_it_is_not_the_rules() -> None:
    source, target = Source(group("a"), group("b")), Target()
    target.health = lambda rule: ("err", "the store is away")
    async with running(source, target, interval_s=0) as (_, store):
        await until(lambda: store.told.get("b") is not None and store.told["b"].error == "the store is away")
        assert (store.told["b"].state, set(target.live)) == ("loaded", {"a", "b"})


async def test_routes_are_made_before_the_rules_that_use_them() -> None:
    order: list[Any] = []
    target = Target()
    source = Source(group("a", route=Route(("ops",), 60)), group("b"))

    async def routes(wanted: Collection[Route]) -> None:
        order.append((set(wanted), list(target.published)))

    async with running(source, target, interval_s=0, routes=routes) as (_, store):
        await until(lambda: states(store, "evaluated") == {"a", "b"})
    assert order[0] == ({Route(("ops",), 60)}, [])


async def test_a_target_that_another_bridge_has_is_told_of_at_the_start() -> None:
    class Taken(Target):
        async def open(self) -> None:
            raise StoreLocked("PROMETHEUS_RULES_DIR is in use by another bridge")

    with pytest.raises(StoreLocked, match="PROMETHEUS_RULES_DIR"):
        async with running(Source(), Taken()):
            pass


async def test_a_target_that_cannot_be_used_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.alerts.upkeep.RETRY_S", (0.05,))
    writable = asyncio.Event()

    class ReadOnly(Target):
        async def open(self) -> None:
            if not writable.is_set():
                raise Unavailable("PROMETHEUS_RULES_DIR cannot be written")

    async with running(Source(group("a")), ReadOnly(), interval_s=0) as (publisher, store):
        await until(lambda: store.told.get("a") is not None and store.told["a"].error)
        assert publisher.problem == "PROMETHEUS_RULES_DIR cannot be written"
        writable.set()
        await until(lambda: states(store, "evaluated") == {"a"})


@pytest.mark.stack
@needs_promtool
async def test_on_a_real_prometheus_a_rule_that_fails_when_evaluated_is_taken_back(
    tmp_path: Path, own_prometheus: Prometheus
) -> None:
    own_prometheus.configure(rule_files=[f"{tmp_path}/rules.d/*.yml"], evaluation_interval="1s")
    own_prometheus.start()
    source = Source(group("a"), group("b", "vector(5) > 0"))
    async with (
        target_on(tmp_path, own_prometheus.url, opened=False) as target,
        running(source, target, interval_s=0) as (publisher, store),
    ):
        await until(lambda: states(store, "evaluated") == {"a", "b"})
        source.rules["b"] = group("b", AMBIGUOUS, revision=2)
        source.rules["c"] = group("c", AMBIGUOUS)
        publisher.nudge()
        await until(lambda: states(store, "failed") == {"b", "c"})
        assert "many-to-many matching not allowed" in (store.told["b"].error or "")
        assert store.told["b"].revision == 2
        seen = (await target.seen())[0]
        assert {shown.rules[0].alert: shown.rules[0].expr for shown in seen.values()} == {
            "a": "vector(1) > 0",
            "b": "vector(5) > 0",
        }
        source.rules["b"] = group("b", "vector(6) > 0", revision=3)
        publisher.nudge()
        await until(lambda: states(store, "evaluated") == {"a", "b"})
