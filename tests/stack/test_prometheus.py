"""From an app's /metrics through a real Prometheus and its recording rules to REST and WebSocket, outages included."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from featurewatch.stores import recording
from prometheus import Prometheus, free_port, wait_for
from running import bridge

pytestmark = pytest.mark.stack

APP = """
import sys
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

import featurewatch

featurewatch.configure(environment="production")
summarize = featurewatch.Feature("summarize", name="Summaries", owner="docs", version="1.4")
metrics = featurewatch.metrics_wsgi_app()

def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return metrics(environ, start_response)
    asked = {name: int(values[0]) for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    for number in range(asked["calls"]):
        with summarize.call(model="gpt-5-mini") as call:
            call.tokens(input=10, output=2)
            call.cost(usd=0.01)
            if number < asked["failed"]:
                call.fail("refused")
    start_response("204 No Content", [])
    return []

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
"""


@pytest.fixture
def app() -> Iterator[httpx.Client]:
    """An app with one feature; `GET /?calls=10&failed=2` makes it work."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(APP), str(port)])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return client.get("/metrics").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_for(answers)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def test_an_app_is_scraped_recorded_shown_and_survives_its_prometheus(
    tmp_path: Path, app: httpx.Client, own_prometheus: Prometheus
) -> None:
    port = free_port()
    rules = re.sub(r"interval: \w+", "interval: 1s", recording.document())
    (own_prometheus.folder / "featurewatch.yml").write_text(rules, encoding="utf-8")
    targets = {"app": [str(app.base_url.netloc.decode())], "featurewatch": [f"127.0.0.1:{port}"]}
    own_prometheus.configure(targets=targets, rule_files=["featurewatch.yml"])
    own_prometheus.start()
    own_prometheus.wait_for('feature_requests_total{feature="summarize"} == 0')
    app.get("/", params={"calls": 200, "failed": 50})
    own_prometheus.wait_for("feature:total_requests:over5m == 200")
    own_prometheus.wait_for(f"count({recording.MARKER}) == 3")
    env = {"FEATUREWATCH_PROMETHEUS_URL": own_prometheus.url, "FEATUREWATCH_METRICS_INTERVAL": "0.5"}
    with (
        bridge(tmp_path / "bridge", port=port, env=env) as running,
        httpx.Client(base_url=f"{running.url}/api/v1", timeout=30) as client,
    ):
        shown = client.get("/features/summarize/metrics/current").json()["data"]
        figures = shown["metrics"]
        assert (figures["total_requests"], figures["error_rate"], figures["success_rate"]) == (200, 25, 75)
        assert figures["cost_per_request"] == pytest.approx(0.01)
        assert figures["tokens_per_request"] == pytest.approx(12)
        assert (shown["environment"], shown["health_status"]) == ("production", "warning")
        listed = client.get("/features/summarize").json()
        assert (listed["name"], listed["owner"], listed["version"]) == ("Summaries", "docs", "1.4")
        assert client.get("/features/summarize/performance").json()["errors_by_type"] == {"refused": 50}
        # Where a target is seen for the first time with its counts, nobody knows when these were made.
        own_prometheus.wait_for('sum_over_time(up{job="featurewatch"}[5m]) > 0')
        told = [
            {"outcome": "success", "duration_ms": 20, "id": str(number), "environment": "production"}
            for number in range(7)
        ]
        assert client.post("/features/told/requests", json=told).json()["accepted"] == 7
        own_prometheus.wait_for('feature:total_requests:over5m{feature="told"} == 7')
        address = f"ws://127.0.0.1:{port}/api/v1/websocket?featureId=told&featureId=summarize"
        with connect(address) as socket:
            _until(socket, lambda data: data["metrics"]["total_requests"] == 7 and not data["stale"])
            own_prometheus.kill()
            kept = _until(socket, lambda data: data["stale"], feature="summarize")
            assert kept["metrics"]["total_requests"] == 200
            assert (
                "cannot be reached"
                in httpx.get(f"{running.url}/readyz", timeout=30).json()["checks"]["metrics"]["error"]
            )
            assert client.post("/features/told/requests", json=told).json()["duplicates"] == 7
            own_prometheus.start()
            back = _until(socket, lambda data: not data["stale"], feature="summarize")
            assert back["metrics"]["total_requests"] in (200, None)  # not scraped yet, or from before
        assert wait_for(lambda: httpx.get(f"{running.url}/readyz", timeout=30).status_code == 200)
        metrics = httpx.get(f"{running.url}/metrics", timeout=30).text
        assert "featurewatch_metric_store_recorded 1.0" in metrics
        assert re.search(r'upstream_failures_total\{reason="(unreachable|broken)",upstream="metrics"\} [1-9]', metrics)


def _until(socket: Any, holds: Callable[[dict[str, Any]], bool], *, feature: str = "told") -> dict[str, Any]:
    """Read messages until a snapshot of the feature is as wanted."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        message = json.loads(socket.recv(timeout=60))
        if message["type"] == "metrics_update" and message["featureId"] == feature and holds(message["data"]):
            data: dict[str, Any] = message["data"]
            return data
    raise AssertionError("no such snapshot within 60 s")
