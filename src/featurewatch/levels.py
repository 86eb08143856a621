"""The names and numbers that others give to the five levels. Pure."""

from __future__ import annotations

from typing import Final

from .errors import BadInput
from .model import LEVELS, Level

__all__ = ["names_of", "parse_level", "severity_level"]

_NAMES: Final[dict[str, Level]] = {
    **{level: level for level in LEVELS},
    "trace": "debug",
    "verbose": "debug",
    "finest": "debug",
    "fine": "debug",
    "dbg": "debug",
    "information": "info",
    "informational": "info",
    "inf": "info",
    "notice": "info",
    "success": "info",
    "warning": "warn",
    "wrn": "warn",
    "err": "error",
    "severe": "error",
    "exception": "error",
    "critical": "fatal",
    "crit": "fatal",
    "alert": "fatal",
    "emerg": "fatal",
    "emergency": "fatal",
    "panic": "fatal",
    "ftl": "fatal",
}


def parse_level(text: str, *, name: str = "level") -> Level:
    """Read a level by any of its usual names, in any case; OpenTelemetry's numbered ones (WARN2) too.

    Raises:
        BadInput: the name is unknown; the message names the field and the five.
    """
    said = text.strip().lower()
    level = _NAMES.get(said) or (_NAMES.get(said[:-1]) if said[-1:] in ("2", "3", "4") else None)
    if level is None:
        shown = repr(text if len(text) <= 40 else text[:40] + "…")
        raise BadInput(f"{name}: expected one of {', '.join(LEVELS)}, got {shown}")
    return level


def names_of(level: Level) -> tuple[str, ...]:
    """Return the names that `parse_level` reads as a level, in small letters; numbered ones aside."""
    return tuple(sorted(name for name, meant in _NAMES.items() if meant == level))


def severity_level(number: int) -> Level | None:
    """Read OpenTelemetry's SeverityNumber, 1 to 24; None where it says nothing (0) or is none.

    https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
    """
    if not 1 <= number <= 24:
        return None
    return "debug" if number <= 8 else LEVELS[(number - 1) // 4 - 1]
