from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from featurewatch.errors import BadInput, StoreFull, TooMany, Unavailable
from featurewatch.stores.group_commit import GroupWriter
from featurewatch.stores.sqlite import connect

pytestmark = pytest.mark.anyio


class Notes:
    def __init__(self) -> None:
        self.undone = 0

    def undo(self) -> None:
        self.undone += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.db"


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def writer(path: Path, notes: Notes) -> AsyncIterator[GroupWriter]:
    connection = connect(path)
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT)")
    writer = GroupWriter(connection, path, capacity=10, undone=notes.undo)
    yield writer
    await writer.close()


def put(n: int, text: str = "") -> object:
    return lambda db: db.execute("INSERT INTO numbers VALUES (?, ?)", (n, text)).rowcount


def kept(path: Path) -> list[int]:
    with sqlite3.connect(path) as reader:
        return [n for (n,) in reader.execute("SELECT n FROM numbers ORDER BY n")]


async def test_work_is_on_the_disk_when_it_is_answered(writer: GroupWriter, path: Path) -> None:
    assert await writer.run(put(1)) == 1
    assert kept(path) == [1]


async def test_what_fails_is_undone_by_itself(writer: GroupWriter, path: Path, notes: Notes) -> None:
    gate = threading.Event()

    def fail(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO numbers VALUES (50, '')")
        raise BadInput("no")

    held = asyncio.create_task(writer.run(lambda db: gate.wait(30)))
    await asyncio.sleep(0.05)  # so that the others share the next transaction
    others = [asyncio.create_task(writer.run(work)) for work in (put(1), fail, put(1), put(2))]
    await asyncio.sleep(0)
    gate.set()
    assert await held is True
    one, failed, twice, two = await asyncio.gather(*others, return_exceptions=True)
    assert (one, two) == (1, 1)
    assert isinstance(failed, BadInput)
    assert isinstance(twice, Unavailable)
    assert "UNIQUE" in str(twice)
    assert kept(path) == [1, 2]
    assert notes.undone == 2


async def test_a_full_disk_fails_its_work_and_nothing_after_it(writer: GroupWriter, path: Path) -> None:
    pages = await writer.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(StoreFull):
        await writer.run(put(1, "x" * 100_000))
    assert await writer.run(put(2)) == 1
    await writer.run(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    assert await writer.run(put(1, "x" * 100_000)) == 1
    assert kept(path) == [1, 2]


async def test_beyond_its_capacity_work_is_refused(writer: GroupWriter, path: Path) -> None:
    gate = threading.Event()
    held = asyncio.create_task(writer.run(lambda db: gate.wait(30), weight=50))  # heavier than all, but alone
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(writer.run(put(1)))
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as refused:
        await writer.run(put(2))
    assert refused.value.retry_after == 1
    gate.set()
    await asyncio.gather(held, waiting)
    assert await writer.run(put(3)) == 1
    assert kept(path) == [1, 3]


async def test_cancelled_work_is_done_all_the_same(writer: GroupWriter, path: Path) -> None:
    gate = threading.Event()
    held = asyncio.create_task(writer.run(lambda db: gate.wait(30)))
    await asyncio.sleep(0.05)
    task = asyncio.create_task(writer.run(put(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await held
    await writer.close()
    assert kept(path) == [1]


async def test_closing_finishes_what_waits_and_takes_nothing_more(writer: GroupWriter, path: Path) -> None:
    tasks = [asyncio.create_task(writer.run(put(n))) for n in range(5)]
    await asyncio.sleep(0)
    await writer.close()
    await writer.close()
    assert await asyncio.gather(*tasks) == [1] * 5
    with pytest.raises(Unavailable, match="closed"):
        await writer.run(put(9))
    assert kept(path) == [0, 1, 2, 3, 4]


async def test_what_comes_then_is_called_in_order_before_the_answer(writer: GroupWriter) -> None:
    told: list[int] = []

    async def one(n: int) -> None:
        answer = await writer.run(lambda db: n, then=told.append)
        assert answer in told

    tasks = [asyncio.create_task(one(n)) for n in range(8)]
    await asyncio.sleep(0)
    tasks[3].cancel()  # it is told all the same
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if result is not None] == [results[3]]
    assert isinstance(results[3], asyncio.CancelledError)
    await writer.run(lambda db: 0)
    assert told == list(range(8))
    with pytest.raises(BadInput):
        await writer.run(_refuse, then=told.append)
    assert len(told) == 8


def _refuse(db: sqlite3.Connection) -> int:
    raise BadInput("no")


async def test_where_a_transaction_fails_each_piece_is_tried_alone(writer: GroupWriter, path: Path) -> None:
    gate = threading.Event()
    pages = await writer.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 1}").fetchone())
    held = asyncio.create_task(writer.run(lambda db: gate.wait(30)))
    await asyncio.sleep(0.05)
    group = [asyncio.create_task(writer.run(put(*row))) for row in ((1, ""), (2, "x" * 100_000), (3, ""), (1, ""))]
    await asyncio.sleep(0)
    gate.set()
    await held
    one, large, three, twice = await asyncio.gather(*group, return_exceptions=True)
    assert (one, three) == (1, 1)
    assert isinstance(large, StoreFull)
    assert "UNIQUE" in str(twice)
    assert kept(path) == [1, 3]
