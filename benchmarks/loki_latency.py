"""From a line that Loki took to a WebSocket client that has it, through the bridge, beside Loki's own tail.

    python benchmarks/loki_latency.py [--rate 100] [--seconds 10] [--clients 50]

It needs the program loki on PATH. An app pushes lines into Loki itself, so the bridge hears of them by its tail alone;
a bare client of Loki's tail hears the same lines in the same run: it is the peer. Loki hands lines on every half
second, each tail at moments of its own, so the delays are compared, not the moments of each line. Beside it the same
for lines that are posted to the bridge, which tells of them as soon as Loki has them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

GOAL_MS = 100.0
FEATURE = "latency"


async def hear_tail(url: str, heard: dict[int, float], ready: asyncio.Event) -> None:
    query = urlencode({"query": f'{{feature="{FEATURE}"}}', "limit": 1})
    async with connect(f"{url.replace('http', 'ws', 1)}/loki/api/v1/tail?{query}", max_size=None) as socket:
        ready.set()
        async for text in socket:
            now = time.perf_counter()
            for stream in json.loads(text).get("streams") or ():
                for value in stream["values"]:
                    heard.setdefault(int(value[1]), now)


async def hear_bridge(url: str, heard: dict[int, float] | None, ready: asyncio.Event) -> None:
    address = f"{url.replace('http', 'ws', 1)}/api/v1/websocket?featureId={FEATURE}"
    async with connect(address, compression=None, ping_interval=None) as socket:
        await socket.send('{"type": "subscribe_logs"}')
        async for text in socket:
            now = time.perf_counter()
            if '"type":"log_history"' in text:
                ready.set()
            elif heard is not None and '"type":"log_entry"' in text:
                heard.setdefault(int(json.loads(text)["data"]["message"]), now)


async def push(client: httpx.AsyncClient, url: str, number: int, by: str) -> float:
    """Send one line; when it was acknowledged is returned."""
    now = str(time.time_ns())
    if by == "loki":
        stream = {"service_name": "app", "feature": FEATURE, "environment": "production"}
        values = [[now, str(number), {"id": f"{number:032x}", "level": "info", "source": "app"}]]
        body: object = {"streams": [{"stream": stream, "values": values}]}
        answer = await client.post(f"{url}/loki/api/v1/push", json=body)
    else:
        body = {"featureId": FEATURE, "environment": "production", "message": str(number)}
        answer = await client.post(f"{url}/api/v1/logs", json=body)
    answer.raise_for_status()
    return time.perf_counter()


async def measure(loki: str, bridge: str, by: str, first: int, rate: float, seconds: float, clients: int) -> None:
    """Print how long lines took, to the peer and to a client of the bridge."""
    ours: dict[int, float] = {}
    peer: dict[int, float] = {}
    ready = [asyncio.Event() for _ in range(clients + 1)]
    hearing = [
        asyncio.create_task(hear_tail(loki, peer, ready[0])),
        asyncio.create_task(hear_bridge(bridge, ours, ready[1])),
        *(asyncio.create_task(hear_bridge(bridge, None, event)) for event in ready[2:]),
    ]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), 60)
    numbers = range(first, first + int(rate * seconds))
    acknowledged: dict[int, float] = {}

    async def send(client: httpx.AsyncClient, number: int) -> None:
        acknowledged[number] = await push(client, loki if by == "loki" else bridge, number, by)

    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        started = time.perf_counter()
        sending = []
        for at, number in enumerate(numbers):
            await asyncio.sleep(max(0.0, started + at / rate - time.perf_counter()))
            sending.append(asyncio.create_task(send(client, number)))
        await asyncio.gather(*sending)
    deadline = time.monotonic() + 60
    while not ours.keys() >= set(numbers):
        assert time.monotonic() < deadline, f"{len(ours)} of {len(numbers)} lines came"
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    for task in hearing:
        task.cancel()
    await asyncio.gather(*hearing, return_exceptions=True)
    heard = [number for number in numbers if number in peer]
    if len(heard) < len(numbers):
        print(f"  Loki's own tail lost {len(numbers) - len(heard)} lines")
    own = show("  Loki's own tail, since it has the line", [peer[n] - acknowledged[n] for n in heard])
    through = show("  through the bridge", [ours[n] - acknowledged[n] for n in numbers])
    print(f"  p99 above Loki's own tail: {through - own:+.1f} ms   goal <= {GOAL_MS:g} ms")


def show(name: str, seconds: list[float]) -> float:
    cuts = statistics.quantiles([one * 1000 for one in seconds], n=100)
    print(f"{name:42} p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms")
    return cuts[98]


async def run(rate: float, seconds: float, clients: int, rounds: int) -> None:
    from loki import make
    from running import bridge

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "loki").mkdir()
        loki = make(folder / "loki")
        await asyncio.to_thread(loki.start)
        try:
            with bridge(folder / "bridge", env={"FEATUREWATCH_LOKI_URL": loki.url}) as served:
                async with httpx.AsyncClient(trust_env=False) as client:
                    await push(client, served.url, 0, "bridge")
                first = 1
                for number in range(rounds):
                    for by in ("loki", "bridge"):
                        print(f"round {number + 1}, {rate:g} lines/s pushed to the {by}, {clients} clients")
                        await measure(loki.url, served.url, by, first, rate, seconds, clients)
                        first += int(rate * seconds)
        finally:
            await asyncio.to_thread(loki.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100.0, help="lines a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not any((Path(folder) / "loki").exists() for folder in os.environ["PATH"].split(os.pathsep)):
        print("no Loki to measure against: put the program 'loki' on PATH")
        return
    asyncio.run(run(options.rate, options.seconds, options.clients, options.rounds))


if __name__ == "__main__":
    main()
