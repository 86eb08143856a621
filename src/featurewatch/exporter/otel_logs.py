"""What OpenTelemetry's variables say of sending log records by OTLP over HTTP. Pure.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

LOGS_PATH = "/v1/logs"

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class OtelLogs:
    """How to send: headers, seconds to wait (None: as ever), the compression, with a CA file and a certificate of one's
    own and its key; and what the resource is besides the service's name.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    compression: Literal["gzip", "deflate", "none"] = "gzip"
    ca_file: str = ""
    client: tuple[str, str] = ("", "")
    resource: tuple[tuple[str, str], ...] = ()


def read_logs(environ: Mapping[str, str]) -> OtelLogs:
    """Read OTEL_EXPORTER_OTLP_* and, which win, OTEL_EXPORTER_OTLP_LOGS_*. What is wrong is left out.

    The time-out is in seconds, as OpenTelemetry for Python takes it: a variable means one thing in a process.
    """
    return OtelLogs(read_headers(environ, "LOGS")[0], *_rest(environ))


def read_headers(environ: Mapping[str, str], signal: Literal["METRICS", "LOGS"]) -> tuple[dict[str, str], list[str]]:
    """Read the headers of a signal's requests: from its own variable, else from the one for all, as OpenTelemetry does.

    Returns:
        them, and the places of what is no header, in words that show nothing of it: it may be a secret.
    """
    headers: dict[str, str] = {}
    wrong: list[str] = []
    names = (f"OTEL_EXPORTER_OTLP_{signal}_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
    variable = next((name for name in names if environ.get(name, "").strip()), None)
    if variable is None:
        return headers, wrong
    from urllib.parse import unquote  # with every app's import it would cost more than all of this

    for place, pair in enumerate(environ[variable].split(","), 1):
        name, equals, value = (unquote(part.strip()) for part in pair.partition("="))
        if equals and _HEADER_NAME.fullmatch(name) and value.isascii() and value.isprintable():
            headers[name.lower()] = value
        elif pair.strip():
            wrong.append(f"{variable}, pair {place}")
    return headers, wrong


def _rest(environ: Mapping[str, str]) -> tuple[Any, ...]:
    try:
        timeout: float | None = float(_named(environ, "TIMEOUT"))
    except ValueError:
        timeout = None
    compression = _named(environ, "COMPRESSION").strip().lower()
    ca_file, certificate, key = (
        _named(environ, name).strip() for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    )
    resource = tuple((name, value) for name, value in read_resource(environ).items() if name != "service.name")
    return (
        timeout if timeout and timeout > 0 else None,
        compression if compression in ("none", "deflate") else "gzip",
        ca_file,
        (certificate, key),
        resource,
    )


def read_resource(environ: Mapping[str, str]) -> dict[str, str]:
    """Read OTEL_RESOURCE_ATTRIBUTES: pairs with percent-encoded values; what is no pair is left out.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    told = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not told.strip():
        return {}
    from urllib.parse import unquote

    pairs = (pair.partition("=") for pair in told.split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}


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
