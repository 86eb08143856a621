"""When the garbage collector may look at everything: with 10,000 connections one look stops the bridge for a second."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final

__all__ = ["Collector", "calm"]

YOUNG: Final = 10_000
YOUNG_ROUNDS: Final = 10
"""New containers until the youngest are looked at, and how often until the next older: a few milliseconds each."""
NEVER: Final = 2**31 - 1

GROWTH: Final = 1.5
LEAST_GROWTH: Final = 200_000
"""The heap's growth, as a factor and in blocks, that makes a look at everything worth its pause.

Most of it is what lives; the rest, objects that refer to each other in a circle and are gone, is what the look frees.
So both stay below half of what lives, or 20 MB.
"""
LOOK_EVERY_S: Final = 5.0


class Collector:
    """Looks at everything when the heap has grown by half since the last time, and else never.

    Python would do so whenever a quarter as many new containers had survived as there are old ones. With 10,000
    connections, each of which leaves a handful of short-lived ones a message, that is every few seconds, and 1.2 s
    long (measured); what it finds then is mostly nothing.

    Args:
        blocks: how many blocks of memory are in use; some 50 microseconds, also of a large heap.
    """

    def __init__(self, *, blocks: Callable[[], int] = sys.getallocatedblocks) -> None:
        self._blocks = blocks
        self._kept = blocks()

    def look(self) -> bool:
        """Collect everything where that is due; whether it was."""
        if self._blocks() <= max(self._kept * GROWTH, self._kept + LEAST_GROWTH):
            return False
        gc.collect()
        self._kept = self._blocks()
        return True


@contextlib.asynccontextmanager
async def calm() -> AsyncIterator[None]:
    """Let nothing but a `Collector` look at everything while the block runs."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, YOUNG_ROUNDS, NEVER)
    collector = Collector()

    async def look_for_ever() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            collector.look()

    looking = asyncio.create_task(look_for_ever(), name="featurewatch-garbage")
    try:
        yield
    finally:
        looking.cancel()
        gc.set_threshold(*before)
