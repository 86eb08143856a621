"""What is pushed by OTLP, decoded from a real request; and what faults of the collector do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import dropped
from featurewatch import Feature
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.families import BUCKETS, FAMILIES

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def decode(body: bytes) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    request.ParseFromString(body)
    return request


def metrics(body: bytes) -> dict[str, Metric]:
    return {
        metric.name: metric
        for resource in decode(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def attributes(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


def points(metric: Metric) -> Iterator[tuple[dict[str, str], Any]]:
    for point in getattr(metric, metric.WhichOneof("data") or "").data_points:
        yield attributes(point.attributes), point


def some_calls() -> Feature:
    feature = Feature("chat", models=["gpt-5-mini"], owner="docs")
    with feature.call() as call:
        call.tokens(input=10)
        call.cost(0.25)
        call.first_token()
    with feature.call() as call:
        call.fail("refused")
    return feature


def test_a_push_carries_the_families_cumulatively(receiver: Receiver) -> None:
    before = time.time_ns()
    featurewatch.configure(endpoint=receiver.url, environment="production", service_name="reader", token="s3cret")
    some_calls()
    assert featurewatch.flush(timeout=20)
    request = receiver.wait_for("/v1/metrics")[-1]
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"

    (resource,) = decode(request.body).resource_metrics
    assert attributes(resource.resource.attributes)["service.name"] == "reader"
    assert attributes(resource.resource.attributes)["service.instance.id"] == RUNTIME.instance

    found = metrics(request.body)
    families = {*FAMILIES, "featurewatch_price_table_info"}
    assert set(found) == families - {"feature_budget_usd_per_day", "feature_probe_success"}
    base = {"feature": "chat", "environment": "production"}
    sums = {tuple(sorted(labels.items())): point for labels, point in points(found["feature_requests_total"])}
    success = sums[tuple(sorted((base | {"outcome": "success"}).items()))]
    assert found["feature_requests_total"].sum.is_monotonic
    assert found["feature_requests_total"].sum.aggregation_temporality == CUMULATIVE
    assert (success.WhichOneof("value"), success.as_int) == ("as_int", 1)
    assert before <= success.start_time_unix_nano <= success.time_unix_nano <= time.time_ns()
    costs = {labels["source"]: point for labels, point in points(found["feature_cost_usd_total"])}
    assert (costs["reported"].WhichOneof("value"), costs["reported"].as_double) == ("as_double", 0.25)
    assert costs["estimated"].as_double == 0
    tokens = {labels["kind"]: point.as_int for labels, point in points(found["feature_tokens_total"])}
    assert tokens == {"input": 10, "output": 0, "cache_read": 0, "cache_write": 0, "reasoning": 0}
    ((labels, histogram),) = points(found["feature_request_duration_seconds"])
    assert labels == base
    assert tuple(histogram.explicit_bounds) == BUCKETS
    assert (histogram.count, sum(histogram.bucket_counts), len(histogram.bucket_counts)) == (2, 2, len(BUCKETS) + 1)
    assert not histogram.HasField("min")
    assert not [metric.name for metric in found.values() if metric.HasField("gauge") and metric.unit == "1"], "…_ratio"
    assert found["feature_request_duration_seconds"].unit == "s"
    ((labels, _),) = points(found["feature_info"])
    assert labels == base | {"name": "chat", "owner": "docs", "version": ""}
    assert found["feature_info"].WhichOneof("data") == "gauge"


def test_a_bridge_is_told_by_its_token_alone_who_comes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither by what is meant for a collector, nor by what a .netrc says of the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=of-a-collector")
    featurewatch.configure(endpoint=receiver.url, token="s3cret")
    some_calls()
    assert featurewatch.flush(timeout=20)
    headers = receiver.wait_for("/v1/metrics")[-1].headers
    assert headers["authorization"] == "Bearer s3cret"
    assert "api-key" not in headers


def test_series_at_zero_are_pushed_before_the_first_call(receiver: Receiver) -> None:
    featurewatch.configure(endpoint=receiver.url, push_interval=0.2)
    Feature("chat")
    request = receiver.wait_for("/v1/metrics")[0]
    assert {point.as_int for _, point in points(metrics(request.body)["feature_requests_total"])} == {0}


def test_pushes_come_at_the_interval_and_never_fall(receiver: Receiver) -> None:
    featurewatch.configure(otlp_endpoint=receiver.url, push_interval=0.1)
    feature = some_calls()
    receiver.wait_for("/v1/metrics", 2)
    with feature.call():
        pass
    featurewatch.flush(timeout=20)
    counts = [
        sum(point.as_int for _, point in points(metrics(request.body)["feature_requests_total"]))
        for request in receiver.of("/v1/metrics")
    ]
    assert counts == sorted(counts)
    assert counts[-1] == 3


def test_resource_attributes_of_opentelemetry_are_kept(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,host.name=h1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "reader")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=docs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    some_calls()
    assert featurewatch.flush(timeout=20)
    request = receiver.wait_for("/v1/metrics")[-1]
    named = attributes(decode(request.body).resource_metrics[0].resource.attributes)
    assert (named["service.namespace"], named["host.name"], named["service.name"]) == ("shop", "h1", "reader")
    assert request.headers["x-team"] == "docs"


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status_code": 401, "reason": "Unauthorized"},
        {"status_code": 400, "text": "no"},
        {"status_code": 500},
        {"exc": requests.exceptions.ConnectionError("refused")},
        {"exc": requests.exceptions.SSLError("certificate")},
        {"exc": requests.exceptions.ReadTimeout("slow")},
    ],
    ids=str,
)
def test_a_failing_collector_is_told_once_and_harms_nothing(
    fault: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with requests_mock.Mocker() as collector:
        collector.post("http://collector/v1/metrics", **fault)
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=0.1)
        some_calls()
        assert not featurewatch.flush(timeout=0.1)
        deadline = time.monotonic() + 20
        while dropped("metrics", "push_failed") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        featurewatch.shutdown(timeout=0)
    assert dropped("metrics", "push_failed") >= 2
    (line,) = own_lines(caplog)
    assert line.startswith("metrics could not be pushed to http://collector/v1/metrics (")


def test_what_could_not_be_pushed_comes_with_the_next_push(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "featurewatch")
    with requests_mock.Mocker() as collector:
        collector.post(
            "http://collector/v1/metrics", [{"status_code": 500}, {"status_code": 500}, {"status_code": 200}]
        )
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=0.1)
        some_calls()
        assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
        assert len(collector.request_history) >= 3
    told, recovered = own_lines(caplog)
    assert "could not be pushed" in told
    assert "pushed to http://collector/v1/metrics again" in recovered


def test_an_unavailable_collector_is_asked_again_within_the_push(caplog: pytest.LogCaptureFixture) -> None:
    with requests_mock.Mocker() as collector:
        busy = {"status_code": 503, "headers": {"Retry-After": "0"}}
        collector.post("http://collector/v1/metrics", [busy, busy, {"status_code": 200}])
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
        assert len(collector.request_history) >= 3
    assert own_lines(caplog) == []


def test_a_collector_that_goes_away_does_not_hold_the_app(caplog: pytest.LogCaptureFixture) -> None:
    featurewatch.configure(otlp_endpoint="http://127.0.0.1:9", push_interval=0.1)
    started = time.monotonic()
    feature = some_calls()
    for _ in range(1000):
        with feature.call():
            pass
    featurewatch.shutdown(timeout=0.5)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/plain; charset=utf-8", b"unsupported path"),
        ("application/json", b'{"message": "unsupported path"}'),
        ("application/x-protobuf", Status(code=3, message="unsupported path").SerializeToString()),
    ],
)
def test_what_a_collector_says_of_its_refusal_is_told(
    kind: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with requests_mock.Mocker() as collector:
        refusal = {"status_code": 400, "headers": {"Content-Type": kind}, "content": content}
        collector.post(URL, [refusal, {"status_code": 200}])
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=0.1)
        some_calls()
        assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
    told, *_ = own_lines(caplog)
    assert told.startswith(f"metrics could not be pushed to {URL} (400 ")
    assert "unsupported path" in told


URL = "http://collector/v1/metrics"


def partial(rejected: int, message: str) -> bytes:
    success = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return ExportMetricsServiceResponse(partial_success=success).SerializeToString()


def test_a_partial_success_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with requests_mock.Mocker() as collector:
        collector.post(URL, content=partial(3, "delta is not taken"))
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        assert featurewatch.flush(timeout=20)
        rejected = dropped("metrics", "rejected")
        assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
    assert rejected >= 3
    assert dropped("metrics", "rejected") > rejected
    assert dropped("metrics", "push_failed") == 0, "what was taken is not sent again"
    assert own_lines(caplog) == [f"{URL} rejected 3 data points: delta is not taken"]


def test_a_warning_with_a_success_is_told_and_an_answer_of_another_kind_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with requests_mock.Mocker() as collector:
        collector.post(URL, [{"content": b"<html>ok</html>"}, {"content": partial(0, "use the newer path")}])
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        for _ in range(3):
            assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
    assert dropped("metrics", "rejected") == 0
    assert own_lines(caplog) == [f"{URL} rejected 0 data points: use the newer path"]


@pytest.mark.parametrize("status", [301, 302, 304, 308])
def test_a_redirection_is_no_success(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with requests_mock.Mocker() as collector:
        collector.post(URL, status_code=status, headers={"Location": "https://collector/login"})
        collector.get("https://collector/login", text="please log in")
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        assert not featurewatch.flush(timeout=0.5)
        featurewatch.shutdown(timeout=0)
    assert dropped("metrics", "push_failed") >= 1
    (line,) = own_lines(caplog)
    assert f"could not be pushed to {URL} ({status}" in line
    assert "points to https://collector/login" in line


def test_retry_after_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    times: list[float] = []

    def answer(request: Any, context: Any) -> bytes:
        times.append(time.monotonic())
        context.status_code = 429 if len(times) == 1 else 200
        context.headers["Retry-After"] = "1"
        return b""

    with requests_mock.Mocker() as collector:
        collector.post(URL, content=answer)
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        assert featurewatch.flush(timeout=20)
        featurewatch.shutdown(timeout=5)
    assert times[1] - times[0] >= 0.95
    assert own_lines(caplog) == []


def test_a_refusal_for_good_is_not_asked_again_within_the_push() -> None:
    with requests_mock.Mocker() as collector:
        collector.post(URL, status_code=400, text="no")
        featurewatch.configure(otlp_endpoint="http://collector", push_interval=60)
        some_calls()
        deadline = time.monotonic() + 20
        while not dropped("metrics", "push_failed") and time.monotonic() < deadline:
            time.sleep(0.01)
        found = len(collector.request_history), dropped("metrics", "push_failed")
        featurewatch.shutdown(timeout=0)
    assert found == (1, 1)


def test_a_collector_that_comes_up_later_gets_everything(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    featurewatch.configure(otlp_endpoint="http://127.0.0.1:9", push_interval=0.1)
    feature = some_calls()
    deadline = time.monotonic() + 20
    while not dropped("metrics", "push_failed") and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # counted first, then told
    assert "could not be pushed to http://127.0.0.1:9/v1/metrics" in caplog.text
    featurewatch.configure(otlp_endpoint=receiver.url, push_interval=60)
    with feature.call():
        pass
    assert featurewatch.flush(timeout=20)
    counted = metrics(receiver.of("/v1/metrics")[-1].body)["feature_requests_total"]
    assert sum(point.as_int for _, point in points(counted)) == 3


def test_the_endpoint_for_metrics_alone_is_used_as_it_stands(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{receiver.url}/custom/place")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    some_calls()
    assert featurewatch.flush(timeout=20)
    (request, *_) = receiver.wait_for("/custom/place")
    assert "content-encoding" not in request.headers
    assert metrics(request.body)


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_METRICS_EXPORTER", "none")])
def test_opentelemetry_switched_off_pushes_nothing(
    name: str, value: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    some_calls()
    assert featurewatch.flush(timeout=5)
    assert RUNTIME.pusher is None
    assert receiver.received == []


def test_an_attribute_that_is_none_is_not_told_with_each_push(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense,team=a")
    featurewatch.configure(otlp_endpoint=receiver.url)
    some_calls()
    assert featurewatch.flush(timeout=20)
    assert featurewatch.flush(timeout=20)
    assert caplog.records == []
    resource = decode(receiver.of("/v1/metrics")[-1].body).resource_metrics[0].resource
    assert attributes(resource.attributes)["team"] == "a"


@pytest.mark.parametrize(
    ("setting", "status", "hint"),
    [
        ("endpoint", 401, "set token to one with the role ingest"),
        ("endpoint", 404, "is endpoint right?"),
        ("otlp_endpoint", 403, "set OTEL_EXPORTER_OTLP_HEADERS"),
        ("otlp_endpoint", 405, "is otlp_endpoint right?"),
        ("otlp_endpoint", 302, "is otlp_endpoint right?"),
        ("otlp_endpoint", 400, "again"),
    ],
)
def test_what_the_settings_are_to_blame_for_is_told_with_their_names(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, setting: str, status: int, hint: str
) -> None:
    receiver.answers = [(status, {}, b"no")] * 2
    featurewatch.configure(**{setting: receiver.url}, push_interval=0.1)  # type: ignore[arg-type]  # a name of two
    some_calls()
    assert featurewatch.flush(timeout=20)
    (line,) = (line for line in own_lines(caplog) if "could not be pushed" in line)
    assert hint in line
    assert str(status) in line
