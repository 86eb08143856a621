"""What the embedded log store does besides the contract: durability, bounds, retention, faults of its file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.errors import BadInput, StoreFull, StoreLocked, TooMany, Unavailable
from featurewatch.model import LogEntry
from featurewatch.stores import embedded_logs, log_conditions, log_queries, sqlite
from featurewatch.stores.base import LogFilter, LogQuery
from featurewatch.stores.embedded_logs import EmbeddedLogs
from featurewatch.stores.matching import matches
from log_samples import BASE_NS, CHAT, SEARCH, entries, levels, line

pytestmark = pytest.mark.anyio

MIB = 1024**2
DAY_S = 86_400.0
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = BASE_NS

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[EmbeddedLogs]:
    defaults = {"retention_s": 10_000 * DAY_S, "max_bytes": 1024 * MIB, "queue_bytes": 64 * MIB}
    store = await EmbeddedLogs.open(path, **defaults | settings)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "logs.db"


async def ids(store: EmbeddedLogs) -> list[str]:
    return [entry.id async for chunk in store.export(LogQuery(CHAT)) for entry in chunk]


async def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


# Restart


async def test_a_restart_finds_the_same_lines_and_never_reuses_a_position(path: Path) -> None:
    lines = [line(level="warn", source="api", metadata='{"a":1}') for _ in range(10)]
    async with opened(path) as store:
        await store.append(lines)
        last = await store.last_position()
    async with opened(path) as store:
        assert await store.last_position() == last
        assert [stored.entry for stored in await store.since(0, None, 100)] == lines
        await store.append([lines[0]._replace(id="other")])
        assert await store.last_position() > last


async def test_positions_are_not_reused_after_all_lines_are_gone(path: Path) -> None:
    clock = Clock()
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        await store.append([line() for _ in range(5)])
        last = await store.last_position()
    clock.now += 3 * DAY_NS
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        await until(lambda: store.removed["age"] == 5)
        assert await store.keys() == set()
        await store.append([line(at=3 * DAY_NS)])
        assert [stored.position > last for stored in await store.since(0, None, 10)] == [True]


KILLED = """
import asyncio, os, sys, time
from pathlib import Path
from featurewatch.model import LogEntry
from featurewatch.stores.embedded_logs import EmbeddedLogs

async def main():
    store = await EmbeddedLogs.open(Path(sys.argv[1]), retention_s=1e9, max_bytes=2**30, queue_bytes=2**26)
    async def send(worker):
        for number in range(100_000):
            ids = [f"{worker}-{number}-{one}" for one in range(7)]
            await store.append([LogEntry(id, "chat", "production", time.time_ns(), "info", "x" * 50) for id in ids])
            os.write(1, "".join(f"{id}\\n" for id in ids).encode())
    await asyncio.gather(*(send(worker) for worker in range(4)))

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(2000)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split("\n")[:-1]
    process.wait()

    async def look() -> list[str]:
        async with opened(path) as store:
            assert await store.append([line(key=SEARCH)]) == 1
            return await ids(store)

    kept = asyncio.run(look())
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert len(kept) % 7 == 0, "a batch was kept in part"


# Bounds and group commit


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the write lock, as another process would."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_full_queue_refuses_and_says_when_to_come_back(path: Path) -> None:
    async with opened(path, queue_bytes=MIB) as store:
        with held(path):
            waiting = [asyncio.create_task(store.append([line("x" * 300_000)]))]
            await asyncio.sleep(0.2)  # this one is on its way to the disk, the next two are in the queue
            waiting += [asyncio.create_task(store.append([line("x" * 300_000)])) for _ in range(2)]
            await asyncio.sleep(0)
            assert 900_000 < store.queued_bytes <= MIB
            with pytest.raises(TooMany, match="the disk is slower than what comes: send again") as refused:
                await store.append([line("x" * 300_000)])
            assert refused.value.retry_after >= 1
        assert await asyncio.gather(*waiting) == [1, 1, 1]
        assert store.queued_bytes == 0
        assert await store.append([line("x" * 300_000)]) == 1


async def test_what_is_larger_than_the_queue_goes_in_alone(path: Path) -> None:
    async with opened(path, queue_bytes=MIB) as store:
        assert await store.append([line("x" * 500_000) for _ in range(5)]) == 5


async def test_one_bad_append_of_a_group_fails_alone(path: Path) -> None:
    async with opened(path) as store:
        heard: list[str] = []
        store.listen(lambda lines: heard.extend(stored.entry.id for stored in lines))
        good = [line(source=f"s{number}") for number in range(6)]
        with held(path):
            first = asyncio.create_task(store.append([good[0]]))
            await asyncio.sleep(0.2)  # it waits for the lock; what follows is one group
            bad_batches: list[list[LogEntry]] = [
                [good[1], line()._replace(timestamp_ns=2**63)],
                [good[2], line()._replace(level="loud")],  # type: ignore[arg-type]  # what types alone do not stop
                [good[3], line()._replace(id=None)],  # type: ignore[arg-type]  # ditto
            ]
            bad = [asyncio.create_task(store.append(batch)) for batch in bad_batches]
            fine = [asyncio.create_task(store.append([entry])) for entry in good[4:]]
            await asyncio.sleep(0.1)
        assert await first == 1
        assert await asyncio.gather(*fine) == [1, 1]
        for result in await asyncio.gather(*bad, return_exceptions=True):
            assert isinstance(result, BadInput), result
            assert "a line cannot be kept" in result.message
        kept = [good[0].id, good[4].id, good[5].id]
        assert heard == kept == await ids(store)


async def test_a_cancelled_append_harms_no_other(path: Path) -> None:
    async with opened(path) as store:
        with held(path):
            tasks = [asyncio.create_task(store.append([line()])) for _ in range(3)]
            await asyncio.sleep(0.1)
            tasks[1].cancel()
        assert await tasks[0] == await tasks[2] == 1
        assert tasks[1].cancelled() or tasks[1].cancelling()
        assert await store.append([line()]) == 1


async def test_close_keeps_what_waits_and_ends_the_threads(path: Path) -> None:
    before = set(threading.enumerate())
    store = await EmbeddedLogs.open(path, retention_s=DAY_S * 10_000, max_bytes=MIB * 100, queue_bytes=MIB)
    waiting = [asyncio.create_task(store.append([line()])) for _ in range(5)]
    await asyncio.sleep(0)
    await store.query(LogQuery(CHAT))
    await store.close()
    assert await asyncio.gather(*waiting) == [1] * 5
    ours = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("featurewatch")]
    assert ours == []
    await store.close()
    for refused in (store.append([line()]), store.query(LogQuery(CHAT)), store.ping()):
        with pytest.raises(Unavailable, match="the store is closed"):
            await refused
    async with opened(path) as again:
        assert len(await ids(again)) == 5


# Searches that walk windows


@settings(deadline=None, max_examples=60)
@given(
    lines=st.lists(entries, max_size=40),
    filter=st.builds(
        LogFilter,
        st.frozensets(levels, max_size=4),
        st.sampled_from(["", "", "app"]),
        st.sampled_from(["a", "s", "k", "line"]),
    ),
    limit=st.integers(1, 15),
    window=st.integers(1, 9),
    few=st.integers(0, 9),
)
def test_windows_of_any_size_find_every_line_once(
    lines: list[LogEntry], filter: LogFilter, limit: int, window: int, few: int
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            for name, value in (("_FIRST_WINDOW", window), ("_LARGEST_WINDOW", 3 * window), ("_FEW", few)):
                patch.setattr(log_queries, name, value)
            async with opened(Path(folder) / "logs.db") as store:
                await store.append(lines)
                for direction in ("forward", "backward"):
                    seen: list[str] = []
                    cursor: str | None = ""
                    while cursor is not None:
                        query = LogQuery(CHAT, filter, limit=limit, cursor=cursor, direction=direction)
                        page = await store.query(query)
                        seen += [stored.entry.id for stored in page.entries]
                        cursor = page.next_cursor
                    passing = [entry for entry in lines if matches(filter, entry)]
                    expected = [entry.id for entry in sorted(passing, key=lambda entry: entry.timestamp_ns)]
                    assert seen == (expected if direction == "forward" else expected[::-1])

    asyncio.run(run())


# Slow queries


@pytest.fixture
def slow_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a search for 'slow' take SQLite as long as it is let."""
    search = log_conditions._search
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def slow(connection: sqlite3.Connection, text: str) -> Any:
        if text == "slow":
            connection.execute(endless).fetchone()
        return search(connection, text)

    monkeypatch.setattr(log_conditions, "_search", slow)


@pytest.mark.usefixtures("slow_search")
async def test_a_cancelled_search_stops_inside_sqlite(path: Path) -> None:
    async with opened(path) as store:
        await store.append([line("hello")])
        for _ in range(2):
            tasks = [asyncio.create_task(store.query(LogQuery(CHAT, LogFilter(search="slow")))) for _ in range(8)]
            await asyncio.sleep(0.2)  # four of them run, four wait
            for task in tasks:
                task.cancel()
            async with asyncio.timeout(10):  # all readers would be busy for ever
                assert len((await store.query(LogQuery(CHAT, LogFilter(search="HELLO")))).entries) == 1


@pytest.mark.usefixtures("slow_search")
async def test_slow_searches_hold_up_neither_paging_nor_writing(path: Path) -> None:
    async with opened(path) as store:
        await store.append([line("hello")])
        slow = [asyncio.create_task(store.query(LogQuery(CHAT, LogFilter(search="slow")))) for _ in range(3)]
        async with asyncio.timeout(10):
            for number in range(20):
                assert len((await store.query(LogQuery(CHAT))).entries) == number + 1
                await store.append([line()])
        assert not any(task.done() for task in slow)
    # Closing stopped them.
    for result in await asyncio.gather(*slow, return_exceptions=True):
        assert isinstance(result, Unavailable)


async def test_too_many_waiting_queries_are_refused(path: Path) -> None:
    async with opened(path):
        readers = sqlite.Readers(path, count=1, waiting=2)
        release = threading.Event()
        tasks = [asyncio.create_task(readers.run(lambda _: release.wait(20))) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(TooMany, match="3 queries wait already"):
            await readers.run(lambda _: True)
        release.set()
        assert all(await asyncio.gather(*tasks))
        assert await readers.run(lambda _: True)
        await readers.close()


# Retention


async def test_lines_past_their_age_are_removed_and_counted(path: Path) -> None:
    clock = Clock()
    old = [line(at=-2 * DAY_NS), line(at=-DAY_NS - 1, key=SEARCH)]
    young = [line(at=-DAY_NS + MINUTE_NS * 3), line(at=5 * DAY_NS)]  # a clock that is wrong, too
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        assert await store.append([*old, *young]) == 4
        clock.now += 2 * MINUTE_NS
        await until(lambda: store.removed["age"] == 2)
        assert await ids(store) == [entry.id for entry in young]
        assert await store.keys() == {CHAT}
        # What came is forgotten a retention after it came, whatever its timestamp says.
        clock.now += 2 * DAY_NS
        await until(lambda: store.removed["age"] == 4)
        assert await ids(store) == []
        assert store.removed == {"age": 4, "size": 0}


async def test_old_lines_that_arrive_late_are_taken_and_swept(path: Path) -> None:
    clock = Clock()
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        assert await store.append([line(at=-9 * DAY_NS) for _ in range(3500)]) == 3500
        keep = line(at=0)
        await store.append([keep])
        clock.now += 2 * MINUTE_NS
        await until(lambda: store.removed["age"] >= 3500)
        assert await ids(store) == [keep.id]


async def test_a_clock_set_back_does_not_stop_the_sweep(path: Path) -> None:
    clock = Clock()
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        await store.append([line(at=-9 * DAY_NS)])
        clock.now += 2 * MINUTE_NS
        await until(lambda: store.removed["age"] == 1)
        clock.now -= DAY_NS
        await store.append([line(at=-9 * DAY_NS)])
        await until(lambda: store.removed["age"] == 2)


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob("logs.db*") if not file.name.endswith("-shm"))


async def test_the_file_stays_below_its_size_and_keeps_the_newest(path: Path) -> None:
    limit = 10 * MIB
    async with opened(path, max_bytes=limit) as store:
        largest = 0
        sent: list[str] = []
        for number in range(60):
            batch = [line("x" * 400, source=f"source {number}") for _ in range(1000)]
            await store.append(batch)
            sent += [entry.id for entry in batch]
            largest = max(largest, on_disk(path))
        assert largest <= limit
        kept = await ids(store)
        assert 5_000 < len(kept) < 40_000
        assert kept == sent[-len(kept) :]
        await until(lambda: store.removed["size"] >= len(sent) - len(kept))
    with sqlite3.connect(path) as connection:  # names that no line uses any more are gone with them
        (sources,) = connection.execute("SELECT count(*) FROM sources").fetchone()
        assert sources <= len(kept) / 1000 + 1
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_a_smaller_limit_gives_the_space_back(path: Path) -> None:
    async with opened(path, max_bytes=100 * MIB) as store:
        for _ in range(20):
            await store.append([line("x" * 1000) for _ in range(1000)])
    assert on_disk(path) > 20 * MIB
    async with opened(path, max_bytes=10 * MIB) as store:
        await until(lambda: on_disk(path) <= 10 * MIB)
        assert store.removed["size"] > 5000
        assert len(await ids(store)) > 2000


async def test_names_are_found_again_after_a_sweep_took_them(path: Path) -> None:
    clock = Clock()
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        for day in range(3):
            entry = line(at=day * 3 * DAY_NS, source="same")
            await store.append([entry])
            found = await store.query(LogQuery(CHAT, LogFilter(source="same")))
            assert [stored.entry for stored in found.entries] == [entry]
            clock.now += 3 * DAY_NS
            await until(lambda: store.removed["age"] == day + 1)  # noqa: B023  # awaited within the loop


# Faults of the file


def test_a_file_that_is_no_database_is_named_with_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, but long enough to look at" * 100)
    with pytest.raises(Unavailable, match=r"logs\.db: the file is corrupt .*move it aside") as refused:
        asyncio.run(EmbeddedLogs.open(path, retention_s=DAY_S, max_bytes=MIB * 100, queue_bytes=MIB))
    assert "\n" not in refused.value.message
    assert path.read_bytes().startswith(b"this is not")


async def test_a_damaged_page_fails_its_query_and_nothing_else(path: Path) -> None:
    async with opened(path) as store:
        await store.append([line("x" * 500, key=CHAT) for _ in range(2000)])
        await store.append([line("y" * 500, key=SEARCH) for _ in range(2000)])
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(os.urandom(40 * 4096))
    async with opened(path) as store:
        with pytest.raises(Unavailable, match="the file is corrupt"):
            await store.query(LogQuery(CHAT, LogFilter(search="nowhere")))
        assert len((await store.query(LogQuery(SEARCH, limit=10))).entries) == 10


async def test_a_locked_file_is_told_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite.connect
    monkeypatch.setattr(embedded_logs, "connect", lambda path: connect(path, busy_timeout_s=0.1))
    async with opened(path) as store:
        with held(path), pytest.raises(StoreLocked, match="another process holds the file: stop it"):
            await store.append([line()])
        assert await store.append([line()]) == 1
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreLocked):
            async with opened(path):
                pass
    finally:
        other.close()


async def test_a_file_of_another_version_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(Unavailable, match="expected version 1 of its tables, found 99"):
        async with opened(path):
            pass


async def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match=r"cannot be opened .*check the folder and its permissions"):
        async with opened(tmp_path / "file" / "logs.db"):
            pass


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from featurewatch.errors import Unavailable
from featurewatch.stores.embedded_logs import EmbeddedLogs
if os.geteuid() == 0:
    os.setuid(65534)
try:
    asyncio.run(EmbeddedLogs.open(Path(sys.argv[1]), retention_s=1e9, max_bytes=2**30, queue_bytes=2**26))
except Unavailable as error:
    print(error)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_a_folder_that_is_read_only_is_told_as_such(path: Path, existing: bool) -> None:
    path.parent.mkdir()
    if existing:
        sqlite.connect(path).close()
    above = {folder: folder.stat().st_mode for folder in path.parent.parents[:3]}
    try:
        if os.geteuid() == 0:
            for folder in above:
                folder.chmod(0o755)  # root's temporary folders are closed to the user that the child becomes
        path.parent.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        path.parent.chmod(0o755)
        for folder, mode in above.items():
            folder.chmod(mode)
    assert "check the folder and its permissions" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


async def test_a_full_disk_fails_its_appends_and_is_recovered_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[sqlite3.Connection] = []

    def small(path: Path) -> sqlite3.Connection:
        connections.append(sqlite.connect(path))
        return connections[0]

    monkeypatch.setattr(embedded_logs, "connect", small)
    async with opened(path) as store:
        kept = [line()]
        await store.append(kept)
        connections[0].execute("PRAGMA max_page_count = 30").fetchone()
        with held(path):  # a group: small ones beside one that does not fit
            small_ones = [line(), line()]
            tasks = [
                asyncio.create_task(store.append(batch))
                for batch in ([small_ones[0]], [line("x" * 300) for _ in range(3000)], [small_ones[1]])
            ]
            await asyncio.sleep(0.1)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[1], StoreFull), results
        assert "the disk is full: free some space" in results[1].message
        assert [results[0], results[2]] == [1, 1]
        kept += small_ones
        assert await ids(store) == [entry.id for entry in kept]
        connections[0].execute("PRAGMA max_page_count = 1000000").fetchone()
        assert await store.append([line("x" * 300) for _ in range(3000)]) == 3000
        assert len(await ids(store)) == 3003


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command to make a small disk with")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


async def test_a_disk_that_is_really_full_is_recovered_from(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * MIB)
    acknowledged: list[str] = []
    async with opened(small_disk / "logs.db") as store:

        async def fill() -> None:
            for _ in range(100):
                batch = [line("x" * 500) for _ in range(200)]
                await store.append(batch)
                acknowledged.extend(entry.id for entry in batch)

        with pytest.raises(StoreFull, match="the disk is full: free some space"):
            await fill()
        assert await ids(store) == acknowledged
        with pytest.raises(StoreFull):
            await store.append([line("x" * 500) for _ in range(2000)])
        with pytest.raises(StoreFull):
            await store.ping()
        ballast.unlink()
        batch = [line("x" * 500) for _ in range(200)]
        assert await store.append(batch) == 200
        await store.ping()
        acknowledged += [entry.id for entry in batch]
    async with opened(small_disk / "logs.db") as store:
        assert await ids(store) == acknowledged


# What a memory of arrivals asks of it


async def test_what_was_removed_is_told_by_position_across_a_restart(path: Path) -> None:
    clock = Clock()
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        await store.append([line(at=0) for _ in range(3)])
        assert store.lost(0, None) is None
        assert store.lost(0, {"chat"}) is None
        clock.now += 2 * DAY_NS
        await store.append([line(at=2 * DAY_NS)])
        await until(lambda: store.removed["age"] == 3)
        assert [store.lost(position, None) for position in (0, 2, 3, 4)] == ["expired", "expired", None, None]
    async with opened(path, retention_s=DAY_S, clock=clock) as store:
        assert [store.lost(position, None) for position in (0, 2, 3, 4)] == ["expired", "expired", None, None]


async def test_by_arrival_alone_an_old_line_that_comes_late_is_kept(path: Path) -> None:
    clock = Clock()
    clock.now += 10 * DAY_NS
    async with opened(path, retention_s=DAY_S, clock=clock, by_arrival=True) as store:
        await store.append([line("late", at=0)])
        await store.append([line("news")])
        for _ in range(2):  # sweeps, each of which is noted
            clock.now += 2 * MINUTE_NS
            deadline, noted = time.monotonic() + 20, len(await store.reached())
            while len(await store.reached()) == noted:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        assert [stored.entry.message for stored in await store.since(0, None, 10)] == ["late", "news"]
        clock.now += 2 * DAY_NS
        await until(lambda: store.removed["age"] == 2)


async def test_a_new_file_begins_where_it_is_told_to(path: Path) -> None:
    async with opened(path, first_position=1_000_000, durable=False) as store:
        assert await store.last_position() == 999_999
        assert store.lost(999_998, None) == "expired"
        await store.append([line()])
        assert await store.last_position() == 1_000_000
    async with opened(path, first_position=5_000_000) as store:
        assert await store.last_position() == 1_000_000


async def test_positions_by_id_and_counts_by_bucket(path: Path) -> None:
    async with opened(path) as store:
        mine = [line(at=at) for at in (1, 10, 11, 20, 21)]
        await store.append([*mine, line(key=SEARCH, at=10)])
        ids = [entry.id for entry in mine]
        assert await store.positions(CHAT, [*ids[:2], "absent"]) == {ids[0]: 1, ids[1]: 2}
        assert await store.positions(SEARCH, ids) == {}
        assert await store.positions(CHAT._replace(feature="never"), ids) == {}
        # BASE_NS is a multiple of 10, and a bucket ends with its last nanosecond.
        first = BASE_NS // 10 + 1
        assert await store.tally(10, BASE_NS) == {
            (CHAT, first): 2,
            (CHAT, first + 1): 2,
            (CHAT, first + 2): 1,
            (SEARCH, first): 1,
        }
        assert await store.tally(10, BASE_NS + 11) == {(CHAT, first + 1): 2, (CHAT, first + 2): 1}
