"""Messages delivered to 200 WebSocket clients: the hub beside a bare FastAPI loop, in the same run, on one core.

    python benchmarks/delivery.py [--clients 200] [--seconds 5]

The server runs in a process of its own on one core, the clients, which only count bytes, on another. The peer is
the shortest FastAPI code there is: `for socket in sockets: await socket.send_text(text)`, of texts made before.
The hub gets the same lines as a store gives them, in batches, and does all its work: filters, encoding, queues.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, WebSocket

from featurewatch.access import ANYONE
from featurewatch.directory import Directory
from featurewatch.model import FeatureKey, LogEntry, StoredLog
from featurewatch.streams.hub import Hub
from featurewatch.streams.messages import log_line
from featurewatch.streams.positions import Position
from featurewatch.streams.server import uvicorn_options
from featurewatch.streams.websocket import MAX_MESSAGE_BYTES, serve_websocket

BATCH = 20
"""Lines of one commit, as an app's handler sends them; with ?batch=true 1,000, so that the frames fill."""
PAYLOAD = "answer of 212 tokens from gpt-5-mini in 842 ms, cached 0, cost 0.0021 USD, request 8d1f23aa"


# The server's process


def serve(port_pipe: int, stock: bool) -> None:
    class Nothing:
        """Stores that hold nothing: the benchmark publishes by itself."""

        def listen(self, listener: Any, gaps: Any = None) -> Any:
            return lambda: None

        def want(self, features: Any) -> None:
            return

        async def last_position(self) -> int:
            return 0

        async def last_event_position(self) -> int:
            return 0

        async def newest(self, key: Any, filter: Any, limit: int) -> Any:
            return ()

        async def environment_of(self, feature: str, asked: str | None) -> str:
            return "production"

        async def current(self, keys: Any) -> list[Any]:
            return []

    nothing: Any = Nothing()
    directory = Directory()
    directory.note([FeatureKey("summarize", "production")])
    hub = Hub(nothing, nothing, directory, clock=time.time_ns, queue_bytes=64 * 1024**2)
    sockets: list[WebSocket] = []
    position = 0

    def lines(count: int) -> list[StoredLog]:
        nonlocal position
        now = time.time_ns()
        batch = []
        for _ in range(count):
            position += 1
            entry = LogEntry(f"{position:032x}", "summarize", "production", now, "info", PAYLOAD, trace_id="c0ffee")
            batch.append(StoredLog(position, entry))
        return batch

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await hub.start()
        yield
        await hub.stop()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/bare")
    async def bare(websocket: WebSocket) -> None:
        await websocket.accept()
        sockets.append(websocket)
        with contextlib.suppress(Exception):
            while True:
                await websocket.receive_text()

    @app.websocket("/hub")
    async def streams(websocket: WebSocket) -> None:
        async def authenticate(_: str) -> Any:
            return ANYONE

        await serve_websocket(
            websocket,
            hub,
            nothing,
            features=["summarize"],
            batch=websocket.query_params.get("batch") == "true",
            principal=ANYONE,
            authenticate=authenticate,
        )

    @app.post("/run/{what}")
    async def run(what: str, seconds: float) -> dict[str, Any]:
        """Send for so long as fast as it goes, then close everybody; the messages sent to each."""
        sent, end = 0, time.perf_counter() + seconds
        size = 1000 if what == "batch" else BATCH
        while time.perf_counter() < end:
            batch = lines(size)
            if what == "bare":
                # Encoded once, outside of the loop: the strongest form of the peer.
                texts = [log_line(line.entry, Position(line.position, 0, 0)).text for line in batch]
                for text in texts:
                    for socket_ in sockets:
                        await socket_.send_text(text)
            else:
                hub.publish_logs(batch)
                await asyncio.sleep(0)
                while not hub.idle:  # noqa: ASYNC110 (as fast as it goes)
                    await asyncio.sleep(0)
            sent += size
        if what == "bare":
            for socket_ in sockets:
                await socket_.close(1000)
            sockets.clear()
        else:
            for client in list(hub.clients):
                client.end(1000, "done")
        return {"sent": sent, "dropped": sum(hub.stats.dropped.values())}

    @app.get("/followers")
    async def followers() -> int:
        return len(sockets) + sum(bool(client.subscriber.following) for client in hub.clients)

    options: dict[str, Any] = {} if stock else dict(uvicorn_options(MAX_MESSAGE_BYTES))
    options["ws_per_message_deflate"] = False
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    os.write(port_pipe, f"{listener.getsockname()[1]}\n".encode())
    config = uvicorn.Config(app, log_level="error", access_log=False, **options)
    asyncio.run(uvicorn.Server(config).serve([listener]))


# The clients' process


class Counter(asyncio.Protocol):
    """Counts what comes until the server closes."""

    def __init__(self, path: str, say: bytes) -> None:
        self.path, self.say = path, say
        self.received, self.head = 0, b""
        self.last = 0.0
        self.open = asyncio.get_running_loop().create_future()
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            self.head += data
            if b"\r\n\r\n" in self.head:
                if not self.head.startswith(b"HTTP/1.1 101"):
                    self.open.set_exception(RuntimeError(self.head.decode(errors="replace")))
                    return
                self.open.set_result(None)
                if self.say:
                    self.transport.write(masked(self.say))
            return
        self.received += len(data)
        self.last = time.perf_counter()
        if len(data) < 4096 and b"\x88" in data[-130:]:
            self.transport.write(masked(b"", 0x88))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


def masked(data: bytes, opcode: int = 0x81) -> bytes:
    assert len(data) < 126
    return bytes((opcode, 0x80 | len(data), 0, 0, 0, 0)) + data


async def measure(port: int, what: str, clients: int, seconds: float) -> float:
    """Return the messages delivered per second."""
    loop = asyncio.get_running_loop()
    path = {"bare": "/bare", "hub": "/hub", "batch": "/hub?batch=true"}[what]
    say = b"" if what == "bare" else b'{"type":"subscribe_logs"}'
    protocols: list[Counter] = []
    for _ in range(clients):
        _, protocol = await loop.create_connection(lambda: Counter(path, say), "127.0.0.1", port)
        protocols.append(protocol)
    await asyncio.gather(*(protocol.open for protocol in protocols))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
        while (await http.get("/followers")).json() < clients:  # noqa: ASYNC110 (the other process has no event to give)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        before = sum(protocol.received for protocol in protocols)
        started = time.perf_counter()
        answer = (await http.post(f"/run/{what}", params={"seconds": seconds})).json()
        await asyncio.wait([protocol.over for protocol in protocols], timeout=30)
    took = max(protocol.last for protocol in protocols) - started
    size = (sum(protocol.received for protocol in protocols) - before) / (answer["sent"] * clients)
    assert answer["dropped"] == 0, answer
    assert 200 < size < 600, f"{size:.0f} bytes a message: not everything was delivered"
    return answer["sent"] * clients / took


def run(stock: bool, kinds: Sequence[str], clients: int, seconds: float) -> dict[str, float]:
    cores = sorted(os.sched_getaffinity(0))
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(writing), *(["--stock"] if stock else [])],
        pass_fds=[writing],
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),
    )
    try:
        os.sched_setaffinity(0, {cores[-1]})
        with os.fdopen(reading) as pipe:
            port = int(pipe.readline())
        os.close(writing)
        time.sleep(0.5)
        return {what: asyncio.run(measure(port, what, clients, seconds)) for what in kinds}
    finally:
        os.sched_setaffinity(0, set(cores))
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stock", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.stock)
        return
    stock = run(True, ("bare", "hub"), options.clients, options.seconds)
    ours = run(False, ("hub", "batch"), options.clients, options.seconds)
    peer = stock["bare"]
    print(f"{options.clients} clients, one core for the server, {Path(__file__).name}")
    for name, value, goal in (
        ("peer: FastAPI on uvicorn, bare loop", peer, ""),
        ("hub, uvicorn's own WebSocket", stock["hub"], "goal >= 0.9"),
        ("hub, ready-made frames (as served)", ours["hub"], "goal >= 0.9"),
        ("hub, batch=true", ours["batch"], "goal >= 400,000/s"),
    ):
        print(f"{name:38} {value:10,.0f} messages/s   {value / peer:5.2f} x   {goal}")


if __name__ == "__main__":
    main()
