"""The embedded metric store: a tick's measure() and a push, for 100 and 1,000 features.

The peer is SQLite itself: the same rows fetched by the plainest statement that sums a window from one table of
five-second rows, without climbing to wider ones.

Run: python benchmarks/embedded_metrics.py [features ...]
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from featurewatch import families
from featurewatch.families import BUCKETS
from featurewatch.model import FeatureKey, Sample
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from featurewatch.stores.metric_schema import COLUMNS
from featurewatch.times import NS

PUSH_S = 5
HISTORY_S = 360


def push(features: int, start_ns: int, time_ns: int) -> list[Sample]:
    """Make what one process with so many busy features pushes: 16 samples for each."""
    n = (time_ns - start_ns) // NS
    counts = (0, 0, n, 2 * n, 5 * n, n, *(0,) * (len(BUCKETS) - 5))
    values: list[tuple[str, tuple[str, ...], float, tuple[int, ...]]] = [
        (families.REQUESTS.name, ("success",), 8 * n, ()),
        (families.REQUESTS.name, ("error",), n, ()),
        (families.REQUESTS.name, ("cancelled",), 0, ()),
        (families.ERRORS.name, ("TimeoutError",), n, ()),
        (families.DURATION.name, (), 0.1 * n, counts),
        (families.FIRST_TOKEN.name, (), 0.05 * n, counts),
        *((families.TOKENS.name, ("gpt-5-mini", kind), 100 * n, ()) for kind in families.TOKEN_KINDS),
        (families.COST.name, ("gpt-5-mini", "reported"), 0.01 * n, ()),
        (families.UNPRICED.name, ("gpt-5-mini",), 0, ()),
        (families.IN_PROGRESS.name, (), 2, ()),
        (families.BUDGET.name, (), 100.0, ()),
        (families.INFO.name, ("Name", "owner", "1"), 1, ()),
    ]
    return [
        Sample(family, FeatureKey(f"feature-{index}", "production"), labels, "one", start_ns, time_ns, value, buckets)
        for index in range(features)
        for family, labels, value, buckets in values
    ]


async def timed(call: Callable[[], Awaitable[object]], times: int = 7) -> float:
    """Time a call: the median, milliseconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


async def run(features: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.db"
        now = [time.time_ns()]
        store = await EmbeddedMetrics.open(path, uptime_threshold=50, retention_s=400 * 86_400, clock=lambda: now[0])
        start = now[0] - HISTORY_S * NS
        pushes = []
        samples = 0
        for at in range(start + PUSH_S * NS, now[0] + 1, PUSH_S * NS):
            body = push(features, start, at)
            samples = len(body)
            began = time.perf_counter()
            await store.write(body)
            pushes.append((time.perf_counter() - began) * 1000)
        key = FeatureKey("feature-0", "production")
        now_ms = now[0] // 1_000_000
        figures = {
            f"push of {samples:,} samples": statistics.median(pushes),
            "measure(all, 5m)": await timed(lambda: store.measure(None, 300)),
            "measure(all, 24h)": await timed(lambda: store.measure(None, 86_400)),
            "measure(one, 5m)": await timed(lambda: store.measure([key], 300)),
            "history(5 min, step 5 s)": await timed(
                lambda: store.history(key, "response_time_p95", now_ms - 300_000, now_ms, 5)
            ),
            "history(24 h, step 60 s)": await timed(
                lambda: store.history(key, "error_rate", now_ms - 86_400_000, now_ms, 60)
            ),
            "in_progress + info": await timed(lambda: asyncio.gather(store.in_progress(None), store.info())),
        }
        await store.close()
        size = path.stat().st_size
        peer = sqlite3.connect(path)
        plain = f"SELECT k, {', '.join(f'SUM({name})' for name in COLUMNS)} FROM fine WHERE t >= ? GROUP BY k"

        async def bare() -> None:
            peer.execute(plain, (now[0] // NS - 300,)).fetchall()

        figures["peer: one SUM over 5 s rows, 5m"] = await timed(bare)
        peer.close()
    print(f"{features:,} features, a push each {PUSH_S} s for {HISTORY_S // 60} min, {size / 1e6:.0f} MB")
    for name, took in figures.items():
        print(f"  {name:36} {took:8.1f} ms")


if __name__ == "__main__":
    for count in [int(text) for text in sys.argv[1:]] or [100, 1000]:
        asyncio.run(run(count))
