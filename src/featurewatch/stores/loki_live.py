"""The live half of the log store over Loki: lines that are wanted are tailed, reconciled, told in order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from ..errors import FeaturewatchError, TooMany, Unavailable
from ..model import FEATURE_ID, FeatureKey, LogEntry, LogGap, StoredLog
from ..times import NS
from .base import GapListener, LogListener
from .loki_arrivals import Arrivals
from .loki_entries import Frame
from .loki_fetch import Fetcher
from .loki_memory import EVERY, selector_of
from .loki_reads import LokiReads
from .loki_reconcile import Reconciler
from .loki_tail import ROTATE_S, LokiTail
from .upstream import Target, Upstream

__all__ = ["LokiLive", "Reading"]

KNOWN_S: Final = 15 * 60
"""Of a feature that is followed anew, the last page of lines within so long is taken note of."""
TOGETHER_S: Final = 0.05
"""Features that are wanted within so long of each other are taken up together."""
TAIL_WAIT_S: Final = 3.0
"""Where no tail can be opened within so long, counting has to do without."""
SILENT_S: Final = 20.0
"""A tail that brings nothing for so long, while there are lines, is opened anew."""
LAG_S: Final = 30.0
"""What nobody could compare with Loki for so long speaks against readiness."""
LOOK_S: Final = 5.0

Reading: TypeAlias = tuple[str, Literal["counter", "gauge"], str, Mapping[tuple[tuple[str, str], ...], float]]
"""Name, kind, help, and values by labels."""

_log = logging.getLogger(__name__)


class LokiLive:
    """Made by `open`, in the event loop that uses it; `close` it."""

    def __init__(
        self,
        target: Target,
        reads: LokiReads,
        arrivals: Arrivals,
        environment: str,
        clock: Callable[[], int],
        rotate_s: float = ROTATE_S,
    ) -> None:
        self._target = target
        self._arrivals = arrivals
        self._memory = arrivals.memory
        self._clock = clock
        self._reads = reads
        self._tail = LokiTail(target, environment, self._take, self._opened, clock=clock, rotate_s=rotate_s)
        self._reconciler = Reconciler(
            arrivals,
            self._reads,
            clock=clock,
            tailed=lambda: self._tail.selector is not None,
            found=self._found,
        )
        self._named: frozenset[str] = frozenset()
        self._heard = asyncio.get_running_loop().time()
        self._lines = {"tail": 0, "append": 0, "history": 0}
        self._untaken = 0
        self._taking_up: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep(), name="featurewatch-loki-live")
        self._reconciler.start()
        self._follow()

    @classmethod
    async def open(
        cls,
        upstream: Upstream,
        folder: Path,
        *,
        environment: str,
        max_bytes: int,
        queue_bytes: int,
        clock: Callable[[], int],
        rotate_s: float = ROTATE_S,
    ) -> Self:
        """Open the journal of arrivals and go on from where it ends. Loki need not be there yet.

        Args:
            folder: where the journal is kept.
            environment: of lines whose labels name none.
            max_bytes: of the journal; the oldest lines go first.
            queue_bytes: of lines that wait for the disk.

        Raises:
            Unavailable: the journal cannot be opened; StoreLocked: another process holds it.
        """
        arrivals = await Arrivals.open(folder, max_bytes=max_bytes, queue_bytes=queue_bytes, clock=clock)
        arrivals.memory.expire(clock())
        reads = LokiReads(Fetcher(upstream, environment))
        return cls(upstream.target, reads, arrivals, environment, clock, rotate_s)

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        """Listen; see LogStore. What nobody wants is not told."""
        return self._arrivals.listen(listener, gaps)

    def want(self, features: Collection[str] | None) -> None:
        """Go after the lines of these features; see LogStore."""
        if self._memory.want(features, self._clock(), self._arrivals.position):
            self._ready.clear()
            self._arrivals.changed()
            if self._taking_up is None or self._taking_up.done():
                self._taking_up = asyncio.create_task(self._take_up(), name="featurewatch-take-up")

    async def ready(self, feature: str) -> None:
        """Return once what arrives of a wanted feature is told.

        Raises:
            Unavailable: Loki does not answer.
        """
        try:
            async with asyncio.timeout(self._target.timeout_s):
                while self._memory.wants(feature) and self._memory.complete_from(feature) is None:
                    await self._ready.wait()
        except TimeoutError:
            why = self._reconciler.problem or self._tail.problem or "it does not answer"
            raise Unavailable(f"{self._target.shown}: live lines cannot be had: {why}") from None

    async def meet(self, key: FeatureKey, entries: Sequence[LogEntry]) -> Sequence[StoredLog]:
        """Give lines that Loki answered their places in the order of arrival, 0 for those of before it.

        Lines that are still on their way come in by this, and are told as they would have been.
        """
        known = dict(await self._arrivals.positions(key, [entry.id for entry in entries]))
        from_ns = self._memory.complete_from(key.feature)
        fresh = [
            entry
            for entry in entries
            if entry.id not in known and from_ns is not None and entry.timestamp_ns >= from_ns
        ]
        if fresh:
            self._lines["history"] += await self._arrivals.add(fresh)
            known |= await self._arrivals.positions(key, [entry.id for entry in fresh])
        silent = self._memory.is_silent
        places = [known.get(entry.id, 0) for entry in entries]
        return [
            StoredLog(0 if silent(position) else position, entry)
            for position, entry in zip(places, entries, strict=True)
        ]

    async def appended(self, entries: Sequence[LogEntry]) -> None:
        """Tell at once of lines that Loki has taken from this bridge: their way through its tail is longer."""
        wanted = [entry for entry in entries if self._memory.wants(entry.feature)]
        if wanted:
            # What fails here comes by the tail.
            with suppress(FeaturewatchError):
                self._lines["append"] += await self._arrivals.add(wanted)

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        return await self._arrivals.since(position, keys, limit)

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        return self._arrivals.lost(position, features)

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        return self._arrivals.gaps(position, keys)

    async def last_position(self) -> int:
        return await self._arrivals.last_position()

    async def ping(self) -> None:
        """Return when what arrives can be kept and was compared with Loki of late; raise Unavailable when not."""
        await self._arrivals.ping()
        problem = self._reconciler.problem
        if problem is not None and self.lag_s > LAG_S:
            raise Unavailable(f"{self._target.shown}: live lines lag by {self.lag_s:.0f} s: {problem}")

    async def close(self) -> None:
        """Close tail and journal; what was reached is remembered. Harmless when repeated."""
        for task in (self._keeping, self._taking_up):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self._tail.close()
        await self._reconciler.close()
        await self._arrivals.close()

    @property
    def lag_s(self) -> float:
        """How far back the last comparison with Loki lies; 0 where there is nothing to compare."""
        reconciled = self._memory.reconciled_ns
        return max(0.0, (self._clock() - reconciled) / NS) if reconciled else 0.0

    def readings(self) -> Iterator[Reading]:
        """Yield what is shown on /metrics."""
        tail, rounds, covered = self._tail.stats, self._reconciler.stats, self._memory.covered
        by = {**self._lines, "reconciliation": rounds.lines}

        def counter(name: str, help_: str, value: float) -> Reading:
            return f"featurewatch_loki_{name}_total", "counter", help_, {(): value}

        def counters(name: str, help_: str, label: str, values: Mapping[str, int]) -> Reading:
            each: dict[tuple[tuple[str, str], ...], float] = {((label, name),): count for name, count in values.items()}
            return f"featurewatch_loki_{name}_total", "counter", help_, each

        def gauge(name: str, help_: str, value: float) -> Reading:
            return f"featurewatch_loki_{name}", "gauge", help_, {(): value}

        yield gauge("tails_open", "Tails open at Loki.", tail.open)
        yield counter("tails_opened", "Tails opened at Loki.", tail.opened)
        yield counter("tail_failures", "Tails that could not be opened, or ended by themselves.", tail.failed)
        yield counter("tail_dropped_lines", "Lines that Loki said its tail dropped; it does not say all.", tail.dropped)
        yield counters("lines", "Lines taken in, by what brought them first.", "by", by)
        yield counter("untaken_lines", "Lines that the journal did not take; they are fetched again.", self._untaken)
        yield counter("comparisons", "Comparisons with Loki's counts.", rounds.rounds)
        yield counter("comparison_failures", "Comparisons that failed.", rounds.failures)
        yield counters("queries", "Queries for live lines, by what they ask for.", "kind", self._reads.queries)
        yield counters("gaps", "Gaps told, by reason.", "reason", self._arrivals.lost_by_reason)
        yield gauge("lag_seconds", "How far back the last comparison lies.", self.lag_s)
        yield gauge(
            "features", "Features whose lines are gone after; -1: all.", -1 if EVERY in covered else len(covered)
        )
        yield gauge("queued_bytes", "Bytes of lines that wait for the journal.", self._arrivals.queued_bytes)

    async def _take(self, frame: Frame) -> None:
        """Take what a frame of the tail holds."""
        self._heard = asyncio.get_running_loop().time()
        wanted = [
            entry
            for entry in frame.entries
            if self._memory.wants(entry.feature) and FEATURE_ID.fullmatch(entry.feature)
        ]
        try:
            if wanted:
                self._lines["tail"] += await self._arrivals.add(wanted)
        except TooMany:
            # Loki drops what waits meanwhile, and the reconciliation fetches it.
            self._miss(wanted)
            await asyncio.sleep(0.1)
        except Unavailable as error:
            if not self._untaken:
                _log.warning("lines of Loki's tail cannot be taken in, they come later: %s", error.message)
            self._miss(wanted)
            await asyncio.sleep(1)
        if frame.dropped:
            times = [at_ns for _, at_ns in frame.dropped]
            self._reconciler.soon(min(times), max(times))

    def _miss(self, entries: Sequence[LogEntry]) -> None:
        self._untaken += len(entries)
        times = [entry.timestamp_ns for entry in entries]
        self._reconciler.soon(min(times), max(times))

    def _opened(self, taken_over: bool) -> None:
        """Look at once for what came while no tail was open."""
        self._heard = asyncio.get_running_loop().time()
        if not taken_over:
            now = self._clock()
            self._reconciler.soon(self._memory.reconciled_ns or now, now)

    def _found(self, lines: int) -> None:
        now = asyncio.get_running_loop().time()
        if lines and self._tail.selector is not None and now - self._heard > SILENT_S:
            self._heard = now
            self._tail.doubt()

    def _follow(self) -> None:
        """Have the tail follow what is wanted; features that nobody wants any more may stay in it."""
        covered = self._memory.covered
        if not covered:
            self._named = frozenset()
            self._tail.follow(None)
        elif EVERY not in self._named and not self._named >= covered.keys():
            self._named = frozenset(covered)
            self._tail.follow(selector_of(covered))

    async def _take_up(self) -> None:
        """Bring what is newly wanted into the tail, and take note of what was logged just before."""
        failures = 0
        while names := self._memory.pending():
            await asyncio.sleep(TOGETHER_S)
            names = self._memory.pending()
            self._follow()
            await self._tailed()
            now = self._clock()
            try:
                page, from_ns = await self._reads.newest(names, now - KNOWN_S * NS, now + KNOWN_S * NS)
                await self._arrivals.add([entry for entry in page if self._memory.wants(entry.feature)])
            except FeaturewatchError as error:
                _log.debug("features cannot be taken up yet: %s", error.message)
                failures += 1
                await asyncio.sleep(min(5.0, 0.25 * 2.0**failures))
                continue
            failures = 0
            asked = min(self._memory.covered[name].asked_ns for name in names if name in self._memory.covered)
            self._memory.take_up(names, from_ns)
            self._arrivals.changed()
            self._reconciler.soon(asked, now)
            ready, self._ready = self._ready, asyncio.Event()
            ready.set()

    async def _tailed(self) -> None:
        """Wait until the tail follows what it is to follow, but not for long."""
        end = asyncio.get_running_loop().time() + TAIL_WAIT_S
        selector = selector_of(self._named)
        # The tail opens within milliseconds, or not at all.
        while self._tail.selector != selector and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)

    async def _keep(self) -> None:
        """Let go of what nobody wants; a clock that is set makes nobody be away for longer."""
        loop = asyncio.get_running_loop()
        wall, steady = self._clock(), loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            step = (self._clock() - wall) - int((loop.time() - steady) * NS)
            wall, steady = self._clock(), loop.time()
            if abs(step) > LOOK_S * NS:
                self._memory.shift(step)
            if self._memory.expire(wall):
                self._arrivals.changed()
                self._follow()
