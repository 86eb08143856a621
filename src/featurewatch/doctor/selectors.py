"""Which series a query reads: the selectors in PromQL and LogQL, found without understanding the rest. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Selector", "filters", "fits", "selectors_of", "streams_of"]

_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
    r"""|(?P<number>\[[^\]]*\]|\d[\w.]*)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<mark>=~|!~|!=|==|<=|>=|.)""",
    re.DOTALL,
)
_WORDS: Final = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "Inf", "NaN"})
_LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_OPERATORS: Final = frozenset({"=", "!=", "=~", "!~"})
_COMPARED: Final = frozenset({">", "<", ">=", "<=", "==", "!="})


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of a name (or of none) whose labels fit: (label, operator, value) each."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()

    def __str__(self) -> str:
        conditions = ",".join(f"{label}{operator}{_quoted(value)}" for label, operator, value in self.matchers)
        return f"{self.name}{{{conditions}}}" if conditions else self.name

    @property
    def required(self) -> tuple[str, ...]:
        """Labels that a series must have to be selected."""
        return tuple(
            label
            for label, operator, value in self.matchers
            if label != "__name__" and operator in ("=", "=~") and not fits(operator, value, "")
        )


def selectors_of(expression: str) -> list[Selector]:
    """Find the selectors of a PromQL expression, each once; nothing is raised for what is no PromQL."""
    tokens = _tokens(expression)
    found: dict[Selector, None] = {}
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and token in _LISTS:
            at = _behind(tokens, at + 1) if following == "(" else at + 1
        elif kind == "name" and (token in _WORDS or following == "(" or following in _LISTS):
            at += 1
        elif token == "{" or kind == "name":
            name = token if kind == "name" else ""
            matchers: tuple[tuple[str, str, str], ...] = ()
            at += kind == "name"
            if at < len(tokens) and tokens[at][1] == "{":
                matchers, at = _matchers(tokens, at + 1)
            found[Selector(name, matchers)] = None
        elif token == "@":
            at += 2
        else:
            at += 1
    return list(found)


def streams_of(expression: str) -> list[Selector]:
    """Find the stream selectors of a LogQL expression."""
    tokens = _tokens(expression)
    found: dict[Selector, None] = {}
    for at, (_, token) in enumerate(tokens):
        if token == "{":
            matchers, _ = _matchers(tokens, at + 1)
            if matchers:
                found[Selector("", matchers)] = None
    return list(found)


def filters(expression: str) -> bool:
    """Whether an expression compares with something else than `> 0`, and so may rightly come to nothing."""
    tokens = _tokens(expression)
    depth = 0
    for at, (_, token) in enumerate(tokens):
        depth += (token == "{") - (token == "}")
        if not depth and token in _COMPARED:
            rest = [text for _, text in tokens[at + 1 : at + 3]]
            if token != ">" or not rest or rest[0] not in ("0", "0.0"):
                return True
    return False


def _tokens(expression: str) -> list[tuple[str, str]]:
    return [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(expression) if found.lastgroup != "skip"]


def _behind(tokens: list[tuple[str, str]], at: int) -> int:
    """Return the place behind the list in parentheses that begins at `at`."""
    while at < len(tokens) and tokens[at][1] != ")":
        at += 1
    return at + 1


def _matchers(tokens: list[tuple[str, str]], at: int) -> tuple[tuple[tuple[str, str, str], ...], int]:
    found = []
    while at < len(tokens) and tokens[at][1] != "}":
        part = tokens[at : at + 3]
        if len(part) == 3 and part[1][1] in _OPERATORS and part[2][0] == "text":
            found.append((part[0][1], part[1][1], _unquoted(part[2][1])))
            at += 3
        else:
            at += 1
    return tuple(found), at + 1


def fits(operator: str, value: str, told: str) -> bool:
    """Whether a matcher takes what a label says, "" where it is absent; a pattern that cannot be read takes it."""
    if operator in ("=", "!="):
        return (told == value) is (operator == "=")
    try:
        return (re.fullmatch(value, told) is not None) is (operator == "=~")
    except re.error:
        return True


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1])


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
