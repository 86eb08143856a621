"""The page of all settings, made from the code that reads them, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ..exporter.config import Config
from ..settings import COMMAND_NAMES, DURATIONS, PREFIX, Settings
from ..settings_alerting import Alerting

__all__ = ["page"]


_HEAD: Final = """\
# Settings

<!-- Made by python -m featurewatch.commands.generated; edit the descriptions in the code. -->

Everything is set by environment variables. Durations are seconds or text such as `5s`, `15m`, `24h`, `30d`; lists are
separated by commas. A wrong value is refused at the start with what was expected and what came; a variable that
begins with `FEATUREWATCH_` and is none of these is warned about, with the nearest name.
"""


def page() -> str:
    """Write the page as Markdown."""
    own = {name: field for name, field in Settings.model_fields.items() if name not in Alerting.model_fields}
    return "\n".join(
        (
            _HEAD,
            "## The bridge\n",
            "HOST, PORT, DATA_DIR and ENVIRONMENT are options of `featurewatch serve` too; an option wins.\n",
            *_table(("variable", "default", "range", "meaning"), map(_setting, own.items())),
            "\n### Alerting\n",
            "Where rules and channels are published: [channels](channels.md).\n",
            *_table(("variable", "default", "range", "meaning"), map(_setting, Alerting.model_fields.items())),
            "\n## The exporter\n",
            "In the app. What `featurewatch.configure` is given wins over these.\n",
            *_table(("variable", "default", "meaning"), _exporter()),
            "\n## The command line\n",
            *_table(("variable", "meaning"), ((f"`{PREFIX}{name}`", text) for name, text in COMMAND_NAMES.items())),
            "",
        )
    )


def _setting(item: tuple[str, FieldInfo]) -> tuple[str, ...]:
    name, field = item
    bounds: Mapping[str, Any] = {
        sign: getattr(mark, sign) for mark in field.metadata for sign in ("ge", "gt", "le", "lt") if hasattr(mark, sign)
    }
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    match low is not None, high is not None:
        case True, True:
            span = f"{'above ' if 'gt' in bounds else ''}{_shown(name, low)} to {_shown(name, high)}"
        case True, False:
            span = f"from {_shown(name, low)}"
        case _:
            span = " or ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""
    return f"`{PREFIX}{name.upper()}`", _code(_shown(name, field.default)), span, field.description or ""


def _exporter() -> Iterable[tuple[str, ...]]:
    told = dict(re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", Config.__doc__ or "", re.MULTILINE))
    for field in fields(Config):
        if field.name.startswith(("otel_", "_")):
            continue
        text = re.sub(r"\s+", " ", told.get(field.name, "what OpenTelemetry calls the service."))
        yield f"`{PREFIX}{field.name.upper()}`", _code(_shown(field.name, field.default)), text[0].upper() + text[1:]


def _shown(name: str, value: Any) -> str:
    if value is None or value is False or value in ("", ()):
        return ""
    if name in DURATIONS or name in ("push_interval", "exit_timeout"):
        return _duration(float(value))
    if name.endswith("_bytes"):
        return _size(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _size(count: int) -> str:
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count % length == 0:
            return f"{count} ({count // length} {unit})"
    return str(count)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]
