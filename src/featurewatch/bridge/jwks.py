"""The public keys of an issuer of JWTs: fetched from its JWKS, followed through its rotations."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import httpx
import jwt

from ..confidential import redacted
from ..errors import Unavailable
from ..times import NS
from .claims import Forged

__all__ = ["Key", "RemoteKeys", "fetch_from", "read_keys"]

FRESH_S: Final = 600
"""Keys are fetched anew so often: a key that its issuer withdraws holds so long at most."""
PAUSE_S: Final = 30
"""A key that is not known makes the set be fetched anew, but not more often than this."""
IMPATIENT_S: Final = 5
"""The pause while there are no keys at all."""
STALE_S: Final = 24 * 3600
"""While the issuer cannot be reached its last keys hold, this long."""
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MOST_TRIED: Final = 4
"""Keys that one signature is tried with, where an issuer's JWTs do not tell its keys apart."""

_ALGORITHMS: Final[Mapping[str, Sequence[str]]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC:P-256": ("ES256",),
    "EC:P-384": ("ES384",),
    "EC:P-521": ("ES512",),
    "OKP:Ed25519": ("EdDSA",),
}
"""By kind of key the algorithms that it may be for, first the one of a key that names none. No shared secrets."""

_RSA_BITS: Final = 2048
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")

_log = logging.getLogger(__name__)

Fetch: TypeAlias = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Key:
    """What verifies a signature: `algorithm` is fixed, whatever a JWT says; `mark` tells the key from all others."""

    id: str
    algorithm: str
    material: Any
    mark: str


def read_keys(document: Any) -> tuple[list[Key], list[str]]:
    """Read a JWKS (RFC 7517): the keys that can verify, and why others cannot, a line each.

    Raises:
        ValueError: it is no JWKS.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError('expected {"keys": [...]}')
    keys: list[Key] = []
    problems: list[str] = []
    for index, told in enumerate(listed[:MAX_KEYS]):
        try:
            keys.append(_key(told))
        except Exception as error:  # a key is what others write: whatever is wrong with one must not hide the others
            problems.append(f"key {index + 1}: {' '.join(str(error).split())[:120]}")
    if len(listed) > MAX_KEYS:
        problems.append(f"of {len(listed)} keys the first {MAX_KEYS} are read")
    return keys, problems


def _key(told: Any) -> Key:
    if not isinstance(told, dict):
        raise ValueError("expected an object")
    kind = f"{told.get('kty')}:{told.get('crv')}" if "crv" in told else str(told.get("kty"))
    allowed = _ALGORITHMS.get(kind)
    if allowed is None:
        raise ValueError(f"expected RSA, EC or Ed25519, got {kind[:40]}")
    algorithm = told.get("alg") or allowed[0]
    if algorithm not in allowed:
        raise ValueError(f"expected an algorithm of {kind} ({', '.join(allowed)}), got {str(algorithm)[:40]}")
    operations = told.get("key_ops")
    if told.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        raise ValueError("it is not for signatures")
    material = jwt.PyJWK({name: told[name] for name in _PUBLIC if name in told}, algorithm)
    if kind == "RSA" and material.key.key_size < _RSA_BITS:
        raise ValueError(f"expected an RSA key of at least {_RSA_BITS} bits, got {material.key.key_size}")
    shape = json.dumps([told.get(name) for name in (*_PUBLIC, "kid")]) + algorithm
    id_ = told.get("kid")
    return Key(id_ if isinstance(id_, str) else "", algorithm, material, hashlib.sha256(shape.encode()).hexdigest())


class RemoteKeys:
    """The keys at an address, kept in memory; all of it happens on one event loop.

    A key that is not known makes the set be fetched anew, once for all who ask and at most every 30 s; else it is
    fetched every 10 minutes in the background. While that fails the last keys hold, for a day.

    Args:
        fetch: returns the document; whatever it raises means that the keys cannot be had now.
        clock: nanoseconds since the epoch.
    """

    def __init__(self, fetch: Fetch, *, shown: str = "JWT_JWKS_URL", clock: Callable[[], int] = time.time_ns) -> None:
        self.fetches: Counter[str] = Counter({"ok": 0, "failed": 0})
        self._fetch = fetch
        self._shown = shown
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._read_ns: int | None = None
        self._tried_ns: int | None = None
        self._failure = ""
        self._running: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def failure(self) -> str:
        """Why JWTs that these keys sign cannot be verified now, "" where they can."""
        return self._failure if self._age_s(self._read_ns) > STALE_S else ""

    async def find(self, id_: str | None, algorithm: str) -> Sequence[Key]:
        """Find the keys that may have signed: those that a JWT names by `kid`, or without it all of its algorithm.

        Raises:
            Forged: there is none, or the one that is named is for another algorithm.
            Unavailable: the keys cannot be fetched, so nobody can say.
        """
        if not self._named(id_):
            await self.refresh()
        elif self._age_s(self._read_ns) > FRESH_S:
            self.refresh_soon()
        named = self._named(id_)
        if self.failure or (self._failure and not named):
            raise Unavailable(self._failure)
        if not named:
            raise Forged("the JWT is signed by a key that its issuer does not publish (kid)")
        fitting = [key for key in named if key.algorithm == algorithm]
        if not fitting:
            raise Forged("the JWT's algorithm is not the one of the key that it names (alg)")
        return fitting[:MOST_TRIED]

    def trusts(self, mark: str) -> bool:
        """Tell whether a key is still published; asked every second by each stream, and starts a fetch when due."""
        if self._age_s(self._read_ns) > FRESH_S:
            self.refresh_soon()
        return not self.failure and any(key.mark == mark for key in self._keys)

    def refresh_soon(self) -> None:
        """Fetch in the background, unless that was tried a moment ago."""
        if self._running is None and self._due():
            self._running = asyncio.get_running_loop().create_task(self._update(), name="featurewatch-jwks")

    async def refresh(self) -> bool:
        """Fetch, unless that was tried a moment ago; return, when it is done, whether other keys came."""
        before = self._keys
        self.refresh_soon()
        if self._running is not None:
            await asyncio.shield(self._running)
        return self._keys != before

    async def close(self) -> None:
        """End a fetch that runs."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))

    def _named(self, id_: str | None) -> list[Key]:
        return [key for key in self._keys if id_ is None or key.id == id_]

    def _age_s(self, since_ns: int | None) -> float:
        """Return how long ago something was; a clock that was put back makes it old."""
        if since_ns is None or since_ns > self._clock():
            return float("inf")
        return (self._clock() - since_ns) / NS

    def _due(self) -> bool:
        return self._age_s(self._tried_ns) >= (IMPATIENT_S if self._read_ns is None else PAUSE_S)

    async def _update(self) -> None:
        self._tried_ns = self._clock()
        try:
            keys, problems = read_keys(json.loads(await self._fetch()))
        except Exception as error:
            # Whatever went wrong, those who hold a good JWT must not suffer from it.
            self.fetches["failed"] += 1
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            told = f"{self._shown}: the keys that verify JWTs cannot be fetched ({reason})"
            if told != self._failure:
                _log.warning("%s; the %d keys known hold on", told, len(self._keys))
            self._failure = told
        else:
            self.fetches["ok"] += 1
            self._failure, self._read_ns = "", self._clock()
            if tuple(keys) != self._keys:
                for problem in problems:
                    _log.warning("%s: %s", self._shown, problem)
                _log.info("%s: %d keys: %s", self._shown, len(keys), ", ".join(key.id[:60] for key in keys) or "none")
            self._keys = tuple(keys)
        finally:
            self._running = None


def fetch_from(url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> Fetch:
    """Make a function that fetches from an address: within 5 s, at most 256 KB, redirections not followed.

    Unlike the systems of the stack an issuer is mostly on the internet, so HTTPS_PROXY and SSL_CERT_FILE are heeded.
    """

    async def fetch() -> bytes:
        received = bytearray()
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, headers={"User-Agent": "featurewatch"}) as http,
            http.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"{redacted(url)} answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise ValueError(f"{redacted(url)} answered more than {MAX_BYTES} bytes")
        return bytes(received)

    return fetch
