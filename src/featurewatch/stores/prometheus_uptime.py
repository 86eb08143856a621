"""Uptime from raw series: a verdict for each minute, asked for once and remembered for a day.

A day of minutes of 100 features is seconds of work for Prometheus, one minute of them is none. So the last day is read
once, in pieces beside the ticks; then each tick that begins a minute brings its verdict, and those of the two before it
anew, since some samples arrive late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ..errors import FeaturewatchError
from ..model import FeatureKey
from .prometheus_api import QueryApi, Values
from .prometheus_figures import key_of

__all__ = ["AGAIN", "HELD", "MinuteLog", "Uptimes"]

HELD: Final = 1440
"""Minutes that are remembered."""

AGAIN: Final = 3
"""Verdicts of so many minutes are asked for, when a minute has begun: what is older stays as it is."""

_PATIENCE_S: Final = 3.0
"""So long a tick waits for the last day to be read; then it goes without uptime."""

_AT_ONCE: Final = 20_000
"""Verdicts that one request asks for, so that it takes about a second."""

_log = logging.getLogger(__name__)


class MinuteLog:
    """Which minutes of each feature were up, and which were judged: bit sets whose lowest bit is the newest minute.

    A minute has the number of its end: epoch seconds / 60.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._judged: dict[FeatureKey, int] = {}
        self._up: dict[FeatureKey, int] = {}

    def note(self, first: int, last: int, verdicts: Mapping[FeatureKey, Mapping[int, bool]]) -> None:
        """Take over what is known of the minutes from `first` to `last`, instead of what was."""
        self._advance(last)
        span = ((1 << (last - first + 1)) - 1) << (self.newest - last)
        for bits in (self._judged, self._up):
            for key in bits:
                bits[key] &= ~span
        for key, told in verdicts.items():
            judged, up = self._judged.get(key, 0), self._up.get(key, 0)
            for minute, good in told.items():
                if first <= minute <= last:
                    bit = 1 << (self.newest - minute)
                    judged |= bit
                    up |= bit * good
            self._judged[key], self._up[key] = judged, up

    def uptimes(self, first: int, last: int) -> dict[FeatureKey, float]:
        """Return the percentage of the judged minutes from `first` to `last` that were up, where any was."""
        lowest = max(0, self.newest - last)
        span = ((1 << max(0, self.newest - first + 1)) - 1) >> lowest << lowest
        found = {}
        for key, judged in self._judged.items():
            if count := (judged & span).bit_count():
                found[key] = 100 * (self._up[key] & span).bit_count() / count
        return found

    def _advance(self, minute: int) -> None:
        by = minute - self.newest
        if by <= 0:
            return
        self.newest = minute
        held = (1 << HELD) - 1 if by < HELD else 0
        self._up = {key: (bits << by) & held for key, bits in self._up.items()} if held else {}
        self._judged = {key: (bits << by) & held for key, bits in self._judged.items()} if held else {}
        for key in [key for key, bits in self._judged.items() if not bits]:
            del self._judged[key], self._up[key]


class Uptimes:
    """Keeps the minutes of all features current. Not for threads.

    Args:
        verdict: writes the verdicts of the minute that ends where the expression is evaluated.
    """

    def __init__(self, api: QueryApi, verdict: Callable[[], str]) -> None:
        self._api = api
        self._verdict = verdict
        self._log = MinuteLog()
        self._until = 0
        self._reading: asyncio.Task[None] | None = None

    async def ready(self, now_s: float, features: int) -> bool:
        """Read what is missing, as far as that is done soon; tells whether at most `AGAIN` minutes are missing now."""
        minute = int(now_s // 60)
        if self._until > minute + AGAIN:  # the clock was set back
            self._log, self._until = MinuteLog(), 0
        if minute - self._until <= AGAIN:
            return True
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(minute, max(1, features)), name="featurewatch-uptime")
            self._reading.add_done_callback(self._done)
        await asyncio.wait((self._reading,), timeout=_PATIENCE_S)
        return minute - self._until <= AGAIN

    def wanted(self, now_s: float) -> Sequence[int]:
        """Return the minutes whose verdicts a tick is to bring; none while this minute's are there."""
        minute = int(now_s // 60)
        return range(minute - AGAIN + 1, minute + 1) if minute != self._until else ()

    def knows(self, now_s: float, window_s: float) -> bool:
        """Whether a window is remembered, up to this minute or the one before it."""
        return window_s <= HELD * 60 and 0 <= int(now_s // 60) - self._until <= 1

    def note(self, verdicts: Mapping[int, Mapping[FeatureKey, bool]]) -> None:
        """Take over the verdicts that a tick brought, by minute."""
        by_key: dict[FeatureKey, dict[int, bool]] = {}
        for minute, told in verdicts.items():
            for key, good in told.items():
                by_key.setdefault(key, {})[minute] = good
        self._log.note(min(verdicts), max(verdicts), by_key)
        self._until = max(verdicts)

    def over(self, now_s: float, window_s: float) -> Mapping[FeatureKey, float]:
        """Return the uptimes of a window: of the minutes that ended in it."""
        return self._log.uptimes(-int(-(now_s - max(60, window_s)) // 60), int(now_s // 60))

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self, minute: int, features: int) -> None:
        """Read the last day, or what of it is missing, in pieces from the oldest on."""
        piece = max(5, min(HELD, _AT_ONCE // features))
        first = max(self._until + 1, minute - HELD + 1)
        while first <= minute:
            last = min(minute, first + piece - 1)
            told = await self._api.range(self._verdict(), first * 60_000, last * 60_000, 60)
            self._log.note(first, last, _verdicts(told))
            self._until = last
            first = last + 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, FeaturewatchError):
                _log.info("uptime: %s; it is asked for again", error)
            else:
                _log.error("uptime could not be read", exc_info=error)


def _verdicts(told: Iterable[Values]) -> dict[FeatureKey, dict[int, bool]]:
    return {
        key: {at // 60_000: value > 0 for at, value in values.items()}
        for labels, values in told
        if (key := key_of(labels)) is not None
    }
