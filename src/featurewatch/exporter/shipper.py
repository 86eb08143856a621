"""Lines from any thread into batches, and batches into the backlog, from which the sender takes them."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .backlog import Backlog
from .config import Config
from .delivery import Destination
from .drops import Drops
from .frames import pack, unpack
from .lines import Line, record
from .sender import Sender, drop
from .spool import Spool, left_behind
from .worker import Pause, Worker

if TYPE_CHECKING:
    import httpx

BATCH_BYTES: Final = 1024**2
"""A request's size before compression, about. Loki's limit inside is 4 MiB; near 1 MiB it answers fastest."""

LINGER_S: Final = 0.25
"""How long a line waits for others before it becomes part of a batch."""

OVERHEAD_BYTES: Final = 400
"""What a waiting line occupies besides its text, about: the tuple, its timestamp, the strings' headers."""

_ENVELOPE_BYTES: Final = 160
"""What a line adds to a request besides its text, about: timestamp, id, level, source."""

_ROUND_UP: Final = OVERHEAD_BYTES - _ENVELOPE_BYTES


class Shipper:
    """Takes lines on any thread; packs and sends them on two of its own.

    What waits in memory, as lines and as batches, is bounded by bytes; a line that does not fit is dropped and
    counted, so what was taken is never pushed out by what comes later. With a spool, batches wait on disk.
    """

    def __init__(
        self,
        config: Config,
        drops: Drops,
        *,
        on_start: Callable[[], None] | None = None,
        new_client: Callable[[], httpx.Client] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._drops = drops
        self._limit = config.log_queue_bytes
        self._destination = Destination(config, new_client)
        self._spool_dir = Path(config.spool_dir) if config.spool_dir else None
        spool = None if self._spool_dir is None else Spool(self._spool_dir, config.spool_bytes, drops)
        self._backlog = Backlog(spool)
        # Reentrant: a finaliser that logs may run on a thread that holds it.
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Line, int]] = deque()
        self._bytes = 0
        self._first_at = 0.0
        self.worker = Worker("logs", self._pack, on_start)
        self.sender = Sender(
            self._backlog, self._destination, drops, looks_around=spool is not None, on_start=on_start, jitter=jitter
        )

    def put(self, line: Line, size: int) -> None:
        """Queue a line of about `size` bytes of text."""
        size += OVERHEAD_BYTES
        with self._lock:
            before = self._bytes
            fits = before + size + self._backlog.memory_bytes <= self._limit
            if fits:
                self._bytes += size
                self._waiting.append((line, size))
                if before == 0:
                    self._first_at = time.monotonic()
        if not fits:
            self._drops.count("logs", "queue_full", line.key)
            self._drops.tell(
                "log queue",
                "lines wait to be shipped to %s and their queue is full (log_queue_bytes): new ones are dropped%s",
                self._destination.url,
                "" if self._spool_dir else "; with spool_dir set they would wait on disk",
            )
        elif before == 0 or before < BATCH_BYTES <= before + size:
            self.worker.wake()

    def resume(self) -> None:
        """Start at once where an ended process left lines in the spool, rather than with the first line."""
        if self._spool_dir is not None and left_behind(self._spool_dir):
            self.sender.worker.wake()

    def flush(self, deadline: float) -> bool:
        """Wait until all that was put is delivered; False where that is not done by the deadline."""
        packed = self.worker.flush(deadline)
        return self.sender.worker.flush(deadline) and packed

    def stop(self, deadline: float) -> bool:
        """Deliver what waits and end the threads; what is left by the deadline stays in the spool, else it is counted
        as dropped. False where something is left.
        """
        packed = self.worker.stop(deadline)
        done = self.sender.worker.stop(deadline)
        self.sender.close()
        left = 0
        with self._lock:
            lines = [line for line, _ in self._waiting]
            self._waiting.clear()
            self._bytes = 0
        for frame in self._backlog.close():
            left += frame.lines
            drop(self._drops, unpack(frame)[1], "undeliverable")
        if lines:
            left += len(lines)
            drop(self._drops, [record(line) for line in lines], "undeliverable")
        if left:
            self._drops.tell(
                "undeliverable", "%d lines could not be shipped to %s in time", left, self._destination.url
            )
        return packed and done and not left

    def abandon(self) -> None:
        """Let go in a forked child: all that waits is its parent's."""
        self._backlog.abandon()

    def _pack(self) -> Pause:
        while True:
            with self._lock:
                if not self._waiting:
                    return Pause(None)
                rest = self._first_at + LINGER_S - time.monotonic()
                if 0 < rest <= LINGER_S and self._bytes < BATCH_BYTES and not self.worker.hurried:
                    return Pause(rest, settled=False)
                lines = self._take()
            destination = self._destination
            records = [record(line) for line in lines]
            frame = pack(records, destination.service, destination.codec)
            if not self._backlog.append(frame, urgent=self.sender.away):
                drop(self._drops, records, "undeliverable")
            self.sender.worker.wake()

    def _take(self) -> list[Line]:
        """Take what waits, up to BATCH_BYTES as they are sent; at least one line."""
        lines: list[Line] = []
        total = batch = 0
        waiting = self._waiting
        while waiting and (total == 0 or batch + waiting[0][1] - _ROUND_UP <= BATCH_BYTES):
            line, size = waiting.popleft()
            lines.append(line)
            total += size
            batch += size - _ROUND_UP
        self._bytes -= total
        self._first_at = time.monotonic()
        return lines
