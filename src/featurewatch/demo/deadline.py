"""A deadline that the work itself checks: what runs past it ends with TimeoutError, not with a killed thread."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """End work that takes longer than `seconds` from now.

    `check` is called wherever the work takes another step; it raises TimeoutError once the time is over.
    """

    __slots__ = ("_clock", "_end", "seconds")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def check(self) -> None:
        if self._clock() > self._end:
            raise TimeoutError(f"not finished within {self.seconds:g} s")
