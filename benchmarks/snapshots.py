"""A snapshot of all features over a real Prometheus: one tick, beside the combined query as written by hand.

    python benchmarks/snapshots.py raw                     # 100 features x 5 instances from raw series; goal 2.5 s
    python benchmarks/snapshots.py recorded                # 1,000 x 5 from the recording rules; goal 0.5 s
    python benchmarks/snapshots.py raw --features 1000     # any size

Every instance of a feature has 41 series, histograms among them. The peer is what one would type into Grafana: every
figure by `rate` from raw series, joined by `or`, asked in the same run of the same Prometheus; it has no uptime.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import prometheus as servers
from featurewatch.families import BUCKETS
from featurewatch.stores import recording
from featurewatch.stores.prometheus import PrometheusStore
from featurewatch.stores.upstream import Target, Upstream
from remote_write import Labels, labels, write

GOALS = {"raw": 2.5, "recorded": 0.5}
SCRAPE_S = 15
RECENT_S = 600
AHEAD_S = 900
"""Samples are written ahead of time, so that all are fresh as long as this measures."""


def series(feature: int, instance: int) -> Iterator[tuple[Labels, float]]:
    """Yield the labels of a feature's 41 series in one instance, and by how much each grows in a second."""
    told = {
        "job": "app", "instance": f"10.0.0.{instance}:8000", "feature": f"feature-{feature:04}",
        "environment": "production",
    }  # fmt: skip
    rate = 0.2 + (feature % 10) / 10
    for outcome, share in (("success", 0.95), ("error", 0.04), ("cancelled", 0.01)):
        yield labels("feature_requests_total", {**told, "outcome": outcome}), rate * share
    for name in ("feature_request_duration_seconds", "feature_time_to_first_token_seconds"):
        for index, le in enumerate([*(f"{bound:g}" for bound in BUCKETS), "+Inf"]):
            yield labels(f"{name}_bucket", {**told, "le": le}), rate * min(1, index / 9)
        yield labels(f"{name}_sum", told), rate * 0.7
        yield labels(f"{name}_count", told), rate
    for kind in ("input", "output"):
        yield labels("feature_tokens_total", {**told, "model": "gpt-5-mini", "kind": kind}), rate * 500
    yield labels("feature_cost_usd_total", {**told, "model": "gpt-5-mini", "source": "estimated"}), rate * 0.002
    yield labels("feature_requests_in_progress", told), 0.0


def feed(url: str, features: int, instances: int, now_s: int) -> int:
    """Write a day of calls by the minute, then every series as it is scraped; return how many series there are."""
    every = [one for feature in range(features) for at in range(instances) for one in series(feature, at)]
    born = now_s - 86_400
    calls = [(told, rate) for told, rate in every if dict(told)["__name__"] == "feature_requests_total"]
    for hour in range(born, now_s - RECENT_S, 3600):
        times = range(hour, min(hour + 3600, now_s - RECENT_S), 60)
        write(url, {told: [(at * 1000, float(int(rate * (at - born)))) for at in times] for told, rate in calls})
    times = range(now_s - RECENT_S, now_s + AHEAD_S, SCRAPE_S)
    for start in range(0, len(every), 20_000):
        part = every[start : start + 20_000]
        write(url, {told: [(at * 1000, rate * (at - born)) for at in times] for told, rate in part})
    return len(every)


def by_hand() -> str:
    """Write the query that the peer asks."""

    def total(name: str, more: str = "", by: str = "") -> str:
        return f"sum by (feature, environment{by}) (rate({name}{more}[5m]))"

    requests, duration = "feature_requests_total", "feature_request_duration_seconds"
    decided, failed, good = (total(requests, f'{{outcome=~"{one}"}}') for one in ("success|error", "error", "success"))
    stats = {
        "error_rate": f"100 * {failed} / ({decided} > 0)",
        "success_rate": f"100 * {good} / ({decided} > 0)",
        "response_time": f"1000 * {total(f'{duration}_sum')} / ({total(f'{duration}_count')} > 0)",
        "total_requests": f"{total(requests)} * 300",
        "requests_per_minute": f"{total(requests)} * 60",
        "cost_per_request": f"{total('feature_cost_usd_total')} / ({total(requests)} > 0)",
        **{
            f"response_time_p{q}": f"1000 * histogram_quantile(0.{q}, {total(f'{duration}_bucket', by=', le')})"
            for q in (50, 95, 99)
        },
        "time_to_first_token_p95": "1000 * histogram_quantile(0.95, "
        f"{total('feature_time_to_first_token_seconds_bucket', by=', le')})",
        "total_cost": f"{total('feature_cost_usd_total')} * 300",
        "tokens_per_request": f"{total('feature_tokens_total')} / ({total(requests)} > 0)",
    }
    return " or ".join(f'label_replace({expr}, "stat", "{name}", "", "")' for name, expr in stats.items())


async def timed(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        took.append(time.perf_counter() - start)
    return took


def shown(took: list[float]) -> str:
    return f"{statistics.median(took):6.2f} s   ({min(took):.2f} to {max(took):.2f})"


async def measure(server: servers.Prometheus, mode: str, features: int, rounds: int) -> None:
    now_ns = time.time_ns()
    clock = [now_ns]
    target = Target("Prometheus", "FEATUREWATCH_PROMETHEUS", server.url, timeout_s=120)
    store = PrometheusStore(Upstream(target), clock=lambda: clock[0], recorded="on" if mode == "recorded" else "off")
    client = httpx.AsyncClient(base_url=server.url, timeout=120)

    unknown: set[str] = set()

    async def tick() -> None:
        unknown.clear()
        clock[0] = time.time_ns() if mode == "recorded" else now_ns
        measured = await store.measure(None, 300)
        assert len(measured) == features, len(measured)
        unknown.update(name for one in measured.values() for name, value in one.metrics.items() if value is None)

    async def tick_of_a_new_minute() -> None:
        nonlocal now_ns
        now_ns += 60 * 10**9
        await tick()

    async def peer() -> None:
        answer = await client.post("/api/v1/query", data={"query": by_hand()})
        assert answer.status_code == 200, answer.text[:500]
        assert len({one["metric"]["feature"] for one in answer.json()["data"]["result"]}) == features

    began = time.perf_counter()
    await tick()
    while unknown:
        assert unknown == {"uptime"}, unknown
        assert time.perf_counter() - began < 300, "uptime is not known after 5 minutes"
        await tick()
    print(f"  from nothing to all figures      {time.perf_counter() - began:6.2f} s   the last day's minutes included")
    ours, theirs, first = [], [], []
    for _ in range(rounds):
        ours += await timed(tick, 1)
        theirs += await timed(peer, 1)
        if mode == "raw":
            first += await timed(tick_of_a_new_minute, 1)
    assert not unknown, unknown
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"  a tick, {mode:24} {shown(ours)}   {ratio:.2f} x the peer   goal {GOALS[mode]} s")
    if first:
        print(f"  the first tick of a minute       {shown(first)}   with uptime over 24 h; goal {GOALS[mode]} s")
    print(f"  peer: the query by hand          {shown(theirs)}")
    await client.aclose()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", nargs="*", help="raw, recorded; default both")
    parser.add_argument("--features", type=int)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for mode in options.mode or ["raw", "recorded"]:
        features = options.features or {"raw": 100, "recorded": 1000}[mode]
        with tempfile.TemporaryDirectory() as folder:
            rules = Path(folder) / "featurewatch.yml"
            rules.write_text(recording.document(), encoding="utf-8")
            server = servers.make(Path(folder) / "prometheus", scrape_interval="15s", evaluation_interval="15s")
            server.start()
            try:
                began = time.perf_counter()
                count = feed(server.url, features, options.instances, int(time.time()) // 15 * 15)
                took = time.perf_counter() - began
                print(f"{features:,} features x {options.instances} instances, {count:,} series, fed in {took:.0f} s")
                if mode == "recorded":
                    server.configure(scrape_interval="15s", evaluation_interval="15s", rule_files=[str(rules)])
                    server.reload()
                    server.wait_for("count(featurewatch:rules:info) == 3", within_s=180)
                    groups = httpx.get(f"{server.url}/api/v1/rules", timeout=60).json()["data"]["groups"]
                    took = ", ".join(
                        f"{one['name']} {one['evaluationTime']:.1f} s of {one['interval']}" for one in groups
                    )
                    print(f"  evaluating the rules: {took}")
                asyncio.run(measure(server, mode, features, options.rounds))
            finally:
                server.stop()


if __name__ == "__main__":
    main()
