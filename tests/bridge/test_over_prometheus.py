"""The bridge where figures are read from Prometheus: what it takes in itself, what it passes on, and what it says."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from featurewatch import Feature, tokens
from featurewatch.exporter import otlp
from prometheus import Prometheus, free_port
from remote_write import labels

from .running import API, bridge

pytestmark = pytest.mark.anyio

CHAT = f"{API}/features/chat"
OK = {"outcome": "success", "duration_ms": 100}


@dataclass
class Receiver:
    """Takes OTLP metrics over HTTP and remembers them; `status` and `answer` are what it says."""

    port: int = 0
    status: int = 200
    answer: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[str, dict[str, str], ExportMetricsServiceRequest]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def points(self) -> list[dict[str, str]]:
        """The attributes of every point that came."""
        return [
            {pair.key: pair.value.string_value for pair in point.attributes}
            for _, _, request in self.came
            for of_resource in request.resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            for point in getattr(metric, str(metric.WhichOneof("data"))).data_points
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportMetricsServiceRequest.FromString(gzip.decompress(body))
            told.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, request))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.answer)))
            self.end_headers()
            self.wfile.write(told.answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def pushed(*, of_resource: dict[str, str], of_point: dict[str, str], name: str = "feature_requests_total") -> Any:
    """Make an OTLP request of one metric, whose feature stands where it is put."""

    def attributes(told: dict[str, str]) -> list[Any]:
        return [{"key": key, "value": {"stringValue": value}} for key, value in told.items()]

    now = time.time_ns()
    point = {
        "asInt": "3", "startTimeUnixNano": str(now - 10**10), "timeUnixNano": str(now),
        "attributes": attributes({"outcome": "success", **of_point}),
    }  # fmt: skip
    metric = {
        "name": name, "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]},
    }  # fmt: skip
    return {
        "resourceMetrics": [
            {"resource": {"attributes": attributes(of_resource)}, "scopeMetrics": [{"metrics": [metric]}]}
        ]
    }


NOWHERE = "http://127.0.0.1:9"


async def test_otlp_metrics_are_refused_with_where_to_send_them(tmp_path: Path) -> None:
    async with bridge(tmp_path, prometheus_url=NOWHERE) as client:
        body = pushed(of_resource={}, of_point={"feature": "chat"})
        answer = await client.post("/v1/metrics", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, 14)
        assert "FEATUREWATCH_OTLP_FORWARD_URL" in answer.json()["message"]
        assert "let Prometheus scrape" in answer.json()["message"]


async def test_otlp_metrics_are_passed_on_with_their_feature_on_each_point(tmp_path: Path, receiver: Receiver) -> None:
    async with bridge(
        tmp_path, prometheus_url=NOWHERE, otlp_forward_url=receiver.url, otlp_forward_tenant="team-a"
    ) as client:
        resource = {"service.name": "reader", "service.instance.id": "i-1", "feature": "chat"}
        body = pushed(of_resource=resource, of_point={"route": "/x"})
        body["resourceMetrics"] += pushed(of_resource={}, of_point={"feature": "chat"}, name="feature_of_mine")[
            "resourceMetrics"
        ]
        answer = await client.post("/v1/metrics", json=body)
        assert answer.status_code == 200
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
        assert "is no metric of featurewatch" in answer.json()["partialSuccess"]["errorMessage"]
        listed = (await client.get(f"{API}/features")).json()["features"]
        assert [feature["id"] for feature in listed] == ["chat"]
    ((path, headers, request),) = receiver.came
    assert (path, headers["x-scope-orgid"]) == ("/v1/metrics", "team-a")
    assert receiver.points() == [{"route": "/x", "feature": "chat", "environment": "development", "outcome": "success"}]
    (told,) = request.resource_metrics
    assert {pair.key: pair.value.string_value for pair in told.resource.attributes} == resource
    (metric,) = told.scope_metrics[0].metrics
    assert (metric.name, metric.unit, metric.sum.is_monotonic) == ("feature_requests_total", "", True)
    assert metric.sum.aggregation_temporality == 2
    assert metric.sum.data_points[0].as_int == 3


async def test_all_that_the_exporter_pushes_is_passed_on_unchanged_but_for_units(
    tmp_path: Path, receiver: Receiver
) -> None:
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

    from featurewatch.exporter.runtime import RUNTIME

    Feature("everything", name="All", owner="us", version="2", models=["m"], budget_usd_per_day=3)
    snapshots = [one for one in RUNTIME.snapshots() if one.key.feature == "everything"]
    data = otlp.render(snapshots, {}, service="app", instance="i-2", started_ns=1, now_ns=time.time_ns())
    encoded = encode_metrics(data)
    async with bridge(
        tmp_path, prometheus_url=NOWHERE, otlp_forward_url=f"{receiver.url}/api/v1/otlp/v1/metrics"
    ) as client:
        headers = {"Content-Type": "application/x-protobuf"}
        answer = await client.post("/v1/metrics", content=encoded.SerializeToString(), headers=headers)
        assert answer.status_code == 200
    ((path, _, request),) = receiver.came
    assert path == "/api/v1/otlp/v1/metrics"
    kept = [
        metric for metric in encoded.resource_metrics[0].scope_metrics[0].metrics if metric.name.startswith("feature_")
    ]
    came = request.resource_metrics[0].scope_metrics[0].metrics
    assert [metric.name for metric in came] == [metric.name for metric in kept]
    for ours, theirs in zip(came, kept, strict=True):
        kind = str(ours.WhichOneof("data"))
        for mine, other in zip(getattr(ours, kind).data_points, getattr(theirs, kind).data_points, strict=True):
            assert {pair.key: pair.value.string_value for pair in mine.attributes} == {
                pair.key: pair.value.string_value for pair in other.attributes
            }
            del mine.attributes[:], other.attributes[:]
            assert mine == other


@pytest.mark.parametrize(
    ("status", "expected", "code"), [(503, 503, 14), (500, 503, 14), (429, 429, 8), (400, 502, 14), (401, 502, 14)]
)
async def test_what_is_not_taken_there_is_not_acknowledged_here(
    tmp_path: Path, receiver: Receiver, status: int, expected: int, code: int
) -> None:
    receiver.status, receiver.answer, receiver.headers = status, b"no room today", {"Retry-After": "9"}
    async with bridge(tmp_path, prometheus_url=NOWHERE, otlp_forward_url=receiver.url) as client:
        answer = await client.post("/v1/metrics", json=pushed(of_resource={}, of_point={"feature": "chat"}))
        assert (answer.status_code, answer.json()["code"]) == (expected, code)
        assert status == 401 or "no room today" in answer.json()["message"]
        if status == 429:
            assert answer.headers["retry-after"] == "9"
        text = (await client.get("/metrics")).text
        reason = {429: "busy", 400: "refused", 401: "refused"}.get(status, "error")
        assert f'featurewatch_upstream_failures_total{{reason="{reason}",upstream="otlp"}} 1.0' in text


async def test_points_that_are_refused_there_are_told(tmp_path: Path, receiver: Receiver) -> None:
    said = ExportMetricsServiceResponse()
    said.partial_success.rejected_data_points = 1
    said.partial_success.error_message = "out of order"
    receiver.answer = said.SerializeToString()
    async with bridge(tmp_path, prometheus_url=NOWHERE, otlp_forward_url=receiver.url) as client:
        answer = await client.post("/v1/metrics", json=pushed(of_resource={}, of_point={"feature": "chat"}))
        assert answer.json()["partialSuccess"] == {"rejectedDataPoints": "1", "errorMessage": "out of order"}


async def test_a_receiver_that_is_away_is_named(tmp_path: Path) -> None:
    async with bridge(tmp_path, prometheus_url=NOWHERE, otlp_forward_url=f"http://127.0.0.1:{free_port()}") as client:
        answer = await client.post("/v1/metrics", json=pushed(of_resource={}, of_point={"feature": "chat"}))
        assert answer.status_code == 503
        assert "FEATUREWATCH_OTLP_FORWARD_URL" in answer.json()["message"]


async def test_a_token_passes_on_its_own_features_alone(tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "tokens"
    token = tokens.create(file, role="ingest", features=("sum*",))[1]
    async with bridge(tmp_path, prometheus_url=NOWHERE, otlp_forward_url=receiver.url, api_tokens_file=file) as client:
        headers = {"Authorization": f"Bearer {token}"}
        for feature, status in (("chat", 403), ("summarize", 200)):
            body = pushed(of_resource={}, of_point={"feature": feature})
            assert (await client.post("/v1/metrics", json=body, headers=headers)).status_code == status
    assert [point["feature"] for point in receiver.points()] == ["summarize"]


async def test_calls_are_counted_here_each_once_a_restart_included(tmp_path: Path) -> None:
    for expected in ((1, 2.0), (0, 2.0)):
        async with bridge(tmp_path, prometheus_url=NOWHERE) as client:
            answer = await client.post(f"{CHAT}/requests", json=[{**OK, "id": "a"}])
            assert (answer.status_code, answer.json()["accepted"]) == (200, expected[0])
            if expected[0]:
                await client.post(f"{CHAT}/requests", json=OK)
            text = (await client.get("/metrics")).text
            labels = 'environment="development",feature="chat",outcome="success"'
            assert f"feature_requests_total{{{labels}}} {expected[1]}" in text
            ready = (await client.get("/readyz")).json()["checks"]
            assert ready["calls"] == {"ok": True}
            assert "FEATUREWATCH_PROMETHEUS_URL" in ready["metrics"]["error"]


async def test_figures_history_and_costs_come_from_prometheus(tmp_path: Path, prometheus: Prometheus) -> None:
    app = {"case": "bridge", "feature": "chat", "environment": "production", "job": "app", "instance": "a"}
    now_ms = time.time_ns() // 1_000_000
    times = [now_ms - 15_000 * n for n in range(40, -1, -1)]
    rising = [(at, float(number)) for number, at in enumerate(times)]
    prometheus.write(
        {
            labels("feature_requests_total", {**app, "outcome": "success"}): rising,
            labels("feature_cost_usd_total", {**app, "model": "m", "source": "reported"}): rising,
            labels("feature_errors_total", {**app, "error_type": "refused"}): rising,
            labels("feature_info", {**app, "name": "Chat!", "owner": "us", "version": "3"}): [
                (at, 1.0) for at in times
            ],
        }
    )
    async with bridge(tmp_path, prometheus_url=prometheus.url, prometheus_matchers=("case=bridge",)) as client:
        feature = await _listed(client)
        assert (feature["name"], feature["owner"], feature["version"]) == ("Chat!", "us", "3")
        shown = (await client.get(f"{CHAT}/metrics")).json()
        assert shown["total_requests"] == pytest.approx(20, abs=1)
        assert shown["stale"] is False
        costs = (await client.get(f"{CHAT}/costs")).json()
        assert costs["by_model"][0]["cost_usd"] == pytest.approx(20, abs=1)
        performance = (await client.get(f"{CHAT}/performance")).json()
        assert performance["errors_by_type"]["refused"] == pytest.approx(20, abs=1)
        history = (await client.get(f"{CHAT}/metrics/history?metric=requests_per_minute&time_range=5m&step=1m")).json()
        assert [value for _, value in history["points"]][1:-1] == [4.0] * 4
        text = (await client.get("/metrics")).text
        assert 'featurewatch_upstream_request_duration_seconds_count{upstream="metrics"}' in text
        assert 'featurewatch_upstream_failures_total{reason="timeout",upstream="metrics"} 0.0' in text
        assert "featurewatch_metric_store_recorded 0.0" in text


async def _listed(client: httpx.AsyncClient) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not (features := (await client.get(f"{API}/features")).json()["features"]):  # noqa: ASYNC110 (no event over HTTP)
            await asyncio.sleep(0.1)
    feature: dict[str, Any] = features[0]
    return feature


async def test_where_nothing_was_ever_known_it_is_unavailable_and_never_zero(tmp_path: Path) -> None:
    async with bridge(tmp_path, prometheus_url=NOWHERE) as client:
        await client.post(f"{CHAT}/requests", json=OK)
        answer = await client.get(f"{CHAT}/metrics")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await client.get(f"{API}/features")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
