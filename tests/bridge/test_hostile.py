"""Hostile credentials on every way in: nothing is a mistake of the bridge, nothing is let in, nothing is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import string
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from featurewatch import tokens
from featurewatch.bridge.app import create_app
from featurewatch.commands.journal import QUIET

from .issuers import HS256, SECRET, claims, encoded, signed
from .running import API, client_of, serving, settings_in

COOKIE: Final = "sb-project-auth-token"
NEEDLE: Final = "NeEdLe9"
"""Stands in every credential that is tried; no answer and no log may contain it."""

HELD: Final = dict(claims(time.time()), featurewatch={"role": "admin", "features": ["*"]})


class Bridge:
    """A bridge in an event loop of its own, so that each example of a property can ask it."""

    def __init__(self, folder: Path) -> None:
        file = folder / "tokens.json"
        self.token = tokens.create(file, role="admin", name="admin")[1]
        self.loop = asyncio.new_event_loop()
        self.app = create_app(
            settings_in(
                folder, api_tokens_file=file, auth_cookie=COOKIE, query_rate=0, ingest_rate=0,
                allowed_hosts="xn--bcher-kva.example", **HS256,
            )
        )  # fmt: skip
        self.lifespan = self.app.router.lifespan_context(self.app)
        self.loop.run_until_complete(self.lifespan.__aenter__())
        self.client = client_of(self.app)

    def close(self) -> None:
        self.loop.run_until_complete(self.lifespan.__aexit__(None, None, None))
        self.loop.close()

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        # A bridge that is guessed at answers 429 soon; here each guess has to be looked at.
        self.app.state.bridge.authenticator._throttle._buckets._full_at.clear()
        self.client.cookies.clear()
        return self.loop.run_until_complete(self.client.request(method, path, **given))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    bridge = Bridge(tmp_path_factory.mktemp("hostile"))
    yield bridge
    bridge.close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Assert that no log, as verbose as `serve --verbose` makes it, repeats what was tried."""
    caplog.set_level(logging.DEBUG)
    for name in QUIET:
        caplog.set_level(logging.WARNING, name)
    yield
    said = caplog.text
    assert NEEDLE not in said
    assert SECRET not in said
    assert "Traceback" not in said


BYTES: Final = st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\r\n\0"))
"""What a header may hold on the wire; servers refuse line breaks themselves."""
TEXT: Final = st.text(max_size=60)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES: Final = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "cty", "zip", "enc", "epk"])
ALGORITHMS: Final = st.sampled_from(
    [
        "none",
        "None",
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "PS256",
        "ES256",
        "ES256K",
        "EdDSA",
        "dir",
        "A128KW",
        "",
        None,
        0,
    ]
)
SEGMENT: Final = st.one_of(
    JSON.map(lambda value: encoded(json.dumps(value).encode())),
    st.binary(max_size=40).map(encoded),
    st.text(alphabet=string.ascii_letters + string.digits + "-_=+/ %", max_size=40),
)
HEADER: Final = st.tuples(st.dictionaries(NAMES, JSON, max_size=3), ALGORITHMS).map(
    lambda told: {"alg": told[1], **told[0]}
)


VISIBLE: Final = st.characters(exclude_categories=["Zs", "Zl", "Zp", "Cc"])
"""Whitespace around a credential is nothing."""


@st.composite
def jwts(draw: st.DrawFn) -> str:
    """Make texts that are nearly JWTs: none is signed by the bridge's secret as it says."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return ".".join(draw(st.lists(SEGMENT, min_size=1, max_size=5)))
    if kind == 1:
        return signed({**HELD, "jti": NEEDLE}, secret=draw(st.text(max_size=40)) + "!", **draw(HEADER))
    whole = signed({**HELD, "jti": NEEDLE})
    if kind == 2:
        at = draw(st.integers(0, len(whole) - 3))
        return whole[:at] + draw(st.text(alphabet=VISIBLE, min_size=1, max_size=3)) + whole[at:]
    parts = whole.split(".")
    parts[draw(st.integers(0, 1))] = draw(SEGMENT)
    return ".".join(parts)


def is_refusal(answer: httpx.Response) -> None:
    assert answer.status_code in (400, 401, 403, 415), answer.text
    assert NEEDLE not in answer.text
    assert NEEDLE not in str(answer.headers)
    assert SECRET not in answer.text


CALM: Final = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@CALM
@given(scheme=st.sampled_from(["Bearer ", "bearer", "Basic ", "Token ", "", "Bearer Bearer "]), value=BYTES)
def test_authorization_of_any_bytes(running: Bridge, scheme: str, value: bytes) -> None:
    header = scheme.encode() + NEEDLE.encode() + value
    is_refusal(running.ask("GET", f"{API}/me", headers={"Authorization": header}))
    basic = b"Basic " + b64encode(value + b":" + NEEDLE.encode() + value)
    is_refusal(running.ask("GET", f"{API}/me", headers={"Authorization": basic}))


@CALM
@given(text=jwts())
def test_texts_that_are_nearly_jwts(running: Bridge, text: str) -> None:
    header = f"Bearer {text}".encode("utf-8", "surrogatepass").translate(None, b"\r\n\0")
    is_refusal(running.ask("GET", f"{API}/features", headers={"Authorization": header}))
    body = json.dumps({"token": text or "x"})
    is_refusal(running.ask("POST", f"{API}/session", content=body, headers={"Content-Type": "application/json"}))
    cookie = f"{COOKIE}={quote(text, errors='replace')}"
    is_refusal(running.ask("GET", f"{API}/features", headers={"Cookie": cookie}))


@CALM
@given(
    name=st.sampled_from([COOKIE, f"{COOKIE}.0", f"{COOKIE}.0=a; {COOKIE}.1", "featurewatch_session_8400", "x", ""]),
    prefix=st.sampled_from(["", "base64-", "%7B", "[", '{"access_token":"']),
    value=BYTES,
)
def test_cookies_of_any_bytes(running: Bridge, name: str, prefix: str, value: bytes) -> None:
    header = f"{name}={prefix}{NEEDLE}".encode() + value
    for method in ("GET", "POST"):
        path = "/features" if method == "GET" else "/tickets"
        is_refusal(running.ask(method, API + path, headers={"Cookie": header, "Origin": "http://localhost"}))


@CALM
@given(value=TEXT)
def test_tickets_of_any_text(running: Bridge, value: str) -> None:
    ticket = quote(NEEDLE + value, errors="replace")
    is_refusal(running.ask("GET", f"{API}/features/chat/metrics/stream?ticket={ticket}"))
    is_refusal(running.ask("GET", f"{API}/features/chat/logs/stream?ticket={ticket}&ticket={ticket}"))


@CALM
@given(body=JSON | st.fixed_dictionaries({"token": JSON}))
def test_sessions_opened_with_anything(running: Bridge, body: Any) -> None:
    content = json.dumps(body).encode()
    answer = running.ask("POST", f"{API}/session", content=content, headers={"Content-Type": "application/json"})
    is_refusal(answer)
    assert "set-cookie" not in answer.headers


@CALM
@given(host=BYTES, origin=BYTES, kind=BYTES)
def test_host_origin_and_content_type_of_any_bytes(running: Bridge, host: bytes, origin: bytes, kind: bytes) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {running.token}"}
    assert running.ask("GET", f"{API}/me", headers=headers).status_code in (200, 403)
    for prefix in (b"", b"https://"):
        answer = running.ask("POST", f"{API}/tickets", headers={"Origin": prefix + origin})
        assert answer.status_code in (401, 403)
    answer = running.ask("POST", f"{API}/session", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code in (400, 401, 415)


@CALM
@given(granted=JSON)
def test_claims_of_anything_let_nobody_in_by_mistake(running: Bridge, granted: Any) -> None:
    """The signature is right; what the issuer wrote may be anything."""
    text = signed({**HELD, "featurewatch": granted, "app_metadata": {}, "email": NEEDLE * 2, "sub": "1"})
    answer = running.ask("GET", f"{API}/features", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 403


def received(socket: ClientConnection) -> list[Any]:
    """Read to the end of a socket that the bridge closes."""
    frames = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            frames.append(socket.recv(20))
    return frames


def test_what_is_tried_over_a_socket_ends_nothing_but_the_socket(tmp_path: Path) -> None:
    """Each message that is no credential is answered; five wrong ones close the socket; the bridge goes on."""
    file = tmp_path / "tokens.json"
    token = tokens.create(file, role="viewer")[1]
    tries: list[Any] = [
        {"type": "auth"},
        {"type": "auth", "token": None},
        {"type": "auth", "token": [NEEDLE]},
        {"type": "auth", "token": NEEDLE * 3000},
        {"type": "subscribe_logs", "featureId": NEEDLE},
        {"type": "auth", "token": f"fw_{NEEDLE}_\ud800"},
        {"type": "auth", "token": f"\ud800.{NEEDLE}."},
        {"type": "auth", "token": f"a.{NEEDLE}.c"},
        {"type": "auth", "data": {"token": signed({**HELD, "jti": NEEDLE}, secret="x" * 40)}},
    ]
    with serving(tmp_path, api_tokens_file=file, **HS256) as url:
        address = f"ws{url[4:]}{API}/websocket?featureId=*"
        with connect(address, proxy=None) as socket:
            told = []
            for message in tries:
                socket.send(json.dumps(message))
                told.append(json.loads(socket.recv(20)))
            for answer in told:
                assert answer["type"] == "error"
                assert NEEDLE not in json.dumps(answer)
            socket.send(json.dumps({"type": "auth", "token": token}))
            assert json.loads(socket.recv(20))["type"] == "connection_confirmed"
        with connect(address, proxy=None) as socket:
            for _ in range(5):
                socket.send(json.dumps({"type": "auth", "token": f"fw_{NEEDLE}_x"}))
            frames = received(socket)
            assert len(frames) == 5
            assert NEEDLE not in "".join(map(str, frames))
            assert socket.close_code == 1008
        for path in (f"/websocket?featureId=*&ticket={NEEDLE}", f"/websocket?featureId=*&token={NEEDLE}"):
            with connect(f"ws{url[4:]}{API}{path}", proxy=None) as socket:
                assert received(socket) == []
                assert socket.close_code == 1008
                assert NEEDLE not in (socket.close_reason or "")
        assert httpx.get(f"{url}/healthz").status_code == 200
