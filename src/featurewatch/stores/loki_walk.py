"""All lines of a range of time, page by page: in slices that suit how dense they are, some of them asked for ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import TooMany, Unavailable, UpstreamError
from ..model import LogEntry
from ..times import NS
from .loki_fetch import LINES, Ask, Excessive, Fetcher, Page, by_time

__all__ = ["FIRST_SLICE_NS", "Walk"]

FIRST_SLICE_NS: Final = 3600 * NS
SHORTEST_SLICE_NS: Final = 10**6
SPARSE_NS: Final = 4 * 3600 * NS
"""Of a longer slice Loki is asked first whether there is anything in it: it reads it hour by hour."""
GROWTH: Final = 8
FILLED: Final = 0.8
"""A slice is meant to have so much of a page's lines."""
SLOW_S: Final = 1.5
"""After a slice that took longer comes none that is longer."""
FAILED_SLICES: Final = 2
"""So often a slice is asked for again, shorter, before one is answered."""
MOST_AT_ONCE: Final = 100_000
"""Lines of one timestamp, which are held together."""

_HEX: Final = "0123456789abcdef"
_LAST_CHARACTERS: Final = ("[0-4]", "[5-9]", "[a-e]", "[f-j]", "[k-o]", "[p-t]", "[u-z]", "[A-Z]")


@dataclass(slots=True)
class _Slice:
    start: int
    end: int
    page: asyncio.Task[Page | None] | None = None

    @property
    def length(self) -> int:
        return self.end - self.start


class Walk:
    """One way through a range.

    Args:
        limit: lines that are asked for at once.
        ahead: how many slices are asked for at a time.
        patience_s: how long an upstream that fails is asked again before its error is raised.
        first_ns: how long the first slice is.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        ask: Ask,
        start_ns: int,
        end_ns: int,
        *,
        backward: bool,
        limit: int = LINES,
        ahead: int = 1,
        patience_s: float = 0.0,
        first_ns: int = FIRST_SLICE_NS,
    ) -> None:
        self._fetcher = fetcher
        self._ask = ask
        self._backward = backward
        self._limit = max(1, min(limit, LINES))
        self._ahead = ahead
        self._patience_s = patience_s
        self._length = first_ns
        self._failed = 0
        self._arrived = False
        """Whether the way has come to where there are lines; up to there it is found by halves what is empty."""
        self._slices = deque([_Slice(start_ns, end_ns)] if start_ns < end_ns else [])

    async def chunks(self) -> AsyncGenerator[list[LogEntry], None]:
        """Yield lines in ascending order; of two chunks, going backward, the second lies before the first.

        No timestamp is divided between two.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's.
        """
        try:
            while self._slices:
                self._start()
                slice_ = self._slices[0]
                assert slice_.page is not None
                try:
                    page = await slice_.page
                except Excessive as excess:
                    await self._shorten(slice_, excess)
                    continue
                self._failed = 0
                if page is None:
                    slice_.page, self._length = None, slice_.length // 2
                    continue
                self._slices.popleft()
                self._adapt(slice_, page)
                entries = page.entries if page.complete else await self._known(slice_, page)
                if entries:
                    yield entries
        finally:
            await self._stop()

    def _start(self) -> None:
        """Ask for the first slices, each cut to a length that suits."""
        for at in range(self._ahead):
            if at >= len(self._slices):
                return
            slice_ = self._slices[at]
            if slice_.page is not None:
                continue
            length = min(self._length, self._fetcher.range_ns)
            if slice_.length > length:
                cut = slice_.end - length if self._backward else slice_.start + length
                rest = _Slice(slice_.start, cut) if self._backward else _Slice(cut, slice_.end)
                slice_.start, slice_.end = (cut, slice_.end) if self._backward else (slice_.start, cut)
                self._slices.insert(at + 1, rest)
            slice_.page = asyncio.create_task(self._page(slice_.start, slice_.end))

    async def _stop(self) -> None:
        running = [slice_.page for slice_ in self._slices if slice_.page is not None]
        for slice_ in self._slices:
            slice_.page = None
        for task in running:
            task.cancel()
        # What they failed of is told by the slice that is waited for.
        await asyncio.gather(*running, return_exceptions=True)

    async def _page(self, start: int, end: int) -> Page | None:
        """Ask for a slice, where it has anything; None where it is to be asked for by halves."""
        time = asyncio.get_running_loop().time
        until, pause = time() + self._patience_s, 0.1
        while True:
            try:
                if end - start > SPARSE_NS and self._ask.key:
                    filled = await self._fetcher.has_any(self._ask, start, end)
                    if filled is False:
                        return Page([])
                    if filled and not self._arrived and end - start > 2 * SPARSE_NS:
                        return None
                    self._arrived = True
                page = await self._fetcher.page(self._ask, start, end, self._limit, backward=self._backward)
                self._arrived = self._arrived or page.lines > 0
                return page
            except (Unavailable, UpstreamError, TooMany):
                if time() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _shorten(self, slice_: _Slice, excess: Excessive) -> None:
        """Ask again for less, or give up."""
        await self._stop()
        if not excess.learned:
            self._failed += 1
            self._length = slice_.length // (2 * GROWTH)
        if self._failed > FAILED_SLICES or slice_.length <= SHORTEST_SLICE_NS:
            raise excess.error

    def _adapt(self, slice_: _Slice, page: Page) -> None:
        """Choose how long the next slices are, by how many lines this one had and how long it took."""
        if not page.complete:
            length = slice_.end - page.reached if self._backward else page.reached - slice_.start
            factor = FILLED
        else:
            length = slice_.length
            factor = min(max(FILLED * self._limit / max(page.lines, 1), 0.5), GROWTH)
            if page.seconds > SLOW_S:
                factor = min(factor, 1.0 if page.seconds < 3 * SLOW_S else 0.5)
        # A slice at the end of the range is short for no reason of its own.
        if factor <= 1 or length * factor > self._length:
            self._length = max(SHORTEST_SLICE_NS, int(length * factor))

    async def _known(self, slice_: _Slice, page: Page) -> list[LogEntry]:
        """Return what an incomplete page tells completely, and put the rest of its slice back."""
        reached = page.reached
        if page.alone:
            rest = _Slice(slice_.start, reached) if self._backward else _Slice(reached + 1, slice_.end)
            entries = await self._at(reached)
        elif self._backward:
            rest = _Slice(slice_.start, reached + 1)
            entries = [entry for entry in page.entries if entry.timestamp_ns > reached]
        else:
            rest = _Slice(reached, slice_.end)
            entries = [entry for entry in page.entries if entry.timestamp_ns < reached]
        if rest.length > 0:
            self._slices.appendleft(rest)
        return entries

    async def _at(self, timestamp_ns: int) -> list[LogEntry]:
        """Read all lines of one timestamp, which are more than a page holds, by parts."""
        found: list[LogEntry] = []
        parts = [_WHOLE]
        while parts:
            part = parts.pop()
            ask = self._ask.among(part.stage)
            page = await self._fetcher.page(ask, timestamp_ns, timestamp_ns + 1, LINES, backward=False)
            if page.complete:
                found += page.entries
            else:
                parts += part.divided()
            if len(found) > MOST_AT_ONCE or (not page.complete and not part.divided()):
                raise UpstreamError(
                    f"too many lines have the timestamp {timestamp_ns} (ns) to be read: expected at most "
                    f"{MOST_AT_ONCE}, with ids that tell them apart; raise Loki's max_entries_limit_per_query"
                )
        found.sort(key=by_time)
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the lines of one timestamp: by how their ids end, or where they have none, by how they end themselves."""

    kind: Literal["all", "ending", "short", "odd", "bare", "bare_ending", "bare_odd"] = "all"
    end: str = ""

    @property
    def stage(self) -> str:
        match self.kind:
            case "all":
                return ""
            case "ending":
                return f' | id=~"(?s).*{self.end}"'
            case "short":
                return f' | id=~"(?s)(.*[^0-9a-f])?{self.end}"'
            case "odd":
                return ' | id!="" | id!~"(?s).*[0-9a-f]"'
            case "bare":
                return ' | id=""'
            case "bare_ending":
                return f' | id="" |~ "{self.end}$"'
            case "bare_odd":
                return ' | id="" !~ "[0-9a-zA-Z]$"'

    def divided(self) -> list[_Part]:
        """Return the parts of this part, none where it has none."""
        if self.kind == "all":
            return [*(_Part("ending", digit) for digit in _HEX), _Part("odd"), _Part("bare")]
        if self.kind == "ending" and len(self.end) < 3:
            return [*(_Part("ending", digit + self.end) for digit in _HEX), _Part("short", self.end)]
        if self.kind == "bare":
            return [*(_Part("bare_ending", last) for last in _LAST_CHARACTERS), _Part("bare_odd")]
        return []


_WHOLE: Final = _Part()
