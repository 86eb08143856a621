"""The demo app before real servers: Prometheus with the shipped rules, Alertmanager, a bridge, and Loki where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

import alertmanager as alertmanagers
import loki as lokis
import prometheus as prometheuses
from featurewatch.demo.workload import RHYTHMS
from loki import Loki
from prometheus import Prometheus, free_port, wait_for
from running import bridge, environment

SCRAPE_S: Final = 1.0
RULES: Final = Path(__file__).parents[1] / "prometheus" / "rules"

RULE: Final = {
    "name": "Busy", "metric": "total_requests", "condition": "greater_than", "threshold": 0, "severity": "high",
    "for_minutes": 0,
}  # fmt: skip
"""A rule that fires as soon as there are calls, so that there is an alert to show."""


@dataclass
class DemoStack:
    """The running servers; `loki` is None where there is no Loki on PATH. `api` speaks to the bridge."""

    prometheus: Prometheus
    loki: Loki | None
    api: httpx.Client


@contextmanager
def demo_stack(folder: Path) -> Iterator[DemoStack]:
    """Start all of it and make something happen: an objective, alerts of which one is acknowledged, tests, a client.

    Rules are evaluated and targets scraped once a second; all else is as it is shipped.
    """
    port, app_port = free_port(), free_port()
    alertmanager = alertmanagers.make(folder / "alertmanager")
    prometheus = prometheuses.make(
        folder / "prometheus",
        # A reload makes it forget its Alertmanagers for seconds: what fires then is told again after this.
        options=["--rules.alert.resend-delay=3s", "--enable-feature=exemplar-storage"],
        rule_files=["recording/*.yml", f"{folder}/rules.d/*.yml"],
        alertmanagers=[f"127.0.0.1:{alertmanager.port}"],
    )
    prometheus.configure(
        targets={
            "demo": [f"127.0.0.1:{app_port}"],
            "featurewatch": [f"127.0.0.1:{port}"],
            "prometheus": [f"127.0.0.1:{prometheus.port}"],
            "alertmanager": [f"127.0.0.1:{alertmanager.port}"],
        },
        scrape_interval=f"{SCRAPE_S:g}s",
        rule_files=["recording/*.yml", f"{folder}/rules.d/*.yml"],
        alertmanagers=[f"127.0.0.1:{alertmanager.port}"],
    )
    _quicken(RULES, prometheus.folder / "recording")
    with ExitStack() as opened:
        loki = None
        if shutil.which("loki"):
            (folder / "loki").mkdir()
            loki = lokis.make(folder / "loki", f"{lokis.LIMITS}, max_query_series: 20000")
            opened.callback(loki.stop)
            loki.start()
        for server in (alertmanager, prometheus):
            opened.callback(server.stop)
            server.start()
        settings = {
            "FEATUREWATCH_PROMETHEUS_URL": prometheus.url,
            "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(folder / "rules.d"),
            "FEATUREWATCH_ALERTMANAGER_URLS": alertmanager.url,
            "FEATUREWATCH_ALERTMANAGER_CONFIG": str(alertmanager.config),
            "FEATUREWATCH_WEBHOOK_URL": f"http://127.0.0.1:{port}/api/v1/webhooks/alertmanager",
            "FEATUREWATCH_METRICS_INTERVAL": "1s",
            "FEATUREWATCH_DOCTOR_INTERVAL": "10s",
            **({"FEATUREWATCH_LOKI_URL": loki.url} if loki else {}),
        }
        running = opened.enter_context(bridge(folder / "bridge", port=port, env=settings))
        app = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "featurewatch.demo.app",
                f"--listen=127.0.0.1:{app_port}",
                f"--endpoint={running.url}",
            ],
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
        opened.callback(app.wait, 30)
        opened.callback(app.terminate)
        opened.enter_context(_client(running.url))
        api = opened.enter_context(httpx.Client(base_url=f"{running.url}/api/v1", timeout=30))
        made = DemoStack(prometheus, loki, api)
        _happen(made)
        yield made


def _quicken(rules: Path, folder: Path) -> None:
    """Copy the shipped rules, evaluated once a second."""
    folder.mkdir()
    for file in rules.glob("*.yml"):
        text, changed = re.subn(r"(?m)^(\s+interval:) \w+$", r"\1 1s", file.read_text(encoding="utf-8"))
        assert changed, f"{file} has no group with an interval"
        (folder / file.name).write_text(text, encoding="utf-8")


@contextmanager
def _client(url: str) -> Iterator[None]:
    """Follow all features by WebSocket, reading whatever comes."""

    def read(socket: ClientConnection) -> None:
        try:
            for _ in socket:
                pass
        except WebSocketException:
            pass

    with connect(f"ws{url.removeprefix('http')}/api/v1/websocket?featureId=*", max_size=None) as socket:
        reader = threading.Thread(target=read, args=(socket,))
        reader.start()
        yield
        socket.close()
        reader.join(10)


def _happen(stack: DemoStack) -> None:
    """Let happen what dashboards show besides calls and lines."""
    api = stack.api
    wait_for(lambda: len(told(api.get("/features")).json()["features"]) >= len(RHYTHMS), what="the demo's features")
    told(api.put("/features/search", json={"slo": {"objective": 99.5, "window": "30d"}}))
    for feature in ("search", "classify"):
        told(api.post(f"/features/{feature}/alerts/rules", json=RULE))
    results = [{"name": "smoke", "passed": True}, {"name": "quality", "passed": False}]
    told(api.post("/features/search/test-results?environment=production", json=results))

    def active() -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = told(api.get("/alerts?status=active")).json()["alerts"]
        return alerts if len({alert["featureId"] for alert in alerts} & {"search", "classify"}) == 2 else []

    first = next(
        alert for alert in wait_for(active, within_s=90, what="two alerts") if alert["featureId"] == "classify"
    )
    told(api.post(f"/alerts/{first['id']}/acknowledge", json={"comment": "on it"}))


def told(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, answer.text
    return answer
