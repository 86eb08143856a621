"""Settings are read once, validated together, and a wrong one is named."""

from __future__ import annotations

import pytest

from featurewatch.errors import SettingsError
from featurewatch.settings import load, unknown_names
from featurewatch.stores.upstream import targets_of


def refused(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load({f"FEATUREWATCH_{name}": value for name, value in environ.items()})
    assert "\n" not in caught.value.message
    return caught.value.message


def test_nothing_set_gives_the_defaults() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.api_prefix) == ("127.0.0.1", 8400, "/api/v1")
    assert settings.environment == "development"


def test_empty_equals_absent_and_an_option_wins() -> None:
    settings = load({"FEATUREWATCH_PORT": "", "FEATUREWATCH_HOST": "::1"}, port=9000, host=None)
    assert (settings.port, settings.host) == (9000, "::1")


def test_durations_and_lists_are_read_from_text() -> None:
    settings = load(
        {
            "FEATUREWATCH_LOG_RETENTION": "3d",
            "FEATUREWATCH_METRICS_INTERVAL": "2.5",
            "FEATUREWATCH_ALLOWED_ORIGINS": "a, b,",
        }
    )
    assert settings.log_retention == 3 * 86_400
    assert settings.metrics_interval == 2.5
    assert settings.allowed_origins == ("a", "b")


def test_all_wrong_settings_are_named_at_once() -> None:
    message = refused(PORT="abc", METRICS_INTERVAL="5q", LOKI_URL="localhost:3100")
    for name in ("FEATUREWATCH_PORT", "FEATUREWATCH_METRICS_INTERVAL", "FEATUREWATCH_LOKI_URL"):
        assert name in message
    assert "'abc'" in message
    assert "expected a duration such as 30s" in message


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.test"])
def test_another_host_without_authentication_is_refused_and_says_what_to_set(host: str) -> None:
    message = refused(HOST=host)
    assert "FEATUREWATCH_API_TOKENS_FILE" in message
    assert "featurewatch token create" in message


def test_another_host_with_authentication_is_accepted() -> None:
    assert load({"FEATUREWATCH_HOST": "0.0.0.0", "FEATUREWATCH_API_TOKENS_FILE": "/t"}).host == "0.0.0.0"


@pytest.mark.parametrize(("given", "expected"), [("api/x/", "/api/x"), ("/api/platform/ai", "/api/platform/ai")])
def test_the_prefix_is_brought_into_one_form(given: str, expected: str) -> None:
    assert load({"FEATUREWATCH_API_PREFIX": given}).api_prefix == expected


@pytest.mark.parametrize("value", ["/", "/a b", "/a?b", "/{id}"])
def test_a_prefix_that_cannot_be_a_path_is_refused(value: str) -> None:
    assert "FEATUREWATCH_API_PREFIX" in refused(API_PREFIX=value)


def test_a_mistyped_name_is_told_with_the_nearest() -> None:
    assert unknown_names({"FEATUREWATCH_PROT": "1", "FEATUREWATCH_DISABLED": "1", "PATH": "/"}) == [
        "FEATUREWATCH_PROT is not a setting; did you mean FEATUREWATCH_PORT?"
    ]


AM = {"ALERTMANAGER_URLS": "http://127.0.0.1:9093"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ALERTMANAGER_CONFIG": "a.yml"}, "ALERTMANAGER_URLS"),
        (AM | {"ALERTMANAGER_BASE_CONFIG": "a.yml"}, "ALERTMANAGER_CONFIG"),
        (AM | {"ALERTMANAGER_CONFIG": "a.yml", "ALERTMANAGER_BASE_CONFIG": "./a.yml"}, "name one file"),
        ({"ALERTMANAGER_URLS": "http://am:9093", "ALERTMANAGER_CONFIG": "a.yml"}, "WEBHOOK_URL is missing"),
        ({"ALERTMANAGER_WEBHOOK_TOKEN_FILE": "t"}, "WEBHOOK_TOKEN_FILE"),
        ({"PROMETHEUS_RULES_DIR": "rules.d"}, "PROMETHEUS_RULER_URLS"),
        ({"MIMIR_URL": "http://mimir"}, "WEBHOOK_URL is missing"),
        (
            {"MIMIR_URL": "http://m", "PROMETHEUS_URL": "http://p", "PROMETHEUS_RULES_DIR": "r", "WEBHOOK_URL": "http://b"},
            "one of them",
        ),
        ({"ALERTMANAGER_URLS": "127.0.0.1:9093"}, "http:// or https://"),
        ({"WEBHOOK_URL": "http://"}, "http:// or https://"),
    ],
)  # fmt: skip
def test_settings_of_alerting_that_do_not_belong_together_are_refused(environ: dict[str, str], named: str) -> None:
    assert named in refused(**environ)


def test_the_webhook_is_found_on_this_machine_where_alertmanager_runs_here() -> None:
    given = {f"FEATUREWATCH_{name}": value for name, value in AM.items()}
    assert load(given).webhook_address == "http://127.0.0.1:8400/api/v1/webhooks/alertmanager"
    assert load(given, host="::1", port=9).webhook_address == "http://[::1]:9/api/v1/webhooks/alertmanager"
    assert load(given, webhook_url="https://fw.example/hook/").webhook_address == "https://fw.example/hook"
    assert load(given, port=0).webhook_address == ""


def test_several_upstreams_share_their_credentials() -> None:
    settings = load({}, alertmanager_urls="http://a:9093,http://b:9093/", alertmanager_user="me")
    first, second = targets_of(settings, "alertmanager_urls")
    assert (first.shown, second.shown) == ("Alertmanager at http://a:9093", "Alertmanager at http://b:9093")
    assert (second.user, second.named_by) == ("me", "FEATUREWATCH_ALERTMANAGER_URLS")
