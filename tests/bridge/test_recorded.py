from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from .running import API, bridge

pytestmark = pytest.mark.anyio
CHAT = f"{API}/features/chat"
OK = {"outcome": "success", "duration_ms": 100}


async def record(client: httpx.AsyncClient, body: Any) -> dict[str, Any]:
    answer = await client.post(f"{CHAT}/requests", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def total(client: httpx.AsyncClient) -> int | None:
    counted: int | None = (await client.get(f"{CHAT}/metrics")).json()["total_requests"]
    return counted


async def test_one_call_a_list_and_a_wrapped_list_are_counted(client: httpx.AsyncClient) -> None:
    for body in (OK, [OK], {"requests": [OK]}):
        assert await record(client, body) == {"success": True, "accepted": 1, "duplicates": 0}
    assert await total(client) == 3


async def test_an_id_counts_once_within_a_list_and_across_requests(client: httpx.AsyncClient) -> None:
    call = {**OK, "id": "a"}
    assert await record(client, [call, call, {**OK, "id": "b"}]) == {"success": True, "accepted": 2, "duplicates": 1}
    assert await record(client, call) == {"success": True, "accepted": 0, "duplicates": 1}
    assert await total(client) == 2


async def test_calls_of_several_environments_come_in_one_list(client: httpx.AsyncClient) -> None:
    await record(client, [{**OK, "environment": "production"}, {**OK, "environment": "staging"}])
    environments = (await client.get(CHAT)).json()["environments"]
    assert environments == ["production", "staging"]


async def test_after_a_restart_the_bridges_own_metrics_show_the_calls_that_are_new(
    tmp_path: Path, anyio_backend: str
) -> None:
    async with bridge(tmp_path) as client:
        await record(client, {**OK, "id": "old"})
    async with bridge(tmp_path) as client:
        again = [{**OK, "id": "old"}, {"outcome": "error", "error_type": "timeout", "duration_ms": 50, "id": "new"}]
        assert (await record(client, again))["accepted"] == 1
        text = (await client.get("/metrics")).text
    labels = 'environment="development",feature="chat"'
    assert f'feature_requests_total{{{labels},outcome="success"}} 0.0' in text
    assert f'feature_requests_total{{{labels},outcome="error"}} 1.0' in text


async def test_an_empty_list_is_accepted(client: httpx.AsyncClient) -> None:
    assert await record(client, []) == {"success": True, "accepted": 0, "duplicates": 0}


async def test_calls_appear_on_the_bridges_own_metrics_each_once(client: httpx.AsyncClient) -> None:
    await record(client, [{**OK, "id": "a"}, {"outcome": "error", "error_type": "timeout", "duration_ms": 50}])
    await record(client, {**OK, "id": "a"})
    text = (await client.get("/metrics")).text
    labels = 'environment="development",feature="chat"'
    assert f'feature_requests_total{{{labels},outcome="success"}} 1.0' in text
    assert f'feature_requests_total{{{labels},outcome="cancelled"}} 0.0' in text
    assert 'feature_errors_total{environment="development",error_type="timeout",feature="chat"} 1.0' in text
    assert f"feature_request_duration_seconds_sum{{{labels}}} 0.15" in text


async def test_cost_is_estimated_where_it_is_not_told(client: httpx.AsyncClient) -> None:
    await record(client, {**OK, "model": "gpt-5-mini", "tokens": {"input": 1000, "output": 100}})
    (cost,) = (await client.get(f"{CHAT}/costs")).json()["by_model"]
    assert cost["estimated_usd"] > 0
    assert (cost["tokens"]["input"], cost["unpriced_requests"]) == (1000, 0)


async def test_test_results_are_kept_newest_first(client: httpx.AsyncClient) -> None:
    for number in range(3):
        result = {"name": f"t{number}", "ok": number != 1, "timestamp": f"2026-01-31T12:00:0{number}Z"}
        assert (await client.post(f"{CHAT}/test-results", json=result)).status_code == 200
    page = (await client.get(f"{CHAT}/test-results", params={"limit": 2})).json()
    assert [(event["data"]["name"], event["data"]["passed"]) for event in page["test_results"]] == [
        ("t2", True), ("t1", False),
    ]  # fmt: skip
    rest = (await client.get(f"{CHAT}/test-results", params={"cursor": page["next_cursor"]})).json()
    assert [event["data"]["name"] for event in rest["test_results"]] == ["t0"]
    assert rest["next_cursor"] is None


async def test_a_repeated_job_publishes_once(client: httpx.AsyncClient) -> None:
    result = {"id": "run-7", "name": "t", "ok": True}
    first = (await client.post(f"{CHAT}/test-results", json=[result])).json()
    again = (await client.post(f"{CHAT}/test-results", json={"results": [result]})).json()
    assert first == again == {"success": True, "ids": ["run-7"]}
    assert len((await client.get(f"{CHAT}/test-results")).json()["test_results"]) == 1


async def test_results_are_kept_whole_or_not_at_all(client: httpx.AsyncClient) -> None:
    await client.put(CHAT, json={})
    answer = await client.post(f"{CHAT}/test-results", json=[{"name": "a", "ok": True}, {"name": "b"}])
    assert answer.status_code == 400
    assert (await client.get(f"{CHAT}/test-results")).json()["test_results"] == []


async def test_events_can_be_chosen_by_kind_and_environment(client: httpx.AsyncClient) -> None:
    await client.post(f"{CHAT}/test-results", json={"name": "t", "ok": True, "environment": "staging"})
    everything = (await client.get(f"{CHAT}/events")).json()["events"]
    assert [(event["type"], event["environment"]) for event in everything] == [("test_result", "staging")]
    assert (await client.get(f"{CHAT}/events?kinds=status_change")).json()["events"] == []
    assert (await client.get(f"{CHAT}/events?environment=production")).json()["events"] == []
    assert (await client.get(f"{CHAT}/events?kinds=weather")).status_code == 400
