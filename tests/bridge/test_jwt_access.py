"""JWTs on every way into a bridge: header, cookie, session, ticket, WebSocket, event stream; and their end."""

from __future__ import annotations

import asyncio
import collections
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from featurewatch import tokens
from featurewatch.times import NS

from .issuers import HS256, SigningKey, claims, issuer, signed
from .running import API, bridge, client_of, serving

pytestmark = pytest.mark.anyio

COOKIE = "sb-project-auth-token"
KEY = SigningKey("ES256", "key")
LINE = {"featureId": "chat", "message": "hello", "environment": "production"}


def jwt(role: str = "viewer", features: tuple[str, ...] = ("*",), *, lasts_s: float = 3600, **more: Any) -> str:
    granted = {"featurewatch": {"role": role, "features": list(features)}}
    return signed(claims(more.pop("now_s", time.time()), lasts_s=lasts_s, app_metadata=granted, **more))


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def as_supabase_keeps_it(text: str) -> str:
    session = json.dumps({"access_token": text, "refresh_token": "r", "user": {"id": "1", "about": "x" * 5000}})
    value = "base64-" + urlsafe_b64encode(session.encode()).decode().rstrip("=")
    half = len(value) // 2
    return f"{COOKIE}.0={quote(value[:half])}; {COOKIE}.1={quote(value[half:])}"


@pytest.fixture
async def client(anyio_backend: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A bridge that takes JWTs and API tokens, with one line of `chat` and one of `search`."""
    file = tmp_path / "tokens.json"
    token = tokens.create(file, role="admin", name="ci")[1]
    settings = {**HS256, "auth_cookie": COOKIE, "allowed_origins": "https://app.example.com"}
    async with bridge(tmp_path, api_tokens_file=file, **settings) as client:
        lines = [{**LINE, "featureId": name} for name in ("chat", "search")]
        assert (await client.post(f"{API}/logs", json=lines, headers=bearer(token))).status_code == 200
        client.token = token  # type: ignore[attr-defined]  # for the one test that compares
        yield client


async def test_a_jwt_is_a_credential_beside_api_tokens(client: httpx.AsyncClient) -> None:
    me = (await client.get(f"{API}/me", headers=bearer(jwt("operator", ("ch*",))))).json()
    assert (me["name"], me["role"], me["features"]) == ("ada@example.com", "operator", ["ch*"])
    assert me["actions"] == ["act", "read"]
    assert me["expires_at"].endswith("Z")
    assert (await client.get(f"{API}/me", auth=("any", jwt()))).json()["role"] == "viewer"
    assert (await client.get(f"{API}/me", headers=bearer(client.token))).json()["name"] == "ci"  # type: ignore[attr-defined]


async def test_its_role_and_features_decide(client: httpx.AsyncClient) -> None:
    headers = bearer(jwt("viewer", ("ch*",)))
    assert (await client.get(f"{API}/features/chat", headers=headers)).status_code == 200
    assert (await client.get(f"{API}/features/search", headers=headers)).status_code == 404
    assert [feature["id"] for feature in (await client.get(f"{API}/features", headers=headers)).json()["features"]] == [
        "chat"
    ]
    assert (await client.put(f"{API}/features/chat", json={}, headers=headers)).status_code == 403
    assert (await client.get("/metrics", headers=headers)).status_code == 403
    ingest = bearer(jwt("ingest", ("ch*",)))
    assert (await client.post(f"{API}/logs", json=LINE, headers=ingest)).status_code == 200
    assert (await client.post("/v1/logs", json={}, headers=ingest)).status_code == 200


async def test_without_the_claim_it_is_403_and_says_what_is_missing(client: httpx.AsyncClient) -> None:
    anon = signed({"iss": claims(0)["iss"], "aud": "authenticated", "role": "anon", "exp": time.time() + 10**8})
    answer = await client.get(f"{API}/features", headers=bearer(anon))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert '"featurewatch": {"role": "viewer", "features": ["*"]}' in answer.json()["error"]
    assert (await client.get(f"{API}/me", headers=bearer(anon))).status_code == 403
    assert (await client.post(f"{API}/session", json={"token": anon})).status_code == 403


@pytest.mark.parametrize(
    "text", [jwt(lasts_s=-60), signed(claims(time.time()), secret="y" * 40), "a.b.c", "eyJ", jwt() + "é"]
)
async def test_a_jwt_that_does_not_hold_is_401_and_is_not_shown(client: httpx.AsyncClient, text: str) -> None:
    answer = await client.get(f"{API}/features", headers={"Authorization": f"Bearer {text}".encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert text not in answer.text


async def test_many_with_one_that_is_over_are_not_held_up_but_guesses_are(client: httpx.AsyncClient) -> None:
    over, forged = bearer(jwt(lasts_s=-60)), bearer(signed(claims(time.time()), secret="y" * 40))
    assert {(await client.get(f"{API}/me", headers=over)).status_code for _ in range(40)} == {401}
    guesses = [(await client.get(f"{API}/me", headers=forged)).status_code for _ in range(21)]
    assert guesses == [401] * 20 + [429]
    assert (await client.get(f"{API}/me", headers=bearer(jwt()))).status_code == 200


async def test_a_session_and_a_ticket_stand_for_the_jwt_and_end_with_it(client: httpx.AsyncClient) -> None:
    browser = client_of(client.app)  # type: ignore[attr-defined]  # see running
    opened = await browser.post(f"{API}/session", json={"token": jwt("viewer", ("chat",), lasts_s=600)})
    assert opened.status_code == 200
    assert 600 <= int(opened.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0]) <= 611
    assert (await browser.get(f"{API}/me")).json()["features"] == ["chat"]
    issued = (await browser.post(f"{API}/tickets")).json()
    authenticator = client.app.state.bridge.authenticator  # type: ignore[attr-defined]
    assert (await authenticator.from_headers({}, ticket=issued["ticket"])).patterns == ("chat",)


@pytest.mark.parametrize("origin", ["http://localhost", "https://app.example.com"])
async def test_the_cookie_of_another_app_carries_it(client: httpx.AsyncClient, origin: str) -> None:
    cookie = as_supabase_keeps_it(jwt("operator"))
    headers = {"Cookie": cookie, "Origin": origin}
    assert (await client.get(f"{API}/me", headers=headers)).json()["role"] == "operator"
    assert (await client.post(f"{API}/tickets", headers=headers)).status_code == 200
    assert (await client.get(f"{API}/me", headers={"Cookie": f"{COOKIE}={jwt()}"})).json()["role"] == "viewer"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 401),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 401),
        ("GET", {"Origin": "https://evil.example"}, 403),
        ("POST", {}, 401),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 401),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "http://localhost"}, 200),
    ],
)
async def test_that_cookie_counts_only_where_a_page_that_may_call_asks(
    client: httpx.AsyncClient, method: str, headers: dict[str, str], status: int
) -> None:
    """Unlike our own (SameSite=Strict) it may come along with requests of any site."""
    path = "/me" if method == "GET" else "/tickets"
    answer = await client.request(method, API + path, headers={"Cookie": f"{COOKIE}={jwt()}", **headers})
    assert answer.status_code == status, answer.text


async def test_a_cookie_whose_jwt_is_over_is_no_credential(client: httpx.AsyncClient) -> None:
    for _ in range(30):
        answer = await client.get(f"{API}/me", headers={"Cookie": as_supabase_keeps_it(jwt(lasts_s=-60))})
        assert answer.status_code == 401
        assert "missing, or over" in answer.json()["error"]


async def test_keys_of_an_issuer_rotate_while_the_bridge_runs(anyio_backend: str, tmp_path: Path) -> None:
    with issuer() as told:
        told.status = 503
        async with bridge(tmp_path, **{**HS256, "jwt_secret": None, "jwt_jwks_url": told.url}) as client:
            mine = bearer(KEY.sign(claims(time.time())))
            waiting = (await client.get(f"{API}/me", headers=mine), await client.get("/readyz"))
            assert [answer.status_code for answer in waiting] == [503, 503]
            assert waiting[1].json()["checks"]["jwt_keys"] == {"ok": False}
            down = await client.get(f"{API}/me", headers=mine)
            assert (down.status_code, down.headers["retry-after"]) == (503, "5")
            verifier = client.app.state.bridge.authenticator.verifier  # type: ignore[attr-defined]
            verifier.keys._tried_ns -= 60 * NS
            told.status = 200
            told.publish(KEY)
            assert (await client.get(f"{API}/me", headers=mine)).json()["name"] == "ada@example.com"
            assert (await client.get("/readyz")).json()["checks"]["jwt_keys"] == {"ok": True}
            admin = bearer(KEY.sign(claims(time.time(), featurewatch={"role": "admin", "features": ["*"]})))
            text = (await client.get("/metrics", headers=admin)).text
            assert "featurewatch_jwks_keys 1.0" in text
            assert 'featurewatch_jwks_fetches_total{result="failed"} 1.0' in text


async def test_a_bridge_with_jwts_alone_says_that_it_takes_no_api_tokens(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, **HS256) as client:
        answer = await client.get(f"{API}/me", headers=bearer("fw_abcdefgh_secret"))
        assert (answer.status_code, "takes JWTs, no API tokens" in answer.json()["error"]) == (401, True)
        assert "Bearer <JWT>" in (await client.get(f"{API}/me")).json()["error"]


# Over a real server, with a clock that the test moves.


class Clock:
    """The time of day, and what the test adds to it."""

    ahead_s = 0.0

    def __call__(self) -> int:
        return time.time_ns() + int(self.ahead_s * NS)

    @property
    def now_s(self) -> float:
        return self() / NS


@contextmanager
def address(folder: Path, clock: Callable[[], int], **settings: Any) -> Iterator[str]:
    with serving(folder, clock=clock, **HS256, auth_cookie=COOKIE, **settings) as url:
        now_s = clock() / NS
        httpx.post(f"{url}{API}/logs", json=LINE, headers=bearer(jwt("ingest", now_s=now_s))).raise_for_status()
        yield url


def opened(url: str, query: str = "featureId=chat", **headers: str) -> ClientConnection:
    return connect(f"ws{url[4:]}{API}/websocket?{query}", proxy=None, additional_headers=headers)


def until(socket: ClientConnection, type_: str) -> dict[str, Any]:
    while True:
        told: dict[str, Any] = json.loads(socket.recv(15))
        if told["type"] == type_:
            return told


def ended(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        collections.deque(iter(lambda: socket.recv(15), None), 0)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[str]:
    with address(tmp_path_factory.mktemp("jwt"), clock) as url:
        yield url


def test_a_socket_opens_by_header_cookie_ticket_or_first_message(url: str, clock: Clock) -> None:
    text = jwt(now_s=clock.now_s)
    ticket = httpx.post(f"{url}{API}/tickets", headers=bearer(text)).json()["ticket"]
    session = httpx.post(f"{url}{API}/session", json={"token": text}).headers["set-cookie"].partition(";")[0]
    for socket in (
        opened(url, Authorization=f"Bearer {text}"),
        opened(url, Cookie=as_supabase_keeps_it(text), Origin=url),
        opened(url, Cookie=session),
        opened(url, f"featureId=chat&ticket={ticket}"),
    ):
        with socket:
            assert until(socket, "connection_confirmed")["data"]["featureIds"] == ["chat"]
    with opened(url) as socket:
        socket.send(json.dumps({"type": "subscribe_logs"}))
        assert until(socket, "error")["data"]["code"] == "unauthenticated"
        socket.send(json.dumps({"type": "auth", "token": text}))
        assert until(socket, "connection_confirmed")["data"]["connected"] is True


@pytest.mark.parametrize(
    ("query", "headers", "says"),
    [
        ("featureId=chat", {"Authorization": "Bearer a.b.c"}, "the JWT is damaged"),
        ("featureId=chat&ticket=guess", {}, "the ticket was used before"),
        ("featureId=chat", {"Cookie": f"{COOKIE}=JWT"}, "counts only where the browser says"),
        ("featureId=chat", {"Cookie": f"{COOKIE}=NO-CLAIM", "Origin": "OWN"}, "says nothing of featurewatch"),
        ("featureId=chat", {"Authorization": "Bearer INGEST"}, "may not read streams"),
    ],
)
def test_a_socket_with_a_wrong_credential_is_told_and_closed_with_1008(
    url: str, clock: Clock, query: str, headers: dict[str, str], says: str
) -> None:
    known = {
        "NO-CLAIM": signed(claims(clock.now_s, app_metadata={})),
        "INGEST": jwt("ingest", now_s=clock.now_s),
        "JWT": jwt(now_s=clock.now_s),
        "OWN": url,
    }
    for name, text in known.items():
        headers = {header: value.replace(name, text) for header, value in headers.items()}
    with opened(url, query, **headers) as socket:
        code, reason = ended(socket)
        assert code == 1008
        assert says in reason


def test_a_socket_of_a_foreign_page_gets_nothing_by_the_cookie(url: str, clock: Clock) -> None:
    with pytest.raises(Exception, match="403"):
        opened(url, Cookie=f"{COOKIE}={jwt(now_s=clock.now_s)}", Origin="https://evil.example")


def test_a_jwt_that_ends_leaves_30_seconds_for_another(url: str, clock: Clock) -> None:
    with opened(url, Authorization=f"Bearer {jwt(lasts_s=60, now_s=clock.now_s)}") as socket:
        until(socket, "metrics_update")
        clock.ahead_s += 75
        told = until(socket, "error")
        assert told["data"]["code"] == "unauthenticated"
        assert "send a new 'auth' within 30 s" in told["data"]["message"]
        socket.send(json.dumps({"type": "auth", "token": jwt(lasts_s=-60, now_s=clock.now_s)}))
        assert "is over since" in until(socket, "error")["data"]["message"]
        socket.send(json.dumps({"type": "auth", "token": jwt(now_s=clock.now_s)}))
        socket.send(json.dumps({"type": "ping"}))
        until(socket, "pong")
        clock.ahead_s += 60
        until(socket, "metrics_update")
        socket.send(json.dumps({"type": "ping"}))
        until(socket, "pong")


def test_a_socket_that_sends_no_other_is_closed_with_1008(url: str, clock: Clock) -> None:
    with opened(url, Authorization=f"Bearer {jwt(lasts_s=60, now_s=clock.now_s)}") as socket:
        until(socket, "metrics_update")
        clock.ahead_s += 75
        until(socket, "error")
        clock.ahead_s += 31
        assert ended(socket) == (1008, "the credential ended and was not renewed")


def test_a_new_jwt_that_grants_less_shows_less(url: str, clock: Clock) -> None:
    httpx.post(
        f"{url}{API}/logs", json={**LINE, "featureId": "search"}, headers=bearer(jwt("ingest", now_s=clock.now_s))
    ).raise_for_status()
    with opened(url, "featureId=*", Authorization=f"Bearer {jwt(lasts_s=60, now_s=clock.now_s)}") as socket:
        assert set(until(socket, "connection_confirmed")["data"]["featureIds"]) == {"chat", "search"}
        socket.send(json.dumps({"type": "auth", "token": jwt(features=("chat",), now_s=clock.now_s)}))
        socket.send(json.dumps({"type": "ping"}))
        until(socket, "pong")
        assert {until(socket, "metrics_update")["featureId"] for _ in range(4)} == {"chat"}


@pytest.mark.parametrize("path", ["metrics/stream", "logs/stream"])
def test_an_event_stream_says_that_its_jwt_ended_and_ends(url: str, clock: Clock, path: str) -> None:
    headers = bearer(jwt(lasts_s=60, now_s=clock.now_s))
    with httpx.stream("GET", f"{url}{API}/features/chat/{path}", headers=headers, timeout=15) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        assert '"connected"' in next(lines)
        clock.ahead_s += 75
        told = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert (told[-1]["type"], told[-1]["data"]["code"]) == ("error", "unauthenticated")
    assert httpx.get(f"{url}{API}/features/chat/{path}", headers=headers).status_code == 401


def test_a_key_that_is_withdrawn_ends_the_streams_it_opened(tmp_path: Path) -> None:
    clock = Clock()
    with issuer() as told:
        told.publish(KEY)
        settings = {"jwt_jwks_url": told.url}
        with address(tmp_path, clock, **settings) as url:
            text = KEY.sign(claims(clock.now_s, lasts_s=10**6))
            with opened(url, Authorization=f"Bearer {text}") as socket:
                until(socket, "metrics_update")
                told.publish(SigningKey("ES256", "another"))
                clock.ahead_s += 601
                assert until(socket, "error")["data"]["code"] == "unauthenticated"
                clock.ahead_s += 31
                assert ended(socket)[0] == 1008


def test_a_token_that_is_revoked_ends_the_streams_it_opened(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "tokens.json"
    token, text = tokens.create(file, role="viewer")
    with address(tmp_path, clock, api_tokens_file=file) as url, opened(url, Authorization=f"Bearer {text}") as socket:
        until(socket, "metrics_update")
        tokens.revoke(file, token.id)
        assert until(socket, "error")["data"]["code"] == "unauthenticated"
        clock.ahead_s += 31
        assert ended(socket)[0] == 1008


def test_while_the_issuer_is_down_a_socket_is_asked_to_come_back(tmp_path: Path) -> None:
    with issuer() as told:
        told.status = 503
        with address(tmp_path, time.time_ns, jwt_jwks_url=told.url) as url:
            with opened(url, Authorization=f"Bearer {KEY.sign(claims(time.time()))}") as socket:
                assert ended(socket)[0] == 1013
            with opened(url) as socket:
                for _ in range(7):
                    socket.send(json.dumps({"type": "auth", "token": KEY.sign(claims(time.time()))}))
                    assert until(socket, "error")["data"]["code"] == "unavailable"


async def test_sessions_are_many_at_once(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.get(f"{API}/me", headers=bearer(jwt(sub=str(number), email=None))) for number in range(50))
    )
    assert sorted(int(answer.json()["name"]) for answer in answers) == list(range(50))
