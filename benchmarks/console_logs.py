"""The console in a real Chromium: its bytes, its first view of 100 features, and its log at 1,000 lines a second.

    python benchmarks/console_logs.py [--seconds 600] [--rate 1000] [--features 100]

A bridge as `featurewatch serve` runs it, with embedded stores, and a process that logs into it. The drawer is filled
with the 100,000 lines that it holds; then `--rate` lines a second go on for `--seconds`. Told are frames a second (the
mean, and the worst second), what share of the lines the drawer took in, and the heap after a collection at the start
and at the end. The peer is an empty page in the same browser and run: what the machine leaves for frames at all.

Bytes are those of a first visit (nothing cached), as they travel: answers' headers and bodies, compressed. The first
view is there when each feature's row shows its figures, from the moment the address was entered.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

GOAL_FRAMES, GOAL_KB, GOAL_VIEW_S, HELD = 50.0, 150.0, 1.0, 100_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FRAMES = """
  window.frames = [];
  const beat = (now) => { window.frames.push(now); requestAnimationFrame(beat); };
  requestAnimationFrame(beat);
"""
VIEW = """
  const look = () => {
    const rows = [...document.querySelectorAll(".rows .row")];
    const shown = (row) => (row.querySelector("[data-metric=error_rate] .figure-value")?.textContent ?? "—") !== "—";
    if (rows.length >= COUNT && rows.every(shown)) window.viewed = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
"""
LINE = "summarised 812 words of library/asyncio.rst in 3 sentences, the model took 412 ms and was asked twice"


def lines(first: int, count: int) -> list[dict[str, Any]]:
    """Make lines of about 120 bytes, each by its number."""
    levels = ("info", "debug", "info", "warn", "info", "error")
    return [
        {"featureId": "feature-000", "environment": "production", "source": ("app", "web", "worker")[number % 3],
         "level": levels[number % 6], "message": f"{LINE} #{number}", "metadata": {"document": f"{number}.rst"}}
        for number in range(first, first + count)
    ]  # fmt: skip


def feed(url: str, rate: int) -> None:
    """Log `rate` lines a second, twenty batches a second, until stdin is closed."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    number, began = HELD, time.monotonic()
    with httpx.Client(timeout=30) as client:
        while not over.wait(max(0.0, began + (number - HELD) / rate - time.monotonic())):
            client.post(f"{url}/api/v1/logs", json=lines(number, rate // 20)).raise_for_status()
            number += rate // 20


@contextlib.contextmanager
def bridge(folder: str) -> Iterator[str]:
    """Run a bridge on a free port."""
    environment = {**os.environ, "FEATUREWATCH_METRICS_INTERVAL": "5"}
    command = [sys.executable, "-m", "featurewatch.cli", "serve", "--port", "0", "--data-dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("featurewatch is ready: ").strip().rstrip("/")
    finally:
        process.terminate()
        process.wait(30)


def frames(page: Page, seconds: float) -> tuple[float, int]:
    """Return frames a second over some seconds: the mean and the worst second."""
    page.evaluate("window.frames.length = 0")
    page.wait_for_timeout(seconds * 1000)
    found: list[float] = page.evaluate("window.frames")
    by_second = [0] * (int((found[-1] - found[0]) / 1000) + 1)
    for moment in found:
        by_second[int((moment - found[0]) / 1000)] += 1
    return (len(found) - 1) * 1000 / (found[-1] - found[0]), min(by_second[:-1] or by_second)


def heap_mb(session: CDPSession) -> float:
    """Return the page's JavaScript heap after a collection."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"]) / 1e6


def first_visit(browser: Browser, url: str, count: int) -> tuple[float, float, int, float]:
    """Return kB and seconds until the first view, how many files those were, and kB once all pages were seen."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    session.on("Network.requestWillBeSent", lambda event: names.update({event["requestId"]: event["request"]["url"]}))
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    page.add_init_script(VIEW.replace("COUNT", str(count)))
    page.goto(url)
    page.evaluate("document.title")
    deadline = time.monotonic() + 60
    while not (viewed := page.evaluate("window.viewed ?? 0")) and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    own = lambda: [size for id_, size in sizes.items() if "/api/v1/" not in names[id_]]  # noqa: E731
    first, files = sum(own()), len(own())
    for place in (
        "/feature/feature-000",
        "/feature/feature-000/settings",
        "/alerts",
        "/channels",
        "/?logs=feature-000",
    ):
        page.goto(f"{url}/#{place}")
        page.wait_for_timeout(700)
    everything = sum(own())
    page.context.close()
    return first / 1000, viewed / 1000, files, everything / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--feed", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        feed(arguments.feed, arguments.rate)
        return
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium is installed (Debian: apt install chromium)")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, bridge(folder) as url, sync_playwright() as started:
        calls = [{"outcome": "success", "duration_ms": 400}] * 9 + [{"outcome": "error", "duration_ms": 900}]
        with httpx.Client(timeout=60) as client:
            for number in range(arguments.features):
                path = f"{url}/api/v1/features/feature-{number:03}/requests?environment=production"
                client.post(path, json=calls).raise_for_status()
            browser = started.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
            visits = [first_visit(browser, url, arguments.features) for _ in range(5)]
            kilobytes, files = visits[0][0], visits[0][2]
            view = sorted(seconds for _, seconds, _, _ in visits)[2]

            empty = browser.new_page()
            empty.add_init_script(FRAMES)
            empty.goto(f"{url}/icon.svg")
            peer, peer_worst = frames(empty, 10)
            empty.close()

            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.add_init_script(FRAMES)
            page.goto(f"{url}/#/?logs=feature-000")
            shown = page.locator("feature-logs .log-status")
            for first in range(0, HELD, 2_000):
                client.post(f"{url}/api/v1/logs", json=lines(first, 2_000)).raise_for_status()
                # Faster than the page reads, the bridge would leave lines out.
                page.locator("feature-logs .log-message", has_text=f"#{first + 1_999}").wait_for(timeout=60_000)
            print(f"filled: {shown.inner_text()}", file=sys.stderr)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            command = [sys.executable, __file__, "--feed", url, "--rate", str(arguments.rate)]
            feeder = subprocess.Popen(command, stdin=subprocess.PIPE)
            page.wait_for_timeout(5_000)
            before = heap_mb(session)
            mean, worst = frames(page, arguments.seconds)
            after = heap_mb(session)
            last = page.locator("feature-logs .log-message").last.inner_text()
            gaps = page.locator("feature-logs .log-gap").count()
            assert feeder.stdin is not None
            feeder.stdin.close()
            feeder.wait(30)
            browser.close()
    went = int(last.rpartition("#")[2]) - HELD
    print(f"load before {load:.1f}, {os.cpu_count()} cores")
    print(f"first view: {kilobytes:.1f} kB in {files} files (goal ≤ {GOAL_KB:.0f})")
    print(f"every page and the log: {visits[0][3]:.1f} kB")
    print(f"first view of {arguments.features} features: {view:.2f} s, median of 5 (goal ≤ {GOAL_VIEW_S:.0f})")
    print(f"{arguments.rate} lines/s for {arguments.seconds:.0f} s on top of {HELD:,} held: {mean:.1f} frames/s, worst")
    print(f"  second {worst} (goal ≥ {GOAL_FRAMES:.0f}); an empty page: {peer:.1f}, {peer_worst}")
    print(f"lines that came: {went:,}, {went / (arguments.seconds + 5):.0f} a second; gap marks in sight: {gaps}")
    print(f"heap after a collection: {before:.1f} MB, then {after:.1f} MB ({after / before:.3f} ×)")


if __name__ == "__main__":
    main()
