"""The least of a bridge behind uvicorn on a free port, with the embedded stores, and words for talking to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

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
from streams.fakes import KEY, Clock, entry


class Bridge:
    """The least of a bridge: stores, hub and routes behind uvicorn on a free port."""

    def __init__(self, stores: Stores, clock: Clock, ws: Any, *, queue_bytes: int = 1024**2, **options: Any) -> None:
        self.stores = stores
        self.snapshots = Snapshots(stores.metrics, stores.state, window_s=300, clock=clock)
        self.hub = Hub(
            stores.logs, stores.state, self.snapshots.directory, clock=clock, queue_bytes=queue_bytes, jitter_s=0
        )
        self.poll = MetricPoll(self.snapshots, stores.metrics, stores.state, self.hub, interval_s=3600, clock=clock)
        routes = [WebSocketRoute("/websocket", self._websocket), Route("/logs", self._logs)]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        given = {**uvicorn_options(MAX_MESSAGE_BYTES), "ws": ws, **options}
        self.server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="error", **given)
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
async def serving(folder: Path, ws: Any = StreamProtocol, **options: Any) -> AsyncIterator[Bridge]:
    clock = Clock()
    stores = await open_stores(Settings(data_dir=folder), clock=clock)
    try:
        await stores.state.see([KEY], {})
        bridge = Bridge(stores, clock, ws, **options)
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
