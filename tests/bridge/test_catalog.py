from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from .running import API, bridge

pytestmark = pytest.mark.anyio


def lines(*features: str) -> list[dict[str, str]]:
    return [{"feature_id": feature, "message": "hello"} for feature in features]


def point(feature: str, calls: int) -> dict[str, object]:
    named = {"feature": feature, "environment": "development", "outcome": "success"}
    now = time.time_ns()
    return {
        "asInt": str(calls),
        "startTimeUnixNano": str(now - 1_000_000_000),
        "timeUnixNano": str(now),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in named.items()],
    }


async def known(client: httpx.AsyncClient) -> list[str]:
    return [feature["id"] for feature in (await client.get(f"{API}/features")).json()["features"]]


async def test_features_above_the_most_are_refused_and_the_known_ones_go_on(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, max_features=2) as client:
        assert (await client.post(f"{API}/logs", json=lines("chat", "search"))).status_code == 200
        refused = await client.post(f"{API}/logs", json=lines("chat", "user-17"))
        assert refused.status_code == 422
        assert "'user-17'" in refused.json()["error"]
        assert "FEATUREWATCH_MAX_FEATURES" in refused.json()["error"]
        call = {"outcome": "success", "duration_ms": 5}
        assert (await client.post(f"{API}/features/user-17/requests", json=call)).status_code == 422
        result = {"name": "smoke", "passed": True}
        assert (await client.post(f"{API}/features/user-17/test-results", json=result)).status_code == 422
        elsewhere = {**lines("chat")[0], "environment": "staging"}
        assert (await client.post(f"{API}/logs", json=elsewhere)).status_code == 422
        assert (await client.post(f"{API}/logs", json=lines("chat"))).status_code == 200
        assert await known(client) == ["chat", "search"]


async def test_otlp_and_loki_keep_what_there_is_room_for(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, max_features=1) as client:
        points = [point("chat", 3), point("user-17", 1)]
        counter = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}
        metric = {"name": "feature_requests_total", "sum": counter}
        body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
        partial = (await client.post("/v1/metrics", json=body)).json()["partialSuccess"]
        assert int(partial["rejectedDataPoints"]) == 1
        assert "'user-17'" in partial["errorMessage"]
        assert (await client.get(f"{API}/features/chat/metrics")).json()["total_requests"] == 3

        streams = [
            {"stream": {"feature": feature}, "values": [[str(time.time_ns()), "hello"]]}
            for feature in ("chat", "user-17")
        ]
        pushed = await client.post("/loki/api/v1/push", json={"streams": streams})
        assert pushed.status_code == 400
        assert pushed.text.startswith("1 of 2 lines were refused, the others are kept; feature 'user-17'")
        found = await client.get(f"{API}/logs", params={"feature_id": "chat"})
        assert [line["message"] for line in found.json()["logs"]] == ["hello"]


async def test_a_deleted_feature_leaves_its_room_to_another(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, max_features=1) as client:
        await client.post(f"{API}/logs", json=lines("chat"))
        assert (await client.post(f"{API}/logs", json=lines("search"))).status_code == 422
        assert (await client.delete(f"{API}/features/chat")).status_code == 204
        assert (await client.post(f"{API}/logs", json=lines("search"))).status_code == 200


async def test_who_comes_at_the_same_moment_shares_the_room(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, max_features=5) as client:
        answers = await asyncio.gather(
            *(client.post(f"{API}/logs", json=lines(f"user-{number}")) for number in range(20))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [422] * 15
        assert len(await known(client)) == 5
