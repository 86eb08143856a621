"""Reading PromQL: as much of it as alerting rules on counters and histograms are written in. Pure.

https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeAlias

__all__ = ["Aggregation", "Binary", "Call", "NotRead", "Number", "Selector", "parse", "seconds"]


class NotRead(ValueError):
    """The expression is not understood; the text says what of it."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of a name. `matchers` are (label, operator, value); `range_s` is set where it is a range."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()
    range_s: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`by` None: over all labels."""

    operator: str
    inner: Expr
    by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expr
    right: Expr


Expr: TypeAlias = Number | Selector | Call | Aggregation | Binary

_TOKEN: Final = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*(?:
        (?P<number>0x[0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<mark>==|!=|=~|!~|>=|<=|[-+*/%^(){}\[\],=<>@])
    )""",
    re.VERBOSE,
)
_PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_AGGREGATIONS: Final = frozenset({"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"})
_PARAMETRIC: Final = frozenset({"topk", "bottomk", "quantile", "count_values"})
_COMPARED: Final = ("==", "!=", ">", "<", ">=", "<=")
_LEVELS: Final = (("or",), ("and", "unless"), _COMPARED, ("+", "-"), ("*", "/", "%", "atan2"))
"""From what binds least; a power binds most and is not read."""
_MODIFIERS: Final = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "offset"})
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_DEEPEST: Final = 40


def parse(text: str) -> Expr:
    """Read an expression.

    Raises:
        NotRead: it is none, or one of a kind that is not read.
    """
    return _Parser(text).whole()


def seconds(duration: str) -> float:
    """Read a duration such as 5m or 1h30m.

    Raises:
        NotRead: it is none.
    """
    parts = _PART.findall(duration)
    if "".join(count + unit for count, unit in parts) != duration or not parts:
        raise NotRead(f"{duration[:40]!r} is no duration")
    return float(sum(int(count) * _UNIT_S[unit] for count, unit in parts))


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        stripped = text.rstrip()
        while at < len(stripped):
            match = _TOKEN.match(stripped, at)
            if match is None or match.lastgroup is None:
                if stripped[at:].lstrip().startswith("#"):
                    break
                raise NotRead(f"{stripped[at : at + 20]!r} is not PromQL")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._at = 0
        self._depth = 0

    def whole(self) -> Expr:
        found = self._level(0)
        if self._at < len(self._tokens):
            self._stop(f"{self._tokens[self._at][1]!r} comes where the expression should end")
        return found

    def _level(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        self._depth += level == 0
        if self._depth > _DEEPEST:
            self._stop("it is nested too deep")
        left = self._level(level + 1)
        while self._peek() in _LEVELS[level]:
            operator = self._next()
            modifier = self._peek()
            if modifier in _MODIFIERS:
                self._stop(f"'{operator} {modifier}' is more than a comparison or a plain calculation")
            left = Binary(operator, left, self._level(level + 1))
        self._depth -= level == 0
        return left

    def _unary(self) -> Expr:
        if self._peek() == "-":
            self._next()
            inner = self._postfix(self._primary())
            return Number(-inner.value) if isinstance(inner, Number) else Binary("*", Number(-1.0), inner)
        if self._peek() == "+":
            self._next()
        return self._postfix(self._primary())

    def _primary(self) -> Expr:
        kind, text = self._take()
        if kind == "number":
            return Number(float(int(text, 16)) if text.startswith("0x") else float(text))
        if text == "(":
            inner = self._level(0)
            self._expect(")")
            return inner
        if text == "{":
            self._at -= 1
            return self._selector("")
        if kind != "name":
            self._stop(f"{text!r} comes where a value should be")
        if text in _PARAMETRIC:
            self._stop(f"{text}() chooses among series")
        if text.lower() in ("inf", "nan"):
            return Number(float(text))
        if text in _AGGREGATIONS and self._peek() in ("(", "by", "without"):
            return self._aggregation(text)
        if self._peek() == "(":
            return Call(text, self._arguments())
        return self._selector(text)

    def _postfix(self, inner: Expr) -> Expr:
        while self._peek() in ("[", "offset", "@"):
            mark = self._next()
            if mark != "[" or not isinstance(inner, Selector):
                self._stop("a subquery, an offset or @ is not read" if mark == "[" else f"{mark} is not read")
            kind, text = self._take()
            if kind != "duration" or self._peek() != "]":
                self._stop("a range is expected to be a duration such as [5m]")
            self._next()
            inner = replace(inner, range_s=seconds(text))
        return inner

    def _aggregation(self, operator: str) -> Expr:
        by = self._grouping()
        arguments = self._arguments()
        by = by if by is not None else self._grouping()
        if len(arguments) != 1:
            self._stop(f"{operator}() takes one argument")
        return Aggregation(operator, arguments[0], by)

    def _grouping(self) -> tuple[str, ...] | None:
        if self._peek() == "without":
            self._stop("'without' leaves labels that are not known here")
        if self._peek() != "by":
            return None
        self._next()
        self._expect("(")
        names: list[str] = []
        while self._peek() != ")":
            names.append(self._next())
            if self._peek() == ",":
                self._next()
        self._next()
        return tuple(names)

    def _arguments(self) -> tuple[Expr, ...]:
        self._expect("(")
        found: list[Expr] = []
        while self._peek() != ")":
            found.append(self._level(0))
            if self._peek() == ",":
                self._next()
            elif self._peek() != ")":
                self._expect(")")
        self._next()
        return tuple(found)

    def _selector(self, name: str) -> Selector:
        matchers: list[tuple[str, str, str]] = []
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                label, operator = self._next(), self._next()
                kind, value = self._take()
                if kind != "string" or operator not in ("=", "!=", "=~", "!~"):
                    self._stop('a matcher is expected to be like label="value"')
                if label == "__name__" and operator == "=":
                    name = _unquoted(value)
                else:
                    matchers.append((label, operator, _unquoted(value)))
                if self._peek() == ",":
                    self._next()
            self._next()
        return Selector(name, tuple(matchers))

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            self._stop("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _next(self) -> str:
        return self._take()[1]

    def _expect(self, mark: str) -> None:
        found = self._next()
        if found != mark:
            self._stop(f"expected {mark!r}, got {found!r}")

    def _stop(self, reason: str) -> NoReturn:
        raise NotRead(reason)


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", _unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    told = match[1]
    if len(told) > 1:
        code = int(told[1:], 16)
        return chr(code) if code < 0x110000 else "\ufffd"
    return _ESCAPES.get(told, told)
