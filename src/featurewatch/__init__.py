"""See each AI feature of a product live: declare a feature, and its calls, cost and log lines are there.

    import featurewatch

    summarize = featurewatch.Feature("summarize")

    with summarize.call(model="gpt-5-mini") as call:
        call.tokens(input=812, output=120)

Importing it loads nothing heavy, starts nothing and sends nothing. After a declaration nothing here raises into the
app: what goes wrong is told once in its log (logger `featurewatch`) and counted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Never

from .exporter.call import Call, current_call
from .exporter.feature import Feature
from .exporter.runtime import RUNTIME as _RUNTIME

if TYPE_CHECKING:
    from os import PathLike

    from . import testing
    from .exporter.asgi import FeatureMiddleware
    from .exporter.endpoint import metrics_app, metrics_route, metrics_wsgi_app
    from .exporter.logs import LogHandler, loguru_sink
    from .exporter.prometheus import collector
    from .exporter.spans import SpanProcessor
    from .exporter.stream import Stream
    from .exporter.structlogs import structlog_processor
    from .exporter.wsgi import FeatureWSGIMiddleware

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Feature",
    "FeatureMiddleware",
    "FeatureWSGIMiddleware",
    "LogHandler",
    "SpanProcessor",
    "Stream",
    "aflush",
    "collector",
    "configure",
    "current_call",
    "flush",
    "loguru_sink",
    "metrics_app",
    "metrics_route",
    "metrics_wsgi_app",
    "shutdown",
    "structlog_processor",
    "testing",
]

_LAZY = {
    "FeatureMiddleware": "asgi",
    "FeatureWSGIMiddleware": "wsgi",
    "SpanProcessor": "spans",
    "LogHandler": "logs",
    "loguru_sink": "logs",
    "structlog_processor": "structlogs",
    "Stream": "stream",
    "collector": "prometheus",
    "metrics_app": "endpoint",
    "metrics_route": "endpoint",
    "metrics_wsgi_app": "endpoint",
}


def configure(
    *,
    environment: str | None = None,
    endpoint: str | None = None,
    otlp_endpoint: str | None = None,
    logs: str | None = None,
    loki_url: str | None = None,
    loki_tenant: str | None = None,
    loki_user: str | None = None,
    loki_password: str | None = None,
    loki_token: str | None = None,
    tls_ca_file: str | PathLike[str] | None = None,
    tls_verify: bool | None = None,
    service_name: str | None = None,
    token: str | None = None,
    push_interval: float | None = None,
    log_level: str | None = None,
    log_queue_bytes: int | None = None,
    spool_dir: str | PathLike[str] | None = None,
    spool_bytes: int | None = None,
    exit_timeout: float | None = None,
    mode: str | None = None,
    api_prefix: str | None = None,
    multiprocess_dir: str | PathLike[str] | None = None,
    max_features: int | None = None,
    created: bool | None = None,
    disabled: bool | None = None,
    **unknown: Never,
) -> None:
    """Say where figures and lines go. Optional; may come after declarations; a later one replaces an earlier.

    What is left out comes from FEATUREWATCH_* (the name in capitals), then OTEL_*. Without any, the environment is
    `development`, calls are counted for `/metrics`, and nothing is sent anywhere.

    Args:
        environment: what calls and lines belong to.
        endpoint: a bridge, which takes metrics and lines; `token` is sent to it alone.
        otlp_endpoint: a collector's base URL for metrics instead (HTTP; /v1/metrics is added), and for lines where
            neither `loki_url` nor `endpoint` is given.
        logs: where lines go: "auto" (`loki_url`, else `endpoint`, else `otlp_endpoint`), "loki", "otlp" or "none".
        loki_url: Loki's base URL for lines instead, with `loki_tenant` as X-Scope-OrgID, and `loki_user` and
            `loki_password`, or `loki_token`, to authenticate.
        tls_ca_file: a PEM file of the authorities to trust instead of the system's, for all that is sent.
        push_interval: seconds between two pushes of metrics.
        log_level: the least level that a LogHandler made without one takes.
        log_queue_bytes: how much may wait in memory to be shipped; above it new lines are dropped and counted.
        spool_dir: a folder in which lines wait until they are delivered, at most `spool_bytes`: an outage or a
            killed process loses none.
        exit_timeout: seconds that the process waits at its end for what is still to be sent.
        mode: "events" sends each finished call to the bridge, which counts, instead of pushing totals: for functions
            whose process may be gone at any time. `api_prefix` is the bridge's (/api/v1).
        multiprocess_dir: a folder that the workers of a prefork server (gunicorn, uvicorn --workers) share, so that
            /metrics of each answers for all.
        max_features: how many features are told apart; calls of further ones count for the feature `other`.
        created: whether OpenMetrics carries the time at which each counter began.
        disabled: makes everything here a no-op.

    Raises:
        TypeError: a keyword that does not exist; the nearest is named.
        SettingsError: a value is wrong; nothing is changed.
    """
    _RUNTIME.configure(
        {
            "environment": environment,
            "endpoint": endpoint,
            "otlp_endpoint": otlp_endpoint,
            "logs": logs,
            "loki_url": loki_url,
            "loki_tenant": loki_tenant,
            "loki_user": loki_user,
            "loki_password": loki_password,
            "loki_token": loki_token,
            "tls_ca_file": tls_ca_file,
            "tls_verify": tls_verify,
            "service_name": service_name,
            "token": token,
            "push_interval": push_interval,
            "log_level": log_level,
            "log_queue_bytes": log_queue_bytes,
            "spool_dir": spool_dir,
            "spool_bytes": spool_bytes,
            "exit_timeout": exit_timeout,
            "mode": mode,
            "api_prefix": api_prefix,
            "multiprocess_dir": multiprocess_dir,
            "max_features": max_features,
            "created": created,
            "disabled": disabled,
            **unknown,
        }
    )


def flush(timeout: float = 5.0) -> bool:
    """Send everything recorded until now; False where that is not done within `timeout` seconds."""
    return _RUNTIME.flush(timeout)


async def aflush(timeout: float = 5.0) -> bool:
    """Send everything recorded until now without blocking the event loop."""
    import asyncio

    return await asyncio.to_thread(_RUNTIME.flush, timeout)


def shutdown(timeout: float = 5.0) -> bool:
    """Flush and end the threads; only a further `configure` sends again. Runs by itself when the process ends."""
    return _RUNTIME.shutdown(timeout)


if not TYPE_CHECKING:  # A type checker would take any name for one that there is.

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(f".exporter.{_LAZY[name]}", __name__), name)
        if name == "testing":
            return import_module(".testing", __name__)
        raise AttributeError(f"module 'featurewatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
