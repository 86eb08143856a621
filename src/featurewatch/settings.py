"""The bridge's settings: read once from FEATUREWATCH_*, validated together; a wrong one is named."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from .confidential import weakness
from .errors import BadInput, SettingsError
from .model import ENVIRONMENT, ENVIRONMENT_RULE
from .settings_alerting import DURATIONS as ALERTING_DURATIONS
from .settings_alerting import LISTS as ALERTING_LISTS
from .settings_alerting import Alerting, http_url, lacking
from .settings_explain import explain
from .settings_hosts import hosts, networks, origins
from .times import parse_duration

PREFIX = "FEATUREWATCH_"

EXPORTER_NAMES = frozenset(
    {
        "DISABLED", "ENDPOINT", "OTLP_ENDPOINT", "SERVICE_NAME", "SPOOL_DIR", "MULTIPROCESS_DIR", "MODE", "TOKEN",
        "PUSH_INTERVAL", "LOG_LEVEL", "LOKI_TENANT", "EXIT_TIMEOUT", "LOGS", "LOKI_USER", "LOKI_PASSWORD", "LOKI_TOKEN",
        "TLS_CA_FILE", "TLS_VERIFY", "SPOOL_BYTES", "MAX_FEATURES", "CREATED",
    }
)  # fmt: skip
"""Names with the same prefix that the exporter reads: not the bridge's, and not a mistake either."""

COMMAND_NAMES = {
    "URL": "The bridge that `apply`, `rules`, `alerts`, `tail`, `logs export` and `doctor` ask; default http://127.0.0.1:8400.",
    "TOKEN": "The API token that they show.",
    "API_PREFIX": "Where that bridge's API lives, as above.",
    "DEBUG": "1: a command that fails shows where, as a traceback.",
}
"""Names that the command line reads."""

DURATIONS = (
    "metrics_interval", "metrics_window", "log_retention", "metric_retention", "prometheus_timeout", "loki_timeout",
    "otlp_forward_timeout", "doctor_interval",
    *ALERTING_DURATIONS,
)  # fmt: skip
"""Settings in seconds that may be written as text such as 5s, 15m, 30d."""


_ZERO = re.compile("0+(s|m|h|d)")


def _seconds(value: object) -> object:
    if isinstance(value, str) and _ZERO.fullmatch(value.strip()):
        return 0.0
    if isinstance(value, str) and value.strip() and not value.strip().replace(".", "", 1).isdigit():
        try:
            return parse_duration(value, name="value", at_most=100 * 366 * 86_400)
        except BadInput as error:
            raise ValueError(str(error).removeprefix("value: ")) from None
    return value


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _environment(value: str) -> str:
    if ENVIRONMENT.fullmatch(value) is None:
        raise ValueError(f"expected {ENVIRONMENT_RULE}")
    return value


class Settings(Alerting):
    """Every setting of the bridge. The environment variable is the name in capitals after FEATUREWATCH_.

    Durations are seconds or text such as 5s, 15m, 30d; lists are separated by commas.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Another than loopback needs API_TOKENS_FILE, JWT_SECRET or JWT_JWKS_URL.",
    )
    port: int = Field(8400, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    api_prefix: str = Field("/api/v1", description="Where the API lives; the whole API moves with it.")
    environment: Annotated[str, AfterValidator(_environment)] = Field(
        "development", description="The bridge's own environment: what lines and calls without one get."
    )
    data_dir: Path = Field(Path(".featurewatch"), description="Where the embedded stores keep their files.")
    database_url: str = Field("", repr=False, description="SQLAlchemy URL of the state; empty: SQLite in DATA_DIR.")
    prometheus_url: str = Field(
        "",
        repr=False,
        description="Prometheus, VictoriaMetrics, Mimir or Thanos for queries; empty: the embedded store.",
    )
    prometheus_tenant: str = Field("", description="Tenant (X-Scope-OrgID) at Prometheus.")
    prometheus_user: str = Field("", description="User of basic authentication at Prometheus.")
    prometheus_password_file: Path | None = Field(None, description="File that holds the password of PROMETHEUS_USER.")
    prometheus_token_file: Path | None = Field(None, description="File that holds a bearer token for Prometheus.")
    prometheus_ca_file: Path | None = Field(
        None, description="Certificate authorities (PEM) that vouch for Prometheus."
    )
    prometheus_tls_verify: bool = Field(True, description="0: Prometheus's certificate is not checked.")
    prometheus_timeout: float = Field(10.0, gt=0, le=300, description="How long an answer of Prometheus may take.")
    prometheus_matchers: tuple[str, ...] = Field(
        (),
        description="Labels of the series at Prometheus, such as cluster=eu, where others keep features there too.",
    )
    prometheus_recorded: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether figures are read as the recording rules of prometheus/rules left them: where these run, "
        "always, never.",
    )
    loki_url: str = Field("", repr=False, description="Loki for logs; empty: the embedded store.")
    loki_tenant: str = Field("", description="Tenant (X-Scope-OrgID) at Loki.")
    loki_user: str = Field("", description="User of basic authentication at Loki.")
    loki_password_file: Path | None = Field(None, description="File that holds the password of LOKI_USER.")
    loki_token_file: Path | None = Field(None, description="File that holds a bearer token for Loki.")
    loki_ca_file: Path | None = Field(None, description="Certificate authorities (PEM) that vouch for Loki.")
    loki_tls_verify: bool = Field(True, description="0: Loki's certificate is not checked.")
    loki_timeout: float = Field(10.0, gt=0, le=300, description="How long an answer of Loki may take.")
    otlp_forward_url: str = Field(
        "",
        repr=False,
        description="Where OTLP metrics go when PROMETHEUS_URL is set, such as http://prometheus:9090/api/v1/otlp/v1/metrics.",
    )
    otlp_forward_tenant: str = Field("", description="Tenant (X-Scope-OrgID) at OTLP_FORWARD_URL.")
    otlp_forward_user: str = Field("", description="User of basic authentication at OTLP_FORWARD_URL.")
    otlp_forward_password_file: Path | None = Field(
        None, description="File that holds the password of OTLP_FORWARD_USER."
    )
    otlp_forward_token_file: Path | None = Field(
        None, description="File that holds a bearer token for OTLP_FORWARD_URL."
    )
    otlp_forward_ca_file: Path | None = Field(
        None, description="Certificate authorities (PEM) that vouch for OTLP_FORWARD_URL."
    )
    otlp_forward_tls_verify: bool = Field(True, description="0: the certificate of OTLP_FORWARD_URL is not checked.")
    otlp_forward_timeout: float = Field(10.0, gt=0, le=300, description="How long passing OTLP metrics on may take.")
    grafana_url: str = Field("", repr=False, description="Grafana, for links from the console.")
    public_url: str = Field(
        "", description="The bridge as people reach it, such as https://featurewatch.example.com, for links in alerts."
    )
    api_tokens_file: Path | None = Field(None, description="File of hashed API tokens; turns authentication on.")
    jwt_secret: str = Field(
        "",
        repr=False,
        description="Secret of JWTs signed by HS256: 32 bytes or more, used as it is written; turns authentication on.",
    )
    jwt_secret_file: Path | None = Field(None, repr=False, description="File that holds JWT_SECRET instead.")
    jwt_jwks_url: str = Field(
        "",
        repr=False,
        description="Where the public keys of JWTs signed by RS256, ES256 or EdDSA are; turns authentication on.",
    )
    jwt_audience: tuple[str, ...] = Field(
        (), description="Audiences (`aud`), of which a JWT must name one; required with JWTs."
    )
    jwt_issuer: tuple[str, ...] = Field(
        (), description="Issuers (`iss`), of which a JWT must name one, letter by letter; required with JWTs."
    )
    auth_cookie: str = Field(
        "",
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{0,200}$",
        description="Name of the cookie in which another app of this site keeps its JWT, such as sb-<ref>-auth-token.",
    )
    allowed_origins: tuple[str, ...] = Field((), description="Origins of other sites' UIs that may call the API.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names, besides loopback, IP addresses and HOST, that requests may name; "
        "*.example.com: all below it.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    ingest_rate: float = Field(
        1000.0, ge=0, description="Requests a second that one caller may write, ten seconds' worth at once; 0: any."
    )
    query_rate: float = Field(
        200.0, ge=0, description="Other requests a second of one caller, ten seconds' worth at once; 0: any."
    )
    metrics_interval: float = Field(5.0, ge=0.5, le=3600, description="Seconds between two metrics updates.")
    metrics_window: float = Field(
        300.0, ge=10, le=86_400, description="What a snapshot's figures are taken over, unless a request says."
    )
    uptime_threshold: float = Field(
        50.0, gt=0, le=100, description="A minute is down from this percentage of failed calls on."
    )
    unknown_metrics: Literal["null", "zero"] = Field(
        "null", description="What a figure that cannot be known is sent as."
    )
    log_retention: float = Field(14 * 86_400.0, ge=60, description="How long lines are kept, or looked for in Loki.")
    log_max_bytes: int = Field(
        10 * 1024**3,
        ge=10 * 1024**2,
        description="How large the embedded log store may grow; the oldest lines go first.",
    )
    arrivals_max_bytes: int = Field(
        2 * 1024**3, ge=10 * 1024**2, description="How large the journal may grow that streams over Loki resume from."
    )
    metric_retention: float = Field(400 * 86_400.0, ge=3600, description="How long the embedded store keeps metrics.")
    max_body_bytes: int = Field(16 * 1024**2, ge=1024, description="Largest request body, after decompression.")
    max_line_bytes: int = Field(256 * 1024, ge=256, description="Largest log message; longer ones are cut with a mark.")
    log_queue_bytes: int = Field(64 * 1024**2, ge=1024**2, description="Lines waiting for the disk; above it: 429.")
    stream_queue_bytes: int = Field(
        1024**2, ge=64 * 1024, description="Log bytes waiting for one slow stream; above it lines become a gap."
    )
    max_features: int = Field(
        5000, ge=1, description="Features (each environment counts) that data may bring; above it new ones: 422."
    )
    doctor_interval: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="How often the bridge examines its upstreams and the apps, as `featurewatch doctor` does; "
        "0: when it is asked to (/readyz?verbose).",
    )
    max_streams: int = Field(10_000, ge=1, description="Open WebSocket and SSE connections; above it: 429.")

    _as_seconds = field_validator(*DURATIONS, mode="before")(_seconds)
    _as_names = field_validator(
        "allowed_origins",
        "allowed_hosts",
        "trusted_proxies",
        "jwt_audience",
        "jwt_issuer",
        "prometheus_matchers",
        *ALERTING_LISTS,
        mode="before",
    )(_split)
    _as_origins = field_validator("allowed_origins")(origins)
    _as_hosts = field_validator("allowed_hosts")(hosts)
    _as_networks = field_validator("trusted_proxies")(networks)

    @field_validator("prometheus_matchers")
    @classmethod
    def _matchers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            name, equals, wanted = pair.partition("=")
            if not equals or not wanted or _LABEL.fullmatch(name) is None or name.startswith("__"):
                raise ValueError("expected labels such as cluster=eu, separated by commas")
        return value

    @field_validator("api_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        trimmed = "/" + value.strip("/")
        if trimmed == "/" or any(mark in trimmed for mark in "?#{} %"):
            raise ValueError("expected a path such as /api/v1")
        return trimmed

    @field_validator("prometheus_url", "loki_url", "public_url", "otlp_forward_url")
    @classmethod
    def _server(cls, value: str) -> str:
        return http_url(value)

    @field_validator("grafana_url", "jwt_jwks_url")
    @classmethod
    def _page(cls, value: str) -> str:
        return http_url(value, query=True)

    @model_validator(mode="after")
    def _shows_passwords(self) -> Settings:
        for name in ("prometheus", "loki", "otlp_forward", "alertmanager", "mimir"):
            if getattr(self, f"{name}_password_file") is not None and not getattr(self, f"{name}_user"):
                setting = f"{PREFIX}{name.upper()}"
                raise ValueError(f"{setting}_PASSWORD_FILE is set without {setting}_USER: say whose password it is")
        return self

    @model_validator(mode="after")
    def _publishes(self) -> Settings:
        address = f"{self.port or 8400}{self.api_prefix}"
        if problem := lacking(self, self.prometheus_url, self.loki_url, self.webhook_address, address):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _closed(self) -> Settings:
        if not self.loopback and self.api_tokens_file is None and not self.jwt:
            raise ValueError(
                f"HOST is {self.host}, which others can reach, and no authentication is set: set "
                f"{PREFIX}API_TOKENS_FILE (make a token with 'featurewatch token create --role admin'), "
                f"or {PREFIX}JWT_SECRET or {PREFIX}JWT_JWKS_URL, or {PREFIX}HOST=127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _verifiable(self) -> Settings:
        """Check that what is set of JWTs is enough to tell a good one from another's."""
        if self.jwt_secret and self.jwt_secret_file is not None:
            raise ValueError(f"expected {PREFIX}JWT_SECRET or {PREFIX}JWT_SECRET_FILE, got both")
        if self.jwt_secret and (weak := weakness(self.jwt_secret, public=not self.loopback)):
            raise ValueError(f"{PREFIX}JWT_SECRET: {weak}")
        if urlsplit(self.jwt_jwks_url).username is not None:
            raise ValueError(f"{PREFIX}JWT_JWKS_URL: expected a URL without credentials: public keys need none")
        named = {"JWT_AUDIENCE": self.jwt_audience, "JWT_ISSUER": self.jwt_issuer}
        missing = [PREFIX + name for name, value in named.items() if not value]
        if self.jwt and missing:
            raise ValueError(
                f"expected {' and '.join(missing)} beside JWT_SECRET or JWT_JWKS_URL: JWTs that the same keys sign for "
                "others would be let in too"
            )
        if not self.jwt and (self.jwt_audience or self.jwt_issuer or self.auth_cookie):
            alone = next(name for name in ("jwt_audience", "jwt_issuer", "auth_cookie") if getattr(self, name))
            raise ValueError(
                f"{PREFIX}{alone.upper()} is set, but nothing to verify JWTs with: set {PREFIX}JWT_SECRET, "
                f"{PREFIX}JWT_SECRET_FILE or {PREFIX}JWT_JWKS_URL"
            )
        return self

    @property
    def jwt(self) -> bool:
        """Whether JWTs are taken."""
        return bool(self.jwt_secret or self.jwt_secret_file or self.jwt_jwks_url)

    @property
    def webhook_address(self) -> str:
        """Where Alertmanager posts to: WEBHOOK_URL, else this machine where it runs here too, else ""."""
        if self.webhook_url:
            return self.webhook_url
        here = self.alertmanager_urls and all(
            _is_loopback(urlsplit(url).hostname or "") for url in self.alertmanager_urls
        )
        if not here or not self.port:
            return ""
        host = self.host if _is_loopback(self.host) else "127.0.0.1"
        shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http://{shown}:{self.port}{self.api_prefix}/webhooks/alertmanager"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the bridge."""
        return _is_loopback(self.host)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings from the environment; an override (a command's option) that is not None wins.

    Raises:
        SettingsError: one line that names every wrong setting, what was expected and what came.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {
        name: environ[f"{PREFIX}{name.upper()}"]
        for name in Settings.model_fields
        if environ.get(f"{PREFIX}{name.upper()}", "").strip()
    }
    given |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_told(problem, given) for problem in error.errors())) from None


def _told(problem: Any, given: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    field = Settings.model_fields.get(name)
    return explain(problem, PREFIX, field, given.get(name, ""), duration=name in DURATIONS)


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Find FEATUREWATCH_* variables that nothing reads, each as a sentence with the nearest name."""
    known = {name.upper() for name in Settings.model_fields} | EXPORTER_NAMES | COMMAND_NAMES.keys()
    sentences = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if variable == name or name in known or name.startswith("TEST_"):
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        sentences.append(f"{variable} is not a setting{hint}")
    return sentences
