"""Tokens that end while a stream is open: another is got, and nothing is lost on either transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.listening import Heard, at_once, drain
from featurewatch import tokens
from featurewatch.client import AsyncClient, Connected, Disconnected
from featurewatch.errors import Forbidden, Unauthenticated
from running import Running, bridge

pytestmark = pytest.mark.anyio


@dataclass
class Guarded:
    """A bridge that wants tokens, and who gives them out."""

    running: Running
    path: Path

    def token(self, **options: Any) -> tuple[str, str]:
        made, text = tokens.create(self.path, **{"role": "admin", **options})
        return made.id, text

    async def send(self, *messages: str) -> None:
        async with AsyncClient(self.running.url, self.token()[1]) as client:
            await client.post_logs([{"featureId": "chat", "message": message} for message in messages])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    path = folder / "tokens.json"
    tokens.create(path, role="admin")
    with bridge(folder / "data", env={"FEATUREWATCH_API_TOKENS_FILE": str(path)}) as running:
        yield Guarded(running, path)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_token_that_ends_is_replaced_and_nothing_is_lost(guarded: Guarded, transport: Any) -> None:
    given: list[str] = []

    def source() -> str:
        name, text = guarded.token()
        given.append(name)
        return text

    await guarded.send(f"{transport} 0")
    async with (
        AsyncClient(guarded.running.url, source) as client,
        Heard(client.stream("chat", transport=transport, filters={"search": transport})) as heard,
    ):
        await heard.until(lambda: heard.lines)
        tokens.revoke(guarded.path, given[0])
        await guarded.send(*(f"{transport} {n}" for n in range(1, 4)))
        await heard.until(lambda: len(given) == 2)
        await guarded.send(f"{transport} 4")
        await heard.until(lambda: f"{transport} 4" in heard.lines)
        assert heard.lines == [f"{transport} {n}" for n in range(5)]
        assert len(heard.of(Connected)) == (1 if transport == "websocket" else 2), "a WebSocket stays open"


async def test_a_fixed_token_that_ends_ends_the_stream(guarded: Guarded) -> None:
    for transport in ("websocket", "sse"):
        name, text = guarded.token()
        async with asyncio.timeout(60), AsyncClient(guarded.running.url, text) as client:
            stream = client.stream("*", transport=transport)
            assert isinstance(await anext(stream), Connected)
            tokens.revoke(guarded.path, name)
            with pytest.raises(Unauthenticated):
                await drain(stream)


async def test_a_source_whose_tokens_are_never_good_is_not_asked_for_ever(guarded: Guarded) -> None:
    for transport in ("websocket", "sse"):
        asked = 0

        def source() -> str:
            nonlocal asked
            asked += 1
            return f"fw_wrong_{asked}"

        async with asyncio.timeout(60), AsyncClient(guarded.running.url, source) as client:
            stream = client.stream("chat", transport=transport, pause=at_once)
            with pytest.raises(Unauthenticated):
                await drain(stream)
            assert 1 < asked <= 8


async def test_a_source_that_fails_for_a_while_is_waited_for(guarded: Guarded) -> None:
    await guarded.send("there")
    tries = 0

    async def source() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionError("the token service is away")
        return guarded.token()[1]

    async with asyncio.timeout(60), AsyncClient(guarded.running.url, source) as client:
        reasons = []
        async for message in client.stream("chat", pause=at_once):
            if isinstance(message, Connected):
                break
            assert isinstance(message, Disconnected)
            reasons.append(message.reason)
    assert reasons == ["no token could be got: the token service is away"] * 3


async def test_a_request_that_is_refused_is_sent_once_more_with_another_token(guarded: Guarded) -> None:
    name, text = guarded.token()
    given = [text, guarded.token()[1]]
    tokens.revoke(guarded.path, name)
    async with AsyncClient(guarded.running.url, lambda: given.pop(0)) as client:
        assert (await client.me())["role"] == "admin"
        assert given == []
    async with AsyncClient(guarded.running.url, lambda: "fw_wrong") as client:
        with pytest.raises(Unauthenticated):
            await client.features()


async def test_a_role_that_may_not_read_is_told_so_by_either_transport(guarded: Guarded) -> None:
    for transport in ("websocket", "sse"):
        async with asyncio.timeout(60), AsyncClient(guarded.running.url, guarded.token(role="ingest")[1]) as client:
            with pytest.raises(Forbidden, match="ingest"):
                await anext(client.stream("chat", transport=transport))


async def test_the_token_is_in_no_message_and_in_no_text(guarded: Guarded) -> None:
    text = guarded.token()[1]
    async with AsyncClient(guarded.running.url, text) as client:
        stream = client.stream("chat")
        async with asyncio.timeout(60):
            message = await anext(stream)
        assert text not in repr((client, stream, message, vars(client)))
        with pytest.raises(Exception, match="nosuch") as refused:
            await client.current("nosuch")
        assert text not in repr(refused.value)
