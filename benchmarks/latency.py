"""From a line POSTed to a WebSocket client that has it: p50 and p99, through a bridge as `featurewatch serve` runs it.

    python benchmarks/latency.py [--rate 100] [--seconds 10] [--clients 50]

One client measures, the others read along. The line carries the moment at which it was posted; the bridge stores it
safely before it is sent. Beside it, in the same run and in turns: the bridge with its files in memory (/dev/shm, where
there is one), which tells what of the delay is the disk's; what a write and fsync of 8 KiB takes on that disk, with
nothing else going on; and the peer, a FastAPI app that keeps nothing and sends each line to the same number of sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from websockets.asyncio.client import connect

GOAL_MS = 50.0
MEMORY = Path("/dev/shm")


def bare(pipe: int) -> None:
    """Serve the peer."""
    sockets: list[WebSocket] = []
    app = FastAPI()

    @app.websocket("/websocket")
    async def websocket(socket: WebSocket) -> None:
        await socket.accept()
        sockets.append(socket)
        with contextlib.suppress(Exception):
            while True:
                await socket.receive_text()

    @app.post("/logs")
    async def logs(request: Request) -> dict[str, bool]:
        text = json.dumps({"type": "log_entry", "data": await request.json()})
        for socket in sockets:
            await socket.send_text(text)
        return {"success": True}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    server.config.load()
    listener = server.config.bind_socket()
    os.write(pipe, f"http://127.0.0.1:{listener.getsockname()[1]}\n".encode())
    asyncio.run(server.serve([listener]))


@contextlib.contextmanager
def started(command: list[str], **options: object) -> Iterator[str]:
    """Run a server that says its address in its first line with one."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]  # options of Popen
    try:
        for line in process.stdout:
            if "http://127.0.0.1:" in line:
                port = line.split("http://127.0.0.1:")[1].split("/")[0].split()[0].rstrip(".,")
                yield f"http://127.0.0.1:{port}"
                return
        raise RuntimeError(f"{command} did not start")
    finally:
        process.terminate()
        process.wait()


def synced(folder: Path, rate: float, seconds: float) -> list[float]:
    """Return how long writes of 8 KiB take to be on the disk, in milliseconds."""
    took = []
    with (folder / "file").open("wb", buffering=0) as file:
        for _ in range(int(rate * seconds)):
            started_at = time.perf_counter()
            file.write(b"x" * 8192)
            os.fsync(file.fileno())
            took.append((time.perf_counter() - started_at) * 1e3)
            time.sleep(max(0.0, 1 / rate - took[-1] / 1e3))
    return took


async def measure(origin: str, prefix: str, rate: float, seconds: float, clients: int) -> list[float]:
    """Return the delays in milliseconds."""
    delays: list[float] = []
    expected = int(rate * seconds)
    url = f"{origin.replace('http', 'ws', 1)}{prefix}/websocket?featureId=latency"

    async def listen(ready: asyncio.Event, counting: bool) -> None:
        async with connect(url, compression=None) as socket:
            await socket.send('{"type": "subscribe_logs"}')
            ready.set()
            async for text in socket:
                now = time.perf_counter_ns()
                if counting and '"log_entry"' in text:
                    delays.append((now - int(json.loads(text)["data"]["message"])) / 1e6)
                    if len(delays) == expected:
                        return

    async with httpx.AsyncClient(base_url=f"{origin}{prefix}") as http:
        line = {"featureId": "latency", "environment": "production"}
        await http.post("/logs", json={**line, "message": "0"})
        ready = [asyncio.Event() for _ in range(clients)]
        others = [asyncio.create_task(listen(event, False)) for event in ready[1:]]
        measuring = asyncio.create_task(listen(ready[0], True))
        await asyncio.gather(*(event.wait() for event in ready))
        await asyncio.sleep(1)
        started_at = time.perf_counter()
        posts = []
        for number in range(expected):
            await asyncio.sleep(max(0.0, started_at + number / rate - time.perf_counter()))
            line["message"] = str(time.perf_counter_ns())
            posts.append(asyncio.create_task(http.post("/logs", json=dict(line))))
        for answer in await asyncio.gather(*posts):
            answer.raise_for_status()
        await asyncio.wait_for(measuring, 30)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return delays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100.0, help="lines a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3, help="the medians of so many are shown")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(1)
        return
    sizes = (options.rate, options.seconds, options.clients)
    print(f"{options.rate:g} lines/s for {options.seconds:g} s, {options.clients} clients, {options.rounds} rounds")
    command = [str(Path(sys.executable).with_name("featurewatch")), "serve", "--port", "0", "--data-dir"]
    ours, memory, syncs, peer = [], [], [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder, started([*command, folder]) as origin:
            ours.append(asyncio.run(measure(origin, "/api/v1", *sizes)))
        with tempfile.TemporaryDirectory() as folder:
            syncs.append(synced(Path(folder), options.rate, options.seconds))
        if MEMORY.is_dir():
            with tempfile.TemporaryDirectory(dir=MEMORY) as folder, started([*command, folder]) as origin:
                memory.append(asyncio.run(measure(origin, "/api/v1", *sizes)))
        with started([sys.executable, __file__, "--bare"]) as origin:
            peer.append(asyncio.run(measure(origin, "", *sizes)))
    for name, rounds, goal in (
        ("POST to client, stored safely in between", ours, f"goal p99 <= {GOAL_MS:g} ms"),
        ("the same, its files in memory", memory, ""),
        ("a write and fsync on the disk, by itself", syncs, ""),
        ("peer: FastAPI that keeps nothing", peer, ""),
    ):
        if not rounds:
            continue
        cuts = [statistics.quantiles(delays, n=100) for delays in rounds]
        p50, p99 = (statistics.median(cut[at] for cut in cuts) for at in (49, 98))
        each = ", ".join(f"{cut[98]:.1f}" for cut in cuts)
        print(f"{name:42} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms (of the rounds: {each})   {goal}")


if __name__ == "__main__":
    main()
