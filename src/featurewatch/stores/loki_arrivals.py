"""The order in which lines of Loki came to this bridge: Loki has none, and positions to resume from need one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import StoreFull, StoreLocked, Unavailable
from ..model import FeatureKey, LogEntry, LogGap, StoredLog
from ..times import NS
from .base import GapListener, LogListener
from .embedded_logs import EmbeddedLogs
from .loki_counts import Tally
from .loki_memory import Memory

__all__ = ["Arrivals"]

KEPT_S: Final = 75 * 60.0
"""The hour that is reconciled, and what it takes: what was taken in within it is known by its id."""
MINUTES_KEPT_S: Final = 65 * 60
SECONDS_KEPT_S: Final = 6 * 60
AHEAD_S: Final = 15 * 60
"""Loki takes lines of up to 10 minutes ahead."""
SAVED_EVERY_S: Final = 1.0

_log = logging.getLogger(__name__)


class Arrivals:
    """A journal of what was taken in, numbered, each line once by its id; and the memory that goes with it.

    The journal is no truth, Loki is: where it is damaged it is moved aside and begun anew, and where the machine
    fails, its last lines are fetched again. Positions never run backward: a journal begins at its microsecond.
    """

    def __init__(self, journal: EmbeddedLogs, memory: Memory, path: Path, clock: Callable[[], int]) -> None:
        self.memory = memory
        self.seconds = Tally(NS)
        self.minutes = Tally(60 * NS)
        self.counted_since_ns = 0
        """What arrived from then on is counted in both."""
        self._journal = journal
        self._path = path
        self._clock = clock
        self._listeners: list[tuple[LogListener, GapListener | None]] = []
        self._reached: deque[tuple[int, int]] = deque()
        self._told_position = 0
        self.lost_by_reason: Counter[str] = Counter()
        """How many gaps were told."""
        self._dirty = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, folder: Path, *, max_bytes: int, queue_bytes: int, clock: Callable[[], int]) -> Arrivals:
        """Open the journal in a folder and what is remembered beside it.

        Raises:
            Unavailable: it cannot be opened; StoreLocked: another process holds it.
        """

        first = clock() // 1000

        async def opened() -> EmbeddedLogs:
            return await EmbeddedLogs.open(
                folder / "arrivals.db",
                retention_s=KEPT_S,
                max_bytes=max_bytes,
                queue_bytes=queue_bytes,
                clock=clock,
                by_arrival=True,
                durable=False,
                first_position=first,
            )

        try:
            journal = await opened()
        except (StoreLocked, StoreFull):
            raise
        except Unavailable as error:
            _log.warning("the journal of arrivals is begun anew, streams cannot resume from before: %s", error.message)
            await asyncio.to_thread(_set_aside, folder / "arrivals.db")
            journal = await opened()
        path = folder / "arrivals.json"
        memory = await asyncio.to_thread(_read, path)
        if await journal.last_position() == first - 1:
            memory = memory.anew(clock(), first - 1)
        arrivals = cls(journal, memory, path, clock)
        journal.listen(arrivals._heard)
        await arrivals._recall()
        arrivals._saving = asyncio.create_task(arrivals._save_for_ever(), name="featurewatch-arrivals")
        return arrivals

    @property
    def queued_bytes(self) -> int:
        """Bytes of lines that wait for the disk."""
        return self._journal.queued_bytes

    @property
    def kept_since_ns(self) -> int:
        """What arrived from then on is all in the journal; 0: nothing was ever removed."""
        removed = self._journal.removed_position
        if removed <= self.memory.began:
            return 0
        while self._reached and self._reached[0][1] < removed:
            self._reached.popleft()
        return self._reached[0][0] if self._reached else self._clock()

    async def add(self, entries: Sequence[LogEntry]) -> int:
        """Take in those lines that are new, and return once they were told; how many were is returned.

        Raises:
            TooMany: too much waits for the disk. StoreFull, Unavailable: the disk does not take them.
        """
        return await self._journal.append(entries)

    def lose(
        self, feature: str | None, environment: str | None, reason: str, count: int | None, from_ns: int, to_ns: int
    ) -> None:
        """Tell and remember that lines cannot be had; see LogGap."""
        gap = LogGap(self._told_position, feature, environment, reason, count, from_ns, to_ns)
        self.memory.gaps.append(gap)
        self.lost_by_reason[reason] += 1
        self.changed()
        for _, listener in tuple(self._listeners):
            if listener is not None:
                self._call(listener, gap)

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        pair = (listener, gaps)
        self._listeners.append(pair)

        def end() -> None:
            if pair in self._listeners:
                self._listeners.remove(pair)

        return end

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        """Return what was told after a position, in that order."""
        found: list[StoredLog] = []
        while len(found) < limit:
            page = await self._journal.since(position, keys, limit)
            found += [line for line in page if not self.memory.is_silent(line.position)]
            if len(page) < limit:
                break
            position = page[-1].position
        return found[:limit]

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        return self._journal.lost(position, features) or self.memory.lost(position, features)

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        return self.memory.told_after(position, keys)

    async def positions(self, key: FeatureKey, ids: Collection[str]) -> Mapping[str, int]:
        """Return where those of the lines stand that were taken in."""
        return await self._journal.positions(key, ids)

    @property
    def position(self) -> int:
        """Where the last line stands that was told."""
        return self._told_position

    async def last_position(self) -> int:
        return await self._journal.last_position()

    async def ping(self) -> None:
        await self._journal.ping()

    def forget(self) -> None:
        """Forget counts that are past comparing, and what nobody can resume from."""
        now = self._clock()
        self.minutes.forget(now - MINUTES_KEPT_S * NS, now + AHEAD_S * NS)
        self.seconds.forget(now - SECONDS_KEPT_S * NS, now + AHEAD_S * NS)
        self.memory.forget(self._journal.removed_position)

    def changed(self) -> None:
        """Have the memory written down soon."""
        self._dirty.set()

    async def close(self) -> None:
        """Write down what is remembered and close the journal. Harmless when repeated."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait([self._saving])
            self._saving = None
            await self._save()
        await self._journal.close()

    def _heard(self, lines: Sequence[StoredLog]) -> None:
        """Count what the journal took and tell of it, all but what only completes the knowledge of a history."""
        now, last = self._clock(), lines[-1].position
        if not self._reached or now - self._reached[-1][0] >= NS:
            self._reached.append((now, last))
        entries = [line.entry for line in lines]
        self.seconds.add(entries)
        self.minutes.add(entries)
        if self.memory.pending():
            silent = [line.position for line in lines if not self.memory.is_news(line.entry)]
            if silent:
                self.memory.silence(silent)
                self.changed()
                lines = [line for line in lines if not self.memory.is_silent(line.position)]
        if lines:
            self._told_position = lines[-1].position
            for listener, _ in tuple(self._listeners):
                self._call(listener, lines)

    def _call(self, listener: Callable[..., None], told: object) -> None:
        try:
            listener(told)
        except Exception as error:  # one listener's fault must not keep the lines from the others
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a listener of the log store failed", "exception": error}
            )

    async def _recall(self) -> None:
        """Count what the journal holds from before."""
        now = self._clock()
        self.minutes.fill(await self._journal.tally(self.minutes.width_ns, now - MINUTES_KEPT_S * NS))
        self.seconds.fill(await self._journal.tally(self.seconds.width_ns, now - SECONDS_KEPT_S * NS))
        self._reached.extend(await self._journal.reached())
        self.counted_since_ns = self.kept_since_ns
        self._told_position = await self._journal.last_position()
        self.forget()

    async def _save_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._save()
            await asyncio.sleep(SAVED_EVERY_S)

    async def _save(self) -> None:
        text = json.dumps(self.memory.dump())
        try:
            await asyncio.to_thread(_write, self._path, text)
        except OSError as error:  # what is not written down is found out anew, or told as lost, after a restart
            _log.warning("%s cannot be written (%s)", self._path, error.strerror)


def _read(path: Path) -> Memory:
    try:
        return Memory.load(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read and is begun anew: streams cannot resume from before: %s", path, error)
        return Memory()


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _set_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            part.replace(part.with_name(part.name + ".bad"))
