"""What OpenTelemetry's variables say of sending log records by OTLP over HTTP. Pure.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LOGS_PATH = "/v1/logs"


@dataclass(frozen=True, slots=True)
class OtelLogs:
    """How to send: headers, seconds to wait (None: as ever), without compression, with a CA file and a certificate of
    one's own and its key.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    plain: bool = False
    ca_file: str = ""
    client: tuple[str, str] = ("", "")


def read_logs(environ: Mapping[str, str]) -> OtelLogs:
    """Read OTEL_EXPORTER_OTLP_* and, which win, OTEL_EXPORTER_OTLP_LOGS_*. What is wrong is left out.

    The time-out is in seconds, as OpenTelemetry for Python takes it: a variable means one thing in a process.
    """
    headers: dict[str, str] = {}
    if not any(name.endswith("_HEADERS") for name in environ):
        return OtelLogs(headers, *_rest(environ))
    from urllib.parse import unquote  # with every app's import it would cost more than all of this

    for pair in f"{environ.get('OTEL_EXPORTER_OTLP_HEADERS', '')},{_own(environ, 'HEADERS')}".split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            headers[unquote(name.strip()).lower()] = unquote(value.strip())
    return OtelLogs(headers, *_rest(environ))


def _rest(environ: Mapping[str, str]) -> tuple[float | None, bool, str, tuple[str, str]]:
    try:
        timeout: float | None = float(_named(environ, "TIMEOUT"))
    except ValueError:
        timeout = None
    plain = _named(environ, "COMPRESSION").strip().lower() == "none"
    ca_file, certificate, key = (
        _named(environ, name).strip() for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    )
    return timeout if timeout and timeout > 0 else None, plain, ca_file, (certificate, key)


def logs_endpoint(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that names the endpoint, and the URL to send to; empty ones where none does."""
    variable = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
    if url := environ.get(variable, "").strip():
        return variable, url
    variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
    url = environ.get(variable, "").strip().rstrip("/")
    return (variable, url + LOGS_PATH) if url else ("", "")


def _own(environ: Mapping[str, str], name: str) -> str:
    return environ.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}", "")


def _named(environ: Mapping[str, str], name: str) -> str:
    return _own(environ, name) or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")
