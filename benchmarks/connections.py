"""Ten thousand WebSocket connections on one core, each sent a line a second: how late do the lines come?

    python benchmarks/connections.py [--connections 10000] [--seconds 20]

The bridge is `featurewatch serve` on one core; on the other, two processes hold the connections and one posts the
lines, each of which carries the moment at which it was posted. Twice: `burst`, where all follow one feature, so that
one line a second goes to everybody at once; and `spread`, where 100 features have 100 followers each and their lines
come evenly. Every connection must get every line, and the figures of each tick beside them.
The peer, in the same run: a FastAPI app that keeps nothing and sends each line it is posted in the shortest loop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import uvicorn
import uvloop
from fastapi import FastAPI, Request, WebSocket

HOLDERS: Final = 2
"""Processes that hold connections."""
PER_ADDRESS: Final = 4_000
"""Connections from one of this machine's loopback addresses: each has some 28,000 ports, shared with what closes."""
OPENING: Final = 200
"""Connections that one holder opens at a time."""
GOAL_MS: Final = 1000.0
MARK: Final = b'"message":"at '
HELLO: Final = b'{"type":"subscribe_logs"}'


# The peer


def bare(pipe: int) -> None:
    """Serve the peer: who watches which feature, and a loop."""
    watchers: dict[str, list[WebSocket]] = {}
    app = FastAPI()

    @app.websocket("/websocket")
    async def websocket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text('{"type":"log_history","data":[]}')
        watchers.setdefault(socket.query_params["featureId"], []).append(socket)
        with contextlib.suppress(Exception):
            while True:
                await socket.receive_text()

    @app.post("/logs")
    async def logs(request: Request) -> dict[str, bool]:
        line = await request.json()
        text = json.dumps({"type": "log_entry", "data": line}, separators=(",", ":"))
        for socket in watchers.get(line["featureId"], ()):
            await socket.send_text(text)
        return {"success": True}

    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, backlog=2048, log_level="error", ws_per_message_deflate=False, ws_ping_interval=None
        )
    )
    server.config.load()
    listener = server.config.bind_socket()
    os.write(pipe, f"http://127.0.0.1:{listener.getsockname()[1]}\n".encode())
    asyncio.run(server.serve([listener]))


# The processes that hold connections


class Holder(asyncio.Protocol):
    """One connection: says what it wants, and notes how late each line comes."""

    def __init__(self, path: str, delays: array[float]) -> None:
        self._path, self._delays = path, delays
        self._rest = b""
        self.lost = False
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def ask(self) -> None:
        self._transport.write(bytes((0x81, 0x80 | len(HELLO), 0, 0, 0, 0)) + HELLO)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.ready.done():
            self._rest += data
            if not self.open.done() and b"\r\n\r\n" in self._rest:
                self.open.set_result(None)
            if b"log_history" in self._rest:
                self._rest = b""
                self.ready.set_result(None)
            return
        if data[:1] == b"\x89":  # the ping that keeps it open
            self._transport.write(b"\x8a\x80\0\0\0\0")
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = data.find(MARK)
        while at >= 0:
            end = data.find(b'"', at + len(MARK))
            if end < 0:
                self._rest = data[at:]
                return
            self._delays.append((now - int(data[at + len(MARK) : end])) / 1e6)
            at = data.find(MARK, end)
        if data.endswith(MARK[:1]):
            self._rest = data[-len(MARK) :]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        for step in (self.open, self.ready):
            if not step.done():
                step.set_exception(ConnectionError("closed before it was ready"))


async def hold(port: int, path: str, count: int, features: int, first: int, expected: int) -> None:
    """Open connections, then ask for lines, then wait for all of them and print the delays: each at a word on stdin."""
    loop = asyncio.get_running_loop()
    delays: array[float] = array("d")
    turns = asyncio.Semaphore(OPENING)
    held: list[Holder] = []

    async def open_one(number: int) -> None:
        address = f"127.0.0.{2 + number // PER_ADDRESS}"
        async with turns:
            _, holder = await loop.create_connection(
                lambda: Holder(f"{path}?featureId=f{number % features}", delays),
                "127.0.0.1",
                port,
                local_addr=(address, 0),
            )
            held.append(holder)
            await holder.open

    async def follow(holder: Holder) -> None:
        async with turns:
            holder.ask()
            await holder.ready

    await asyncio.gather(*(open_one(first + number) for number in range(count)))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*map(follow, held))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    deadline = loop.time() + 30
    while len(delays) < expected * count and loop.time() < deadline:  # noqa: ASYNC110 (data is no event)
        await asyncio.sleep(0.1)
    print(json.dumps({"delays": [round(delay, 3) for delay in delays], "lost": sum(one.lost for one in held)}))


# The run


@contextlib.contextmanager
def started(command: Sequence[str], core: int, **options: Any) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server on one core; it says its address in the first line that has one."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}), **options
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://127.0.0.1:" in line:
                yield line[line.index("http://") :].split()[0].rstrip("/"), psutil.Process(process.pid)
                return
        raise RuntimeError(f"{command} did not start")
    finally:
        process.terminate()
        process.wait()


async def post(origin: str, prefix: str, features: int, seconds: int) -> None:
    """Post a line of each feature each second, evenly spread over it."""
    async with httpx.AsyncClient(base_url=f"{origin}{prefix}", timeout=120) as http:
        began = time.perf_counter()
        posts = []
        for number in range(seconds * features):
            await asyncio.sleep(max(0.0, began + number / features - time.perf_counter()))
            line = {"featureId": f"f{number % features}", "environment": "production"}
            posts.append(asyncio.create_task(http.post("/logs", json={**line, "message": f"at {time.monotonic_ns()}"})))
        for answer in await asyncio.gather(*posts):
            answer.raise_for_status()


def measure(origin: str, prefix: str, server: psutil.Process, connections: int, features: int, seconds: int) -> str:
    """Hold, post, and describe what came."""
    with httpx.Client(base_url=f"{origin}{prefix}", timeout=60) as http:
        for number in range(features):
            line = {"featureId": f"f{number}", "environment": "production", "message": "first"}
            http.post("/logs", json=line).raise_for_status()
    before = server.memory_info().rss
    each = connections // HOLDERS
    port = origin.rpartition(":")[2]
    holders = [
        subprocess.Popen(
            [
                sys.executable, __file__, "--hold",
                json.dumps([int(port), f"{prefix}/websocket", each, features, number * each, seconds]),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(HOLDERS)
    ]  # fmt: skip
    idle = (settled(holders, "open", server) - before) / connections / 1024
    for holder in holders:
        assert holder.stdin is not None
        holder.stdin.write("follow\n")
        holder.stdin.flush()
    following = (settled(holders, "ready", server) - before) / connections / 1024
    busy, began = sum(server.cpu_times()[:2]), time.perf_counter()
    asyncio.run(post(origin, prefix, features, seconds))
    share = (sum(server.cpu_times()[:2]) - busy) / (time.perf_counter() - began)
    delays: list[float] = []
    lost = 0
    for holder in holders:
        told = json.loads(holder.communicate("done\n", timeout=60)[0])
        delays += told["delays"]
        lost += told["lost"]
    cuts = statistics.quantiles(delays, n=100)
    whole = (
        "every line came" if len(delays) == connections * seconds else f"{connections * seconds - len(delays)} MISSING"
    )
    return (
        f"p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms   worst {max(delays):7.1f} ms   core {share:4.0%}   "
        f"{idle:4.1f} KB idle, {following:4.1f} KB following   {whole}, {lost} lost"
    )


def settled(holders: Sequence[subprocess.Popen[str]], word: str, server: psutil.Process) -> int:
    """Wait until all holders say a word, and a metrics tick longer; return the server's resident bytes."""
    for holder in holders:
        assert holder.stdout is not None
        if holder.stdout.readline() != f"{word}\n":
            raise SystemExit("the connections could not be opened")
    time.sleep(6)
    resident: int = server.memory_info().rss
    return resident


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.bare:
        bare(1)
        return
    if options.hold:
        uvloop.run(hold(*json.loads(options.hold)))
        return
    if hard != resource.RLIM_INFINITY and hard < options.connections + 200:
        raise SystemExit(f"a process may open {hard} files here: raise 'ulimit -Hn', or give fewer --connections")
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    load = os.getloadavg()[0]
    print(f"{options.connections:,} connections, one core for the server, a line a second each, load {load:.1f}")
    serve = [str(Path(sys.executable).with_name("featurewatch")), "serve", "--port", "0", "--data-dir"]
    environment = {**os.environ, "FEATUREWATCH_MAX_STREAMS": str(options.connections)}
    for name, features in (("burst", 1), ("spread", 100)):
        with (
            tempfile.TemporaryDirectory() as folder,
            started([*serve, folder], cores[0], env=environment) as (url, server),
        ):
            ours = measure(url, "/api/v1", server, options.connections, features, options.seconds)
        with started([sys.executable, __file__, "--bare"], cores[0]) as (url, server):
            peer = measure(url, "", server, options.connections, features, options.seconds)
        print(f"{name:7} featurewatch serve   {ours}   goal p99 <= {GOAL_MS:g} ms")
        print(f"{name:7} peer: bare FastAPI   {peer}")


if __name__ == "__main__":
    main()
