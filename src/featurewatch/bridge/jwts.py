"""JWTs of other systems: verified by a shared secret or by an issuer's public keys."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from ..access import Principal
from ..confidential import weakness
from ..errors import SettingsError, Unauthenticated
from ..settings import Settings
from .claims import Forged, principal_of
from .jwks import Key, RemoteKeys, fetch_from

__all__ = ["Verifier"]

_log = logging.getLogger(__name__)

LONGEST: Final = 16_384
"""Characters of a JWT; those with the groups of a large directory reach 8,000."""

MOST_KNOWN: Final = 1000
"""JWTs whose signature was verified and need not be again: that takes a hundred times as long as looking it up."""

_HMAC: Final = "HS256"
_OPTIONS: Final[Mapping[str, Any]] = {
    "require": ["exp", "aud", "iss"],
    # The library would compare these with a clock of its own: see `claims`.
    "verify_exp": False, "verify_nbf": False, "verify_iat": False,
    "verify_sub": False, "verify_jti": False,
}  # fmt: skip


class Verifier:
    """Finds out whose a JWT is. The algorithm follows from the key, never from the JWT.

    Args:
        secret: verifies HS256 alone; None: no JWT of that kind is taken.
        keys: verify what is signed by an issuer's private keys.
        audience, issuer: of each, one must be named.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        secret: bytes | None,
        keys: RemoteKeys | None,
        *,
        audience: Sequence[str],
        issuer: Sequence[str],
        clock: Callable[[], int],
    ) -> None:
        self.keys = keys
        mark = "" if secret is None else f"secret:{sha256(secret).hexdigest()[:16]}"
        self._shared = None if secret is None else Key("", _HMAC, secret, mark)
        self._audience = list(audience)
        self._issuer = list(issuer)
        self._clock = clock
        self._known: OrderedDict[bytes, Principal] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings, *, clock: Callable[[], int]) -> Verifier | None:
        """Make the one that the settings ask for, None where they ask for none.

        Raises:
            SettingsError: the file of the secret cannot be read, or holds none that can be used.
        """
        if not settings.jwt:
            return None
        secret = settings.jwt_secret or _from_file(settings)
        keys = None
        if settings.jwt_jwks_url:
            keys = RemoteKeys(fetch_from(settings.jwt_jwks_url), clock=clock)
            place = urlsplit(settings.jwt_jwks_url)
            if place.scheme == "http" and place.hostname not in ("127.0.0.1", "localhost", "::1"):
                _log.warning("JWT_JWKS_URL is plain http: whoever can change it on the way can sign JWTs; use https")
        return cls(
            secret.encode() if secret else None,
            keys,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            clock=clock,
        )

    @property
    def shared(self) -> bool:
        """Whether a shared secret verifies, too."""
        return self._shared is not None

    async def principal(self, text: str) -> Principal:
        """Find the caller that a JWT stands for.

        Raises:
            Forged: it is no JWT, or its signature is wrong. Unauthenticated: it is over, or made for others.
            Forbidden: it says nothing of featurewatch. Unavailable: the issuer's keys cannot be fetched.
        """
        if len(text) > LONGEST:
            raise Forged(f"the JWT is longer than {LONGEST} characters, the most that is taken")
        if not text.isascii():
            raise Forged("the JWT is damaged: expected letters, digits, '-', '_' and two dots")
        digest = sha256(text.encode()).digest()
        known = self._known.get(digest)
        if known is None or not self.trusts(known):
            known = self._known[digest] = await self._examined(text)
            self._known.move_to_end(digest)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def trusts(self, principal: Principal) -> bool:
        """Tell whether a caller's JWT still holds: it is not over, and the key that signed it was not withdrawn."""
        if principal.expires_ns is None or principal.expires_ns <= self._clock():
            return False
        if self._shared is not None and principal.issued_by == self._shared.mark:
            return True
        return self.keys is not None and self.keys.trusts(principal.issued_by)

    async def _examined(self, text: str) -> Principal:
        header = _header(text)
        algorithm, id_ = header["alg"], header.get("kid")
        if algorithm == _HMAC:
            if self._shared is None:
                raise Forged("the JWT is signed by HS256, and no JWT_SECRET is set")
            return self._verified(text, (self._shared,))
        if self.keys is None:
            raise Forged("the JWT is signed by another algorithm than HS256, and no JWT_JWKS_URL is set")
        try:
            return self._verified(text, await self.keys.find(id_, algorithm))
        except Forged:
            # An issuer may rotate a key without another name for the new one.
            if not await self.keys.refresh():
                raise
        return self._verified(text, await self.keys.find(id_, algorithm))

    def _verified(self, text: str, keys: Sequence[Key]) -> Principal:
        for key in keys:
            try:
                claims = jwt.decode(
                    text,
                    key.material,
                    algorithms=[key.algorithm],
                    audience=self._audience,
                    issuer=self._issuer,
                    options=_OPTIONS,  # type: ignore[arg-type]  # a TypedDict of theirs
                )
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                continue
            except jwt.MissingRequiredClaimError as error:
                raise Unauthenticated(f"the JWT lacks the claim {error.claim!r}: aud, iss and exp are needed") from None
            except jwt.InvalidAudienceError:
                raise Unauthenticated(
                    f"the JWT is made for another audience: expected aud {' or '.join(map(repr, self._audience))}"
                ) from None
            except jwt.InvalidIssuerError:
                raise Unauthenticated(
                    f"the JWT is made by another issuer: expected iss {' or '.join(map(repr, self._issuer))}"
                ) from None
            except (jwt.PyJWTError, ValueError, TypeError):
                raise Forged("the JWT is damaged") from None
            return principal_of(claims, key.mark, self._clock())
        raise Forged("the JWT's signature is wrong: it was changed, or signed by another key")


def _header(text: str) -> Mapping[str, Any]:
    """Read what a JWT says of its signature, which nobody has verified yet."""
    try:
        header = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Forged("the JWT is damaged") from None
    if not isinstance(header.get("alg"), str):
        raise Forged("the JWT names no algorithm (alg)")
    if "crit" in header or "b64" in header:
        raise Forged("the JWT needs what this bridge does not know (crit, b64)")
    return header


def _from_file(settings: Settings) -> str:
    """Read JWT_SECRET_FILE; neither its content nor its path, which may be the secret by mistake, is shown."""
    path = settings.jwt_secret_file
    if path is None:
        return ""
    said = "FEATUREWATCH_JWT_SECRET_FILE: expected the path of a file that holds the secret"
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingsError(f"{said} ({getattr(error, 'strerror', None) or 'it is no text'})") from None
    if weak := weakness(secret, public=not settings.loopback):
        raise SettingsError(f"FEATUREWATCH_JWT_SECRET_FILE: the file's content: {weak}")
    return secret
