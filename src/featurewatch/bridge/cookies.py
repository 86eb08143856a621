"""What stands in a Cookie header: the bridge's own session, or the JWT that another app of this site keeps there. Pure.

Supabase keeps a session as JSON, mostly as `base64-` and base64url, in as many cookies as it needs: `name.0`, `name.1`
and so on (github.com/supabase/ssr, src/utils/chunker.ts and cookies.ts). Others keep the JWT as it is.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["cookie", "jwt_in_cookie"]

MOST_CHUNKS: Final = 16
LONGEST: Final = 64 * 1024
"""Characters of all chunks together; a browser sends some 4,000 a cookie."""

_BASE64: Final = "base64-"


def cookie(header: str, name: str) -> str:
    """Return the value of a cookie, "" where it is absent; of one that comes twice the first, the more specific one."""
    return next((value for key, value in _pairs(header) if key == name), "")


def jwt_in_cookie(header: str, name: str) -> str:
    """Return the JWT that a foreign cookie carries, whole or in chunks, "" where there is none."""
    value = cookie(header, name) or "".join(_chunks(header, name))
    if not value or len(value) > LONGEST:
        return ""
    return _jwt(unquote(value) if "%" in value else value)


def _chunks(header: str, name: str) -> Iterator[str]:
    found = dict(reversed([pair for pair in _pairs(header) if pair[0].startswith(f"{name}.")]))
    for number in range(MOST_CHUNKS):
        chunk = found.get(f"{name}.{number}")
        if chunk is None:
            return
        yield chunk


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        yield key, value.removeprefix('"').removesuffix('"')


def _jwt(value: str) -> str:
    if value.startswith(_BASE64):
        try:
            text = value.removeprefix(_BASE64).rstrip("=")
            value = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        except ValueError:
            return ""
    if value[:1] not in ("{", "["):
        return value
    try:
        return _access_token(json.loads(value))
    except (ValueError, RecursionError):
        return ""


def _access_token(session: Any) -> str:
    """Find the access token in a session: `{"access_token"}`, or as older helpers wrote it, the first of a list."""
    found = session.get("access_token") if isinstance(session, dict) else session[0] if session else ""
    return found if isinstance(found, str) else ""
