"""How a log line looks in a terminal, and what a terminal must not get from one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TextIO

from rich.console import Console
from rich.text import Text

__all__ = ["Printer", "plain"]

_STYLES: Final = {"debug": "dim", "info": "cyan", "warn": "yellow", "error": "bold red", "fatal": "bold white on red"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move a cursor, change colours or reorder text: a line must not draw another program's screen."""


class Printer:
    """Prints lines to one stream and notes about the stream itself to another; colours where it is a terminal."""

    def __init__(self, out: TextIO, notes: TextIO, *, as_json: bool = False) -> None:
        self._out = out
        self._as_json = as_json
        self._console = Console(file=out, highlight=False, soft_wrap=True) if out.isatty() else None
        self._notes = Console(file=notes, highlight=False, soft_wrap=True, markup=False)
        self.interrupted = False

    def line(self, entry: Mapping[str, Any]) -> None:
        """Print one line, at once."""
        if self._as_json:
            self._out.write(
                json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode() + "\n"
            )
        elif self._console is None:
            self._out.write(plain(entry) + "\n")
        else:
            self._console.print(_styled(entry))
        self._out.flush()

    def note(self, text: str) -> None:
        """Print something about the stream."""
        self._notes.print(f"-- {_clean(text)}", style="magenta")


def plain(entry: Mapping[str, Any]) -> str:
    """Write a line as text: local time, level, source, message; what follows a line break is indented."""
    message = _clean(str(entry.get("message", ""))).replace("\n", "\n    ")
    return f"{_time(entry)} {_level(entry)} {_clean(str(entry.get('source', '')))}: {message}{_more(entry)}"


def _styled(entry: Mapping[str, Any]) -> Text:
    style = _STYLES.get(str(entry.get("level")), "")
    message = _clean(str(entry.get("message", ""))).replace("\n", "\n    ")
    return Text.assemble(
        (_time(entry), "dim"), " ", (_level(entry), style), " ", (_clean(str(entry.get("source", ""))), "blue"), ": ",
        (message, "bold" if entry.get("level") in ("error", "fatal") else ""), (_more(entry), "dim"),
    )  # fmt: skip


def _level(entry: Mapping[str, Any]) -> str:
    return _clean(str(entry.get("level", ""))).upper().ljust(5)


def _time(entry: Mapping[str, Any]) -> str:
    told = str(entry.get("timestamp", ""))
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", told)).astimezone()
    except ValueError:
        return _clean(told)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _more(entry: Mapping[str, Any]) -> str:
    metadata = entry.get("metadata")
    found = dict(metadata) if isinstance(metadata, Mapping) else {}
    found |= {name: entry[name] for name in ("trace_id", "user_id") if entry.get(name)}
    shown = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in found.items()]
    return "  " + _clean(" ".join(shown)).replace("\n", "\\n") if shown else ""


def _clean(text: str) -> str:
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
