"""A log filter as a condition in SQL: source and search text (levels choose an index, see `log_queries`)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from .base import LogFilter
from .matching import storable

__all__ = ["Condition", "filter_condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that a line must meet besides its place, with its parameters."""

    sql: str = ""
    parameters: tuple[Any, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} {other.sql}", self.parameters + other.parameters)


def filter_condition(connection: sqlite3.Connection, filter: LogFilter) -> Condition | None:
    """Make the condition of source and search text; None where no line can meet it."""
    condition = Condition()
    if not storable(filter.source) or not storable(filter.search):
        return None
    if filter.source:
        found = connection.execute("SELECT id FROM sources WHERE name = ?", (filter.source,)).fetchone()
        if found is None:
            return None
        condition &= Condition("AND source = ?", found)
    if filter.search:
        condition &= _search(connection, filter.search)
    return condition


def _search(connection: sqlite3.Connection, search: str) -> Condition:
    """Make the condition that one of message, metadata, source holds the text, in whatever case.

    LIKE serves where both text and line are ASCII: there it ignores case and is fast. The columns of folded text serve
    the rest by instr, which takes every character as it is. A match of LIKE is right beyond ASCII too, so that it
    need not be told which lines it may look at. Most lines have neither metadata nor folded text: asking for NULL first
    saves three calls of a function for each of millions of lines, and 40 % of the time.
    """
    folded = search.casefold()
    parts = [f"{column} IS NOT NULL AND instr({column}, ?)" for column in ("folded_message", "folded_metadata")]
    parameters = [folded, folded]
    if folded.isascii() and "\0" not in folded:
        pattern = "%{}%".format(folded.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_"))
        parts = [r"message LIKE ? ESCAPE '\'", r"metadata IS NOT NULL AND metadata LIKE ? ESCAPE '\'", *parts]
        parameters = [pattern, pattern, *parameters]
    if connection.execute("SELECT 1 FROM sources WHERE instr(folded, ?) LIMIT 1", (folded,)).fetchone():
        parts.append("source IN (SELECT id FROM sources WHERE instr(folded, ?))")
        parameters.append(folded)
    return Condition(f"AND ({' OR '.join(parts)})", tuple(parameters))
