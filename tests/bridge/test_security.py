from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from featurewatch.bridge.security import HEADERS

from .running import API, bridge

pytestmark = pytest.mark.anyio
ORIGIN = "https://app.example.com"


@pytest.mark.parametrize("path", ["/", "/healthz", f"{API}/features", f"{API}/nowhere", "/boot.js"])
async def test_every_answer_tells_browsers_what_not_to_do(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert set(map(str.lower, HEADERS)) <= set(answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8400", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
    ],
)
async def test_a_request_must_name_this_bridge(client: httpx.AsyncClient, host: str, status: int) -> None:
    assert (await client.get(f"{API}/features", headers={"Host": host})).status_code == status


async def test_the_bridges_own_origin_may_call(client: httpx.AsyncClient) -> None:
    own = await client.post(f"{API}/logs", json=[], headers={"Origin": "http://localhost"})
    foreign = await client.post(f"{API}/logs", json=[], headers={"Origin": "http://localhost:9999"})
    assert (own.status_code, foreign.status_code) == (200, 403)


@pytest.mark.parametrize("path", ["/v1/logs", "/loki/api/v1/push"])
async def test_the_origin_is_checked_for_the_receivers_too(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=b"x", headers={"Origin": ORIGIN, "Content-Type": "text/plain"})
    assert answer.status_code == 403


async def test_an_allowed_origin_may_call_and_read(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, allowed_origins=ORIGIN) as client:
        answer = await client.get(f"{API}/features", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert "ETag" in answer.headers["access-control-expose-headers"]
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}
        preflight = await client.options(f"{API}/features/chat", headers=asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
        refused = await client.get(f"{API}/features", headers={"Origin": "https://evil.example"})
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)


async def test_an_error_can_be_read_by_an_allowed_origin(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, allowed_origins=ORIGIN) as client:
        answer = await client.get(f"{API}/features/nowhere", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (404, ORIGIN)


async def test_a_write_without_a_body_needs_no_content_type(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{API}/tickets")).status_code == 200
    assert (await client.delete(f"{API}/session")).status_code == 200


async def test_any_kind_of_json_is_json(client: httpx.AsyncClient) -> None:
    for media_type in ("application/json; charset=utf-8", "application/vnd.ci+json", "Application/JSON"):
        answer = await client.post(f"{API}/logs", content=b"[]", headers={"Content-Type": media_type})
        assert answer.status_code == 200
