"""Which transport a stream takes next, and after which pause. Pure: told what happened, and what the time is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

from ..errors import BadInput

__all__ = ["STABLE_S", "Backoff", "Choice", "Transport", "Wanted"]

Transport: TypeAlias = Literal["websocket", "sse"]
Wanted: TypeAlias = Literal["auto", "websocket", "sse"]

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STABLE_S: Final = 10.0
"""A connection that held so long makes the next pause short again."""

CUTS: Final = 2
"""A WebSocket that is cut so often in a row, each time within the stable seconds, is blocked."""
FIRST_RETRY_S: Final = 60.0
LONGEST_RETRY_S: Final = 600.0
"""After so long the WebSocket is tried again; then after twice as long, up to the longest."""


class Backoff:
    """The pauses between attempts: each twice as long as the one before, at random between half and all of it.

    At random, so that the thousand clients of a bridge that restarts do not come back in one moment.
    """

    def __init__(self, *, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._failures = 0
        self._draw = draw

    def held(self, seconds: float) -> None:
        """Note how long a connection was open."""
        if seconds >= STABLE_S:
            self._failures = 0

    def pause(self, at_least: float = 0.0) -> float:
        """Return how many seconds to wait before the next attempt."""
        self._failures += 1
        longest: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._failures - 1))
        return max(self._draw(longest / 2, longest), min(at_least, LONGEST_PAUSE_S))


class Choice:
    """WebSocket as long as it passes; else events, and WebSocket again now and then.

    Args:
        wanted: `auto`, or the one that is to be taken in any case.

    Raises:
        BadInput: it is none of these.
    """

    def __init__(self, wanted: Wanted) -> None:
        if wanted not in get_args(Wanted):
            raise BadInput(f"transport: expected one of {', '.join(get_args(Wanted))}, got {wanted!r}")
        self._wanted = wanted
        self._due = 0.0
        self._retry_s = FIRST_RETRY_S
        self._cuts = 0

    def next(self, now: float) -> Transport:
        if self._wanted != "auto":
            return self._wanted
        return "websocket" if now >= self._due else "sse"

    @property
    def falls_back(self) -> bool:
        """Whether there is another transport to take."""
        return self._wanted == "auto"

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the WebSocket is to be tried beside the events; None: never."""
        return max(0.0, self._due - now) if self._wanted == "auto" else None

    def blocked(self, now: float) -> None:
        """Note that no WebSocket came about though something answered."""
        self._cuts = 0
        self._due = now + self._retry_s
        self._retry_s = min(LONGEST_RETRY_S, self._retry_s * 2)

    def ended(self, now: float, held_s: float, *, cut: bool, dead: bool = False) -> bool:
        """Note that a WebSocket ended that had come about. Whether it counts as blocked now.

        Args:
            cut: nobody said why.
            dead: nothing passed any more, however long it was open.
        """
        if held_s >= STABLE_S and not dead:
            self._cuts, self._retry_s = 0, FIRST_RETRY_S
            return False
        self._cuts = self._cuts + 1 if cut else 0
        if self._cuts < CUTS:
            return False
        self.blocked(now)
        return True

    def passed(self) -> None:
        """Note that a WebSocket passes beside the events."""
        self._due = 0.0

    def silent(self) -> None:
        """Note that the events do not come about either: it was not the WebSocket that was blocked."""
        self._due = 0.0
