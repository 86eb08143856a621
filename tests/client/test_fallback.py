"""Where WebSocket is blocked, events carry the stream, and nothing is lost or comes twice on the way there and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.listening import Heard, at_once, send
from client.proxy import CUT, CUT_OPEN, HANG, PASS, SILENT, STRIP, Proxy, proxy
from featurewatch.client import AsyncClient, Connected, Disconnected, Gap, TransportChanged
from featurewatch.client import choice as choices
from featurewatch.errors import Unauthenticated
from running import Running, bridge

pytestmark = pytest.mark.anyio


@pytest.fixture
async def between(served: Running, anyio_backend: str) -> AsyncIterator[Proxy]:
    async with proxy(served.url) as standing:
        yield standing


@pytest.fixture
async def client(between: Proxy) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(between.url) as client:
        yield client


@pytest.mark.parametrize(
    "how", ["403 Forbidden", "502 Bad Gateway", "200 OK", "400 Bad Request", HANG, CUT, CUT_OPEN, SILENT, STRIP]
)
async def test_events_take_over_where_no_websocket_comes_about(
    served: Running, between: Proxy, client: AsyncClient, how: str
) -> None:
    feature = f"blocked-{how[:3].lower()}-{how[-4:].lower()}".replace(" ", "-")
    between.websockets = how
    await send(served.url, feature, "before")
    async with Heard(client.stream(feature, open_timeout=2, pause=at_once)) as heard:
        await heard.until(lambda: "before" in heard.lines)
        await send(served.url, feature, "after")
        await heard.until(lambda: "after" in heard.lines)
        assert heard.stream.transport == "sse"
        assert heard.lines == ["before", "after"]
        assert [message.transport for message in heard.of(TransportChanged)] == ["sse"]
        assert heard.of(Disconnected) == []
        assert (between.upgrades, between.streams) == (1, 1)


async def test_a_websocket_that_is_cut_again_and_again_gives_way_without_loss(
    served: Running, between: Proxy, client: AsyncClient
) -> None:
    feature = "cut"
    await send(served.url, feature, "0")
    async with Heard(client.stream(feature, pause=at_once)) as heard:
        await heard.until(lambda: heard.lines)
        between.cut_after = 0  # from now on nothing passes a WebSocket but its upgrade
        between.cut_all()
        await send(served.url, feature, *map(str, range(1, 40)))
        await heard.until(lambda: "39" in heard.lines)
        await send(served.url, feature, *map(str, range(40, 60)))
        await heard.until(lambda: "59" in heard.lines)
        assert heard.lines == list(map(str, range(60)))
        assert heard.stream.transport == "sse"
        assert heard.of(Gap) == []
        assert all(connected.recovered for connected in heard.of(Connected)[1:])


@pytest.mark.parametrize("size", [700, 3_000])
async def test_a_proxy_that_cuts_within_the_lines_loses_and_doubles_none(
    served: Running, between: Proxy, client: AsyncClient, size: int
) -> None:
    feature = f"within-{size}"
    await send(served.url, feature, "0")
    between.cut_after = size
    async with Heard(client.stream(feature, pause=at_once)) as heard:
        for start in range(1, 400, 20):
            await send(served.url, feature, *map(str, range(start, start + 20)))
        await heard.until(lambda: "400" in heard.lines)
        # A stream begins with the last 50 lines at the moment when they come.
        assert heard.lines == list(map(str, range(int(heard.lines[0]), 401)))
        assert heard.stream.transport == "sse"


async def test_the_websocket_is_taken_again_once_it_passes(
    served: Running, between: Proxy, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "FIRST_RETRY_S", 0.3)
    feature = "back"
    between.websockets = "403 Forbidden"
    await send(served.url, feature, "0")
    async with Heard(client.stream(feature, pause=at_once)) as heard:
        await heard.until(lambda: heard.lines and between.upgrades >= 2)
        assert heard.stream.transport == "sse", "the WebSocket is tried beside the events, which go on"
        between.websockets = PASS
        number = 1
        while not (heard.stream.transport == "websocket" and heard.lines[-1] == str(number - 1)):
            await send(served.url, feature, str(number))
            await heard.until(lambda last=str(number): last in heard.lines)
            number += 1
        assert heard.lines == list(map(str, range(number)))
        assert [message.transport for message in heard.of(TransportChanged)] == ["sse", "websocket"]
        assert heard.of(Gap) == heard.of(Disconnected) == []


async def test_a_bridge_that_is_down_behind_a_proxy_is_waited_for_and_the_websocket_found(tmp_path: Path) -> None:
    with bridge(tmp_path) as first:
        await send(first.url, "chat", "1")
        async with (
            proxy(first.url) as between,
            AsyncClient(between.url) as client,
            Heard(client.stream("chat", pause=at_once)) as heard,
        ):
            await heard.until(lambda: heard.lines)
            first.process.kill()
            await asyncio.to_thread(first.process.wait)
            # The proxy answers 502 to both: neither is blocked, the bridge is away.
            await heard.until(lambda: len(heard.of(Disconnected)) >= 4)
            with bridge(tmp_path, port=int(first.url.rpartition(":")[2])) as second:
                await send(second.url, "chat", *"23456")
                await heard.until(lambda: "6" in heard.lines)
                assert heard.lines == [*"123456"]
                assert heard.of(Gap) == []


async def test_events_outlive_a_restart_and_miss_nothing(tmp_path: Path) -> None:
    with bridge(tmp_path) as first:
        await send(first.url, "chat", "1")
        async with (
            AsyncClient(first.url) as client,
            Heard(client.stream("chat", transport="sse", pause=at_once)) as heard,
        ):
            await heard.until(lambda: heard.lines)
            await asyncio.to_thread(first.stop)
            await heard.until(lambda: heard.of(Disconnected))
            with bridge(tmp_path, port=int(first.url.rpartition(":")[2])) as second:
                await send(second.url, "chat", *"234")
                await heard.until(lambda: "4" in heard.lines)
        assert heard.lines == [*"1234"]
        assert [connected.recovered for connected in heard.of(Connected)] == [False, True]


async def test_where_events_are_held_back_too_both_are_tried_until_one_passes(
    served: Running, between: Proxy, client: AsyncClient
) -> None:
    await send(served.url, "held", "0")
    between.websockets, between.events = HANG, False
    async with Heard(client.stream("held", open_timeout=0.3, pause=at_once)) as heard:
        await heard.until(lambda: len(heard.of(Disconnected)) >= 2)
        assert min(between.upgrades, between.streams) >= 2
        between.websockets = PASS
        await heard.until(lambda: heard.lines == ["0"])
        assert heard.stream.transport == "websocket"


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_one_transport_alone_may_be_asked_for(
    served: Running, between: Proxy, client: AsyncClient, transport: Any
) -> None:
    feature = f"alone-{transport}"
    await send(served.url, feature, "0")
    between.websockets, between.events = ("403 Forbidden", True) if transport == "websocket" else (PASS, False)
    async with Heard(client.stream(feature, transport=transport, open_timeout=0.5, pause=at_once)) as heard:
        await heard.until(lambda: len(heard.of(Disconnected)) >= 3)
        assert (between.streams if transport == "websocket" else between.upgrades) == 0
        between.websockets, between.events = PASS, True
        await heard.until(lambda: heard.lines == ["0"])


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_features_and_filters_change_on_the_way(served: Running, client: AsyncClient, transport: Any) -> None:
    one, two, three = (f"{transport}-{name}" for name in ("one", "two", "three"))
    for feature in (one, two, three):
        await send(served.url, feature, "first")

    async def say(feature: str, message: str, level: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            line = {"featureId": feature, "message": message, "level": level}
            (await http.post(f"{served.url}/api/v1/logs", json=line)).raise_for_status()

    async with Heard(client.stream([one, two], transport=transport, pause=at_once)) as heard:
        await heard.until(lambda: heard.lines == ["first", "first"])
        await heard.stream.follow(levels=["error"])
        # Where the new filter is in force cannot be seen from outside by SSE: lines of both kinds, until it is.
        await say(one, "quiet", "info")
        await say(one, "loud", "error")
        await heard.until(lambda: "loud" in heard.lines)
        await say(one, "hush", "info")
        await heard.stream.subscribe(three)
        await say(three, "third", "error")
        await heard.until(lambda: "third" in heard.lines)
        await heard.stream.unsubscribe(one)
        await say(one, "gone", "error")
        await say(two, "kept", "error")
        await heard.until(lambda: "kept" in heard.lines)
        assert [line for line in heard.lines if line != "first"][-3:] == ["loud", "third", "kept"]
        assert "hush" not in heard.lines
        await heard.stream.follow(levels="error", history=True)
        await heard.until(lambda: heard.lines.count("kept") == 2)
        await heard.stream.unfollow()
        await say(two, "unheard", "error")
        await heard.stream.follow(search="nothing")
        await heard.stream.follow(search="at last")
        await say(two, "at last", "info")
        await heard.until(lambda: heard.lines[-1] == "at last")
        assert "unheard" not in heard.lines
        assert heard.of(Gap) == heard.of(Disconnected) == []
        if transport == "websocket":
            assert len(heard.of(Connected)) == 1, "nothing was reconnected"


async def test_a_wrong_token_is_told_by_either_transport(tmp_path: Path) -> None:
    from featurewatch import tokens

    path = tmp_path / "tokens.json"
    tokens.create(path, role="admin")
    with bridge(tmp_path / "data", env={"FEATUREWATCH_API_TOKENS_FILE": str(path)}) as running:
        for transport in ("websocket", "sse"):
            async with AsyncClient(running.url, "fw_wrong") as client:
                with pytest.raises(Unauthenticated, match="token"):
                    await anext(client.stream("chat", transport=transport))
