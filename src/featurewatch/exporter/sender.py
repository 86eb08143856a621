"""Batches sent, each until it is stored or refused for good."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..model import FeatureKey
from .answers import Verdict
from .backlog import Backlog, frame_of
from .delivery import Destination
from .drops import Drops
from .frames import Frame, pack, unpack
from .lines import Record
from .shelf import Taken
from .spool import ADOPT_EVERY_S
from .worker import Pause, Worker

RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 30.0
DENIED_FIRST_S: Final = 5.0
DENIED_MOST_S: Final = 60.0
HURRIED_MOST_S: Final = 1.0
"""A retry's longest pause while someone waits, for instance the end of the process."""

PARTS_AT_MOST: Final = 256
"""How many requests the search for the wrong lines of one batch may take; 24 find one line among 4,000."""


class Pace:
    """When a destination that did not take a batch is tried again: known to all who send to it."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._lock = threading.Lock()
        self._tries = 0
        self._failed_at = self._retry_at = 0.0

    @property
    def away(self) -> bool:
        """Whether the last request was in vain."""
        return self._tries > 0

    def rest(self, *, hurried: bool) -> float:
        """Return the seconds until the next try."""
        until = min(self._retry_at, self._failed_at + HURRIED_MOST_S) if hurried else self._retry_at
        return until - time.monotonic()

    def failed(self, verdict: Verdict, started: float) -> None:
        """Put the next try off; of requests that ran at the same time only one makes the pause grow."""
        denied = verdict.kind == "denied"
        first, most = (DENIED_FIRST_S, DENIED_MOST_S) if denied else (RETRY_FIRST_S, RETRY_MOST_S)
        with self._lock:
            if started >= self._failed_at or not self._tries:
                self._tries += 1
            ceiling = min(most, first * 2.0 ** min(self._tries - 1, 16))
            self._failed_at = time.monotonic()
            self._retry_at = self._failed_at + max(verdict.wait, ceiling * (0.5 + self._jitter() / 2))

    def went_well(self) -> bool:
        """Forget that it was away; True where it was."""
        with self._lock:
            was_away, self._tries, self._retry_at = self._tries > 0, 0, 0.0
            return was_away


class Sender:
    """Takes frames from the backlog on a thread of its own, one of several that share a pace.

    A batch is sent again, after a growing pause, while the destination is away or denies it. Of one that is refused,
    the wrong lines are found by halving; those alone are dropped, counted and told.
    """

    def __init__(
        self,
        backlog: Backlog,
        destination: Destination,
        drops: Drops,
        pace: Pace,
        *,
        name: str = "logs-send",
        looks_around: bool = False,
        on_start: Callable[[], None] | None = None,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self._backlog = backlog
        self._to = destination
        self._drops = drops
        self._pace = pace
        self._idle = Pause(ADOPT_EVERY_S if looks_around else None)
        self._on_recovery = on_recovery
        self._taken: Frame | Taken | None = None
        self._parts: deque[list[Record]] = deque()
        self._service = ""
        self._part: Frame | None = None
        self._requests = 0
        self._closed = False
        self.worker = Worker(name, self._send_all, on_start)

    @property
    def busy(self) -> bool:
        """Whether it holds a batch."""
        return self._taken is not None

    def close(self) -> None:
        """Send nothing further; a request that runs is not waited for."""
        self._closed = True

    def _send_all(self) -> Pause:
        while not self._closed:
            if self._taken is None:
                self._taken = self._backlog.take()
            if self._taken is None:
                return self._idle
            if (rest := self._pace.rest(hurried=self.worker.hurried)) > 0:
                return Pause(rest, settled=False)
            self._deliver(frame_of(self._taken))
        return Pause(None, settled=False)

    def _deliver(self, frame: Frame) -> None:
        """Send a frame, or what of it still is to be sent."""
        if not self._parts and frame.format != self._to.format:
            # It was spooled for another kind of destination than there is now.
            records = self._records(frame)
            if not records:
                return self._finish()
            self._parts.append(records)
        if self._parts and self._part is None:
            self._part = pack(self._parts[0], self._service, self._to.codec)
        started = time.monotonic()
        verdict = self._to.send(self._part or frame)
        if verdict.kind in ("later", "denied"):
            return self._again(verdict, started)
        if self._pace.away and self._pace.went_well():
            self._drops.recovered(f"ship {self._to.url}", "lines are shipped to %s again", self._to.url)
            self._on_recovery()
        self._requests += 1
        if verdict.kind != "stored":
            self._refused(verdict, frame)
        elif verdict.refused:
            self._drops.count("logs", verdict.reason, count=verdict.refused)
            self._tell(verdict, verdict.refused)
        self._part = None
        if self._parts:
            self._parts.popleft()
        if not self._parts:
            self._finish()
        return None

    def _finish(self) -> None:
        if self._taken is not None:
            self._backlog.done(self._taken)
        self._taken = None
        self._parts.clear()
        self._part, self._requests = None, 0

    def _again(self, verdict: Verdict, started: float) -> None:
        self._pace.failed(verdict, started)
        hint = f": {self._to.denied(verdict.said[:3])}" if verdict.kind == "denied" else ""
        self._drops.tell(
            f"ship {self._to.url}", "lines could not be shipped to %s (%s)%s; they are kept and sent again",
            self._to.url, verdict.said, hint,
        )  # fmt: skip

    def _refused(self, verdict: Verdict, frame: Frame) -> None:
        """Drop what was refused if it is a single line or known to be all of it; else send it in halves."""
        part = self._parts[0] if self._parts else self._records(frame)
        all_of_it = verdict.refused is not None and verdict.refused >= len(part)
        if len(part) <= 1 or all_of_it or self._requests >= PARTS_AT_MOST:
            self._drop(part, verdict)
            return
        middle = len(part) // 2
        if not self._parts:
            self._parts.append(part)  # which is what this request was; it is removed as sent
        self._parts += (part[:middle], part[middle:])

    def _records(self, frame: Frame) -> list[Record]:
        try:
            self._service, records = unpack(frame)
        except ValueError as error:
            self._drops.count("logs", "rejected", count=frame.lines)
            self._drops.tell("batch", "%d lines are lost: %s", frame.lines, error)
            return []
        return records

    def _drop(self, lines: Sequence[Record], verdict: Verdict) -> None:
        if lines:
            drop(self._drops, (line.key for line in lines), verdict.reason)
            self._tell(verdict, len(lines))

    def _tell(self, verdict: Verdict, count: int) -> None:
        self._drops.tell(
            f"ship {verdict.reason}", "%s refused %d lines, which are lost (the others are not): %s",
            self._to.url, count, verdict.said,
        )  # fmt: skip


def drop(drops: Drops, keys: Iterable[FeatureKey], reason: str) -> None:
    """Count lines as dropped, each for its feature."""
    for key, count in Counter(keys).items():
        drops.count("logs", reason, key, count)
