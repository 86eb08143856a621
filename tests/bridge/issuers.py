"""Issuers of JWTs for tests: they sign by hand, not by the library that verifies, and publish keys over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SECRET: Final = "kP3v8mZq5tYw9xBc2nRd7gHj4sLf6aEu"
ISSUER: Final = "https://project.supabase.co/auth/v1"
AUDIENCE: Final = "authenticated"
HS256: Final[Mapping[str, Any]] = {"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_issuer": ISSUER}
"""Settings of a bridge that takes what `signed` signs."""

VIEWER: Final = {"role": "viewer", "features": ["*"]}


def claims(now_s: float, *, lasts_s: float = 3600, **more: Any) -> dict[str, Any]:
    """Make the claims that Supabase puts into a JWT of a user, the one of featurewatch in app_metadata."""
    return {
        "aud": AUDIENCE,
        "iss": ISSUER,
        "exp": now_s + lasts_s,
        "iat": now_s,
        "sub": "0f3c8a52-6a0e-4b5f-9f0a-5b6f6c1f2a3d",
        "email": "ada@example.com",
        "role": "authenticated",
        "app_metadata": {"provider": "email", "featurewatch": VIEWER},
        "user_metadata": {"featurewatch": {"role": "admin", "features": ["*"]}},
        **more,
    }


def signed(payload: Any, *, secret: str = SECRET, **header: Any) -> str:
    """Sign by HS256, whatever the header says."""
    text = _unsigned(payload, {"alg": "HS256", "typ": "JWT", **header})
    return f"{text}.{encoded(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


class SigningKey:
    """A private key: RS256, ES256 or EdDSA."""

    def __init__(self, algorithm: str, id_: str | None = None, *, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.id = id_
        self._rsa = rsa.generate_private_key(65537, bits) if algorithm == "RS256" else None
        self._ec = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else None
        self._ed = ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else None

    def sign(self, payload: Any, **header: Any) -> str:
        named = {} if self.id is None else {"kid": self.id}
        text = _unsigned(payload, {"alg": self.algorithm, "typ": "JWT", **named, **header})
        return f"{text}.{encoded(self._signature(text.encode()))}"

    def public(self, **more: Any) -> dict[str, Any]:
        """Return the public half as a JWK."""
        named = {} if self.id is None else {"kid": self.id}
        return {**self._public(), **named, "use": "sig", "alg": self.algorithm, **more}

    def _signature(self, text: bytes) -> bytes:
        if self._rsa is not None:
            return self._rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        if self._ed is not None:
            return self._ed.sign(text)
        assert self._ec is not None
        r, s = decode_dss_signature(self._ec.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _public(self) -> dict[str, Any]:
        if self._rsa is not None:
            numbers = self._rsa.public_key().public_numbers()
            size = (numbers.n.bit_length() + 7) // 8
            return {"kty": "RSA", "n": encoded(numbers.n.to_bytes(size, "big")), "e": encoded(b"\x01\x00\x01")}
        if self._ed is not None:
            return {"kty": "OKP", "crv": "Ed25519", "x": encoded(self._ed.public_key().public_bytes_raw())}
        assert self._ec is not None
        point = self._ec.public_key().public_numbers()
        x, y = (encoded(value.to_bytes(32, "big")) for value in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


class Issuer:
    """Publishes keys at `url`; what it answers can be changed while it runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = b'{"keys": []}'
        self.status = 200
        self.asked = 0

    def publish(self, *keys: SigningKey) -> None:
        self.body = json.dumps({"keys": [key.public() for key in keys]}).encode()


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve a JWKS on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked += 1
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told = Issuer(f"http://127.0.0.1:{server.server_address[1]}/.well-known/jwks.json")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unsigned(payload: Any, header: Mapping[str, Any]) -> str:
    parts = (header, payload)
    return ".".join(encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)
