"""Forks of a process that has threads: what they wait for, and how a process ends that was forked on any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from .worker import LOADING, THREAD_PREFIX


class Forks:
    """Sees to the end of a process that another thread than the main one forked.

    That thread alone goes on there, and once it is done Python runs nothing of what else ends a process: that ends with
    its last thread. Without `at_end` that would be one of ours, so never.
    """

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        self._forking = threading.local()
        self._goes_on: threading.Thread | None = None
        self._guarded = False

    def hook(self, in_child: Callable[[], None]) -> None:
        """Take part in each fork from here on; `in_child` is called there."""

        def in_the_child() -> None:
            self._in_child()
            in_child()

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=LOADING.release, after_in_child=in_the_child)

    def guard(self) -> None:
        """See to the end, where there are threads of ours from here on."""
        thread = self._goes_on
        if thread is None or self._guarded:
            return
        self._guarded = True

        def end() -> None:
            try:
                thread.join()
            except (AssertionError, RuntimeError):
                return  # It is none of Python's, which cannot tell when it ends.
            self._at_end()

        threading.Thread(target=end, name=f"{THREAD_PREFIX}end", daemon=True).start()

    def _before(self) -> None:
        """Wait for imports, and see which thread forks."""
        LOADING.acquire()
        thread = threading.current_thread()
        main = thread is threading.main_thread() and self._goes_on is None
        self._forking.thread = None if main else thread

    def _in_child(self) -> None:
        LOADING.release()
        self._goes_on = self._forking.thread
        self._guarded = False
