"""Whether a line passes a filter: the predicate that live streams use, and that every store's query agrees with."""

from __future__ import annotations

from collections.abc import Callable

from ..model import LogEntry
from .base import LogFilter

__all__ = ["compile_filter", "matches", "storable"]


def storable(text: str) -> bool:
    """Tell whether a line can hold the text: lone surrogates are replaced before it is kept."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def matches(filter: LogFilter, entry: LogEntry) -> bool:
    """Tell whether the line passes; for many lines `compile_filter` folds the search text once."""
    return compile_filter(filter)(entry)


def compile_filter(filter: LogFilter) -> Callable[[LogEntry], bool]:
    """Make the predicate of a filter: all conditions hold; the search text lies within one of three fields."""
    levels, source, search = filter.levels, filter.source, filter.search.casefold()

    def passes(entry: LogEntry) -> bool:
        if levels and entry.level not in levels:
            return False
        if source and entry.source != source:
            return False
        return not search or (
            search in entry.message.casefold()
            or search in entry.source.casefold()
            or (entry.metadata is not None and search in entry.metadata.casefold())
        )

    return passes
