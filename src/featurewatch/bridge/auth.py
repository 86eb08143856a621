"""Who a caller is: found by an API token, a JWT, a browser's session or a stream's ticket."""

from __future__ import annotations

import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from .. import tokens
from ..access import ANYONE, Principal
from ..errors import Unauthenticated
from ..settings import Settings
from ..times import NS
from .claims import Forged
from .cookies import cookie, jwt_in_cookie
from .meters import Told
from .throttle import Throttle
from .tickets import Vault
from .token_file import TokenFile

if TYPE_CHECKING:
    from .jwts import Verifier

__all__ = ["Authenticator", "Session", "Ticket"]

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


class Authenticator:
    """Finds out who calls. Without a file of tokens and without JWTs everyone is `ANYONE`.

    Sessions and tickets stand for the credential that made them: they end when it expires or is revoked.

    Args:
        verifier: of JWTs, where they are taken.
        foreign_cookie: the cookie in which another app keeps its JWT, "" for none.
    """

    def __init__(
        self,
        file: TokenFile | None,
        *,
        cookie: str,
        verifier: Verifier | None = None,
        foreign_cookie: str = "",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.verifier = verifier
        self._file = file
        self._cookie = cookie
        self._foreign_cookie = foreign_cookie
        self._clock = clock
        self._failures: Counter[str] = Counter({"token": 0, "jwt": 0, "ticket": 0})
        self._sessions: Vault[Principal] = Vault(lifetime_s=SESSION_S, limit=10_000, clock=clock)
        self._tickets: Vault[Principal] = Vault(lifetime_s=TICKET_S, limit=10_000, clock=clock)
        self._throttle = Throttle(failures=20, period_s=60.0, limit=10_000, clock=clock)

    @classmethod
    def of(cls, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> Self:
        """Make the one that the settings ask for.

        Raises:
            SettingsError: the file of tokens does not exist or is broken, or the JWTs' secret cannot be read.
        """
        file = None if settings.api_tokens_file is None else TokenFile(settings.api_tokens_file)
        verifier = None
        if settings.jwt:
            # Imported here: who takes no JWTs need not wait for cryptography.
            from .jwts import Verifier

            verifier = Verifier.of(settings, clock=clock)
        return cls(
            file,
            # The port is part of the name: browsers send a host's cookies to all of its ports.
            cookie=f"featurewatch_session_{settings.port}",
            verifier=verifier,
            foreign_cookie=settings.auth_cookie,
            clock=clock,
        )

    @property
    def enabled(self) -> bool:
        return self._file is not None or self.verifier is not None

    def families(self) -> Iterator[Told]:
        """Yield what is counted of authentication."""
        yield (
            "featurewatch_auth_failures_total", "counter", "Credentials that did not hold, by their kind.",
            {(("credential", kind),): float(count) for kind, count in self._failures.items()},
        )  # fmt: skip
        if self.verifier is not None and self.verifier.keys is not None:
            keys = self.verifier.keys
            yield "featurewatch_jwks_keys", "gauge", "Public keys that verify JWTs.", {(): float(len(keys))}
            yield (
                "featurewatch_jwks_fetches_total", "counter", "Fetches of these keys, by their result.",
                {(("result", name),): float(count) for name, count in keys.fetches.items()},
            )  # fmt: skip

    @property
    def wanted(self) -> str:
        """What a caller should send, for messages."""
        if self._file is None:
            return "'Authorization: Bearer <JWT>'"
        also = " (or a JWT)" if self.verifier is not None else ""
        return f"'Authorization: Bearer <token>'{also}; 'featurewatch token create' makes one"

    @property
    def failure(self) -> str:
        """Why JWTs that an issuer's keys sign cannot be verified now, "" where they can or none are taken."""
        keys = None if self.verifier is None else self.verifier.keys
        return "" if keys is None else keys.failure

    @property
    def shut(self) -> bool:
        """Whether nobody at all can be let in now."""
        return bool(self.failure) and self._file is None and self.verifier is not None and not self.verifier.shared

    def start(self) -> None:
        """Fetch the keys of JWTs, in the background, so that nobody waits for them."""
        if self.verifier is not None and self.verifier.keys is not None:
            self.verifier.keys.refresh_soon()

    async def close(self) -> None:
        """End what runs in the background."""
        if self.verifier is not None and self.verifier.keys is not None:
            await self.verifier.keys.close()

    async def from_token(self, text: str, *, client: str = "") -> Principal:
        """Find the caller by an API token or a JWT; `client` is its address.

        Raises:
            Unauthenticated: it is none, was revoked or is over; TooMany after 20 guesses within a minute.
            Forbidden: the JWT says nothing of featurewatch. Unavailable: its issuer's keys cannot be fetched.
        """
        if not self.enabled:
            return ANYONE
        text = text.strip()
        if self._file is None and text.startswith("fw_"):
            self._guessed("token", client)
            raise Unauthenticated("this bridge takes JWTs, no API tokens: FEATUREWATCH_API_TOKENS_FILE is not set")
        # An API token has no dots.
        if self.verifier is not None and (self._file is None or text.count(".") == 2):
            return await self._from_jwt(text, client)
        assert self._file is not None
        token = tokens.find(self._file.current(), text, self._clock())
        if token is None:
            self._guessed("token", client)
            raise Unauthenticated(
                "the token is not known, was revoked or is over: 'featurewatch token create' makes one"
            )
        return token.principal()

    async def from_scope(self, scope: Mapping[str, Any]) -> Principal | None:
        """Find the caller of an ASGI request or WebSocket, None where it shows no credential that holds."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        client = scope.get("client")
        return await self.from_headers(
            Headers(raw=scope["headers"]),
            method=scope.get("method", ""),
            ticket=query.get("ticket", [""])[0],
            client=client[0] if client else "",
        )

    async def from_headers(
        self, headers: Mapping[str, str], *, method: str = "", ticket: str = "", client: str = ""
    ) -> Principal | None:
        """Find the caller by Authorization (Bearer, or Basic with the token as password), ticket or cookie.

        A cookie that does not hold any more counts as none: browsers send them unasked.

        Args:
            headers: by lower-case name.
            method: of the request; "": it is a WebSocket.

        Raises:
            Unauthenticated: the Authorization or the ticket is wrong; TooMany after many of those.
            Forbidden, Unavailable: as `from_token`.
        """
        if not self.enabled:
            return ANYONE
        if authorization := headers.get("authorization", "").strip():
            return await self.from_token(_token_in(authorization), client=client)
        if ticket:
            principal = self._renewed(self._tickets.take(ticket))
            if principal is None:
                self._failures["ticket"] += 1
                raise Unauthenticated(
                    "the ticket was used before or is older than 30 s: get another from POST /tickets"
                )
            return principal
        cookies = headers.get("cookie", "")
        principal = self._renewed(self._sessions.get(cookie(cookies, self._cookie)))
        if principal is None and self._foreign_cookie:
            principal = await self._from_foreign_cookie(headers, method)
        return principal

    def holds(self, principal: Principal) -> bool:
        """Tell whether the caller's credential still holds and grants the same. Cheap; for open streams."""
        return not self.enabled or self._renewed(principal) == principal

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
        self._sessions.take(cookie(headers.get("cookie", ""), self._cookie))
        return self._set_cookie("", 0, secure)

    async def _from_jwt(self, text: str, client: str) -> Principal:
        assert self.verifier is not None
        try:
            return await self.verifier.principal(text)
        except Forged:
            self._guessed("jwt", client)
            raise
        except Unauthenticated:
            # No guess: the browsers behind one address all come with one that is over, each hour.
            self._failures["jwt"] += 1
            raise

    def _guessed(self, kind: str, client: str) -> None:
        self._failures[kind] += 1
        self._throttle.failed(client)

    async def _from_foreign_cookie(self, headers: Mapping[str, str], method: str) -> Principal | None:
        text = jwt_in_cookie(headers.get("cookie", ""), self._foreign_cookie)
        if not text or self.verifier is None:
            return None
        if not _asked_by_own_page(headers, method):
            raise Unauthenticated(
                f"the cookie {self._foreign_cookie!r} counts only where the browser says which page asks (Origin): "
                "send 'Authorization: Bearer <token>' from elsewhere"
            )
        try:
            return await self.verifier.principal(text)
        except Unauthenticated:
            return None

    def _renewed(self, principal: Principal | None) -> Principal | None:
        """Return the caller as its credential stands now, None where that is over or gone."""
        if principal is None:
            return None
        if principal.issued_by:
            return principal if self.verifier is not None and self.verifier.trusts(principal) else None
        token = None if self._file is None else self._file.current().get(principal.credential)
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
            except ValueError:  # no base64, or no UTF-8 in it
                pass
    raise Unauthenticated("Authorization: expected 'Bearer <token>', or Basic with the token as password")


def _asked_by_own_page(headers: Mapping[str, str], method: str) -> bool:
    """Tell whether a page that may call sent a cookie which, unlike our own, may come along from any site.

    Whether an Origin is allowed was checked before, for every request. Browsers leave it out when a page reads from
    its own site, when someone follows a link (nobody but them sees the answer), and for images and scripts of other
    pages, which Sec-Fetch-Site gives away. WebSockets and writes always have it.
    """
    if "origin" in headers:
        return True
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    return method in ("GET", "HEAD") and (site in ("none", "same-origin") or mode == "navigate")
