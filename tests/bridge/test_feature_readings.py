"""What dashboards read of the bridge itself: health, objectives, alerts and test results of each feature."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from featurewatch.errors import Unavailable

from .running import API
from .test_alerts import alert, listed, told

pytestmark = pytest.mark.anyio

PLACE = 'environment="production",feature="chat"'


async def shown(client: httpx.AsyncClient) -> str:
    return (await client.get("/metrics")).text


async def shows(client: httpx.AsyncClient, line: str, *, within_s: float = 30) -> None:
    """Wait for a line that the next tick brings."""
    deadline = time.monotonic() + within_s
    while line not in (text := await shown(client)).splitlines():
        assert time.monotonic() < deadline, text
        await asyncio.sleep(0.05)


async def test_health_and_objective_of_a_feature(client: httpx.AsyncClient) -> None:
    assert (await client.put(f"{API}/features/chat", json={"slo": {"objective": 99.5, "window": "7d"}})).is_success
    await client.post(
        f"{API}/features/chat/requests?environment=production", json=[{"outcome": "error", "duration_ms": 5}] * 20
    )
    await shows(client, f"featurewatch_feature_health{{{PLACE}}} 3.0")
    await shows(client, 'featurewatch_slo_objective_ratio{feature="chat",window="7d"} 0.995')


async def test_an_alert_from_its_firing_to_its_end(client: httpx.AsyncClient) -> None:
    series = f'{{alert="Errors Alert",{PLACE},rule_id="chat-errors",severity="high"}}'

    def changed(change: str) -> str:
        return f'featurewatch_alert_changes_total{{change="{change}",{PLACE},severity="high"}} 1.0'

    await told(client, alert())
    text = await shown(client)
    assert f"featurewatch_alert_state{series} 1.0" in text
    assert f"featurewatch_alert_triggered_timestamp_seconds{series} 1.7698608e+09" in text
    assert changed("triggered") in text
    assert changed("acknowledged") not in text
    id_ = (await listed(client))[0]["id"]
    for _ in range(2):  # the second changes nothing
        await client.post(f"{API}/alerts/{id_}/acknowledge", json={"comment": "looking"})
    text = await shown(client)
    assert f"featurewatch_alert_state{series} 2.0" in text
    assert changed("acknowledged") in text
    await told(client, alert(status="resolved"))
    text = await shown(client)
    assert "featurewatch_alert_state{" not in text
    assert changed("resolved") in text


async def test_an_alert_that_people_closed_while_its_condition_holds(client: httpx.AsyncClient) -> None:
    await told(client, alert())
    id_ = (await listed(client))[0]["id"]
    await client.post(f"{API}/alerts/{id_}/resolve", json={})
    assert 'severity="high"} 3.0' in await shown(client)


async def test_test_results_are_counted_by_what_came_of_them(client: httpx.AsyncClient) -> None:
    results = [
        {"name": "smoke", "passed": True},
        {"name": "quality", "passed": False},
        {"name": "load", "passed": True},
    ]
    answer = await client.post(f"{API}/features/chat/test-results?environment=production", json=results)
    assert answer.is_success, answer.text
    text = await shown(client)
    assert f'featurewatch_test_results_total{{{PLACE},passed="true"}} 2.0' in text
    assert f'featurewatch_test_results_total{{{PLACE},passed="false"}} 1.0' in text


async def test_health_is_of_the_last_tick_where_the_store_cannot_answer(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = client.app.state.bridge.stores  # type: ignore[attr-defined]  # see client_of
    line = 'featurewatch_feature_health{environment="development",feature="chat"} 2.0'

    async def measure(*_: object) -> None:
        raise Unavailable("the file is gone")

    await client.put(f"{API}/features/chat", json={})
    await shows(client, line)
    monkeypatch.setattr(stores.metrics, "measure", measure)
    await shows(client, "featurewatch_poll_failures_total 2.0")
    assert line in await shown(client)
