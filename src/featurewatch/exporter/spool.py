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
from .segment import SUFFIX
from .shelf import Shelf, Taken, shelves

SEGMENT_BYTES: Final = 8 * 1024**2
SYNC_EVERY_S: Final = 1.0
"""How often frames that have to wait are synced to the disk; a process's end alone loses nothing that was written."""

ADOPT_EVERY_S: Final = 10.0
_PUT_OFF_S: Final = 60.0
"""How long a directory is left alone that cannot be taken over, or not be removed."""

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
        self._put_off: dict[Path, float] = {}
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
                self._own = Shelf.create(self.directory, self._segment_bytes, self._torn)
            sync = sync and now >= self._sync_at
            self._own.append(frame, sync=sync)
            if sync:
                self._sync_at = now + SYNC_EVERY_S
        except (OSError, ImportError) as error:
            self._failed(error, self._own)
            return False
        self._used += len(frame.body)
        self._drops.recovered(f"spool {self.directory}", "lines are kept in spool_dir %s again", self.directory)
        return True

    def take(self) -> Taken | None:
        """Hand out the oldest frame that is not yet, of ended processes first; None where there is none."""
        try:
            while (adopted := self._adopt()) is not None:
                taken = self._taken_from(adopted)
                if taken is not None:
                    return taken
                if adopted.busy:
                    break
                self._let_go(adopted)
                self._adopt_at = 0.0
                if adopted.path.exists():
                    self._put_off[adopted.path] = self._monotonic() + _PUT_OFF_S
            return None if self._own is None else self._own.take()
        except (OSError, ImportError) as error:
            self._failed(error, self._own)
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

    def _adopt(self) -> Shelf | None:
        """Take over one directory of an ended process, if there is one; looked for every ten seconds."""
        now = self._monotonic()
        if self._adopted is not None or self._closed or now < self._adopt_at:
            return self._adopted
        self._adopt_at = now + ADOPT_EVERY_S
        try:
            paths = shelves(self.directory)
        except FileNotFoundError:
            return None  # Nobody has written here yet.
        self._put_off = {path: until for path, until in self._put_off.items() if until > now}
        for path in paths:
            if path in self._put_off or (self._own is not None and path == self._own.path):
                continue
            try:
                self._adopted = Shelf.claim(path, self._segment_bytes, self._torn)
            except OSError as error:
                self._unreadable(path, error)
            if self._adopted is not None:
                return self._adopted
        return None

    def _taken_from(self, adopted: Shelf) -> Taken | None:
        """Take a frame of an ended process's; one that cannot be read does not hold up the others."""
        try:
            return adopted.take()
        except OSError as error:
            self._unreadable(adopted.path, error)
            self._let_go(adopted)
            return None

    def _unreadable(self, path: Path, error: OSError) -> None:
        self._put_off[path] = self._monotonic() + _PUT_OFF_S
        self._drops.tell(
            f"spool {path.name}",
            "%s cannot be read (%s): if its process has ended, its lines stay there; processes that share a spool_dir "
            "are to run as one user",
            path,
            error.strerror or error,
        )

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
            self._drops.recovered(f"spool full {self.directory}", "spool_dir %s has room again", self.directory)
            return True
        self._drops.tell(
            f"spool full {self.directory}",
            "spool_dir %s holds its %d bytes (spool_bytes): further lines wait in memory, up to log_queue_bytes",
            self.directory,
            self._limit,
        )
        return False

    def _failed(self, error: Exception, shelf: Shelf | None) -> None:
        self._try_at = self._adopt_at = self._monotonic() + _TRY_EVERY_S
        self._drops.tell(
            f"spool {self.directory}",
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
    for shelf in _found(directory):
        for parent, _, names in os.walk(shelf):
            for name in names:
                try:
                    total += os.stat(os.path.join(parent, name)).st_size if name.endswith(SUFFIX) else 0
                except OSError:
                    continue
    return total


def left_behind(directory: Path) -> bool:
    """Tell whether the directory holds anything that may have to be delivered."""
    return bool(_found(directory))


def _found(directory: Path) -> list[Path]:
    try:
        return shelves(directory)
    except OSError:
        return []
