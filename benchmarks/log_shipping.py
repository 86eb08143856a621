"""Lines shipped into a real Loki, beside python-logging-loki, loki-logger-handler and bare batched posts.

    python benchmarks/log_shipping.py                 # needs the program loki on PATH
    python benchmarks/log_shipping.py --outage 60     # the outage alone: memory beside the bound
    pip install --group benchmark                     # the peers

Lines of 120 bytes. Each way runs as a process of its own against the same Loki with a feature of its own. First every
way's throughput: lines through the app's `logging` until all are acknowledged. The bare posts skip `logging`: lines
made, encoded, compressed and posted in a loop, 4,000 a request, with and without an id for each line; "featurewatch,
bare" skips it alike, its lines going straight to the shipper. Then a burst of 50,000 lines. Then a destination that is
away for --outage seconds while the app writes 20,000 lines a second: the most resident memory beside log_queue_bytes,
and what arrives, with and without a spool. "arrived" is what query_range finds.

Limits shipped: batches of 1 MiB before compression, two requests at a time into Loki, gzip level 1, 64 MiB in memory.
Loki runs on the same machine: on two cores it takes one of them, so what else runs there is seen in each figure.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

LINE = "processed document %07d of the batch in time, its summary is stored and the reader was told about it, all well"
PEERS = {"python-logging-loki": "logging_loki", "loki-logger-handler": "loki_logger_handler"}
DRAIN_S = 900
"""How long the delivery of what an outage left may take."""


def logger_with(handler: logging.Handler) -> logging.Logger:
    made = logging.Logger("app", logging.INFO)
    made.addHandler(handler)
    return made


def write(log: logging.Logger, lines: int, first: int = 0) -> None:
    for number in range(first, first + lines):
        log.info(LINE, number)


def run_featurewatch(url: str, job: str, lines: int) -> None:
    import featurewatch

    featurewatch.configure(loki_url=url)
    log = logger_with(featurewatch.LogHandler())
    with featurewatch.Feature(job).call():
        log.info("first")
        featurewatch.flush(30)
        started = time.perf_counter()
        write(log, lines)
        written = time.perf_counter() - started
        done = featurewatch.flush(300)
    report(written, time.perf_counter() - started, done)


def run_shipper(url: str, job: str, lines: int) -> None:
    import featurewatch
    from featurewatch.exporter.lines import Line
    from featurewatch.exporter.runtime import RUNTIME
    from featurewatch.model import FeatureKey

    featurewatch.configure(loki_url=url)
    shipper, key = RUNTIME.shipper, FeatureKey(job, "development")
    assert shipper is not None
    shipper.put(Line(time.time(), key, 20, "first", "app"), 5)
    featurewatch.flush(30)
    started = time.perf_counter()
    for number in range(lines):
        text = LINE % number
        shipper.put(Line(time.time(), key, 20, text, "app"), len(text))
    written = time.perf_counter() - started
    done = featurewatch.flush(300)
    report(written, time.perf_counter() - started, done)


def run_python_logging_loki(url: str, job: str, lines: int) -> None:
    import logging_loki

    handler = logging_loki.LokiHandler(url=f"{url}/loki/api/v1/push", tags={"feature": job}, version="1")
    log = logger_with(handler)
    started = time.perf_counter()
    write(log, lines)
    report(time.perf_counter() - started, time.perf_counter() - started, True)


def run_loki_logger_handler(url: str, job: str, lines: int) -> None:
    from loki_logger_handler.loki_logger_handler import LokiLoggerHandler

    handler = LokiLoggerHandler(url=f"{url}/loki/api/v1/push", labels={"feature": job}, compressed=True, timeout=1)
    log = logger_with(handler)
    started = time.perf_counter()
    write(log, lines)
    written = time.perf_counter() - started
    deadline = time.monotonic() + 120
    while not handler.buffer.empty() and time.monotonic() < deadline:
        time.sleep(0.05)
    report(written, time.perf_counter() - started, True)
    time.sleep(3)  # the request that runs, which nothing of its interface tells


def run_bare(url: str, job: str, lines: int, ids: bool) -> None:
    client = httpx.Client(headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}, timeout=60)
    started = time.perf_counter()
    done = True
    for first in range(0, lines, 4000):
        values: list[list[Any]] = []
        for number in range(first, min(first + 4000, lines)):
            moment = time.time_ns()
            value: list[Any] = [str(moment), LINE % number]
            if ids:
                value.append({"id": f"{moment:032x}", "level": "info", "source": "app"})
            values.append(value)
        body = json.dumps({"streams": [{"stream": {"feature": job}, "values": values}]}).encode()
        answer = client.post(f"{url}/loki/api/v1/push", content=gzip.compress(body, 1))
        done = done and answer.status_code == 204
    report(time.perf_counter() - started, time.perf_counter() - started, done)


def report(written: float, shipped: float, done: bool) -> None:
    print(json.dumps({"written": written, "shipped": shipped, "done": done}), flush=True)


def ways(url: str, job: str, lines: int, way: str) -> None:
    match way:
        case "featurewatch":
            run_featurewatch(url, job, lines)
        case "featurewatch, bare":
            run_shipper(url, job, lines)
        case "python-logging-loki":
            run_python_logging_loki(url, job, lines)
        case "loki-logger-handler":
            run_loki_logger_handler(url, job, lines)
        case "bare posts":
            run_bare(url, job, lines, ids=False)
        case "bare posts, with ids":
            run_bare(url, job, lines, ids=True)


def measure(way: str, url: str, lines: int) -> tuple[str, dict[str, Any]]:
    job = f"bench-{uuid.uuid4().hex[:10]}"
    ran = subprocess.run(
        [sys.executable, __file__, "--way", way, "--url", url, "--job", job, "--lines", str(lines)],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    told = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if not told:
        print(ran.stderr[-500:])
        return job, {"written": 0.0, "shipped": float("inf"), "done": False}
    return job, json.loads(told[-1])


def arrived(loki: Any, job: str, most: int) -> tuple[int, int]:
    """Count what is stored: all lines, and the different ones."""
    deadline = time.monotonic() + 5
    found: list[str] = []
    while len(found) < most and time.monotonic() < deadline:
        found = [one.line for one in loki.stored(f'{{feature="{job}"}}') if one.line != "first"]
    return len(found), len(set(found))


def present(way: str) -> bool:
    return way not in PEERS or importlib.util.find_spec(PEERS[way]) is not None


def throughput(loki: Any, lines: int, rounds: int) -> None:
    print(f"{lines:,} lines of 120 bytes into Loki, until all are acknowledged; {rounds} rounds, ways in turn")
    rates: dict[str, list[float]] = {}
    wrong: dict[str, str] = {}
    for number in range(rounds):
        for way in ("bare posts", "bare posts, with ids", "featurewatch, bare", "featurewatch", *PEERS):
            if not present(way):
                wrong[way] = "not installed (pip install --group benchmark)"
                continue
            # The slow ones are given what they manage in a reasonable time, once.
            given = {"python-logging-loki": 2_000, "loki-logger-handler": 10_000}.get(way, lines)
            if number and given != lines:
                continue
            job, took = measure(way, loki.url, given)
            count, different = arrived(loki, job, given)
            rates.setdefault(way, []).append(different / took["shipped"])
            if (count, different) != (given, given):
                wrong[way] = f"arrived {different:,} of {given:,}, {count - different:,} twice"
        print(f"  round {number + 1}: load {os.getloadavg()[0]:.1f}, featurewatch {rates['featurewatch'][-1]:,.0f}")
    base = statistics.median(rates["bare posts, with ids"])
    for way, values in rates.items():
        middle = statistics.median(values)
        print(f"  {way:24} median {middle:9,.0f} lines/s, best {max(values):9,.0f}   {middle / base:6.3f} × bare posts "
              f"with ids   {wrong.get(way, 'each line arrived once')}")  # fmt: skip


def burst(loki: Any, lines: int) -> None:
    print(f"a burst of {lines:,} lines, as fast as the app writes")
    for way in ("featurewatch", "loki-logger-handler", "python-logging-loki"):
        if not present(way):
            continue
        if way == "python-logging-loki":
            print(f"  {way:24} posts each line while the app waits: it has no burst, see its rate above")
            continue
        job, took = measure(way, loki.url, lines)
        count, different = arrived(loki, job, lines)
        print(f"  {way:24} written in {took['written']:6.2f} s   arrived {different:,}, {count - different:,} twice")


def outage(loki: Any, seconds: float, rate: int, spooled: Sequence[bool]) -> None:
    print(f"{rate:,} lines/s while the destination is away for {seconds:g} s")
    for with_spool in spooled:
        with tempfile.TemporaryDirectory() as folder:
            job, started = f"bench-{uuid.uuid4().hex[:10]}", time.time()
            ran = subprocess.run(
                [sys.executable, __file__, "--away", str(seconds), "--rate", str(rate), "--url", loki.url, "--job", job,
                 "--spool", folder if with_spool else ""],
                stdout=subprocess.PIPE, text=True, timeout=seconds + DRAIN_S + 120,
            )  # fmt: skip
            told = json.loads(ran.stdout.splitlines()[-1])
            print(f"  ... written and delivered in {told['drained']:.0f} s, now counted", flush=True)
            count, different = numbered(loki, job, told["lines"], started)
            print(f"  {'with' if with_spool else 'without'} a spool: {told['lines']:,} lines written at "
                  f"{told['rate']:,.0f}/s, resident memory from {told['before']:.0f} to at most {told['most']:.0f} MiB "
                  f"(log_queue_bytes {told['bound']:.0f} MiB), spool at most {told['spool']:.0f} MiB, delivered in "
                  f"{told['drained']:.0f} s; dropped {told['dropped']:,}, arrived {different:,}, "
                  f"{count - different:,} twice", flush=True)  # fmt: skip


def numbered(loki: Any, job: str, lines: int, started: float) -> tuple[int, int]:
    """Count what is stored by the numbers in the lines, of any number of lines: all, and the different ones."""
    times = bytearray(lines)
    for one in loki.each(f'{{feature="{job}"}}', since_s=time.time() - started + 5, window_s=1):
        number = int(one.line.split()[2])
        times[number] = min(255, times[number] + 1)
    return sum(times), lines - times.count(0)


def away(url: str, job: str, spool: str, seconds: float, rate: int) -> None:
    """Write through an outage: a port that nobody listens on until a proxy to Loki opens there."""
    import psutil

    import featurewatch
    from featurewatch.exporter.runtime import RUNTIME
    from featurewatch.exporter.spool import measure as spool_size

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    featurewatch.configure(loki_url=f"http://127.0.0.1:{port}", spool_dir=spool or None)
    log = logger_with(featurewatch.LogHandler())
    process = psutil.Process()
    before = most = process.memory_info().rss
    size = written = 0
    with featurewatch.Feature(job).call():
        started = time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            due = int(passed * rate) + rate // 100 - written
            write(log, due, written)
            written += due
            most = max(most, process.memory_info().rss)
            if written % rate < rate // 50 and spool:
                size = max(size, spool_size(Path(spool)))
            time.sleep(0.01)
        took = time.perf_counter() - started
        threading.Thread(target=forward, args=(port, url), daemon=True).start()
        back = time.perf_counter()
        drained: list[bool] = []
        waiting = threading.Thread(target=lambda: drained.append(featurewatch.flush(DRAIN_S)))
        waiting.start()
        while waiting.is_alive():
            waiting.join(0.05)
            most = max(most, process.memory_info().rss)
        drained_in = time.perf_counter() - back if drained == [True] else float("inf")
    dropped = sum(count for (signal, _, _), count in RUNTIME.drops.snapshot().items() if signal == "logs")
    mib = 1024**2
    print(json.dumps({
        "lines": written, "rate": written / took, "before": before / mib, "most": most / mib, "spool": size / mib,
        "bound": RUNTIME.config.log_queue_bytes / mib, "dropped": dropped,
        "drained": drained_in,
    }))  # fmt: skip


def forward(port: int, url: str) -> None:
    """Pass connections on to Loki."""
    host, target = url.removeprefix("http://").split(":")

    def pump(one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65536):
            other.sendall(data)

    server = socket.create_server(("127.0.0.1", port))
    while True:
        here, _ = server.accept()
        there = socket.create_connection((host, int(target)))
        for pair in ((here, there), (there, here)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--burst", type=int, default=50_000)
    parser.add_argument("--outage", type=float, help="seconds; the outage alone")
    parser.add_argument("--rate", type=int, default=20_000, help="lines a second during the outage")
    parser.add_argument("--only-spooled", action="store_true", help="the outage with a spool alone")
    for internal in ("--way", "--url", "--job", "--away", "--spool"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        return ways(options.url, options.job, options.lines, options.way)
    if options.away:
        return away(options.url, options.job, options.spool, float(options.away), options.rate)
    import shutil

    from loki import Loki, make

    url = os.environ.get("FEATUREWATCH_TEST_LOKI_URL", "")
    if not url and shutil.which("loki") is None:
        print("skipped: no program loki on PATH, and no FEATUREWATCH_TEST_LOKI_URL")
        return None
    with tempfile.TemporaryDirectory() as folder:
        loki = Loki(url) if url else make(Path(folder))
        if not url:
            loki.start()
        try:
            if options.outage is None:
                throughput(loki, options.lines, options.rounds)
                burst(loki, options.burst)
            outage(loki, options.outage or 60, options.rate, (True,) if options.only_spooled else (False, True))
        finally:
            loki.stop()
    return None


if __name__ == "__main__":
    main()
