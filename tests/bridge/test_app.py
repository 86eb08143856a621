"""The bridge as a whole: starting, stopping, stores that fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurewatch.bridge.app import create_app
from featurewatch.errors import FeaturewatchError, StoreFull, StoreLocked, TooMany, Unavailable, UpstreamError
from featurewatch.stores import open_stores

from .running import API, bridge, client_of, settings_in

pytestmark = pytest.mark.anyio
LINE = {"featureId": "chat", "message": "x"}


async def test_before_its_start_and_after_its_end_it_is_not_ready(anyio_backend: str, tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    async with client_of(app) as client:
        before = await client.get("/readyz")
        async with app.router.lifespan_context(app):
            during = await client.get("/readyz")
        after = await client.get(f"{API}/features")
    assert [answer.status_code for answer in (before, during, after)] == [503, 200, 503]
    assert before.json()["code"] == "unavailable"


async def test_what_was_acknowledged_is_there_after_a_restart(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path) as client:
        await client.post(f"{API}/logs", json=LINE)
        await client.post(f"{API}/features/chat/requests", json={"id": "a", "outcome": "success", "duration_ms": 5})
        await client.post(f"{API}/features/chat/test-results", json={"name": "t", "ok": True})
        await client.put(f"{API}/features/search", json={"name": "Search"})
    async with bridge(tmp_path) as client:
        features = (await client.get(f"{API}/features")).json()["features"]
        assert [(feature["id"], feature["name"]) for feature in features] == [("chat", "chat"), ("search", "Search")]
        assert len((await client.get(f"{API}/logs?feature_id=chat")).json()["logs"]) == 1
        assert (await client.get(f"{API}/features/chat/metrics")).json()["total_requests"] == 1
        assert len((await client.get(f"{API}/features/chat/test-results")).json()["test_results"]) == 1
        call = {"id": "a", "outcome": "success", "duration_ms": 5}
        again = await client.post(f"{API}/features/chat/requests", json=call)
        assert again.json() == {"success": True, "accepted": 0, "duplicates": 1}


async def test_a_second_bridge_on_the_same_data_is_refused_and_the_first_goes_on(
    anyio_backend: str, tmp_path: Path
) -> None:
    async with bridge(tmp_path) as client:
        second = create_app(settings_in(tmp_path))
        with pytest.raises(StoreLocked):
            async with second.router.lifespan_context(second):
                pytest.fail("it started")
        assert (await client.post(f"{API}/logs", json=LINE)).status_code == 200


async def test_stores_that_were_handed_in_stay_open(anyio_backend: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    stores = await open_stores(settings)
    try:
        app = create_app(settings, stores=stores)
        async with app.router.lifespan_context(app), client_of(app) as client:
            assert (await client.post(f"{API}/logs", json=LINE)).status_code == 200
        await stores.logs.ping()
    finally:
        await stores.close()


class Failing:
    """A store that works until it is told to fail."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if self.error is None or not asyncio.iscoroutinefunction(found):
            return found

        async def fail(*_: Any, **__: Any) -> None:
            assert self.error is not None
            raise self.error

        return fail


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (StoreFull("logs.db: the disk is full: free some space"), 503, "store_full", "60"),
        (StoreLocked("logs.db: another process holds it"), 503, "store_locked", "5"),
        (Unavailable("logs.db: cannot be opened"), 503, "unavailable", "5"),
        (TooMany("the disk is slower than what comes", retry_after=7), 429, "too_many", "7"),
        (UpstreamError("Loki answered 500"), 502, "upstream", None),
        (RuntimeError("secret detail"), 500, "internal", None),
    ],
)
async def test_a_store_that_fails_is_told_and_harms_nothing_else(
    anyio_backend: str, tmp_path: Path, error: Exception, status: int, code: str, retry: str | None
) -> None:
    settings = settings_in(tmp_path)
    opened = await open_stores(settings)
    failing = Failing(opened.logs)
    app = create_app(settings, stores=replace(opened, logs=failing))  # type: ignore[arg-type]  # a proxy
    try:
        async with app.router.lifespan_context(app), client_of(app) as client:
            assert (await client.post(f"{API}/logs", json=LINE)).status_code == 200
            failing.error = error
            answer = await client.post(f"{API}/logs", json=LINE)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.headers.get("retry-after") == retry
            assert ("secret" in answer.text) is False
            assert isinstance(error, FeaturewatchError) is (str(error) in answer.text)
            otlp = await client.post("/v1/logs", json=otlp_line())
            loki = await client.post("/loki/api/v1/push", json=push())
            assert (otlp.status_code, loki.status_code) == (status, status)
            assert otlp.headers.get("retry-after") == loki.headers.get("retry-after") == retry
            assert (await client.get(f"{API}/features/chat/metrics")).status_code == 200
            listed = (await client.get(f"{API}/features")).json()["features"] if status in (502, 503) else [{}]
            assert len(listed) == 1
            failing.error = None
            assert (await client.post(f"{API}/logs", json=LINE)).status_code == 200
    finally:
        await opened.close()


async def test_figures_go_stale_and_never_to_zero_when_their_store_fails(anyio_backend: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    opened = await open_stores(settings)
    failing = Failing(opened.metrics)
    app = create_app(settings, stores=replace(opened, metrics=failing))  # type: ignore[arg-type]  # a proxy
    try:
        async with app.router.lifespan_context(app), client_of(app) as client:
            call = {"outcome": "success", "duration_ms": 5}
            await client.post(f"{API}/features/chat/requests", json=call)
            good = (await client.get(f"{API}/features/chat/metrics/current")).json()["data"]
            failing.error = Unavailable("metrics.db: gone")
            await asyncio.sleep(1.1)
            stale = (await client.get(f"{API}/features/chat/metrics/current")).json()["data"]
            assert (good["stale"], stale["stale"]) == (False, True)
            assert stale["metrics"]["total_requests"] == good["metrics"]["total_requests"] == 1
            assert (await client.get(f"{API}/features/chat/metrics/history?metric=uptime")).status_code == 503
            assert (await client.get(f"{API}/logs?feature_id=chat")).status_code == 200
    finally:
        await opened.close()


def otlp_line() -> dict[str, Any]:
    record = {"body": {"stringValue": "x"}, "attributes": [{"key": "feature", "value": {"stringValue": "chat"}}]}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


def push() -> dict[str, Any]:
    return {"streams": [{"stream": {"feature": "chat"}, "values": [["1769860800000000001", "x"]]}]}


async def test_a_client_may_be_many_at_once(client: httpx.AsyncClient) -> None:
    lines = [{"featureId": f"f{n % 7}", "message": str(n), "id": str(n)} for n in range(200)]
    calls = [client.post(f"{API}/logs", json=line) for line in lines]
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    listed = (await client.get(f"{API}/features")).json()["features"]
    pages = await asyncio.gather(*(client.get(f"{API}/logs?feature_id={feature['id']}") for feature in listed))
    assert sum(len(page.json()["logs"]) for page in pages) == 200
