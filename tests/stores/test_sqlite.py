"""How a SQLite file is opened, and how what goes wrong is worded."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from featurewatch.errors import StoreFull, StoreLocked, Unavailable
from featurewatch.stores.sqlite import Readers, connect, create, explain

pytestmark = pytest.mark.anyio

PATH = Path("/var/lib/featurewatch/logs.db")


def failure(code: int, text: str = "what SQLite says") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = "NAME"
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (failure(sqlite3.SQLITE_FULL), StoreFull, "the disk is full: free some space"),
        (failure(sqlite3.SQLITE_IOERR_SHMSIZE), StoreFull, "the disk is full: free some space"),
        (failure(sqlite3.SQLITE_BUSY), StoreLocked, "another process holds the file: stop it"),
        (failure(sqlite3.SQLITE_BUSY_SNAPSHOT), StoreLocked, "another process holds the file"),
        (failure(sqlite3.SQLITE_CORRUPT), Unavailable, "move it aside, its -wal and -shm beside it ('mv logs.db"),
        (failure(sqlite3.SQLITE_NOTADB), Unavailable, "the file is corrupt (what SQLite says)"),
        (failure(sqlite3.SQLITE_CANTOPEN), Unavailable, "check the folder and its permissions"),
        (failure(sqlite3.SQLITE_READONLY_DBMOVED), Unavailable, "check the folder and its permissions"),
        (failure(sqlite3.SQLITE_IOERR_FSYNC), Unavailable, "the disk fails (what SQLite says, NAME)"),
        (failure(sqlite3.SQLITE_INTERRUPT), Unavailable, "the query was stopped"),
        (failure(sqlite3.SQLITE_ERROR), Unavailable, "what SQLite says"),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), Unavailable, "closed database"),
        (PermissionError(13, "Permission denied"), Unavailable, "cannot be opened (Permission denied)"),
    ],
)
def test_each_error_names_the_file_and_what_to_do(error: sqlite3.Error | OSError, kind: type, said: str) -> None:
    made = explain(error, PATH)
    assert type(made) is kind
    assert made.message.startswith(f"{PATH}: ")
    assert said in made.message
    assert "\n" not in made.message


def test_a_file_is_opened_so_that_a_commit_is_safe(tmp_path: Path) -> None:
    connection = connect(tmp_path / "new" / "folder" / "a b?c#d%.db")
    names = ("journal_mode", "synchronous", "auto_vacuum")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names] == ["wal", 2, 2]
    connection.close()
    assert (tmp_path / "new" / "folder" / "a b?c#d%.db").exists()


def test_tables_are_made_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    connection = connect(path)
    with pytest.raises(Unavailable, match="syntax error"):
        create(connection, path, version=1, schema="CREATE TABLE one (n); CREATE TABEL two (n)")
    assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    for _ in range(2):
        create(connection, path, version=1, schema="CREATE TABLE one (n)")
    with pytest.raises(Unavailable, match="expected version 2 of its tables, found 1"):
        create(connection, path, version=2, schema="CREATE TABLE one (n)")
    connection.close()


async def test_a_reader_sees_one_state_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    writer = connect(path)
    writer.execute("CREATE TABLE one (n)")
    readers = Readers(path, count=1)

    def count_twice(connection: sqlite3.Connection) -> tuple[int, int]:
        counts = []
        for _ in range(2):
            counts.append(connection.execute("SELECT count(*) FROM one").fetchone()[0])
            writer.execute("INSERT INTO one VALUES (1)")
        return counts[0], counts[1]

    assert await readers.run(count_twice) == (0, 0)
    assert await readers.run(count_twice) == (2, 2)
    with pytest.raises(Unavailable, match="cannot be written"):
        await readers.run(lambda connection: connection.execute("INSERT INTO one VALUES (2)"))
    with pytest.raises(ZeroDivisionError):
        await readers.run(lambda connection: 1 // 0)
    assert await readers.run(lambda connection: 1) == 1
    await readers.close()
    await readers.close()
    writer.close()


async def test_closing_refuses_what_waits_and_stops_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    connect(path).close()
    readers = Readers(path, count=1)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    tasks = [asyncio.create_task(readers.run(lambda db: db.execute(endless).fetchone())) for _ in range(3)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await readers.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
