"""Features that only a log store knows: those whose lines reach it past this bridge, while nobody follows them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..errors import FeaturewatchError
from ..stores.base import LogStore
from .hub import Hub

__all__ = ["LogDiscovery"]

EVERY_S: Final = 10.0

_log = logging.getLogger(__name__)


class LogDiscovery:
    """Asks the log store now and then which features have lines, and makes them known."""

    def __init__(self, logs: LogStore, hub: Hub, *, interval_s: float = EVERY_S) -> None:
        self._logs = logs
        self._hub = hub
        self._interval_s = interval_s
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, now and every `interval_s` seconds."""
        self._task = asyncio.create_task(self._run(), name="featurewatch-log-discovery")

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def look(self) -> None:
        """Ask once; a store that cannot answer is told of in the log, once."""
        try:
            self._hub.meet(sorted(await self._logs.keys()))
            self._failing = False
        except FeaturewatchError as error:
            if not self._failing:
                _log.warning("features of the log store are not known: %s", error.message)
            self._failing = True
        except Exception:
            _log.exception("asking the log store for its features failed")

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)
