"""Lines on disk until they are delivered: what an outage, a kill or a restart would lose in memory.

`spool_dir` holds a directory for each process, locked by it, and of each process that ended without delivering all;
those are taken over by whichever process comes first. All of them share one bound, `spool_bytes`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .drops import Drops
from .frames import Frame
from .shelf import NEW, Shelf, Taken

SEGMENT_BYTES: Final = 8 * 1024**2
SYNC_EVERY_S: Final = 1.0
"""How often frames that have to wait are synced to the disk; a process's end alone loses nothing that was written."""

ADOPT_EVERY_S: Final = 10.0
_TRY_EVERY_S: Final = 5.0
_MEASURE_EVERY_S: Final = 1.0


class Spool:
    """Frames on disk, those of ended processes first. Never raises: what goes wrong is told once, and tried again.

    Not for several threads at once.
    """

    def __init__(
        self, directory: Path, limit: int, drops: Drops, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.directory = directory
        self._limit = limit
        self._segment_bytes = min(SEGMENT_BYTES, limit // 8)
        self._drops = drops
        self._monotonic = monotonic
        self._own: Shelf | None = None
        self._adopted: Shelf | None = None
        self._used = 0
        self._measure_at = self._try_at = self._adopt_at = self._sync_at = 0.0
        self._closed = False

    def append(self, frame: Frame, *, sync: bool = False) -> bool:
        """Write a frame; False where the disk or the bound has no room for it. `sync`: at most once a second."""
        now = self._monotonic()
        if self._closed or now < self._try_at or not self._has_room(len(frame.body), now):
            return False
        try:
            if self._own is None:
                name = f"{os.getpid()}-{os.urandom(6).hex()}"
                self._own = Shelf.create(self.directory, name, self._segment_bytes, self._torn)
            sync = sync and now >= self._sync_at
            self._own.append(frame, sync=sync)
            if sync:
                self._sync_at = now + SYNC_EVERY_S
        except (OSError, ImportError) as error:
            self._failed(error, self._own)
            return False
        self._used += len(frame.body)
        self._drops.recovered("spool", "lines are kept in spool_dir %s again", self.directory)
        return True

    def take(self) -> Taken | None:
        """Hand out the oldest frame that is not yet, of ended processes first; None where there is none."""
        shelf: Shelf | None = None
        try:
            while self._adopt():
                shelf = self._adopted
                taken = None if shelf is None else shelf.take()
                if taken is not None:
                    return taken
                if shelf is not None and shelf.busy:
                    break
                self._let_go(shelf)
                self._adopt_at = 0.0
            shelf = self._own
            return None if shelf is None else shelf.take()
        except (OSError, ImportError) as error:
            self._failed(error, shelf)
        return None

    def done(self, taken: Taken) -> None:
        """Count a frame that `take` handed out as delivered."""
        try:
            taken.shelf.done(taken)
        except OSError as error:
            self._failed(error, taken.shelf)

    def close(self) -> None:
        """Let go; what is not delivered stays for the next process."""
        self._closed = True
        for shelf in (self._adopted, self._own):
            if shelf is not None:
                shelf.close()
        self._adopted = self._own = None

    def abandon(self) -> None:
        """Let go in a forked child, whose parent keeps all."""
        self._closed = True
        for shelf in (self._adopted, self._own):
            if shelf is not None:
                shelf.abandon()
        self._adopted = self._own = None

    def _adopt(self) -> bool:
        """Take over one directory of an ended process, if there is one; looked for every ten seconds."""
        now = self._monotonic()
        if self._adopted is not None:
            return True
        if self._closed or now < self._adopt_at:
            return False
        self._adopt_at = now + ADOPT_EVERY_S
        try:
            with os.scandir(self.directory) as found:
                paths = sorted(Path(entry.path) for entry in found if entry.is_dir() and not entry.name.startswith("."))
        except FileNotFoundError:
            return False  # Nobody has written here yet.
        for path in paths:
            if self._own is not None and path == self._own.path:
                continue
            shelf = Shelf.claim(path, self._segment_bytes, self._torn)
            if shelf is not None:
                self._adopted = shelf
                return True
        return False

    def _let_go(self, shelf: Shelf | None) -> None:
        """Close a shelf; what is left in it is found again later, as an ended process's."""
        if shelf is None:
            return
        shelf.close()
        self._own = None if shelf is self._own else self._own
        self._adopted = None if shelf is self._adopted else self._adopted

    def _has_room(self, size: int, now: float) -> bool:
        if now >= self._measure_at:
            self._measure_at = now + _MEASURE_EVERY_S
            self._used = measure(self.directory)
        if self._used + size <= self._limit:
            self._drops.recovered("spool full", "spool_dir %s has room again", self.directory)
            return True
        self._drops.tell(
            "spool full",
            "spool_dir %s holds its %d bytes (spool_bytes): further lines wait in memory, up to log_queue_bytes",
            self.directory,
            self._limit,
        )
        return False

    def _failed(self, error: Exception, shelf: Shelf | None) -> None:
        self._try_at = self._adopt_at = self._monotonic() + _TRY_EVERY_S
        self._drops.tell(
            "spool",
            "spool_dir %s cannot be used (%s): make it writable or free some space; lines wait in memory meanwhile",
            self.directory,
            error.strerror if isinstance(error, OSError) and error.strerror else error,
        )
        self._let_go(shelf)

    def _torn(self, count: int) -> None:
        self._drops.count("logs", "torn", count=count)
        self._drops.tell(
            "torn",
            "spool_dir %s holds a damaged batch, as a process leaves it that dies while it writes: %d lines are lost",
            self.directory,
            count,
        )


def measure(directory: Path) -> int:
    """Add up the segments of a spool's directory, in bytes; what vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def left_behind(directory: Path) -> bool:
    """Tell whether the directory holds anything that may have to be delivered."""
    try:
        with os.scandir(directory) as found:
            return any(entry.is_dir() and not entry.name.startswith(NEW) for entry in found)
    except OSError:
        return False
