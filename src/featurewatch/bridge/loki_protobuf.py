"""The wire of Loki's own shippers: snappy-compressed protobuf, its labels as the text of a selector. Pure.

Format: https://github.com/grafana/loki/blob/main/pkg/push/push.proto
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, TypeAlias

import cramjam

from ..errors import BadInput
from .bodies import too_large

__all__ = ["parse_labels", "read_streams", "uncompress"]

Line: TypeAlias = tuple[int, str, dict[str, str]]
"""Nanoseconds since the epoch, the line, its structured metadata."""

_PAIR: Final = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def uncompress(body: bytes, max_bytes: int) -> bytes:
    """Undo snappy's block format, which says at its beginning how large the result will be.

    Raises:
        TooLarge: more than `max_bytes`.
        BadInput: the body is not snappy.
    """
    try:
        if cramjam.snappy.decompress_raw_len(body) > max_bytes:
            raise too_large(max_bytes)
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadInput(
            f"the body is not snappy-compressed protobuf ({error}); JSON needs Content-Type: application/json"
        ) from None


def read_streams(body: bytes) -> list[tuple[str, list[Line]]]:
    """Read a logproto.PushRequest: each stream's labels, for `parse_labels`, and lines.

    Bytes that are not UTF-8 are replaced.

    Raises:
        BadInput: it is not one.
    """
    from google.protobuf.message import DecodeError

    try:
        request = _push_request().FromString(body)
    except DecodeError as error:
        raise BadInput(f"the body is not a Loki PushRequest: {error}") from None
    return [
        (stream.labels.decode("utf-8", "replace"), [_line(entry) for entry in stream.entries])
        for stream in request.streams
    ]


def parse_labels(text: str) -> dict[str, str]:
    """Read labels such as `{feature="summarize", level="info"}`, quoted as Go quotes.

    Raises:
        BadInput: it is not that.
    """
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise _no_labels(text)
    inner = inner[1:-1].strip()
    labels: dict[str, str] = {}
    at = 0
    while at < len(inner):
        match = _PAIR.match(inner, at)
        if match is None:
            raise _no_labels(text)
        labels[match[1]] = _ESCAPE.sub(_unescaped, match[2])
        at = match.end()
    return labels


def _line(entry: Any) -> Line:
    metadata = {pair.name.decode("utf-8", "replace"): pair.value.decode("utf-8", "replace") for pair in entry.metadata}
    return (
        entry.timestamp.seconds * 1_000_000_000 + entry.timestamp.nanos,
        entry.line.decode("utf-8", "replace"),
        metadata,
    )


def _unescaped(match: re.Match[str]) -> str:
    byte, short, long, octal, letter = match.groups()
    code = byte or short or long
    if code or octal:
        number = int(code, 16) if code else int(octal, 8)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    return _ESCAPED.get(letter, letter)


def _no_labels(text: str) -> BadInput:
    shown = repr(text if len(text) <= 80 else text[:80] + "…")
    return BadInput(f'labels: expected text such as {{feature="summarize"}}, got {shown}')


_MESSAGES: Final = {
    "Timestamp": (("seconds", 1, "int64"), ("nanos", 2, "int32")),
    "Pair": (("name", 1, "bytes"), ("value", 2, "bytes")),
    "Entry": (("timestamp", 1, "Timestamp"), ("line", 2, "bytes"), ("metadata", 3, "Pair*")),
    "Stream": (("labels", 1, "bytes"), ("entries", 2, "Entry*")),
    "PushRequest": (("streams", 1, "Stream*"),),
}
"""The fields that are read: name, number, kind (* where it repeats). Text is declared as bytes: on the wire it is the
same, and a byte that is not UTF-8 does not cost the whole request."""


@cache
def _push_request() -> Any:
    """Build the message class PushRequest."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"int64": kinds.TYPE_INT64, "int32": kinds.TYPE_INT32, "bytes": kinds.TYPE_BYTES}
    file = descriptor_pb2.FileDescriptorProto(name="featurewatch/push.proto", package="featurewatch", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(
                name=field,
                number=number,
                label=kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL,
                type=scalars.get(kind, kinds.TYPE_MESSAGE),
                type_name=None if kind in scalars else f".featurewatch.{kind.rstrip('*')}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("featurewatch.PushRequest"))
