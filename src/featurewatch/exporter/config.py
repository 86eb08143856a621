"""What `featurewatch.configure` was told, completed from FEATUREWATCH_* and OTEL_*."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from ..errors import BadInput, SettingsError
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, LEVELS
from ..times import parse_duration
from .drops import Drops

PREFIX: Final = "FEATUREWATCH_"
METRICS_PATH: Final = "/v1/metrics"
PUSH_PATH: Final = "/loki/api/v1/push"
MODES: Final = ("metrics", "events")


@dataclass(frozen=True, slots=True)
class Config:
    """The exporter's settings, the same names as `configure`'s keywords.

    Attributes:
        environment: what calls and lines belong to.
        endpoint: a bridge, which takes metrics and logs; empty: none.
        otlp_endpoint: a collector's base URL (or its full one, ending in /v1/metrics) for metrics instead.
        loki_url: Loki's base URL for logs instead.
        loki_tenant: the X-Scope-OrgID of lines sent to Loki.
        token: the bridge's, sent as a bearer token to `endpoint` alone.
        push_interval: seconds between two pushes of metrics.
        log_level: the least level that a LogHandler made without one takes.
        log_queue_bytes: how much may wait to be shipped; above it new lines are dropped and counted.
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
    loki_url: str = ""
    loki_tenant: str = ""
    service_name: str = "unknown_service"
    token: str = ""
    push_interval: float = 5.0
    log_level: str = "debug"
    log_queue_bytes: int = 64 * 1024**2
    exit_timeout: float = 5.0
    mode: str = "metrics"
    api_prefix: str = "/api/v1"
    multiprocess_dir: str = ""
    max_features: int = 1000
    created: bool = False
    disabled: bool = False
    otel_metrics_url: str = ""

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
    def logs_url(self) -> str:
        """Where lines are shipped to; empty where none are."""
        base = self.loki_url or self.endpoint
        return base if not base or base.endswith(PUSH_PATH) else base + PUSH_PATH

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers that a request to the URL carries; the token goes to no other host than the bridge."""
        to_bridge = self.endpoint and url.startswith(self.endpoint + "/")
        if to_bridge:
            return {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"X-Scope-OrgID": self.loki_tenant} if self.loki_tenant and url == self.logs_url else {}

    def __repr__(self) -> str:
        """Show everything but the token."""
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.name != "token")
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
    if given.get("created") is None and environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower() in _TRUE:
        values["created"] = False
    _from_environ("service_name", "OTEL_SERVICE_NAME", _text, environ, drops, values)
    _from_environ("push_interval", "OTEL_METRIC_EXPORT_INTERVAL", _milliseconds, environ, drops, values)
    if not (values.get("endpoint") or values.get("otlp_endpoint")) and not _opted_out(environ, drops):
        _from_environ("otel_metrics_url", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", _url, environ, drops, values)
        _from_environ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", _url, environ, drops, values)
    return Config(**values)


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
        values[name] = check(text)
    except ValueError as error:
        drops.tell(f"setting {variable}", "%s: %s; it is ignored", variable, error)


def _opted_out(environ: Mapping[str, str], drops: Drops) -> bool:
    """Tell whether OTEL_* says where to push, but not by us: disabled, another exporter, or gRPC."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return True
    if environ.get("OTEL_METRICS_EXPORTER", "otlp").strip().lower() != "otlp":
        return True
    named = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((environ[name] for name in named if environ.get(name)), "http/protobuf")
    endpoints = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if protocol == "grpc" and any(environ.get(name) for name in endpoints):
        drops.tell(
            "otel protocol",
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but metrics are pushed over HTTP: nothing is pushed; set "
            "FEATUREWATCH_OTLP_ENDPOINT to the collector's HTTP address, such as http://127.0.0.1:4318",
        )
        return True
    return False


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"expected text of one line, got {value!r}")
    return value.strip()


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("expected a token of printable ASCII; what came is not shown")
    return value.strip()


def _mode(value: object) -> str:
    if value not in MODES:
        raise ValueError(f"expected one of {', '.join(MODES)}, got {value!r}")
    return str(value)


def _path(value: object) -> str:
    path = _text(value)
    if path and not path.startswith("/"):
        raise ValueError(f"expected a path that starts with /, got {value!r}")
    return path.rstrip("/")


def _environment(value: object) -> str:
    if not isinstance(value, str) or ENVIRONMENT.fullmatch(value) is None:
        raise ValueError(f"expected {ENVIRONMENT_RULE}, got {value!r}")
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")) or not value.partition("://")[2]:
        raise ValueError(f"expected a URL that starts with http:// or https://, got {value!r}")
    return value.rstrip("/")


def _level(value: object) -> str:
    level = str(value).lower()
    level = {"warning": "warn", "critical": "fatal"}.get(level, level)
    if level not in LEVELS:
        raise ValueError(f"expected one of {', '.join(LEVELS)}, got {value!r}")
    return level


def _number(least: float, most: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        try:
            number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"expected a number from {least:g} to {most:g}, got {value!r}")
        return number

    return check


def _seconds(least: float, most: float) -> Callable[[object], float]:
    """Check seconds, or a duration as text such as 5s or 1m30s."""
    number = _number(least, most)

    def check(value: object) -> float:
        if isinstance(value, str) and value.strip()[-1:].isalpha():
            try:
                return number(parse_duration(value, name="value"))
            except BadInput as error:
                raise ValueError(error.message.removeprefix("value: ")) from None
        return number(value)

    return check


def _milliseconds(value: object) -> float:
    return _number(100, 86_400_000)(value) / 1000


def _bytes(value: object) -> int:
    return int(_number(64 * 1024, 2**40)(value))


def _folder(value: object) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.isprintable():
        raise ValueError(f"expected a folder's path, got {value!r}")
    return path.strip()


def _count(value: object) -> int:
    return int(_number(1, 1_000_000)(value))


def _flag(value: object) -> bool:
    word = str(value).lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"expected true or false, got {value!r}")
    return word in _TRUE


_TRUE: Final = ("1", "true", "yes", "on")


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "environment": _environment,
    "endpoint": _url,
    "otlp_endpoint": _url,
    "loki_url": _url,
    "loki_tenant": _text,
    "service_name": _text,
    "token": _secret,
    "push_interval": _seconds(0.1, 86_400),
    "log_level": _level,
    "log_queue_bytes": _bytes,
    "exit_timeout": _seconds(0, 600),
    "mode": _mode,
    "api_prefix": _path,
    "multiprocess_dir": _folder,
    "max_features": _count,
    "created": _flag,
    "disabled": _flag,
}
