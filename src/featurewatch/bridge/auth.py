"""Who a caller is: found by an API token, a browser's session or a stream's ticket."""

from __future__ import annotations

import binascii
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from .. import tokens
from ..access import ANYONE, Principal
from ..errors import SettingsError, Unauthenticated
from ..settings import Settings
from ..times import NS
from ..tokens import Token
from .throttle import Throttle
from .tickets import Vault

__all__ = ["Authenticator", "Session", "Ticket"]

_log = logging.getLogger(__name__)

TICKET_S: Final = 30.0
SESSION_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What opens one stream without a header: `text` goes into `?ticket=`, once, before `expires_ns`."""

    text: str
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session; `cookie` is the value of the Set-Cookie header that opens it there."""

    principal: Principal
    expires_ns: int
    cookie: str


class TokenFile:
    """The tokens of a file that may change: read again when it does; while it is broken the last good ones hold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = self._look()
        self._tokens: Mapping[str, Token] = tokens.load(path)

    def current(self) -> Mapping[str, Token]:
        """Return the tokens by id. One stat of the file, a few microseconds, and a read where it changed."""
        mark = self._look()
        if mark != self._mark:
            self._mark = mark
            try:
                self._tokens = tokens.load(self._path)
                _log.info("%s: read again, %d API tokens", self._path, len(self._tokens))
            except SettingsError as error:
                _log.error("%s; the %d tokens read before stay valid", error, len(self._tokens))
        return self._tokens

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


class Authenticator:
    """Finds out who calls. Without a file of tokens everyone is `ANYONE`.

    Sessions and tickets stand for the token that made them: they end when it expires or is revoked.
    """

    def __init__(self, file: TokenFile | None, *, cookie: str, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._cookie = cookie
        self._clock = clock
        self._sessions: Vault[Principal] = Vault(lifetime_s=SESSION_S, limit=10_000, clock=clock)
        self._tickets: Vault[Principal] = Vault(lifetime_s=TICKET_S, limit=10_000, clock=clock)
        self._throttle = Throttle(failures=20, period_s=60.0, limit=10_000, clock=clock)

    @classmethod
    def of(cls, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> Self:
        """Make the one that the settings ask for.

        Raises:
            SettingsError: the file of tokens does not exist or is broken.
        """
        file = None if settings.api_tokens_file is None else TokenFile(settings.api_tokens_file)
        # The port is part of the name: browsers send a host's cookies to all of its ports.
        return cls(file, cookie=f"featurewatch_session_{settings.port}", clock=clock)

    @property
    def enabled(self) -> bool:
        return self._file is not None

    async def from_token(self, text: str, *, client: str = "") -> Principal:
        """Find the caller by a token; `client` is its address.

        Raises:
            Unauthenticated: it is no token, was revoked or is over; TooMany after 20 of those within a minute.
        """
        if self._file is None:
            return ANYONE
        token = tokens.find(self._file.current(), text.strip(), self._clock())
        if token is None:
            self._throttle.failed(client)
            raise Unauthenticated(
                "the token is not known, was revoked or is over: 'featurewatch token create' makes one"
            )
        return token.principal()

    async def from_scope(self, scope: Mapping[str, Any]) -> Principal | None:
        """Find the caller of an ASGI request or WebSocket, None where it shows no credential that holds."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        client = scope.get("client")
        return await self.from_headers(
            Headers(raw=scope["headers"]), ticket=query.get("ticket", [""])[0], client=client[0] if client else ""
        )

    async def from_headers(self, headers: Mapping[str, str], *, ticket: str = "", client: str = "") -> Principal | None:
        """Find the caller by Authorization (Bearer, or Basic with the token as password), ticket or cookie.

        A cookie that does not hold any more counts as none: browsers send them unasked.

        Args:
            headers: by lower-case name.

        Raises:
            Unauthenticated: the Authorization or the ticket is wrong; TooMany after many of those.
        """
        if self._file is None:
            return ANYONE
        if authorization := headers.get("authorization", "").strip():
            return await self.from_token(_token_in(authorization), client=client)
        if ticket:
            principal = self._renewed(self._tickets.take(ticket))
            if principal is None:
                raise Unauthenticated(
                    "the ticket was used before or is older than 30 s: get another from POST /tickets"
                )
            return principal
        return self._renewed(self._sessions.get(_cookie(headers.get("cookie", ""), self._cookie)))

    def holds(self, principal: Principal) -> bool:
        """Tell whether the caller's credential still holds: neither over nor revoked. Cheap; for open streams."""
        return self._file is None or self._renewed(principal) is not None

    def issue_ticket(self, principal: Principal) -> Ticket:
        """Make a ticket that opens one stream as this caller within 30 s."""
        return Ticket(*self._tickets.put(principal, not_after_ns=principal.expires_ns))

    async def open_session(self, text: str, *, secure: bool, client: str = "") -> Session:
        """Open a browser's session for a token; `secure` where the browser came by https.

        Raises:
            Unauthenticated: as `from_token`.
        """
        principal = await self.from_token(text, client=client)
        name, expires_ns = self._sessions.put(principal, not_after_ns=principal.expires_ns)
        age = max(0, (expires_ns - self._clock()) // NS)
        return Session(principal, expires_ns, self._set_cookie(name, age, secure))

    async def close_session(self, headers: Mapping[str, str], *, secure: bool) -> str:
        """End the session of the request's cookie, if any, and return the Set-Cookie that removes it."""
        self._sessions.take(_cookie(headers.get("cookie", ""), self._cookie))
        return self._set_cookie("", 0, secure)

    def _renewed(self, principal: Principal | None) -> Principal | None:
        """Return the caller as its token stands in the file now, None where the token is over or gone."""
        if principal is None or self._file is None:
            return None
        token = self._file.current().get(principal.credential)
        if token is None or token.over(self._clock()):
            return None
        return token.principal()

    def _set_cookie(self, value: str, age: int, secure: bool) -> str:
        return f"{self._cookie}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def _token_in(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest:
            return rest
        case "basic":
            try:
                return b64decode(rest, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                pass
    raise Unauthenticated("Authorization: expected 'Bearer <token>', or Basic with the token as password")


def _cookie(header: str, name: str) -> str:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""
