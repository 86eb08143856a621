"""The console's overview in a real Chromium: how soon it shows 100 features, and what 200 that change each second cost.

    python benchmarks/console_overview.py [--seconds 30]

A real bridge with embedded stores; an app tells it by OTLP of every feature each second. The first view is measured
from the start of the navigation, in a fresh profile each round, until all rows stand and figures are in them. The
processor time is that of all of Chromium's processes together. The peer is a bare page over the same stream: it parses
each message and writes one figure of each feature as text. Goals: 1 s, 30 % of one core, 150 KB transferred.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
EDGES = [0.01 * 2**power for power in range(14)]
STARTED = time.time_ns()
SHOWN = """(count) => document.querySelectorAll(".rows .row").length >= count
  && document.querySelector(".row [data-metric=requests_per_minute] .figure-value")?.textContent !== "—"
  && performance.now()"""
BYTES = """() => [...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")]
  .reduce((sum, { transferSize }) => sum + transferSize, 0)"""
PEER = """(url) => {
  const cells = new Map();
  window.seen = 0;
  new WebSocket(url).onmessage = ({ data }) => {
    for (const { type, featureId, data: told } of JSON.parse(data)) {
      if (type !== "metrics_update") continue;
      if (!cells.has(featureId)) cells.set(featureId, document.body.appendChild(document.createElement("p")));
      cells.get(featureId).textContent = `${featureId} ${told.metrics.requests_per_minute}`;
      window.seen += 1;
    }
  };
}"""


@contextmanager
def bridge(folder: str) -> Iterator[str]:
    """Run a bridge that tells figures each second."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FEATUREWATCH_")}
    command = [sys.executable, "-m", "featurewatch.cli", "serve", "--port", "0", "--data-dir", folder]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=env | {"FEATUREWATCH_METRICS_INTERVAL": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("featurewatch is ready: ").strip()
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def traffic(url: str, features: int) -> Iterator[None]:
    """Tell of calls of every feature each second, until left."""
    ended = threading.Event()
    tell(url, features, 1)

    def run() -> None:
        for second in itertools.count(2):
            if ended.wait(1):
                return
            tell(url, features, second)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tell(url: str, features: int, second: int) -> None:
    names = [f"feature-{number:03}" for number in range(features)]
    calls = [second * (1 + number % 7) for number in range(features)]
    errors = [count // 9 if number % 5 == 0 else 0 for number, count in enumerate(calls)]
    outcomes = [("success", calls), ("error", errors)]
    requests = [
        point(name, {"asInt": str(count)}, outcome=outcome)
        for outcome, counts in outcomes
        for name, count in zip(names, counts, strict=True)
    ]
    cost = [
        point(name, {"asDouble": count * 0.002}, model="gpt-5-mini", source="reported")
        for name, count in zip(names, calls, strict=True)
    ]
    slow = [
        point(name, histogram(count, number)) for number, (name, count) in enumerate(zip(names, calls, strict=True))
    ]
    metrics = [
        {"name": "feature_requests_total", "sum": total(requests)},
        {"name": "feature_cost_usd_total", "sum": total(cost)},
        {
            "name": "feature_request_duration_seconds",
            "unit": "s",
            "histogram": {"aggregationTemporality": 2, "dataPoints": slow},
        },
    ]
    resource = {"attributes": attributes({"service.instance.id": "benchmark"})}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    answer = httpx.post(f"{url}/v1/metrics", json=body, timeout=30)
    answer.raise_for_status()
    assert not answer.json(), answer.text


def total(points: list[dict[str, Any]]) -> dict[str, Any]:
    return {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}


def histogram(count: int, number: int) -> dict[str, Any]:
    buckets = [0] * (len(EDGES) + 1)
    buckets[3 + number % 5] = count
    return {
        "count": str(count),
        "sum": count * 0.2,
        "bucketCounts": [str(one) for one in buckets],
        "explicitBounds": EDGES,
    }


def point(feature: str, value: dict[str, Any], **labels: str) -> dict[str, Any]:
    at = {"startTimeUnixNano": str(STARTED), "timeUnixNano": str(time.time_ns())}
    return {"attributes": attributes({"feature": feature, "environment": "production", **labels}), **at, **value}


def attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def processor_seconds() -> float:
    """Add up what all processes of Chromium that this one started have used."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                text = file.read()
        except OSError:
            continue
        name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
        parents[int(entry)] = int(fields[1])
        if name.startswith("chrom"):
            used[int(entry)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(seconds for pid, seconds in used.items() if descends(pid, parents))


def descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        if pid == os.getpid():
            return True
        pid = parents[pid]
    return False


def first_view(browser: Browser, url: str, features: int) -> tuple[float, float]:
    """Return milliseconds until the overview stands, and bytes transferred."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url, wait_until="commit")
    milliseconds = page.wait_for_function(SHOWN, arg=features, polling="raf").json_value()
    page.wait_for_load_state("networkidle")
    transferred = page.evaluate(BYTES)
    context.close()
    return float(milliseconds), float(transferred)


def share(page: Page, seconds: float) -> float:
    """Return what Chromium uses of one core while a page lies open, in percent."""
    page.wait_for_timeout(3_000)
    began, used = time.monotonic(), processor_seconds()
    page.wait_for_timeout(seconds * 1000)
    return (processor_seconds() - used) / (time.monotonic() - began) * 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long each page is watched")
    parser.add_argument("--rounds", type=int, default=5, help="first views")
    options = parser.parse_args()
    chromium = os.environ.get("FEATUREWATCH_TEST_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium is installed (Debian: apt install chromium)")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        with tempfile.TemporaryDirectory() as folder, bridge(folder) as url, traffic(url, 100):
            views = [first_view(browser, url, 100) for _ in range(options.rounds)]
        with tempfile.TemporaryDirectory() as folder, bridge(folder) as url, traffic(url, 200):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(url)
            page.wait_for_function(SHOWN, arg=200)
            ours = share(page, options.seconds)
            page.route("**/main.js", lambda route: route.abort())  # the console's page, in which nothing runs
            page.goto(f"{url}/?bare")
            page.evaluate(PEER, f"{url.replace('http', 'ws')}/api/v1/websocket?featureId=*&batch=true")
            bare = share(page, options.seconds)
            updates = page.evaluate("seen")
        browser.close()
    times = [milliseconds for milliseconds, _ in views]
    print(f"first view, 100 features     {statistics.median(times):6.0f} ms   (worst {max(times):.0f}; goal 1,000)")
    print(f"transferred                  {views[0][1] / 1000:6.1f} KB   (goal 150)")
    print(f"200 features each second     {ours:6.1f} % of one core   (goal 30)")
    print(f"a bare page, same stream     {bare:6.1f} %   ({updates / (options.seconds + 3):.0f} updates/s)")
    print(f"ratio                        {ours / bare:6.2f}")


if __name__ == "__main__":
    main()
