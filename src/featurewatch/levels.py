"""The names by which the world calls the five levels."""

from __future__ import annotations

from typing import Final

from .errors import BadInput
from .model import LEVELS, Level

__all__ = ["parse_level"]

_ALIASES: Final[dict[Level, str]] = {
    "debug": "trace verbose fine finest all dbg",
    "info": "information informational notice success inf",
    "warn": "warning wrn",
    "error": "err severe eror",
    "fatal": "critical crit alert emerg emergency panic ftl",
}
_BY_NAME: Final[dict[str, Level]] = {
    name: level for level in LEVELS for name in (level, *_ALIASES[level].split())
}  # fmt: skip


def parse_level(text: str) -> Level:
    """Read a level by its own name or another system's (WARNING, critical, trace, notice …), in whatever case.

    Raises:
        BadInput: it is none of them.
    """
    level = _BY_NAME.get(text) or _BY_NAME.get(text.strip().lower())
    if level is None:
        shown = repr(text if len(text) <= 40 else text[:40] + "…")
        raise BadInput(f"level: expected {', '.join(LEVELS)}, got {shown}")
    return level
