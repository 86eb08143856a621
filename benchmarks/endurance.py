"""Hold a bridge under steady load: is its memory flat, and does every connection get every line?

    python benchmarks/endurance.py --seconds 600 --rate 1000 --connections 2
    python benchmarks/endurance.py --seconds 300 --rate 100 --connections 50

A bridge is started as a process of its own with embedded stores in a temporary folder. Lines are sent as the exporter
sends them (gzip Loki push, twice a second), while WebSocket clients follow the log. Printed: the bridge's resident
memory over time, its slope over the second half (the first fills caches), lines sent, and lines received by each
connection.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import websockets

FEATURE = "endurance"
PUSHES_A_SECOND = 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit("the bridge ended before it was ready")
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.05)
    raise SystemExit("the bridge was not ready within 10 s")


async def follow(url: str, received: list[int], at: int, done: asyncio.Event) -> str:
    """Count the lines of one connection; the answer is how it ended."""
    async with websockets.connect(url, max_size=None, compression=None, ping_interval=None) as socket:
        await socket.send(json.dumps({"type": "subscribe_logs"}))
        end = asyncio.create_task(done.wait())
        while True:
            frame = asyncio.create_task(socket.recv(decode=False))
            await asyncio.wait((frame, end), return_when=asyncio.FIRST_COMPLETED)
            if not frame.done():
                frame.cancel()
                return "open to the end"
            try:
                received[at] += frame.result().count(b'"type":"log_entry"')
            except websockets.ConnectionClosed as closed:
                end.cancel()
                return f"closed early: {closed}"


def batch(serial: int, count: int) -> bytes:
    now = time.time_ns()
    values = [
        [
            str(now + n),
            f"line {serial + n:010d} answered in {17 + n % 80} ms with {n % 7} passages of context kept {'x' * 56}",
            {"id": f"{now:016x}{serial + n:016x}", "level": "info", "source": "endurance"},
        ]
        for n in range(count)
    ]
    stream = {"service_name": "endurance", "feature": FEATURE, "environment": "production"}
    return gzip.compress(json.dumps({"streams": [{"stream": stream, "values": values}]}).encode(), 1)


def run(arguments: argparse.Namespace) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "FEATUREWATCH_DATA_DIR": str(Path(folder) / "data"),
            "FEATUREWATCH_PORT": str(port),
            "FEATUREWATCH_LOG_MAX_BYTES": str(arguments.max_bytes),
        }
        process = subprocess.Popen([sys.executable, "-m", "featurewatch.cli", "serve"], env=environment)
        try:
            asyncio.run(measure(arguments, port, process))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def measure(arguments: argparse.Namespace, port: int, process: subprocess.Popen[bytes]) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        await wait_ready(client, process)
        await load(arguments, client, port, psutil.Process(process.pid))


async def load(arguments: argparse.Namespace, client: httpx.AsyncClient, port: int, bridge: psutil.Process) -> None:
    url = f"ws://127.0.0.1:{port}/api/v1/websocket?featureId={FEATURE}&environment=production&batch=true"
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    (await client.post("/loki/api/v1/push", content=batch(0, 1), headers=headers)).raise_for_status()
    received, done = [0] * arguments.connections, asyncio.Event()
    followers = [asyncio.create_task(follow(url, received, n, done)) for n in range(arguments.connections)]
    await asyncio.sleep(2)
    start, sent, samples, size = time.monotonic(), 0, [], max(1, arguments.rate // PUSHES_A_SECOND)
    while (elapsed := time.monotonic() - start) < arguments.seconds:
        (await client.post("/loki/api/v1/push", content=batch(sent + 1, size), headers=headers)).raise_for_status()
        sent += size
        if len(samples) < elapsed // arguments.sample + 1:
            samples.append((elapsed, bridge.memory_info().rss / 2**20))
            print(f"{elapsed:7.0f} s  {samples[-1][1]:7.1f} MB  {sent:>9,} lines sent", flush=True)
        await asyncio.sleep(max(0.0, start + sent / arguments.rate - time.monotonic()))
    await asyncio.sleep(3)
    done.set()
    ends = await asyncio.gather(*followers)
    half = [(at, rss) for at, rss in samples if at >= arguments.seconds / 2] or samples
    slope = statistics.linear_regression(*zip(*half, strict=True)).slope * 60 if len(half) > 1 else 0.0
    most = max(rss for _, rss in samples)
    missing = sent * len(received) - sum(received)
    print(f"\n{sent:,} lines in {elapsed:.0f} s ({sent / elapsed:,.0f}/s), {arguments.connections} connections")
    print(f"resident memory: {samples[0][1]:.1f} MB at first, {samples[-1][1]:.1f} MB at last, {most:.1f} MB at most")
    print(f"slope over the second half: {slope:+.3f} MB a minute")
    print(f"lines received by a connection: {min(received):,} to {max(received):,}; {missing:,} missing in all")
    for end in sorted(set(ends)):
        print(f"connections {end}: {ends.count(end)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long (600 for the figure in docs/benchmarks.md)")
    parser.add_argument("--rate", type=int, default=1000, help="lines a second")
    parser.add_argument("--connections", type=int, default=2, help="WebSocket clients that follow the log")
    parser.add_argument("--sample", type=float, default=30, help="seconds between two looks at the memory")
    parser.add_argument("--max-bytes", type=int, default=10 * 1024**3, help="FEATUREWATCH_LOG_MAX_BYTES of the bridge")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
