"""API tokens: made once, shown once, kept as hashes in one small JSON file.

A token is `fw_<id>_<secret>`: the id finds its line in the file and in logs, the secret has 256 random bits. The file
keeps the SHA-256 of the secret. A slow hash, as passwords need, would add nothing: there is no dictionary of
256-bit secrets to try, and every request would pay for it.

    {"version": 1, "tokens": [{"id", "name", "role", "features": [patterns], "created", "expires", "sha256"}]}
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .access import ALLOWED, PATTERN, PATTERN_RULE, Principal
from .errors import BadInput, NotFound, SettingsError
from .model import Role
from .times import NS, format_instant, parse_instant

__all__ = ["Token", "create", "find", "load", "revoke"]

_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_LENGTH: Final = 43  # 62^43 > 2^256


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file: who may do what, until when; not the secret."""

    id: str
    name: str
    role: Role
    features: tuple[str, ...]
    created_ns: int
    expires_ns: int | None
    sha256: str

    def over(self, now_ns: int) -> bool:
        return self.expires_ns is not None and self.expires_ns <= now_ns

    def principal(self) -> Principal:
        return Principal(self.name, self.role, self.features, self.expires_ns, self.id)


def find(tokens: Mapping[str, Token], text: str, now_ns: int) -> Token | None:
    """Find the token that `text` is, None where it is none, was revoked or is past its end. In constant time."""
    prefix, _, rest = text.partition("_")
    id_, _, secret = rest.partition("_")
    token = tokens.get(id_) if prefix == "fw" else None
    same = hmac.compare_digest(_hash(secret), token.sha256 if token else _hash(""))
    return token if token is not None and same and not token.over(now_ns) else None


def load(path: Path) -> dict[str, Token]:
    """Read the file: tokens by id.

    Raises:
        SettingsError: it cannot be read, or is not what this module writes; the message says where it is wrong.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: the file of API tokens does not exist: make one with "
            f"'featurewatch token create --role admin --file {path}'"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path}: the file of API tokens cannot be read ({error.strerror})") from None
    return parse(content, str(path))


def parse(content: bytes, where: str) -> dict[str, Token]:
    """Read the file's content; `where` names it in errors."""
    try:
        data = json.loads(content)
    except ValueError as error:
        raise SettingsError(f"{where}: expected JSON ({error}): restore it, or make tokens anew") from None
    lines = data.get("tokens") if isinstance(data, dict) else None
    if not isinstance(lines, list) or data.get("version") != 1:
        raise SettingsError(f'{where}: expected {{"version": 1, "tokens": [...]}}: was it written by featurewatch?')
    tokens: dict[str, Token] = {}
    for index, line in enumerate(lines):
        try:
            token = _token(line)
        except (KeyError, TypeError, ValueError, BadInput) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise SettingsError(f"{where}: token {index + 1}: {reason}") from None
        tokens[token.id] = token
    return tokens


def create(
    path: Path,
    *,
    role: Role,
    features: Sequence[str] = ("*",),
    name: str = "",
    expires_s: float | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> tuple[Token, str]:
    """Make a token and keep its hash in the file, which is made where there is none (mode 0600).

    Returns:
        the token and its text, which exists nowhere else from here on.

    Raises:
        BadInput: role, features or name are not what they should be; SettingsError: the file is broken.
    """
    now = clock()
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    with _edited(path) as tokens:
        id_ = _unused(tokens)
        expires = None if expires_s is None else now + int(expires_s * NS)
        token = Token(id_, name.strip() or f"{role}-{id_}", role, tuple(features), now, expires, _hash(secret))
        _check(token)
        tokens[id_] = token
    return token, f"fw_{id_}_{secret}"


def revoke(path: Path, token_id: str) -> Token:
    """Take a token out of the file; a running bridge refuses it from its next request on.

    Raises:
        NotFound: the file has no such id (nor is the id the start of a whole token).
    """
    wanted = token_id.removeprefix("fw_").partition("_")[0]
    load(path)
    with _edited(path) as tokens:
        if wanted not in tokens:
            raise NotFound(f"no token has the id {wanted!r}: 'featurewatch token list' shows them")
        return tokens.pop(wanted)


def _unused(tokens: Mapping[str, Token]) -> str:
    while True:
        id_ = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        if id_ not in tokens:
            return id_


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Token]]:
    """Give the tokens for a change, alone, and write them beside the file and over it where the block succeeds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"{path}: the file of API tokens cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = load(path) if path.exists() else {}
        yield tokens
        _write(path, _render(tokens))
    finally:
        os.close(lock)


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.fchmod(file, 0o600)
            os.write(file, content)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SettingsError(f"{path}: the file of API tokens cannot be written ({error.strerror})") from None


def _render(tokens: Mapping[str, Token]) -> bytes:
    lines = [
        {
            "id": token.id,
            "name": token.name,
            "role": token.role,
            "features": list(token.features),
            "created": format_instant(token.created_ns),
            "expires": None if token.expires_ns is None else format_instant(token.expires_ns),
            "sha256": token.sha256,
        }
        for token in tokens.values()
    ]
    return json.dumps({"version": 1, "tokens": lines}, indent=2).encode() + b"\n"


def _token(line: Mapping[str, Any]) -> Token:
    if not isinstance(line, Mapping):
        raise BadInput("expected an object")
    expires = line.get("expires")
    token = Token(
        id=line["id"],
        name=line["name"],
        role=line["role"],
        features=tuple(line["features"]),
        created_ns=parse_instant(line["created"], name="created"),
        expires_ns=None if expires is None else parse_instant(expires, name="expires"),
        sha256=line["sha256"],
    )
    _check(token)
    return token


def _check(token: Token) -> None:
    if not (isinstance(token.id, str) and re.fullmatch(r"[a-z0-9]{4,32}", token.id)):
        raise BadInput("id: expected 4 to 32 lower-case letters and digits")
    if not (isinstance(token.name, str) and token.name.isprintable() and len(token.name) <= 100):
        raise BadInput("name: expected at most 100 characters on one line")
    if token.role not in ALLOWED:
        raise BadInput(f"role: expected one of {', '.join(ALLOWED)}, got {token.role!r}")
    if not token.features:
        raise BadInput(f"features: expected at least one pattern: {PATTERN_RULE}")
    for pattern in token.features:
        if not (isinstance(pattern, str) and PATTERN.fullmatch(pattern)):
            raise BadInput(f"features: expected {PATTERN_RULE}, got {str(pattern)[:40]!r}")
    if not (isinstance(token.sha256, str) and re.fullmatch(r"[0-9a-f]{64}", token.sha256)):
        raise BadInput("sha256: expected 64 hexadecimal digits")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
