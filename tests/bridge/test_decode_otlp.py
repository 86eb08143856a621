from __future__ import annotations

import asyncio
import gzip
import json
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from featurewatch.bridge.decode_otlp import MetricBatch, decode_logs, decode_metrics, failure, success
from featurewatch.errors import BadInput, TooLarge, Unsupported
from featurewatch.families import BUCKETS
from featurewatch.model import FeatureKey, LogEntry, Sample
from featurewatch.stores.embedded_metrics import EmbeddedMetrics

NS = 10**9
NOW = 1_771_000_003 * NS
START = NOW - 60 * NS
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
CHAT = FeatureKey("chat", "production")
LIMIT = 1024 * 1024


def attributes(**values: Any) -> list[dict[str, Any]]:
    def shown(value: Any) -> dict[str, Any]:
        match value:
            case bool():
                return {"boolValue": value}
            case int():
                return {"intValue": str(value)}
            case float():
                return {"doubleValue": value}
            case list():
                return {"arrayValue": {"values": [shown(item) for item in value]}}
            case dict():
                return {"kvlistValue": {"values": attributes(**value)}}
            case _:
                return {"stringValue": value}

    return [{"key": name.replace("__", "."), "value": shown(value)} for name, value in values.items()]


def point(value: float = 1, /, **fields: Any) -> dict[str, Any]:
    labels = {"feature": "chat", "environment": "production"} | fields.pop("labels", {})
    number = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    told = {"startTimeUnixNano": str(START), "timeUnixNano": str(NOW), "attributes": attributes(**labels)}
    return number | told | fields


def counted(name: str, *points: dict[str, Any], temporality: int = 2, monotonic: bool = True) -> dict[str, Any]:
    data = {"dataPoints": list(points), "aggregationTemporality": temporality, "isMonotonic": monotonic}
    return {"name": name, "sum": data}


def gauge(name: str, *points: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": list(points)}}


def observed(bounds: Sequence[float], counts: Sequence[int], **fields: Any) -> dict[str, Any]:
    told = point() | {
        "count": str(sum(counts)),
        "sum": 1.5,
        "explicitBounds": list(bounds),
        "bucketCounts": [str(count) for count in counts],
    }
    del told["asInt"]
    points = [told | fields]
    return {
        "name": "feature_request_duration_seconds",
        "histogram": {"dataPoints": points, "aggregationTemporality": 2},
    }


OK = {"outcome": "success"}


def request(*metrics: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes(**(resource or {}))},
                "scopeMetrics": [{"scope": {"name": "x"}, "metrics": list(metrics)}],
            }
        ]
    }


def decode(
    body: Any, content_type: str = JSON, encoding: str = "", *, environment: str = "development", limit: int = LIMIT
) -> MetricBatch:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_metrics(sent, content_type, encoding, environment=environment, now_ns=NOW, max_bytes=limit)


def refusal(*metrics: dict[str, Any]) -> str:
    batch = decode(request(*metrics))
    assert batch.samples == []
    assert batch.rejected == 1
    assert "\n" not in batch.message
    return batch.message


# What is accepted


def test_a_counter_becomes_a_sample() -> None:
    [sample] = decode(request(counted("feature_requests_total", point(12, labels=OK)))).samples
    assert sample == Sample("feature_requests_total", CHAT, ("success",), sample.instance, START, NOW, 12)
    assert isinstance(sample.value, int)


def test_labels_come_in_the_order_of_their_family() -> None:
    tokens = counted("feature_tokens_total", point(3, labels={"kind": "input", "model": "small"}))
    cost = counted("feature_cost_usd_total", point(0.25, labels={"source": "reported"}))
    info = gauge("feature_info", point(1, labels={"version": "2", "name": "Chat", "owner": "team"}))
    batch = decode(request(tokens, cost, info))
    assert [sample.labels for sample in batch.samples] == [
        ("small", "input"),
        ("unknown", "reported"),
        ("Chat", "team", "2"),
    ]
    assert [sample.value for sample in batch.samples] == [3, 0.25, 1]


def test_gauges_may_come_as_sums_that_go_up_and_down() -> None:
    told = counted("feature_requests_in_progress", point(3), monotonic=False)
    batch = decode(request(told, gauge("feature_probe_success", point(1))))
    assert [(sample.family, sample.value) for sample in batch.samples] == [
        ("feature_requests_in_progress", 3),
        ("feature_probe_success", 1),
    ]


def test_a_histogram_with_our_bounds_keeps_its_counts() -> None:
    counts = tuple(range(len(BUCKETS) + 1))
    [sample] = decode(request(observed(BUCKETS, counts))).samples
    assert (sample.counts, sample.value, sample.labels) == (counts, 1.5, ())


def test_a_histogram_with_more_bounds_is_folded_exactly() -> None:
    bounds = sorted([*BUCKETS, 0.001, 0.03, 1.0, 1000.0])
    counts = [n + 1 for n in range(len(bounds) + 1)]
    [sample] = decode(request(observed(bounds, counts))).samples
    edges = [*bounds, float("inf")]
    expected = []
    below = float("-inf")
    for bound in (*BUCKETS, float("inf")):
        expected.append(sum(n for edge, n in zip(edges, counts, strict=True) if below < edge <= bound))
        below = bound
    assert list(sample.counts) == expected


def test_a_histogram_of_nothing_needs_no_buckets_and_no_sum() -> None:
    told = observed([], [])
    del told["histogram"]["dataPoints"][0]["sum"]
    [sample] = decode(request(told)).samples
    assert (sum(sample.counts), sample.value) == (0, 0)


def test_feature_and_environment_may_be_the_resource_s() -> None:
    bare = counted("feature_requests_total", {**point(1), "attributes": attributes(outcome="success")})

    def key(**resource: str) -> FeatureKey:
        return decode(request(bare, resource={"feature": "search"} | resource)).samples[0].key

    assert key() == ("search", "development")
    assert key(environment="staging") == ("search", "staging")
    assert key(deployment__environment__name="staging") == ("search", "staging")
    assert key(deployment__environment="staging") == ("search", "staging")
    own = decode(request(counted("feature_requests_total", point(1, labels=OK)), resource={"feature": "x"}))
    assert own.samples[0].key == CHAT


def test_a_process_is_its_instance_id_else_its_resource_and_start() -> None:
    def instance(resource: dict[str, Any], start_ns: int = START, **labels: str) -> str:
        told = counted("feature_requests_total", point(1, labels=OK | labels, startTimeUnixNano=str(start_ns)))
        return decode(request(told, resource=resource)).samples[0].instance

    one = {"service__name": "app", "service__instance__id": "1"}
    assert instance(one) == instance(one, START + 1) == instance(one | {"host__name": "x"})
    named = {instance(one), instance(one | {"service__instance__id": "2"}), instance(one | {"service__name": "b"})}
    nameless = {"service__name": "app"}
    assert instance(nameless) == instance(nameless)
    told = {instance(nameless), instance(nameless, START + 1), instance(nameless | {"host__name": "x"}), instance({})}
    apart = {instance(one, region="eu"), instance(one, region="us")}
    assert len(named | told | apart) == 9


def test_points_that_say_they_have_no_value_are_passed_over() -> None:
    batch = decode(request(counted("feature_requests_total", point(0, labels=OK, flags=1))))
    assert batch == MetricBatch([])


def test_metrics_of_others_are_passed_over() -> None:
    batch = decode(request(counted("http_requests_total", point(1)), gauge("process_cpu", point(1))))
    assert batch == MetricBatch([])


def test_what_was_dropped_of_no_known_feature_is_passed_over() -> None:
    bare = {**point(5), "attributes": attributes(signal="logs", reason="queue_full")}
    known = point(7, labels={"signal": "logs", "reason": "queue_full"})
    batch = decode(request(counted("featurewatch_dropped_total", bare, known)))
    assert [(sample.value, sample.labels) for sample in batch.samples] == [(7, ("logs", "queue_full"))]
    assert batch.rejected == 0


# What is refused


def test_one_wrong_point_does_not_touch_the_others() -> None:
    good, bad = point(1, labels=OK), point(1, labels={"outcome": "lost"})
    batch = decode(request(counted("feature_requests_total", bad, good, bad), counted("feature_lost_total", good)))
    assert len(batch.samples) == 1
    assert batch.rejected == 3
    assert batch.message == (
        "2 points refused: feature_requests_total: outcome: expected success, error, cancelled, got 'lost'; "
        "1 points refused: 'feature_lost_total' is no metric of featurewatch"
    )


def test_delta_temporality_is_refused_with_what_to_set() -> None:
    message = refusal(counted("feature_requests_total", point(1, labels=OK), temporality=1))
    assert "expected cumulative temporality, got delta" in message
    assert "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative" in message


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (gauge("feature_requests_total", point(1, labels=OK)), "expected a monotonic cumulative sum, got gauge"),
        (counted("feature_requests_total", point(1, labels=OK), monotonic=False), "a monotonic cumulative sum"),
        (counted("feature_request_duration_seconds", point(1)), "expected a cumulative histogram"),
        (counted("feature_requests_in_progress", point(1)), "expected a gauge, got sum"),
        (counted("feature_requests_total", point(-1, labels=OK)), "expected a number from 0 to 2^53, got -1"),
        (counted("feature_requests_total", point(2**60, labels=OK)), "expected a number from 0 to 2^53"),
        (counted("feature_cost_usd_total", point(0.5, labels={"source": "reported"}, asDouble="NaN")), "got nan"),
        (counted("feature_cost_usd_total", point(0.5, labels={"source": "guessed"})), "expected reported, estimated"),
        (counted("feature_tokens_total", point(1, labels={"kind": "all", "model": "m"})), "expected input, output"),
        (counted("feature_errors_total", point(1, labels={"error_type": "x" * 257})), "at most 256 characters"),
        (counted("feature_errors_total", point(1, labels={"feature": "a b"})), "feature: expected 1 to 64 of letters"),
        (counted("feature_errors_total", point(1, labels={"environment": "/"})), "environment: expected 1 to 32 of"),
        (counted("feature_errors_total", point(1, labels={"feature": ""})), "the attribute 'feature' is missing"),
        (counted("feature_errors_total", point(1, timeUnixNano=str(NOW + 601 * NS))), "at most 10 minutes ahead"),
        (counted("feature_errors_total", point(1, timeUnixNano=str(NOW - 3 * 86_400 * NS))), "one of the last 2 days"),
        (observed([0.1, 1, 10], [1, 1, 1, 1]), "that include 0.01, 0.02, 0.04, 0.08"),
        (observed([], [5]), "(seconds), got none"),
        (observed([*BUCKETS[::-1]], [1] * 15), "expected explicit bounds"),
        (observed(BUCKETS, [1] * 14), "a count for each of 15 buckets"),
        (observed(BUCKETS, [1] * 15, count="14"), "add up to 14, got 15 that add up to 15"),
        (observed(BUCKETS, [1] * 15, sum=None), "expected the sum of what was observed, got none"),
        (observed(BUCKETS, [1] * 15, sum=-1.0), "expected a number from 0"),
    ],
)  # fmt: skip
def test_a_wrong_point_is_refused_with_what_was_expected(metric: dict[str, Any], expected: str) -> None:
    assert expected in refusal(metric)


def test_an_exponential_histogram_is_refused() -> None:
    data = {"dataPoints": [{"timeUnixNano": str(NOW), "count": "1"}], "aggregationTemporality": 2}
    message = refusal({"name": "feature_request_duration_seconds", "exponentialHistogram": data})
    assert "expected a cumulative histogram with explicit bounds, got exponential_histogram" in message


def test_many_reasons_are_told_in_one_short_line() -> None:
    batch = decode(request(*(counted(f"feature_{n}_total", point(1)) for n in range(50))))
    assert batch.rejected == 50
    assert batch.message.endswith("; 45 more reasons")
    assert len(batch.message) < 600


# Bodies


def as_protobuf(body: dict[str, Any]) -> bytes:
    from google.protobuf import json_format

    return json_format.ParseDict(body, ExportMetricsServiceRequest()).SerializeToString()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("content_type", [PROTOBUF, "application/json; charset=utf-8"])
def test_both_encodings_and_their_compressions_tell_the_same(content_type: str, encoding: str) -> None:
    told = request(counted("feature_requests_total", point(12, labels=OK)), observed(BUCKETS, [2] * 15))
    body = as_protobuf(told) if content_type == PROTOBUF else json.dumps(told).encode()
    batch = decode(ENCODERS[encoding](body), content_type, encoding)
    assert batch == decode(told)
    assert len(batch.samples) == 2


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_bomb_is_refused_before_it_unfolds(content_type: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(b" " * 50_000_000)
    with pytest.raises(TooLarge, match="larger than 1048576 bytes"):
        decode(bomb, content_type, "gzip" if pack is gzip.compress else "deflate")


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        decode(b" " * (LIMIT + 1))


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "kind", "message"),
    [
        (b"{", JSON, "", BadInput, "not valid JSON"),
        (b"[]", JSON, "", BadInput, r"expected a JSON object \(ExportMetricsServiceRequest of OTLP\), got list"),
        (b'{"resourceMetrics": 5}', JSON, "", BadInput, "not OTLP/JSON"),
        (b'{"resourceMetrics": [5]}', JSON, "", BadInput, "not OTLP/JSON"),
        (b'{"resourceMetrics": [{"resource": {"attributes": [{"key": 5}]}}]}', JSON, "", BadInput, "not OTLP/JSON"),
        (b"\xff\xff\xff", PROTOBUF, "", BadInput, "not valid protobuf: expected ExportMetricsServiceRequest"),
        (b"\x1f\x8bxx", PROTOBUF, "gzip", BadInput, "not valid gzip"),
        (b"{}", "text/plain", "", Unsupported, "expected application/x-protobuf or application/json, got 'text/plain'"),
        (b"{}", "", "", Unsupported, "Content-Type"),
        (b"{}", JSON, "br", Unsupported, "Content-Encoding: expected gzip, deflate or none, got 'br'"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    body: bytes, content_type: str, encoding: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as refused:
        decode(body, content_type, encoding)
    assert "\n" not in str(refused.value)


def test_nothing_is_a_request_too() -> None:
    assert decode(b"", PROTOBUF) == MetricBatch([]) == decode(b"{}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["resourceMetrics", "scopeMetrics", "metrics", "name", "sum", "dataPoints", "traceId", "key"])
        | st.text(max_size=5),
        inner, max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["resourceMetrics", "resourceLogs", "x"]), json_values, max_size=3))
def test_no_json_breaks_the_decoder(body: dict[str, Any]) -> None:
    for decoder in (decode_metrics, decode_logs):
        with suppress(BadInput):
            decoder(json.dumps(body).encode(), JSON, "", environment="x", now_ns=NOW, max_bytes=LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_break_the_decoder(noise: bytes, at: int) -> None:
    body = as_protobuf(request(counted("feature_requests_total", point(12, labels=OK)), observed(BUCKETS, [2] * 15)))
    for damaged in (noise, body[:at] + noise + body[at + len(noise) :]):
        with suppress(BadInput):
            assert all(sample.value >= 0 for sample in decode(damaged, PROTOBUF).samples)


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(BadInput):
        decode(b'{"resourceMetrics":' + b"[" * 900 + b"]" * 900 + b"}")


# Answers


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_answers_come_in_the_encoding_of_the_request(content_type: str) -> None:
    from google.protobuf import json_format

    def parsed(body: bytes, message: Any) -> Any:
        if content_type == JSON:
            return json_format.Parse(body, message)
        message.ParseFromString(body)
        return message

    assert not parsed(success(content_type), ExportMetricsServiceResponse()).HasField("partial_success")
    partial = parsed(success(content_type, 3, "why"), ExportMetricsServiceResponse()).partial_success
    assert (partial.rejected_data_points, partial.error_message) == (3, "why")
    logs = parsed(success(content_type, 2, "why", "logs"), ExportLogsServiceResponse()).partial_success
    assert (logs.rejected_log_records, logs.error_message) == (2, "why")
    status = parsed(failure(content_type, 3, "what was expected"), Status())
    assert (status.code, status.message) == (3, "what was expected")


# A real exporter


@contextmanager
def receiver(received: list[MetricBatch]) -> Iterator[str]:
    """Listen as the bridge does, and decode what comes at the time it comes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content_type = self.headers["Content-Type"]
            batch = decode_metrics(
                body, content_type, self.headers.get("Content-Encoding", ""),
                environment="development", now_ns=time.time_ns(), max_bytes=LIMIT,
            )  # fmt: skip
            received.append(batch)
            answer = success(content_type, batch.rejected, batch.message)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_opentelemetry_sdk_is_understood(compression: Compression) -> None:
    received: list[MetricBatch] = []
    with receiver(received) as url:
        exporter = OTLPMetricExporter(endpoint=url, compression=compression)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        view = View(
            instrument_name="feature_request_duration_seconds",
            aggregation=ExplicitBucketHistogramAggregation(boundaries=[0.005, *BUCKETS]),
        )
        provider = MeterProvider(
            [reader],
            Resource({"service.name": "app", "feature": "chat", "deployment.environment.name": "staging"}),
            views=[view],
        )
        meter = provider.get_meter("test")
        calls = meter.create_counter("feature_requests_total")
        durations = meter.create_histogram("feature_request_duration_seconds", "s")
        running = meter.create_up_down_counter("feature_requests_in_progress")
        meter.create_counter("orders").add(5)
        for seconds in (0.001, 0.03, 0.03, 100.0):
            calls.add(1, {"outcome": "success"})
            durations.record(seconds)
        calls.add(1, {"outcome": "error"})
        running.add(2)
        provider.force_flush()
        calls.add(1, {"outcome": "error"})
        provider.shutdown()
    assert [batch.rejected for batch in received] == [0, 0]
    first, last = ({(s.family, s.labels): s for s in batch.samples} for batch in received)
    assert len(first) == 4
    assert {sample.key for sample in first.values()} == {FeatureKey("chat", "staging")}
    assert first["feature_requests_total", ("success",)].value == 4
    assert first["feature_requests_total", ("error",)].value == 1
    assert last["feature_requests_total", ("error",)].value == 2
    assert first["feature_requests_in_progress", ()].value == 2
    duration = first["feature_request_duration_seconds", ()]
    assert duration.counts == (1, 0, 2, *(0,) * 11, 1)
    assert duration.value == pytest.approx(100.061)
    for name, sample in first.items():
        assert (last[name].instance, last[name].start_ns) == (sample.instance, sample.start_ns)
        assert last[name].time_ns > sample.time_ns


def test_the_opentelemetry_sdk_set_to_delta_is_told_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry.sdk.metrics import Counter

    received: list[MetricBatch] = []
    with receiver(received) as url:
        exporter = OTLPMetricExporter(url, preferred_temporality={Counter: AggregationTemporality.DELTA})
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)])
        provider.get_meter("test").create_counter("feature_requests_total").add(1, {"feature": "chat", **OK})
        provider.shutdown()
    [batch] = received
    assert (batch.samples, batch.rejected) == ([], 1)
    assert "cumulative" in batch.message


_APP = """
import sys
import featurewatch

featurewatch.configure(environment="staging", otlp_endpoint=sys.argv[1])
chat = featurewatch.Feature("chat", name="Chat", owner="team", version="1.4", budget_usd_per_day=5)
for number in range(20):
    with chat.call(model="gpt-5-mini") as call:
        call.tokens(input=100, output=10)
        call.cost(usd=0.25)
        call.first_token()
        if number % 4 == 0:
            call.fail("refused")
    if number == 9:
        featurewatch.flush(timeout=10)
"""


@pytest.mark.anyio
async def test_what_our_own_exporter_pushes_arrives_whole(tmp_path: Path) -> None:
    received: list[MetricBatch] = []
    with receiver(received) as url:
        app = await asyncio.create_subprocess_exec(sys.executable, "-c", _APP, url.removesuffix("/v1/metrics"))
        assert await app.wait() == 0
    assert len(received) >= 2
    assert {(batch.rejected, batch.message) for batch in received} == {(0, "")}
    store = await EmbeddedMetrics.open(tmp_path / "metrics.db", uptime_threshold=50, retention_s=86_400)
    key = FeatureKey("chat", "staging")
    try:
        for batch in received:
            await store.write(batch.samples)
        figures = (await store.measure(None, 300))[key].metrics
        assert (await store.info())[key] == {
            "name": "Chat", "owner": "team", "version": "1.4", "budget_usd_per_day": "5",
        }  # fmt: skip
        assert await store.errors(key, 300) == {"refused": 5}
        assert await store.in_progress(None) == {key: 0}
        [cost] = await store.costs(key, 300)
    finally:
        await store.close()
    assert (figures["total_requests"], figures["error_rate"], figures["tokens_per_request"]) == (20, 25, 110)
    assert (figures["total_cost"], cost.model, cost.reported_usd) == (5, "gpt-5-mini", 5)
    assert 0 < (figures["response_time"] or 0) < 1000
    assert figures["time_to_first_token_p95"] is not None


# Logs


def record(body: Any = "hello", **fields: Any) -> dict[str, Any]:
    extra = fields.pop("attributes", {})
    told = {
        "timeUnixNano": str(NOW - 5),
        "severityNumber": 9,
        "body": attributes(x=body)[0]["value"],
        "attributes": attributes(feature="chat", environment="production", **extra),
    }
    return {name: value for name, value in (told | fields).items() if value is not None}


def logs(*records: dict[str, Any], scope: str = "", resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": attributes(**(resource or {}))},
                "scopeLogs": [{"scope": {"name": scope}, "logRecords": list(records)}],
            }
        ]
    }


def lines(body: dict[str, Any], content_type: str = JSON) -> list[LogEntry]:
    batch = decode_logs(
        json.dumps(body).encode(), content_type, "", environment="development", now_ns=NOW, max_bytes=LIMIT
    )
    assert (batch.rejected, batch.message) == (0, "")
    return batch.entries


def test_a_record_becomes_a_line() -> None:
    told = record(
        attributes={"user__id": "u-1", "id": "line-1", "size": 3, "ok": True, "ratio": 0.5, "tags": ["a", 1]},
        traceId="5B8EFFF798038103D269B633813FC60C",
        spanId="eee19b7ec3c1b174",
    )
    [entry] = lines(logs(told, scope="app.search"))
    assert entry == LogEntry(
        "line-1", "chat", "production", NOW - 5, "info", "hello", "app.search",
        entry.metadata, "5b8efff798038103d269b633813fc60c", "u-1",
    )  # fmt: skip
    assert json.loads(entry.metadata or "") == {
        "size": 3, "ok": True, "ratio": 0.5, "tags": ["a", 1], "span_id": "eee19b7ec3c1b174",
    }  # fmt: skip


def test_what_a_record_leaves_out_gets_its_default() -> None:
    told = {"observedTimeUnixNano": str(NOW - 9), "body": {"stringValue": "x"}}
    first, second = lines(logs(told, {"body": {"stringValue": "y"}}, resource={"feature": "search"}))
    assert first[1:] == ("search", "development", NOW - 9, "info", "x", "app", None, None, None)
    assert second.timestamp_ns == NOW


def test_structured_bodies_become_json_text() -> None:
    [entry] = lines(logs(record({"event": "done", "steps": [1, 2.5, {"deep": True}]})))
    assert json.loads(entry.message) == {"event": "done", "steps": [1, 2.5, {"deep": True}]}
    [named] = lines(logs(record(body=None, eventName="session.end") | {"body": None}))
    assert named.message == "session.end"


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [(1, "", "debug"), (8, "", "debug"), (9, "ERROR", "info"), (13, "", "warn"), (17, "", "error"), (24, "", "fatal"),
     (0, "WARNING", "warn"), (0, "Critical", "fatal"), (0, "", "info")],
)  # fmt: skip
def test_severity_becomes_a_level(number: int, text: str, level: str) -> None:
    [entry] = lines(logs(record(severityNumber=number, severityText=text)))
    assert entry.level == level
    assert entry.metadata is None


def test_a_severity_of_one_s_own_is_kept_with_the_line() -> None:
    [entry] = lines(logs(record(severityNumber=0, severityText="AUDIT")))
    assert entry.level == "info"
    assert json.loads(entry.metadata or "") == {"severity_text": "AUDIT"}


def test_a_line_without_an_id_gets_the_same_one_each_time() -> None:
    body = logs(record("a"), record("b"), record("a", attributes={"n": 1}))
    first, again = lines(body), lines(body)
    assert [entry.id for entry in first] == [entry.id for entry in again]
    assert len({entry.id for entry in first}) == 3
    assert all(entry.id.startswith(f"{NOW - 5:016x}") for entry in first)


def test_wrong_records_are_refused_and_the_others_kept() -> None:
    body = logs(
        record("good"),
        record(attributes={"id": "x" * 129}),
        record(timeUnixNano=str(NOW + 3600 * NS)),
        record() | {"attributes": []},
        record() | {"attributes": attributes(feature="a/b")},
    )
    batch = decode_logs(json.dumps(body).encode(), JSON, "", environment="x", now_ns=NOW, max_bytes=LIMIT)
    assert [entry.message for entry in batch.entries] == ["good"]
    assert batch.rejected == 4
    for reason in ("id: expected at most 128", "10 minutes ahead", "'feature' is missing", "feature: expected 1 to 64"):
        assert reason in batch.message


def test_a_trace_id_that_is_no_hexadecimal_is_refused() -> None:
    with pytest.raises(BadInput, match="traceId: expected hexadecimal digits, got 'zz'"):
        lines(logs(record(traceId="zz")))


def test_logs_come_by_protobuf_too() -> None:
    request = ExportLogsServiceRequest()
    told = request.resource_logs.add().scope_logs.add().log_records.add()
    told.time_unix_nano = NOW
    told.body.bytes_value = b"\x00\xff"
    told.trace_id = bytes(range(16))
    attribute = told.attributes.add()
    attribute.key, attribute.value.string_value = "feature", "chat"
    odd = told.attributes.add()
    odd.key, odd.value.double_value = "odd", float("nan")
    batch = decode_logs(
        gzip.compress(request.SerializeToString()), PROTOBUF, "gzip", environment="x", now_ns=NOW, max_bytes=LIMIT
    )
    [entry] = batch.entries
    assert entry.message == "AP8="
    assert entry.trace_id == bytes(range(16)).hex()
    assert json.loads(entry.metadata or "") == {"odd": "nan"}
