"""Without a stack: a rule that people made fires on calls that arrived, tells a channel, and ends when they recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from alertmanager import Sink
from alertmanager import sink as sink
from featurewatch.alert_model import Channel, Deed

from .running import API, bridge

pytestmark = pytest.mark.anyio

RULE = {
    "name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high",
    "window_minutes": 1, "for_minutes": 0, "notification_channels": ["ops"],
}  # fmt: skip


async def calls(client: httpx.AsyncClient, good: int, bad: int) -> None:
    body = [{"outcome": "success", "duration_ms": 5}] * good + [{"outcome": "error", "duration_ms": 5}] * bad
    (await client.post(f"{API}/features/chat/requests", json=body)).raise_for_status()


async def until(client: httpx.AsyncClient, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while True:
        alerts: list[dict[str, Any]] = (await client.get(f"{API}/alerts")).json()["alerts"]
        if holds(alerts):
            return alerts
        assert time.monotonic() < deadline, alerts
        await asyncio.sleep(0.1)


async def test_a_rule_fires_tells_its_channel_and_ends(tmp_path: Path, sink: Sink) -> None:
    async with bridge(tmp_path, evaluation_interval=1) as client:
        stores = client.app.state.bridge.stores  # type: ignore[attr-defined]
        await stores.channels.save(
            Channel("ops", "webhook", {"url": f"{sink.url}/hook"}), Deed("test", "channel", "", "ops", 0)
        )
        await stores.channels.save(
            Channel("boss", "webhook", {"url": f"{sink.url}/hook"}, severities=("critical",)),
            Deed("test", "channel", "", "boss", 0),
        )
        await calls(client, 10, 10)
        rule = {**RULE, "notification_channels": ["boss", "ops"]}
        made = await client.post(f"{API}/features/chat/alerts/rules", json=rule)
        assert made.status_code in (200, 201), made.text
        fired = (await until(client, bool))[0]
        assert fired["message"] == "error_rate is 50 %, which is greater than threshold of 20 %"
        assert fired["metadata"]["metrics_snapshot"]["error_rate"] == 50
        await asyncio.to_thread(sink.wait_told, 1)
        assert sink.at("/hook")[0]["body"]["groupLabels"] == {"feature": "chat", "environment": "development"}
        soon = {"comment": "a look", "expires_minutes": 0.01}
        taken = await client.post(f"{API}/alerts/{fired['id']}/acknowledge", json=soon)
        assert taken.json()["status"] == "acknowledged"
        again = (await until(client, lambda alerts: alerts[0]["status"] == "active"))[0]
        assert "acknowledged_until" not in again["metadata"]
        taken = await client.post(f"{API}/alerts/{fired['id']}/acknowledge", json={})
        assert taken.json()["status"] == "acknowledged"
        await calls(client, 200, 0)
        ended = (await until(client, lambda alerts: alerts[0]["status"] == "resolved"))[0]
        assert ended["resolve_reason"] == "recovered"
        assert await asyncio.to_thread(sink.wait_told, 2) == ["firing", "resolved"]
        why = (await client.get(f"{API}/alerts/{fired['id']}/explain")).json()
        assert [one["status"] for one in why["deliveries"]] == ["firing", "resolved"]
        assert (why["rule"]["channels"], why["route"]["channels"]) == (["boss", "ops"], ["ops"])
        (rule,) = (await client.get(f"{API}/features/chat/alerts/rules")).json()["rules"]
        assert (rule["deployment"]["state"], rule["deployment"]["revision"]) == ("evaluated", 1)


async def test_apprise_is_told_again_after_a_failure_and_of_the_end(tmp_path: Path, sink: Sink) -> None:
    async with bridge(tmp_path, evaluation_interval=1) as client:
        settings = {"url": f"json://{sink.url.removeprefix('http://')}/apprise"}
        put = await client.put(f"{API}/channels/ops", json={"kind": "apprise", "settings": settings})
        assert put.status_code == 200, put.text
        sink.status = 500
        await calls(client, 10, 10)
        await client.post(f"{API}/features/chat/alerts/rules", json=RULE)
        await until(client, lambda _: len(sink.at("/apprise")) == 1)
        sink.status = 200
        await until(client, lambda _: len(sink.at("/apprise")) == 2)
        first, again = (post["body"] for post in sink.at("/apprise"))
        assert first == again
        assert (again["title"], again["type"]) == ("[firing] Errors Alert (chat development)", "failure")
        assert "error_rate is 50 %, which is greater than threshold of 20 %" in again["message"]
        await calls(client, 200, 0)
        await until(client, lambda _: len(sink.at("/apprise")) == 3)
        assert (sink.at("/apprise")[2]["body"]["title"], sink.at("/apprise")[2]["body"]["type"]) == (
            "[resolved] Errors Alert (chat development)", "success",
        )  # fmt: skip


async def test_a_restart_goes_on_with_what_fires(tmp_path: Path, sink: Sink) -> None:
    async with bridge(tmp_path, evaluation_interval=1) as client:
        stores = client.app.state.bridge.stores  # type: ignore[attr-defined]
        await stores.channels.save(
            Channel("ops", "webhook", {"url": f"{sink.url}/hook"}), Deed("test", "channel", "", "ops", 0)
        )
        await calls(client, 0, 20)
        await client.post(f"{API}/features/chat/alerts/rules", json=RULE)
        await until(client, bool)
        await asyncio.to_thread(sink.wait_told, 1)
        id_ = (await client.get(f"{API}/alerts")).json()["alerts"][0]["id"]
        # What was sent is noted a moment later than it is received.
        deadline = time.monotonic() + 30
        while not await stores.alerts.deliveries([id_]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    async with bridge(tmp_path, evaluation_interval=1) as client:
        rounds = client.app.state.bridge.alerting.evaluator.stats  # type: ignore[attr-defined]
        await until(client, lambda _: rounds.rounds >= 2)
        alerts = (await client.get(f"{API}/alerts")).json()["alerts"]
        assert [(one["id"], one["status"]) for one in alerts] == [(id_, "active")]
        assert sink.told() == ["firing"], "nobody is told twice"
        url = f"{API}/features/chat/alerts/rules"
        rule = (await client.get(url)).json()["rules"][0]
        assert (await client.delete(f"{url}/{rule['id']}")).status_code == 204
        ended = (await until(client, lambda alerts: alerts[0]["status"] == "resolved"))[0]
        assert ended["resolve_reason"] == "rule_removed"
