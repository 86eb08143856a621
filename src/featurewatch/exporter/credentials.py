"""User names and passwords, kept apart from the URLs that are shown. Pure."""

from __future__ import annotations

from binascii import b2a_base64
from typing import Final, NamedTuple

SECRETS: Final = frozenset({"token", "loki_password", "loki_token"})


class UrlCredentials(NamedTuple):
    """What a URL carried before its host, as the header that a request to it gets."""

    url: str
    header: str

    def __repr__(self) -> str:
        return f"UrlCredentials({self.url!r}, …)"


def basic(user: str, password: str) -> str:
    """Make the Authorization header of a user and a password. https://www.rfc-editor.org/rfc/rfc7617"""
    return "Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False).decode("ascii")


def split(url: str) -> tuple[str, UrlCredentials | None]:
    """Take the credentials out of a URL: the URL without them, and them."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    told, at, host = authority.rpartition("@")
    if not at:
        return url, None
    from urllib.parse import unquote  # with every app's import it would cost more than all of this

    user, _, password = told.partition(":")
    bare = f"{scheme}://{host}{slash}{path}"
    return bare, UrlCredentials(bare, basic(unquote(user), unquote(password)))


def hidden(value: object) -> object:
    """Return a value as a message may show it: nothing of what stands before an @."""
    return f"…@{value.rpartition('@')[2]}" if isinstance(value, str) and "@" in value else value
