"""Reading the fields of JSON objects, collecting everything that is wrong with them before anything is kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from .errors import BadInput, OutOfRange, Problem
from .model import ENVIRONMENT, ENVIRONMENT_RULE
from .times import format_instant, parse_instant

LATEST_NS: Final = 2**63 - 1


class Fields:
    """The fields of one object of a list. What is wrong is noted in `problems`, with the index and the field's name.

    A field that is null is absent. After a problem a reader returns its default: nothing of the list will be kept.
    """

    __slots__ = ("_index", "_item", "_problems")

    def __init__(self, item: Any, index: int | None, problems: list[Problem]) -> None:
        self._index = index
        self._problems = problems
        self._item: Mapping[str, Any] = item if isinstance(item, dict) else {}
        if not isinstance(item, dict):
            self.wrong("", f"expected an object, got {shown(item)}")
            # That says it all: what its fields lack is nobody's concern.
            self._problems = []

    def wrong(self, name: str, message: str, *, out_of_range: bool = False) -> None:
        self._problems.append(Problem(name, message, self._index, out_of_range))

    def get(self, name: str, alias: str = "") -> Any:
        value = self._item.get(name)
        return self._item.get(alias) if value is None and alias else value

    def text(self, name: str, default: Any = None, *, longest: int = 256, required: bool = False) -> Any:
        """Return a text of 1 to `longest` characters, `default` where it is absent or empty."""
        value = self._item.get(name)
        if value is None or (value == "" and not required):
            if required:
                self.wrong(name, "is missing; expected text")
            return default
        if not isinstance(value, str):
            self.wrong(name, f"expected text, got {shown(value)}")
            return default
        if len(value) > longest:
            self.wrong(name, f"expected at most {longest} characters, got {len(value)}", out_of_range=True)
            return default
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> Any:
        """Return one of `choices`; without a default it is required."""
        value = self._item.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.wrong(name, f"is missing; expected {', '.join(choices)}")
        elif not isinstance(value, str) or value not in choices:
            near = nearest(value, choices) if isinstance(value, str) else ""
            self.wrong(name, f"expected {', '.join(choices)}, got {shown(value)}{near}")
        else:
            return value
        return default or choices[0]

    def number(self, name: str, *, most: float, required: bool = False, whole: bool = False) -> Any:
        """Return a number from 0 to `most`, None where it is absent."""
        value = self._item.get(name)
        if value is None:
            if required:
                self.wrong(name, f"is missing; expected a number from 0 to {most:.0f}")
            return None
        kind = "a whole number" if whole else "a number"
        right = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
        if not right or not 0 <= value <= most:
            self.wrong(name, f"expected {kind} from 0 to {most:.0f}, got {shown(value)}", out_of_range=right)
            return None
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._item.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(name, f"expected true or false, got {shown(value)}")
        return None

    def instant(self, name: str, now_ns: int) -> int:
        """Return an ISO 8601 instant in nanoseconds, now where it is absent."""
        value = self._item.get(name)
        if value is None or value == "":
            return now_ns
        if not isinstance(value, str):
            self.wrong(name, f"expected ISO 8601 such as 2026-01-31T12:00:00Z, got {shown(value)}")
            return now_ns
        try:
            instant = parse_instant(value, name="")
        except BadInput as error:
            self.wrong(name, error.message.removeprefix(": "))
            return now_ns
        if not 0 <= instant <= LATEST_NS:
            last = format_instant(LATEST_NS)[:4]
            self.wrong(name, f"expected an instant from 1970 to {last}, got {shown(value)}", out_of_range=True)
            return now_ns
        return instant

    def environment(self, default: str) -> str:
        value = self._item.get("environment")
        if value is None or value == "":
            return default
        if not isinstance(value, str) or ENVIRONMENT.fullmatch(value) is None:
            self.wrong("environment", f"expected {ENVIRONMENT_RULE}, got {shown(value)}")
            return default
        return value


def listed(body: Any, wrapper: str, what: str) -> tuple[list[Any], bool]:
    """Return the items of a body that is one object, a list or `{wrapper: [...]}`, and whether it was a list."""
    if isinstance(body, list):
        return body, True
    if isinstance(body, dict) and isinstance(body.get(wrapper), list):
        return body[wrapper], True
    if isinstance(body, dict):
        return [body], False
    raise BadInput(f"expected {what} as an object, a list, or {{{wrapper!r}: [...]}}, got {shown(body)}")


def refuse(problems: Sequence[Problem], what: str, count: int) -> None:
    """Raise BadInput, or OutOfRange where all is well-formed, for what is wrong in a list of `count` items."""
    if not problems:
        return
    first = problems[0]
    at = f"{what}[{first.index}]" if first.index is not None else ""
    place = ".".join(part for part in (at, first.field) if part)
    message = f"{place}: {first.message}" if place else first.message
    if count > 1:
        wrong = len({problem.index for problem in problems})
        message = f"{wrong} of {count} {what} are wrong and none was kept; {message}"
    kind = OutOfRange if all(problem.out_of_range for problem in problems) else BadInput
    raise kind(message, problems=problems)


def nearest(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant, as the end of a sentence; "" where nothing is near."""
    names = list(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, 1, 0.5) or [
        name for name in folded if word and name.startswith(word.lower())
    ]
    return f"; did you mean {folded[near[0]]}?" if near else ""


def shown(value: Any) -> str:
    """Name a JSON value for a message, short."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return repr(value if len(value) <= 60 else value[:60] + "…")
        case orjson.Fragment():
            return orjson.dumps(value).decode()[:60]
        case _:
            return str(value)[:60]
