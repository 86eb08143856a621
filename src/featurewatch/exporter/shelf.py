"""One process's part of a spool: a directory of segments, whose lock ends with the process, whatever ends that."""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Self

from .frames import Frame
from .segment import START, SUFFIX, Segment

LOCK = "lock"
NEW = ".new-"
"""How a directory is named until its lock is held."""

_NAME: Final = re.compile(r"\d+-[0-9a-f]{12}")
"""How it is named from then on: by the process's number and at random."""


class Taken(NamedTuple):
    """A frame that is on its way, and where it lies until it is delivered."""

    frame: Frame
    shelf: Shelf
    segment: Segment
    end: int


class Shelf:
    """Frames in segments, oldest first. `torn` is told how many lines a damaged place held.

    Not for several threads at once. Every method but `close` and `abandon` may raise OSError.
    """

    def __init__(self, path: Path, lock: int, segment_bytes: int, torn: Callable[[int], None]) -> None:
        self.path = path
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._torn = torn
        self._segments = deque(Segment(found) for found in sorted(path.glob(f"*{SUFFIX}")))
        last = self._segments[-1].path.stem if self._segments else ""
        self._number = int(last) if last.isdecimal() else 0
        self._tail: Segment | None = None

    @classmethod
    def create(cls, root: Path, segment_bytes: int, torn: Callable[[int], None]) -> Self:
        """Make a directory, which is locked before others can see it."""
        name = f"{os.getpid()}-{os.urandom(6).hex()}"
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

    @property
    def busy(self) -> bool:
        """Whether frames are out that are not delivered."""
        return any(segment.busy for segment in self._segments)

    def append(self, frame: Frame, *, sync: bool = False) -> None:
        """Write a frame at the end; `sync`: through to the disk, not just to the system."""
        if self._tail is None or self._tail.size >= max(self._segment_bytes, START + 1):
            self._seal()
            self._number += 1
            self._tail = Segment.create(self.path / f"{self._number:08d}{SUFFIX}")
            self._segments.append(self._tail)
        self._tail.append(frame, sync=sync)

    def take(self) -> Taken | None:
        """Hand out the oldest frame that is not yet; None where all are."""
        for segment in tuple(self._segments):
            if segment.read:
                self._sweep(segment)
                continue
            try:
                found = segment.take()
            except ValueError:
                if os.stat(segment.path).st_size > 0:
                    self._torn(1)
                self._remove(segment)
                continue
            if found.torn:
                self._torn(found.torn)
            if found.frame is not None:
                return Taken(found.frame, self, segment, found.next)
            self._sweep(segment)
        return None

    def done(self, taken: Taken) -> None:
        """Count a frame that `take` handed out as delivered; where the directory was let go of, it is sent again."""
        if self._lock >= 0:
            taken.segment.done(taken.end)
            self._sweep(taken.segment)

    def close(self) -> None:
        """Let go of the directory, and remove it where nothing is left in it."""
        if self._lock < 0:
            return
        try:
            empty = not self.busy and self.take() is None
            self._seal()
            if empty:
                for segment in tuple(self._segments):
                    self._remove(segment)
                (self.path / LOCK).unlink()
                self.path.rmdir()
        except OSError:
            pass  # What is left is another process's to take over.
        self.abandon()

    def abandon(self) -> None:
        """Close the files and change nothing: in a forked child, whose parent keeps the directory."""
        for segment in self._segments:
            segment.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _sweep(self, segment: Segment) -> None:
        """Remove a segment that is delivered to its end, unless there is still room in it to write."""
        if segment.busy or not segment.read:
            return
        if segment is self._tail:
            if segment.size < self._segment_bytes:
                return
            self._tail = None
        if segment in self._segments:
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        segment.close()
        self._segments.remove(segment)
        segment.path.unlink(missing_ok=True)

    def _seal(self) -> None:
        """Write the last segment through to the disk; it is opened again when it is to be read."""
        tail, self._tail = self._tail, None
        if tail is not None:
            try:
                tail.sync()
            finally:
                if not tail.busy:
                    tail.close()


def shelves(root: Path) -> list[Path]:
    """List the directories of processes that run or have ended. What else lies there is left alone.

    Raises:
        OSError: the root is not there, or cannot be read.
    """
    with os.scandir(root) as found:
        return sorted(
            Path(entry.path)
            for entry in found
            if _NAME.fullmatch(entry.name) is not None and entry.is_dir(follow_symlinks=False)
        )


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
