"""How every embedded store opens its SQLite file, reads it beside the event loop, and words what goes wrong."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from ..errors import StoreFull, StoreLocked, TooMany, Unavailable

__all__ = ["Readers", "connect", "create", "explain", "translated"]

T = TypeVar("T")

_INTERRUPT_AGAIN_S: Final = 0.02
"""An interrupt that falls between two statements of one read is lost, so it is repeated until the read ends."""


def connect(path: Path, *, read_only: bool = False, busy_timeout_s: float = 5.0) -> sqlite3.Connection:
    """Open a database in WAL mode with synchronous=FULL and explicit transactions, for use by one thread at a time.

    A new file is made with its folder and can give space back (`PRAGMA incremental_vacuum`). A read-only connection
    needs a file that a writing one has opened.

    Raises:
        Unavailable: the file cannot be opened or is no database; StoreLocked where another process holds it.
    """
    with translated(path):
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if read_only:
                connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
            else:
                _set_up(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise Unavailable(f"{path}: expected a disk that SQLite's WAL mode works on (not a network share): move it")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def create(connection: sqlite3.Connection, path: Path, *, version: int, schema: str) -> None:
    """Make the tables of a new file, all or none; a file that has them is left as it is.

    Args:
        version: of the schema, from 1; kept as `PRAGMA user_version`.

    Raises:
        Unavailable: the file has another version of the schema.
    """
    with translated(path):
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            try:
                connection.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {version}; COMMIT")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        elif found != version:
            raise Unavailable(
                f"{path}: expected version {version} of its tables, found {found}: another version of featurewatch "
                f"made it; run that one, or move the file aside to start anew"
            )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite or the file system says of `path` as the error that `explain` makes of it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def explain(error: sqlite3.Error | OSError, path: Path) -> Unavailable:
    """Make the one line that names the file, what is wrong with it, and what to do."""
    if isinstance(error, OSError):
        return Unavailable(f"{path}: cannot be opened ({error.strerror}): check the folder and its permissions")
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the index of the WAL could not grow
        return StoreFull(f"{path}: the disk is full: free some space, what comes after that is kept again")
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"{path}: the disk is full: free some space, what comes after that is kept again")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(f"{path}: another process holds the file: stop it, or set another DATA_DIR")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Unavailable(
                f"{path}: the file is corrupt ({error}): stop the bridge and move it aside, its -wal and -shm beside "
                f"it ('mv {path.name} {path.name}.bad'); 'sqlite3 {path.name}.bad .recover' saves what can be read"
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return Unavailable(f"{path}: cannot be written ({error}): check the folder and its permissions")
        case sqlite3.SQLITE_IOERR:
            return Unavailable(f"{path}: the disk fails ({error}, {error.sqlite_errorname}): check it")
        case sqlite3.SQLITE_INTERRUPT:
            return Unavailable(f"{path}: the query was stopped")
    return Unavailable(f"{path}: {error}")


class _Read:
    """One piece of work for a reader; `connection` is set while it runs."""

    __slots__ = ("connection", "stopped")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.stopped = False


class Readers:
    """A few threads, each with a read-only connection of its own, so that a slow read does not hold up the others.

    Reads beyond `count` wait their turn; beyond `waiting` of those, TooMany is raised. A read whose task is cancelled
    is interrupted inside SQLite, within about 20 ms.
    """

    def __init__(self, path: Path, *, count: int = 4, waiting: int = 512, name: str = "reader") -> None:
        self._path = path
        self._limit = count + waiting
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._running: set[_Read] = set()
        self._pending = 0
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Call `work` with a connection on one of the threads, within one consistent state, and return its answer.

        Raises:
            Unavailable: SQLite's errors, worded by `explain`; or this was closed.
            TooMany: too many reads wait already.
        """
        read = _Read()
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._path}: the store is closed")
            if self._pending >= self._limit:
                raise TooMany(f"{self._path}: {self._pending} queries wait already: ask again in a second")
            self._pending += 1
            future = self._threads.submit(self._perform, read, work)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise Unavailable(f"{self._path}: the store is closed") from None
            self._stop(read, asyncio.get_running_loop())
            raise

    async def close(self) -> None:
        """Stop what runs, end the threads, close the connections. Harmless when repeated."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while True:
            with self._lock:
                if not self._running:
                    break
                for read in self._running:
                    read.stopped = True
                    if read.connection is not None:
                        read.connection.interrupt()
            await asyncio.sleep(_INTERRUPT_AGAIN_S)
        await asyncio.to_thread(self._threads.shutdown)
        while self._connections:
            self._connections.pop().close()

    def _done(self, _: object) -> None:
        with self._lock:
            self._pending -= 1

    def _perform(self, read: _Read, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._path):
            connection = self._connection()
            with self._lock:
                if read.stopped or self._closed:
                    raise Unavailable(f"{self._path}: the query was stopped")
                read.connection = connection
                self._running.add(read)
            try:
                connection.execute("BEGIN")
                return work(connection)
            finally:
                with self._lock:
                    read.connection = None
                    self._running.discard(read)
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._path, read_only=True)
            with self._lock:
                self._connections.append(connection)
        return connection

    def _stop(self, read: _Read, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            read.stopped = True
            if read.connection is None:
                return
            read.connection.interrupt()
        loop.call_later(_INTERRUPT_AGAIN_S, self._stop, read, loop)
