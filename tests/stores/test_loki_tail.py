"""The one tail: it follows its selector, at most two are open, and it comes back from whatever befalls it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from featurewatch.stores import loki_tail as module
from featurewatch.stores.loki_entries import Frame
from featurewatch.stores.loki_tail import LokiTail
from featurewatch.stores.upstream import Target
from log_samples import line
from stores.fake_tail import FakeTail, frame, hanging, running
from waiting import until

pytestmark = pytest.mark.anyio

CHATS = '{feature=~"chat"}'
BOTH = '{feature=~"chat|search"}'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what takes seconds take a fraction."""
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(module, "OVERLAP_S", 0.2)
    monkeypatch.setattr(module, "STEADY_S", 0.0)


class Taker:
    """What the tail hands on. `hold` keeps it from taking more."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.opened: list[bool] = []
        self.hold: asyncio.Event | None = None

    async def take(self, frame: Frame) -> None:
        if self.hold is not None:
            await self.hold.wait()
        self.frames.append(frame)

    @property
    def messages(self) -> list[str]:
        return [entry.message for frame in self.frames for entry in frame.entries]


@asynccontextmanager
async def tailing(url: str, **options: Any) -> AsyncIterator[tuple[LokiTail, Taker]]:
    taker = Taker()
    rotate_s = options.pop("rotate_s", 3600.0)
    target = Target("Loki", "FEATUREWATCH_LOKI", url, **{"timeout_s": 5.0} | options)
    tail = LokiTail(target, "staging", taker.take, taker.opened.append, clock=time.time_ns, rotate_s=rotate_s)
    try:
        yield tail, taker
    finally:
        await tail.close()


async def test_without_anybody_who_follows_no_tail_is_open() -> None:
    async with running() as loki, tailing(loki.url) as (tail, _):
        await asyncio.sleep(0.05)
        assert loki.asked == []
        tail.follow(CHATS)
        await until(lambda: tail.selector == CHATS)
        tail.follow(None)
        await until(lambda: not loki.open)
        assert tail.selector is None
        assert tail.stats.open == 0
        assert tail.problem is None


async def test_frames_are_taken_in_order() -> None:
    async with running() as loki, tailing(loki.url) as (tail, taker):
        tail.follow(CHATS)
        await until(lambda: loki.open)
        await loki.say(frame(line("one"), line("two")))
        await loki.say(frame(line("three"), dropped=1))
        await until(lambda: len(taker.frames) == 2)
        assert taker.messages == ["one", "two", "three"]
        assert [key.feature for key, _ in taker.frames[1].dropped] == ["chat"]
        assert tail.stats.dropped == 1
        assert taker.opened == [False]


async def test_it_asks_as_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    options = {"tenant": "team-a", "user": "fw", "password_file": tmp_path / "password"}
    async with running() as loki, tailing(f"{loki.url}/behind/a/proxy/", **options) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: loki.open)
        (request,) = loki.requests
        assert request.path.startswith("/behind/a/proxy/loki/api/v1/tail?query=%7Bfeature")
        assert request.headers["X-Scope-OrgID"] == "team-a"
        assert request.headers["Authorization"] == "Basic Znc6czNjcmV0"
        assert request.headers["X-Loki-Response-Encoding-Flags"] == "categorize-labels"


async def test_behind_tls_it_trusts_whom_the_settings_name(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with running(tls=context) as loki:
        url = loki.url.replace("http", "https")
        async with tailing(url, ca_file=certificate) as (tail, taker):
            tail.follow(CHATS)
            await until(lambda: loki.open)
            await loki.say(frame(line("in private")))
            await until(lambda: taker.messages)
        async with tailing(url) as (tail, _):
            tail.follow(CHATS)
            await until(lambda: tail.problem)
            assert "certificate verify failed" in str(tail.problem)
        async with tailing(url, tls_verify=False) as (tail, _):
            tail.follow(CHATS)
            await until(lambda: tail.selector == CHATS)


async def test_another_selector_opens_the_new_tail_before_the_old_one_closes() -> None:
    async with running() as loki, tailing(loki.url) as (tail, taker):
        tail.follow(CHATS)
        await until(lambda: loki.open)
        tail.follow(BOTH)
        await until(lambda: len(loki.open) == 2)
        await loki.open[0].send(frame(line("from the old one")))
        await loki.open[1].send(frame(line("from the new one")))
        await until(lambda: len(loki.open) == 1)
        assert tail.selector == BOTH
        assert sorted(taker.messages) == ["from the new one", "from the old one"]
        assert taker.opened == [False, True], "one that takes over leaves nothing to be looked for"
        await until(lambda: tail.stats.open == 1)


async def test_however_often_the_selector_changes_two_tails_are_open_at_most() -> None:
    async with running() as loki, tailing(loki.url) as (tail, _):
        for number in range(40):
            tail.follow(f'{{feature=~"f{number}"}}')
            await asyncio.sleep(0.02)
        await until(lambda: tail.selector == '{feature=~"f39"}' and len(loki.open) == 1)
        assert loki.most == 2
        assert len(loki.asked) < 40, "what was wanted for a moment only is not opened"


async def test_a_tail_is_replaced_before_loki_ends_it() -> None:
    async with running() as loki, tailing(loki.url, rotate_s=0.5) as (tail, taker):
        tail.follow(CHATS)
        await until(lambda: tail.stats.opened >= 3)
        assert loki.most == 2
        assert all(taker.opened[1:])
        assert tail.stats.failed == 0


async def test_one_that_is_doubted_is_opened_anew() -> None:
    async with running() as loki, tailing(loki.url) as (tail, _):
        tail.doubt()
        tail.follow(CHATS)
        await until(lambda: loki.open)
        tail.doubt()
        await until(lambda: tail.stats.opened == 2)
        assert loki.asked == [CHATS, CHATS]


async def close_mid_frame(connection: ServerConnection) -> None:
    text = frame(line("half of it")).encode()
    connection.transport.write(b"\x81\x7e" + len(text).to_bytes(2, "big") + text[:40])
    connection.transport.close()


async def say_garbage(connection: ServerConnection) -> None:
    await connection.send("{no JSON")


async def say_something_else(connection: ServerConnection) -> None:
    await connection.send('{"streams": [{"stream": 5}]}')


async def say_bytes(connection: ServerConnection) -> None:
    await connection.send(b"\xff\xfe")


async def end_in_order(connection: ServerConnection) -> None:
    await connection.close(1000)


async def end_the_hour(connection: ServerConnection) -> None:
    await connection.close(1011, "reached tail max duration limit")


async def too_many(connection: ServerConnection) -> None:
    await connection.close(1011, "rpc error: code = Code(400) desc = max concurrent tail requests limit exceeded")


async def send_no_websocket(connection: ServerConnection) -> None:
    connection.transport.write(b"\xff" * 100)


@pytest.mark.parametrize(
    "fault",
    [close_mid_frame, say_garbage, say_something_else, say_bytes, end_in_order, end_the_hour, too_many,
     send_no_websocket],
)  # fmt: skip
async def test_it_comes_back_from_a_tail_that_fails(fault: Callable[[ServerConnection], Awaitable[None]]) -> None:
    async def behave(connection: ServerConnection) -> None:
        if len(loki.asked) <= 3:
            await fault(connection)

    async with running(FakeTail(behave=behave)) as loki, tailing(loki.url) as (tail, taker):
        tail.follow(CHATS)
        await until(lambda: len(loki.asked) == 4 and tail.selector == CHATS)
        await loki.say(frame(line("at last")))
        await until(lambda: taker.messages)
        assert taker.messages == ["at last"]
        assert taker.opened == [False] * 4, "each time it is looked for what came meanwhile"
        assert tail.stats.failed == 3
        assert tail.stats.open == 1
        assert tail.problem is None
        assert len(loki.open) == 1


async def test_what_is_wrong_is_told_with_what_to_do() -> None:
    async with running(FakeTail(behave=too_many)) as loki, tailing(loki.url) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: tail.problem)
        assert "max_concurrent_tail_requests_per_user" in str(tail.problem)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (HTTPStatus.BAD_REQUEST, "answered a tail with 400: not now"),
        (HTTPStatus.UNAUTHORIZED, "FEATUREWATCH_LOKI_TOKEN_FILE"),
        (HTTPStatus.TOO_MANY_REQUESTS, "answered a tail with 429"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "answered a tail with 503"),
    ],
)
async def test_a_refusal_is_told_and_tried_again(status: HTTPStatus, said: str) -> None:
    async with running(FakeTail(refusal=status)) as loki, tailing(loki.url) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: len(loki.asked) >= 3)
        assert said in str(tail.problem)
        assert tail.stats.open == 0
        loki.refusal = None
        await until(lambda: tail.selector == CHATS)
        assert tail.problem is None


async def test_where_nobody_listens_it_waits_for_loki_to_come() -> None:
    fake = FakeTail()
    async with running(fake):
        pass
    async with tailing(fake.url) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: tail.stats.failed >= 3)
        assert "cannot be reached" in str(tail.problem)
        async with running(fake):
            await until(lambda: tail.selector == CHATS)


async def test_where_a_server_hangs_it_gives_up_in_time() -> None:
    async with hanging() as (url, accepted), tailing(url, timeout_s=0.3) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: len(accepted) >= 2)
        assert "did not open a tail within 0.3 s" in str(tail.problem)


async def test_a_tail_that_falls_silent_is_noticed_by_its_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_S", 0.2)

    async def freeze(connection: ServerConnection) -> None:
        if len(loki.asked) == 1:
            connection.transport.pause_reading()

    async with running(FakeTail(behave=freeze)) as loki, tailing(loki.url) as (tail, _):
        tail.follow(CHATS)
        await until(lambda: len(loki.asked) == 2 and tail.selector == CHATS)
        assert tail.stats.failed == 1


async def test_a_selector_that_cannot_be_opened_leaves_the_old_tail_where_it_is() -> None:
    async with running() as loki, tailing(loki.url) as (tail, taker):
        tail.follow(CHATS)
        await until(lambda: loki.open)
        loki.refusal = HTTPStatus.TOO_MANY_REQUESTS
        tail.follow(BOTH)
        await until(lambda: len(loki.asked) >= 3)
        assert tail.selector == CHATS
        await loki.say(frame(line("still here")))
        await until(lambda: taker.messages)
        loki.refusal = None
        await until(lambda: tail.selector == BOTH)


async def test_while_nothing_is_taken_nothing_is_read() -> None:
    async with running() as loki, tailing(loki.url) as (tail, taker):
        taker.hold = asyncio.Event()
        tail.follow(CHATS)
        await until(lambda: loki.open)
        text, count, sent = frame(*(line("x" * 1000) for _ in range(100))), 400, 0

        async def flood() -> None:
            nonlocal sent
            for _ in range(count):
                await loki.say(text)
                sent += 1

        flooding = asyncio.create_task(flood())
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.5)
        assert sent < count, "what is not read waits at Loki, which drops it"
        assert taker.frames == []
        taker.hold.set()
        await flooding
        await until(lambda: len(taker.frames) == count)


async def test_closing_ends_it_even_while_loki_hangs() -> None:
    async def freeze(connection: ServerConnection) -> None:
        connection.transport.pause_reading()

    async with running(FakeTail(behave=freeze)) as loki:
        async with tailing(loki.url) as (tail, _):
            tail.follow(CHATS)
            await until(lambda: tail.selector == CHATS)
            started = time.monotonic()
        assert time.monotonic() - started < 10
        assert tail.stats.open == 0
