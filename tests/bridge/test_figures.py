from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from featurewatch.bridge.routes.figures import DEFAULT_POINTS, default_step
from featurewatch.formulas import METRICS

from .running import API

pytestmark = pytest.mark.anyio
CHAT = f"{API}/features/chat"


async def told(client: httpx.AsyncClient, *calls: dict[str, Any], environment: str = "production") -> None:
    answer = await client.post(f"{CHAT}/requests", params={"environment": environment}, json=list(calls))
    assert answer.status_code == 200, answer.text


async def shown(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(f"{CHAT}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


OK = {"outcome": "success", "duration_ms": 100}


async def test_usage_performance_and_costs_are_of_the_same_calls(client: httpx.AsyncClient) -> None:
    await told(
        client,
        *[{**OK, "model": "m", "tokens": {"input": 80, "output": 20}, "cost_usd": 0.1}] * 3,
        {"outcome": "error", "error_type": "timeout", "duration_ms": 500},
    )
    usage = await shown(client, "metrics")
    assert (usage["total_requests"], usage["requests_per_minute"], usage["tokens_per_request"]) == (4, 0.8, 75.0)
    performance = await shown(client, "performance")
    assert (performance["error_rate"], performance["success_rate"]) == (25.0, 75.0)
    assert performance["avg_response_time"] == performance["response_time"] == 200.0
    assert performance["errors_by_type"] == {"timeout": 1}
    costs = await shown(client, "costs")
    assert (costs["total_cost"], costs["cost_per_request"]) == (0.3, 0.075)
    assert [(cost["model"], cost["cost_usd"], cost["reported_usd"]) for cost in costs["by_model"]] == [("m", 0.3, 0.3)]
    for answer in (usage, performance, costs):
        assert (answer["environment"], answer["time_range"], answer["stale"]) == ("production", "5m", False)


async def test_every_figure_has_its_place(client: httpx.AsyncClient) -> None:
    await told(client, OK)
    answers = [await shown(client, path) for path in ("metrics", "performance", "costs")]
    assert all(sum(name in answer for answer in answers) == 1 for name in METRICS)
    current = (await shown(client, "metrics/current"))["data"]
    assert set(current["metrics"]) == set(METRICS)


async def test_what_cannot_be_known_is_null_or_zero_as_asked(client: httpx.AsyncClient) -> None:
    await client.put(CHAT, json={})
    assert (await shown(client, "performance"))["error_rate"] is None
    assert (await shown(client, "performance", unknown="zero"))["error_rate"] == 0
    current = (await shown(client, "metrics/current", unknown="zero"))["data"]
    assert set(current["metrics"].values()) == {0}
    assert current["health_status"] == "unknown"
    assert (await shown(client, "health"))["status"] == "unknown"


async def test_environments_are_never_mixed(client: httpx.AsyncClient) -> None:
    await told(client, OK, OK, environment="staging")
    assert (await shown(client, "metrics"))["environment"] == "staging"
    await told(client, OK, environment="production")
    answer = await shown(client, "metrics")
    assert (answer["environment"], answer["total_requests"]) == ("production", 1)
    answer = await shown(client, "metrics", environment="staging")
    assert (answer["environment"], answer["total_requests"]) == ("staging", 2)
    assert (await shown(client, "metrics", environment="elsewhere"))["total_requests"] is None


async def test_whoever_wrote_sees_what_was_written_at_once(client: httpx.AsyncClient) -> None:
    for count in range(1, 6):
        await told(client, OK)
        assert (await shown(client, "metrics"))["total_requests"] == count
        history = await shown(client, "metrics/history", metric="total_requests", time_range="10m", step="10m")
        assert len(history["points"]) >= 1


async def test_health_says_why(client: httpx.AsyncClient) -> None:
    await told(client, *[{**OK, "outcome": "error"}] * 20)
    health = await shown(client, "health")
    assert health["status"] == "error"
    assert health["reasons"][0].startswith("error_rate is 100 %")


async def test_snapshots_of_several_features_come_in_one_answer(client: httpx.AsyncClient) -> None:
    await told(client, OK)
    await client.put(f"{API}/features/search", json={})
    everything = (await client.get(f"{API}/metrics/current")).json()["data"]
    assert [snapshot["featureId"] for snapshot in everything] == ["chat", "search"]
    named = (await client.get(f"{API}/metrics/current?featureId=search")).json()["data"]
    assert [snapshot["featureId"] for snapshot in named] == ["search"]
    assert (await client.get(f"{API}/metrics/current?feature_id=search,nowhere")).status_code == 404


async def test_history_is_of_the_last_hour_unless_a_range_is_given(client: httpx.AsyncClient) -> None:
    await told(client, OK)
    history = await shown(client, "metrics/history", metric="metrics.error_rate")
    assert (history["metric"], history["unit"], history["step"]) == ("error_rate", "percent", "15s")
    assert len(history["points"]) in (240, 241)
    now_ms = time.time() * 1000
    assert all(now_ms - 3_620_000 < at <= now_ms for at, _ in history["points"])
    assert all(at % 15_000 == 0 for at, _ in history["points"])


async def test_history_shows_when_calls_were(client: httpx.AsyncClient) -> None:
    at = int(time.time()) // 60 * 60 - 600
    instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at + 30))
    await told(client, *[{**OK, "timestamp": instant}] * 7)
    history = await shown(client, "metrics/history", metric="total_requests", step="1m")
    known = [(point, value) for point, value in history["points"] if value]
    assert known == [((at + 60) * 1000, 7)]


@pytest.mark.parametrize("seconds", [1, 60, 3600, 86_400, 7 * 86_400, 30 * 86_400, 400 * 86_400])
def test_the_default_step_gives_a_readable_number_of_points(seconds: int) -> None:
    assert seconds / default_step(seconds) <= DEFAULT_POINTS


async def test_the_older_name_of_a_figure_is_understood(client: httpx.AsyncClient) -> None:
    await client.put(CHAT, json={})
    assert (await shown(client, "metrics/history", metric="avg_response_time"))["metric"] == "response_time"
