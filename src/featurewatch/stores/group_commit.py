"""One thread that writes: what waits goes into one transaction, so that a slow disk is asked once for all of it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from ..errors import TooMany, Unavailable
from .sqlite import explain

__all__ = ["GroupWriter"]

T = TypeVar("T")

_FAULT_STANDS_S: Final = 10.0
"""A write that failed speaks against the store so long, unless a later one succeeds."""

_TOGETHER: Final = 64
"""So many pieces of work share a transaction at most: the first should not wait long for the last."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    weight: int
    future: Future[Any]


_Outcome: TypeAlias = tuple[_Job, Any, Exception | None]


class GroupWriter:
    """Performs pieces of work in order, each wholly or not at all, and answers once they are on the disk.

    A piece that raises is undone by itself; the others of its transaction stay. Where a transaction fails as a whole
    (a full disk), each of its pieces is tried alone. Beyond `capacity` (the sum of the weights that wait) TooMany is
    raised; a piece heavier than that is taken when nothing else waits.

    Args:
        connection: a writing connection, used by this thread alone from here on and closed with it.
        together: what pieces that share a transaction weigh at most; None: whatever they weigh.
        undone: called in the thread after anything was rolled back, so that caches of it can be dropped.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        capacity: int,
        together: int | None = None,
        undone: Callable[[], None] = lambda: None,
        name: str = "writer",
    ) -> None:
        self._connection = connection
        self._path = path
        self._capacity = capacity
        self._together = capacity if together is None else together
        self._undone = undone
        self._jobs: deque[_Job] = deque()
        self._weight = 0
        self._ready = threading.Condition()
        self._closed = False
        self._fault: tuple[float, Unavailable] | None = None
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    @property
    def weight(self) -> int:
        """The weight of what is not yet committed."""
        return self._weight

    async def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        weight: int = 1,
        then: Callable[[T], None] | None = None,
    ) -> T:
        """Perform `work` with the connection inside a transaction and return its answer after the commit.

        A caller that is cancelled no longer waits; its work is done all the same.

        Args:
            then: called with the answer on the event loop, in the order of the commits, before the caller gets it.

        Raises:
            TooMany: too much waits already.
            Unavailable: what SQLite said, worded; or this was closed.
        """
        future: Future[T] = Future()
        if then is not None:
            future.add_done_callback(_passes_on(then, asyncio.get_running_loop()))
        with self._ready:
            if self._closed:
                raise Unavailable(f"{self._path}: the store is closed")
            if self._jobs and self._weight + weight > self._capacity:
                raise TooMany(f"{self._path}: the disk is slower than what comes: send again in a second")
            self._jobs.append(_Job(work, weight, future))
            self._weight += weight
            self._ready.notify()
        return await asyncio.shield(asyncio.wrap_future(future))

    async def check(self) -> None:
        """Return when a write would succeed: what readiness asks.

        Something small is written, since a disk may be full of what a reader never sees. And as what is small may
        still fit where lines do not, a failure of the last seconds counts too.

        Raises:
            Unavailable: what the write said, or the last one that failed.
        """
        if (fault := self._fault) is not None and time.monotonic() - fault[0] < _FAULT_STANDS_S:
            raise fault[1]
        await self.run(_touch, weight=0)

    async def close(self) -> None:
        """Finish what waits, end the thread, close the connection. Harmless when repeated."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join)

    def _loop(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or self._closed)
                jobs = self._take()
            if not jobs:
                break
            outcomes = self._commit(jobs)
            with self._ready:
                self._weight -= sum(job.weight for job in jobs)
            for job, answer, reason in outcomes:
                if reason is None:
                    self._fault = None if job.weight else self._fault
                    job.future.set_result(answer)
                else:
                    self._fault = (time.monotonic(), reason) if isinstance(reason, Unavailable) else self._fault
                    job.future.set_exception(reason)
        self._connection.close()

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        room = self._together
        while self._jobs and len(jobs) < _TOGETHER and (not jobs or self._jobs[0].weight <= room):
            jobs.append(self._jobs.popleft())
            room -= jobs[-1].weight
        return jobs

    def _commit(self, jobs: list[_Job]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._connection.execute("SAVEPOINT job")
                try:
                    outcomes.append((job, job.work(self._connection), None))
                except Exception as error:
                    outcomes.append((job, None, self._worded(error)))
                    self._connection.execute("ROLLBACK TO job")
                    self._undone()
                self._connection.execute("RELEASE job")
            self._connection.execute("COMMIT")
        except Exception as error:
            # SQLite may have ended the transaction by itself (a full disk); whatever was answered is gone with it
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            self._undone()
            if len(jobs) == 1:
                return [(jobs[0], None, outcomes[0][2] if outcomes and outcomes[0][2] else self._worded(error))]
            return [outcome for job in jobs for outcome in self._commit([job])]
        return outcomes

    def _worded(self, error: Exception) -> Exception:
        return explain(error, self._path) if isinstance(error, (sqlite3.Error, OSError)) else error


def _touch(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")


def _passes_on(then: Callable[[T], None], loop: asyncio.AbstractEventLoop) -> Callable[[Future[T]], None]:
    def pass_on(done: Future[T]) -> None:
        if done.exception() is None and not loop.is_closed():
            loop.call_soon_threadsafe(then, done.result())

    return pass_on
