"""Equal questions of many, asked together: those who ask while one is being answered share the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["NextFlight"]

Answer = TypeVar("Answer")


class NextFlight(Generic[Answer]):
    """Answers each with what was read after they asked, with two questions at a time at most for however many."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Answer]] = {}
        self._next: dict[Hashable, asyncio.Task[Answer]] = {}

    async def ask(self, key: Hashable, question: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Return the answer of `question`, or of an equal one that begins after this call.

        Who is cancelled no longer waits; the question goes on for the others.
        """
        task = self._next.get(key)
        if task is None:
            before = self._running.get(key)
            task = asyncio.create_task(self._after(key, before, question))
            if before is None:
                self._running[key] = task
            else:
                self._next[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what runs. Harmless when repeated."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _after(
        self, key: Hashable, before: asyncio.Task[Answer] | None, question: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> Answer:
        if before is not None:
            await asyncio.wait([before])
            # From here on it is too late to join: it has begun.
            self._running[key] = self._next.pop(key)
        return await question()

    def _landed(self, key: Hashable, task: asyncio.Task[Answer]) -> None:
        for table in (self._running, self._next):
            if table.get(key) is task:
                del table[key]
        if not task.cancelled():
            task.exception()  # seen, where all who asked have left
