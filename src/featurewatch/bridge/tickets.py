"""Secrets that live shortly: tickets for streams and sessions of browsers, in memory, bounded, expiring.

A bridge that shares its state with others needs them shared as well: what it takes is another `Vault` with the same
three methods, over the database.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from ..times import NS

__all__ = ["Vault"]

V = TypeVar("V")


class Vault(Generic[V]):
    """Keeps values under random names of 256 bits, each for a set time. The names are kept as hashes only.

    When it is full the oldest makes room: of tickets one that is nearly over, of sessions the one opened first.
    """

    def __init__(self, *, lifetime_s: float, limit: int, clock: Callable[[], int]) -> None:
        self._lifetime_ns = int(lifetime_s * NS)
        self._limit = limit
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[int, V]] = OrderedDict()

    def put(self, value: V, *, not_after_ns: int | None = None) -> tuple[str, int]:
        """Keep a value and return its name and when it ends: after the lifetime, or at `not_after_ns` if sooner."""
        now = self._clock()
        ends = now + self._lifetime_ns
        if not_after_ns is not None:
            ends = min(ends, not_after_ns)
        while self._kept:
            first = next(iter(self._kept))
            if len(self._kept) < self._limit and self._kept[first][0] > now:
                break
            del self._kept[first]
        name = secrets.token_urlsafe(32)
        self._kept[_digest(name)] = (ends, value)
        return name, ends

    def get(self, name: str) -> V | None:
        """Return the value of a name, None where there is none or its time is over."""
        found = self._kept.get(_digest(name))
        return found[1] if found is not None and found[0] > self._clock() else None

    def take(self, name: str) -> V | None:
        """Return the value of a name and forget it."""
        value = self.get(name)
        self._kept.pop(_digest(name), None)
        return value

    def __len__(self) -> int:
        return len(self._kept)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
