"""A daemon thread that works in rounds: when woken, after a pause, or because someone waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from .drops import LOGGER

THREAD_PREFIX: Final = "featurewatch-"
"""How the threads of the exporter are named; what they log is never shipped."""

LOADING: Final = threading.RLock()
"""Held while a thread of the exporter imports; a fork waits for it. A child forked in the middle of an import could
never import that module: the import's lock would be held by a thread that it does not have."""


def on_own_thread(record: logging.LogRecord) -> bool:
    """Tell whether one of the exporter's threads logged the record: the HTTP client that it uses, for instance."""
    return (record.threadName or "").startswith(THREAD_PREFIX)


def on_own_thread_now() -> bool:
    """Tell whether one of the exporter's threads runs this."""
    return threading.current_thread().name.startswith(THREAD_PREFIX)


def silence(logger: str) -> None:
    """Keep out of the app's log what a library logs on the exporter's threads; on the app's own it still may."""
    logging.getLogger(logger).addFilter(_not_on_own_thread)


def _not_on_own_thread(record: logging.LogRecord) -> bool:
    return not on_own_thread(record)


class Pause(NamedTuple):
    """What a round ends with: seconds until the next (None: until woken), and whether nothing is left to do."""

    seconds: float | None
    settled: bool = True


class Worker:
    """Runs `work` in rounds on a thread that starts at the first `wake` or `flush`; `on_start` is told of that."""

    def __init__(self, name: str, work: Callable[[], Pause], on_start: Callable[[], None] | None = None) -> None:
        self._name = THREAD_PREFIX + name
        self._work = work
        self._on_start = on_start
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._woken = False
        self._stopping = False
        self._asked = 0
        self._answered = 0

    @property
    def hurried(self) -> bool:
        """Whether someone waits for the work to be done."""
        return self.asked or self._stopping

    @property
    def asked(self) -> bool:
        """Whether someone asked for what is not done."""
        return self._asked > self._answered

    @property
    def started(self) -> bool:
        """Whether there was anything to do so far."""
        return self._thread is not None

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._start()
            self._condition.notify_all()

    def ask(self) -> int:
        """Ask for a round that leaves nothing to do; `wait` for it by what is returned. 0: it cannot be any more."""
        with self._condition:
            if self._stopping:
                return 0
            self._asked += 1
            if self._start():
                self._condition.notify_all()
            return self._asked

    def wait(self, ticket: int, deadline: float) -> bool:
        """Wait until a round that began after `ask` has left nothing to do; `deadline` is of time.monotonic."""
        with self._condition:
            if not ticket:
                return self._thread is None or not self._thread.is_alive()
            while self._thread is not None and self._answered < ticket:
                if not self._condition.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return False
            if self._thread is not None:
                return True
        return self._inline(ticket)

    def flush(self, deadline: float) -> bool:
        """Ask, and wait."""
        return self.wait(self.ask(), deadline)

    def stop(self, deadline: float, *, flush: bool = True) -> bool:
        """End the thread, by default once it has done what is left; what is not done by the deadline is left."""
        done = self.flush(deadline) if flush else True
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        return done

    def _start(self) -> bool:
        """Start the thread unless it runs; an interpreter that is going down starts none."""
        if self._thread is None and not self._stopping:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
            if self._on_start is not None:
                self._on_start()
        return self._thread is not None

    def _inline(self, ticket: int) -> bool:
        """Work on the caller's thread, where no other can be started any more."""
        settled = self._round().settled
        if settled:
            self._answered = max(self._answered, ticket)
        return settled

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._stopping:
                    return
                asked = self._asked
                self._woken = False
            pause = self._round()
            with self._condition:
                if pause.settled:
                    self._answered = max(self._answered, asked)
                    self._condition.notify_all()
                if not self._woken and self._asked == asked and not self._stopping:
                    self._condition.wait(pause.seconds)

    def _round(self) -> Pause:
        try:
            return self._work()
        except Exception:
            LOGGER.exception("%s failed; it goes on", self._name)
            return Pause(5.0, settled=False)
