"""What the tail lost is found by counting, fetched, and told; what cannot be had is told as a gap.

Each few seconds Loki's counts of the last minute, by seconds, are compared with those of the bridge, each minute those
of the last hour, by minutes. Where Loki has more, just those moments are fetched, and what is not known by its id is
taken in as any line that arrives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from ..errors import FeaturewatchError, TimedOut, TooMany, Unavailable, UpstreamError
from ..model import FeatureKey, LogEntry
from ..times import NS
from .loki_arrivals import Arrivals
from .loki_counts import Counts, Knowledge, Missing, Span, Tally, judge, spans, within
from .loki_memory import EVERY

__all__ = ["Reads", "ReconcileStats", "Reconciler"]

EVERY_S: Final = 5.0
WITHOUT_TAIL_S: Final = 1.0
HOUR_EVERY_S: Final = 60.0
"""How often counts are compared while a tail is open, and while none is; and those of the hour."""
SETTLE_S: Final = 2.0
SETTLE_ASKED_S: Final = 1.0
"""What is younger may still be on its way: the tail hands lines on every half second."""
LOOK_BACK_S: Final = 60
FINE_S: Final = 300
"""What lies further back than this is compared by minutes."""
HOUR_S: Final = 3600
MOST_LINES: Final = 250_000
"""Lines that one comparison fetches; those before them become a gap."""
SHARE: Final = 8
SHARE_OF_HOUR: Final = 20
"""Loki counts for us at most an eighth of the time, and a twentieth for the hour."""
ATTEMPTS: Final = 4
SKEW_NS: Final = 10 * NS

_log = logging.getLogger(__name__)


class Reads(Protocol):
    """What is asked of Loki; see LokiReads."""

    async def counts(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts: ...

    def lines(
        self, features: Collection[str], start_ns: int, end_ns: int
    ) -> AsyncGenerator[Sequence[LogEntry], None]: ...


@dataclass(slots=True)
class ReconcileStats:
    """Counts since the start."""

    rounds: int = 0
    failures: int = 0
    lines: int = 0
    """Lines that the tail had not brought."""


class Reconciler:
    """Compares, fetches and tells, for what the memory says is taken up.

    Args:
        tailed: whether a tail is open.
        found: called with how many lines a comparison brought that the tail had not.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        reads: Reads,
        *,
        clock: Callable[[], int],
        tailed: Callable[[], bool],
        found: Callable[[int], None],
    ) -> None:
        self.stats = ReconcileStats()
        self.problem: str | None = None
        """Why the last comparison failed."""
        self._arrivals = arrivals
        self._memory = arrivals.memory
        self._reads = reads
        self._clock = clock
        self._tailed = tailed
        self._found = found
        self._asked: tuple[int, int] | None = None
        self._asking = asyncio.Event()
        self._fine_due = self._hour_due = 0.0
        self._failed: dict[tuple[int, int], int] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Compare from now on whenever it is due."""
        self._running = asyncio.create_task(self._run(), name="featurewatch-reconciliation")

    def soon(self, from_ns: int, to_ns: int) -> None:
        """Look at a range of time now, rather than at the next turn."""
        if self._asked is not None:
            from_ns, to_ns = min(from_ns, self._asked[0]), max(to_ns, self._asked[1])
        self._asked = from_ns, to_ns
        self._asking.set()

    async def close(self) -> None:
        """Stop. Harmless when repeated."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def round(self) -> None:
        """Compare once, as far as it is due.

        Raises:
            Unavailable, UpstreamError, TooMany: Loki's, or the journal's; nothing is noted as compared then.
        """
        memory = self._memory
        features = [name for name, known in memory.covered.items() if known.from_ns is not None]
        if not features:
            self._asked = None
            self._asking.clear()
            memory.reconciled_ns = 0
            return
        asked, self._asked = self._asked, None
        self._asking.clear()
        try:
            end = await self._round(features, asked)
        except FeaturewatchError:
            if asked is not None:
                self.soon(*asked)
            raise
        self._failed.clear()
        if asked is not None and asked[1] > end:
            # What is younger than what this looked at is looked at next.
            self.soon(max(asked[0], end), asked[1])

    async def _round(self, features: Collection[str], asked: tuple[int, int] | None) -> int:
        memory, time = self._memory, asyncio.get_running_loop().time
        started, now = time(), self._clock()
        full = started >= self._fine_due
        self.stats.rounds += 1
        self._miss_the_hour(features, now)
        end = int(now - (SETTLE_S if asked is None else SETTLE_ASKED_S) * NS) // NS * NS
        begin = min(memory.reconciled_ns or end, end)
        if full:
            begin -= LOOK_BACK_S * NS
        if asked is not None:
            begin = min(begin, asked[0] // NS * NS - NS)
        far = end - begin > FINE_S * NS
        if far or started >= self._hour_due:
            try:
                await self._compare(self._arrivals.minutes, features, now - HOUR_S * NS, end)
            except TimedOut:
                # What is near must not wait for what is far.
                if far:
                    raise
                self.stats.failures += 1
            self._hour_due = max(started + HOUR_EVERY_S, time() + SHARE_OF_HOUR * (time() - started))
        fine_started = time()
        await self._compare(self._arrivals.seconds, features, max(begin, end - FINE_S * NS), end)
        if full:
            self._fine_due = max(started + EVERY_S, time() + SHARE * (time() - fine_started))
        memory.reconciled_ns = end
        self._arrivals.changed()
        return end

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._pause(failures)
            self._arrivals.forget()
            try:
                await self.round()
                self.problem, failures = None, 0
            except FeaturewatchError as error:
                self.stats.failures += 1
                failures += 1
                if self.problem is None:
                    _log.warning("what arrived cannot be compared with Loki: %s", error.message)
                self.problem = error.message
            except Exception:
                self.stats.failures += 1
                failures += 1
                self.problem = "comparing failed"
                _log.exception("comparing what arrived with Loki failed")

    async def _pause(self, failures: int) -> None:
        time = asyncio.get_running_loop().time
        if failures:
            await asyncio.sleep(min(5.0, 0.5 * 2.0 ** min(failures, 8)))
            return
        if self._asked is not None:
            # Where drops are told without a break, so many at once are looked at.
            await asyncio.sleep(0.5)
            return
        wait = max(0.1, self._fine_due - time()) if self._tailed() else WITHOUT_TAIL_S
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._asking.wait()

    async def _compare(self, tally: Tally, features: Collection[str], start_ns: int, end_ns: int) -> None:
        width = tally.width_ns
        start_ns, end_ns = -(-start_ns // width) * width, end_ns // width * width
        if start_ns >= end_ns:
            return
        counts = await self._reads.counts(features, start_ns, end_ns, width)
        theirs = {place: count for place, count in counts.items() if self._memory.wants(place[0].feature)}
        verdict = judge(tally, theirs, self._known)
        if verdict.lost:
            self._lose(tally, verdict.lost, "late")
        fetch, left = within(spans(verdict.fetch, width), MOST_LINES)
        for span in left:
            self._lose(tally, span.missing, "too_many")
        for span in fetch:
            await self._fetch(tally, span)

    async def _fetch(self, tally: Tally, span: Span) -> None:
        place = (span.start_ns, span.end_ns)
        try:
            async for page in self._reads.lines(span.features, span.start_ns, span.end_ns):
                await self._take([entry for entry in page if self._memory.wants(entry.feature)])
        except (Unavailable, TooMany):
            raise
        except UpstreamError as error:
            tries = self._failed.pop(place, 0) + 1
            if tries < ATTEMPTS:
                self._failed[place] = tries
                raise
            _log.warning("lines that the tail lost cannot be fetched: %s", error.message)
            self._lose(tally, self._still(tally, span), "unavailable")
        else:
            self._failed.pop(place, None)
            for missing in span.missing:
                tally.settle(missing.key, missing.bucket, missing.theirs)

    async def _take(self, entries: Sequence[LogEntry]) -> None:
        while True:
            try:
                new = await self._arrivals.add(entries)
                break
            except TooMany:
                await asyncio.sleep(0.1)
        self.stats.lines += new
        self._found(new)

    def _known(self, key: FeatureKey, start_ns: int) -> Knowledge:
        complete_from, arrivals = self._memory.complete_from(key.feature), self._arrivals
        if complete_from is None or start_ns < complete_from:
            return "unknown"
        if start_ns >= (arrivals.kept_since_ns and arrivals.kept_since_ns + SKEW_NS):
            return "all"
        return "counted" if start_ns >= arrivals.counted_since_ns + SKEW_NS else "unknown"

    @staticmethod
    def _still(tally: Tally, span: Span) -> list[Missing]:
        """Return what of a range is missing after a part of it was fetched."""
        left = []
        for missing in span.missing:
            key, bucket, theirs = missing.key, missing.bucket, missing.theirs
            lines = theirs - tally.ours(key, bucket) - (tally.surplus(key, bucket) or 0)
            if lines > 0:
                left.append(Missing(key, bucket, lines, theirs))
        return left

    def _lose(self, tally: Tally, lost: Iterable[Missing], reason: str) -> None:
        """Tell that lines cannot be had, one gap for each feature, and do not look for them again."""
        width = tally.width_ns
        for key, group in groupby(sorted(lost), key=lambda missing: missing.key):
            parts = list(group)
            for missing in parts:
                tally.write_off(key, missing.bucket, missing.lines)
                if tally is not self._arrivals.minutes:
                    minute = self._arrivals.minutes.bucket(missing.bucket * width)
                    self._arrivals.minutes.write_off(key, minute, missing.lines)
            first, last = parts[0].bucket, parts[-1].bucket
            lines = sum(missing.lines for missing in parts)
            self._arrivals.lose(key.feature, key.environment, reason, lines, (first - 1) * width + 1, last * width)

    def _miss_the_hour(self, features: Collection[str], now_ns: int) -> None:
        """Tell of what nobody compared for so long that it is past comparing."""
        horizon = now_ns - (HOUR_S + 2 * LOOK_BACK_S) * NS
        if self._memory.reconciled_ns and self._memory.reconciled_ns < horizon:
            for feature in features:
                name = None if feature == EVERY else feature
                self._arrivals.lose(name, None, "unavailable", None, self._memory.reconciled_ns, horizon)
            self._memory.reconciled_ns = horizon
