"""Tasks that come round: each when it is due, one at a time, tried again ever more seldom where they fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from ..errors import FeaturewatchError

__all__ = ["RETRY_S", "Rounds"]

_log = logging.getLogger(__name__)

RETRY_S: Final = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
_IDLE_S: Final = 3600.0


class Rounds:
    """Runs tasks by name in one asyncio task.

    Args:
        tasks: what is run.
        failed: told why a task failed; it says when it is tried again.
        monotonic: seconds.
    """

    def __init__(
        self,
        tasks: Mapping[str, Callable[[], Awaitable[None]]],
        failed: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = dict(tasks)
        self._failed = failed
        self._now = monotonic
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def add(self, task: str, run: Callable[[], Awaitable[None]]) -> None:
        """Have one task more."""
        self._tasks[task] = run

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop, in the middle of a task if one runs. Harmless when repeated."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    def due(self, task: str, in_s: float = 0.0) -> None:
        """Let a task run in so many seconds, or earlier where it is due earlier."""
        at = self._now() + in_s
        if at < self._due.get(task, float("inf")):
            self._due[task] = at
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pause = min(self._due.values(), default=self._now() + _IDLE_S) - self._now()
            if pause > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                continue
            task = min(self._due, key=lambda name: self._due[name])
            del self._due[task]
            try:
                await self._tasks[task]()
            except FeaturewatchError as error:
                self._failed(error.message)
            except Exception:
                _log.exception("%s failed", task)
                self._failed("the bridge made a mistake; its log says which")
