"""Answers with ETags, and conditions on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import cramjam
from starlette.requests import Request
from starlette.responses import Response

from .. import wire
from ..errors import BadInput

JSON: Final = "application/json"

_TAG: Final = re.compile(r'(?:W/)?"?r?(\d{1,18})(?:-[0-9a-f]+)?"?')


PACKED: Final = range(1_024, 262_144)
"""Bytes of JSON that are packed for whoever takes gzip: below it gains nothing, above it would hold others up."""


def answer(request: Request, value: Any, *, revision: int | None = None) -> Response:
    """Answer 200 with JSON and its ETag, or 304 where the caller holds just that.

    `revision` becomes part of the tag, so that If-Match can name it when the rest of the answer has moved on.
    """
    body, headers = wire.dump(value), {"Vary": "Accept-Encoding"}
    if len(body) in PACKED and "gzip" in taken_encodings(request.headers.get("accept-encoding", "")):
        body, headers["Content-Encoding"] = bytes(cramjam.gzip.compress(body, level=1)), "gzip"
    return tagged(request, body, JSON, revision=revision, headers=headers)


def taken_encodings(header: str) -> frozenset[str]:
    """Read what a client takes from Accept-Encoding (RFC 9110 section 12.5.3): the names that are not refused."""
    taken = set()
    for part in header.lower().split(","):
        name, _, quality = part.partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            taken.add(name.strip())
    return frozenset(taken)


def tagged(
    request: Request,
    body: bytes,
    media_type: str,
    *,
    revision: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    tag = blake2b(body, digest_size=12).hexdigest()
    etag = f'"{tag}"' if revision is None else f'"r{revision}-{tag}"'
    all_headers = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    if _holds(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=all_headers)
    return Response(body, 200, all_headers, media_type)


def plain(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer JSON that no cache may keep: what a write did, who the caller is."""
    return Response(wire.dump(value), status, {"Cache-Control": "no-store", **(headers or {})}, JSON)


def expected_revision(request: Request) -> int | None:
    """Return the revision that If-Match names: an ETag, or the bare number; None without one.

    Raises:
        BadInput: the header is neither.
    """
    text = request.headers.get("if-match", "").strip()
    if text in ("", "*"):
        return None
    match = _TAG.fullmatch(text)
    if match is None:
        raise BadInput(f"If-Match: expected the ETag or the revision that an answer had, got {text[:60]!r}")
    return int(match[1])


def _holds(header: str, etag: str) -> bool:
    held = (tag.strip().removeprefix("W/") for tag in header.split(","))
    return header.strip() == "*" or etag in held
