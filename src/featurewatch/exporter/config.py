"""What `featurewatch.configure` was told, completed from FEATUREWATCH_* and OTEL_*."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from ..errors import SettingsError
from . import checks
from .credentials import SECRETS, UrlCredentials, basic, split
from .drops import Drops
from .otel_logs import LOGS_PATH, OtelLogs, logs_endpoint, read_headers, read_logs, read_resource

PREFIX: Final = "FEATUREWATCH_"
METRICS_PATH: Final = "/v1/metrics"
PUSH_PATH: Final = "/loki/api/v1/push"


@dataclass(frozen=True, slots=True)
class Config:
    """The exporter's settings, the same names as `configure`'s keywords.

    Attributes:
        environment: what calls and lines belong to.
        endpoint: a bridge, which takes metrics and logs; empty: none.
        otlp_endpoint: a collector's base URL (or its full one, ending in /v1/metrics) for metrics instead, and for logs
            where neither loki_url nor endpoint is set.
        logs: where lines go: "auto" (loki_url, else endpoint, else otlp_endpoint), "loki", "otlp" or "none".
        loki_url: Loki's base URL for logs instead.
        loki_tenant: the X-Scope-OrgID of lines sent to Loki.
        loki_user: for basic authentication there, with loki_password; credentials in a URL are used, too.
        loki_password: never shown.
        loki_token: for bearer authentication there instead.
        tls_ca_file: a PEM file of the authorities to trust instead of the system's, for all that is sent.
        tls_verify: false sends to a server whose certificate nobody vouches for.
        token: the bridge's, sent as a bearer token to `endpoint` alone.
        push_interval: seconds between two pushes of metrics.
        log_level: the least level that a LogHandler made without one takes.
        log_queue_bytes: how much may wait in memory to be shipped; above it new lines are dropped and counted.
        spool_dir: a folder in which lines wait until they are delivered, so that an outage or a killed process loses
            none; several processes may share it.
        spool_bytes: how much the folder may hold; above it lines wait in memory.
        exit_timeout: seconds that a process waits at exit for what is still to be sent.
        mode: "metrics" pushes totals; "events" sends each finished call to the bridge, which counts: for functions
            whose process may be gone before its totals are read.
        api_prefix: the bridge's FEATUREWATCH_API_PREFIX, under which it takes the calls of mode "events".
        multiprocess_dir: a folder that the workers of a prefork server share; /metrics of each answers for all.
        max_features: how many features are told apart; calls of further ones count for the feature `other`.
        created: whether OpenMetrics carries the time at which each counter began, as `_created`; off as well where
            PROMETHEUS_DISABLE_CREATED_SERIES is true, unless configure() says otherwise.
        disabled: makes everything a no-op.
        otel_metrics_url: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, used as it stands where no other endpoint is set.
    """

    environment: str = "development"
    endpoint: str = ""
    otlp_endpoint: str = ""
    logs: str = "auto"
    loki_url: str = ""
    loki_tenant: str = ""
    loki_user: str = ""
    loki_password: str = ""
    loki_token: str = ""
    tls_ca_file: str = ""
    tls_verify: bool = True
    service_name: str = "unknown_service"
    token: str = ""
    push_interval: float = 5.0
    log_level: str = "debug"
    log_queue_bytes: int = 64 * 1024**2
    spool_dir: str = ""
    spool_bytes: int = 1024**3
    exit_timeout: float = 5.0
    mode: str = "metrics"
    api_prefix: str = "/api/v1"
    multiprocess_dir: str = ""
    max_features: int = 1000
    created: bool = False
    disabled: bool = False
    otel_metrics_url: str = ""
    otel_logs_url: str = ""
    otel_logs: OtelLogs = field(default_factory=OtelLogs)
    _credentials: tuple[UrlCredentials, ...] = ()

    @property
    def metrics_url(self) -> str:
        """Where metrics are pushed to; empty where nothing is."""
        if self.otel_metrics_url:
            return self.otel_metrics_url
        base = self.otlp_endpoint or self.endpoint
        return base if not base or base.endswith(METRICS_PATH) else base + METRICS_PATH

    def calls_url(self, feature: str) -> str:
        """Where mode "events" sends a feature's finished calls."""
        return f"{self.endpoint}{self.api_prefix}/features/{feature}/requests"

    @property
    def logs_kind(self) -> Literal["loki", "bridge", "otlp", ""]:
        """What lines are shipped to: Loki, a bridge as if it were one, a collector, or nothing."""
        if self.logs in ("auto", "loki") and self.loki_url:
            return "loki"
        if self.logs in ("auto", "loki") and self.endpoint:
            return "bridge"
        collector = self.otel_logs_url or self.otlp_endpoint or (self.endpoint if self.logs == "otlp" else "")
        return "otlp" if self.logs in ("auto", "otlp") and collector else ""

    @property
    def logs_url(self) -> str:
        """Where lines are shipped to; empty where none are."""
        if not self.logs_kind:
            return ""
        if self.logs_kind == "otlp":
            base = (self.otlp_endpoint or self.endpoint).removesuffix(METRICS_PATH)
            return self.otel_logs_url or (base if base.endswith(LOGS_PATH) else base + LOGS_PATH)
        base = self.loki_url if self.logs_kind == "loki" else self.endpoint
        return base if base.endswith(PUSH_PATH) else base + PUSH_PATH

    def is_bridge(self, url: str) -> bool:
        """Tell whether a URL is one of the bridge's."""
        return bool(self.endpoint) and url.startswith(self.endpoint + "/")

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers that a request to the URL carries; the token goes to no other host than the bridge."""
        headers: dict[str, str] = {}
        for known in self._credentials:
            if url == known.url or url.startswith(known.url + "/"):
                headers["Authorization"] = known.header
        if self.is_bridge(url):
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
        elif url == self.logs_url and self.logs_kind == "loki":
            if self.loki_token:
                headers["Authorization"] = f"Bearer {self.loki_token}"
            elif self.loki_user:
                headers["Authorization"] = basic(self.loki_user, self.loki_password)
            if self.loki_tenant:
                headers["X-Scope-OrgID"] = self.loki_tenant
        return headers

    def __repr__(self) -> str:
        """Show everything but the secrets."""
        hides = SECRETS | {"_credentials"}
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.name not in hides)
        return f"Config({', '.join(shown)})"


def read(given: Mapping[str, Any], environ: Mapping[str, str], drops: Drops) -> Config:
    """Make the configuration: what is given wins over FEATUREWATCH_*, that over OTEL_*, that over the defaults.

    A wrong variable is told in the app's log and left out: no line of the app's own asked for it.

    Raises:
        TypeError: a keyword that does not exist; the nearest is named.
        SettingsError: a given value is wrong; all of them are named.
    """
    for name in given:
        if name not in _CHECKS:
            from difflib import get_close_matches  # needed for a mistake alone

            near = get_close_matches(name, _CHECKS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(_CHECKS)}"
            raise TypeError(f"configure() has no setting {name!r}{hint}")
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        if given.get(name) is None:
            _from_environ(name, PREFIX + name.upper(), check, environ, drops, values)
            continue
        try:
            values[name] = check(given[name])
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise SettingsError("configure(): " + "; ".join(problems))
    if values.get("mode") == "events" and not values.get("endpoint"):
        problem = "mode: events sends calls to a bridge: set endpoint (FEATUREWATCH_ENDPOINT) to its address"
        if given.get("mode") is not None:
            raise SettingsError(f"configure(): {problem}")
        drops.tell("setting mode", "%s; it is ignored", problem)
        del values["mode"]
    if given.get("created") is None and environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower() in checks.TRUE:
        values["created"] = False
    _from_environ("service_name", "OTEL_SERVICE_NAME", checks.text, environ, drops, values)
    named = read_resource(environ).get("service.name", "")
    _from_environ("service_name", "OTEL_RESOURCE_ATTRIBUTES", lambda _: checks.text(named), environ, drops, values)
    _from_environ("push_interval", "OTEL_METRIC_EXPORT_INTERVAL", checks.milliseconds, environ, drops, values)
    if not (values.get("endpoint") or values.get("otlp_endpoint")) and not _opted_out(environ, drops):
        _from_environ(
            "otel_metrics_url", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", checks.url_as_it_stands, environ, drops, values
        )
        _from_environ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", checks.url, environ, drops, values)
    _logs_from_environ(given, environ, drops, values)
    found = []
    for name in ("endpoint", "otlp_endpoint", "loki_url", "otel_metrics_url", "otel_logs_url"):
        if values.get(name):
            values[name], credentials = split(values[name])
            found += [credentials] if credentials else []
    config = Config(**values, _credentials=tuple(found))
    _tell_wrong_headers(config, environ, drops)
    _tell_nowhere(config, drops)
    _tell_mistyped(environ, drops)
    return config


def _tell_wrong_headers(config: Config, environ: Mapping[str, str], drops: Drops) -> None:
    to_collector = config.metrics_url and not config.is_bridge(config.metrics_url)
    wrong = {place for place in read_headers(environ, "METRICS")[1] if to_collector}
    wrong |= {place for place in read_headers(environ, "LOGS")[1] if config.logs_kind == "otlp"}
    for place in sorted(wrong):
        drops.tell(
            f"setting {place}", "%s: expected a header such as api-key=abc, in ASCII and with %%20 for a space; what "
            "came is not shown, and ignored", place,
        )  # fmt: skip


def _tell_nowhere(config: Config, drops: Drops) -> None:
    """Tell that lines were asked for and have nowhere to go."""
    where = {"loki": "loki_url or endpoint", "otlp": "otlp_endpoint or endpoint"}.get(config.logs)
    if where and not (config.logs_kind or config.disabled):
        drops.tell("setting logs", "logs: %s names no address, so no line is sent: set %s", config.logs, where)


def _tell_mistyped(environ: Mapping[str, str], drops: Drops) -> None:
    """Tell of variables that nothing reads where one that is read is near: nearer than any of the bridge's own."""
    names = (name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX))
    for name in (name for name in names if name.lower() not in _CHECKS):
        from difflib import get_close_matches  # needed for a mistake, or beside a bridge's settings

        if near := get_close_matches(name.lower(), _CHECKS, 1, 0.86):
            drops.tell(f"setting {name}", "%s is no setting; did you mean %s?", PREFIX + name, PREFIX + near[0].upper())


def _logs_from_environ(
    given: Mapping[str, Any], environ: Mapping[str, str], drops: Drops, values: dict[str, Any]
) -> None:
    """Add what OTEL_* says of lines, unless they go elsewhere or OTEL_* says that they don't go by OTLP."""
    values["otel_logs"] = read_logs(environ)
    told = any(given.get(name) or environ.get(PREFIX + name.upper()) for name in ("otlp_endpoint", "endpoint"))
    variable, _ = logs_endpoint(environ)
    if told or not variable or values.get("logs", "auto") not in ("auto", "otlp"):
        return
    protocol = environ.get("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    opted_out = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or not _exports("OTEL_LOGS_EXPORTER", environ)
        or protocol == "grpc"
    )
    if opted_out and "logs" not in values and not values.get("loki_url"):
        values["logs"] = "none"
    elif not opted_out:
        _from_environ(
            "otel_logs_url",
            variable,
            lambda _: checks.url_as_it_stands(logs_endpoint(environ)[1]),
            environ,
            drops,
            values,
        )


def _from_environ(
    name: str,
    variable: str,
    check: Callable[[Any], Any],
    environ: Mapping[str, str],
    drops: Drops,
    values: dict[str, Any],
) -> None:
    text = environ.get(variable, "").strip()
    if not text or name in values:
        return
    try:
        if (value := check(text)) != "":
            values[name] = value
    except ValueError as error:
        drops.tell(f"setting {variable}", "%s: %s; it is ignored", variable, error)


def _opted_out(environ: Mapping[str, str], drops: Drops) -> bool:
    """Tell whether OTEL_* says where to push, but not by us: disabled, another exporter, or gRPC."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return True
    if not _exports("OTEL_METRICS_EXPORTER", environ):
        return True
    named = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((environ[name] for name in named if environ.get(name)), "http/protobuf")
    endpoints = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if protocol == "grpc" and any(environ.get(name) for name in endpoints):
        drops.tell(
            "otel protocol",
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but metrics and lines are sent over HTTP: nothing is sent; set "
            "FEATUREWATCH_OTLP_ENDPOINT to the collector's HTTP address, such as http://127.0.0.1:4318",
        )
        return True
    return False


def _exports(variable: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a variable that lists exporters has OTLP among them, as it has where it says nothing."""
    listed = [name.strip().lower() for name in environ.get(variable, "").split(",") if name.strip()]
    return not listed or "otlp" in listed


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "environment": checks.environment,
    "endpoint": checks.url,
    "otlp_endpoint": checks.url,
    "logs": checks.logs,
    "loki_url": checks.url,
    "loki_tenant": checks.text,
    "loki_user": checks.text,
    "loki_password": checks.secret,
    "loki_token": checks.secret,
    "tls_ca_file": checks.folder,
    "tls_verify": checks.flag,
    "service_name": checks.text,
    "token": checks.secret,
    "push_interval": checks.seconds(0.1, 86_400),
    "log_level": checks.level,
    "log_queue_bytes": checks.queue_bytes,
    "spool_dir": checks.folder,
    "spool_bytes": checks.spool_bytes,
    "exit_timeout": checks.seconds(0, 600),
    "mode": checks.mode,
    "api_prefix": checks.path,
    "multiprocess_dir": checks.folder,
    "max_features": checks.count,
    "created": checks.flag,
    "disabled": checks.flag,
}
