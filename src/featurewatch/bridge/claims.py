"""What the claims of a verified JWT say of its bearer: role, features, name, until when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from ..access import ALLOWED, PATTERN, PATTERN_RULE, Principal
from ..errors import Forbidden, Unauthenticated
from ..times import NS

__all__ = ["LEEWAY_S", "Forged", "principal_of"]

LEEWAY_S: Final = 10
"""Clocks of issuers and bridges may differ by so much."""

CLAIM: Final = "featurewatch"
MOST_PATTERNS: Final = 200
LONGEST_NAME: Final = 100

_LATEST_S: Final = 9_000_000_000
"""Some year in which nobody asks any more (2255); later instants do not fit into 64 bits of nanoseconds."""


class Forged(Unauthenticated):
    """No key that is known signed it: a guess, an attack or a mistake, unlike a JWT that was good once."""


def principal_of(claims: Mapping[str, Any], issued_by: str, now_ns: int) -> Principal:
    """Make the caller that claims describe, once signature, audience and issuer are known to be right.

    Role and features stand in the claim `featurewatch: {"role": …, "features": [patterns]}`, or in
    `app_metadata.featurewatch`, which Supabase lets the project's own server write alone (`user_metadata` is written
    by the users themselves, so nothing is read from it).

    Args:
        issued_by: the id of the key that signed.

    Raises:
        Unauthenticated: it is over, not valid yet, or does not say until when it is.
        Forbidden: it says nothing of featurewatch, or what it says cannot be understood.
    """
    ends_ns = _lasts(claims, now_ns)
    name = _name(claims)
    granted = _granted(claims)
    if granted is None:
        raise Forbidden(
            f"the JWT of {name!r} says nothing of featurewatch: its issuer has to add the claim "
            '"featurewatch": {"role": "viewer", "features": ["*"]}, at the top or in app_metadata'
        )
    role = granted.get("role")
    if not (isinstance(role, str) and role in ALLOWED):
        raise Forbidden(f"the JWT's claim {CLAIM}.role: expected one of {', '.join(ALLOWED)}, got {_shown(role)}")
    patterns = granted.get("features")
    if not (isinstance(patterns, list) and 0 < len(patterns) <= MOST_PATTERNS):
        raise Forbidden(
            f'the JWT\'s claim {CLAIM}.features: expected a list of 1 to {MOST_PATTERNS} patterns such as ["sum*"], '
            f"got {_shown(patterns)}"
        )
    for pattern in patterns:
        if not (isinstance(pattern, str) and PATTERN.fullmatch(pattern)):
            raise Forbidden(f"the JWT's claim {CLAIM}.features: expected {PATTERN_RULE}, got {_shown(pattern)}")
    return Principal(name, role, tuple(patterns), ends_ns, _credential(claims, name), issued_by)


def _lasts(claims: Mapping[str, Any], now_ns: int) -> int:
    """Return when the JWT ends, the leeway included."""
    now_s, ends_s = now_ns / NS, _instant(claims, "exp")
    if ends_s is None:
        raise Unauthenticated("the JWT does not say until when it is valid (exp): such a one is not taken")
    if ends_s + LEEWAY_S <= now_s:
        when = datetime.fromtimestamp(max(0.0, ends_s), UTC)
        raise Unauthenticated(f"the JWT is over since {when:%Y-%m-%dT%H:%M:%SZ}: sign in again, or send a new one")
    for name in ("nbf", "iat"):
        begins_s = _instant(claims, name)
        if begins_s is not None and begins_s - LEEWAY_S > now_s:
            raise Unauthenticated(f"the JWT is not valid yet ({name}): do the clocks of issuer and bridge agree?")
    return int((ends_s + LEEWAY_S) * NS)


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Read a NumericDate (RFC 7519, section 2): seconds since the epoch, perhaps with a fraction."""
    value = claims.get(name)
    if value is None:
        return None
    # NaN would make every comparison false: such a JWT would never end.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise Unauthenticated(f"the JWT's {name}: expected seconds since 1970, got {_shown(value)}")
    return float(min(max(value, -_LATEST_S), _LATEST_S))


def _granted(claims: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find what is said of featurewatch; at the top it wins over app_metadata."""
    metadata = claims.get("app_metadata")
    for place in (claims, metadata if isinstance(metadata, dict) else {}):
        granted = place.get(CLAIM)
        if granted is not None:
            if not isinstance(granted, dict):
                raise Forbidden(
                    f'the JWT\'s claim {CLAIM}: expected an object such as {{"role": "viewer", "features": ["*"]}}, '
                    f"got {_shown(granted)}"
                )
            return granted
    return None


def _name(claims: Mapping[str, Any]) -> str:
    """Name the bearer as people know it, on one line: what the audit shows."""
    for key in ("email", "sub"):
        value = claims.get(key)
        if isinstance(value, str):
            name = "".join(mark for mark in value if mark.isprintable()).strip()
            if name:
                return name[:LONGEST_NAME]
    return "unnamed"


def _credential(claims: Mapping[str, Any], name: str) -> str:
    """Make an id that stays the same from one JWT of a bearer to the next."""
    who = claims.get("sub")
    told = f"{claims.get('iss')}\0{who if isinstance(who, str) and who else name}"
    return "jwt:" + blake2b(told.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
