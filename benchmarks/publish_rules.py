"""How long rules take from the edit until Prometheus evaluates them, beside Prometheus's own reload in the same run.

    python benchmarks/publish_rules.py [--rules 10000]

Rules are kept in a state of SQLite, translated, checked by promtool, written, loaded by a real Prometheus and proven
from what it shows. First all at once into an empty folder, then edits on top, each beside `POST /-/reload` and nothing
else, which is the peer. Goals: all loaded in at most 20 s; one edit loaded in at most a bare reload and 1 s, and
evaluated one interval later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from sqlalchemy import URL

from featurewatch.alert_model import AlertRule, Deed, Deployment
from featurewatch.alerts.deployments import Deployments
from featurewatch.alerts.prometheus import Rendering
from featurewatch.alerts.prometheus_files import PrometheusFiles
from featurewatch.alerts.publisher import Publisher
from featurewatch.alerts.rule_check import RuleCheck
from featurewatch.alerts.rule_sources import Translated
from featurewatch.alerts.ruler_api import Ruler
from featurewatch.alerts.tools import Tool
from featurewatch.formulas import METRICS
from featurewatch.stores.state import State
from featurewatch.stores.state_rules import Rules
from featurewatch.stores.upstream import Target, Upstream

INTERVAL_S = 15


class Watched(Rules):
    """The store of rules, which says when all of them have come to a state."""

    def __init__(self, state: State) -> None:
        super().__init__(state.database)
        self.reached: dict[str, dict[str, float]] = {}

    async def deploy(self, told: Mapping[str, Deployment]) -> None:
        now = time.perf_counter()
        for rule, deployment in told.items():
            self.reached.setdefault(rule, {})[deployment.state] = now
            if deployment.error:
                raise SystemExit(f"rule {rule} is {deployment.state}: {deployment.error}")
        await super().deploy(told)

    async def all_at(self, rules: list[str], state: str) -> float:
        """Wait until all of the rules have come so far, and return when the last did."""
        while not all(state in self.reached.get(rule, {}) for rule in rules):  # noqa: ASYNC110  # any of many
            await asyncio.sleep(0.005)
        return max(self.reached[rule][state] for rule in rules)


class Timed(Ruler):
    """A server whose last reload is timed, so that what is ours can be told from what is its own."""

    took = 0.0

    async def reload(self) -> str:
        started = time.perf_counter()
        said = await super().reload()
        self.took = time.perf_counter() - started
        return said


def rules(count: int) -> list[AlertRule]:
    metrics = [name for name in METRICS if name != "uptime"]
    return [
        AlertRule(
            id=f"r{number:06d}",
            feature=f"feature-{number // 10}",
            name=f"Rule {number % 10}",
            metric=metrics[number % len(metrics)],
            condition="greater_than",
            threshold=20 + number % 10,
            severity="high",
        )
        for number in range(count)
    ]


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Run Prometheus on the rules of a folder and give its address."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("prometheus is not installed (Debian: apt-get install prometheus)")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    config = {"global": {"evaluation_interval": f"{INTERVAL_S}s"}, "rule_files": [f"{folder}/rules.d/*.yml"]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle", "--log.level=warn"],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                if httpx.get(f"{url}/-/ready", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield url
    finally:
        # Prometheus ends its groups one by one: with 10,000 of them that takes minutes, and nothing of it is of use.
        server.send_signal(signal.SIGKILL)
        server.wait(60)


@asynccontextmanager
async def publishing(folder: Path, url: str, made: list[AlertRule]) -> AsyncIterator[tuple[Publisher, Watched, Timed]]:
    """Keep rules, and a publisher that has not started yet."""
    state = await State.open(URL.create("sqlite", database=str(folder / "state.db")))
    store = Watched(state)
    deed = Deed("benchmark", "rule.create", "", "", 0)
    for rule in made:
        await store.create(rule, deed)
    ruler = Timed(Upstream(Target("Prometheus", "FEATUREWATCH_PROMETHEUS", url)))
    target = PrometheusFiles(folder / "rules.d", [ruler], RuleCheck(Tool("promtool", "PROMTOOL")))
    source = Translated(store, state, "metric", rendering=Rendering)
    publisher = Publisher(source, target, Deployments(store, clock=time.time_ns), interval_s=0)
    try:
        yield publisher, store, ruler
    finally:
        await publisher.stop()
        await state.close()


async def reload(url: str) -> float:
    started = time.perf_counter()
    async with httpx.AsyncClient(timeout=300) as client:
        answer = await client.post(f"{url}/-/reload")
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - started


async def measure(folder: Path, url: str, count: int, edits: int) -> None:
    made = rules(count)
    ids = [rule.id for rule in made]
    async with publishing(folder, url, made) as (publisher, store, ruler):
        started = time.perf_counter()
        await publisher.start()
        written = await store.all_at(ids, "written") - started
        loaded = await store.all_at(ids, "loaded") - started
        print(f"{count} rules: written after {written:.1f} s, loaded after {loaded:.1f} s (goal: 20 s)", end=", ")
        print(f"of which Prometheus's reload took {ruler.took:.1f} s", flush=True)
        evaluated = await store.all_at(ids, "evaluated") - started
        print(f"{count} rules: all evaluated after {evaluated:.1f} s", flush=True)
        bare: list[float] = []
        one: list[float] = []
        rest: list[float] = []
        late: list[float] = []
        for number in range(edits):
            bare.append(await reload(url))
            rule = replace(made[number * 7], threshold=50 + number, revision=number + 2)
            store.reached.clear()
            await store.replace(rule, Deed("benchmark", "rule.change", "", "", 0))
            started = time.perf_counter()
            publisher.nudge()
            one.append(await store.all_at([rule.id], "loaded") - started)
            rest.append(one[-1] - ruler.took)
            late.append(await store.all_at([rule.id], "evaluated") - started - one[-1])
            print(f"one edit: loaded after {one[-1]:.2f} s, of which its reload took {ruler.took:.2f} s", end="; ")
            print(f"evaluated {late[-1]:.1f} s later; bare reload {bare[-1]:.2f} s", flush=True)
        peer, ours = statistics.median(bare), statistics.median(one)
        print(
            f"median: {ours:.2f} s, a bare reload {peer:.2f} s: {ours - peer:+.2f} s (goal: +1 s), {ours / peer:.2f} x"
        )
        print(f"median of what is not the edit's own reload: {statistics.median(rest):.2f} s")
        print(f"evaluated at most {max(late):.1f} s after it was loaded; the interval is {INTERVAL_S} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=5)
    options = parser.parse_args()
    # So that a time-out of `make bench` ends Prometheus too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with prometheus(folder) as url:
            asyncio.run(measure(folder, url, options.rules, options.edits))


if __name__ == "__main__":
    main()
