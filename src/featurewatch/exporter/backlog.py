"""Batches that wait to be sent: on disk where there is a spool with room, else in memory."""

from __future__ import annotations

import threading
from collections import deque

from .frames import Frame
from .spool import Spool

FRAME_OVERHEAD_BYTES = 200


class Backlog:
    """Hands out frames oldest first. `memory_bytes` is what waits in memory; who fills it keeps to a bound.

    What the spool has taken is never dropped: where it is full, frames stay in memory, and where that is full, new
    lines are dropped before they come here.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._current: Frame | None = None
        self._spooled = False
        self._closed = False
        self.memory_bytes = 0

    def append(self, frame: Frame, *, urgent: bool = False) -> bool:
        """Keep a frame; `urgent` where the destination is away, so that the disk is made sure of. False once closed."""
        with self._lock:
            if self._closed:
                return False
            if self._spool is None or not self._spool.append(frame, sync=urgent):
                self._frames.append(frame)
                self.memory_bytes += len(frame.body) + FRAME_OVERHEAD_BYTES
            return True

    def first(self) -> Frame | None:
        """Return the frame to send next: the same one until `done`; None where nothing waits."""
        with self._lock:
            if self._current is None:
                self._current = None if self._spool is None else self._spool.first()
                self._spooled = self._current is not None
                if self._current is None and self._frames:
                    self._current = self._frames[0]
            return self._current

    def done(self) -> None:
        """Forget the frame that `first` returned: it is stored, or refused for good."""
        with self._lock:
            if self._current is None:
                return
            if self._spooled and self._spool is not None:
                self._spool.done()
            elif self._frames:
                self.memory_bytes -= len(self._frames.popleft().body) + FRAME_OVERHEAD_BYTES
            self._current = None

    def close(self) -> list[Frame]:
        """Let go of the spool, whose frames stay there, and return the frames that are in memory alone."""
        with self._lock:
            self._closed = True
            left = list(self._frames)
            self._frames.clear()
            self._current = None
            self.memory_bytes = 0
            if self._spool is not None:
                self._spool.close()
            return left

    def abandon(self) -> None:
        """Let go in a forked child, whose parent keeps all: without the lock, which nobody alive may hold."""
        if self._spool is not None:
            self._spool.abandon()
