"""What `configure` accepts, and what the environment adds."""

from __future__ import annotations

from typing import Any

import pytest

import featurewatch
from featurewatch.errors import SettingsError
from featurewatch.exporter.config import Config, read
from featurewatch.exporter.drops import Drops
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.settings import COMMAND_NAMES, Settings


def config(environ: dict[str, str] | None = None, **given: Any) -> Config:
    return read(given, environ or {}, Drops())


def test_without_any_nothing_is_sent_anywhere() -> None:
    assert config() == Config(environment="development")
    assert config().metrics_url == config().logs_url == ""
    featurewatch.configure()
    assert RUNTIME.pusher is None
    assert RUNTIME.shipper is None


def test_a_bridge_takes_metrics_and_lines() -> None:
    made = config(endpoint="http://127.0.0.1:8400/")
    assert made.metrics_url == "http://127.0.0.1:8400/v1/metrics"
    assert made.logs_url == "http://127.0.0.1:8400/loki/api/v1/push"


def test_a_collector_and_loki_take_the_place_of_the_bridge() -> None:
    made = config(endpoint="http://b", otlp_endpoint="http://c/api/v1/otlp", loki_url="http://l")
    assert made.metrics_url == "http://c/api/v1/otlp/v1/metrics"
    assert made.logs_url == "http://l/loki/api/v1/push"
    assert config(otlp_endpoint="http://c/v1/metrics").metrics_url == "http://c/v1/metrics"
    assert config(loki_url="http://l/loki/api/v1/push").logs_url == "http://l/loki/api/v1/push"


def test_the_token_goes_to_the_bridge_alone() -> None:
    made = config(endpoint="http://b", loki_url="http://b.example", loki_tenant="t", token="secret")
    assert made.headers(made.metrics_url) == {"Authorization": "Bearer secret"}
    assert made.headers(made.logs_url) == {"X-Scope-OrgID": "t"}
    assert "secret" not in repr(made)


def test_what_is_left_out_comes_from_the_environment() -> None:
    environ = {
        "FEATUREWATCH_ENVIRONMENT": "staging",
        "FEATUREWATCH_ENDPOINT": "http://b",
        "FEATUREWATCH_PUSH_INTERVAL": "2.5",
        "FEATUREWATCH_DISABLED": "true",
        "OTEL_SERVICE_NAME": "reader",
    }
    made = config(environ, environment="production")
    assert (made.environment, made.endpoint, made.push_interval) == ("production", "http://b", 2.5)
    assert made.disabled
    assert made.service_name == "reader"
    assert config(environ | {"FEATUREWATCH_SERVICE_NAME": "ours"}).service_name == "ours"


def test_durations_are_seconds_or_text() -> None:
    assert config({"FEATUREWATCH_PUSH_INTERVAL": "1m30s"}).push_interval == 90
    assert config({"FEATUREWATCH_EXIT_TIMEOUT": "500ms"}).exit_timeout == 0.5
    assert config(push_interval="10").push_interval == 10


def test_opentelemetrys_variables_say_where_to_push() -> None:
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRIC_EXPORT_INTERVAL": "1500"}
    assert config(base).metrics_url == "http://c:4318/v1/metrics"
    assert config(base).push_interval == 1.5
    assert config(base).logs_url == "http://c:4318/v1/logs"
    verbatim = base | {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/custom/"}
    assert config(verbatim).metrics_url == "http://c:4318/custom/"
    assert config(base, endpoint="http://b").metrics_url == "http://b/v1/metrics"
    assert config(base, push_interval=9).push_interval == 9


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("FEATUREWATCH_ENDPIONT", "FEATUREWATCH_ENDPIONT is no setting; did you mean FEATUREWATCH_ENDPOINT?"),
        ("FEATUREWATCH_PUSH_INTERVAL", ""),
        ("FEATUREWATCH_WHATEVER", ""),
    ],
)
def test_a_mistyped_variable_is_told_with_the_nearest(
    variable: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    config({variable: "10"})
    assert [record.getMessage() for record in caplog.records] == ([told] if told else [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"logs": "loki"}, "logs: loki names no address, so no line is sent: set loki_url or endpoint"),
        ({"logs": "otlp"}, "logs: otlp names no address, so no line is sent: set otlp_endpoint or endpoint"),
        ({"logs": "loki", "loki_url": "http://l:3100"}, ""),
        ({"logs": "otlp", "endpoint": "http://b"}, ""),
        ({"logs": "loki", "disabled": True}, ""),
        ({"logs": "none"}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_lines_that_have_nowhere_to_go_are_told(
    given: dict[str, object], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    config(**given)
    assert [record.getMessage() for record in caplog.records] == ([told] if told else [])


def test_no_variable_of_the_bridge_is_taken_for_a_mistyped_one(caplog: pytest.LogCaptureFixture) -> None:
    of_bridge = {f"FEATUREWATCH_{name.upper()}" for name in (*Settings.model_fields, *COMMAND_NAMES)}
    config(dict.fromkeys(of_bridge, ""))
    assert caplog.text == ""


@pytest.mark.parametrize(
    "said",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_METRICS_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}],
    ids=str,
)
def test_opentelemetrys_variables_may_say_not_to(said: dict[str, str]) -> None:
    assert config({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", **said}).metrics_url == ""


def test_an_unknown_keyword_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="no setting 'enviroment'; did you mean 'environment'"):
        featurewatch.configure(enviroment="production")  # type: ignore[arg-type]  # the mistake is the point


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"environment": "pro duction"}, "environment: expected 1 to 32 of letters"),
        ({"endpoint": "127.0.0.1:8400"}, "endpoint: expected a URL such as http://"),
        ({"endpoint": "http:// host"}, "endpoint: expected a URL such as http://"),
        ({"endpoint": "http://:8400"}, "endpoint: expected a URL such as http://"),
        ({"loki_url": "http://host:port"}, "loki_url: expected a URL such as http://"),
        ({"push_interval": 0}, "push_interval: expected a number from 0.1"),
        ({"push_interval": "soon"}, "push_interval: expected a duration such as"),
        ({"push_interval": "2d"}, "push_interval: expected a number from 0.1 to 86400"),
        ({"spool_bytes": 1}, "spool_bytes: expected a number from 1048576 to 1125899906842624"),
        ({"push_interval": "1.x.2"}, "push_interval: expected a number"),
        ({"log_level": "loud"}, "log_level: expected one of debug, info"),
        ({"disabled": "perhaps"}, "disabled: expected true or false"),
        ({"service_name": "a\nb"}, "service_name: expected text of one line"),
        ({"endpoint": 3, "exit_timeout": -1}, "endpoint: .*; exit_timeout: "),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        featurewatch.configure(**given)


def test_a_wrong_token_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        featurewatch.configure(token="geheim\u00e4")
    assert "geheim" not in str(refused.value)


def test_a_wrong_variable_is_told_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FEATUREWATCH_PUSH_INTERVAL", "often")
    featurewatch.Feature("chat")
    assert RUNTIME.config.push_interval == 5
    assert "FEATUREWATCH_PUSH_INTERVAL: expected a duration" in caplog.text


def test_a_refused_configuration_changes_nothing() -> None:
    featurewatch.configure(environment="production")
    with pytest.raises(SettingsError):
        featurewatch.configure(environment="a b")
    assert RUNTIME.config.environment == "production"
