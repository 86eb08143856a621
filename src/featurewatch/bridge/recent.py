"""What just arrived: counts that tell cached answers apart, and the last error of each feature."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..errors import FeaturewatchError
from ..model import FeatureKey, Level, LogEntry, StoredLog
from ..stores.base import LogFilter, LogQuery, LogStore
from ..times import NS

ERRORS: Final[frozenset[Level]] = frozenset({"error", "fatal"})

ASKED_AGAIN_S: Final = 60.0
LOOK_BACK_NS: Final = 24 * 3600 * NS
PATIENCE_S: Final = 2.0
AT_ONCE: Final = 4

_log = logging.getLogger(__name__)


class Recent:
    """Listens to the log store. `lines` and `figures` grow with each batch of lines and each write of figures.

    Args:
        hears_all: whether the store tells of every line; one that does not is asked for the last error again each
            minute, by so few questions at a time and so far back as an upstream can bear: 4, and a day.
        clock: nanoseconds since the epoch.
    """

    def __init__(self, logs: LogStore, *, hears_all: bool = True, clock: Callable[[], int] = time.time_ns) -> None:
        self.lines = 0
        self.figures = 0
        self._logs = logs
        self._hears_all = hears_all
        self._clock = clock
        self._errors: dict[FeatureKey, LogEntry | None] = {}
        self._asked: dict[FeatureKey, float] = {}
        self._looking: dict[FeatureKey, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._end = logs.listen(self._note)

    def close(self) -> None:
        """Listen no more, and leave what is being asked."""
        self._end()
        for task in self._looking.values():
            task.cancel()

    async def last_errors(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, str | None]:
        """Return the message of the newest line of level error or fatal, by feature; None where there is none.

        The store is asked once for each feature; later lines are heard. While it cannot answer, or of an upstream has
        not answered after two seconds: what was known before, None where that is nothing.
        """
        wanted = list(keys)
        asked = [self._look_soon(key) for key in wanted if self._is_due(key)]
        if asked:
            await asyncio.wait(asked, timeout=None if self._hears_all else PATIENCE_S)
        found = {key: self._errors.get(key) for key in wanted}
        return {key: None if entry is None else entry.message for key, entry in found.items()}

    def _is_due(self, key: FeatureKey) -> bool:
        if self._hears_all:
            return key not in self._errors
        asked = self._asked.get(key)
        return asked is None or asyncio.get_running_loop().time() - asked > ASKED_AGAIN_S

    def _look_soon(self, key: FeatureKey) -> asyncio.Task[None]:
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.create_task(self._look(key), name="featurewatch-last-error")
            task.add_done_callback(lambda _: self._looking.pop(key, None))
        return task

    async def _look(self, key: FeatureKey) -> None:
        start = None if self._hears_all else self._clock() - LOOK_BACK_NS
        query = LogQuery(key, LogFilter(levels=ERRORS), start, limit=1, direction="backward")
        try:
            async with self._turns:
                page = await self._logs.query(query)
        except FeaturewatchError:
            return
        except Exception:
            _log.exception("asking for the last error of a feature failed")
            return
        self._asked[key] = asyncio.get_running_loop().time()
        entry = page.entries[0].entry if page.entries else None
        heard = self._errors.get(key)
        if heard is None or (entry is not None and entry.timestamp_ns > heard.timestamp_ns):
            self._errors[key] = entry

    def _note(self, batch: Sequence[StoredLog]) -> None:
        self.lines += 1
        for _, entry in batch:
            if entry.level in ERRORS:
                key = entry.key
                known = self._errors.get(key)
                # Of a feature that was never asked for only the store knows the newest.
                if key in self._errors and (known is None or entry.timestamp_ns >= known.timestamp_ns):
                    self._errors[key] = entry
