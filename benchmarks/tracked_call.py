"""What a tracked call costs, beside prometheus_client and the OpenTelemetry SDK doing the same work in the same run.

    python benchmarks/tracked_call.py

The work: a call begins and ends (in-progress gauge), is counted by outcome, its duration observed, its cost added,
and two kinds of tokens counted. prometheus_client is given its best case, children that were looked up beforehand.
The contenders take turns in many short rounds, so that a slow moment of the machine meets all of them; printed are
the medians over the rounds, and the median of the rounds' ratios. Goals: at most 0.6 of prometheus_client, 1/20 of
OpenTelemetry, and with 8 threads at most 1.5 times per call what one thread takes (wall time by calls: the interpreter
runs one thread at a time).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from time import perf_counter

import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

import featurewatch
from featurewatch.families import BUCKETS

Work = Callable[[], None]


def with_featurewatch() -> Work:
    feature = featurewatch.Feature("summarize", models=["gpt-5-mini"])

    def work() -> None:
        with feature.call(model="gpt-5-mini") as call:
            call.tokens(input=812, output=120)
            call.cost(usd=0.0031)

    return work


def with_prometheus_client() -> Work:
    registry = prometheus_client.CollectorRegistry()
    labels = ["feature", "environment"]
    running = prometheus_client.Gauge("running", "", labels, registry=registry).labels("summarize", "production")
    requests = prometheus_client.Counter("requests", "", [*labels, "outcome"], registry=registry)
    succeeded = requests.labels("summarize", "production", "success")
    failed = requests.labels("summarize", "production", "error")
    duration = prometheus_client.Histogram("duration", "", labels, buckets=BUCKETS, registry=registry).labels(
        "summarize", "production"
    )
    cost = prometheus_client.Counter("cost", "", [*labels, "model", "source"], registry=registry).labels(
        "summarize", "production", "gpt-5-mini", "reported"
    )
    tokens = prometheus_client.Counter("tokens", "", [*labels, "model", "kind"], registry=registry)
    input_tokens = tokens.labels("summarize", "production", "gpt-5-mini", "input")
    output_tokens = tokens.labels("summarize", "production", "gpt-5-mini", "output")

    def work() -> None:
        running.inc()
        started = perf_counter()
        try:
            input_tokens.inc(812)
            output_tokens.inc(120)
            cost.inc(0.0031)
        except BaseException:
            failed.inc()
            raise
        else:
            succeeded.inc()
        finally:
            duration.observe(perf_counter() - started)
            running.dec()

    return work


def with_opentelemetry() -> Work:
    view = View(instrument_name="duration", aggregation=ExplicitBucketHistogramAggregation(boundaries=BUCKETS))
    provider = MeterProvider(metric_readers=[InMemoryMetricReader()], views=[view])
    meter = provider.get_meter("benchmark")
    running = meter.create_up_down_counter("running")
    requests = meter.create_counter("requests")
    duration = meter.create_histogram("duration", unit="s")
    cost = meter.create_counter("cost", unit="{USD}")
    tokens = meter.create_counter("tokens")
    base = {"feature": "summarize", "environment": "production"}
    success, error = base | {"outcome": "success"}, base | {"outcome": "error"}
    reported = base | {"model": "gpt-5-mini", "source": "reported"}
    input_tokens = base | {"model": "gpt-5-mini", "kind": "input"}
    output_tokens = base | {"model": "gpt-5-mini", "kind": "output"}

    def work() -> None:
        running.add(1, base)
        started = perf_counter()
        try:
            tokens.add(812, input_tokens)
            tokens.add(120, output_tokens)
            cost.add(0.0031, reported)
        except BaseException:
            requests.add(1, error)
            raise
        else:
            requests.add(1, success)
        finally:
            duration.record(perf_counter() - started, base)
            running.add(-1, base)

    return work


def microseconds(work: Work, calls: int) -> float:
    started = perf_counter()
    for _ in range(calls):
        work()
    return (perf_counter() - started) / calls * 1e6


def microseconds_threaded(work: Work, calls: int, threads: int) -> float:
    """Wall time by calls, all threads together."""
    start = threading.Barrier(threads + 1)

    def run() -> None:
        start.wait()
        for _ in range(calls // threads):
            work()

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    started = perf_counter()
    for worker in workers:
        worker.join()
    return (perf_counter() - started) / (calls // threads * threads) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--calls", type=int, default=1_000, help="calls in a round")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--joined", action="store_true", help="with a multiprocess_dir, as in a prefork server")
    options = parser.parse_args()
    if options.joined:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            # prometheus_client looks for it when it is imported.
            with tempfile.TemporaryDirectory() as folder:
                environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder, "FEATUREWATCH_MULTIPROCESS_DIR": folder}
                sys.exit(subprocess.run([sys.executable, *sys.argv], env=environ).returncode)
        print("sharing with other processes, both featurewatch and prometheus_client:")
    contenders = {
        "featurewatch": with_featurewatch(),
        "prometheus_client, cached children": with_prometheus_client(),
        "OpenTelemetry SDK": with_opentelemetry(),
    }
    alone: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, work in contenders.items():
            alone[name].append(microseconds(work, options.calls // (10 if name.startswith("Open") else 1)))
    threaded: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(max(1, options.rounds // 30)):
        for name, work in contenders.items():
            calls = options.calls * (2 if name.startswith("Open") else 30)
            threaded[name].append(microseconds_threaded(work, calls, options.threads))
    print(f"{'per call':36} {'1 thread':>10} {f'{options.threads} threads':>12} {'ratio':>7} {'ours / its':>11}")
    for name, values in alone.items():
        one, many = statistics.median(values), statistics.median(threaded[name])
        ratio = statistics.median(ours / its for ours, its in zip(alone["featurewatch"], values, strict=True))
        print(f"{name:36} {one:7.2f} µs {many:9.2f} µs {many / one:6.2f}× {ratio:10.3f}")


if __name__ == "__main__":
    main()
