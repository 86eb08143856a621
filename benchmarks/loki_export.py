"""Export a million lines from Loki through the bridge, beside Loki's own query_range.

    python benchmarks/loki_export.py [--lines 1000000] [--rounds 1]

It needs the program loki on PATH.

A real Loki is filled with lines of 120 bytes, as the exporter writes them: an id each, metadata every second. A bridge,
a process of its own, sends them as a file, CSV and JSON; how large it grew meanwhile is read from the system. The peer
is a bare client in the same run: it pages through query_range, 5,000 lines at a time, structured metadata told apart
from labels (as it must be for an id), and reads the JSON, nothing more. Both count lines and compare the first and the
last. One after the other, so that neither takes the other's time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

FEATURE = "export"
SELECTOR = f'{{feature="{FEATURE}", environment="production"}}'
WORDS = ["answer", "cache", "user", "tokens", "timeout", "retry", "order", "payment", "model", "stream", "tool"]
SPAN_S = 3 * 3600
"""The lines spread over so long."""


def texts(count: int) -> Iterator[str]:
    picked = random.Random(1)
    for number in range(count):
        yield f"{' '.join(picked.choices(WORDS, k=17))[:108]} #{number}"


async def fill(url: str, count: int, start_ns: int) -> None:
    from featurewatch.ids import new_ids
    from featurewatch.model import LogEntry
    from featurewatch.stores.loki_push import body

    step = SPAN_S * 10**9 // count
    times = [start_ns + number * step for number in range(count)]
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        batch: list[LogEntry] = []
        for number, (moment, id_, text) in enumerate(zip(times, new_ids(times), texts(count), strict=True)):
            metadata = f'{{"order":{number},"region":"eu-west-{number % 3}"}}' if number % 2 else None
            level = "error" if number % 10 == 0 else "info"
            batch.append(LogEntry(id_, FEATURE, "production", moment, level, text, "app", metadata))
            if len(batch) == 5000 or number == count - 1:
                headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
                answer = await client.post("/loki/api/v1/push", content=body(batch), headers=headers)
                assert answer.status_code == 204, answer.text
                batch = []


async def by_bridge(url: str, count: int, start_ns: int, format_: str) -> float:
    """Download the file; its lines are counted as they come, and the last one is looked at."""
    params = {"feature_id": FEATURE, "format": format_, "start_time": iso(start_ns), "environment": "production"}
    seen, last, started = 0, b"", time.perf_counter()
    async with (
        httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client,
        client.stream("GET", "/api/v1/logs/export", params=params) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        async for part in answer.aiter_raw():
            seen += part.count(b"\n")
            last = (last + part)[-1000:]
    seconds = time.perf_counter() - started
    # JSON has a line break between two entries, CSV one after its header and each line.
    assert seen == (count - 1 if format_ == "json" else count + 1), seen
    assert f"#{count - 1}".encode() in last
    return count / seconds


async def by_query_range(url: str, count: int, start_ns: int) -> float:
    """Page by overlap: the next page begins with the timestamp that this one ends with."""
    headers = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    end, seen, start, started = start_ns + SPAN_S * 10**9, 0, start_ns, time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, headers=headers) as client:
        while True:
            params = {"query": SELECTOR, "start": start, "end": end, "limit": 5000, "direction": "forward"}
            answer = await client.get("/loki/api/v1/query_range", params=params)
            answer.raise_for_status()
            streams = orjson.loads(answer.content)["data"]["result"]
            page = [value for stream in streams for value in stream["values"]]
            new = sum(1 for value in page if int(value[0]) > start or start == start_ns)
            seen += new
            if len(page) < 5000:
                break
            start = max(int(value[0]) for value in page)
    assert seen == count, seen
    return count / (time.perf_counter() - started)


def iso(ns: int) -> str:
    from featurewatch.times import format_instant

    return format_instant(ns)


async def run(count: int, rounds: int) -> bool:
    from loki import LIMITS, make
    from running import bridge

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "loki").mkdir()
        loki = make(folder / "loki", LIMITS)
        await asyncio.to_thread(loki.start)
        try:
            start_ns = time.time_ns() // 10**9 * 10**9 - SPAN_S * 10**9
            began = time.perf_counter()
            await fill(loki.url, count, start_ns)
            print(f"{count} lines pushed in {time.perf_counter() - began:.0f} s", flush=True)
            env = {"FEATUREWATCH_LOKI_URL": loki.url, "FEATUREWATCH_LOKI_TIMEOUT": "60s"}
            with bridge(folder / "bridge", env=env) as served:
                await asyncio.sleep(11)  # the feature is looked for every 10 s
                return await measure(loki.url, served, count, rounds, start_ns)
        finally:
            await asyncio.to_thread(loki.stop)


async def measure(url: str, served, count: int, rounds: int, start_ns: int) -> bool:  # type: ignore[no-untyped-def]  # of tests/
    good = True
    process = psutil.Process(served.process.pid)
    print(f"resident before {process.memory_info().rss / 1024**2:.0f} MiB")
    for _ in range(rounds):
        peer = await by_query_range(url, count, start_ns)
        print(f"peer, query_range {peer:10,.0f} lines/s", flush=True)
        for format_ in ("csv", "json"):
            largest = 0
            exporting = asyncio.create_task(by_bridge(served.url, count, start_ns, format_))
            while not exporting.done():
                largest = max(largest, process.memory_info().rss)
                await asyncio.wait([exporting], timeout=0.2)
            ours = exporting.result()
            good = good and largest <= 150 * 1024**2 and (ours >= 50_000 or ours >= 0.8 * peer)
            print(
                f"export, {format_:10} {ours:9,.0f} lines/s, {ours / peer:.2f} of the peer, "
                f"resident at most {largest / 1024**2:.0f} MiB",
                flush=True,
            )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(run(given.lines, given.rounds)) else 1)


if __name__ == "__main__":
    main()
