"""Reading a request's body: whole, decompressed, never larger than allowed."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request

from ..errors import BadInput, SlowBody, TooLarge, Unsupported

PATIENCE_S: Final = 30.0
SLOWEST: Final = 8 * 1024
"""A body has so long to come, and a second more for every 8 KB of it that came: below that someone dawdles."""

LARGE: Final = 64 * 1024
"""Bytes whose parsing takes some milliseconds."""

Result = TypeVar("Result")

_GZIP: Final = 16 + zlib.MAX_WBITS

_INEXACT: Final = re.compile(
    rb"[\[:,\s]-?\d(?:(?<=-0)[\s,\]}]|\d{18}|\d*(?:\.\d+)?[eE]|\d*\.\d+0(?!\d)|(?<=0)\.0000|(?=[\d.]{16})\d*\.\d)"
)
"""Numbers that a parsed body would show in other digits: 1.50, 1e5, 0.00001, more than 64 bits or 15 digits."""


async def read_raw(request: Request, limit: int) -> bytes:
    """Read the body as it was sent.

    Raises:
        TooLarge: it is larger than `limit` bytes; reading stops there.
        SlowBody: it comes so slowly that the connection is better used by others.
        BadInput: the caller went away before its end.
    """
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadInput(f"Content-Length: expected a number of bytes, got {length[:40]!r}")
    if int(length[:19]) > limit:
        raise too_large(limit)
    received = bytearray()
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began + PATIENCE_S) as deadline:
            async for chunk in request.stream():
                received += chunk
                if len(received) > limit:
                    raise too_large(limit)
                deadline.reschedule(began + PATIENCE_S + len(received) / SLOWEST)
    except ClientDisconnect:
        raise BadInput("the caller went away before its body was complete") from None
    except TimeoutError:
        raise SlowBody(f"the body comes too slowly: {len(received)} bytes so far; send it in smaller parts") from None
    return bytes(received)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body and undo its Content-Encoding (gzip, deflate or none).

    Raises:
        TooLarge: it is larger than `limit` bytes, as sent or decompressed.
        Unsupported: the encoding is another one.
        BadInput: the compressed data is damaged, or the caller went away.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise Unsupported(f"Content-Encoding: expected gzip, deflate or none, got {encoding[:40]!r}")
    received = await read_raw(request, limit)
    if encoding in ("", "identity"):
        return received
    return await off_loop(len(received), lambda: decompress(received, encoding, limit))


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo gzip (of one or more members) or deflate (with or without zlib's header), up to `limit` bytes."""
    deflate = encoding == "deflate"
    # RFC 9110 means zlib's format by deflate; a bare stream is as common. Its first byte tells: 0x78 is zlib's.
    window = (zlib.MAX_WBITS if body[:1] == b"\x78" else -zlib.MAX_WBITS) if deflate else _GZIP
    whole = bytearray()
    while body:
        unpacker = zlib.decompressobj(window)
        try:
            whole += unpacker.decompress(body, limit + 1 - len(whole))
        except zlib.error as error:
            raise BadInput(f"the body is not valid {encoding}: {error}") from None
        if len(whole) > limit:
            raise too_large(limit)
        if not unpacker.eof:
            raise BadInput(f"the body is not valid {encoding}: it ends too early")
        # gzip allows zero bytes after its end, and further members.
        body = b"" if deflate else unpacker.unused_data.lstrip(b"\0")
    return bytes(whole)


async def off_loop(size: int, work: Callable[[], Result]) -> Result:
    """Do work on `size` bytes: in a thread where it would hold up the streams."""
    return work() if size < LARGE else await asyncio.to_thread(work)


async def read_json(request: Request, limit: int) -> Any:
    """Read the body as JSON (UTF-8); an empty one is BadInput.

    Of a key that an object repeats the last counts; NaN and Infinity, nesting deeper than 1,024 and text that
    is not UTF-8 are refused.
    """
    return parse_json(await read_body(request, limit))


def parse_json(body: bytes) -> Any:
    if not body.strip():
        raise BadInput("the body is empty; expected JSON")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            body.decode()
        except UnicodeDecodeError as wrong:
            raise BadInput(f"the body is not UTF-8: byte {wrong.start} is 0x{body[wrong.start]:02x}") from None
        raise BadInput(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


def parse_exact(body: bytes) -> Any:
    """Parse as `parse_json`; where a number would be shown in other digits, all are Fragments of their text.

    It takes five times as long there, and nothing but one search elsewhere.
    """
    value = parse_json(body)
    if _INEXACT.search(body) is None:
        return value
    try:
        return json.loads(body, parse_int=orjson.Fragment, parse_float=orjson.Fragment)
    except RecursionError:
        return value


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes, the most that is taken; send it in parts, or raise "
        "FEATUREWATCH_MAX_BODY_BYTES"
    )
