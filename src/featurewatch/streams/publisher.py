"""What the store commits, handed on a slice at a time: between two slices the event loop serves everybody else."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from ..model import LogGap, StoredLog

__all__ = ["Pressure", "Publisher"]

SLICE: Final = 500
"""Lines that are encoded and put before all clients at once: some milliseconds."""
HURRY: Final = 20_000
"""Lines that may wait; above it clients that read slowly are waited for no longer."""
LOOK_S: Final = 0.01
BUSY_S: Final = 1.0
SLOW_S: Final = 0.1
"""How long the next slice waits for clients that have yet to be handed what there is: where it is up to us, and where
it is up to them."""

Pressure: TypeAlias = Literal["none", "slow", "busy"]
"""Whether there are clients with much before them: none; such as do not read; such as were not yet served."""

_log = logging.getLogger(__name__)


class Publisher:
    """A queue of commits and gaps, in order. What is small and finds it empty is published at once.

    What waits here has positions above those that were published, so that a client that comes meanwhile gets it live.
    It is bounded by what publishing takes: slices follow each other without a pause above `HURRY` lines.

    Args:
        publish: publishes some lines; told the position of the last line of their commit.
        lose: publishes a gap.
        pressure: says how the clients stand.
    """

    def __init__(
        self,
        publish: Callable[[Sequence[StoredLog], int], None],
        lose: Callable[[LogGap], None],
        pressure: Callable[[], Pressure],
    ) -> None:
        self._publish = publish
        self._lose = lose
        self._pressure = pressure
        self._waiting: deque[Sequence[StoredLog] | LogGap] = deque()
        self._offset = 0
        self._lines = 0
        self._working: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Lines that are not published yet."""
        return self._lines

    @property
    def idle(self) -> bool:
        """Whether everything is published."""
        return not self._waiting

    def lines(self, batch: Sequence[StoredLog]) -> None:
        """Publish a commit."""
        if not batch:
            return
        if not self._waiting and len(batch) <= SLICE:
            self._publish(batch, batch[-1].position)
            return
        self._lines += len(batch)
        self._wait(batch)

    def gap(self, gap: LogGap) -> None:
        """Publish a gap, after the lines that came before it."""
        if self._waiting:
            self._wait(gap)
        else:
            self._lose(gap)

    def stop(self) -> None:
        """Publish nothing more."""
        if self._working is not None:
            self._working.cancel()

    def _wait(self, item: Sequence[StoredLog] | LogGap) -> None:
        self._waiting.append(item)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="featurewatch-publisher")

    async def _work(self) -> None:
        while self._waiting:
            try:
                self._step()
            except Exception:
                _log.exception("publishing failed")
            await asyncio.sleep(0)
            if self._waiting:
                await self._breathe()

    def _step(self) -> None:
        item = self._waiting[0]
        if isinstance(item, LogGap):
            self._waiting.popleft()
            self._lose(item)
            return
        part = item[self._offset : self._offset + SLICE]
        self._offset += len(part)
        self._lines -= len(part)
        if self._offset >= len(item):
            self._waiting.popleft()
            self._offset = 0
        self._publish(part, item[-1].position)

    async def _breathe(self) -> None:
        """Let the clients take what they were handed, so that a burst does not make gaps for those who keep up."""
        time = asyncio.get_running_loop().time
        started = time()
        while (pressure := self._pressure()) != "none":
            patience = BUSY_S if pressure == "busy" else 0.0 if self._lines > HURRY else SLOW_S
            if time() - started >= patience:
                return
            await asyncio.sleep(0 if pressure == "busy" else LOOK_S)
