"""The streams over real sockets: uvicorn, the websockets client, the embedded stores."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from featurewatch.streams.server import StreamProtocol
from featurewatch.streams.websocket import MAX_MESSAGE_BYTES
from streams.fakes import START_NS, entry
from streams.served import hear, lines, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("ws", [StreamProtocol, "websockets-sansio"], ids=["our protocol", "uvicorn's own"])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_history_live_and_resume_over_a_real_socket(tmp_path: Path, ws: Any, compression: Any) -> None:
    async with serving(tmp_path, ws) as bridge:
        await bridge.stores.logs.append(lines(0, 60))
        async with bridge.client(compression=compression) as connection:
            assert (await hear(connection))["type"] == "connection_confirmed"
            assert (await hear(connection))["type"] == "metrics_update"
            await connection.send('{"type": "subscribe_logs"}')
            history = await hear(connection)
            assert [line["id"] for line in history["data"]] == [f"line-{number}" for number in range(10, 60)]
            await bridge.stores.logs.append(lines(60, 300))
            live = [await hear(connection) for _ in range(300)]
            assert [message["data"]["id"] for message in live] == [f"line-{number}" for number in range(60, 360)]
            assert live[0]["data"]["message"].startswith("60 é x")
        await bridge.stores.logs.append(lines(360, 40))
        async with bridge.client(f"featureId=summarize&after={live[99]['id']}") as connection:
            assert (await hear(connection))["data"]["recovered"] is True
            await connection.send('{"type": "subscribe_logs"}')
            missed = await hear(connection, "log_history")
            assert [line["id"] for line in missed["data"]] == [f"line-{number}" for number in range(160, 400)]


async def test_a_restart_on_the_same_data_is_survived(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, bridge.client() as connection:
        await connection.send('{"type": "subscribe_logs"}')
        await hear(connection, "log_history")
        await bridge.stores.logs.append(lines(0, 5))
        last = ""
        for _ in range(5):
            last = (await hear(connection, "log_entry"))["id"]
        await bridge.stores.logs.append(lines(5, 1))
        await bridge.hub.stop()
        with pytest.raises(ConnectionClosed) as closed:
            await hear(connection, "nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    async with serving(tmp_path) as bridge:
        await bridge.stores.logs.append(lines(6, 1))
        async with bridge.client(f"featureId=summarize&after={last}") as connection:
            assert (await hear(connection))["data"]["recovered"] is True
            await connection.send('{"type": "subscribe_logs"}')
            missed = await hear(connection, "log_history")
            assert [line["id"] for line in missed["data"]] == ["line-5", "line-6"]


async def test_batches_over_a_real_socket(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, bridge.client("featureId=summarize&batch=true") as connection:
        first = orjson.loads(await connection.recv())
        assert first[0]["type"] == "connection_confirmed"
        await connection.send('{"type": "subscribe_logs"}')
        begun = False
        while not begun:
            frame = orjson.loads(await asyncio.wait_for(connection.recv(), 10))
            begun = any(message["type"] == "log_history" for message in frame)
        await bridge.stores.logs.append(lines(0, 3_000, 500))
        got: list[str] = []
        while len(got) < 3_000:
            frame = await asyncio.wait_for(connection.recv(), 10)
            assert len(frame) < 1024**2
            got += [message["data"]["id"] for message in orjson.loads(frame) if message["type"] == "log_entry"]
        assert got == [f"line-{number}" for number in range(3_000)]


async def test_a_message_that_is_too_large_closes_with_1009(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, bridge.client() as connection:
        await hear(connection)
        await connection.send(" " * (MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await hear(connection, "nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_long_address_and_long_cookies_are_taken(tmp_path: Path) -> None:
    query = "&".join(["featureId=summarize", *(f"featureId=feature-{number}" for number in range(999))])
    async with (
        serving(tmp_path) as bridge,
        bridge.client(query, additional_headers={"Cookie": "session=" + "x" * 20_000}) as connection,
    ):
        assert (await hear(connection))["data"]["featureIds"] == ["summarize"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [([("X-Long", "x" * 65_536)], 431), ([(f"X-{number}", "x") for number in range(200)], 431), ([("X(", "x")], 400)],
)
async def test_a_handshake_that_cannot_be_read_is_answered(
    tmp_path: Path, headers: list[tuple[str, str]], status: int
) -> None:
    async with serving(tmp_path) as bridge:
        with pytest.raises(InvalidStatus) as refused:
            async with bridge.client(additional_headers=headers):
                pass
        assert refused.value.response.status_code == status


async def test_server_sent_events_over_a_real_socket(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge:
        await bridge.stores.logs.append(lines(0, 2))
        async with httpx.AsyncClient() as http, http.stream("GET", f"http://127.0.0.1:{bridge.port}/logs") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store, no-transform"
            assert answer.headers["x-accel-buffering"] == "no"
            text = ""
            parts = answer.aiter_text()
            while "line-1" not in text:
                text += await anext(parts)
            await bridge.stores.logs.append(lines(2, 1))
            while "line-2" not in text:
                text += await anext(parts)
        while bridge.hub.clients:  # noqa: ASYNC110 (the other side has no event to give)
            await asyncio.sleep(0.01)


async def test_entries_keep_their_nanoseconds(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, bridge.client() as connection:
        await connection.send('{"type": "subscribe_logs"}')
        await hear(connection, "log_history")
        await bridge.stores.logs.append([entry(1, at_ns=START_NS + 123_456_789)])
        assert (await hear(connection))["data"]["timestamp"] == "2026-09-21T14:13:20.123456789Z"
