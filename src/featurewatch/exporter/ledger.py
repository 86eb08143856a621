"""A file in which one process keeps its totals where others can read them, whatever becomes of the process.

The file is mapped into memory: a write is a copy, and what was written stays when the process is killed. It is a
header and slots, one slot per row:

    slot:   capacity (u64), calls that run now (i64), two buffers
    buffer: generation (u64), CRC-32 (u32), bytes of numbers (u32), bytes of the layout (u32), 4 unused;
            numbers, layout, up to the capacity

Writes alternate between the buffers, so that one of them is always whole; a reader takes the later one whose checksum
is right. A row that outgrows its slot goes to a new one at the end: of two slots with one key the later counts. Space
is allocated before it is mapped, so that a full disk is an error here and not a signal to the process.

Whoever holds the file's lock (flock) is alive. A lock ends with its process, while a process id may be given anew.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple
from zlib import crc32

from .records import AnyLayout, encode

MAGIC: Final = b"featurewatch 1\n\0"

_SLOT: Final = Struct("=Qq")
_BUFFER: Final = Struct("=QIII4x")
_RUNNING: Final = Struct("=q")
_CHUNK: Final = 64 * 1024


class Row(NamedTuple):
    """What a slot holds: the encoded layout, its numbers packed, the calls that ran."""

    layout: bytes
    numbers: bytes
    running: int


class Ledger:
    """This process's file: made, locked, and extended as rows are added.

    Raises:
        OSError: the file cannot be made, locked or extended.
    """

    def __init__(self, path: str) -> None:
        from fcntl import LOCK_EX, LOCK_NB, flock

        self.path = path
        self.problem: OSError | None = None
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            flock(self._fd, LOCK_EX | LOCK_NB)
            self._end = len(MAGIC)
            self._extend(_CHUNK)
            self.memory[: len(MAGIC)] = MAGIC
        except BaseException:
            os.unlink(path)
            os.close(self._fd)
            raise

    @property
    def there(self) -> bool:
        """Whether the file is still in its folder: someone may have emptied that."""
        try:
            return os.stat(self.path).st_ino == os.fstat(self._fd).st_ino
        except OSError:
            return False

    def place(self, length: int) -> tuple[int, int]:
        """Find room for a row of so many bytes, and half of that to grow; return its slot's place and capacity."""
        capacity = -(-length * 3 // 2 // 256) * 256
        size = _SLOT.size + 2 * (_BUFFER.size + capacity)
        with self._lock:
            start = self._end
            if start + size > len(self.memory):
                self._extend(max(start + size, min(2 * start, start + 16 * _CHUNK)))
            _SLOT.pack_into(self.memory, start, capacity, 0)
            self._end = start + size
        return start, capacity

    def close(self) -> None:
        """Let go of the file: in a forked child of its parent's, which keeps the lock, or at a reset of everything."""
        os.close(self._fd)

    def _extend(self, size: int) -> None:
        size = -(-size // _CHUNK) * _CHUNK
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)
        else:
            held = os.fstat(self._fd).st_size
            os.pwrite(self._fd, bytes(size - held), held)
        # Slots that are being written meanwhile hold the old map, which shows the same pages.
        self.memory = mmap.mmap(self._fd, size)


class Slot:
    """One row of a ledger. Only one thread may write it at a time."""

    __slots__ = ("_at", "_capacity", "_encoded", "_generation", "_layout", "_ledger")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._layout: AnyLayout | None = None
        self._encoded = b""
        self._capacity = 0
        self._at = 0
        self._generation = 0

    def write(self, layout: AnyLayout, values: Sequence[float], running: int) -> bool:
        """Replace the row; where there is no room for it the old one stays, and the ledger's `problem` says why."""
        if layout is not self._layout:
            self._layout, self._encoded = layout, encode(layout)
        try:
            numbers = layout.struct.pack(*values)
        except StructError:
            self._ledger.problem = OSError("a total is too large to be written as a 64-bit number")
            return False
        body = numbers + self._encoded
        if len(body) > self._capacity:
            try:
                self._at, self._capacity = self._ledger.place(len(body))
            except OSError as error:
                self._ledger.problem = error
                return False
        self._generation = generation = self._generation + 1
        start = self._at + _SLOT.size + (generation & 1) * (_BUFFER.size + self._capacity)
        head = _BUFFER.pack(generation, crc32(body), len(numbers), len(self._encoded))
        self._ledger.memory[start : start + len(head) + len(body)] = head + body
        self.run(running)
        return True

    def erase(self) -> None:
        """Hold no row any more."""
        if self._capacity:
            size = 2 * (_BUFFER.size + self._capacity)
            self._ledger.memory[self._at + _SLOT.size : self._at + _SLOT.size + size] = bytes(size)

    def run(self, running: int) -> None:
        """Replace the number of calls that run."""
        if self._capacity:
            _RUNNING.pack_into(self._ledger.memory, self._at + 8, running)


def is_ledger(data: bytes) -> bool:
    """Tell whether a file is one; it is not yet while its process makes it."""
    return data.startswith(MAGIC)


def rows(data: bytes) -> Iterator[Row | None]:
    """Read a ledger's rows in the order of their slots; None for one that was written twice while it was read."""
    start = len(MAGIC)
    while start + _SLOT.size <= len(data):
        capacity, running = _SLOT.unpack_from(data, start)
        start += _SLOT.size
        size = _BUFFER.size + capacity
        if not capacity or start + 2 * size > len(data):
            return
        buffers = sorted(
            ((*_BUFFER.unpack_from(data, at), at + _BUFFER.size) for at in (start, start + size)), reverse=True
        )
        start += 2 * size
        if not buffers[0][0]:
            continue
        yield next((row for buffer in buffers if (row := _row(data, running, *buffer)) is not None), None)


def _row(data: bytes, running: int, generation: int, crc: int, numbers: int, layout: int, at: int) -> Row | None:
    body = data[at : at + numbers + layout]
    if not generation or crc32(body) != crc:
        return None
    return Row(body[numbers:], body[:numbers], running)
