"""What waits for one client: bounded, in order, and honest about what it could not keep."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from ..model import FeatureKey
from .messages import Gap, Parcel
from .positions import Position
from .stats import Stats

MAX_REPLIES: Final = 64
MAX_SLOTS: Final = 4
"""Answers to a client's own messages that may wait, and histories among them, each of which may be megabytes.

From so many on its messages are not read until it reads.
"""
MAX_KEPT: Final = 4
"""Events and answers, which are never dropped, may wait up to so many times the bound of lines."""


class Slot:
    """A place in the order, held for what is still being read from a store; nothing behind it overtakes it."""

    __slots__ = ("filled", "parcels", "releases")

    def __init__(self, releases: bool) -> None:
        self.parcels: deque[Parcel] = deque()
        self.filled = False
        self.releases = releases


class _Lines:
    """A parcel of log lines: what is dropped when the client is too slow."""

    __slots__ = ("parcel",)

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel


class _Figures:
    """The latest snapshot of a feature. A newer one takes its place in the order and keeps its position: the id
    must not promise what stands between the two."""

    __slots__ = ("key", "parcel", "position")

    def __init__(self, key: FeatureKey, parcel: Parcel, position: Position) -> None:
        self.key = key
        self.parcel = parcel
        self.position = position


class _Loss:
    """Lines dropped at this place, by feature."""

    __slots__ = ("gaps", "position")

    def __init__(self) -> None:
        self.gaps: dict[str | None, Gap] = {}
        self.position: Position | None = None

    def add(self, parcel: Parcel) -> None:
        for line in parcel.messages:
            gap = self.gaps.get(line.feature)
            at = line.timestamp_ns
            self.gaps[line.feature] = (
                Gap("slow_consumer", line.feature, 1, at, at)
                if gap is None
                else Gap(gap.reason, gap.feature, (gap.count or 0) + 1, min(gap.from_ns, at), max(gap.to_ns, at))
            )
            self.position = line.position


_Item: TypeAlias = Parcel | Slot | _Lines | _Figures | _Loss


class Outbox:
    """The queue of one client.

    Figures are conflated (the latest wins, in the older one's place). Lines are bounded by `limit` bytes, or by one
    commit of the store: above it the oldest go, and a gap with their count stands where they stood. Events and
    answers are few and are kept; where they are not few, the queue is `overfull` and its client has to go.
    One task takes, any callback of the loop puts.
    """

    __slots__ = (
        "_discarded", "_figures", "_items", "_kept", "_limit", "_lines", "_replies", "_slots", "_stats", "_waiter",
        "_whole", "closed", "hold", "sending_since",
    )  # fmt: skip

    def __init__(self, limit: int, stats: Stats) -> None:
        self._limit = limit
        self._stats = stats
        self._items: deque[_Item] = deque()
        self._figures: dict[FeatureKey, _Figures] = {}
        self._lines = 0
        self._whole: int | None = None
        self._replies = self._kept = self._slots = 0
        self._waiter: asyncio.Future[None] | None = None
        self.closed = self._discarded = False
        self.hold: int | None = None
        """Log position that ids must not pass before the client has asked for the lines since."""
        self.sending_since: float | None = None
        """When the running send began (the loop's time), None where none runs."""

    @property
    def crowded(self) -> bool:
        """Whether so many answers wait that no more of the client's messages should be read."""
        return self._replies >= MAX_REPLIES or self._slots >= MAX_SLOTS

    @property
    def overfull(self) -> bool:
        """Whether more waits than may, and none of it may be dropped."""
        return self._kept > MAX_KEPT * self._limit

    @property
    def idle(self) -> bool:
        """Whether the client has been handed all there is."""
        return not self._items and self.sending_since is None

    @property
    def line_bytes(self) -> int:
        """Bytes of lines that wait."""
        return self._lines

    def put(self, parcel: Parcel) -> None:
        """Add an event or an answer: also one that says why the stream was closed."""
        if self._discarded:
            return
        self._items.append(parcel)
        self._replies += 1
        self._kept += parcel.size
        self.wake()

    def put_lines(self, parcels: Iterable[Parcel], commit: int | None = None) -> None:
        """Add log lines; where they exceed the bound, drop the oldest.

        A client that had taken all before is not slow: it gets the whole of a commit, however large.

        Args:
            commit: names the commit that the lines are a slice of; None: they are a whole one.
        """
        if self.closed:
            return
        caught_up = self._lines == 0
        if caught_up:
            self._whole = commit
        for parcel in parcels:
            self._items.append(_Lines(parcel))
            self._lines += parcel.size
        if self._lines > self._limit and not caught_up and (commit is None or commit != self._whole):
            self._shed()
        self.wake()

    def put_figures(self, key: FeatureKey, parcel: Parcel, position: Position) -> None:
        """Add a snapshot, or let it replace the one that still waits."""
        if self.closed:
            return
        waiting = self._figures.get(key)
        if waiting is not None:
            waiting.parcel = parcel
            return
        figures = self._figures[key] = _Figures(key, parcel, position)
        self._items.append(figures)
        self.wake()

    def forget_figures(self, wanted: Callable[[FeatureKey], bool]) -> None:
        """Drop the snapshots that wait for features no longer watched."""
        for key in [key for key in self._figures if not wanted(key)]:
            self._items.remove(self._figures.pop(key))

    def reserve(self, *, releases: bool = False) -> Slot:
        """Hold a place in the order; one that `releases` ends the hold on positions when its turn comes."""
        slot = Slot(releases)
        self._items.append(slot)
        self._slots += 1
        return slot

    def fill(self, slot: Slot, parcels: Iterable[Parcel] = ()) -> None:
        """Put what was read into its place and let what waits behind it go on; a second time does nothing."""
        if slot.filled:
            return
        slot.parcels.extend(parcels)
        slot.filled = True
        self.wake()

    def take(self) -> Parcel | None:
        """Take what is next, None where nothing can be sent now."""
        items = self._items
        while items:
            item = items[0]
            if type(item) is not Slot:
                items.popleft()
                return self._held(self._unpacked(item))
            if not item.filled:
                return None
            if item.releases:
                self.hold = None
            if item.parcels:
                return self._held(item.parcels.popleft())
            items.popleft()
            self._slots -= 1
        return None

    def ready(self) -> bool:
        """Whether there is something to do: to send, or to end."""
        if self.closed:
            return True
        if not self._items:
            return False
        first = self._items[0]
        return type(first) is not Slot or first.filled

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self.ready():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return once `ready`."""
        if self.ready():
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self, *, discard: bool = False) -> None:
        """Take nothing more in, and let the taking task end once it has taken what it wants; `discard`: at once."""
        self.closed = True
        if discard:
            self._discarded = True
            self._items.clear()
            self._figures.clear()
            self._lines = self._kept = self._replies = self._slots = 0
        self.wake()

    def _unpacked(self, item: _Item) -> Parcel:
        if type(item) is _Lines:
            self._lines -= item.parcel.size
            return item.parcel
        if type(item) is Parcel:
            self._replies -= 1
            self._kept -= item.size
            return item
        if type(item) is _Figures:
            del self._figures[item.key]
            return item.parcel.at(item.position)
        assert type(item) is _Loss
        gaps = list(item.gaps.values())
        self._stats.gaps["slow_consumer"] += len(gaps)
        return Parcel([gap.message(None if gap is not gaps[-1] else item.position) for gap in gaps])

    def _held(self, parcel: Parcel) -> Parcel:
        return parcel if self.hold is None else parcel.held(self.hold)

    def _shed(self) -> None:
        """Drop the oldest lines to three quarters of the bound, so that not every further line drops one."""
        kept: deque[_Item] = deque()
        floor = self._limit * 3 // 4
        newest = self._items.pop()  # stays, even where it alone exceeds the bound
        while self._lines > floor and self._items:
            item = self._items.popleft()
            if type(item) is not _Lines:
                kept.append(item)
                continue
            self._lines -= item.parcel.size
            self._stats.dropped["slow_consumer"] += len(item.parcel.messages)
            loss = kept[-1] if kept else None
            if type(loss) is not _Loss:
                loss = _Loss()
                kept.append(loss)
            loss.add(item.parcel)
        self._items.extendleft(reversed(kept))
        self._items.append(newest)
