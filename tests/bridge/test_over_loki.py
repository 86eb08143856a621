"""A bridge whose lines are in Loki: the same endpoints, and what a Loki that is away does to them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey
from featurewatch.stores.base import LogQuery
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS, format_instant
from log_samples import line
from loki import Loki, make

from .running import API, bridge

pytestmark = pytest.mark.anyio

PATIENCE_S: Final = 60.0


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
async def client(loki_of_tenants: Loki, tenant: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with bridge(tmp_path, loki_url=loki_of_tenants.url, loki_tenant=tenant, loki_timeout=60.0) as running:
        yield running


def otlp(feature: str, text: str, now_ns: int) -> dict[str, Any]:
    record = {
        "timeUnixNano": str(now_ns),
        "body": {"stringValue": text},
        "severityText": "ERROR",
        "attributes": [{"key": "feature", "value": {"stringValue": feature}}],
    }
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


async def listed(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/logs", params={"feature_id": "chat", **params})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["logs"])


async def answered(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Ask until the answer is 200: what happens elsewhere is no event here."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await client.get(path)).status_code != 200:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.2)
    return answer


async def test_what_is_sent_by_any_protocol_is_in_loki_and_found(
    client: httpx.AsyncClient, loki_of_tenants: Loki, tenant: str
) -> None:
    now = time.time_ns()
    sent = (
        '[{"feature_id": "chat", "message": "by JSON", "level": "warn", "metadata": {"b": 1.50, "a": "é"}, '
        f'"id": "one", "timestamp": "{format_instant(now)}"}}]'
    )
    answer = await client.post(f"{API}/logs", content=sent, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "ids": ["one"]})
    answer = await client.post("/v1/logs", json=otlp("chat", "by OTLP", now + NS))
    assert answer.status_code == 200, answer.text
    values = [[str(now + 2 * NS), "by Loki's push", {"level": "debug", "pod": "p"}]]
    answer = await client.post(
        "/loki/api/v1/push", json={"streams": [{"stream": {"feature": "chat"}, "values": values}]}
    )
    assert answer.status_code == 204, answer.text

    stored = await asyncio.to_thread(loki_of_tenants.stored, '{feature="chat"}', tenant=tenant)
    assert [one.line for one in stored] == ["by JSON", "by OTLP", "by Loki's push"]
    assert {one.fields["environment"] for one in stored} == {"development"}
    assert stored[0].fields["metadata"] == '{"b":1.50,"a":"é"}'

    lines = await listed(client)
    assert [entry["message"] for entry in lines] == ["by JSON", "by OTLP", "by Loki's push"]
    assert [entry["level"] for entry in lines] == ["warn", "error", "debug"]
    assert lines[0]["metadata"] == {"b": 1.5, "a": "é"}
    assert lines[2]["metadata"] == {"pod": "p"}
    assert [entry["message"] for entry in await listed(client, search="LOKI'S")] == ["by Loki's push"]
    assert [entry["message"] for entry in await listed(client, levels="error,warn", limit=1)] == ["by OTLP"]

    around = (await client.get(f"{API}/logs/one", params={"around": 1})).json()
    assert [entry["message"] for entry in around["logs"]] == ["by JSON", "by OTLP"]
    assert (await client.get(f"{API}/logs/nothing")).status_code == 404

    exported = await client.get(f"{API}/logs/export", params={"feature_id": "chat"})
    assert exported.json() == lines
    rows = await client.get(f"{API}/logs/export", params={"feature_id": "chat", "format": "csv"})
    assert [row["message"] for row in csv.DictReader(io.StringIO(rows.text))] == [entry["message"] for entry in lines]


async def test_an_id_is_kept_once_and_its_sender_sees_it_at_once(client: httpx.AsyncClient) -> None:
    for number in range(10):
        entry = {"feature_id": "chat", "message": f"line {number}", "id": f"id-{number}"}
        for _ in range(2):
            assert (await client.post(f"{API}/logs", json=entry)).status_code == 200
        assert len(await listed(client)) == number + 1


async def test_pages_lead_through_all_lines(client: httpx.AsyncClient) -> None:
    now = time.time_ns()
    lines = [
        {"feature_id": "chat", "message": f"{number}", "timestamp": format_instant(now + number // 7 * 1000)}
        for number in range(60)
    ]
    assert (await client.post(f"{API}/logs", json=lines)).status_code == 200
    for direction in ("", "forward", "backward"):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"feature_id": "chat", "limit": 17, "cursor": cursor, "direction": direction}
            page = (await client.get(f"{API}/logs", params=params)).json()
            seen += [entry["message"] for entry in page["logs"]]
            cursor = page["next_cursor"]
        assert sorted(seen, key=int) == [str(number) for number in range(60)]


async def test_lines_that_loki_refuses_are_told_by_status(client: httpx.AsyncClient) -> None:
    ahead = format_instant(time.time_ns() + 3600 * NS)
    answer = await client.post(f"{API}/logs", json={"feature_id": "chat", "message": "x", "timestamp": ahead})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "out_of_range"
    assert "too new" in answer.json()["error"]


async def test_a_feature_whose_lines_reach_loki_past_the_bridge_is_listed(
    client: httpx.AsyncClient, loki_of_tenants: Loki, tenant: str
) -> None:
    body = {
        "streams": [{"stream": {"feature": "chat"}, "values": [[str(time.time_ns()), "past it", {"level": "error"}]]}]
    }
    async with httpx.AsyncClient() as direct:
        answer = await direct.post(
            f"{loki_of_tenants.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant}
        )
    assert answer.status_code == 204
    answer = await answered(client, f"{API}/features/chat")
    assert answer.json()["health_indicators"]["last_error"] == "past it"
    assert [entry["message"] for entry in await listed(client)] == ["past it"]


async def test_readiness_and_readings(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{API}/logs", json={"feature_id": "chat", "message": "x"})).status_code == 200
    await listed(client)
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["logs"]) == (200, {"ok": True})
    told = (await client.get("/metrics")).text
    for reading in (
        "featurewatch_loki_pushes_total 1.0", "featurewatch_loki_pushed_lines_total 1.0",
        'featurewatch_upstream_request_duration_seconds_count{upstream="logs"}',
        "featurewatch_loki_read_lines_total 1.0", "featurewatch_log_store_queued_bytes 0.0",
    ):  # fmt: skip
        assert reading in told


async def test_a_bridge_starts_without_loki_and_recovers_when_it_comes(tmp_path: Path) -> None:
    folder = tmp_path / "loki"
    folder.mkdir()
    loki = make(folder)
    entry = {"feature_id": "chat", "message": "x", "id": "one"}
    async with bridge(tmp_path, loki_url=loki.url, loki_timeout=30.0) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["metrics"] == {"ok": True}
        said = ready.json()["checks"]["logs"]
        assert not said["ok"]
        assert "Loki at http://127.0.0.1" in said["error"]
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.post(f"{API}/logs", json=entry)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "is it running" in answer.json()["error"]
        assert (await client.post("/v1/logs", json=otlp("chat", "x", time.time_ns()))).status_code == 503
        try:
            await asyncio.to_thread(loki.start)
            await answered(client, "/readyz")
            assert (await client.post(f"{API}/logs", json=entry)).status_code == 200
            assert [found["message"] for found in await listed(client)] == ["x"]
        finally:
            await asyncio.to_thread(loki.stop)


async def test_an_export_outlives_a_loki_that_is_killed(own_loki: Loki, tmp_path: Path) -> None:
    """Killed in the middle, without a word; a page that is asked for meanwhile fails, the export waits."""
    now = time.time_ns()
    key = FeatureKey("chat", "production")
    lines = [line(f"line {number}", key=key)._replace(timestamp_ns=now - 30_000 + number) for number in range(30_000)]
    store = await LokiStore.open(
        Upstream(Target("Loki", "FEATUREWATCH_LOKI", own_loki.url, timeout_s=30.0)),
        tmp_path,
        environment="development",
        lookback_s=86_400.0,
        queue_bytes=64 * 1024**2,
        journal_bytes=1024**3,
        clock=time.time_ns,
    )
    try:
        assert await store.append(lines) == len(lines)
        seen = []
        async for chunk in store.export(LogQuery(key)):
            if not seen:
                assert own_loki.process is not None
                own_loki.process.kill()
                own_loki.process.wait(30)
                with pytest.raises(Unavailable):
                    await store.query(LogQuery(key))
                starting = asyncio.create_task(asyncio.to_thread(own_loki.start))
            seen += chunk
        await starting
        assert seen == lines
    finally:
        await store.close()


async def test_an_export_over_http_is_complete_json(client: httpx.AsyncClient) -> None:
    lines = [{"feature_id": "chat", "message": "é" * (number % 50)} for number in range(3000)]
    assert (await client.post(f"{API}/logs", json=lines)).status_code == 200
    async with client.stream("GET", f"{API}/logs/export", params={"feature_id": "chat"}) as answer:
        body = b"".join([part async for part in answer.aiter_bytes()])
    assert len(json.loads(body)) == 3000
