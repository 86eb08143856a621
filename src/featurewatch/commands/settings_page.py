"""The page of all settings, made from the code that reads them, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ..exporter.config import Config
from ..settings import COMMAND_NAMES, DURATIONS, PREFIX, Settings
from ..settings_alerting import Alerting
from ..settings_explain import bounds, shown

__all__ = ["page"]


_HEAD: Final = """\
# Settings

<!-- Made by python -m featurewatch.commands.generated; edit the descriptions in the code. -->

Everything is set by environment variables. Durations are seconds or text such as `5s`, `15m`, `24h`, `30d`; lists are
separated by commas; sizes are whole numbers of bytes. The bridge refuses a wrong value at its start, with what was
expected and what came, and warns about a variable that begins with `FEATUREWATCH_` and is none of these, with the
nearest name. An app is never stopped: the exporter tells a wrong or mistyped variable in the app's log and ignores it.
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
    limits = bounds(field)
    low = limits.get("ge", limits.get("gt"))
    high = limits.get("le", limits.get("lt"))
    match low is not None, high is not None:
        case True, True:
            span = f"{'above ' if 'gt' in limits else ''}{_shown(name, low)} to {_shown(name, high)}"
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
    return shown(name, value, duration=name in DURATIONS or name in ("push_interval", "exit_timeout"))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]
