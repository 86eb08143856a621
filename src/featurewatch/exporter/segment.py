"""A spool's file: frames one after another, each with a checksum, and how far they were delivered.

The file begins with a magic word and the position of the first frame that is not delivered yet. A frame is a header
(magic, format, count of lines, length, CRC-32 of all) and the body. Frames are only appended; the position alone is
written in place. A process that dies while it writes leaves a torn frame at the end, which readers skip and count.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple, Self

from .frames import Frame

MAGIC: Final = b"FWSPOOL1"
SUFFIX: Final = ".seg"

_FRAME_MAGIC: Final = b"\xf7FW"
_POSITION: Final = struct.Struct(">Q")
_HEADER: Final = struct.Struct(">3sBIII")
START: Final = len(MAGIC) + _POSITION.size


class Read(NamedTuple):
    """The frame at a position (None: there is no further one), where the next begins, and what was torn before it."""

    frame: Frame | None
    next: int
    torn: int = 0


class Segment:
    """A segment's file, open while it is written or read: frames go in at its end, and out in the same order.

    Several may be out at a time and be delivered in any order; the position moves on over those that are delivered
    without a gap, so that what is not delivered is found again after the process's end.

    Every method may raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = -1
        self._file = -1
        self._at = START
        self._out: deque[int] = deque()
        self._delivered: set[int] = set()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file."""
        made = cls(path)
        made._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(made._file, MAGIC + _POSITION.pack(START))
        made.size = START
        return made

    @property
    def busy(self) -> bool:
        """Whether frames are out that are not delivered."""
        return bool(self._out)

    @property
    def read(self) -> bool:
        """Whether all frames were taken."""
        return 0 <= self.size <= self._at

    def append(self, frame: Frame, *, sync: bool) -> None:
        """Write a frame at the end; `sync`: through to the disk, not just to the system."""
        self.size = append(self._file, frame, self.size)
        if sync:
            self.sync()

    def sync(self) -> None:
        """Write through to the disk what the system holds."""
        os.fdatasync(self._file)

    def take(self) -> Read:
        """Read the next frame; `next` is what `done` is to be told once it is delivered.

        Raises:
            ValueError: the file is no segment.
        """
        if self._file < 0:
            self._open()
        found = read(self._file, self._at, self.size)
        self._at = found.next
        if found.frame is not None:
            self._out.append(found.next)
        return found

    def done(self, end: int) -> None:
        """Count the frame that ends there as delivered."""
        self._delivered.add(end)
        moved = -1
        while self._out and self._out[0] in self._delivered:
            moved = self._out.popleft()
            self._delivered.discard(moved)
        if moved >= 0 and self._file >= 0:
            deliver(self._file, moved)

    def close(self) -> None:
        """Let go of the file; the next `take` opens it again."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def _open(self) -> None:
        file = os.open(self.path, os.O_RDWR)
        if self.size < 0:
            size = os.fstat(file).st_size
            try:
                self._at = position(file, size)
            except ValueError:
                os.close(file)
                raise
            self.size = size
        self._file = file


def append(file: int, frame: Frame, at: int) -> int:
    """Write a frame at the end, which is at `at`; return the new end.

    Raises:
        OSError: it does not fit; what was written of it is taken back.
    """
    fields = _HEADER.pack(_FRAME_MAGIC, frame.format, frame.lines, len(frame.body), 0)
    header = _HEADER.pack(_FRAME_MAGIC, frame.format, frame.lines, len(frame.body), _checksum(fields, frame.body))
    data = memoryview(header + frame.body)
    written = 0
    try:
        while written < len(data):
            written += os.pwrite(file, data[written:], at + written)
    except OSError:
        os.ftruncate(file, at)
        raise
    return at + len(data)


def position(file: int, size: int) -> int:
    """Read how far a segment is delivered; START where that cannot be: to deliver again is harmless.

    Raises:
        ValueError: the file is no segment.
    """
    head = os.pread(file, START, 0)
    if len(head) < START or not head.startswith(MAGIC):
        raise ValueError("not a segment of a spool")
    (found,) = _POSITION.unpack_from(head, len(MAGIC))
    return found if START <= found <= size else START


def deliver(file: int, to: int) -> None:
    """Write down that all before `to` is delivered."""
    os.pwrite(file, _POSITION.pack(to), len(MAGIC))


def read(file: int, at: int, size: int) -> Read:
    """Read the frame at a position of a segment that is `size` long, or the next whole one after it."""
    if at >= size:
        return Read(None, at)
    frame = _whole(os.pread(file, _HEADER.size, at), file, at, size)
    if frame is not None:
        return Read(frame, at + _HEADER.size + len(frame.body))
    rest = os.pread(file, size - at, at)
    torn = _count(rest)
    near = rest.find(_FRAME_MAGIC, 1)
    while near >= 0:
        frame = _whole(rest[near : near + _HEADER.size], file, at + near, size)
        if frame is not None:
            return Read(frame, at + near + _HEADER.size + len(frame.body), torn)
        near = rest.find(_FRAME_MAGIC, near + 1)
    return Read(None, size, torn)


def _whole(header: bytes, file: int, at: int, size: int) -> Frame | None:
    if len(header) < _HEADER.size or not header.startswith(_FRAME_MAGIC):
        return None
    _, format, count, length, checksum = _HEADER.unpack(header)
    if length > size - at - _HEADER.size:
        return None
    body = os.pread(file, length, at + _HEADER.size)
    fields = _HEADER.pack(_FRAME_MAGIC, format, count, length, 0)
    return Frame(format, count, body) if _checksum(fields, body) == checksum else None


def _count(torn: bytes) -> int:
    """Guess the lines of a torn frame: by its header where that is whole, else one."""
    if len(torn) >= _HEADER.size and torn.startswith(_FRAME_MAGIC):
        count: int = _HEADER.unpack_from(torn)[2]
        return max(1, min(count, 100_000))
    return 1


def _checksum(fields: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(fields))
