"""One process's part of a spool: a directory of segments, whose lock ends with the process, whatever ends that."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from . import segment
from .frames import Frame

LOCK = "lock"
NEW = ".new-"
"""How a directory is named until its lock is held."""


class Shelf:
    """Frames in segments, oldest first. `torn` is told how many lines a damaged place held.

    Not for several threads at once. Every method but `close` and `abandon` may raise OSError.
    """

    def __init__(self, path: Path, lock: int, segment_bytes: int, torn: Callable[[int], None]) -> None:
        self.path = path
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._torn = torn
        self._segments: deque[Path] = deque(sorted(path.glob(f"*{segment.SUFFIX}")))
        self._number = int(self._segments[-1].stem) if self._segments and self._segments[-1].stem.isdecimal() else 0
        self._head = self._tail = -1
        self._head_size = self._tail_size = 0
        self._at = self._next = 0

    @classmethod
    def create(cls, root: Path, name: str, segment_bytes: int, torn: Callable[[int], None]) -> Self:
        """Make a directory of this name, which is locked before others can see it."""
        hidden, path = root / (NEW + name), root / name
        hidden.mkdir(parents=True, mode=0o700)
        try:
            lock = _locked(hidden / LOCK)
            if lock is None:
                raise OSError(errno.EWOULDBLOCK, "another process holds the lock of a new directory")
            hidden.rename(path)
        except OSError:
            (hidden / LOCK).unlink(missing_ok=True)
            hidden.rmdir()
            raise
        return cls(path, lock, segment_bytes, torn)

    @classmethod
    def claim(cls, path: Path, segment_bytes: int, torn: Callable[[int], None]) -> Self | None:
        """Take over a directory whose process has ended; None where it has not, or another took it."""
        lock = _locked(path / LOCK)
        if lock is None:
            return None
        try:
            # Between the two steps its last owner may have removed it.
            same = os.stat(path / LOCK).st_ino == os.fstat(lock).st_ino
        except OSError:
            same = False
        if not same:
            os.close(lock)
            return None
        return cls(path, lock, segment_bytes, torn)

    def append(self, frame: Frame, *, sync: bool = False) -> None:
        """Write a frame at the end; `sync`: through to the disk, not just to the system."""
        if self._tail < 0 or (self._tail_size > segment.START and self._tail_size >= self._segment_bytes):
            self._seal()
            self._number += 1
            path = self.path / f"{self._number:08d}{segment.SUFFIX}"
            self._tail, self._tail_size = segment.create(path), segment.START
            self._segments.append(path)
        self._tail_size = segment.append(self._tail, frame, self._tail_size)
        if sync:
            os.fdatasync(self._tail)

    def first(self) -> Frame | None:
        """Return the oldest frame that is not delivered; None where all are."""
        while self._segments:
            own = self._tail >= 0 and len(self._segments) == 1
            if self._head < 0:
                self._open()
                if self._head < 0:
                    continue
            found = segment.read(self._head, self._at, self._tail_size if own else self._head_size)
            if found.torn:
                self._torn(found.torn)
            if found.frame is not None:
                self._next = found.next
                return found.frame
            if own:
                return None
            self._remove()
        return None

    def done(self) -> None:
        """Count the frame that `first` returned as delivered."""
        self._at = self._next
        segment.deliver(self._head, self._at)
        own = self._tail >= 0 and len(self._segments) == 1
        if own and self._at >= self._tail_size >= self._segment_bytes:
            self._seal()
            self._remove()

    def close(self) -> None:
        """Let go of the directory, and remove it where nothing is left in it."""
        try:
            empty = self.first() is None
            self._seal()
            if empty:
                while self._segments:
                    self._remove()
                (self.path / LOCK).unlink()
                self.path.rmdir()
        except OSError:
            pass  # What is left is another process's to take over.
        self.abandon()

    def abandon(self) -> None:
        """Close the files and change nothing: in a forked child, whose parent keeps the directory."""
        for file in (self._head, self._tail, self._lock):
            if file >= 0:
                os.close(file)
        self._head = self._tail = self._lock = -1

    def _open(self) -> None:
        path = self._segments[0]
        file = os.open(path, os.O_RDWR)
        size = os.fstat(file).st_size
        try:
            self._at = segment.position(file, size)
        except ValueError:
            os.close(file)
            if size > 0:
                self._torn(1)
            self._remove()
            return
        self._head, self._head_size = file, size

    def _remove(self) -> None:
        """Remove the oldest segment."""
        if self._head >= 0:
            os.close(self._head)
            self._head = -1
        self._segments.popleft().unlink(missing_ok=True)

    def _seal(self) -> None:
        if self._tail >= 0:
            tail, self._tail = self._tail, -1
            if len(self._segments) == 1:
                self._head_size = self._tail_size
            try:
                os.fdatasync(tail)
            finally:
                os.close(tail)


def _locked(path: Path) -> int | None:
    """Open and lock a file; None where another process holds it or the directory is gone."""
    import fcntl  # not on every system: there, no spool can be kept and that is told

    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return file
