"""How long it takes to tell when a rule would have fired in the last 7 days, at each minute; the goal is 2 s.

    python benchmarks/preview.py                  # embedded, and Prometheus where there is one
    python benchmarks/preview.py --instances 5    # of the feature, scraped every 15 s

Embedded: 7 days of calls of five features in SQLite. Prometheus: a week of samples of one feature. Its peer is the
least that anybody could ask: the same query_range of one `rate` of one counter, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import prometheus as servers
from featurewatch.alert_model import AlertRule, LogSelection
from featurewatch.alerts.preview import preview
from featurewatch.families import BUCKETS
from featurewatch.model import CallReport, FeatureKey, LogEntry
from featurewatch.stores.embedded_logs import EmbeddedLogs
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from featurewatch.stores.prometheus import PrometheusStore
from featurewatch.stores.upstream import Target, Upstream

WEEK_S: Final = 7 * 86_400
SCRAPE_S: Final = 15
CHAT: Final = FeatureKey("chat", "production")

RULES: Final = {
    "error_rate over 5 min": AlertRule("r", "chat", "r", "error_rate", "greater_than", 20.0, "high"),
    "total_requests over 5 min": AlertRule("r", "chat", "r", "total_requests", "less_than", 1.0, "high"),
    "response_time_p95 over 5 min": AlertRule("r", "chat", "r", "response_time_p95", "greater_than", 2000.0, "high"),
    "error_rate over 1 h": AlertRule("r", "chat", "r", "error_rate", "greater_than", 20.0, "high", window_minutes=60),
    "uptime over 24 h": AlertRule("r", "chat", "r", "uptime", "less_than", 99.0, "high", window_minutes=1440),
}
LINES: Final = AlertRule(
    "r", "chat", "r", "log_entries", "greater_than", 10.0, "high", kind="logs", logs=LogSelection(("error",), "timeout")
)


async def timed(call: Callable[[], Awaitable[Any]], rounds: int) -> tuple[float, Any]:
    took, answer = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        answer = await call()
        took.append(time.perf_counter() - start)
    return statistics.median(took), answer


def show(what: str, took: float, told: str) -> None:
    print(f"  {what:32} {took:6.2f} s   {told}")


async def embedded(rounds: int, calls: int, lines: int) -> None:
    now_ns, chance = time.time_ns(), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        metrics = await EmbeddedMetrics.open(Path(folder) / "m.db", uptime_threshold=50, retention_s=400 * 86_400)
        logs = await EmbeddedLogs.open(
            Path(folder) / "l.db", retention_s=30 * 86_400, max_bytes=4 * 1024**3, queue_bytes=1024**3
        )
        for feature in ("chat", "a", "b", "c", "d"):
            told = [
                CallReport(
                    None, now_ns - int(chance.random() * WEEK_S * 1e9), chance.choice(["success"] * 9 + ["error"]),
                    chance.random() * 3, model="gpt-5-mini", tokens={"input": 100, "output": 20}, cost_usd=0.01,
                )
                for _ in range(calls)
            ]  # fmt: skip
            await metrics.record({FeatureKey(feature, "production"): told})
        for start in range(0, lines, 50_000):
            batch = [
                LogEntry(
                    f"{n:032x}", *CHAT, now_ns - int(chance.random() * WEEK_S * 1e9),
                    "error" if n % 50 == 0 else "info", "timeout after 30 s" if n % 7 == 0 else "answered in 812 ms",
                )
                for n in range(start, min(lines, start + 50_000))
            ]  # fmt: skip
            await logs.append(batch)
        print(f"embedded: 5 features x {calls:,} calls, {lines:,} lines")
        for what, rule in {**RULES, "lines, by level and search": LINES}.items():
            took, seen = await timed(
                lambda rule=rule: preview(rule, ["production"], metrics, logs, now_ns=now_ns), rounds
            )
            show(what, took, f"{len(seen.firings)} alerts")
        await logs.close()
        await metrics.close()


def feed(data: Path, instances: int, now_s: int) -> int:
    """Write a week of one feature as it is scraped, into blocks as Prometheus keeps what is older than hours."""
    begin, count = now_s - WEEK_S - 3600, 0
    text = data.parent / "week.txt"
    with text.open("w", encoding="ascii") as file:
        for name, told, rate in growing():
            for instance in range(instances):
                told_of = f'{name}{{{told},feature="chat",environment="production",job="app",instance="{instance}"}}'
                for at in range(begin + instance, now_s, SCRAPE_S):
                    file.write(f"{told_of} {int(rate * (at - begin))} {at}\n")
                    count += 1
        file.write("# EOF\n")
    program = shutil.which("promtool")
    assert program is not None, "promtool is not installed (Debian: apt-get install prometheus)"
    subprocess.run(
        [program, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration", "48h", text, data],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    text.unlink()
    return count


def growing() -> Iterator[tuple[str, str, float]]:
    """Yield names, labels and by how much each grows in a second."""
    for outcome, rate in (("success", 0.9), ("error", 0.08), ("cancelled", 0.02)):
        yield "feature_requests_total", f'outcome="{outcome}"', rate
    for index, le in enumerate([*(f"{bound:g}" for bound in BUCKETS), "+Inf"]):
        yield "feature_request_duration_seconds_bucket", f'le="{le}"', min(1, index / 9)


async def upstream(server: servers.Prometheus, instances: int, count: int, now_s: int, rounds: int) -> None:
    store = PrometheusStore(Upstream(Target("Prometheus", "FEATUREWATCH_PROMETHEUS", server.url, timeout_s=120)))
    print(f"Prometheus: a week of {instances} instances every {SCRAPE_S} s, {count:,} samples")
    nothing: Any = None
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:

        async def by_hand() -> None:
            span = {"start": now_s - WEEK_S, "end": now_s, "step": 60}
            query = 'sum(rate(feature_requests_total{feature="chat"}[5m]))'
            (await client.get("/api/v1/query_range", params={"query": query, **span})).raise_for_status()

        peer, _ = await timed(by_hand, rounds)
    show("peer: one rate, query_range", peer, "")
    for what, rule in RULES.items():
        took, seen = await timed(
            lambda rule=rule: preview(rule, ["production"], store, nothing, now_ns=now_s * 1_000_000_000), rounds
        )
        show(what, took, f"{took / peer:4.1f} x the peer, {len(seen.firings)} alerts")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=60_000, help="of each embedded feature")
    parser.add_argument("--lines", type=int, default=1_000_000, help="in the embedded log")
    parser.add_argument("--instances", type=int, default=2, help="that Prometheus scraped")
    options = parser.parse_args()
    asyncio.run(embedded(options.rounds, options.calls, options.lines))
    with tempfile.TemporaryDirectory() as folder:
        server = servers.make(Path(folder) / "prometheus")
        now_s = int(time.time())
        count = feed(Path(folder) / "prometheus" / "data", options.instances, now_s)
        server.start()
        try:
            asyncio.run(upstream(server, options.instances, count, now_s, options.rounds))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
