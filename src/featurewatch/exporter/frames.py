"""Batches of lines, encoded and compressed: what waits to be sent, in memory or on disk."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from .lines import Record
from .worker import LOADING

LOKI_JSON: Final = 1
OTLP_PROTOBUF: Final = 2


class Frame(NamedTuple):
    """A batch: its format (LOKI_JSON, OTLP_PROTOBUF), how many lines it holds, and the request's body in gzip."""

    format: int
    lines: int
    body: bytes


class Codec(Protocol):
    """A format. `decode` undoes `encode`; both keep ids, so that a line sent twice is known as one.

    `encode_lines` takes the fields of one Line after another, as they wait, and gives them ids.
    """

    @property
    def format(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    def encode(self, lines: Iterable[Record], service: str) -> bytes: ...

    def encode_lines(self, flat: Sequence[Any], service: str) -> bytes: ...

    def decode(self, body: bytes) -> tuple[str, list[Record]]: ...


def codec(format: int, resource: Iterable[tuple[str, str]] = ()) -> Codec:
    """Return the codec of a format, which writes so much of the resource where it has a place for that.

    Raises:
        ValueError: there is none, as for a spool that a later version wrote.
    """
    with LOADING:
        if format == LOKI_JSON:
            from .loki import LokiCodec

            return LokiCodec()
        if format == OTLP_PROTOBUF:
            from .otlp_logs import OtlpCodec

            return OtlpCodec(resource)
    raise ValueError(f"expected a batch of format {LOKI_JSON} or {OTLP_PROTOBUF}, got {format}")


def pack(records: Sequence[Record], service: str, by: Codec) -> Frame:
    """Encode and compress records."""
    return _compressed(by.encode(records, service), len(records), by)


def pack_lines(flat: Sequence[Any], lines: int, service: str, by: Codec) -> Frame:
    """Encode and compress lines, which are so many."""
    return _compressed(by.encode_lines(flat, service), lines, by)


def _compressed(body: bytes, lines: int, by: Codec) -> Frame:
    # Level 1: half the processor time of the default for a body a tenth larger.
    return Frame(by.format, lines, gzip.compress(body, compresslevel=1, mtime=0))


def unpack(frame: Frame) -> tuple[str, list[Record]]:
    """Take a frame apart again: the service's name and the records.

    Raises:
        ValueError: its format is not known or its body is none of it.
    """
    try:
        return codec(frame.format).decode(gzip.decompress(frame.body))
    except (OSError, EOFError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a batch cannot be read: {error}") from None
