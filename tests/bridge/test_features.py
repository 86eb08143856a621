from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from .running import API

pytestmark = pytest.mark.anyio
SUMMARIZE = f"{API}/features/summarize"


async def put(client: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> httpx.Response:
    return await client.put(
        SUMMARIZE, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


async def ticks(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    return float(text.partition("\nfeaturewatch_poll_ticks_total ")[2].partition("\n")[0])


async def test_there_are_no_features_at_first(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{API}/features")).json() == {"features": []}


async def test_a_feature_is_listed_once_it_was_declared(client: httpx.AsyncClient) -> None:
    answer = await put(client, {"name": "Summaries", "owner": "docs", "slo": {"objective": 99.5}})
    assert answer.status_code == 200
    (listed,) = (await client.get(f"{API}/features")).json()["features"]
    assert (listed["id"], listed["name"], listed["owner"]) == ("summarize", "Summaries", "docs")
    assert listed["slo"] == {"objective": 99.5, "window": "30d"}
    assert listed["thresholds"] == {"uptime": 99.0, "error_rate": 5.0, "response_time_p95": 10_000.0}
    assert listed["health_indicators"] == {"status": "unknown", "alerts_count": 0, "last_error": None}
    assert set(listed) >= {"description", "organization_id", "metrics", "environments", "environment", "revision"}


async def test_a_feature_is_listed_as_soon_as_it_was_seen(client: httpx.AsyncClient) -> None:
    await client.post(f"{API}/logs", json={"featureId": "chat", "message": "hello", "environment": "staging"})
    (listed,) = (await client.get(f"{API}/features")).json()["features"]
    assert (listed["id"], listed["name"], listed["environments"]) == ("chat", "chat", ["staging"])
    assert listed["environment"] == "staging"


async def test_the_last_error_is_the_newest_line_of_level_error_or_fatal(client: httpx.AsyncClient) -> None:
    async def say(level: str, message: str, at: str) -> str | None:
        line = {"featureId": "chat", "level": level, "message": message, "timestamp": f"2026-01-31T12:00:{at}Z"}
        await client.post(f"{API}/logs", json=line)
        shown: str | None = (await client.get(f"{API}/features/chat")).json()["health_indicators"]["last_error"]
        return shown

    assert await say("info", "fine", "01") is None
    assert await say("error", "broken", "02") == "broken"
    assert await say("warn", "odd", "03") == "broken"
    assert await say("fatal", "dead", "04") == "dead"
    assert await say("error", "told late", "03") == "dead"


async def test_put_replaces_and_patch_keeps_what_is_left_out(client: httpx.AsyncClient) -> None:
    await put(client, {"name": "A", "owner": "o", "thresholds": {"error_rate": 2, "uptime": 90}})
    patched = (await client.patch(SUMMARIZE, json={"thresholds": {"error_rate": None}})).json()
    assert (patched["name"], patched["owner"]) == ("A", "o")
    assert patched["thresholds"] == {"uptime": 90.0, "error_rate": 5.0, "response_time_p95": 10_000.0}
    replaced = (await put(client, {"description": "d"})).json()
    assert (replaced["name"], replaced["owner"], replaced["description"]) == ("summarize", "", "d")
    assert replaced["thresholds"]["uptime"] == 99.0


async def test_unknown_fields_of_a_declaration_are_ignored(client: httpx.AsyncClient) -> None:
    assert (await put(client, {"name": "A", "colour": "red", "thresholds": {"fun": 1}})).status_code == 200


async def test_an_edit_names_the_revision_that_it_edits(client: httpx.AsyncClient) -> None:
    await put(client, {"name": "A"})
    shown = await client.get(SUMMARIZE)
    revision, etag = shown.json()["revision"], shown.headers["etag"]
    assert (await put(client, {"name": "B"}, If_Match=etag)).json()["revision"] == revision + 1
    refused = await put(client, {"name": "C"}, If_Match=etag)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert (await put(client, {"name": "C"}, If_Match=str(revision + 1))).status_code == 200
    assert (await client.delete(SUMMARIZE, headers={"If-Match": etag})).status_code == 412
    assert (await client.get(SUMMARIZE)).json()["name"] == "C"


async def test_a_threshold_is_what_health_is_judged_by(client: httpx.AsyncClient) -> None:
    calls = [{"outcome": "error" if n < 2 else "success", "duration_ms": 10} for n in range(100)]
    await client.post(f"{SUMMARIZE}/requests", json=calls)
    assert (await client.get(SUMMARIZE)).json()["health_indicators"]["status"] == "healthy"
    edited = await client.patch(SUMMARIZE, json={"thresholds": {"error_rate": 1}})
    assert edited.json()["health_indicators"]["status"] == "warning"


async def test_a_deleted_feature_is_not_brought_back_by_the_calls_it_counted_before(client: httpx.AsyncClient) -> None:
    call = {"outcome": "success", "duration_ms": 1}
    await client.post(f"{SUMMARIZE}/requests", json=call)
    assert (await client.delete(SUMMARIZE)).status_code == 204
    # Two ticks, of which the second began after the deletion.
    before = await ticks(client)
    async with asyncio.timeout(30):
        while await ticks(client) < before + 2:  # noqa: ASYNC110 (another task counts)
            await asyncio.sleep(0.05)
    assert (await client.get(f"{API}/features")).json() == {"features": []}
    await client.post(f"{SUMMARIZE}/requests", json=call)
    (listed,) = (await client.get(f"{API}/features")).json()["features"]
    assert listed["id"] == "summarize"


async def test_a_deleted_feature_is_unknown_until_it_sends_again(client: httpx.AsyncClient) -> None:
    await client.post(f"{API}/logs", json={"featureId": "summarize", "message": "x"})
    assert (await client.delete(SUMMARIZE)).status_code == 204
    assert (await client.get(SUMMARIZE)).status_code == 404
    assert (await client.delete(SUMMARIZE)).status_code == 404
    await client.post(f"{API}/logs", json={"featureId": "summarize", "message": "y"})
    assert (await client.get(SUMMARIZE)).status_code == 200


async def test_a_caller_who_holds_the_answer_gets_304(client: httpx.AsyncClient) -> None:
    await put(client, {"name": "A"})
    first = await client.get(f"{API}/features/summarize/events")
    again = await client.get(f"{API}/features/summarize/events", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await client.post(f"{SUMMARIZE}/test-results", json={"name": "n", "ok": True})
    after = await client.get(f"{API}/features/summarize/events", headers={"If-None-Match": first.headers["etag"]})
    assert after.status_code == 200
