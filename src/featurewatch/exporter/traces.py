"""Which trace a call is part of: from OpenTelemetry where the app traces with it, or as the app says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, Final

_TRACE_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SPAN_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,48}")
"""As long as OpenMetrics lets them be together: an exemplar's labels have 128 characters at most, names included.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#exemplars
"""


def tracer() -> Callable[[], tuple[str, str] | None] | None:
    """Return what finds the current span, once the app has set a tracer provider; None before.

    OpenTelemetry is not imported for it: where the app has not done so, nothing traces.
    """
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    try:
        provider = opentelemetry.get_tracer_provider()
        if isinstance(provider, (opentelemetry.ProxyTracerProvider, opentelemetry.NoOpTracerProvider)):
            return None
        current = opentelemetry.get_current_span
    except Exception:  # it is not there, half imported, or its own configuration is broken
        return None

    def find() -> tuple[str, str] | None:
        try:
            context = current().get_span_context()
            if not context.is_valid or not context.trace_flags.sampled:
                return None
            return f"{context.trace_id:032x}", f"{context.span_id:016x}"
        except Exception:  # a tracer of the app's own may do anything
            return None

    return find


def identified(trace_id: object, span_id: object) -> tuple[str, str] | None:
    """Write ids as text; None where one of them cannot be an id."""
    trace = _written(trace_id, 32, _TRACE_ID)
    span = "" if span_id == "" else _written(span_id, 16, _SPAN_ID)
    return None if trace is None or span is None else (trace, span)


def _written(value: object, digits: int, pattern: re.Pattern[str]) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:0{digits}x}" if 0 < value < 16**digits else None
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
