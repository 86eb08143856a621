"""The client against a real bridge, through its restarts; and against answers that no bridge gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.listening import drain, send
from featurewatch.client import AsyncClient, Connected, Disconnected, Message, Refused
from featurewatch.errors import (
    BadInput,
    Forbidden,
    NotFound,
    SettingsError,
    TooMany,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)
from running import Running, bridge

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(served: Running, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.url) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what another task appends to is no event)
        await asyncio.sleep(0.05)


def said(message: Message) -> list[str]:
    lines = message.data if message.type == "log_history" else [message.data] if message.type == "log_entry" else []
    return [line["message"] for line in lines]


async def test_features_lines_and_figures_are_asked_for(served: Running, client: AsyncClient) -> None:
    await send(served.url, "asked", "one", "two")
    assert "asked" in [feature["id"] for feature in await client.features()]
    page = await client.logs("asked", limit=1)
    assert [line["message"] for line in page["logs"]] == ["two"]
    older = await client.logs("asked", limit=1, cursor=page["next_cursor"])
    assert [line["message"] for line in older["logs"]] == ["one"]
    assert (await client.current("asked"))["featureId"] == "asked"


async def test_an_export_is_the_whole_file(served: Running, client: AsyncClient) -> None:
    await send(served.url, "exported", *(f"line {n}" for n in range(500)))
    whole = b"".join([part async for part in client.export("exported")])
    assert [line["message"] for line in json.loads(whole)] == [f"line {n}" for n in range(500)]
    table = b"".join([part async for part in client.export("exported", format="csv", search="LINE 49")])
    assert len(table.splitlines()) == 12


async def test_what_the_bridge_refuses_is_raised_as_what_it_is(client: AsyncClient) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        await client.current("nosuch")
    with pytest.raises(BadInput, match="feature_id"):
        await client.logs("bad id")
    with pytest.raises(NotFound):
        [part async for part in client.export("nosuch")]


async def test_a_stream_brings_history_and_then_what_happens(served: Running, client: AsyncClient) -> None:
    await send(served.url, "streamed", "before")
    heard: list[str] = []
    kinds: list[str] = []
    async with asyncio.timeout(30), aclosing(client.stream("streamed")) as stream:
        async for message in stream:
            kinds.append(message.type)
            heard += said(message)
            if message.type == "log_history":
                await send(served.url, "streamed", "after")
            if "after" in heard:
                break
    assert kinds[0] == "connection_confirmed"
    assert heard == ["before", "after"]


async def test_a_stream_brings_only_what_its_filters_choose(served: Running, client: AsyncClient) -> None:
    await send(served.url, "filtered", "quiet", level="debug")
    heard: list[str] = []
    chosen = {"levels": "error", "search": "BOOM"}
    async with asyncio.timeout(30), aclosing(client.stream("filtered", filters=chosen)) as stream:
        async for message in stream:
            heard += said(message)
            if message.type == "log_history":
                await send(served.url, "filtered", "boom", level="info")
                await send(served.url, "filtered", "calm", level="error")
                await send(served.url, "filtered", "big boom", level="error")
            if "big boom" in heard:
                break
    assert heard == ["big boom"]


async def test_a_time_out_while_waiting_loses_nothing(served: Running, client: AsyncClient) -> None:
    await send(served.url, "waited", "0")
    heard: list[str] = []
    async with asyncio.timeout(60), client.stream("waited") as stream:
        while "99" not in heard:
            try:
                async with asyncio.timeout(0.01):
                    heard += said(await anext(stream))
            except TimeoutError:
                if heard == ["0"]:
                    await send(served.url, "waited", *(str(n) for n in range(1, 100)))
    assert heard == [str(n) for n in range(100)]


async def test_a_position_goes_on_where_a_consumer_stopped(served: Running, client: AsyncClient) -> None:
    await send(served.url, "stopped", "0")
    heard: list[str] = []
    async with asyncio.timeout(60):
        async with client.stream("stopped") as stream:
            async for message in stream:
                heard += said(message)
                if heard == ["0"]:
                    await send(served.url, "stopped", *"123456789")
                if "3" in heard:
                    break
        # What was read ahead and not handed out comes again.
        async with client.stream("stopped", after=stream.position) as stream:
            while "9" not in heard:
                heard += said(await anext(stream))
    assert heard == [*"0123456789"]


async def test_several_features_come_by_one_stream_also_such_as_are_not_there_yet(
    served: Running, client: AsyncClient
) -> None:
    await send(served.url, "first-of-many", "a")
    told: set[tuple[str | None, str]] = set()
    refused: list[str | None] = []
    async with asyncio.timeout(60), client.stream(["first-of-many", "yet-to-come"]) as stream:
        async for message in stream:
            if isinstance(message, Refused):
                refused.append(message.feature)
                await send(served.url, "yet-to-come", "b")
            told |= {(message.feature, entry.message) for entry in message.entries}
            if len(told) == 2:
                break
    assert told == {("first-of-many", "a"), ("yet-to-come", "b")}
    assert refused == ["yet-to-come"]


async def test_the_star_brings_features_that_appear_later(served: Running, client: AsyncClient) -> None:
    async with asyncio.timeout(60), client.stream("*", history=False) as stream:
        async for message in stream:
            if isinstance(message, Connected):
                await send(served.url, "brand-new", "hello")
            if "hello" in [entry.message for entry in message.entries]:
                break


async def test_a_stream_that_is_forgotten_ends_with_its_client(served: Running) -> None:
    await send(served.url, "forgotten", "0")
    async with asyncio.timeout(60), AsyncClient(served.url) as client:
        stream = client.stream("forgotten")
        await anext(stream)
    await drain(stream)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "featurewatch-client-stream"]


async def test_a_bridge_that_is_full_is_waited_for(tmp_path: Path) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.01)

    with bridge(tmp_path, env={"FEATUREWATCH_MAX_STREAMS": "1"}) as served:
        await send(served.url, "chat", "0")
        async with asyncio.timeout(60), AsyncClient(served.url) as client, client.stream("chat") as first:
            await anext(first)
            for transport in ("websocket", "sse"):
                async with client.stream("chat", transport=transport, pause=pause) as second:
                    message = await anext(second)
                    assert isinstance(message, Disconnected)
                    assert "which is the limit" in message.reason
                    await anext(second)
        assert min(pauses) >= 1, "it waits as long as the bridge asks"


@pytest.mark.parametrize("kill", [False, True])
async def test_a_stream_outlives_a_restart_and_misses_nothing(tmp_path: Path, kill: bool) -> None:
    heard: list[str] = []
    notes: list[str] = []
    pauses: list[float] = []
    reached = asyncio.Event()

    async def follow(url: str, last: str) -> None:
        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0.05)

        async with AsyncClient(url) as client, aclosing(client.stream("chat", pause=pause)) as stream:
            async for message in stream:
                heard.extend(said(message))
                notes.append(message.type)
                if message.type == "connection_confirmed" and len(heard) > 0:
                    assert message.data["recovered"] is True
                reached.set()
                if last in heard:
                    return

    async with asyncio.timeout(90):
        with bridge(tmp_path) as first:
            await send(first.url, "chat", "1")
            following = asyncio.create_task(follow(first.url, "9"))
            await reached.wait()
            await send(first.url, "chat", *"234")
            await until(lambda: "4" in heard)
            if kill:
                first.process.kill()
                await asyncio.to_thread(first.process.wait)
            else:
                await asyncio.to_thread(first.stop)
            port = int(first.url.rpartition(":")[2])
        await until(lambda: "disconnected" in notes)
        with bridge(tmp_path, port=port) as second:
            await send(second.url, "chat", *"56789")
            await following
    assert heard == [*"123456789"]
    assert "gap" not in notes
    assert 0.25 <= pauses[0] <= 0.5
    assert max(pauses) <= 30


async def test_pauses_grow_to_thirty_seconds() -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncClient("http://127.0.0.1:1") as client, aclosing(client.stream("chat", pause=pause)) as stream:
        async for message in stream:
            assert message.type == "disconnected"
            if len(pauses) == 12:
                break
    assert all(0.5 * 2**n / 2 <= wait <= 0.5 * 2**n for n, wait in enumerate(pauses[:6]))
    assert all(15 <= wait <= 30 for wait in pauses[7:])


async def test_a_bridge_that_asks_for_a_token_is_given_it(tmp_path: Path) -> None:
    from featurewatch import tokens

    path = tmp_path / "tokens.json"
    _, text = tokens.create(path, role="admin")
    _, blind = tokens.create(path, role="ingest")
    with bridge(tmp_path / "data", env={"FEATUREWATCH_API_TOKENS_FILE": str(path)}) as served:
        async with AsyncClient(served.url, text) as client:
            assert await client.features() == []
            async with asyncio.timeout(20), aclosing(client.stream("chat", logs=False)) as stream:
                assert (await anext(stream)).type == "connection_confirmed"
        for token, refused in ((None, Unauthenticated), ("fw_x_y", Unauthenticated), (blind, Forbidden)):
            async with AsyncClient(served.url, token) as client:
                with pytest.raises(refused):
                    await client.features()
                # A stream is closed with 1008 in both cases; an `error` before it may say which.
                with pytest.raises((Unauthenticated, Forbidden)):
                    await drain(client.stream("chat"))


@pytest.mark.parametrize(
    ("status", "body", "expected", "text"),
    [
        (404, {"error": "no such feature", "code": "not_found"}, NotFound, "no such feature"),
        (429, {"error": "slow down", "code": "too_many"}, TooMany, "slow down"),
        (503, {"error": "disk", "code": "store_full"}, Unavailable, "disk"),
        (502, "<html>bad gateway</html>", UpstreamError, "answered 502"),
        (418, "tea", UpstreamError, "answered 418"),
        (404, "<html>no such page</html>", UpstreamError, "is the address right"),
        (404, {"error": "Not Found", "path": "/api/v1/features"}, UpstreamError, "is the address right"),
        (429, "slow down", TooMany, "before the bridge"),
        (200, "<html>another server</html>", UpstreamError, "is the address right"),
        (200, [1, 2], UpstreamError, "is the address right"),
    ],
)
async def test_answers_become_errors_of_one_line(status: int, body: Any, expected: type[Exception], text: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)

    async with AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(expected, match=text):
            await client.features()


async def test_no_bridge_is_told_with_what_to_do() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        with pytest.raises(Unavailable, match="featurewatch serve"):
            await client.features()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8400", "ftp://x", "http://", "nonsense"])
async def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="expected the bridge's address"):
        AsyncClient(url)
