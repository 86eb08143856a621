"""What the state does when its database does not do what it should."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, event, inspect, select, text

from featurewatch.errors import SettingsError, StoreFull, StoreLocked, TooMany, Unavailable
from featurewatch.model import FeatureKey, FeatureRecord
from featurewatch.stores.database import Database
from featurewatch.stores.state import State
from featurewatch.stores.state_engine import open_engine
from featurewatch.stores.state_migrations import VERSION, prepare
from featurewatch.stores.state_schema import metadata, schema

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000_000_000
CHAT = FeatureKey("chat", "production")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path) -> Engine:
    return open_engine(f"sqlite:///{path}")


@pytest.fixture
async def state(path: Path, engine: Engine, anyio_backend: str) -> AsyncIterator[State]:
    await (await State.open(f"sqlite:///{path}")).close()
    state = State(Database(engine), clock=Clock(), event_retention_s=86_400)
    yield state
    await state.close()


def at_each_connection(engine: Engine, pragma: str) -> None:
    @event.listens_for(engine, "connect")
    def apply(connection: Any, _record: Any) -> None:
        connection.execute(pragma)


async def test_a_full_disk_is_told_and_what_comes_after_it_is_kept(state: State, engine: Engine) -> None:
    at_each_connection(engine, "PRAGMA max_page_count = 1")  # SQLite takes the present size for the least
    with pytest.raises(StoreFull, match="disk is full"):
        await state.record_event(CHAT, "test_result", NOW, {"text": "x" * 100_000})
    with pytest.raises(StoreFull, match="disk is full"):
        await state.ping()
    kept = await state.record_event(CHAT, "test_result", NOW, {})
    assert (await state.events("chat")).events == (kept,)
    await state.ping()


async def test_a_database_that_another_holds_is_told(state: State, engine: Engine, path: Path) -> None:
    at_each_connection(engine, "PRAGMA busy_timeout = 20")
    await state.ping()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLocked, match="another process"):
        await state.record_event(CHAT, "test_result", NOW, {})
    assert await state.features() == {}, "reading goes on"
    holder.close()
    await state.record_event(CHAT, "test_result", NOW, {})


def test_a_damaged_database_is_told_in_one_line(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(Unavailable, match=r"state.db: the file is corrupt") as caught:
        asyncio.run(State.open(f"sqlite:///{path}"))
    assert "\n" not in str(caught.value)


async def test_a_database_without_a_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be opened"):
        await State.open(f"sqlite:///{tmp_path}/file/state.db")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://root:hunter2@db/x",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql:hunter2",
        "oracle+x://a",
    ],
)
async def test_a_wrong_url_is_a_settings_error_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: expected sqlite") as caught:
        await State.open(url)
    assert "hunter2" not in str(caught.value)


async def test_a_postgresql_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(Unavailable, match="refused") as caught:
        await State.open("postgresql://app:hunter2@127.0.0.1:1/fw?connect_timeout=2")
    message = str(caught.value)
    assert "postgresql://app@127.0.0.1:1/fw" in message
    assert "hunter2" not in message
    assert "\n" not in message


async def test_seeing_what_is_known_asks_the_database_nothing(state: State, engine: Engine) -> None:
    keys = [FeatureKey(f"f{n}", "production") for n in range(1000)]
    info = {key: {"name": "N", "version": "1"} for key in keys}
    await state.see(keys, info)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for _ in range(10):
        await state.see(keys, info)
    assert statements == []
    await state.see([*keys, CHAT], info)
    assert statements


async def test_a_list_of_features_is_read_again_after_each_change(state: State) -> None:
    assert await state.features() == {}
    await state.see([CHAT], {})
    assert list(await state.features()) == ["chat"]
    await state.save_feature(FeatureRecord("chat", "Chat"))
    assert (await state.features())["chat"].name == "Chat"
    await state.delete_feature("chat")
    assert await state.features() == {}


async def test_more_statements_than_may_wait_are_refused(state: State) -> None:
    outcomes = await asyncio.gather(*(state.ping() for _ in range(1100)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert refused
    assert all(isinstance(outcome, TooMany) for outcome in refused)
    await state.ping()


async def test_a_caller_that_gives_up_leaves_the_store_sound(state: State) -> None:
    tasks = [asyncio.create_task(state.record_event(CHAT, "test_result", NOW, {"n": n})) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = {found.data["n"] for found in await state.events_since(0, None, 100)}
    assert kept >= set(range(1, 20, 2))


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    program = f"""
import asyncio
from featurewatch.model import FeatureKey
from featurewatch.stores.database import Database
from featurewatch.stores.state import State

async def main():
    state = await State.open("sqlite:///{path}")
    n = 0
    while True:
        n += 1
        await state.record_event(FeatureKey("chat", "production"), "test_result", n, {{}})
        print(n, flush=True)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(30)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += map(int, writer.stdout.read().split())

    async def stored() -> list[int]:
        state = await State.open(f"sqlite:///{path}", clock=lambda: 0)
        found = [event.timestamp_ns for event in await state.events_since(0, None, 1_000_000)]
        await state.close()
        return found

    found = asyncio.run(stored())
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1


def test_an_older_database_is_migrated_step_by_step_and_once(engine: Engine) -> None:
    extended = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(extended)
    notes = Table("featurewatch_notes", extended, Column("id", Integer, primary_key=True), Column("weight", Integer))
    ran: list[str] = []

    def add_notes(connection: Connection) -> None:
        ran.append("notes")
        connection.execute(text("CREATE TABLE featurewatch_notes (id INTEGER PRIMARY KEY)"))

    def add_weight(connection: Connection) -> None:
        ran.append("weight")
        connection.execute(text("ALTER TABLE featurewatch_notes ADD weight INTEGER"))

    for migrations in ((), (add_notes,), (add_notes, add_weight), (add_notes, add_weight)):
        with engine.begin() as connection:
            prepare(connection, tables=extended if migrations else metadata, migrations=migrations)
    with engine.begin() as connection:
        assert ran == ["notes", "weight"]
        assert connection.scalar(select(schema.c.version)) == 3
        assert connection.execute(select(notes)).all() == []
    engine.dispose()


def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    old, new = (open_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("old", "new"))
    first = MetaData()
    for name in ("schema", "features", "sightings", "events"):
        metadata.tables[f"featurewatch_{name}"].to_metadata(first)
    with old.begin() as connection:
        prepare(connection, tables=first, migrations=())
        prepare(connection)
    with new.begin() as connection:
        prepare(connection)
    made = "SELECT name, sql FROM sqlite_master ORDER BY name"
    with old.begin() as before, new.begin() as after:
        assert before.execute(text(made)).all() == after.execute(text(made)).all()
        assert before.scalar(select(schema.c.version)) == after.scalar(select(schema.c.version)) == VERSION
    for engine in (old, new):
        engine.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(engine: Engine) -> None:
    with engine.begin() as connection:
        prepare(connection, migrations=())

    def fail(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError), engine.begin() as connection:
        prepare(connection, migrations=(fail,))
    with engine.begin() as connection:
        assert connection.scalar(select(schema.c.version)) == 1
        assert not inspect(connection).has_table("half")
    engine.dispose()
