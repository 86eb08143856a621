"""The streams over real sockets: uvicorn, the websockets client, the embedded stores."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from featurewatch.access import ANYONE, Principal
from featurewatch.model import LogEntry
from featurewatch.settings import Settings
from featurewatch.snapshots import Snapshots
from featurewatch.stores import Stores, open_stores
from featurewatch.stores.base import LogFilter
from featurewatch.streams.hub import Hub
from featurewatch.streams.metric_poll import MetricPoll
from featurewatch.streams.server import StreamProtocol, uvicorn_options
from featurewatch.streams.sse import EventStream, logs_stream
from featurewatch.streams.websocket import MAX_MESSAGE_BYTES, serve_websocket
from streams.fakes import KEY, START_NS, Clock, entry

pytestmark = pytest.mark.anyio


class Bridge:
    """The least of a bridge: stores, hub and routes behind uvicorn on a free port."""

    def __init__(self, stores: Stores, clock: Clock, ws: Any) -> None:
        self.stores = stores
        self.snapshots = Snapshots(stores.metrics, stores.state, window_s=300, clock=clock)
        self.hub = Hub(stores.logs, stores.state, self.snapshots.directory, clock=clock, jitter_s=0)
        self.poll = MetricPoll(self.snapshots, stores.metrics, stores.state, self.hub, interval_s=3600, clock=clock)
        routes = [WebSocketRoute("/websocket", self._websocket), Route("/logs", self._logs)]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        options = {**uvicorn_options(MAX_MESSAGE_BYTES), "ws": ws}
        self.server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="error", **options)
        )

    async def _websocket(self, websocket: WebSocket) -> None:
        async def authenticate(_: str) -> Principal:
            return ANYONE

        query = websocket.query_params
        await serve_websocket(
            websocket,
            self.hub,
            self.snapshots,
            features=query.getlist("featureId"),
            batch=query.get("batch") == "true",
            principal=ANYONE,
            authenticate=authenticate,
            after=query.get("after", ""),
        )

    async def _logs(self, request: Request) -> Response:
        after = request.headers.get("last-event-id", "")
        return EventStream(
            logs_stream(
                self.hub,
                self.snapshots,
                feature=KEY.feature,
                environment=KEY.environment,
                filter=LogFilter(),
                principal=ANYONE,
                after=after,
            )
        )

    @contextlib.asynccontextmanager
    async def client(self, query: str = "featureId=summarize", **options: Any) -> AsyncIterator[ClientConnection]:
        async with connect(f"ws://127.0.0.1:{self.port}/websocket?{query}", **options) as connection:
            yield connection

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@contextlib.asynccontextmanager
async def serving(folder: Path, ws: Any = StreamProtocol) -> AsyncIterator[Bridge]:
    clock = Clock()
    stores = await open_stores(Settings(data_dir=folder), clock=clock)
    try:
        await stores.state.see([KEY], {})
        bridge = Bridge(stores, clock, ws)
        await bridge.hub.start()
        await bridge.poll.start()
        task = asyncio.create_task(bridge.server.serve([bridge.listener]))
        try:
            while not bridge.server.started:  # noqa: ASYNC110 (uvicorn has no event to wait for)
                await asyncio.sleep(0.01)
            yield bridge
        finally:
            await bridge.hub.stop()
            bridge.server.should_exit = True
            await asyncio.wait_for(task, 10)
            await bridge.poll.stop()
    finally:
        await stores.close()


async def hear(connection: ClientConnection, type_: str = "") -> Any:
    while True:
        message = orjson.loads(await asyncio.wait_for(connection.recv(), 10))
        if not type_ or message["type"] == type_:
            return message


def lines(start: int, count: int, size: int = 10) -> list[LogEntry]:
    return [entry(number, message=f"{number} é " + "x" * size) for number in range(start, start + count)]


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


async def test_server_sent_events_over_a_real_socket(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge:
        await bridge.stores.logs.append(lines(0, 2))
        async with httpx.AsyncClient() as http, http.stream("GET", f"http://127.0.0.1:{bridge.port}/logs") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
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


@contextlib.asynccontextmanager
async def unread_socket(port: int) -> AsyncIterator[socket.socket]:
    """Open a WebSocket by hand whose small buffer nobody reads once it follows the lines."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        raw.sendall(
            f"GET /websocket?featureId=summarize HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await asyncio.to_thread(raw.recv, 4096)
        assert answer.startswith(b"HTTP/1.1 101")
        text = b'{"type":"subscribe_logs"}'
        raw.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        yield raw


async def _stuck(bridge: Bridge) -> None:
    """Send until the client's socket takes no more."""
    while not any(client.subscriber.following for client in bridge.hub.clients):  # noqa: ASYNC110 (a state)
        await asyncio.sleep(0.01)
    start = 0
    while all(client.subscriber.outbox.sending_since is None for client in bridge.hub.clients):
        await bridge.stores.logs.append(lines(start, 200, 10_000))
        start += 200
        await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_told_1013_once_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.3)
    async with serving(tmp_path) as bridge:
        async with unread_socket(bridge.port) as raw:
            await _stuck(bridge)
            while bridge.hub.clients:  # noqa: ASYNC110 (a state)
                await asyncio.sleep(0.05)
            received = await asyncio.to_thread(_until_closed, raw)
        # A close frame: opcode 8, its length, the code.
        assert received[-60:].find(b"\x88") >= 0
        close = received[received.rfind(b"\x88") :]
        assert int.from_bytes(close[2:4], "big") == 1013
        assert b"nothing was read" in close


def _until_closed(raw: socket.socket) -> bytes:
    received = b""
    while not (received[-2:] and b"nothing was read" in received[-100:]):
        part = raw.recv(65_536)
        if not part:
            break
        received = received[-200:] + part
    return received


async def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.3)
    monkeypatch.setattr("featurewatch.streams.server.ABORT_S", 0.3)
    async with serving(tmp_path) as bridge:
        async with unread_socket(bridge.port):
            await _stuck(bridge)
            async with asyncio.timeout(10):
                while bridge.connections:  # noqa: ASYNC110 (a state)
                    await asyncio.sleep(0.05)
        assert bridge.hub.stats.closed == {"1013": 1}


async def test_entries_keep_their_nanoseconds(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, bridge.client() as connection:
        await connection.send('{"type": "subscribe_logs"}')
        await hear(connection, "log_history")
        await bridge.stores.logs.append([entry(1, at_ns=START_NS + 123_456_789)])
        assert (await hear(connection))["data"]["timestamp"] == "2026-09-21T14:13:20.123456789Z"
