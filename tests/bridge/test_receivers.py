from __future__ import annotations

import gzip
import json
import time

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from featurewatch.bridge.decode_otlp import failure

from .running import API

pytestmark = pytest.mark.anyio
PROTOBUF = "application/x-protobuf"


def requests_total(count: int, started: int, temporality: int = 2) -> dict[str, object]:
    def attribute(key: str, value: str) -> dict[str, object]:
        return {"key": key, "value": {"stringValue": value}}

    points = [
        {
            "asInt": str(count if outcome == "success" else 0),
            "startTimeUnixNano": str(started),
            "timeUnixNano": str(time.time_ns()),
            "attributes": [
                attribute("feature", "chat"),
                attribute("environment", "production"),
                attribute("outcome", outcome),
            ],
        }
        for outcome in ("success", "error", "cancelled")
    ]  # fmt: skip
    metric = {
        "name": "feature_requests_total",
        "sum": {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": points},
    }
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}


async def total(client: httpx.AsyncClient) -> int | None:
    counted: int | None = (await client.get(f"{API}/features/chat/metrics")).json()["total_requests"]
    return counted


async def test_otlp_metrics_are_seen_at_once_and_a_repeat_changes_nothing(client: httpx.AsyncClient) -> None:
    started = time.time_ns() - 1_000_000_000
    body = requests_total(7, started)
    for _ in range(2):
        answer = await client.post("/v1/metrics", json=body)
        assert (answer.status_code, answer.json()) == (200, {})
        assert await total(client) == 7
    await client.post("/v1/metrics", json=requests_total(9, started))
    assert await total(client) == 9


async def test_delta_points_are_refused_by_partial_success(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/metrics", json=requests_total(7, time.time_ns(), temporality=1))
    assert answer.status_code == 200
    assert int(answer.json()["partialSuccess"]["rejectedDataPoints"]) == 3
    text = (await client.get("/metrics")).text
    assert 'featurewatch_refused_total{code="partial",protocol="otlp",signal="metrics"} 3.0' in text


async def test_otlp_logs_come_as_gzipped_protobuf(client: httpx.AsyncClient) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = 1_769_860_800_000_000_007
    record.severity_number = 17
    record.body.string_value = "broken"
    attribute = record.attributes.add()
    attribute.key = "feature"
    attribute.value.string_value = "chat"
    headers = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}
    answer = await client.post("/v1/logs", content=gzip.compress(request.SerializeToString()), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportLogsServiceResponse.FromString(answer.content).partial_success.rejected_log_records == 0
    (line,) = (await client.get(f"{API}/logs?feature_id=chat")).json()["logs"]
    assert (line["level"], line["message"], line["timestamp"]) == ("error", "broken", "2026-01-31T12:00:00.000000007Z")


async def test_an_empty_export_is_answered_as_one(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/metrics", content=b"", headers={"Content-Type": PROTOBUF})
    assert answer.status_code == 200
    assert ExportMetricsServiceResponse.FromString(answer.content) == ExportMetricsServiceResponse()


async def test_a_loki_push_is_answered_204_and_found(client: httpx.AsyncClient) -> None:
    push = {
        "streams": [
            {
                "stream": {"feature": "chat", "environment": "staging", "service_name": "web"},
                "values": [["1769860800000000001", "one"], ["1769860800000000002", "two", {"level": "warn"}]],
            }
        ]
    }
    for _ in range(2):
        answer = await client.post("/loki/api/v1/push", json=push)
        assert (answer.status_code, answer.content) == (204, b"")
    lines = (await client.get(f"{API}/logs?feature_id=chat")).json()["logs"]
    assert [(line["message"], line["level"], line["environment"]) for line in lines] == [
        ("one", "info", "staging"), ("two", "warn", "staging"),
    ]  # fmt: skip


async def test_of_a_push_with_wrong_lines_the_others_are_kept_and_400_says_so(client: httpx.AsyncClient) -> None:
    values = [["1769860800000000001", "good"], ["soon", "bad"]]
    push = {"streams": [{"stream": {"feature": "chat"}, "values": values}]}
    answer = await client.post("/loki/api/v1/push", json=push)
    assert answer.status_code == 400
    assert answer.text.startswith("1 of 2 lines were refused, the others are kept; line 1: timestamp")
    assert len((await client.get(f"{API}/logs?feature_id=chat")).json()["logs"]) == 1


async def test_lines_are_cut_whatever_the_protocol(client: httpx.AsyncClient) -> None:
    record = {
        "body": {"stringValue": "x" * 400_000},
        "attributes": [{"key": "feature", "value": {"stringValue": "chat"}}],
    }
    await client.post("/v1/logs", json={"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    (line,) = (await client.get(f"{API}/logs?feature_id=chat")).json()["logs"]
    assert line["message"].endswith("[cut, 400000 bytes]")


def test_a_failure_is_a_status_in_the_encoding_of_the_request() -> None:
    assert json.loads(failure("application/json", 3, "no")) == {"code": 3, "message": "no"}
