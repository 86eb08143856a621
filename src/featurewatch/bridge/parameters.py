"""The parameters of queries: one table for reading, checking and documenting them.

A name that an endpoint does not know is refused with the nearest that it does: a filter that is misspelt and
ignored would show too much. Names that caches and campaigns append (`_`, `utm_*`) pass unread.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import BadInput, OutOfRange
from ..levels import parse_level
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, FEATURE_ID, FEATURE_ID_RULE, LEVELS, Level
from ..stores.base import LogFilter
from ..times import parse_duration, parse_instant

LONGEST_TEXT: Final = 4096
"""Characters of one parameter; a search longer than this finds nothing that a shorter one does not."""

INSTANT_BOUND: Final = 2**63 - 1
"""Nanoseconds: instants from 1970 to 2262, what a signed 64-bit column holds."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: its name, what it means, an example, its JSON schema and other spellings."""

    name: str
    help: str
    example: Any = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    aliases: tuple[str, ...] = ()
    required: bool = False

    def openapi(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "name": self.name,
            "in": "query",
            "required": self.required,
            "description": self.help,
            "schema": dict(self.schema),
        }
        return shown if self.example is None else {**shown, "example": self.example}


FEATURE: Final = Parameter(
    "feature_id", "The feature; `featureId` means the same.", "summarize", aliases=("featureId",), required=True
)
FEATURES: Final = Parameter(
    "feature_id",
    "Only these features, separated by commas or repeated; without it all that the caller may see.",
    "summarize,chat",
    aliases=("featureId",),
)
ENVIRONMENT_PARAMETER: Final = Parameter(
    "environment",
    "The environment. Without it production if the feature has it, else staging, else what there is; the answer "
    "names it.",
    "production",
)
TIME_RANGE: Final = Parameter("time_range", "The window that ends now: 30s, 5m, 24h, 7d.", "5m")
UNKNOWN: Final = Parameter(
    "unknown",
    "`zero` sends 0 for figures that cannot be known, for UIs that cannot take null.",
    "null",
    {"type": "string", "enum": ["null", "zero"]},
)
START: Final = Parameter("start_time", "From here on, ISO 8601, inclusive.", "2026-01-31T12:00:00Z")
END: Final = Parameter("end_time", "Up to here, ISO 8601, exclusive.", "2026-01-31T13:00:00Z")
LEVELS_PARAMETER: Final = Parameter(
    "levels", f"Only these levels, separated by commas: {', '.join(LEVELS)}.", "warn,error", aliases=("level",)
)
SOURCE: Final = Parameter("source", "Only lines of this source.", "app")
SEARCH: Final = Parameter(
    "search", "Only lines whose message, source or metadata contain this text, in any case.", "timeout"
)
LIMIT: Final = Parameter(
    "limit",
    "How many lines at most: 1 to 5000, 1000 by default.",
    100,
    {"type": "integer", "minimum": 1, "maximum": 5000, "default": 1000},
)
CURSOR: Final = Parameter("cursor", "Where the last page ended: its `next_cursor`.")
DIRECTION: Final = Parameter(
    "direction",
    "`forward`: oldest first; `backward`: newest first. Without it the newest lines, oldest first.",
    "backward",
    {"type": "string", "enum": ["forward", "backward"]},
)
TICKET: Final = Parameter("ticket", "A ticket from POST /tickets, for clients that can send no header.")

LOG_FILTER: Final = (LEVELS_PARAMETER, SOURCE, SEARCH)
FIGURES: Final = (ENVIRONMENT_PARAMETER, TIME_RANGE, UNKNOWN)


class Query:
    """The parameters of one request, by their main names; an empty one is absent.

    Raises:
        BadInput: a name is not known, or a text is too long.
    """

    def __init__(self, given: Iterable[tuple[str, str]], known: Sequence[Parameter]) -> None:
        names = {spelling: parameter.name for parameter in known for spelling in (parameter.name, *parameter.aliases)}
        self._values: dict[str, list[str]] = {}
        for name, value in given:
            if name not in names:
                if name == "_" or name.startswith("utm_"):
                    continue
                raise BadInput(_unknown(name, names))
            if len(value) > LONGEST_TEXT:
                raise BadInput(f"{name}: expected at most {LONGEST_TEXT} characters, got {len(value)}")
            if value.strip():
                self._values.setdefault(names[name], []).append(value)

    def text(self, name: str) -> str:
        """Return a parameter, "" where it is absent; of one given twice the last counts."""
        return self._values.get(name, [""])[-1]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the parts of a parameter that is separated by commas or repeated, each once, in order."""
        parts = (part.strip() for value in self._values.get(name, ()) for part in value.split(","))
        return tuple(dict.fromkeys(part for part in parts if part))

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name).strip().lower() or default
        if value not in choices and value != default:
            raise BadInput(f"{name}: expected {' or '.join(choices)}, got {_shown(value)}{_near(value, choices)}")
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number; OutOfRange outside low..high, BadInput where it is none."""
        text = self.text(name).strip()
        if not text:
            return default
        digits = text.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()):
            raise BadInput(f"{name}: expected a whole number from {low} to {high}, got {_shown(text)}")
        value = int(text) if len(digits) <= 18 else high + 1
        if not low <= value <= high:
            raise OutOfRange(f"{name}: expected a whole number from {low} to {high}, got {_shown(text)}")
        return value

    def seconds(self, name: str, default: float, *, at_most: float = 400 * 86_400, bare: bool = False) -> float:
        """Return a duration in seconds; `bare`: a number without a unit means seconds, as in Prometheus."""
        text = self.text(name).strip()
        if bare and text.isascii() and text.isdigit():
            text += "s"
        return parse_duration(text, name=name, at_most=at_most) if text else default

    def instant(self, name: str) -> int | None:
        """Return an instant in nanoseconds, None where absent; one before 1970 or after 2262 becomes that bound."""
        text = self.text(name)
        # A space is what a form-decoding leaves of the plus sign of a zone that was not escaped.
        return None if not text else min(max(parse_instant(_plus(text), name=name), 0), INSTANT_BOUND)

    def span(self, now_ns: int) -> tuple[int | None, int | None]:
        """Return (start, end) from `start_time` and `end_time`, or from a `time_range` that ends at the end or now."""
        start, end = self.instant("start_time"), self.instant("end_time")
        if start is None and self.text("time_range"):
            start = max(0, (now_ns if end is None else end) - int(self.seconds("time_range", 0) * 1e9))
        if start is not None and end is not None and start > end:
            raise BadInput(f"start_time is later than end_time: {self.text('start_time')} > {self.text('end_time')}")
        return start, end

    def environment(self) -> str:
        """Return the environment asked for, "" where none is.

        Raises:
            BadInput: it cannot be a name of one.
        """
        value = self.text("environment").strip()
        if value and ENVIRONMENT.fullmatch(value) is None:
            raise BadInput(f"environment: expected {ENVIRONMENT_RULE}, got {_shown(value)}")
        return value

    def feature(self) -> str:
        """Return the one feature asked for; BadInput where it is missing or cannot be one."""
        value = self.text("feature_id").strip()
        if not value:
            raise BadInput("feature_id is missing: say which feature, such as ?feature_id=summarize")
        return feature_id(value)

    def levels(self) -> frozenset[Level]:
        chosen: set[Level] = set()
        for text in self.texts("levels"):
            try:
                chosen.add(parse_level(text))
            except BadInput:
                near = _near(text.lower(), LEVELS)
                raise BadInput(f"levels: expected {', '.join(LEVELS)}, got {_shown(text)}{near}") from None
        return frozenset(chosen)

    def log_filter(self) -> LogFilter:
        return LogFilter(self.levels(), self.text("source"), self.text("search"))


def feature_id(value: str) -> str:
    """Check that a text can be a feature's id."""
    if FEATURE_ID.fullmatch(value) is None:
        raise BadInput(f"feature_id: expected {FEATURE_ID_RULE}, got {_shown(value)}")
    return value


def nearest(value: str, names: Iterable[str]) -> str:
    """Return the name that was probably meant: one that is similar, or that begins so; "" where none is."""
    known = list(names)
    near = difflib.get_close_matches(value, known, 1) or [name for name in known if value and name.startswith(value)]
    return near[0] if near else ""


def _unknown(name: str, names: Mapping[str, str]) -> str:
    near = nearest(name, names)
    if near:
        return f"{_shown(name)} is not a parameter here; did you mean {near}?"
    listed = ", ".join(dict.fromkeys(names.values()))
    return f"{_shown(name)} is not a parameter here; " + (f"known are {listed}" if listed else "none is")


def _near(value: str, choices: Sequence[str]) -> str:
    near = nearest(value, choices)
    return f"; did you mean {near}?" if near else ""


def _plus(text: str) -> str:
    head, space, tail = text.rpartition(" ")
    return f"{head}+{tail}" if space and "T" in head and tail[:1].isdigit() else text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
