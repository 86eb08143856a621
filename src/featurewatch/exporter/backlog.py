"""Batches that wait to be sent: on disk where there is a spool with room, else in memory."""

from __future__ import annotations

import threading
from collections import deque

from .frames import Frame
from .shelf import Taken
from .spool import Spool

FRAME_OVERHEAD_BYTES = 200


class Backlog:
    """Hands out frames, oldest first, to several senders. `memory_bytes` is what waits in memory; who fills it keeps to
    a bound.

    A frame is kept until it is `done`. What the spool has taken is never dropped: where it is full, frames stay in
    memory, and where that is full, new lines are dropped before they come here.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._out: list[Frame | Taken] = []
        self._closed = False
        self.memory_bytes = 0

    @property
    def out(self) -> int:
        """How many frames are with the senders."""
        return len(self._out)

    def append(self, frame: Frame, *, urgent: bool = False) -> bool:
        """Keep a frame; `urgent` where the destination is away, so that the disk is made sure of. False once closed."""
        with self._lock:
            if self._closed:
                return False
            if self._spool is None or not self._spool.append(frame, sync=urgent):
                self._frames.append(frame)
                self.memory_bytes += len(frame.body) + FRAME_OVERHEAD_BYTES
            return True

    def take(self) -> Frame | Taken | None:
        """Hand out the oldest frame that is not yet, from the spool first; None where all are."""
        with self._lock:
            if self._closed:
                return None
            taken: Frame | Taken | None = None if self._spool is None else self._spool.take()
            if taken is None and self._frames:
                taken = self._frames.popleft()
            if taken is not None:
                self._out.append(taken)
            return taken

    def done(self, taken: Frame | Taken) -> None:
        """Forget a frame that `take` handed out: it is stored, or refused for good."""
        with self._lock:
            # By identity: two batches may be equal.
            place = next((place for place, one in enumerate(self._out) if one is taken), None)
            if place is None:
                return  # It was closed meanwhile.
            del self._out[place]
            if isinstance(taken, Frame):
                self.memory_bytes -= len(taken.body) + FRAME_OVERHEAD_BYTES
            elif self._spool is not None:
                self._spool.done(taken)

    def close(self) -> list[Frame]:
        """Let go of the spool, whose frames stay there, and return the frames that are in memory alone."""
        with self._lock:
            self._closed = True
            left = [taken for taken in self._out if isinstance(taken, Frame)] + list(self._frames)
            self._out.clear()
            self._frames.clear()
            self.memory_bytes = 0
            if self._spool is not None:
                self._spool.close()
            return left

    def abandon(self) -> None:
        """Let go in a forked child, whose parent keeps all: without the lock, which nobody alive may hold."""
        if self._spool is not None:
            self._spool.abandon()


def frame_of(taken: Frame | Taken) -> Frame:
    return taken if isinstance(taken, Frame) else taken.frame
