"""Log lines as they wait, and what is sent of them. Pure; what costs time happens off the calling thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ..ids import new_ids
from ..model import FeatureKey, Level
from ..times import NS

LINE_BYTES: Final = 256 * 1024
"""Loki's limit for a line; a longer one is cut with a mark."""

_SURELY_SHORT: Final = LINE_BYTES // 4
"""So many characters are within the limit in any script."""

METADATA_BYTES: Final = 60 * 1024
"""Loki's limit for a line's structured metadata is 64 KiB, our own fields among it."""


FIELD_CHARS: Final = 256
"""How much of a source, a user's id or a trace's is kept: they share the limit with the metadata."""


class Line(NamedTuple):
    """A line as it waits: what the calling thread could take without work.

    Attributes:
        time: seconds since the epoch as a float, as `logging` has it, or nanoseconds as an int.
        level_number: as `logging` and loguru number them: 10 debug, 20 info, 30 warn, 40 error, 50 fatal.
        extras: the app's own fields; `source`, `trace_id` and `user_id` among them become the line's.
        trace_id: the current span's, 0 where there is none.
    """

    time: float
    key: FeatureKey
    level_number: int
    message: str
    source: str
    extras: dict[str, Any] | None = None
    trace_id: int = 0


Fields: TypeAlias = tuple[float, FeatureKey, int, str, str, "dict[str, Any] | None", int]
"""A Line, or a plain tuple like it: to make one takes a tenth of the time."""


class Record(NamedTuple):
    """A line as every destination takes it.

    Attributes:
        timestamp: nanoseconds since the epoch.
        about: `id`, `level` and `source`, and where known `trace_id`, `user_id` and `metadata` (a JSON object's text).
    """

    key: FeatureKey
    timestamp: int
    message: str
    about: dict[str, str]


def columns(flat: Sequence[Any]) -> Iterator[tuple[FeatureKey, int, int, str, str, dict[str, Any] | None, int, str]]:
    """Take apart the fields of one Line after another, in one list: each as (key, nanoseconds, level's number, message,
    source, extras, trace_id, id), its id the same however often it is sent.

    As tuples of their own, thousands of waiting lines would be looked through by each garbage collection, which cost
    more than all else that is done for them.
    """
    width = len(Line._fields)
    times, keys, numbers, messages, sources, extras, traces = (flat[place::width] for place in range(width))
    moments = [time if type(time) is int else nanoseconds(time) for time in times]
    return zip(keys, moments, numbers, messages, sources, extras, traces, new_ids(moments), strict=True)


def records(flat: Sequence[Any]) -> Iterator[Record]:
    """Make of lines, as `columns` takes them, what any destination takes."""
    for key, timestamp, number, message, source, extras, trace_id, id in columns(flat):
        yield Record(key, timestamp, fitting(message), described(id, number, source, extras, trace_id))


def described(id: str, number: int, source: str, extras: dict[str, Any] | None, trace_id: int) -> dict[str, str]:
    """Gather what is known of a line: fields that have a place of their own there, the others in `metadata`."""
    about: dict[str, str] = {"id": id, "level": level(number), "source": source}
    if trace_id:
        about["trace_id"] = f"{trace_id:032x}"
    if extras:
        _describe(about, extras)
    return about


def fitting(message: str) -> str:
    """Return a message as it is, or cut where it is longer than Loki takes."""
    return message if len(message) < _SURELY_SHORT else cut(message)


def level(number: int) -> Level:
    """Map a level's number: below INFO debug (loguru's TRACE too), loguru's SUCCESS info, from CRITICAL on fatal."""
    if number < 30:
        return "info" if number >= 20 else "debug"
    return "warn" if number < 40 else "error" if number < 50 else "fatal"


def nanoseconds(seconds: float) -> int:
    """Convert seconds since the epoch: the whole ones apart, since the product as a float would lose 256 ns."""
    whole = int(seconds)
    return whole * NS + int((seconds - whole) * NS + 0.5)


def metadata_text(extras: dict[str, Any]) -> str:
    """Write fields as one JSON object; what JSON cannot hold goes by its repr, what is too much is cut."""
    try:
        text = json.dumps(extras, default=repr, ensure_ascii=False, allow_nan=False)
    except Exception:  # a repr or a key may raise anything
        text = json.dumps({str(name): plain(value) for name, value in extras.items()}, ensure_ascii=False)
    if len(text) * 4 > METADATA_BYTES and len(encoded := text.encode("utf-8", "replace")) > METADATA_BYTES:
        # Escaping may double what is kept, hence the half; the names around it are the rest.
        kept = encoded[: METADATA_BYTES // 2 - 64].decode("utf-8", "ignore")
        text = json.dumps({"cut": kept, "bytes": len(encoded)}, ensure_ascii=False)
    return text


def plain(value: Any) -> Any:
    """Reduce a value to what JSON holds, as it is now; what it cannot hold goes by its repr."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    try:
        return json.loads(json.dumps(value, default=repr, allow_nan=False))
    except Exception:  # NaN, a circular reference, a repr that raises
        try:
            return repr(value)
        except Exception:
            return f"<{type(value).__name__} whose repr fails>"


def cut(message: str) -> str:
    """Cut a message that is longer than Loki takes, with a mark that says how long it was."""
    if len(message) * 4 <= LINE_BYTES:
        return message
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= LINE_BYTES:
        return message
    mark = f"… [cut, {len(encoded)} bytes]"
    return encoded[: LINE_BYTES - len(mark.encode())].decode("utf-8", "ignore") + mark


def _describe(about: dict[str, str], extras: dict[str, Any]) -> None:
    """Put the fields that have a place of their own there, and the others into `metadata`."""
    users = {name: value for name, value in extras.items() if name not in _OURS}
    for name in ("source", "user_id"):
        if extras.get(name) not in (None, ""):
            about[name] = str(extras[name])[:FIELD_CHARS]
    trace_id = extras.get("trace_id") or extras.get("otelTraceID")
    if trace_id and trace_id != "0":
        about["trace_id"] = (
            f"{trace_id:032x}" if type(trace_id) is int and trace_id > 0 else str(trace_id)[:FIELD_CHARS]
        )
    if users:
        about["metadata"] = metadata_text(users)


_OURS: Final = frozenset(
    {
        "feature", "source", "trace_id", "user_id",
        "otelTraceID", "otelSpanID", "otelServiceName", "otelTraceSampled",
    }
)  # fmt: skip
"""Fields with a place of their own; the last four are what OpenTelemetry's logging instrumentation adds."""
