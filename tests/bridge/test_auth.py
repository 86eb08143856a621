"""Who a caller is found to be."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import Any

import pytest

from featurewatch import tokens
from featurewatch.access import ANYONE, Principal
from featurewatch.bridge.auth import Authenticator
from featurewatch.bridge.throttle import Throttle
from featurewatch.bridge.tickets import Vault
from featurewatch.errors import SettingsError, TooMany, Unauthenticated
from featurewatch.settings import Settings
from featurewatch.times import NS

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000 * NS


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def viewer(path: Path, clock: Clock) -> str:
    return tokens.create(path, role="viewer", features=("sum*",), name="wall", clock=clock)[1]


@pytest.fixture
def auth(path: Path, viewer: str, clock: Clock) -> Authenticator:
    return Authenticator.of(Settings(api_tokens_file=path, port=8400), clock=clock)


def is_wall(principal: Principal | None) -> bool:
    return principal is not None and (principal.name, principal.role, principal.patterns) == (
        "wall",
        "viewer",
        ("sum*",),
    )


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def cookie_of(header: str) -> dict[str, str]:
    return {"cookie": f"theme=dark; {header.partition(';')[0]}; other=1"}


async def test_without_a_file_of_tokens_everyone_is_let_in() -> None:
    auth = Authenticator.of(Settings())
    assert not auth.enabled
    assert await auth.from_headers({}) is ANYONE
    assert await auth.from_headers(bearer("nonsense")) is ANYONE
    assert await auth.from_token("anything") is ANYONE
    assert auth.holds(ANYONE)
    assert await auth.from_headers({}, ticket=auth.issue_ticket(ANYONE).text) is ANYONE


async def test_a_file_that_does_not_exist_or_is_broken_is_a_settings_error(path: Path) -> None:
    with pytest.raises(SettingsError, match="token create"):
        Authenticator.of(Settings(api_tokens_file=path))


async def test_a_token_is_taken_as_bearer_and_as_the_password_of_basic(auth: Authenticator, viewer: str) -> None:
    assert auth.enabled
    assert is_wall(await auth.from_token(viewer))
    assert is_wall(await auth.from_headers(bearer(viewer)))
    assert is_wall(await auth.from_headers({"authorization": f"bearer   {viewer}"}))
    basic = base64.b64encode(f"loki:{viewer}".encode()).decode()
    assert is_wall(await auth.from_headers({"authorization": f"Basic {basic}"}))


async def test_a_caller_that_shows_nothing_is_nobody(auth: Authenticator) -> None:
    assert await auth.from_headers({}) is None
    assert await auth.from_headers({"cookie": "theme=dark"}) is None


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer x", "Basic !!!", "Basic eDp5", "Digest a", "Basic //8=", "x"]
)
async def test_a_wrong_authorization_is_refused(auth: Authenticator, authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        await auth.from_headers({"authorization": authorization})


async def test_an_asgi_scope_is_read_by_its_headers_query_and_client(auth: Authenticator, viewer: str) -> None:
    scope: dict[str, Any] = {"type": "websocket", "headers": [(b"authorization", f"Bearer {viewer}".encode())]}
    assert is_wall(await auth.from_scope(scope | {"client": ("127.0.0.1", 5)}))
    ticket = auth.issue_ticket(await auth.from_token(viewer))
    asked = {
        "type": "http",
        "headers": [],
        "client": None,
        "query_string": f"featureId=a&ticket={ticket.text}".encode(),
    }
    assert is_wall(await auth.from_scope(asked))


async def test_a_revoked_token_is_refused_from_the_next_request_on(
    auth: Authenticator, viewer: str, path: Path
) -> None:
    principal = await auth.from_token(viewer)
    session = await auth.open_session(viewer, secure=False)
    ticket = auth.issue_ticket(principal)
    tokens.revoke(path, viewer)
    assert not auth.holds(principal)
    assert await auth.from_headers(cookie_of(session.cookie)) is None
    for attempt in (auth.from_token(viewer), auth.from_headers({}, ticket=ticket.text)):
        with pytest.raises(Unauthenticated):
            await attempt


async def test_a_token_made_while_the_bridge_runs_is_taken(auth: Authenticator, path: Path) -> None:
    _, text = tokens.create(path, role="admin", clock=lambda: NOW)
    assert (await auth.from_token(text)).role == "admin"


async def test_a_broken_file_keeps_the_last_good_tokens(
    auth: Authenticator, viewer: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = f"{path}.good"
    os.rename(path, beside)
    assert is_wall(await auth.from_token(viewer))
    os.symlink("/dev/null", path)
    for _ in range(3):
        assert is_wall(await auth.from_token(viewer))
    assert caplog.text.count("stay valid") == 2
    os.replace(beside, path)
    tokens.revoke(path, viewer)
    with pytest.raises(Unauthenticated):
        await auth.from_token(viewer)


async def test_a_token_that_ends_takes_its_sessions_and_tickets_with_it(
    auth: Authenticator, path: Path, clock: Clock
) -> None:
    _, text = tokens.create(path, role="viewer", expires_s=20, clock=clock)
    principal = await auth.from_token(text)
    session, ticket = await auth.open_session(text, secure=False), auth.issue_ticket(principal)
    assert principal.expires_ns == session.expires_ns == ticket.expires_ns == clock.now + 20 * NS
    clock.pass_(20)
    assert not auth.holds(principal)
    assert await auth.from_headers(cookie_of(session.cookie)) is None
    for attempt in (auth.from_token(text), auth.from_headers({}, ticket=ticket.text)):
        with pytest.raises(Unauthenticated):
            await attempt


# tickets


async def test_a_ticket_opens_one_stream_and_only_one(auth: Authenticator, viewer: str) -> None:
    ticket = auth.issue_ticket(await auth.from_token(viewer))
    assert is_wall(await auth.from_headers({}, ticket=ticket.text))
    with pytest.raises(Unauthenticated, match="used before"):
        await auth.from_headers({}, ticket=ticket.text)


async def test_a_ticket_lives_thirty_seconds(auth: Authenticator, viewer: str, clock: Clock) -> None:
    early, late = [auth.issue_ticket(await auth.from_token(viewer)) for _ in range(2)]
    clock.pass_(29)
    assert is_wall(await auth.from_headers({}, ticket=early.text))
    clock.pass_(1)
    with pytest.raises(Unauthenticated, match="older than 30 s"):
        await auth.from_headers({}, ticket=late.text)


# sessions


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(auth: Authenticator, viewer: str) -> None:
    session = await auth.open_session(viewer, secure=True)
    value, *attributes = session.cookie.split("; ")
    assert value.startswith("featurewatch_session_8400=")
    assert attributes == ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict", "Secure"]
    assert viewer.split("_")[2] not in session.cookie
    assert "Secure" not in (await auth.open_session(viewer, secure=False)).cookie
    assert is_wall(session.principal)
    assert is_wall(await auth.from_headers(cookie_of(session.cookie)))


async def test_a_closed_or_old_session_is_nobody(auth: Authenticator, viewer: str, clock: Clock) -> None:
    closed, old = [await auth.open_session(viewer, secure=False) for _ in range(2)]
    cleared = await auth.close_session(cookie_of(closed.cookie), secure=False)
    assert "Max-Age=0" in cleared
    assert await auth.from_headers(cookie_of(closed.cookie)) is None
    assert is_wall(await auth.from_headers(cookie_of(old.cookie)))
    clock.pass_(7 * 86_400)
    assert await auth.from_headers(cookie_of(old.cookie)) is None
    assert await auth.close_session({}, secure=False) == cleared


async def test_a_session_needs_a_valid_token(auth: Authenticator) -> None:
    with pytest.raises(Unauthenticated):
        await auth.open_session("fw_x_y", secure=True)


# bounds


async def test_an_address_that_fails_often_is_held_up_but_not_one_that_knows(
    auth: Authenticator, viewer: str, clock: Clock
) -> None:
    async def outcome(client: str) -> str:
        try:
            await auth.from_headers(bearer("fw_wrong_secret"), client=client)
        except (Unauthenticated, TooMany) as error:
            return type(error).__name__
        return "in"

    assert [await outcome("10.0.0.1") for _ in range(22)] == ["Unauthenticated"] * 20 + ["TooMany"] * 2
    assert await outcome("10.0.0.2") == "Unauthenticated"
    assert is_wall(await auth.from_headers(bearer(viewer), client="10.0.0.1"))
    clock.pass_(3)
    assert [await outcome("10.0.0.1") for _ in range(2)] == ["Unauthenticated", "TooMany"]
    clock.pass_(3600)
    assert [await outcome("10.0.0.1") for _ in range(21)] == ["Unauthenticated"] * 20 + ["TooMany"]


def test_the_throttle_says_when_to_come_back_and_forgets_the_oldest_address(clock: Clock) -> None:
    throttle = Throttle(failures=2, period_s=60, limit=3, clock=clock)
    throttle.failed("a")
    throttle.failed("a")
    with pytest.raises(TooMany) as caught:
        throttle.failed("a")
    assert caught.value.retry_after == 30
    for address in "bcd":
        throttle.failed(address)
    throttle.failed("a")


def test_a_full_vault_lets_go_of_the_oldest(clock: Clock) -> None:
    vault: Vault[int] = Vault(lifetime_s=30, limit=3, clock=clock)
    names = [vault.put(n)[0] for n in range(5)]
    assert len(vault) == 3
    assert [vault.get(name) for name in names] == [None, None, 2, 3, 4]
    clock.pass_(30)
    assert [vault.get(name) for name in names] == [None] * 5
    vault.put(9)
    assert len(vault) == 1, "what is over makes room first"


async def test_finding_a_caller_is_quick_enough_for_every_request(path: Path, viewer: str, clock: Clock) -> None:
    for _ in range(50):
        tokens.create(path, role="viewer", clock=clock)
    auth = Authenticator.of(Settings(api_tokens_file=path), clock=clock)
    began = time.perf_counter()
    for _ in range(1000):
        await auth.from_headers(bearer(viewer))
    assert time.perf_counter() - began < 2
