"""What every state store does, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import Engine, event, update

from featurewatch.errors import BadInput, NotFound, OutOfRange, SettingsError, StaleEdit, StoreLocked, Unavailable
from featurewatch.model import Event, FeatureKey, FeatureRecord, Slo, Thresholds
from featurewatch.stores.base import StateStore
from featurewatch.stores.database import Database
from featurewatch.stores.state import State
from featurewatch.stores.state_engine import open_engine
from featurewatch.stores.state_schema import schema
from featurewatch.times import NS

pytestmark = pytest.mark.anyio

DAY = 86_400 * NS
NOW = 1_800_000_000 * NS
CHAT = FeatureKey("chat", "production")
STAGED = FeatureKey("chat", "staging")
SEARCH = FeatureKey("search", "production")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def state(url: str, clock: Clock, anyio_backend: str) -> AsyncIterator[State]:
    state = await State.open(url, clock=clock)
    yield state
    await state.close()


async def test_an_empty_store_has_nothing(state: State) -> None:
    store: StateStore = state
    assert await store.features() == {}
    assert (await store.events("chat")).events == ()
    assert await store.events_since(0, None, 10) == []
    assert await store.last_event_position() == 0
    await store.ping()


# features


async def test_a_feature_that_was_seen_is_listed_with_what_its_app_says(state: State) -> None:
    await state.see(
        [CHAT, SEARCH], {CHAT: {"name": "Chat", "owner": "web", "version": "1.4", "budget_usd_per_day": "5"}}
    )
    features = await state.features()
    assert list(features) == ["chat", "search"]
    assert features["chat"] == FeatureRecord(
        "chat", "Chat", owner="web", version="1.4", environments=frozenset({"production"}), revision=0, declared=False
    )
    assert features["search"].name == "search"


async def test_an_app_that_changes_what_it_says_is_followed(state: State) -> None:
    await state.see([CHAT], {CHAT: {"name": "Chat", "version": "1.4"}})
    await state.see([CHAT], {CHAT: {"name": "Chat", "version": "1.5"}})
    assert (await state.features())["chat"].version == "1.5"


async def test_data_without_words_leaves_earlier_words_alone(url: str, clock: Clock) -> None:
    first = await State.open(url, clock=clock)
    await first.see([CHAT], {CHAT: {"name": "Chat"}})
    await first.close()
    again = await State.open(url, clock=clock)
    await again.see([CHAT], {})
    assert (await again.features())["chat"].name == "Chat"
    await again.close()


async def test_production_speaks_for_a_feature_of_many_environments(state: State) -> None:
    await state.see([STAGED, CHAT], {CHAT: {"name": "Chat"}, STAGED: {"name": "Chat next"}})
    found = (await state.features())["chat"]
    assert (found.name, found.environments) == ("Chat", {"production", "staging"})


async def test_a_declaration_wins_over_what_the_app_says(state: State) -> None:
    await state.see([CHAT], {CHAT: {"name": "chatbot", "owner": "web", "version": "1.4"}})
    declared = FeatureRecord(
        "chat", "Chat", "Answers questions.", "support", thresholds=Thresholds(99.9, 1, 800), slo=Slo(99.5, "7d"),
        organization_id="acme", environments=frozenset({"canary"}),
    )  # fmt: skip
    saved = await state.save_feature(declared)
    assert saved == (await state.features())["chat"]
    assert (saved.name, saved.owner, saved.version, saved.revision) == ("Chat", "support", "1.4", 1)
    assert saved.environments == {"production", "canary"}
    assert (saved.thresholds, saved.slo, saved.organization_id) == (declared.thresholds, declared.slo, "acme")


async def test_what_a_saved_record_repeats_of_the_app_follows_the_app(state: State) -> None:
    await state.see([CHAT], {CHAT: {"name": "Chat", "version": "1.4"}})
    seen = (await state.features())["chat"]
    await state.save_feature(FeatureRecord(seen.id, seen.name, "described", seen.owner, seen.version))
    await state.see([CHAT], {CHAT: {"name": "Chat", "version": "1.5"}})
    found = (await state.features())["chat"]
    assert (found.version, found.description) == ("1.5", "described")


async def test_an_edit_of_an_older_revision_is_refused_and_changes_nothing(state: State) -> None:
    await state.save_feature(FeatureRecord("chat", "One"), expected=0)
    await state.save_feature(FeatureRecord("chat", "Two"), expected=1)
    for expected in (0, 1, 3):
        with pytest.raises(StaleEdit, match="it is 2"):
            await state.save_feature(FeatureRecord("chat", "Three"), expected=expected)
    assert (await state.features())["chat"].name == "Two"


async def test_of_two_edits_of_one_revision_one_wins(url: str, clock: Clock) -> None:
    one = await State.open(url, clock=clock)
    two = await State.open(url, clock=clock)
    await one.save_feature(FeatureRecord("chat", "Chat"))
    outcomes = await asyncio.gather(
        *(store.save_feature(FeatureRecord("chat", f"{n}"), expected=1) for n, store in enumerate((one, two) * 3)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, FeatureRecord) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StaleEdit) for outcome in outcomes) == 5
    await one.close()
    await two.close()


async def test_a_deleted_feature_is_gone_until_it_sends_again(state: State) -> None:
    await state.save_feature(FeatureRecord("chat", "Chat"))
    await state.see([CHAT], {})
    await state.delete_feature("chat")
    assert await state.features() == {}
    await state.see([CHAT], {})
    assert (await state.features())["chat"].declared is False


async def test_a_deleted_feature_never_gets_an_old_revision_again(state: State) -> None:
    first = await state.save_feature(FeatureRecord("chat", "Chat"))
    await state.delete_feature("chat")
    with pytest.raises(StaleEdit):
        await state.save_feature(FeatureRecord("chat", "Chat"), expected=first.revision)
    assert (await state.save_feature(FeatureRecord("chat", "Chat"))).revision > first.revision


async def test_deleting_what_does_not_exist_is_not_found(state: State) -> None:
    with pytest.raises(NotFound):
        await state.delete_feature("chat")
    await state.save_feature(FeatureRecord("chat", "Chat"))
    await state.delete_feature("chat")
    with pytest.raises(NotFound):
        await state.delete_feature("chat")


async def test_words_that_no_database_takes_are_mended(state: State) -> None:
    await state.see([CHAT], {CHAT: {"name": "a\0b\ud800c", "owner": "Zoë 😀"}})
    found = (await state.features())["chat"]
    assert (found.name, found.owner) == ("ab?c", "Zoë 😀")
    assert (await state.save_feature(FeatureRecord("chat", "x\ud800", "a\0b"))).name == "x?"


# events


async def record(state: State, count: int, key: FeatureKey = CHAT, start: int = 0) -> list[Event]:
    return [await state.record_event(key, "test_result", NOW + n * NS, {"n": n}) for n in range(start, start + count)]


async def test_an_event_comes_back_as_it_was_recorded(state: State) -> None:
    data = {"passed": True, "score": 0.1, "text": "Zoë \0 😀", "deep": [{"a": None}]}
    kept = await state.record_event(CHAT, "test_result", NOW + 1, data)
    assert (kept.key, kept.kind, kept.timestamp_ns, kept.data) == (CHAT, "test_result", NOW + 1, data)
    assert (await state.events("chat")).events == (kept,)
    assert await state.events_since(0, None, 10) == [kept]
    assert await state.last_event_position() == kept.position > 0


async def test_an_id_that_the_feature_had_returns_the_first_event_untold(state: State) -> None:
    heard: list[Event] = []
    state.listen(heard.append)
    first = await state.record_event(CHAT, "test_result", NOW, {"n": 1}, id="run-7")
    again = await state.record_event(CHAT, "test_result", NOW + 5, {"n": 2}, id="run-7")
    other = await state.record_event(SEARCH, "test_result", NOW, {"n": 3}, id="run-7")
    assert again == first
    assert heard == [first, other]


async def test_listeners_hear_every_event_once_in_the_order_of_positions(state: State) -> None:
    heard: list[Event] = []
    end = state.listen(heard.append)
    told = await asyncio.gather(*(state.record_event(CHAT, "test_result", NOW - n, {"n": n}) for n in range(50)))
    assert [event.position for event in heard] == sorted(event.position for event in told)
    assert heard == await state.events_since(0, None, 100)
    end()
    end()
    await state.record_event(CHAT, "test_result", NOW, {})
    assert len(heard) == 50


async def test_a_listener_that_fails_harms_no_other(state: State, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise ValueError("mine")

    state.listen(fail)
    state.listen(heard.append)
    kept = await state.record_event(CHAT, "alert", NOW, {})
    assert heard == [kept]
    assert "a listener failed" in caplog.text


async def test_positions_of_two_bridges_never_appear_behind_one_that_was_read(url: str, clock: Clock) -> None:
    stores = [await State.open(url, clock=clock) for _ in range(2)]
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 60:
            seen.extend(event.position for event in await stores[0].events_since(seen[-1] if seen else 0, None, 7))

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(record(store, 10) for store in stores * 3))
    assert seen == [event.position for event in await stores[1].events_since(0, None, 100)]
    for store in stores:
        await store.close()


async def test_pages_hold_every_event_once_newest_first(state: State) -> None:
    kept = [await state.record_event(CHAT, "test_result", NOW + n // 4, {"n": n}) for n in range(23)]
    await record(state, 3, SEARCH)
    found: list[Event] = []
    cursor = ""
    while True:
        page = await state.events("chat", limit=5, cursor=cursor)
        found += page.events
        await state.record_event(CHAT, "test_result", NOW + 100, {"late": "newer than the pages"})
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert found == kept[::-1]


async def test_events_are_chosen_by_environment_kind_and_time(state: State) -> None:
    one = await state.record_event(CHAT, "status_change", NOW, {"to": "error"})
    two = await state.record_event(STAGED, "test_result", NOW + 1, {})
    three = await state.record_event(CHAT, "alert", NOW + 2, {})
    assert (await state.events("chat")).events == (three, two, one)
    assert (await state.events("chat", "production")).events == (three, one)
    assert (await state.events("chat", kinds=["alert", "test_result"])).events == (three, two)
    assert (await state.events("chat", start_ns=NOW + 1, end_ns=NOW + 2)).events == (two,)
    assert (await state.events("chat", start_ns=-(10**30), end_ns=10**30)).events == (three, two, one)
    assert (await state.events("chat", "staging", kinds=["alert"])).events == ()


async def test_events_since_keeps_to_the_keys_and_the_limit(state: State) -> None:
    await record(state, 3, CHAT)
    await record(state, 3, SEARCH)
    await record(state, 3, STAGED)
    assert [event.key for event in await state.events_since(1, {CHAT, STAGED}, 4)] == [CHAT, CHAT, STAGED, STAGED]
    assert await state.events_since(0, [], 4) == []
    assert len(await state.events_since(4, None, 100)) == 5


async def test_old_events_are_swept_and_the_last_position_stays(url: str, clock: Clock) -> None:
    state = await State.open(url, clock=clock, event_retention_s=10 * 86_400)
    kept = await record(state, 5)
    clock.now += 9 * DAY
    assert await state.sweep() == 0
    clock.now += 2 * DAY
    assert await state.sweep() == 4
    assert await state.last_event_position() == kept[-1].position
    assert (await record(state, 1))[0].position > kept[-1].position
    await state.close()


@pytest.mark.parametrize("cursor", ["x", "1.", ".1", "1.2.3", "10", "zz.1"])
async def test_a_foreign_cursor_is_bad_input(state: State, cursor: str) -> None:
    with pytest.raises(BadInput, match="next_cursor"):
        await state.events("chat", cursor=cursor)


async def test_what_no_database_can_hold_is_bad_input_and_harms_nothing(state: State) -> None:
    with pytest.raises(OutOfRange):
        await state.record_event(CHAT, "test_result", 2**63, {})
    with pytest.raises(BadInput):
        await state.record_event(CHAT, "test_result", NOW, {"huge": 2**70})
    assert await state.last_event_position() == 0


# life


async def test_everything_is_there_after_a_restart(url: str, clock: Clock) -> None:
    state = await State.open(url, clock=clock)
    await state.see([CHAT], {CHAT: {"name": "Chat"}})
    await state.save_feature(FeatureRecord("search", "Search", slo=Slo(99.0)))
    kept = await record(state, 3)
    features = await state.features()
    await state.close()
    again = await State.open(url, clock=clock)
    assert await again.features() == features
    assert (await again.events("chat")).events == tuple(reversed(kept))
    await again.close()


async def test_connections_that_the_server_cut_are_made_again(
    postgresql: str, clock: Clock, anyio_backend: str
) -> None:
    with psycopg.connect(postgresql, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA cut")
        state = await State.open(f"{postgresql}&options=-csearch_path%3Dcut&application_name=cut", clock=clock)
        kept = await record(state, 2)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'"
        assert admin.execute(cut).fetchall()
        assert (await state.events("chat")).events == tuple(reversed(kept))
        assert len(await record(state, 1)) == 1
        await state.close()
        admin.execute("DROP SCHEMA cut CASCADE")


async def test_a_table_that_another_session_holds_is_told(postgresql: str, clock: Clock, anyio_backend: str) -> None:
    url = f"{postgresql}&options=-csearch_path%3Dheld"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA held")
        state = State(Database(impatient(url)), clock=clock, event_retention_s=1e6)
        await (await State.open(url, clock=clock)).close()
        with admin.transaction():
            admin.execute("LOCK TABLE featurewatch_events")
            with pytest.raises(StoreLocked, match="pg_stat_activity"):
                await state.record_event(CHAT, "alert", NOW, {})
        await record(state, 1)
        await state.close()
        admin.execute("DROP SCHEMA held CASCADE")


def impatient(url: str) -> Engine:
    """Make an engine that waits for no lock longer than 50 ms."""
    engine = open_engine(url)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'"))
    return engine


async def test_a_closed_store_says_so(state: State) -> None:
    await state.close()
    await state.close()
    with pytest.raises(Unavailable, match="closed"):
        await state.ping()


async def test_a_schema_of_a_newer_version_is_refused_untouched(url: str, clock: Clock) -> None:
    await (await State.open(url, clock=clock)).close()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(update(schema).values(version=99))
    engine.dispose()
    with pytest.raises(SettingsError, match="newer featurewatch"):
        await State.open(url, clock=clock)
