"""What a log line costs the thread that writes it, and how fast lines are shipped, beside plain logging.

    python benchmarks/log_line.py

First, the calling thread alone: a line of 120 bytes within a call, to a null handler and to a LogHandler whose lines
nobody ships meanwhile. The two take turns; printed are the medians. Goal: at most 3 µs above the null handler.
Then a burst of lines through the whole way, to an HTTP server of this process that answers 204 and counts: seconds
until all are there, and whether each is there once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import statistics
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import featurewatch
from featurewatch.exporter.config import Config
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.shipper import Shipper

LINE = "processed document %d of the batch in time, its summary is stored and the reader was told about it, all is well"


class Idle(Shipper):
    """A shipper whose thread never wakes, so that only the calling thread's part is measured."""

    def __init__(self) -> None:
        super().__init__(Config(loki_url="http://127.0.0.1:9"), RUNTIME.drops)
        self.worker.wake = lambda: None  # type: ignore[method-assign]  # nothing is to be shipped

    def put(self, line, size) -> None:  # type: ignore[no-untyped-def]  # as in Shipper
        super().put(line, size)
        if self._full:
            self._full.clear()
            self._bytes = 0


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger(handler.__class__.__name__, logging.INFO)
    logger.addHandler(handler)
    return logger


def microseconds(logger: logging.Logger, lines: int) -> float:
    started = perf_counter()
    for number in range(lines):
        logger.info(LINE, number)
    return (perf_counter() - started) / lines * 1e6


def calling_thread(rounds: int, lines: int) -> None:
    feature = featurewatch.Feature("benchmark")
    RUNTIME.config  # noqa: B018  # read before the shipper is put in its place
    RUNTIME.shipper = Idle()
    null, ours = logger_with(logging.NullHandler()), logger_with(featurewatch.LogHandler())
    taken: dict[str, list[float]] = {"null handler": [], "LogHandler": [], "LogHandler, two extras": []}
    with feature.call():
        for _ in range(rounds):
            taken["null handler"].append(microseconds(null, lines))
            taken["LogHandler"].append(microseconds(ours, lines))
            started = perf_counter()
            for number in range(lines):
                ours.info(LINE, number, extra={"user_id": "u-1", "documents": 3})
            taken["LogHandler, two extras"].append((perf_counter() - started) / lines * 1e6)
    RUNTIME.shipper = None
    base = statistics.median(taken["null handler"])
    print("a line of 120 bytes, on the calling thread")
    for name, values in taken.items():
        print(f"  {name:28} {statistics.median(values):6.2f} µs  {statistics.median(values) - base:+6.2f} µs")


def burst(lines: int) -> None:
    seen: dict[str, int] = {}
    arrived = 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal arrived
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            bodies.append(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    featurewatch.configure(loki_url=f"http://127.0.0.1:{server.server_port}")
    logger = logger_with(featurewatch.LogHandler())
    with featurewatch.Feature("benchmark").call():
        logger.info("first")
        featurewatch.flush(60)
        started = perf_counter()
        for number in range(lines):
            logger.info(LINE, number)
        written = perf_counter() - started
        done = featurewatch.flush(120)
        shipped = perf_counter() - started
    server.shutdown()
    for body in bodies[1:]:
        for stream in json.loads(gzip.decompress(body))["streams"]:
            for _, line, _ in stream["values"]:
                seen[line] = seen.get(line, 0) + 1
    once = sum(count == 1 for count in seen.values())
    print(
        f"a burst of {lines} lines: written in {written:.2f} s, shipped in {shipped:.2f} s ({lines / shipped:,.0f}/s)"
    )
    print(f"  flushed: {done}, in {len(bodies) - 1} requests, {once} lines arrived exactly once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--burst", type=int, default=100_000)
    options = parser.parse_args()
    calling_thread(options.rounds, options.lines)
    burst(options.burst)


if __name__ == "__main__":
    main()
