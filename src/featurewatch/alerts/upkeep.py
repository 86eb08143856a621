"""What publishers have in common: a target that belongs to one bridge, and rounds that keep it as it should be."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from ..errors import FeaturewatchError, StoreLocked
from .rounds import RETRY_S, Rounds

__all__ = ["INTERVAL_S", "Owned", "Upkeep"]

INTERVAL_S: Final = 15.0
"""Between two publications, the first edit after a quiet time excepted."""

_log = logging.getLogger(__name__)


class Owned(Protocol):
    """A target that is taken possession of before it is written; `close` lets go of it."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class Upkeep(ABC):
    """Publishes at once after a quiet time, later edits together; tries again, ever more seldom, what failed.

    Args:
        what: is published, for the log.
        interval_s: between two publications.
        sync_s: between two looks at everything.
        monotonic: seconds; for tests.
    """

    def __init__(
        self, target: Owned, *, what: str, interval_s: float, sync_s: float, monotonic: Callable[[], float]
    ) -> None:
        self.problem = ""
        """Why what is published is not as it should be, "" where it is."""
        self._owned = target
        self._what = what
        self._interval_s = interval_s
        self._sync_s = sync_s
        self._now = monotonic
        self._rounds = Rounds({"publish": self.publish, "sync": self.sync}, self._failed, monotonic=monotonic)
        self._opened = False
        self._last = -1e9
        self._tries = 0

    async def start(self) -> None:
        """Take possession of the target, and publish in the background; what cannot be used yet is tried again.

        Raises:
            StoreLocked: another bridge has it.
        """
        try:
            await self._open()
        except StoreLocked:
            raise
        except FeaturewatchError as error:
            self._failed(error.message)
        self._rounds.due("publish")
        self._rounds.due("sync", self._sync_s)
        self._rounds.start()

    async def stop(self) -> None:
        """Stop and let go of the target. Harmless when repeated."""
        await self._rounds.stop()
        await self._owned.close()

    def nudge(self) -> None:
        """Say that something changed."""
        self._rounds.due("publish", max(0.0, self._last + self._interval_s - self._now()))

    @abstractmethod
    async def publish(self) -> None:
        """Publish what changed."""

    @abstractmethod
    async def sync(self) -> None:
        """Look at everything, and put right what somebody else changed."""

    async def _open(self) -> None:
        if not self._opened:
            await self._owned.open()
            self._opened = True

    def _succeeded(self) -> None:
        self.problem, self._tries = "", 0

    def _failed(self, message: str) -> None:
        """Note that a publication failed, and try again later."""
        if message != self.problem:
            _log.warning("%s are not published as they should be: %s", self._what, message)
        self.problem = message
        self._rounds.due("publish", RETRY_S[min(self._tries, len(RETRY_S) - 1)])
        self._tries += 1
