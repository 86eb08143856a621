from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from featurewatch import tokens
from featurewatch.bridge.security import HEADERS

from .calling import operations
from .running import API, bridge, serving

pytestmark = pytest.mark.anyio
ORIGIN = "https://app.example.com"


@pytest.mark.parametrize("path", ["/", "/healthz", f"{API}/features", f"{API}/nowhere", "/boot.js"])
async def test_every_answer_tells_browsers_what_not_to_do(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert set(map(str.lower, HEADERS)) <= set(answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_endpoint_does_whatever_it_answers(client: httpx.AsyncClient) -> None:
    """Where all goes well, where the method is wrong, the credential, the Host or the Origin."""
    seen = set()
    for operation in operations(client.app.openapi()):  # type: ignore[attr-defined]  # see running
        if operation.path.endswith("/stream"):
            continue  # below, over a real server
        call = operation.call("nowhere")
        tries: list[tuple[str, dict[str, str]]] = [
            (operation.method, {}), ("PATCH", {}), (operation.method, {"Origin": "https://evil.example"}),
        ]  # fmt: skip
        for method, more in tries:
            headers = {**call.get("headers", {}), **more}
            answer = await client.request(**{**call, "method": method, "headers": headers})
            assert set(map(str.lower, HEADERS)) <= set(answer.headers), f"{operation} {more}: {answer.status_code}"
            seen.add(answer.status_code)
    assert {200, 204, 403, 404, 405, 426} <= seen


async def test_a_mistake_of_the_bridge_is_answered_with_them_too_and_shows_nothing(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bridge(tmp_path, allowed_origins=ORIGIN) as client:

        async def fail() -> None:
            raise RuntimeError("the secret of the state")

        monkeypatch.setattr(client.app.state.bridge.stores.state, "features", fail)  # type: ignore[attr-defined]
        answer = await client.get(f"{API}/features", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "secret" not in answer.text
        assert set(map(str.lower, HEADERS)) <= set(answer.headers)
        assert answer.headers["access-control-allow-origin"] == ORIGIN, "else a page would be told of a network error"


def test_streams_the_console_and_refusals_of_the_server_have_them(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        httpx.post(f"{url}{API}/logs", json={"featureId": "chat", "message": "x"}).raise_for_status()
        console = ("/", "/main.js", "/css/base.css")
        pages = ("/",)
        streams = (f"{API}/features/chat/{name}/stream" for name in ("metrics", "logs"))
        for path in (*console, *streams, "/metrics", f"{API}/openapi.json", f"{API}/logs/export?feature_id=chat"):
            with httpx.stream("GET", url + path, timeout=20) as answer:
                assert answer.status_code == 200, path
                assert set(map(str.lower, HEADERS)) <= set(answer.headers), path
                policy = answer.headers["content-security-policy"]
                assert ("script-src 'self'" in policy) == (path in pages), path


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


@pytest.mark.parametrize("origin", ["HTTPS://App.Example.com:443", "https://app.example.com/"])
async def test_an_origin_is_allowed_however_it_is_written_in_the_setting(
    anyio_backend: str, tmp_path: Path, origin: str
) -> None:
    async with bridge(tmp_path, allowed_origins=origin) as client:
        answer = await client.get(f"{API}/features", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin", ["https://app.example.com.evil.example", "http://app.example.com", "null", "https://app.example.com:8443"]
)
async def test_no_other_origin_is(anyio_backend: str, tmp_path: Path, origin: str) -> None:
    async with bridge(tmp_path, allowed_origins=ORIGIN) as client:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        for answer in (
            await client.get(f"{API}/features", headers=asked),
            await client.options(f"{API}/features", headers=asked),
        ):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_needs_no_credential_and_leads_to_no_route(anyio_backend: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    tokens.create(file, role="admin")
    async with bridge(tmp_path, allowed_origins=ORIGIN, api_tokens_file=file) as client:
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "authorization,content-type,if-match,last-event-id",
        }
        answer = await client.options(f"{API}/features/chat", headers=asked)
        assert (answer.status_code, answer.headers["access-control-max-age"]) == (200, "600")
        assert "DELETE" in answer.headers["access-control-allow-methods"]
        asked["Access-Control-Request-Headers"] = "x-anything"
        assert (await client.options(f"{API}/features/chat", headers=asked)).status_code == 400


async def test_a_session_behind_a_proxy_that_ends_tls_is_for_https_alone(client: httpx.AsyncClient) -> None:
    for headers, secure in (
        ({}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "https://localhost"}, True),
        ({"X-Forwarded-Proto": "https"}, True),
    ):
        answer = await client.post(f"{API}/session", json={"token": "any"}, headers=headers)
        assert ("; Secure" in answer.headers["set-cookie"]) == secure, headers


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
