"""Lines from any thread into batches, and batches into the backlog, from which the sender takes them."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .backlog import Backlog
from .config import Config
from .delivery import Destination
from .drops import Drops
from .frames import Frame, pack, pack_lines, unpack
from .lines import Fields, Line, Record
from .sender import Pace, Sender, drop
from .spool import Spool, left_behind, measure
from .worker import Pause, Worker

if TYPE_CHECKING:
    import httpx

BATCH_BYTES: Final = 1024**2
"""A request's size before compression, about. Loki's limit inside is 4 MiB; near 1 MiB it answers fastest."""

LINGER_S: Final = 0.25
"""How long a line waits for others before it becomes part of a batch."""

OVERHEAD_BYTES: Final = 300
"""What a waiting line occupies besides its text, about: its place in the list, the timestamp, the strings' headers."""

ENVELOPE_BYTES: Final = 160
"""What a line adds to a request besides its text, about: timestamp, id, level, source."""


class Shipper:
    """Takes lines on any thread; packs them on one of its own, sends them on another, and on a third under load.

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
        # Held while a packed batch goes into the backlog, which is closed only outside of that.
        self._handing_over = threading.Lock()
        self._full: deque[_Batch] = deque()
        self._filling = _Batch()
        self._packing: _Batch | None = None
        self._bytes = 0
        self.worker = Worker("logs", self._pack, on_start)
        self._pace = Pace(jitter)
        self._senders = [
            Sender(
                self._backlog, self._destination, drops, self._pace, name=f"logs-send-{number}",
                # What ended processes left is looked for by one.
                looks_around=spool is not None and number == 1, on_start=on_start, on_recovery=self._wake_all,
            )
            for number in range(1, self._destination.requests_at_once + 1)
        ]  # fmt: skip

    def put(self, line: Fields, size: int) -> None:
        """Queue a line of about `size` bytes of text."""
        occupied = size + OVERHEAD_BYTES
        with self._lock:
            batch = self._filling
            fits = self._bytes + occupied + self._backlog.memory_bytes <= self._limit
            if fits:
                self._bytes += occupied
                wakes = not batch.fields
                if wakes:
                    batch.since = time.monotonic()
                elif batch.sent_bytes + size > BATCH_BYTES:
                    self._full.append(batch)
                    batch = self._filling = _Batch()
                    batch.since, wakes = time.monotonic(), True
                batch.fields += line
                batch.sent_bytes += size + ENVELOPE_BYTES
        if not fits:
            self._drops.count("logs", "queue_full", line[1])
            self._drops.tell(
                "log queue",
                "lines wait to be shipped to %s and their queue is full (log_queue_bytes): new ones are dropped%s",
                self._destination.url,
                "" if self._spool_dir else "; with spool_dir set they would wait on disk",
            )
        elif wakes:
            self.worker.wake()

    def waiting(self) -> dict[str, int]:
        """Tell how many bytes of lines wait: in memory, and where there is a spool, on disk."""
        with self._lock:
            waits = {"memory": self._bytes + self._backlog.memory_bytes}
        return waits if self._spool_dir is None else {**waits, "spool": measure(self._spool_dir)}

    def resume(self) -> None:
        """Start at once where an ended process left lines in the spool, rather than with the first line."""
        if self._spool_dir is not None and left_behind(self._spool_dir):
            self._senders[0].worker.wake()

    def flush(self, deadline: float) -> bool:
        """Wait until all that was put is delivered; False where that is not done by the deadline."""
        packed = self.worker.flush(deadline)
        while True:
            sent = [sender.worker.flush(deadline) for sender in self._at_work()]
            # One may have found nothing to do, and taken the next batch by the time that the other was done.
            if not all(sent) or not self._backlog.out:
                return all(sent) and packed

    def stop(self, deadline: float) -> bool:
        """Deliver what waits and end the threads. What is left by the deadline goes into the spool or stays there, else
        it is counted as dropped. False where something is left.
        """
        packed = self.worker.stop(deadline)
        done = [sender.worker.stop(deadline) for sender in self._at_work()]
        for sender in self._senders:
            sender.close()
        if all(done):
            self._destination.close()
        with self._handing_over:
            with self._lock:
                batches = [*self._full, self._filling, *([] if self._packing is None else [self._packing])]
                self._full.clear()
                self._filling, self._packing, self._bytes = _Batch(), None, 0
            if self._spool_dir is not None:
                # To write them down takes no time that a destination may use up.
                batches = [batch for batch in batches if batch.fields and not self._backlog.append(self._packed(batch))]
            in_memory = self._backlog.close()
        keys = [batch.fields[start] for batch in batches for start in range(1, len(batch.fields), len(Line._fields))]
        keys += (record.key for frame in in_memory for record in unpack(frame)[1])
        drop(self._drops, keys, "undeliverable")
        if left := len(keys):
            self._drops.tell(
                "undeliverable", "%d lines could not be shipped to %s in time", left, self._destination.url
            )
        return packed and all(done) and not left

    def abandon(self) -> None:
        """Let go in a forked child: all that waits is its parent's."""
        self._backlog.abandon()

    def _pack(self) -> Pause:
        while True:
            batch, rest = self._next()
            if batch is None:
                return Pause(rest, settled=rest is None)
            frame = self._packed(batch)
            with self._handing_over:
                with self._lock:
                    mine, self._packing = self._packing is batch, None
                if not mine:
                    return Pause(None)  # It was stopped meanwhile, which saw to what was being packed.
                self._backlog.append(frame, urgent=self._pace.away)
            for sender in self._senders:
                sender.worker.wake()
                if not sender.busy:
                    break

    def _packed(self, batch: _Batch) -> Frame:
        try:
            return pack_lines(batch.fields, batch.lines, self._destination.service, self._destination.codec)
        except Exception:  # a level that is no number, text of a class of its own, ...
            return self._pack_what_can_be(batch.fields)

    def _pack_what_can_be(self, flat: Sequence[Any]) -> Frame:
        """Pack lines one of which cannot be written, without it and its like."""
        good = list[Record]()
        for start in range(0, len(flat), len(Line._fields)):
            line = flat[start : start + len(Line._fields)]
            try:
                # To bytes and back: what can be encoded alone can be with the others.
                good += unpack(pack_lines(line, 1, self._destination.service, self._destination.codec))[1]
            except Exception as error:
                self._drops.count("logs", "unreadable", line[1])
                self._drops.tell("unreadable", "a log record could not be read and is not shipped: %r", error)
        return pack(good, self._destination.service, self._destination.codec)

    def _at_work(self) -> list[Sender]:
        """List the senders that may have a batch: the first, and those that were needed."""
        return [sender for sender in self._senders if sender is self._senders[0] or sender.worker.started]

    def _wake_all(self) -> None:
        for sender in self._senders:
            if sender.busy:
                sender.worker.wake()

    def _next(self) -> tuple[_Batch | None, float | None]:
        """Take a batch that is full or has waited long enough; else the seconds until one has, None where all is."""
        with self._lock:
            if self._full:
                batch = self._full.popleft()
            elif not self._filling.fields:
                return None, None
            else:
                rest = self._filling.since + LINGER_S - time.monotonic()
                if rest > 0 and not self.worker.hurried:
                    return None, rest
                batch, self._filling = self._filling, _Batch()
            self._bytes -= batch.sent_bytes + batch.lines * (OVERHEAD_BYTES - ENVELOPE_BYTES)
            self._packing = batch
            return batch, None


class _Batch:
    """Lines on their way into a frame: their fields in one list (see `records`), since when, and how large they are."""

    __slots__ = ("fields", "sent_bytes", "since")

    def __init__(self) -> None:
        self.fields: list[Any] = []
        self.since = 0.0
        self.sent_bytes = 0

    @property
    def lines(self) -> int:
        return len(self.fields) // len(Line._fields)
