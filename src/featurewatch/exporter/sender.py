"""Batches sent one after another, each until it is stored or refused for good."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ..model import FeatureKey
from .answers import Verdict
from .backlog import Backlog
from .delivery import Destination
from .drops import Drops
from .frames import Frame, pack, unpack
from .lines import Record
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


class Sender:
    """Takes frames from the backlog on a thread of its own.

    A batch is sent again, after a growing pause, while the destination is away or denies it. Of one that is refused,
    the wrong lines are found by halving; those alone are dropped, counted and told.
    """

    def __init__(
        self,
        backlog: Backlog,
        destination: Destination,
        drops: Drops,
        *,
        looks_around: bool = False,
        on_start: Callable[[], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._backlog = backlog
        self._to = destination
        self._drops = drops
        self._idle = Pause(ADOPT_EVERY_S if looks_around else None)
        self._jitter = jitter
        self._parts: deque[list[Record]] = deque()
        self._service = ""
        self._part: Frame | None = None
        self._requests = 0
        self._tries = 0
        self._retry_at = self._failed_at = 0.0
        self._closed = False
        self.worker = Worker("logs-send", self._send_all, on_start)

    @property
    def away(self) -> bool:
        """Whether the last request was in vain."""
        return self._tries > 0

    def close(self) -> None:
        """Send nothing further; a request that runs is not waited for."""
        self._closed = True

    def _send_all(self) -> Pause:
        while not self._closed:
            frame = self._backlog.first()
            if frame is None:
                return self._idle
            if (rest := self._rest()) > 0:
                return Pause(rest, settled=False)
            wait = self._deliver(frame)
            if wait is not None:
                self._failed_at = time.monotonic()
                self._retry_at = self._failed_at + wait
                return Pause(self._rest(), settled=False)
        return Pause(None, settled=False)

    def _rest(self) -> float:
        """Return the seconds until the next try."""
        hurried = min(self._retry_at, self._failed_at + HURRIED_MOST_S)
        return (hurried if self.worker.hurried else self._retry_at) - time.monotonic()

    def _deliver(self, frame: Frame) -> float | None:
        """Send a frame, or what of it still is to be sent; seconds until it is to be tried again, None for at once."""
        if not self._parts and frame.format != self._to.format:
            # It was spooled for another kind of destination than there is now.
            records = self._records(frame)
            if not records:
                self._finish()
                return None
            self._parts.append(records)
        if self._parts and self._part is None:
            self._part = pack(self._parts[0], len(self._parts[0]), self._service, self._to.codec)
        verdict = self._to.send(self._part or frame)
        if verdict.kind in ("later", "denied"):
            return self._again(verdict)
        if self._tries:
            self._tries, self._retry_at = 0, 0.0
            self._drops.recovered("ship", "lines are shipped to %s again", self._to.url)
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
        self._backlog.done()
        self._parts.clear()
        self._part, self._requests = None, 0

    def _again(self, verdict: Verdict) -> float:
        if verdict.kind == "denied":
            ceiling = min(DENIED_MOST_S, DENIED_FIRST_S * 2.0 ** min(self._tries, 16))
            hint = f": {self._to.denied(verdict.said[:3])}"
        else:
            ceiling = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(self._tries, 16))
            hint = ""
        self._tries += 1
        self._drops.tell(
            "ship", "lines could not be shipped to %s (%s)%s; they are kept and sent again",
            self._to.url, verdict.said, hint,
        )  # fmt: skip
        return max(verdict.wait, ceiling * (0.5 + self._jitter() / 2))

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
            drop(self._drops, lines, verdict.reason)
            self._tell(verdict, len(lines))

    def _tell(self, verdict: Verdict, count: int) -> None:
        self._drops.tell(
            f"ship {verdict.reason}", "%s refused %d lines, which are lost (the others are not): %s",
            self._to.url, count, verdict.said,
        )  # fmt: skip


def drop(drops: Drops, lines: Sequence[Record], reason: str) -> None:
    """Count lines as dropped, each for its feature."""
    counts: dict[FeatureKey, int] = {}
    for line in lines:
        counts[line.key] = counts.get(line.key, 0) + 1
    for key, count in counts.items():
        drops.count("logs", reason, key, count)
