"""Stages of LogQL that leave just the lines which pass a filter, for counting them in Loki. Pure.

Levels and sources are those of `logql.counting`. A search is a substring of message, source or metadata in whatever
case: these are joined into one text, parted by a character that no one searches for.
"""

from __future__ import annotations

from typing import Final

from .base import LogFilter
from .logql import exact_levels, exact_source, quote

__all__ = ["stages"]

_PARTED: Final = "\x1f"
_JOINED: Final = f"{{{{__line__}}}}{_PARTED}{{{{.source}}}}{_PARTED}{{{{.metadata}}}}"


def stages(filter: LogFilter) -> str:
    """Write the stages; they follow a selector."""
    return exact_levels(filter) + exact_source(filter) + _search(filter.search)


def _search(search: str) -> str:
    if not search:
        return ""
    pattern = "(?i)" + "".join(map(_literal, search))
    return f" | line_format {quote(_JOINED)} |~ {quote(pattern)}"


def _literal(character: str) -> str:
    """Write one character so that a pattern means just it; half of a surrogate pair, which no line holds, as U+FFFD."""
    if character.isascii() and character.isalnum():
        return character
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"\\x{{{code:x}}}"
