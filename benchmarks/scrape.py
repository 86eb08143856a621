"""What a scrape of many features costs, beside prometheus_client rendering the same series in the same run.

    python benchmarks/scrape.py

Each feature has had calls of two models, errors of two kinds and first tokens, so that it shows 66 series. Measured is
the whole answer of the ASGI app's endpoint (snapshots, text, bytes), with calls between two scrapes. prometheus_client
renders the same families from the same snapshots by its own `generate_latest`. Goal: 1,000 features in at most 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable
from time import perf_counter

from prometheus_client import CollectorRegistry, generate_latest

import featurewatch
from featurewatch.exporter.endpoint import Endpoint
from featurewatch.exporter.runtime import RUNTIME

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def declare(count: int) -> list[featurewatch.Feature]:
    models = ("gpt-5-mini", "claude-sonnet-4-5")
    return [
        featurewatch.Feature(f"feature-{number}", name=f"Feature {number}", owner="team", version="1.4", models=models)
        for number in range(count)
    ]


def use(features: list[featurewatch.Feature]) -> None:
    for feature in features:
        for model, failure in (("gpt-5-mini", None), ("claude-sonnet-4-5", "refused"), ("gpt-5-mini", "timeout")):
            with feature.call(model=model) as call:
                call.tokens(input=812, output=120)
                call.cost(usd=0.0031)
                call.first_token()
                if failure is not None:
                    call.fail(failure)


def milliseconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--joined", action="store_true", help="with a multiprocess_dir, as in a prefork server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        joined = {"multiprocess_dir": folder} if options.joined else {}
        featurewatch.configure(environment="production", **joined, max_features=options.features)
        features = declare(options.features)
        endpoint = Endpoint(RUNTIME)
        registry = CollectorRegistry()
        registry.register(featurewatch.collector())
        contenders: dict[str, Callable[[], object]] = {
            "featurewatch, text": lambda: endpoint.answer("GET", "", "").body,
            "featurewatch, OpenMetrics": lambda: endpoint.answer("GET", OPENMETRICS, "").body,
            "featurewatch, text, gzip": lambda: endpoint.answer("GET", "", "gzip").body,
            "prometheus_client, text": lambda: generate_latest(registry),
        }
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, work in contenders.items():
                use(features)
                taken[name].append(milliseconds(work))
        series = endpoint.answer("GET", "", "").body.count(b"\n")
        print(f"{options.features} features, {series} lines")
        peer = statistics.median(taken["prometheus_client, text"])
        for name, values in taken.items():
            middle = statistics.median(values)
            print(f"{name:28} {middle:8.1f} ms   first {values[0]:7.1f} ms   {middle / peer:6.3f} of prometheus_client")
        tracemalloc.start()
        fresh = Endpoint(RUNTIME)
        fresh.answer("GET", "", "")
        kept, peak = tracemalloc.get_traced_memory()
        print(f"memory: {kept / 1e6:.1f} MB kept between scrapes, {peak / 1e6:.1f} MB at the peak of one")
        featurewatch.shutdown()


if __name__ == "__main__":
    main()
