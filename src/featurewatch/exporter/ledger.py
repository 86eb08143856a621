"""A file in which one process keeps its totals where others can read them, whatever becomes of the process.

The file is mapped into memory: a write is a copy, and what was written stays when the process is killed. It is a
header and slots, one slot per row:

    slot:   capacity (u64), calls that began (i64), two buffers
    buffer: generation (u64), CRC-32 (u32), bytes of numbers (u32), bytes of the layout (u32), notes that count (u8),
            3 unused; numbers, layout, up to the capacity; room for NOTES notes
    note:   generation (its lower 32 bits), then what `Note` names

To write the whole row for each call would cost more than all else that is done for it. So a call that ends is noted
behind the row: the note first, then how many count, which is one byte and so never half written. The row is written
anew, with all that was noted, when there is no room for a further note. A reader adds the notes to the row in their
order, as the writer does, so that no sum is ever less than it was for being rounded otherwise.

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

MAGIC: Final = b"featurewatch 2\n\0"

NOTES: Final = 24
"""Calls noted behind a row before it is written anew: 1.8 KB of room for a feature, twice."""

_SLOT: Final = Struct("=Qq")
_BUFFER: Final = Struct("=QIIIB3x")
_COUNT_AT: Final = 20
_BEGUN: Final = Struct("=q")
_NOTE: Final = Struct("=IbbbxhhdddqqqqqI")
_NOTES_SIZE: Final = NOTES * _NOTE.size
_CHUNK: Final = 64 * 1024


class Note(NamedTuple):
    """A call that ended, by places in the row that it belongs to; -1 where it has none of that."""

    outcome: int
    bucket: int
    first_bucket: int
    error: int
    model: int
    duration: float
    first: float
    usd: float
    tokens: Sequence[int]


class Row(NamedTuple):
    """What a slot holds: the encoded layout, its numbers packed, the calls that began, and those that ended since."""

    layout: bytes
    numbers: bytes
    begun: int
    notes: Sequence[Note]


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
        size = _SLOT.size + 2 * (_BUFFER.size + capacity + _NOTES_SIZE)
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

    __slots__ = ("_at", "_buffer", "_capacity", "_encoded", "_generation", "_layout", "_ledger", "_noted")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._layout: AnyLayout | None = None
        self._encoded = b""
        self._capacity = 0
        self._at = 0
        self._buffer = 0
        self._generation = 0
        self._noted = NOTES

    def write(self, layout: AnyLayout, values: Sequence[float], begun: int) -> bool:
        """Replace the row; where there is no room for it the old one stays, and the ledger's `problem` says why."""
        self._noted = NOTES
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
        size = _BUFFER.size + self._capacity + _NOTES_SIZE
        self._buffer = start = self._at + _SLOT.size + (generation & 1) * size
        head = _BUFFER.pack(generation, crc32(body), len(numbers), len(self._encoded), 0)
        self._ledger.memory[start : start + len(head) + len(body)] = head + body
        self._noted = 0
        self.began(begun)
        return True

    def note(
        self, outcome: int, bucket: int, first_bucket: int, error: int, model: int, duration: float, first: float,
        usd: float, tokens: Sequence[int],
    ) -> bool:  # fmt: skip
        """Note a call that ended, as `Note` has it; False where the row has to be written anew instead."""
        noted = self._noted
        if noted >= NOTES:
            return False
        memory, start, generation = self._ledger.memory, self._buffer, self._generation & 0xFFFFFFFF
        try:
            _NOTE.pack_into(
                memory, start + _BUFFER.size + self._capacity + noted * _NOTE.size, generation, outcome, bucket,
                first_bucket, error, model, duration, first, usd, *tokens, generation,
            )  # fmt: skip
        except StructError:
            return False
        self._noted = memory[start + _COUNT_AT] = noted + 1
        return True

    def erase(self) -> None:
        """Hold no row any more."""
        if self._capacity:
            size = 2 * (_BUFFER.size + self._capacity + _NOTES_SIZE)
            self._ledger.memory[self._at + _SLOT.size : self._at + _SLOT.size + size] = bytes(size)

    def began(self, begun: int) -> None:
        """Replace the number of calls that began."""
        if self._capacity:
            _BEGUN.pack_into(self._ledger.memory, self._at + 8, begun)


def is_ledger(data: bytes) -> bool:
    """Tell whether a file is one; it is not yet while its process makes it."""
    return data.startswith(MAGIC)


def rows(data: bytes) -> Iterator[Row | None]:
    """Read a ledger's rows in the order of their slots; None for one that was written twice while it was read."""
    start = len(MAGIC)
    while start + _SLOT.size <= len(data):
        capacity, begun = _SLOT.unpack_from(data, start)
        start += _SLOT.size
        size = _BUFFER.size + capacity + _NOTES_SIZE
        if not capacity or start + 2 * size > len(data):
            return
        buffers = sorted(
            ((*_BUFFER.unpack_from(data, at), at + _BUFFER.size) for at in (start, start + size)), reverse=True
        )
        start += 2 * size
        if not buffers[0][0]:
            continue
        yield next((row for buffer in buffers if (row := _row(data, capacity, begun, *buffer)) is not None), None)


def _row(
    data: bytes, capacity: int, begun: int, generation: int, crc: int, numbers: int, layout: int, noted: int, at: int
) -> Row | None:
    body = data[at : at + numbers + layout]
    if not generation or noted > NOTES or crc32(body) != crc:
        return None
    notes = []
    for place in range(at + capacity, at + capacity + noted * _NOTE.size, _NOTE.size):
        written, *fields, tokens_0, tokens_1, tokens_2, tokens_3, tokens_4, whole = _NOTE.unpack_from(data, place)
        if written != generation & 0xFFFFFFFF or whole != written:
            return None
        notes.append(Note._make([*fields, (tokens_0, tokens_1, tokens_2, tokens_3, tokens_4)]))
    return Row(body[numbers:], body[:numbers], begun, notes)
