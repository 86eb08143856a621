"""Every line reaches every client once, or is told as lost: under load, while Loki is restarted or killed.

    python benchmarks/loki_completeness.py [--lines 200000] [--rate 5000] [--how kill]

It needs the program loki on PATH.

An app ships lines into a real Loki by the exporter at a steady rate. In the middle Loki is ended (`--how stop`, by
SIGTERM; `kill`, by SIGKILL; `none`) and started again; the app keeps what it cannot ship. A bridge follows by its one
tail, which loses lines at this rate and all that come while Loki is away, and clients follow the bridge: over WebSocket
message by message and batched, over server-sent events, with filters, over `*`, and one that goes away for three
seconds and resumes. Each keeps account of every line. `tail` beside them is the peer: what a bare client of Loki's own
tail heard, which opens it anew as soon as it can.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import httpx
import orjson
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

FEATURE = "complete"
PAD = "answer of 212 tokens from gpt-5-mini in 842 ms, cached 0, cost 0.0021 USD"
PATIENCE_S = 180.0
"""How long the last lines may take."""


def ship(url: str, lines: int, rate: float, spool: str) -> None:
    """Log at a steady rate; every tenth line is an error, every seventh says so."""
    import logging

    import featurewatch

    featurewatch.configure(loki_url=url, environment="production", spool_dir=spool)
    log = logging.Logger("app", logging.DEBUG)
    log.addHandler(featurewatch.LogHandler())
    started = time.perf_counter()
    with featurewatch.Feature(FEATURE).call():
        for number in range(1, lines + 1):
            level = logging.ERROR if number % 10 == 0 else logging.INFO
            log.log(level, "%s%s #%d", PAD, " the seventh" if number % 7 == 0 else "", number)
            if number % 50 == 0:
                time.sleep(max(0.0, started + number / rate - time.perf_counter()))
                if number % 1000 == 0:
                    print(number, flush=True)
    print(f"written {time.perf_counter() - started:.1f}", flush=True)
    done = featurewatch.flush(300)
    print(f"done {done}", flush=True)


async def bare_tail(url: str, heard: set[int]) -> None:
    """Hear what Loki's own tail tells."""
    query = urlencode({"query": f'{{feature="{FEATURE}"}}', "limit": 1})
    while True:
        try:
            async with connect(f"{url.replace('http', 'ws', 1)}/loki/api/v1/tail?{query}", max_size=None) as socket:
                async for text in socket:
                    for stream in orjson.loads(text).get("streams") or ():
                        heard.update(int(value[1].rpartition("#")[2]) for value in stream["values"])
        except Exception:
            await asyncio.sleep(0.1)


async def run(lines: int, rate: float, how: str, clients: int) -> bool:
    from listeners import Listener
    from loki import make
    from running import bridge

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "loki").mkdir()
        loki = make(folder / "loki")
        await asyncio.to_thread(loki.start)
        try:
            with bridge(folder / "bridge", env={"FEATUREWATCH_LOKI_URL": loki.url}) as served:
                return await measure(loki, served, folder, lines, rate, how, clients, Listener)
        finally:
            await asyncio.to_thread(loki.stop)


async def measure(loki, served, folder, lines, rate, how, clients, Listener) -> bool:  # type: ignore[no-untyped-def]  # of tests/
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        first = {"featureId": FEATURE, "environment": "production", "message": "the first #0"}
        (await http.post("/api/v1/logs", json=first)).raise_for_status()
        url, feature = served.url, FEATURE
        listeners = [
            Listener("websocket, one by one", url, feature),
            Listener("websocket, batched", url, feature, batch=True),
            Listener("server-sent events", url, feature, "sse"),
            Listener("errors alone", url, feature, batch=True, filters={"levels": ["error"]}, wants=tenth),
            Listener("by search", url, feature, batch=True, filters={"search": "The SEVENTH"}, wants=seventh),
            Listener("errors, by SSE", url, feature, "sse", filters={"levels": "error"}, wants=tenth),
            Listener("all features", url, "*", batch=True),
            Listener("away for 3 s", url, feature, batch=True),
            *(Listener(f"more {number}", url, feature, batch=True) for number in range(clients)),
        ]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            await asyncio.wait_for(listener.ready.wait(), 30)
        bare: set[int] = set()
        tailing = asyncio.create_task(bare_tail(loki.url, bare))
        app = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--ship", loki.url, str(lines), str(rate), str(folder / "spool"),
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert app.stdout is not None
        started, away, ended = time.monotonic(), 0.0, None
        async for line in app.stdout:
            text = line.decode().strip()
            if text.isdigit():
                if ended is None and how != "none" and int(text) >= lines // 2:
                    ended = asyncio.create_task(restart(loki, how))
                if int(text) == lines // 3 // 1000 * 1000:
                    pausing = asyncio.create_task(listeners[7].pause(3))
            elif text.startswith("written"):
                print(f"{lines} lines written in {text.split()[1]} s, {lines / float(text.split()[1]):,.0f} a second")
            elif text != "done True":
                print("the app could not ship all:", text)
        if ended is not None:
            away = await ended
            print(f"Loki was away for {away:.1f} s ({how})")
        await pausing
        shipped = time.monotonic() - started
        numbers = range(1, lines + 1)
        deadline = time.monotonic() + PATIENCE_S
        while any(listener.open(numbers) for listener in listeners):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        print(f"all shipped after {shipped:.1f} s, all told {time.monotonic() - started - shipped:.1f} s later")
        await asyncio.sleep(2)
        complete = report(listeners, numbers, bare)
        text = (await http.get("/metrics")).text
        for line in text.splitlines():
            if line.startswith("featurewatch_loki_") and not line.endswith(" 0.0"):
                print("   ", line)
        tailing.cancel()
        for listener in listeners:
            await listener.stop()
        return complete


def report(listeners, numbers: range, bare: set[int]) -> bool:  # type: ignore[no-untyped-def]  # of tests/
    complete = True
    for listener in listeners:
        missing, told = listener.missing(numbers), listener.told_lost
        wanted = sum(map(listener.wants, numbers))
        ok = not listener.twice and not listener.open(numbers)
        complete = complete and ok
        delays = sorted(listener.delays)
        cuts = statistics.quantiles(delays, n=100)
        print(
            f"{listener.name:22} {wanted - len(missing):7} of {wanted} lines, {len(listener.twice)} twice, "
            f"{len(missing)} missing, told as lost {told} in {len(listener.gaps)} gaps, {listener.late} late, "
            f"delay p50 {cuts[49]:.2f} s p99 {cuts[98]:.2f} s, connected {listener.connects}   "
            f"{'ok' if ok else 'NOT COMPLETE'}"
        )
    print(f"{'peer: a bare tail':22} {len(bare & set(numbers)):7} of {len(numbers)} lines")
    return complete


async def restart(loki, how: str) -> float:  # type: ignore[no-untyped-def]  # of tests/
    """End Loki and start it again; how long it was away."""
    started = time.monotonic()
    if how == "kill":
        loki.process.kill()
        loki.process.wait()
    else:
        await asyncio.to_thread(loki.stop)
    await asyncio.to_thread(loki.start)
    return time.monotonic() - started


def tenth(number: int) -> bool:
    return number % 10 == 0


def seventh(number: int) -> bool:
    return number % 7 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=5_000.0, help="lines a second")
    parser.add_argument("--how", choices=("stop", "kill", "none"), default="kill", help="what becomes of Loki half-way")
    parser.add_argument("--clients", type=int, default=0, help="more clients, which want all")
    parser.add_argument("--ship", nargs=4, metavar=("URL", "LINES", "RATE", "SPOOL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ship:
        url, lines, rate, spool = options.ship
        ship(url, int(lines), float(rate), spool)
        return
    if not any((Path(folder) / "loki").exists() for folder in os.environ["PATH"].split(os.pathsep)):
        print("no Loki to measure against: put the program 'loki' on PATH")
        return
    complete = asyncio.run(run(options.lines, options.rate, options.how, options.clients))
    print("complete" if complete else "NOT COMPLETE")
    sys.exit(not complete)


if __name__ == "__main__":
    main()
