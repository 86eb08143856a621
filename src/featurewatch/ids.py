"""Identifiers that sort by the time they were made, so that an index of them only ever grows at its end."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator

_origin = (-1, "")
_count = itertools.count()


def new_ids(times_ns: Iterable[int]) -> Iterator[str]:
    """Make one identifier for each time, as `new_id` does, at a third of its cost."""
    prefix = _prefix()
    return (f"{time_ns:016x}{prefix}{next(_count) & 0xFFFFFFFF:08x}" for time_ns in times_ns)


def new_id(time_ns: int | None = None) -> str:
    """Make an identifier of 32 lower-case hexadecimal digits: 16 of nanoseconds, 8 of process, 8 of a counter.

    Unique across processes by 32 random bits drawn for each, across forks because they are drawn anew after one.
    """
    return f"{time.time_ns() if time_ns is None else time_ns:016x}{_prefix()}{next(_count) & 0xFFFFFFFF:08x}"


def _prefix() -> str:
    """Return the process's random bits. Without a lock: a fork would leave it to nobody, in a child for ever; threads
    that come first together may draw two, which are as good as one.
    """
    global _origin
    pid, bits = _origin
    if pid != os.getpid():
        bits = os.urandom(4).hex()
        _origin = (os.getpid(), bits)
    return bits
