"""Lines to a collector by OTLP: what they look like, where they go, and what its answers mean."""

from __future__ import annotations

import json
import logging
import time
import zlib
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import dropped
from featurewatch import Feature
from featurewatch.bridge.decode_otlp_logs import decode_logs
from featurewatch.exporter.config import Config, read
from featurewatch.exporter.drops import Drops
from featurewatch.exporter.lines import Record
from featurewatch.exporter.loki import LokiCodec
from featurewatch.exporter.otlp_logs import OtlpCodec
from featurewatch.model import FeatureKey

LOGS = "/v1/logs"


def config(environ: dict[str, str] | None = None, **given: Any) -> Config:
    return read(given, environ or {}, Drops())


def logger() -> logging.Logger:
    made = logging.Logger("app.worker", logging.DEBUG)
    made.addHandler(featurewatch.LogHandler())
    return made


def test_a_line_as_the_bridge_reads_it(receiver: Receiver) -> None:
    featurewatch.configure(otlp_endpoint=receiver.url, environment="production", service_name="reader")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with Feature("chat").call():
        logger().warning("took %d", 3, extra={"user_id": "u", "trace_id": trace_id, "pages": 2, "parts": ["a", None]})
        logger().info("x", extra={"trace_id": "short"})
    assert featurewatch.flush(timeout=20)
    (request,) = receiver.of(LOGS)
    assert request.headers["content-type"] == "application/x-protobuf"
    batch = decode_logs(
        request.body, "application/x-protobuf", "", environment="?", now_ns=time.time_ns(), max_bytes=10**6
    )
    assert batch.rejected == 0
    first, second = batch.entries
    assert (first.feature, first.environment, first.level) == ("chat", "production", "warn")
    assert (first.message, first.source, first.user_id, first.trace_id) == ("took 3", "app.worker", "u", trace_id)
    assert json.loads(first.metadata or "") == {"pages": 2, "parts": ["a", None]}
    assert len(first.id) == 32
    assert json.loads(second.metadata or "")["trace_id"] == "short"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
records = st.builds(
    Record,
    st.builds(FeatureKey, st.just("chat"), st.sampled_from(["production", "staging"])),
    st.integers(0, 2**63),
    texts,
    st.fixed_dictionaries(
        {
            "id": st.uuids().map(lambda id: id.hex),
            "level": st.sampled_from(["debug", "info", "warn", "error", "fatal"]),
            "source": texts,
        },
        optional={
            "trace_id": st.sampled_from(["ab" * 16, "short"]),
            "user_id": texts,
            "metadata": st.dictionaries(
                texts.filter(lambda name: name not in ("feature", "environment", "source", "trace_id", "user.id")),
                st.none() | st.booleans() | st.integers(-(2**62), 2**62) | texts | st.lists(texts, max_size=2),
                min_size=1,
                max_size=3,
            ).map(json.dumps),
        },
    ),
)


@pytest.mark.parametrize("codec", [LokiCodec(), OtlpCodec()], ids=["loki", "otlp"])
@settings(deadline=None, max_examples=60)
@given(st.lists(records, max_size=5))
def test_what_is_encoded_is_decoded_alike(codec: Any, lines: list[Record]) -> None:
    service, again = codec.decode(codec.encode(lines, "reader"))
    assert service == ("reader" if lines or isinstance(codec, OtlpCodec) else "")

    def plain(record: Record) -> Any:
        return json.dumps([*record[:3], {**record.about, "metadata": json.loads(record.about.get("metadata", "null"))}],
                          sort_keys=True)  # fmt: skip

    assert sorted(map(plain, again)) == sorted(map(plain, lines))


def test_what_is_not_valid_unicode_is_replaced(receiver: Receiver) -> None:
    featurewatch.configure(otlp_endpoint=receiver.url)
    with Feature("chat").call():
        logger().info("\ud800", extra={"user_id": "\ud800", "other": "\ud800"})
    assert featurewatch.flush(timeout=20)
    assert len(receiver.of(LOGS)) == 1


def test_a_partial_success_is_counted_and_told(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 2
    answer.partial_success.error_message = "two are\nwrong"
    receiver.answers = [(200, {}, answer.SerializeToString())]
    featurewatch.configure(otlp_endpoint=receiver.url)
    logger().info("x", extra={"feature": "chat"})
    assert featurewatch.flush(timeout=20)
    assert dropped("logs", "rejected") == 2
    assert "two are wrong" in caplog.text


def test_what_a_collector_says_of_its_refusal_is_told(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    refusal = Status(code=3, message="unsupported path").SerializeToString()
    receiver.answers = [(400, {"Content-Type": "application/x-protobuf"}, refusal)]
    featurewatch.configure(otlp_endpoint=receiver.url)
    logger().info("x", extra={"feature": "chat"})
    assert featurewatch.flush(timeout=20)
    assert "refused 1 lines, which are lost (the others are not): 400 unsupported path" in caplog.text


def test_an_outage_is_retried(receiver: Receiver) -> None:
    receiver.answers = [(503, {}, b"")] * 2
    featurewatch.configure(logs="otlp", otlp_endpoint=receiver.url + "/v1/logs")
    logger().info("x", extra={"feature": "chat"})
    assert featurewatch.flush(timeout=20)
    assert len({request.body for request in receiver.of(LOGS)}) == 1
    assert len(receiver.of(LOGS)) == 3


@pytest.mark.parametrize(
    ("environ", "given", "kind", "url"),
    [
        ({}, {"otlp_endpoint": "http://c"}, "otlp", "http://c/v1/logs"),
        ({}, {"otlp_endpoint": "http://c/v1/metrics"}, "otlp", "http://c/v1/logs"),
        ({}, {"otlp_endpoint": "http://c", "endpoint": "http://b"}, "bridge", "http://b/loki/api/v1/push"),
        ({}, {"otlp_endpoint": "http://c", "loki_url": "http://l"}, "loki", "http://l/loki/api/v1/push"),
        ({}, {"otlp_endpoint": "http://c", "loki_url": "http://l", "logs": "otlp"}, "otlp", "http://c/v1/logs"),
        ({}, {"endpoint": "http://b", "logs": "otlp"}, "otlp", "http://b/v1/logs"),
        ({}, {"endpoint": "http://b", "logs": "none"}, "", ""),
        ({}, {"otlp_endpoint": "http://c", "logs": "loki"}, "", ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/"}, {}, "otlp", "http://c/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c/as/it/stands/"}, {}, "otlp", "http://c/as/it/stands/"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c/x"}, {"endpoint": "http://b"}, "bridge",
         "http://b/loki/api/v1/push"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_LOGS_EXPORTER": "none"}, {}, "", ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {}, "", ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "none"}, {}, "otlp", "http://c/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_LOGS_EXPORTER": "console, otlp"}, {}, "otlp",
         "http://c/v1/logs"),
    ],
)  # fmt: skip
def test_where_lines_go(environ: dict[str, str], given: dict[str, str], kind: str, url: str) -> None:
    made = config(environ, **given)
    assert (made.logs_kind, made.logs_url) == (kind, url)


def test_opentelemetrys_variables_say_how(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", receiver.url + "/custom")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-all=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "X-Team=a%20b%2C, authorization = Basic ab==,")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "7")
    featurewatch.configure()
    logger().info("x", extra={"feature": "chat"})
    assert featurewatch.flush(timeout=20)
    (request,) = receiver.of("/custom")
    assert (request.headers["x-team"], request.headers["authorization"]) == ("a b,", "Basic ab==")
    assert "x-all" not in request.headers, "a signal's own take the place of those for all, as in OpenTelemetry"
    assert "content-encoding" not in request.headers
    ExportLogsServiceRequest().ParseFromString(request.body)
    assert config({"OTEL_EXPORTER_OTLP_TIMEOUT": "7"}).otel_logs.timeout == 7
    assert config({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}).otel_logs.timeout is None


@pytest.mark.parametrize("wrong", ["s3cret", "=s3cret", "näme=s3cret", "x=s3cret€", "x=s3cret%0Ay"])
def test_a_wrong_header_is_told_without_showing_it_and_left_out(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-team=docs,{wrong}")
    with Feature("chat").call():
        logger().info("x")
    assert featurewatch.flush(timeout=20)
    assert receiver.of(LOGS)[0].headers["x-team"] == receiver.of("/v1/metrics")[0].headers["x-team"] == "docs"
    assert "OTEL_EXPORTER_OTLP_HEADERS, pair 2: expected a header such as" in caplog.text
    assert "s3cret" not in caplog.text


def test_lines_are_of_the_resource_that_metrics_are_of(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,service.name=shop,nonsense,=x,service.version=1.2")
    with Feature("chat").call():
        logger().info("x")
    assert featurewatch.flush(timeout=20)
    (request,) = receiver.of(LOGS)
    message = ExportLogsServiceRequest()
    message.ParseFromString(request.body)
    found = {pair.key: pair.value.string_value for pair in message.resource_logs[0].resource.attributes}
    assert found == {"service.name": "shop", "team": "a b", "service.version": "1.2"}
    pushed = ExportMetricsServiceRequest()
    pushed.ParseFromString(receiver.of("/v1/metrics")[-1].body)
    of_metrics = {pair.key: pair.value.string_value for pair in pushed.resource_metrics[0].resource.attributes}
    assert found.items() <= of_metrics.items()


def test_a_spooled_line_keeps_its_service_where_the_resource_says_more() -> None:
    codec = OtlpCodec([("team", "a")])
    line = Record(FeatureKey("chat", "production"), 5, "x", {"id": "1", "level": "info", "source": "app"})
    assert codec.decode(codec.encode([line], "reader")) == ("reader", [line])


def test_lines_are_compressed_as_opentelemetrys_variable_says(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", receiver.url + LOGS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "Deflate")
    logger().info("x", extra={"feature": "chat"})
    assert featurewatch.flush(timeout=20)
    (request,) = receiver.of(LOGS)
    assert request.headers["content-encoding"] == "deflate"
    ExportLogsServiceRequest().ParseFromString(zlib.decompress(request.body))


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a"}, "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, "b"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "FEATUREWATCH_SERVICE_NAME": "c"}, "c"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name="}, "unknown_service"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.version=1"}, "unknown_service"),
    ],
)
def test_how_the_service_is_called(environ: dict[str, str], name: str) -> None:
    assert config(environ).service_name == name
