"""What must not be shown, and what must not be guessed: credentials in texts, secrets that are too weak. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SECRET_BYTES", "redacted", "weakness", "without_values"]

SECRET_BYTES: Final = 32
"""What HS256 needs at least (RFC 7518, section 3.2); a shorter secret can be found by trying."""

_IN_BACKTICKS: Final = re.compile(r"`[^`]*`?")
_PARSED: Final = re.compile(r"""parse "(?:[^"\\]|\\.)*"?""")
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"']+", re.IGNORECASE)

_EXAMPLES: Final = frozenset(
    {
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
    }
)
"""Secrets that stand in public documentation: Supabase's own machine setup, jwt.io."""


def redacted(text: str) -> str:
    """Cut what may be a credential out of a URL: everything before its last `@`, and its query.

    A password may itself contain `@`, `/` or `?`, so more is cut than a parser of URLs would; a text without these
    marks stays as it is.
    """
    scheme, divider, rest = text.partition("://")
    head, rest = (scheme + divider, rest) if divider else ("", text)
    if "@" in rest:
        rest = "…@" + rest.rpartition("@")[2]
    place, question, _ = rest.partition("?")
    return head + place + (question and "?…")


def without_values(text: str) -> str:
    """Cut what a program in Go quotes of a configuration when it refuses it: values in backticks, and addresses.

    >>> without_values("line 4: cannot unmarshal !!str `hunter2` into bool")
    'line 4: cannot unmarshal !!str `…` into bool'
    >>> without_values('parse "https://ops:hunter2@example.com:x": invalid port ":x" after host')
    'parse "…": invalid port ":x" after host'
    """
    return _ADDRESS.sub("…", _PARSED.sub('parse "…"', _IN_BACKTICKS.sub("`…`", text)))


def weakness(secret: str, *, public: bool) -> str:
    """Tell why a secret cannot sign JWTs, "" where it can; the secret is not part of the answer.

    Args:
        public: whether others than this machine reach the bridge; an example's secret is refused there.
    """
    size = len(secret.encode())
    if "-----BEGIN" in secret or secret.startswith(("ssh-", "ecdsa-")):
        return "a public or private key is no shared secret (whoever has the public key could sign): use JWT_JWKS_URL"
    if size < SECRET_BYTES:
        return f"expected at least {SECRET_BYTES} bytes, got {size}: make one with 'openssl rand -base64 48'"
    if len(set(secret)) < 8:
        return "expected random text, got a few characters repeated: make one with 'openssl rand -base64 48'"
    if public and secret in _EXAMPLES:
        return "this secret stands in public documentation: make your own with 'openssl rand -base64 48'"
    return ""
