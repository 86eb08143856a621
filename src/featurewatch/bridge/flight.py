"""Identical concurrent queries run once, and their answer serves for a moment."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")

MAX_KEPT: Final = 64


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    waiting: int = 0


class SingleFlight:
    """Runs a query once for all who ask it at the same time; keeps at most 64 answers for `seconds`.

    A query ends when the last who waits for it has gone. A failure is told to all who wait and is not kept.
    """

    def __init__(self, *, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._flights: dict[Hashable, _Flight] = {}
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    async def run(
        self, key: Hashable, query: Callable[[], Coroutine[Any, Any, Answer]], *, keep: bool = True
    ) -> Answer:
        """Return the answer of `query`, of one that runs for the same key, or one younger than `seconds`.

        `keep` is False for answers that are too large to be held.
        """
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            answer: Answer = kept[1]
            return answer
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(query()))
            flight.task.add_done_callback(lambda task: self._landed(key, task, keep))
        joined: Answer = await self._join(key, flight)
        return joined

    async def _join(self, key: Hashable, flight: _Flight) -> Any:
        flight.waiting += 1
        try:
            return await _shielded(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # Leaves the table at once: whoever asks next must not join a query that is ending.
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()

    def _landed(self, key: Hashable, task: asyncio.Task[Any], keep: bool) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if task.cancelled() or task.exception() is not None or not keep:
            return
        now = self._clock()
        self._kept[key] = (now + self._seconds, task.result())
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT or next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)


async def _shielded(task: asyncio.Task[Answer]) -> Answer:
    awaitable: Awaitable[Answer] = asyncio.shield(task)
    return await awaitable
