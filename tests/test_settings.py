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
            "FEATUREWATCH_ALLOWED_HOSTS": "a, b,",
        }
    )
    assert settings.log_retention == 3 * 86_400
    assert settings.metrics_interval == 2.5
    assert settings.allowed_hosts == ("a", "b")


def test_all_wrong_settings_are_named_at_once() -> None:
    message = refused(PORT="abc", METRICS_INTERVAL="5q", LOKI_URL="localhost:3100")
    for name in ("FEATUREWATCH_PORT", "FEATUREWATCH_METRICS_INTERVAL", "FEATUREWATCH_LOKI_URL"):
        assert name in message
    assert "'abc'" in message
    assert "expected a duration such as 30s" in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ALERT_RETENTION", "2h30m", "at least 1d, got '2h30m'"),
        ("METRICS_INTERVAL", "2h", "at least 0.5s and at most 1h, got '2h'"),
        ("LOKI_TIMEOUT", "0s", "more than 0s and at most 5m, got '0s'"),
        ("MAX_LINE_BYTES", "64", "at least 256, got '64'"),
        ("LOG_MAX_BYTES", "10GiB", "a whole number of bytes, got '10GiB'"),
        ("QUERY_RATE", "many", "a number, got 'many'"),
        ("PROMETHEUS_TLS_VERIFY", "never", "1 or 0, got 'never'"),
        ("UNKNOWN_METRICS", "none", "'null' or 'zero', got 'none'"),
        ("ALLOWED_HOSTS", "https://watch.example.com", "host names such as watch.example.com"),
    ],
)
def test_what_is_expected_is_told_in_the_settings_own_unit_and_what_came_as_it_was_written(
    name: str, value: str, expected: str
) -> None:
    assert f"FEATUREWATCH_{name}: expected {expected}" in refused(**{name: value})


def test_nought_is_a_duration_where_it_means_something() -> None:
    assert load({"FEATUREWATCH_DOCTOR_INTERVAL": "0s"}).doctor_interval == 0


@pytest.mark.parametrize("name", ["PROMETHEUS", "LOKI", "OTLP_FORWARD", "ALERTMANAGER", "MIMIR"])
def test_a_password_without_a_user_which_would_never_be_shown_is_refused(name: str) -> None:
    said = refused(**{f"{name}_PASSWORD_FILE": "/run/secrets/password"})
    assert f"FEATUREWATCH_{name}_PASSWORD_FILE is set without FEATUREWATCH_{name}_USER" in said


def test_origins_are_brought_into_the_form_that_browsers_send() -> None:
    given = "HTTPS://App.Example.com:443/, http://localhost:3000,capacitor://localhost, https://app.example.com,"
    origins = load({"FEATUREWATCH_ALLOWED_ORIGINS": given}).allowed_origins
    assert origins == ("https://app.example.com", "http://localhost:3000", "capacitor://localhost")


@pytest.mark.parametrize(
    "value", ["*", "null", "app.example.com", "https://*.example.com", "https://a/x", "https://a:b"]
)
def test_what_is_no_single_origin_is_refused(value: str) -> None:
    assert "FEATUREWATCH_ALLOWED_ORIGINS: expected origins such as" in refused(ALLOWED_ORIGINS=value)


@pytest.mark.parametrize("value", ["proxy.local", "10.0.0.1/8", "*"])
def test_a_trusted_proxy_is_an_address_or_a_network(value: str) -> None:
    assert "FEATUREWATCH_TRUSTED_PROXIES: expected addresses or networks" in refused(TRUSTED_PROXIES=value)
    assert load({"FEATUREWATCH_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"}).trusted_proxies[1] == "10.0.0.0/8"


SECRET = "kP3v8mZq5tYw9xBc2nRd7gHj4sLf6aEu"
JWT = {"JWT_SECRET": SECRET, "JWT_AUDIENCE": "authenticated", "JWT_ISSUER": "https://x.supabase.co/auth/v1"}


def test_jwts_are_authentication_so_another_host_is_accepted() -> None:
    settings = load({f"FEATUREWATCH_{name}": value for name, value in {**JWT, "HOST": "0.0.0.0"}.items()})
    assert settings.jwt
    assert settings.jwt_audience == ("authenticated",)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "url",
    ["prometheus:9090", "http://", "http:///x", "http://h:99999", "http://h:abc", "http://[::1", "http://a b",
     f"http://u:{SECRET}@h:abc", f"ftp://u:{SECRET}@h", f"http://u:{SECRET}@h/?q=1", "http://h/#f"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["PROMETHEUS_URL", "LOKI_URL", "ALERTMANAGER_URLS"])
def test_an_address_that_none_can_be_asked_at_is_refused_at_the_start(name: str, url: str) -> None:
    message = refused(**{name: url})
    assert f"FEATUREWATCH_{name}: expected a URL" in message
    assert SECRET[:20] not in message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"JWT_AUDIENCE": ""}, "expected FEATUREWATCH_JWT_AUDIENCE beside"),
        ({"JWT_ISSUER": " "}, "expected FEATUREWATCH_JWT_ISSUER beside"),
        ({"JWT_ISSUER": "", "JWT_AUDIENCE": ","}, "FEATUREWATCH_JWT_AUDIENCE and FEATUREWATCH_JWT_ISSUER beside"),
        ({"JWT_SECRET_FILE": "/x"}, "expected FEATUREWATCH_JWT_SECRET or FEATUREWATCH_JWT_SECRET_FILE, got both"),
        ({"JWT_SECRET": SECRET[:31]}, "JWT_SECRET: expected at least 32 bytes, got 31"),
        ({"JWT_SECRET": "abcd" * 20}, "JWT_SECRET: expected random text"),
        ({"JWT_SECRET": f"-----BEGIN PUBLIC KEY-----\\n{SECRET}"}, "JWT_SECRET: a public or private key is no shared"),
        ({"JWT_SECRET": ""}, "JWT_AUDIENCE is set, but nothing to verify JWTs with"),
        ({"ALERTMANAGER_URLS": "http://a:9093, b:9093"}, "a host and perhaps a port, got 'http://a:9093,b:9093'"),
        ({"JWT_JWKS_URL": "ftp://issuer/keys"}, "JWT_JWKS_URL: expected a URL that starts with http"),
        ({"JWT_JWKS_URL": f"https://user:{SECRET}@issuer/keys"}, "JWT_JWKS_URL: expected a URL without credentials"),
        ({"AUTH_COOKIE": "two words"}, "FEATUREWATCH_AUTH_COOKIE"),
    ],
)
def test_what_is_set_of_jwts_is_checked_together_and_never_shown(given: dict[str, str], expected: str) -> None:
    message = refused(**{**JWT, **given})
    assert expected in message
    assert SECRET[:20] not in message


def test_a_secret_from_public_documentation_is_for_this_machine_alone() -> None:
    known = {**JWT, "JWT_SECRET": "super-secret-jwt-token-with-at-least-32-characters-long"}
    assert load({f"FEATUREWATCH_{name}": value for name, value in known.items()}).jwt
    assert "stands in public documentation" in refused(**known, HOST="0.0.0.0")


@pytest.mark.parametrize("name", ["AUTH_COOKIE", "JWT_AUDIENCE", "JWT_ISSUER"])
def test_what_belongs_to_jwts_means_nothing_without_them(name: str) -> None:
    assert f"FEATUREWATCH_{name} is set, but nothing to verify JWTs with" in refused(**{name: "x"})


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("PROMETHEUS_URL", "prom:9090", "'prom:9090'"),
        ("PROMETHEUS_URL", "user:hunter2@prom:9090", "'…@prom:9090'"),
        ("LOKI_URL", "loki://user:hun@ter2/x@loki:3100/?password=hunter2", "'loki://…@loki:3100/?…'"),
        ("GRAFANA_URL", "grafana?token=hunter2", "'grafana?…'"),
        ("PORT", "postgresql://me:hunter2@db/state", "'postgresql://…@db/state'"),
    ],
)
def test_credentials_in_a_wrong_value_are_not_shown(name: str, value: str, shown: str) -> None:
    message = refused(**{name: value})
    assert f"FEATUREWATCH_{name}" in message
    assert message.endswith(f"got {shown}")
    assert "hun" not in message


def test_a_setting_that_may_hold_credentials_is_left_out_of_what_a_log_may_show() -> None:
    urls = dict.fromkeys(
        ("DATABASE_URL", "PROMETHEUS_URL", "LOKI_URL", "GRAFANA_URL", "OTLP_FORWARD_URL"), "https://u:hunter2@host/"
    )
    assert "hunter2" not in repr(load({f"FEATUREWATCH_{name}": value for name, value in urls.items()}))


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
