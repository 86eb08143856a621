"""What just arrived: counts that tell cached answers apart, and the last error of each feature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..errors import Unavailable, UpstreamError
from ..model import FeatureKey, Level, LogEntry, StoredLog
from ..stores.base import LogFilter, LogQuery, LogStore

ERRORS: Final[frozenset[Level]] = frozenset({"error", "fatal"})


class Recent:
    """Listens to the log store. `lines` and `figures` grow with each batch of lines and each write of figures."""

    def __init__(self, logs: LogStore) -> None:
        self.lines = 0
        self.figures = 0
        self._logs = logs
        self._errors: dict[FeatureKey, LogEntry | None] = {}
        self.close: Callable[[], None] = logs.listen(self._note)

    async def last_errors(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, str | None]:
        """Return the message of the newest line of level error or fatal, by feature; None where there is none.

        The store is asked once for each feature; later lines are heard. While it cannot answer: None.
        """
        wanted = list(keys)
        for key in wanted:
            if key not in self._errors:
                await self._look(key)
        found = {key: self._errors.get(key) for key in wanted}
        return {key: None if entry is None else entry.message for key, entry in found.items()}

    async def _look(self, key: FeatureKey) -> None:
        query = LogQuery(key, LogFilter(levels=ERRORS), limit=1, direction="backward")
        try:
            page = await self._logs.query(query)
        except (Unavailable, UpstreamError):
            return
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
