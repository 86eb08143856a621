"""The database of the state: statements in threads of their own, one of them for all writing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, select, text

from ..errors import TooMany, Unavailable
from .state_engine import WRITES, open_engine
from .state_errors import translated
from .state_migrations import prepare

__all__ = ["Database"]

T = TypeVar("T")

_FAULT_STANDS_S: Final = 10.0
"""A write that failed speaks against the database so long, unless a later one succeeds."""
_WAITING: Final = 1000
"""Statements that may wait for a thread; above it: TooMany."""


class Database:
    """Runs work on SQLite or PostgreSQL, each piece in a transaction of its own, away from the event loop.

    Writes are serial (across bridges on one PostgreSQL too). What `write` returned is safe: SQLite syncs each commit.
    Work is short and bounded by a limit, so a cancelled caller leaves at once and its work ends by itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="featurewatch-state-write")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="featurewatch-state-read")
        self._waiting = 0
        self._closed = False
        self._fault: tuple[float, Unavailable] | None = None

    @classmethod
    async def open(cls, url: str | URL) -> Self:
        """Open the database and make or migrate its tables.

        Args:
            url: SQLAlchemy's: `sqlite:///file` or `postgresql://user:password@host/name`.

        Raises:
            SettingsError: the URL names no database that is supported, its driver is not installed, or a newer
                featurewatch wrote the tables.
            Unavailable: it cannot be opened.
        """
        database = cls(open_engine(url))
        try:
            await database.write(prepare)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Finish what was begun and let go of the database. Harmless when repeated."""
        self._closed = True
        await asyncio.to_thread(self._end)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a connection that only reads.

        Raises:
            Unavailable: the database cannot be used (StoreFull, StoreLocked where that is the reason). TooMany: too
                much waits for it already.
        """
        return await self._run(self._readers, lambda: self._transact(work, writes=False))

    async def write(self, work: Callable[[Connection], T], *, then: Callable[[T], None] | None = None) -> T:
        """Run `work` alone among all that write, and commit it; raises as `read`, and nothing of it is then kept.

        Args:
            then: called on the event loop with the result, before this returns, in the order of the commits.
        """
        loop = asyncio.get_running_loop()

        def commit() -> T:
            result = self._transact(work, writes=True)
            if then is not None:
                loop.call_soon_threadsafe(then, result)
            return result

        return await self._run(self._writer, commit)

    async def check(self) -> None:
        """Return when a write would succeed: what readiness asks.

        On SQLite something small is written, since a disk may be full of what a reader never sees. And as what is small
        may still fit where more does not, a failure of the last seconds counts too.

        Raises:
            Unavailable: what the write said, or the last one that failed.
        """
        if (fault := self._fault) is not None and time.monotonic() - fault[0] < _FAULT_STANDS_S:
            raise fault[1]
        await self.write(_touch)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the state store is closed")
        if self._waiting >= _WAITING:
            raise TooMany(f"the state store is busy: {self._waiting} statements wait already, try again in a second")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(threads, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: object) -> None:
        self._waiting -= 1

    def _transact(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        try:
            with (
                translated(self._engine.url),
                self._engine.connect() as connection,
                connection.execution_options(**{WRITES: writes}).begin(),
            ):
                result = work(connection)
        except Unavailable as error:
            if writes:
                self._fault = (time.monotonic(), error)
            raise
        if writes:
            self._fault = None
        return result

    def _end(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _touch(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        connection.execute(text(f"PRAGMA user_version = {int(version)}"))
    else:
        connection.execute(select(1))
