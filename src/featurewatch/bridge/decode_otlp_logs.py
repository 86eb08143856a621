"""OTLP log records to lines. Pure; what is wrong with one record does not touch the others.

`source`, `user.id` (`user_id`) and `id` (`log.record.uid`) are taken from a record's attributes; the rest of them is
its metadata. A severity that has no level keeps its text there, and the line is info.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ..errors import BadInput
from ..levels import parse_level, severity_level
from ..model import Level, LogEntry
from .otlp_keys import KEY_NAMES, Refusals, check_time, key_of
from .otlp_wire import parse, plain, text_of

__all__ = ["LogBatch", "decode_logs"]

_ID_NAMES: Final = ("id", "log.record.uid")
_USER_NAMES: Final = ("user.id", "user_id")
_OWN: Final = KEY_NAMES | {*_ID_NAMES, *_USER_NAMES, "source"}
_LONGEST: Final = {"id": 128, "source": 128, "user_id": 256}


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The lines of a request, and what was refused of it: how many records, and why in one line."""

    entries: list[LogEntry]
    rejected: int = 0
    message: str = ""


def decode_logs(
    body: bytes, content_type: str, content_encoding: str, *, environment: str, now_ns: int, max_bytes: int
) -> LogBatch:
    """Decode an ExportLogsServiceRequest. A record without an id gets one made of its content.

    Args:
        environment: of records that name none.
        max_bytes: of the body, as sent and decompressed.

    Raises:
        BadInput: the body as a whole cannot be read; TooLarge, Unsupported.
    """
    request = parse(body, content_type, content_encoding, ExportLogsServiceRequest(), max_bytes=max_bytes)
    entries: list[LogEntry] = []
    refused = Refusals()
    for of_resource in request.resource_logs:
        resource = {pair.key: text_of(pair.value) for pair in of_resource.resource.attributes}
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                try:
                    entries.append(_entry(record, resource, of_scope.scope.name, environment, now_ns))
                except BadInput as error:
                    refused.add(error.message)
    return LogBatch(entries, refused.count, refused.message("log records"))


def _entry(record: LogRecord, resource: dict[str, str], scope: str, environment: str, now_ns: int) -> LogEntry:
    found: dict[str, Any] = {pair.key: plain(pair.value) for pair in record.attributes}
    own = {name: _text(found[name]) for name in _OWN if name in found}
    key = key_of(own, resource, environment)
    timestamp_ns = check_time(record.time_unix_nano or record.observed_time_unix_nano, now_ns)
    metadata = {name: value for name, value in found.items() if name not in _OWN}
    level = _level(record, metadata)
    if len(record.span_id) == 8:
        metadata.setdefault("span_id", record.span_id.hex())
    message = _message(record)
    text = orjson.dumps(metadata, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode() if metadata else None
    entry = LogEntry(
        id=_bounded("id", own, _ID_NAMES) or "",
        feature=key.feature,
        environment=key.environment,
        timestamp_ns=timestamp_ns,
        level=level,
        message=message,
        source=_bounded("source", own, ("source",)) or scope[: _LONGEST["source"]] or "app",
        metadata=text,
        trace_id=record.trace_id.hex() if len(record.trace_id) == 16 and any(record.trace_id) else None,
        user_id=_bounded("user_id", own, _USER_NAMES),
    )
    return entry if entry.id else entry._replace(id=_content_id(entry))


def _level(record: LogRecord, metadata: dict[str, Any]) -> Level:
    level = severity_level(record.severity_number)
    if level is not None:
        return level
    name = record.severity_text.strip()
    if not name:
        return "info"
    try:
        return parse_level(name)
    except BadInput:
        metadata.setdefault("severity_text", name)
        return "info"


def _message(record: LogRecord) -> str:
    if not record.HasField("body"):
        return record.event_name
    body = plain(record.body)
    return body if isinstance(body, str) else orjson.dumps(body).decode()


def _bounded(field: str, own: dict[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        if text := own.get(name):
            if len(text) > _LONGEST[field]:
                raise BadInput(f"{name}: expected at most {_LONGEST[field]} characters, got {len(text)}")
            return text
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def _content_id(entry: LogEntry) -> str:
    """Make the same id of the same line, so that a request sent twice is kept once; it begins with the time."""
    digest = hashlib.blake2b(orjson.dumps(tuple(entry)), digest_size=8)
    return f"{entry.timestamp_ns:016x}{digest.hexdigest()}"
