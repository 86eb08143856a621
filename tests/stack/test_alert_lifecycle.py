"""Alerts through a real Prometheus and Alertmanager: who is notified when, and what the history says of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from alertmanager import Alertmanager, Sink
from featurewatch.alert_model import Alert, AlertRule
from featurewatch.alerts.actions import Actions
from featurewatch.alerts.alertmanager_client import AlertmanagerClient
from featurewatch.alerts.backfill import Backfill
from featurewatch.alerts.history import History
from featurewatch.alerts.signals import read_listed, read_webhook
from featurewatch.alerts.watch import WATCHED, Watch
from featurewatch.episode_model import Episode
from featurewatch.errors import Conflict, NotFound, Unavailable
from featurewatch.model import FeatureKey, Measurement
from featurewatch.stores.state import State
from featurewatch.stores.state_alerts import AlertFilter, Alerts
from featurewatch.stores.upstream import Target, Upstream
from prometheus import Prometheus, make
from remote_write import labels

pytestmark = [pytest.mark.anyio, pytest.mark.stack]

KEY = FeatureKey("chat", "production")
RULE = AlertRule("chat-errors", "chat", "Errors", "error_rate", "greater_than", 20, "high", for_minutes=0)
LABELS = {"feature": "chat", "environment": "production"}
EXPRESSION = 'broken{feature="chat"} > 20'
WITHIN_S = 60.0


class Figures:
    """A metric store whose figures the test says."""

    def __init__(self) -> None:
        self.error_rate: float | None = 0.0

    async def measure(
        self, keys: Collection[FeatureKey], window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        return {key: Measurement(key, 0, {"error_rate": self.error_rate}) for key in keys}


@dataclass
class Stack:
    """The parts of alerting over real servers; `rules` is what the rule store would find."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    sink: Sink
    state: State
    figures: Figures
    rules: dict[str, AlertRule]
    history: History
    watch: Watch
    actions: Actions

    def set(self, value: float) -> None:
        """Let the expression's series have a value from now on."""
        now_ms = int(time.time() * 1000)
        self.prometheus.write({labels("broken", LABELS): [(now_ms, value)]})

    async def page(self) -> list[Alert]:
        found = await self.history.alerts.page(AlertFilter(), limit=100)
        return [episode.alert for episode in reversed(found.episodes)]

    async def until(self, holds: Callable[[Sequence[Alert]], bool], what: str) -> list[Alert]:
        """Look at Alertmanager until the alerts are as they should."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            await self.watch.tick()
            alerts = await self.page()
            if holds(alerts):
                return alerts
            assert time.monotonic() < deadline, f"waited for {what}, got {alerts}"
            await asyncio.sleep(0.3)

    async def told(self, count: int) -> list[str]:
        return await asyncio.to_thread(self.sink.wait_told, count)


def rule_file() -> str:
    rule = {
        "alert": "Errors",
        "expr": EXPRESSION,
        "labels": {"rule_id": RULE.id, "metric": "error_rate", "severity": "high"},
        "annotations": {"title": "Errors Alert", "message": "error_rate is {{ $value }}", "value": "{{ $value }}",
                        "condition": "greater_than", "threshold": "20"},
    }  # fmt: skip
    return json.dumps({"groups": [{"name": "chat-errors", "interval": "1s", "rules": [rule]}]})


@pytest.fixture
async def stack(own_alertmanager: Alertmanager, sink: Sink, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Stack]:
    route = {
        "receiver": "people", "group_by": ["feature", "environment"], "group_wait": "0s", "group_interval": "1s",
        "repeat_interval": "1h",
    }  # fmt: skip
    people = {"name": "people", "webhook_configs": [{"url": f"{sink.url}/hook", "send_resolved": True}]}
    own_alertmanager.config.write_text(json.dumps({"route": route, "receivers": [people]}))
    own_alertmanager.start()
    # Prometheus knows no Alertmanager in its first seconds: what fires then is told again after this.
    own_prometheus = make(
        tmp_path / "prometheus",
        options=["--rules.alert.resend-delay=1s"],
        rule_files=["chat.yml"],
        alertmanagers=[f"127.0.0.1:{own_alertmanager.port}"],
    )
    (own_prometheus.folder / "chat.yml").write_text(rule_file())
    async with AsyncExitStack() as opened:
        opened.callback(own_prometheus.stop)
        own_prometheus.start()
        state = await State.open(f"sqlite:///{tmp_path / 'state.db'}")
        opened.push_async_callback(state.close)
        figures, rules = Figures(), {RULE.id: RULE}

        async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
            return {id_: rules[id_] for id_ in ids if id_ in rules}

        def settled(episodes: Sequence[Episode]) -> None:
            watch.settle(episodes)

        history = History(
            Alerts(state, clock=time.time_ns), figures, find, lambda _: None, clock=time.time_ns, settled=settled
        )  # type: ignore[arg-type]  # measure is all that it asks of a metric store
        api = AlertmanagerClient([Upstream(Target("Alertmanager", "FEATUREWATCH_ALERTMANAGER", own_alertmanager.url))])
        opened.push_async_callback(api.close)
        asked = Upstream(Target("Prometheus", "FEATUREWATCH_PROMETHEUS", own_prometheus.url))
        opened.push_async_callback(asked.close)
        actions = Actions(history, api, clock=time.time_ns)
        watch = Watch(api, history, actions, Backfill(asked, history), clock=time.time_ns, mature_s=0, patience_s=0)
        yield Stack(own_prometheus, own_alertmanager, sink, state, figures, rules, history, watch, actions)


async def test_an_acknowledged_alert_is_silent_and_a_re_fire_notifies_again(stack: Stack) -> None:
    stack.set(50)
    fired = (await stack.until(lambda alerts: bool(alerts), "the alert"))[0]
    assert (fired.status, fired.metadata["trigger_value"], fired.title) == ("active", 50.0, "Errors Alert")
    assert await stack.told(1) == ["firing"]
    acknowledged = await stack.actions.acknowledge(fired.id, "ann", comment="on it")
    assert (acknowledged.status, acknowledged.acknowledged_by) == ("acknowledged", "ann")
    assert len(stack.alertmanager.silences()) == 1
    stack.set(0)
    ended = (await stack.until(lambda alerts: alerts[0].status == "resolved", "its end"))[0]
    assert ended.resolve_reason == "recovered"
    await stack.until(lambda _: not stack.alertmanager.silences(), "the end of the silence")
    await stack.told(2)
    stack.set(60)
    again = await stack.until(lambda alerts: len(alerts) == 2, "the second alert")
    assert again[1].status == "active"
    assert (await stack.told(3))[-1] == "firing", "a re-fire notifies"


async def test_closed_by_hand_it_says_so_stays_silent_and_fires_anew_after_it_cleared(stack: Stack) -> None:
    stack.set(50)
    fired = (await stack.until(lambda alerts: bool(alerts), "the alert"))[0]
    closed = await stack.actions.resolve(fired.id, "ann", comment="known")
    assert (closed.status, closed.resolve_reason, closed.condition_active) == ("resolved", "manual", True)
    for _ in range(4):
        await stack.watch.tick()
    assert [alert.status for alert in await stack.page()] == ["resolved"], "what still fires is the one that was closed"
    stack.set(0)
    await stack.until(lambda alerts: not alerts[0].condition_active, "the condition's end")
    stack.set(60)
    alerts = await stack.until(lambda alerts: len(alerts) == 2, "the second alert")
    assert [alert.status for alert in alerts] == ["resolved", "active"]


async def test_an_acknowledgement_that_is_taken_back_notifies_again(stack: Stack) -> None:
    stack.set(50)
    fired = (await stack.until(lambda alerts: bool(alerts), "the alert"))[0]
    await stack.actions.acknowledge(fired.id, "ann")
    assert (await stack.actions.unacknowledge(fired.id, "bob")).status == "active"
    assert stack.alertmanager.silences() == []
    with pytest.raises(Conflict, match="not acknowledged"):
        await stack.actions.unacknowledge(fired.id, "bob")
    with pytest.raises(NotFound):
        await stack.actions.acknowledge("nothing", "bob")
    await stack.actions.acknowledge(fired.id, "ann", expires_minutes=1 / 60)
    await stack.until(lambda alerts: alerts[0].status == "active", "the end of an acknowledgement of a second")
    await stack.actions.acknowledge(fired.id, "ann")
    for silence in stack.alertmanager.silences():
        await stack.watch._api.expire(silence["id"])
    await stack.until(lambda alerts: alerts[0].status == "active", "a silence that somebody ended in Alertmanager")


async def test_why_it_ended_is_told_truly(stack: Stack) -> None:
    stack.set(50)
    await stack.until(lambda alerts: bool(alerts), "the alert")
    del stack.rules[RULE.id]
    (stack.prometheus.folder / "chat.yml").write_text(json.dumps({"groups": []}))
    stack.prometheus.reload()
    stack.set(0)
    signal, _ = read_listed(stack.alertmanager.alerts())[0]
    await stack.history.take([replace(signal, ends_ns=time.time_ns(), source="webhook")])
    assert (await stack.page())[0].resolve_reason == "rule_removed"


async def test_what_fired_while_nobody_looked_is_found_afterwards(stack: Stack) -> None:
    stack.set(50)
    await asyncio.to_thread(stack.prometheus.wait_for, 'ALERTS{alertstate="firing"}')
    await asyncio.sleep(1)
    stack.set(0)
    await asyncio.to_thread(_wait_until_quiet, stack)
    now = time.time_ns()
    assert await stack.page() == []
    await stack.history.alerts.set_mark(WATCHED, now - 300 * 10**9)
    await stack.watch.tick()
    found = await stack.page()
    assert [(alert.status, alert.rule_id) for alert in found] == [("resolved", RULE.id)]
    await stack.history.alerts.set_mark(WATCHED, now - 300 * 10**9)
    await stack.watch.tick()
    assert len(await stack.page()) == 1, "what is known is not found again"


async def test_without_alertmanager_nothing_is_recorded_and_it_goes_on_afterwards(stack: Stack) -> None:
    stack.set(50)
    fired = (await stack.until(lambda alerts: bool(alerts), "the alert"))[0]
    stack.alertmanager.kill()
    with pytest.raises(Unavailable, match="Alertmanager at"):
        await stack.actions.acknowledge(fired.id, "ann")
    assert (await stack.page())[0].status == "active"
    with pytest.raises(Unavailable):
        await stack.watch.tick()
    assert (await stack.page())[0].status == "active", "what cannot be seen has not ended"
    stack.alertmanager.start()
    await asyncio.to_thread(stack.prometheus.wait_for, "up or vector(1)")
    await stack.actions.acknowledge(fired.id, "ann")
    assert (await stack.page())[0].status == "acknowledged"


async def test_a_webhook_as_alertmanager_sends_it_is_read(stack: Stack) -> None:
    stack.set(50)
    await stack.told(1)
    body = stack.sink.at("/hook")[0]["body"]
    delivery = read_webhook(body)
    assert (delivery.receiver, delivery.ignored) == ("people", 0)
    assert await stack.history.receive(delivery) == 1
    assert await stack.history.receive(delivery) == 0
    alert = (await stack.page())[0]
    assert alert.key == KEY
    assert [remark.author for remark in await stack.history.alerts.remarks(alert.id)] == ["people"]


def _wait_until_quiet(stack: Stack) -> None:
    deadline = time.monotonic() + WITHIN_S
    while stack.prometheus.query('ALERTS{alertstate="firing"}') or stack.alertmanager.alerts():
        assert time.monotonic() < deadline
        time.sleep(0.3)
