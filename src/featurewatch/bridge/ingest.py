"""Lines, calls and test results told as JSON: parsed and checked whole before any of them is kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from ..errors import BadInput, Forbidden, Problem, TooLarge
from ..families import TOKEN_KINDS
from ..fields import Fields, listed, refuse, shown
from ..ids import new_id
from ..levels import parse_level
from ..model import FEATURE_ID, FEATURE_ID_RULE, LEVELS, OUTCOMES, CallReport, FeatureKey, Level, LogEntry

LONGEST_CALL_MS: Final = 7 * 86_400_000.0
MOST_TOKENS: Final = 1e12
MOST_USD: Final = 1e9
LONGEST_MESSAGE: Final = 16_384
MOST_RESULTS: Final = 1000
DEEPEST_METADATA: Final = 100
"""Levels of nesting; the encoder refuses above 254, with those of the answer around them."""

_PASSED: Final = {"passed": True, "pass": True, "success": True, "failed": False, "fail": False, "failure": False}


@dataclass(frozen=True, slots=True)
class Told:
    """What items that leave something out get: the environment, now, and the limit of a line in bytes."""

    environment: str
    now_ns: int
    max_line_bytes: int = 256 * 1024
    make_id: Callable[[], str] = new_id


@dataclass(frozen=True, slots=True)
class TestResult:
    """One result of a test of a feature; `data` is what the event shows."""

    __test__ = False

    id: str | None
    environment: str
    timestamp_ns: int
    data: dict[str, Any]


def parse_lines(body: Any, told: Told) -> list[LogEntry]:
    """Read one line, a list of them, or `{"logs": [...]}`.

    Raises:
        BadInput: something is wrong with one of them; `problems` names each by index and field.
    """
    items, many = listed(body, "logs", "log lines")
    problems: list[Problem] = []
    entries = [_line(Fields(item, at if many else None, problems), told) for at, item in enumerate(items)]
    refuse(problems, "logs", len(items))
    return entries


def parse_calls(body: Any, told: Told) -> list[tuple[str, CallReport]]:
    """Read one finished call, a list, or `{"requests": [...]}`; each with its environment."""
    items, many = listed(body, "requests", "calls")
    problems: list[Problem] = []
    calls = [_call(Fields(item, at if many else None, problems), told) for at, item in enumerate(items)]
    refuse(problems, "requests", len(items))
    return calls


def parse_test_results(body: Any, told: Told) -> list[TestResult]:
    """Read one test result, a list, or `{"results": [...]}`."""
    items, many = listed(body, "results", "test results")
    if len(items) > MOST_RESULTS:
        raise TooLarge(f"expected at most {MOST_RESULTS} test results in one request, got {len(items)}")
    problems: list[Problem] = []
    results = [_test_result(Fields(item, at if many else None, problems), told) for at, item in enumerate(items)]
    refuse(problems, "results", len(items))
    return results


def cut(message: str, most: int) -> str:
    """Cut a text to `most` bytes of UTF-8, with a mark that says how long it was."""
    if len(message) * 4 <= most:
        return message
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= most:
        return message
    mark = f"… [cut, {len(encoded)} bytes]"
    return encoded[: most - len(mark.encode())].decode("utf-8", "ignore") + mark


def cut_line(entry: LogEntry, most: int) -> LogEntry:
    """Cut a line's message to `most` bytes, where it is longer."""
    return entry if len(entry.message) * 4 <= most else entry._replace(message=cut(entry.message, most))


def allow_features(keys: Iterable[FeatureKey], sees: Callable[[str], bool]) -> None:
    """Refuse to write for features that the caller may not see.

    Raises:
        Forbidden: it may not write for one of them.
    """
    for feature in sorted({key.feature for key in keys}):
        if not sees(feature):
            raise Forbidden(f"this token may not write for feature {feature!r}")


def _line(fields: Fields, told: Told) -> LogEntry:
    message = fields.text("message", "", longest=told.max_line_bytes * 64, required=True)
    return LogEntry(
        id=fields.text("id", longest=128) or told.make_id(),
        feature=_feature(fields),
        environment=fields.environment(told.environment),
        timestamp_ns=fields.instant("timestamp", told.now_ns),
        level=_level(fields),
        message=cut(message, told.max_line_bytes),
        source=fields.text("source", "app", longest=128),
        metadata=_metadata(fields, told.max_line_bytes),
        trace_id=fields.text("trace_id", longest=128),
        user_id=fields.text("user_id", longest=256),
    )


def _feature(fields: Fields) -> str:
    value, other = fields.get("feature_id"), fields.get("featureId")
    if value is not None and other is not None and value != other:
        fields.wrong("feature_id", f"featureId says {shown(other)} and feature_id {shown(value)}; send one")
    value = other if value is None else value
    if value is None:
        fields.wrong("feature_id", "is missing; expected the feature's id")
    elif not isinstance(value, str) or FEATURE_ID.fullmatch(value) is None:
        fields.wrong("feature_id", f"expected {FEATURE_ID_RULE}, got {shown(value)}")
    else:
        return value
    return ""


def _level(fields: Fields) -> Level:
    value = fields.get("level")
    if value is None or value == "":
        return "info"
    if not isinstance(value, str):
        fields.wrong("level", f"expected {', '.join(LEVELS)}, got {shown(value)}")
        return "info"
    try:
        return parse_level(value)
    except BadInput as error:
        fields.wrong("level", error.message.removeprefix("level: "))
        return "info"


def _metadata(fields: Fields, most: int) -> str | None:
    value = _metadata_object(fields)
    if value is None:
        return None
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        fields.wrong("metadata", f"expected what JSON can hold ({error})")
        return None
    if len(text) * 4 > most and len(text.encode()) > most:
        fields.wrong("metadata", f"expected at most {most} bytes of JSON, got {len(text.encode())}", out_of_range=True)
    return text


def _metadata_object(fields: Fields) -> dict[str, Any] | None:
    value = fields.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        fields.wrong("metadata", f"expected an object, got {shown(value)}")
        return None
    if _deeper(value, DEEPEST_METADATA):
        fields.wrong("metadata", f"expected at most {DEEPEST_METADATA} levels of nesting, got more", out_of_range=True)
        return None
    return value


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _call(fields: Fields, told: Told) -> tuple[str, CallReport]:
    milliseconds = fields.number("duration_ms", most=LONGEST_CALL_MS, required=True)
    first_token = fields.number("time_to_first_token_ms", most=LONGEST_CALL_MS)
    report = CallReport(
        id=fields.text("id", longest=128),
        timestamp_ns=fields.instant("timestamp", told.now_ns),
        outcome=cast(Any, fields.choice("outcome", OUTCOMES)),
        duration_s=(milliseconds or 0) / 1000,
        error_type=fields.text("error_type", longest=128),
        time_to_first_token_s=None if first_token is None else first_token / 1000,
        model=fields.text("model", longest=128),
        tokens=_tokens(fields),
        cost_usd=fields.number("cost_usd", most=MOST_USD),
    )
    return fields.environment(told.environment), report


def _tokens(fields: Fields) -> dict[str, int]:
    value = fields.get("tokens")
    if value is None:
        return {}
    if not isinstance(value, dict):
        fields.wrong("tokens", f"expected an object such as {{'input': 812, 'output': 120}}, got {shown(value)}")
        return {}
    problems: list[Problem] = []
    inner = Fields(value, None, problems)
    counts = {kind: inner.number(kind, most=MOST_TOKENS, whole=True) for kind in TOKEN_KINDS}
    for problem in problems:
        fields.wrong(f"tokens.{problem.field}", problem.message, out_of_range=problem.out_of_range)
    return {kind: count for kind, count in counts.items() if count is not None}


def _test_result(fields: Fields, told: Told) -> TestResult:
    passed = _passed(fields)
    data: dict[str, Any] = {
        "name": fields.text("name", "", required=True),
        "passed": passed,
        "status": "passed" if passed else "failed",
    }
    optional = {
        "duration_ms": fields.number("duration_ms", most=LONGEST_CALL_MS),
        "message": fields.text("message", longest=LONGEST_MESSAGE),
        "suite": fields.text("suite"),
        "version": fields.text("version"),
        "url": fields.text("url", longest=2048),
        "metadata": _metadata_object(fields),
    }
    data |= {name: value for name, value in optional.items() if value is not None}
    return TestResult(
        id=fields.text("id", longest=128),
        environment=fields.environment(told.environment),
        timestamp_ns=fields.instant("timestamp", told.now_ns),
        data=data,
    )


def _passed(fields: Fields) -> bool:
    for name in ("passed", "ok"):
        if fields.get(name) is not None:
            return bool(fields.boolean(name))
    status = fields.get("status")
    if status is None:
        fields.wrong("passed", "is missing; expected true or false")
        return False
    known = _PASSED.get(status.lower()) if isinstance(status, str) else None
    if known is None:
        fields.wrong("status", f"expected passed or failed, got {shown(status)}; leave skipped tests out")
    return bool(known)
