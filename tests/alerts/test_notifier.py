"""The notifier: who is told when, how often it tries, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from featurewatch.alert_model import AlertRule, Channel
from featurewatch.alerts.episodes import close, hear
from featurewatch.alerts.notifications import Group
from featurewatch.alerts.notifier import ATTEMPTS, QUEUED, Notifier, more_severe
from featurewatch.alerts.signals import Signal
from featurewatch.episode_model import Episode, Maintenance, Remark
from featurewatch.errors import Unavailable, UpstreamError
from featurewatch.model import FeatureKey

pytestmark = pytest.mark.anyio

KEY = FeatureKey("chat", "production")
MINUTE = 60 * 10**9
NOW = 10**18
RULE = AlertRule(
    "r1", "chat", "Errors", "error_rate", "greater_than", 20, "high", channels=("ops",), cooldown_minutes=60
)


def episode(rule: str = "r1", *, severity: str = "high", status: str = "active", key: FeatureKey = KEY) -> Episode:
    labels = {"alertname": "Errors", "severity": severity, "metric": "error_rate", "feature": key.feature}
    notes = {
        "title": "Errors Alert", "message": "error_rate is 30 %", "value": "30.0", "threshold": "20", "unit": "percent",
        "condition": "greater_than", "window": "5m",
    }  # fmt: skip
    step = hear(Signal(rule, key, rule, NOW, None, labels, notes), None, lambda: f"alert-{rule}-{key.environment}")
    assert step is not None
    return replace(step.episode, alert=replace(step.episode.alert, status=status))  # type: ignore[arg-type]


@dataclass
class World:
    """Channels, rules and windows as the test says, and what was sent."""

    now: int = NOW
    rules: dict[str, AlertRule] = field(default_factory=lambda: {"r1": RULE, "r2": replace(RULE, id="r2")})
    channels: dict[str, Channel] = field(
        default_factory=lambda: {
            name: Channel(name, "webhook", {"url": "http://127.0.0.1:1/"}, {}) for name in ("ops", "mail")
        }
    )
    windows: list[Maintenance] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    sent: list[tuple[str, Group]] = field(default_factory=list)
    recorded: list[Remark] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    held: asyncio.Event | None = None

    def notifier(self) -> Notifier:
        async def rules(ids: Collection[str]) -> Mapping[str, AlertRule]:
            return {id_: self.rules[id_] for id_ in ids if id_ in self.rules}

        async def channels() -> Mapping[str, Channel]:
            return self.channels

        async def maintenance(features: Collection[str]) -> Sequence[Maintenance]:
            return self.windows

        async def send(channel: Channel, group: Group) -> str:
            if self.held is not None and channel.name == "ops":
                await self.held.wait()
            if self.failures:
                raise self.failures.pop(0)
            self.sent.append((channel.name, group))
            return "200"

        async def record(remarks: Sequence[Remark]) -> None:
            self.recorded += remarks

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        return Notifier(rules, channels, maintenance, send, record, clock=lambda: self.now, pause=pause)

    async def told(self, notifier: Notifier) -> list[tuple[str, str, list[str]]]:
        """What was sent since the last look: channel, status, and the status of each alert."""
        async with asyncio.timeout(10):
            while workers := list(notifier._workers.values()):
                await asyncio.wait(workers)
        sent, self.sent = self.sent, []
        return [(name, group["status"], [one["status"] for one in group["alerts"]]) for name, group in sent]


async def test_a_channel_hears_at_once_after_each_cooldown_and_of_the_end() -> None:
    world = World()
    notifier = world.notifier()
    fires = episode()
    await notifier.look([fires])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    world.now += 59 * MINUTE
    await notifier.look([fires])
    assert await world.told(notifier) == []
    world.now += MINUTE
    await notifier.look([fires])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    await notifier.look([], [close(fires, world.now)])
    assert await world.told(notifier) == [("ops", "resolved", ["resolved"])]
    assert [remark.text for remark in world.recorded] == ["firing", "firing", "resolved"]
    await notifier.look([], [close(fires, world.now)])
    assert await world.told(notifier) == []


async def test_alerts_of_a_feature_travel_together() -> None:
    world = World()
    notifier = world.notifier()
    await notifier.look([episode(), episode("r2"), episode(key=FeatureKey("chat", "staging"))])
    assert sorted(await world.told(notifier)) == [
        ("ops", "firing", ["firing"]), ("ops", "firing", ["firing", "firing"]),
    ]  # fmt: skip


async def test_a_group_says_what_a_rule_file_says_and_what_its_alerts_have_in_common() -> None:
    world = World()
    world.rules["r2"] = replace(RULE, id="r2")
    notifier = world.notifier()
    await notifier.look([episode("r1"), replace(episode("r2"), alert=replace(episode("r2").alert, title="Other"))])
    async with asyncio.timeout(10):
        while workers := list(notifier._workers.values()):
            await asyncio.wait(workers)
    ((_, group),) = world.sent
    said = {"message": "error_rate is 30 %", "value": "30", "threshold": "20", "unit": "percent",
            "condition": "greater_than", "window": "5m"}  # fmt: skip
    assert group["alerts"][0]["annotations"] == {"title": "Errors Alert", **said}
    assert group["commonAnnotations"] == said
    assert group["commonLabels"] == {
        "alertname": "Errors", "severity": "high", "metric": "error_rate", "feature": "chat"
    }  # fmt: skip
    assert group["groupLabels"] == {"feature": "chat", "environment": "production"}


@pytest.mark.parametrize("status", ["acknowledged", "resolved"])
async def test_what_people_took_on_is_told_to_nobody(status: str) -> None:
    world = World()
    notifier = world.notifier()
    await notifier.look([episode(status=status)])
    assert await world.told(notifier) == []


async def test_maintenance_keeps_quiet_and_ends() -> None:
    world = World(windows=[Maintenance("w", "chat", None, NOW - 1, NOW + MINUTE, "", "ann")])
    notifier = world.notifier()
    await notifier.look([episode()])
    assert await world.told(notifier) == []
    world.now += MINUTE
    await notifier.look([episode()])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]


async def test_a_more_severe_alert_on_the_same_figure_stands_for_the_others() -> None:
    world = World()
    notifier = world.notifier()
    await notifier.look([episode(severity="medium"), episode("r2", severity="critical")])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    assert {remark.alert_id for remark in world.recorded} == {"alert-r2-production"}


async def test_a_more_severe_alert_that_nobody_is_told_of_stands_for_none() -> None:
    world = World()
    world.rules["r2"] = replace(RULE, id="r2", channels=())
    notifier = world.notifier()
    fires, outage = episode(severity="medium"), episode("r2", severity="critical")
    await notifier.look([fires, outage])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    assert more_severe(fires.alert, [fires, outage], world.rules) == []
    assert more_severe(fires.alert, [fires, outage], {"r2": RULE}) == ["Errors Alert"]


async def test_it_tries_again_and_gives_up_at_last() -> None:
    world = World(failures=[Unavailable("down")] * 3)
    notifier = world.notifier()
    await notifier.look([episode()])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    assert len(world.pauses) == 3
    assert world.pauses == sorted(world.pauses) or max(world.pauses) <= 8
    world.failures = [Unavailable("down")] * ATTEMPTS
    world.now += 60 * MINUTE
    await notifier.look([episode()])
    assert await world.told(notifier) == []
    assert notifier.stats.failed["ops"] == 1
    world.failures = [UpstreamError("no such hook")]
    world.now += 60 * MINUTE
    await notifier.look([episode()])
    assert await world.told(notifier) == []
    assert (notifier.stats.failed["ops"], notifier.stats.sent["ops"]) == (2, 1)
    assert [remark.text for remark in world.recorded] == ["firing", "failed: down", "failed: no such hook"]
    # Whoever was told once hears of the end, though a reminder failed: after a restart too.
    again = world.notifier()
    again.resume(world.recorded)
    await again.look([], [episode()])
    assert [told[0] for told in await world.told(again)] == ["ops"]


async def test_each_try_goes_to_the_channel_as_it_is_then() -> None:
    world = World(failures=[Unavailable("down")] * 3)
    notifier, tried = world.notifier(), []

    async def pause(seconds: float) -> None:
        tried.append(seconds)
        world.channels["ops"] = replace(world.channels["ops"], kind="slack")
        if len(tried) == 2:
            del world.channels["ops"]

    notifier._pause = pause
    await notifier.look([episode()])
    assert await world.told(notifier) == []
    assert (len(tried), len(world.failures)) == (2, 1), "a channel that was removed is not tried any more"


async def test_of_what_a_channel_is_not_told_no_delivery_is_noted() -> None:
    world = World(rules={"r1": RULE, "r2": replace(RULE, id="r2", metric="response_time")})
    world.channels["ops"] = replace(world.channels["ops"], severities=("critical",))
    slow = episode("r2", severity="critical")
    slow = replace(slow, alert=replace(slow.alert, metadata={"metric": "response_time"}))
    notifier = world.notifier()
    await notifier.look([episode(), slow])
    assert await world.told(notifier) == [("ops", "firing", ["firing"])]
    assert [(remark.alert_id, remark.text) for remark in world.recorded] == [("alert-r2-production", "firing")]


async def test_a_channel_that_hangs_holds_up_no_other_and_its_queue_is_bounded() -> None:
    both = replace(RULE, channels=("ops", "mail"))
    world = World(rules={"r1": both}, held=asyncio.Event())
    notifier = world.notifier()
    for _ in range(QUEUED + 5):
        world.now += 60 * MINUTE
        await notifier.look([episode()])
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert {name for name, _ in world.sent} == {"mail"}
    assert notifier.queued <= QUEUED
    assert notifier.stats.dropped > 0
    assert world.held is not None
    world.held.set()
    await world.told(notifier)
    assert notifier.stats.sent["ops"] + notifier.stats.dropped == QUEUED + 5


async def test_a_restart_tells_nobody_twice() -> None:
    world = World()
    notifier = world.notifier()
    await notifier.look([episode()])
    await world.told(notifier)
    again = world.notifier()
    again.resume(world.recorded)
    await again.look([episode()])
    assert await world.told(again) == []
    await again.look([], [close(episode(), world.now)])
    assert await world.told(again) == [("ops", "resolved", ["resolved"])]


async def test_a_channel_that_is_gone_or_wants_no_ends() -> None:
    world = World()
    notifier = world.notifier()
    world.channels["ops"] = replace(world.channels["ops"], send_resolved=False)
    await notifier.look([episode()])
    await world.told(notifier)
    await notifier.look([], [close(episode(), world.now)])
    assert await world.told(notifier) == []
    del world.channels["ops"]
    await notifier.look([episode()])
    assert await world.told(notifier) == []
