"""Stages of LogQL that leave just the lines which pass a filter, for counting them in Loki. Pure.

A level is what a line says by any of its names, else what Loki found. A search is a substring of message, source or
metadata in whatever case: these are joined into one text, parted by a character that no one searches for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..levels import names_of
from ..model import LEVELS, Level
from .base import LogFilter
from .logql import quote

__all__ = ["stages"]

_PARTED: Final = "\x1f"
_JOINED: Final = f"{{{{__line__}}}}{_PARTED}{{{{.source}}}}{_PARTED}{{{{.metadata}}}}"
_DEFAULT_SOURCE: Final = "app"
_UNTOLD: Final[Level] = "info"
"""What a line is that says no level."""


def stages(filter: LogFilter) -> str:
    """Write the stages; they follow a selector."""
    return _levels(filter.levels) + _source(filter.source) + _search(filter.search)


def _levels(levels: frozenset[Level]) -> str:
    if not levels or len(levels) == len(LEVELS):
        return ""
    names = [name for level in LEVELS if level in levels for name in names_of(level)]
    found = [*names, *(("unknown", "") if _UNTOLD in levels else ())]
    return f' | level=~{_one_of(names)} or (level="" and detected_level=~{_one_of(found)})'


def _source(source: str) -> str:
    if not source:
        return ""
    either = ' or source=""' if source == _DEFAULT_SOURCE else ""
    return f" | source={quote(source)}{either}"


def _search(search: str) -> str:
    if not search:
        return ""
    pattern = "(?i)" + "".join(map(_literal, search))
    return f" | line_format {quote(_JOINED)} |~ {quote(pattern)}"


def _one_of(names: Iterable[str]) -> str:
    return quote(f"(?i)({'|'.join(''.join(map(_literal, name)) for name in names)})")


def _literal(character: str) -> str:
    """Write one character so that a pattern means just it; half of a surrogate pair, which no line holds, as U+FFFD."""
    if character.isascii() and character.isalnum():
        return character
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"\\x{{{code:x}}}"
