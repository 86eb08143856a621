"""A round of the embedded evaluator: 1,000 rules on 1,000 features, over four windows, all conditions met and not met.

The peer is what it has to read: one `measure` of all features for each window, and nothing done with it.

Run: python benchmarks/evaluate_rules.py [rules]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from embedded_metrics import HISTORY_S, PUSH_S, push

from featurewatch.alert_model import AlertRule
from featurewatch.alerts.evaluator import Evaluator
from featurewatch.alerts.signals import Signal
from featurewatch.stores.embedded_logs import EmbeddedLogs
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from featurewatch.times import NS

METRICS = ("error_rate", "response_time_p95", "total_requests", "cost_per_request", "requests_per_minute")
WINDOWS = (1, 5, 10, 60)
ROUNDS = 7


def rule(number: int) -> AlertRule:
    return AlertRule(
        f"rule-{number}", f"feature-{number}", "Rule", METRICS[number % len(METRICS)], "greater_than",
        number % 100, "high", window_minutes=WINDOWS[number % len(WINDOWS)], for_minutes=number % 3,
    )  # fmt: skip


async def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        now = [time.time_ns()]
        metrics = await EmbeddedMetrics.open(
            Path(folder) / "metrics.db", uptime_threshold=50, retention_s=400 * 86_400, clock=lambda: now[0]
        )
        logs = await EmbeddedLogs.open(
            Path(folder) / "logs.db", retention_s=86_400, max_bytes=1024**3, queue_bytes=1024**2
        )
        start = now[0] - HISTORY_S * NS
        for at in range(start + PUSH_S * NS, now[0] + 1, PUSH_S * NS):
            await metrics.write(push(count, start, at))
        rules = [rule(number) for number in range(count)]
        changes = 0

        async def all_rules() -> Sequence[AlertRule]:
            return rules

        async def environments() -> Mapping[str, Collection[str]]:
            return {one.feature: {"production"} for one in rules}

        async def out(changed: Sequence[Signal], firing: Sequence[Signal]) -> None:
            nonlocal changes
            changes += len(changed)

        evaluator = Evaluator(all_rules, environments, metrics, logs, out, clock=lambda: now[0])
        rounds, floors = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await evaluator.round()
            rounds.append(time.perf_counter() - began)
            began = time.perf_counter()
            for window in WINDOWS:
                await metrics.measure(None, window * 60.0, window * 60.0)
            floors.append(time.perf_counter() - began)
        took, floor = statistics.median(rounds), statistics.median(floors)
        print(
            f"{count} rules: a round {took * 1000:.0f} ms, goal 1,000 ms; {took / floor:.2f} x reading the figures of "
            f"all features ({floor * 1000:.0f} ms); {changes} alerts fired"
        )
        await metrics.close()
        await logs.close()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
