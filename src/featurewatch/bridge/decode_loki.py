"""What shippers push to Loki, as log entries. Pure.

A stream's labels and a line's structured metadata become the fields of a LogEntry: `feature` (or `feature_id`),
`environment`, `level` (else `detected_level`, `severity`), `source`, `id`, `trace_id`, `user_id`, `metadata` (the text
of a JSON object). A line's own win over its stream's. The rest joins the metadata; `service_name`, which Loki's
shippers put on every stream, does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import BadInput, Problem, Unsupported
from ..fields import shown
from ..levels import parse_level
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, FEATURE_ID, FEATURE_ID_RULE, LogEntry
from ..stores.loki_entries import OWN_FIELDS, STREAM_FIELDS, joined, make_id, said_level
from ..times import NS, format_instant
from .bodies import decompress, parse_json, too_large
from .ingest import cut
from .loki_protobuf import parse_labels, read_streams, uncompress

__all__ = ["PushBatch", "decode_push"]

_FUTURE_NS: Final = 10 * 60 * NS
"""How far ahead a line's clock may be, as Loki has it: one from 2099 would stay the newest for ever."""

_OLDEST_NS: Final = 10**17
"""March 1973. What lies before it is seconds, milliseconds or microseconds taken for nanoseconds."""


@dataclass(frozen=True, slots=True)
class PushBatch:
    """The lines that can be kept, and one problem for each that cannot; `index` counts the lines of the push."""

    entries: list[LogEntry]
    rejected: list[Problem]


def decode_push(
    body: bytes,
    content_type: str,
    content_encoding: str,
    *,
    environment: str,
    now_ns: int,
    max_bytes: int,
    max_line_bytes: int,
) -> PushBatch:
    """Decode a push: JSON by its content type, else protobuf in snappy, as Loki takes them.

    A line that is wrong is rejected by itself and the others are kept. A line without an id gets one made of its
    stream, timestamp, text and metadata, so that a push sent twice is kept once (as Loki does, which merges them too).

    Args:
        environment: of streams that name none.
        max_bytes: of the body, decompressed.
        max_line_bytes: a longer line is cut, with a mark.

    Raises:
        BadInput: the body as a whole is not a push.
        TooLarge: it is larger than `max_bytes`.
        Unsupported: its encoding is not known.
    """
    encoding = content_encoding.strip().lower()
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    if encoding in ("gzip", "x-gzip", "deflate"):
        body = decompress(body, encoding, max_bytes)
    elif encoding not in ("", "identity", "snappy"):
        raise Unsupported(f"Content-Encoding: expected gzip, deflate, snappy or none, got {encoding[:40]!r}")
    if content_type.partition(";")[0].strip().lower() == "application/json":
        streams: Iterable[tuple[Any, list[Any]]] = _json_streams(parse_json(body))
    else:
        streams = read_streams(uncompress(body, max_bytes))
    entries: list[LogEntry] = []
    rejected: list[Problem] = []
    index = 0
    latest = now_ns + _FUTURE_NS
    for labels, lines in streams:
        try:
            labels = parse_labels(labels) if isinstance(labels, str) else labels
            stream = _Stream(labels, environment, latest, max_line_bytes)
        except BadInput as error:
            rejected += (Problem("stream", error.message, at) for at in range(index, index + len(lines)))
            index += len(lines)
            continue
        for at, line in enumerate(lines, index):
            try:
                entries.append(stream.entry(line))
            except BadInput as error:
                rejected.append(Problem("line", error.message, at))
        index += len(lines)
    return PushBatch(entries, rejected)


def _json_streams(value: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Take apart `{"streams": [{"stream": {…}, "values": […]}]}`."""
    streams = value.get("streams") if isinstance(value, dict) else None
    if not isinstance(streams, list):
        raise BadInput(
            f'expected {{"streams": [{{"stream": {{…}}, "values": [["<ns>", "line"]]}}]}}, got {shown(value)}'
        )
    for stream in streams:
        lines = stream.get("values", []) if isinstance(stream, dict) else None
        if not isinstance(lines, list):
            raise BadInput(f'streams: expected objects {{"stream": {{…}}, "values": […]}}, got {shown(stream)}')
        yield stream.get("stream", {}), lines


class _Stream:
    """What the labels say for each line of a stream.

    Raises:
        BadInput: they do not say which feature the lines belong to, or wrongly.
    """

    def __init__(self, labels: Any, environment: str, latest_ns: int, max_line_bytes: int) -> None:
        _expect_texts(labels, "labels")
        self._feature = labels.get("feature") or labels.get("feature_id") or ""
        if not self._feature:
            raise BadInput(
                "labels: expected one named feature, which holds the feature's id, got "
                f"{shown(', '.join(labels)) if labels else 'none at all'}: add it in the shipper"
            )
        if FEATURE_ID.fullmatch(self._feature) is None:
            raise BadInput(f"feature: expected {FEATURE_ID_RULE}, got {shown(self._feature)}")
        self._environment = labels.get("environment") or environment
        if ENVIRONMENT.fullmatch(self._environment) is None:
            raise BadInput(f"environment: expected {ENVIRONMENT_RULE}, got {shown(self._environment)}")
        self._labels: Mapping[str, str] = labels
        self._source = labels.get("source") or "app"
        self._extra = {name: text for name, text in labels.items() if name not in STREAM_FIELDS}
        self._latest_ns = latest_ns
        self._max_line_bytes = max_line_bytes

    def entry(self, line: Any) -> LogEntry:
        """Make the entry of `[timestamp, text]` or `[timestamp, text, structured metadata]`.

        Raises:
            BadInput: something is wrong with the line.
        """
        match line:
            case [moment, str(text)]:
                own: dict[str, str] = {}
            case [moment, str(text), own]:
                _expect_texts(own, "structured metadata")
            case _:
                raise BadInput(f'expected ["<ns>", "line"] or ["<ns>", "line", {{metadata}}], got {shown(line)}')
        timestamp_ns = self._timestamp(moment)
        message = text if len(text) * 4 <= self._max_line_bytes else cut(text, self._max_line_bytes)
        return LogEntry(
            _bounded(own, "id", 128) or make_id(self._labels, timestamp_ns, text, own),
            self._feature,
            self._environment,
            timestamp_ns,
            parse_level(said_level(own, self._labels) or "info"),
            message,
            _bounded(own, "source", 128) or self._source,
            self._metadata(own),
            _bounded(own, "trace_id", 128) or _bounded(self._labels, "trace_id", 128),
            _bounded(own, "user_id", 256) or _bounded(self._labels, "user_id", 256),
        )

    def _timestamp(self, moment: Any) -> int:
        if isinstance(moment, str) and moment.isascii() and moment.isdecimal():
            moment = int(moment[:20])
        if type(moment) is not int:  # True and False are ints, too
            raise BadInput(f"timestamp: expected a string of nanoseconds since the epoch, got {shown(moment)}")
        if moment < _OLDEST_NS:
            raise BadInput(f"timestamp: expected nanoseconds since the epoch, got {moment}, which is too few for them")
        if moment > self._latest_ns:
            raise BadInput(
                f"timestamp: expected at most 10 minutes ahead of {format_instant(self._latest_ns - _FUTURE_NS)}, "
                f"got {moment}: set the sender's clock"
            )
        return moment

    def _metadata(self, own: Mapping[str, str]) -> str | None:
        extra = self._extra
        if own:
            extra = extra | {name: text for name, text in own.items() if name not in OWN_FIELDS}
        metadata = own.get("metadata") or self._labels.get("metadata")
        return joined(metadata, extra) if metadata or extra else None


def _bounded(own: Mapping[str, str], name: str, longest: int) -> str | None:
    text = own.get(name)
    if text and len(text) > longest:
        raise BadInput(f"{name}: expected at most {longest} characters, got {len(text)}")
    return text or None


def _expect_texts(value: Any, what: str) -> None:
    if not isinstance(value, dict):
        raise BadInput(f"{what}: expected an object of strings, got {shown(value)}")
    for name, text in value.items():
        if not isinstance(text, str):
            raise BadInput(f"{what}: expected a string for {shown(name)}, got {shown(text)}")
