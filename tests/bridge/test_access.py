"""Roles and features over HTTP, with a real file of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from featurewatch import tokens
from featurewatch.model import Role

from .running import API, bridge, client_of

pytestmark = pytest.mark.anyio


class Callers:
    """Clients by the name of their token."""

    def __init__(self, admin: httpx.AsyncClient, secrets: dict[str, str]) -> None:
        self.app: Any = admin.app  # type: ignore[attr-defined]  # see client_of
        self.secrets = secrets

    def by(self, name: str) -> httpx.AsyncClient:
        return client_of(self.app, **({"Authorization": f"Bearer {self.secrets[name]}"} if name else {}))


@pytest.fixture
async def callers(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Callers]:
    file = tmp_path / "tokens.json"
    roles: list[tuple[str, Role, tuple[str, ...]]] = [
        ("admin", "admin", ("*",)),
        ("viewer", "viewer", ("*",)),
        ("editor", "editor", ("*",)),
        ("ingest", "ingest", ("*",)),
        ("chat-viewer", "viewer", ("chat*",)),
        ("chat-ingest", "ingest", ("chat*",)),
        ("chat-editor", "editor", ("chat*",)),
    ]
    secrets = {name: tokens.create(file, name=name, role=role, features=features)[1] for name, role, features in roles}
    async with bridge(tmp_path, api_tokens_file=file) as client:
        callers = Callers(client, secrets)
        lines = [{"id": name, "featureId": name, "message": "x"} for name in ("chat", "search")]
        assert (await callers.by("ingest").post(f"{API}/logs", json=lines)).status_code == 200
        yield callers


RULES: Final[list[tuple[str, str, str, Any, int]]] = [
    ("", "GET", "/features", None, 401),
    ("", "POST", "/logs", [], 401),
    ("", "GET", "/me", None, 401),
    ("viewer", "GET", "/features", None, 200),
    ("viewer", "POST", "/logs", [], 403),
    ("viewer", "PUT", "/features/chat", {}, 403),
    ("viewer", "POST", "/tickets", None, 200),
    ("ingest", "GET", "/features", None, 403),
    ("ingest", "GET", "/me", None, 200),
    ("ingest", "POST", "/features/chat/requests", [], 200),
    ("editor", "PUT", "/features/chat", {}, 200),
    ("editor", "POST", "/features/chat/requests", [], 403),
    ("admin", "POST", "/features/chat/test-results", [], 200),
    ("chat-viewer", "GET", "/features/chat", None, 200),
    ("chat-viewer", "GET", "/features/search", None, 404),
    ("chat-viewer", "GET", "/logs?feature_id=search", None, 404),
    ("chat-viewer", "GET", "/logs/search", None, 404),
    ("chat-viewer", "GET", "/logs/chat", None, 200),
    ("chat-viewer", "GET", "/logs/export?feature_id=search", None, 404),
    ("chat-viewer", "GET", "/metrics/current?feature_id=search", None, 404),
    ("chat-viewer", "GET", "/features/search/metrics/stream", None, 404),
    ("chat-editor", "PUT", "/features/search", {}, 404),
    ("chat-editor", "DELETE", "/features/search", None, 404),
    ("chat-ingest", "POST", "/logs", [{"featureId": "search", "message": "y"}], 403),
    ("chat-ingest", "POST", "/features/search/requests", {"outcome": "success", "duration_ms": 1}, 403),
    ("chat-ingest", "POST", "/features/search/test-results", {"name": "n", "ok": True}, 403),
]


async def test_a_role_and_its_features_decide(callers: Callers) -> None:
    for caller, method, path, body, status in RULES:
        answer = await callers.by(caller).request(method, API + path, json=body)
        assert answer.status_code == status, f"{caller} {method} {path}: {answer.text}"
        assert status != 401 or answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_hidden_feature_is_told_just_as_one_that_does_not_exist(callers: Callers) -> None:
    client = callers.by("chat-viewer")
    hidden = await client.get(f"{API}/features/search")
    absent = await client.get(f"{API}/features/nowher")
    assert hidden.json()["error"].replace("search", "nowher") == absent.json()["error"]


async def test_lists_show_what_the_caller_sees(callers: Callers) -> None:
    client = callers.by("chat-viewer")
    listed = (await client.get(f"{API}/features")).json()["features"]
    current = (await client.get(f"{API}/metrics/current")).json()["data"]
    assert [feature["id"] for feature in listed] == [shown["featureId"] for shown in current] == ["chat"]


async def test_the_bridges_metrics_are_for_those_who_see_all_features(callers: Callers) -> None:
    statuses = [
        (await callers.by(name).get("/metrics")).status_code for name in ("", "ingest", "chat-viewer", "viewer")
    ]
    assert statuses == [401, 403, 403, 200]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
async def test_health_and_the_console_need_no_credential(callers: Callers, path: str) -> None:
    assert (await callers.by("").get(path)).status_code == 200


async def test_otlp_and_loki_refuse_in_their_own_protocols(callers: Callers) -> None:
    otlp = await callers.by("").post("/v1/logs", json={})
    assert (otlp.status_code, otlp.json()["code"]) == (401, 16)
    loki = await callers.by("viewer").post("/loki/api/v1/push", json={"streams": []})
    assert (loki.status_code, loki.headers["content-type"]) == (403, "text/plain; charset=utf-8")


async def test_a_session_stands_for_the_token(callers: Callers) -> None:
    browser = callers.by("")
    opened = await browser.post(f"{API}/session", json={"token": callers.secrets["chat-viewer"]})
    assert opened.json()["success"] is True
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert callers.secrets["chat-viewer"] not in cookie
    me = (await browser.get(f"{API}/me")).json()
    assert (me["name"], me["role"], me["features"], me["actions"]) == ("chat-viewer", "viewer", ["chat*"], ["read"])
    await browser.delete(f"{API}/session")
    assert (await browser.get(f"{API}/me")).status_code == 401


async def test_a_wrong_token_opens_nothing_and_is_not_shown(callers: Callers) -> None:
    answer = await callers.by("").post(f"{API}/session", json={"token": "fw_secret_guess"})
    assert answer.status_code == 401
    assert "secret_guess" not in answer.text
    assert "set-cookie" not in answer.headers


async def test_a_ticket_is_for_streams_and_spent_nowhere_else(callers: Callers) -> None:
    issued = (await callers.by("viewer").post(f"{API}/tickets")).json()
    assert set(issued) == {"ticket", "expires_at"}
    elsewhere = await callers.by("").get(f"{API}/features", params={"ticket": issued["ticket"]})
    assert elsewhere.status_code == 401
    authenticator = callers.app.state.bridge.authenticator
    principal = await authenticator.from_headers({}, ticket=issued["ticket"])
    assert principal.name == "viewer"


async def test_without_authentication_anyone_is_admin(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path) as client:
        me = (await client.get(f"{API}/me")).json()
        assert (me["name"], me["role"], me["authentication"]) == ("anonymous", "admin", False)
