"""What stands in for Loki's tail where a real one would not fail on demand: a WebSocket server with its own will."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from featurewatch.model import LogEntry

Behaviour = Callable[[ServerConnection], Awaitable[None]]


def frame(*entries: LogEntry, dropped: int = 0) -> str:
    """Write a message of a tail as Loki does."""
    streams = [
        {
            "stream": {"service_name": "app", "feature": entry.feature, "environment": entry.environment},
            "values": [
                [
                    str(entry.timestamp_ns),
                    entry.message,
                    {"structuredMetadata": {"id": entry.id, "level": entry.level, "source": entry.source}},
                ]
            ],
        }
        for entry in entries
    ]
    told: dict[str, object] = {"streams": streams, "encodingFlags": ["categorize-labels"]}
    if dropped:
        told["dropped_entries"] = [
            {"timestamp": str(entry.timestamp_ns), "labels": {"feature": entry.feature}} for entry in entries
        ][:dropped]
    return json.dumps(told)


@dataclass
class FakeTail:
    """`refusal`: the status that an upgrade gets; `behave`: what an accepted tail does, by default nothing."""

    port: int = 0
    refusal: HTTPStatus | None = None
    behave: Behaviour | None = None
    asked: list[str] = field(default_factory=list)
    """The selectors of all that asked, in order."""
    requests: list[Request] = field(default_factory=list)
    open: list[ServerConnection] = field(default_factory=list)
    most: int = 0
    """How many were open at a time."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def say(self, text: str | bytes) -> None:
        """Send a message to the tail that was opened last."""
        await self.open[-1].send(text)

    async def handle(self, connection: ServerConnection) -> None:
        self.open.append(connection)
        self.most = max(self.most, len(self.open))
        try:
            if self.behave is not None:
                await self.behave(connection)
            await connection.wait_closed()
        finally:
            self.open.remove(connection)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        self.requests.append(request)
        self.asked.append(parse_qs(parts.query)["query"][0])
        if self.refusal is not None:
            return connection.respond(self.refusal, "not now\n")
        return None


@asynccontextmanager
async def running(fake: FakeTail | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeTail]:
    """Serve on a free port of the loopback, or on the one that the fake had before."""
    fake = fake or FakeTail()
    server: Server
    async with serve(
        fake.handle, "127.0.0.1", fake.port, process_request=fake.admit, compression=None, close_timeout=1, ssl=tls
    ) as server:
        fake.port = next(iter(server.sockets)).getsockname()[1]
        yield fake
        for connection in list(fake.open):
            connection.transport.abort()


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Accept connections and say nothing at all."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
