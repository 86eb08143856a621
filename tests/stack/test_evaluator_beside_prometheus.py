"""The embedded evaluator beside a real Prometheus, on the same calls at the same time: the same alerts fire and end.

Tolerance: each looks once a second, and a second passes until Prometheus shows what it saw; so starts and ends may lie
three seconds apart, and no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featurewatch.alert_model import AlertRule
from featurewatch.alerts import prometheus as translation
from featurewatch.alerts.evaluator import Evaluator
from featurewatch.alerts.signals import Signal
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from metric_samples import CHAT, App, Done
from prometheus import Prometheus
from remote_write import points_of

pytestmark = [pytest.mark.anyio, pytest.mark.stack]

NS = 10**9
BASE = AlertRule("base", "chat", "Base", "error_rate", "greater_than", 20, "high", window_minutes=1, for_minutes=0)
RULES = (
    replace(BASE, id="errors", name="Errors"),
    replace(BASE, id="success", name="Success", metric="success_rate", condition="less_than", threshold=70),
    replace(BASE, id="slow", name="Slow", metric="response_time_p95", threshold=2000),
    replace(BASE, id="many", name="Many", metric="total_requests", threshold=300),
    replace(BASE, id="dear", name="Dear", metric="total_cost", threshold=1.0),
    replace(BASE, id="never", name="Never", metric="error_rate", threshold=99),
)
SCRIPT = ((4, 10, 0, 0.1), (3, 5, 30, 4.0), (6, 150, 0, 0.1), (3, 0, 400, 4.0), (6, 400, 0, 0.1))
"""Seconds, and in each of them: calls that succeed, calls that fail, how long each takes."""
LAG_S = 3.0


async def test_the_same_alerts_fire_and_end(own_prometheus: Prometheus, tmp_path: Path) -> None:
    rendering = translation.Rendering()
    names = []
    for name, text in translation.render(RULES, rendering).items():
        (own_prometheus.folder / name).write_text(text)
        names.append(name)
    own_prometheus.configure(rule_files=names)
    own_prometheus.start()
    store = await EmbeddedMetrics.open(tmp_path / "metrics.db", uptime_threshold=50, retention_s=400 * 86_400)
    told: defaultdict[str, list[Signal]] = defaultdict(list)

    async def rules() -> Sequence[AlertRule]:
        return RULES

    async def environments() -> Mapping[str, Collection[str]]:
        return {"chat": {"production"}}

    async def out(changed: Sequence[Signal], firing: Sequence[Signal]) -> None:
        for signal in changed:
            told[signal.rule_id].append(signal)

    nothing: Any = None
    evaluator = Evaluator(rules, environments, store, nothing, out, clock=time.time_ns)
    app = App(CHAT, start_ns=time.time_ns())
    plan = [step for step in SCRIPT for _ in range(step[0])]
    began = time.monotonic()
    for second, (_, good, bad, took) in enumerate(plan):
        now = time.time_ns()
        for outcome, count in (("success", good), ("error", bad)):
            app.calls += [Done(now, outcome, took, reported=0.002) for _ in range(count)]  # type: ignore[arg-type]
        samples = app.samples(time.time_ns())
        await store.write(samples)
        await asyncio.to_thread(own_prometheus.write, points_of(samples))
        await evaluator.round()
        await asyncio.sleep(max(0.0, began + second + 1 - time.monotonic()))
    ended = time.time()
    theirs = await asyncio.to_thread(_spans, own_prometheus, int(time.monotonic() - began) + 5)
    await store.close()
    ours = {rule: _pairs(signals, ended) for rule, signals in told.items()}
    assert "never" not in theirs
    assert set(ours) == set(theirs) >= {"errors", "slow", "many"}
    for rule, spans in theirs.items():
        assert len(ours[rule]) == len(spans), (rule, ours[rule], spans)
        for one, other in zip(ours[rule], spans, strict=True):
            assert abs(one[0] - other[0]) <= LAG_S, (rule, one, other)
            assert abs(one[1] - other[1]) <= LAG_S, (rule, one, other)


def _spans(prometheus: Prometheus, seconds: int) -> dict[str, list[tuple[float, float]]]:
    """Read when each rule fired at Prometheus: runs of points not more than two seconds apart."""
    found: dict[str, list[tuple[float, float]]] = {}
    for series in prometheus.query(f'ALERTS{{alertstate="firing"}}[{seconds}s]'):
        spans: list[tuple[float, float]] = []
        for at, _ in series["values"]:
            if spans and at - spans[-1][1] <= 2.5:
                spans[-1] = (spans[-1][0], at)
            else:
                spans.append((at, at))
        found[series["metric"]["rule_id"]] = spans
    return found


def _pairs(signals: Sequence[Signal], now: float) -> list[tuple[float, float]]:
    """Read when the evaluator's alerts fired and ended; one that still fires ends now."""
    starts = [signal.starts_ns / NS for signal in signals if signal.ends_ns is None]
    ends = [signal.ends_ns / NS for signal in signals if signal.ends_ns is not None]
    return list(zip(starts, [*ends, now], strict=False))
