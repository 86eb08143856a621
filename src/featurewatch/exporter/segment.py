"""A spool's file: frames one after another, each with a checksum, and how far they were delivered.

The file begins with a magic word and the position of the first frame that is not delivered yet. A frame is a header
(magic, format, count of lines, length, CRC-32 of all) and the body. Frames are only appended; the position alone is
written in place. A process that dies while it writes leaves a torn frame at the end, which readers skip and count.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

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


def create(path: Path) -> int:
    """Make a segment; return its file descriptor."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, MAGIC + _POSITION.pack(START))
    return file


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
