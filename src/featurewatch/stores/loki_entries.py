"""Loki's streams as log entries. Pure.

In Loki a line has its stream's labels (`service_name`, `feature`, `environment`) and structured metadata of its own:
`id`, `level`, `source`, `trace_id`, `user_id`, and the user's metadata as one JSON text, `metadata`. Lines of other
shippers are read too: a level by another name, an id made of the line itself, and whatever else labels and structured
metadata say as metadata. Query answers and the frames of a tail have the same form where they were asked for with
`CATEGORIZED`: https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time

Queries may ask for packed lines (see `logql`): the same fields, written before the line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..errors import BadInput, UpstreamError
from ..levels import parse_level
from ..model import LEVELS, FeatureKey, Level, LogEntry

__all__ = [
    "CATEGORIZED", "OWN_FIELDS", "PACKED", "SEPARATOR", "STREAM_FIELDS", "Frame", "joined", "make_id", "read_frame",
    "read_packed", "read_streams", "said_level",
]  # fmt: skip

CATEGORIZED: Final = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
"""Asks Loki to tell structured metadata from labels; without it a tail tells no metadata at all."""

_LEVEL_NAMES: Final = ("level", "detected_level", "severity")
OWN_FIELDS: Final = frozenset({"id", "source", "trace_id", "user_id", "metadata", *_LEVEL_NAMES})
"""Structured metadata that are fields of a LogEntry; others join its metadata."""
STREAM_FIELDS: Final = OWN_FIELDS - {"id"} | {"feature", "feature_id", "environment", "service_name"}
"""Labels that do not join the metadata; `service_name` stands on every stream. A label `id` is no line's."""

SEPARATOR: Final = "\x7f"
PACKED: Final = ("id", "level", "source", "trace_id", "user_id", "metadata", "detected_level")
"""What stands before a packed line, in this order, each with SEPARATOR after it."""

_OUR_LABELS: Final = frozenset({"service_name", "feature", "environment"})
_WHOSE: Final = frozenset({"feature", "environment"})
_HIDDEN: Final = "_extracted"
"""Ends the name of a line's field where a label has that name; a tail tells such a field in place of the label."""
_LEVELS: Final[dict[str, Level]] = {level: level for level in LEVELS}
_NOTHING: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message of a tail tells: lines, and of lines that it dropped (some, not all) feature and time."""

    entries: list[LogEntry]
    dropped: Sequence[tuple[FeatureKey, int]] = ()


def read_frame(text: str | bytes, environment: str) -> Frame:
    """Read a message of `/loki/api/v1/tail`.

    A line with a field `feature` or `environment` hides the label: whose it is, queries tell, and it is left to them.

    Args:
        environment: of streams that name none.

    Raises:
        UpstreamError: it is none.
    """
    try:
        told = orjson.loads(text)
        streams, dropped = told.get("streams") or (), told.get("dropped_entries") or ()
        lost = [(_key(one.get("labels") or _NOTHING, environment), int(one["timestamp"])) for one in dropped]
        streams = [one for one in streams if not any(map(_hides_whose, one["values"]))]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise _garbage(text) from None
    return Frame(read_streams(streams, environment), lost)


def read_streams(streams: Iterable[Any], environment: str) -> list[LogEntry]:
    """Read `[{"stream": {labels}, "values": [["<ns>", "line", {"structuredMetadata": {…}}]]}]`, in its own order.

    Args:
        environment: of streams that name none.

    Raises:
        UpstreamError: it is something else.
    """
    entries: list[LogEntry] = []
    try:
        for told in streams:
            stream = _Stream(told["stream"], environment)
            entries += map(stream.entry, told["values"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise _garbage(streams) from None
    return entries


def read_packed(streams: Iterable[Any], environment: str, parts: int) -> list[LogEntry] | None:
    """Read lines that each consist of the fields of PACKED, the line itself, and whatever more makes so many parts.

    None where a line has more parts, since something in it holds the separator. Raises as `read_streams`.
    """
    entries: list[LogEntry] = []
    try:
        for told in streams:
            stream = _Stream(told["stream"], environment)
            for value in told["values"]:
                fields = value[1].split(SEPARATOR)
                if len(fields) != parts:
                    return None
                entries.append(stream.packed_entry(int(value[0]), fields, value))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise _garbage(streams) from None
    return entries


class _Stream:
    """What the labels say for each line of a stream; whatever they say, its lines can be read."""

    __slots__ = ("_environment", "_extra", "_feature", "_labels", "_plain")

    def __init__(self, labels: Mapping[str, str], environment: str) -> None:
        self._labels = labels
        self._feature, self._environment = _key(labels, environment)
        self._extra = {name: text for name, text in labels.items() if name not in STREAM_FIELDS}
        self._plain = labels.keys() <= _OUR_LABELS

    def entry(self, value: Sequence[Any]) -> LogEntry:
        """Make the entry of `[timestamp, line]` or `[timestamp, line, {"structuredMetadata": {…}}]`."""
        own: Mapping[str, str] = value[2].get("structuredMetadata") or _NOTHING if len(value) > 2 else _NOTHING
        return self._made(int(value[0]), value[1], own)

    def packed_entry(self, timestamp_ns: int, fields: Sequence[str], value: Sequence[Any]) -> LogEntry:
        """Make the entry of a packed line; `value` is as above, and has what was not packed."""
        id_, level, source, trace_id, user_id, metadata, _, message, *_ = fields
        more = value[2].get("structuredMetadata") if len(value) > 2 else None
        if id_ and not more and self._plain and level in _LEVELS and not (metadata and _object(metadata) is None):
            return LogEntry(
                id_, self._feature, self._environment, timestamp_ns, _LEVELS[level], message, source or "app",
                metadata or None, trace_id or None, user_id or None,
            )  # fmt: skip
        own = {name: text for name, text in zip(PACKED, fields, strict=False) if text}
        if "id" in self._labels:
            own.pop("id", None)
        return self._made(timestamp_ns, message, {**own, **more} if more else own)

    def _made(self, timestamp_ns: int, message: str, own: Mapping[str, str]) -> LogEntry:
        if type(message) is not str:
            raise TypeError("a line is text")
        labels, extra = self._labels, self._extra
        if not own.keys() <= OWN_FIELDS:
            extra = extra | {name: text for name, text in own.items() if name not in OWN_FIELDS}
        metadata = own.get("metadata") or labels.get("metadata")
        if extra or (metadata and _object(metadata) is None):
            metadata = joined(metadata, extra)
        return LogEntry(
            own.get("id") or make_id(labels, timestamp_ns, message, own),
            self._feature,
            self._environment,
            timestamp_ns,
            _LEVELS.get(own.get("level", "")) or self._level(own),
            message,
            own.get("source") or labels.get("source") or "app",
            metadata or None,
            own.get("trace_id") or labels.get("trace_id") or None,
            own.get("user_id") or labels.get("user_id") or None,
        )

    def _level(self, own: Mapping[str, str]) -> Level:
        try:
            return parse_level(said_level(own, self._labels) or "info")
        except BadInput:
            return "info"


def _hides_whose(value: Sequence[Any]) -> bool:
    return len(value) > 2 and not _WHOSE.isdisjoint(value[2].get("structuredMetadata") or ())


def make_id(labels: Mapping[str, str], timestamp_ns: int, text: str, own: Mapping[str, str]) -> str:
    """Make the id of a line that has none: the same line gets the same, wherever it is read.

    It begins with the time, as `ids.new_id` does, and for the same reason. A field hides the label of its name, as it
    does in a tail; a label that a query compares is told among the line's own.
    """
    told = {**labels, **own}
    for name in [name for name in own if name.endswith(_HIDDEN)]:
        if (label := name.removesuffix(_HIDDEN)) in told:
            told[label] = told.pop(name)
    fields = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return f"{timestamp_ns:016x}{hashlib.blake2b(fields + text.encode(), digest_size=8).hexdigest()}"


def said_level(own: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return what a line, else its stream, says of the level, by whatever name; "" where neither does."""
    text = own.get("level") or labels.get("level")
    if text:
        return text
    for name in ("detected_level", "severity"):
        text = own.get(name) or labels.get(name)
        if text and text != "unknown":  # Loki's own word where it detected none
            return text
    return ""


def joined(text: str | None, extra: Mapping[str, str]) -> str:
    """Put extra fields before those of a JSON object's text, which otherwise stays as it is and wins.

    A text that is no JSON object becomes a field by itself, `metadata`.
    """
    if not text:
        return _written(extra)
    fields = _object(text)
    if fields is None:
        return _written({**extra, "metadata": text})
    missing = {name: value for name, value in extra.items() if name not in fields}
    if not missing:
        return text
    return f"{_written(missing)[:-1]}{',' if fields else ''}{text.strip()[1:].lstrip()}"


def _written(fields: Mapping[str, str]) -> str:
    """Write fields sorted, as Loki tells them now in this order and then in that."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()


def _object(text: str) -> dict[str, Any] | None:
    """Read a text as a JSON object; None where it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # orjson refuses an escaped half of a surrogate pair, which JSON may hold
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return None
    return value if type(value) is dict else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _key(labels: Mapping[str, str], environment: str) -> FeatureKey:
    return FeatureKey(labels.get("feature") or "", labels.get("environment") or environment)


def _garbage(told: object) -> UpstreamError:
    shown = repr(told)
    return UpstreamError(f"expected streams of Loki, got {shown if len(shown) <= 80 else shown[:80] + '…'}")
