"""Turns at writing: so many bytes in one round of the event loop, over all clients, then everybody else is served.

A socket takes megabytes without making its writer wait: without turns, a burst to hundreds of clients would be written
in one go, and requests would wait for seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .messages import PARCEL_BYTES

__all__ = ["Turns"]

TURN_BYTES: Final = 4 * 1024**2
"""Some milliseconds."""


class Turns:
    """Hands out turns, first come, first served. Who has one writes about a parcel, and says how much it was."""

    __slots__ = ("_left", "_refilling", "_size", "_waiting", "free")

    def __init__(self, size: int = TURN_BYTES) -> None:
        self._size = size
        self._left = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refilling = False
        self.free = True
        """Whether one may write now; else one has to `wait`. Looked at before each write, so it is no property."""

    def spend(self, size: int) -> None:
        """Say how much was written."""
        self._left = left = self._left - size
        if left <= 0:
            self.free = False
        if not self._refilling:
            self._refill_next()

    async def wait(self) -> None:
        """Return when it is one's turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.free = False
        if not self._refilling:
            self._refill_next()
        await turn

    def _refill_next(self) -> None:
        self._refilling = True
        asyncio.get_running_loop().call_soon(self._refill)

    def _refill(self) -> None:
        self._refilling = False
        self._left = self._size
        turns = self._size // PARCEL_BYTES
        while self._waiting and turns > 0:
            turn = self._waiting.popleft()
            if not turn.done():  # a client that left meanwhile
                turns -= 1
                turn.set_result(None)
        self.free = not self._waiting
        if self._waiting:
            self._refill_next()
