"""What every log store does."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.errors import BadInput, OutOfRange
from featurewatch.model import LogEntry, StoredLog
from featurewatch.stores.base import Direction, LogFilter, LogQuery, LogStore
from featurewatch.stores.embedded_logs import EmbeddedLogs
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.loki_push import mended
from featurewatch.stores.matching import compile_filter, matches
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS
from log_samples import BASE_NS, CHAT, SEARCH, STAGED, entries, levels, line, searches

pytestmark = pytest.mark.anyio

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[LogStore]]

YEARS_S = 100 * 366 * 86_400.0


@dataclass(frozen=True)
class Opener:
    """Opens an empty store; `kept` is what it makes of lines, which Loki does not hold character by character."""

    open: Opening
    kept: Callable[[Sequence[LogEntry]], Sequence[LogEntry]] = lambda lines: lines
    share: float = 1.0

    def examples(self, count: int) -> int:
        """How many made-up examples a test tries; of a store in another process fewer."""
        return max(1, int(count * self.share))

    def __call__(self) -> AbstractAsyncContextManager[LogStore]:
        return self.open()


@asynccontextmanager
async def _embedded() -> AsyncIterator[LogStore]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "logs.db"
        store = await EmbeddedLogs.open(path, retention_s=YEARS_S, max_bytes=1024**3, queue_bytes=64 * 1024**2)
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def _loki(url: str) -> AsyncIterator[LogStore]:
    """A tenant that is new; its clock goes on from a minute before the samples, which are news to it."""
    began = time.monotonic_ns()
    with TemporaryDirectory() as folder:
        store = await LokiStore.open(
            Upstream(Target("Loki", "FEATUREWATCH_LOKI", url, tenant=uuid.uuid4().hex)),
            Path(folder),
            environment="development",
            lookback_s=86_400.0,
            queue_bytes=64 * 1024**2,
            journal_bytes=1024**3,
            clock=lambda: BASE_NS - 60 * NS + time.monotonic_ns() - began,
        )
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(scope="module", params=["embedded", "loki"])
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param == "embedded":
        return Opener(_embedded)
    return Opener(partial(_loki, request.getfixturevalue("loki_of_tenants").url), mended, share=0.2)


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[LogStore]:
    """A store whose lines are all followed."""
    async with opener() as opened:
        opened.want(None)
        yield opened


def in_order(entries: Sequence[LogEntry]) -> list[str]:
    """The ids as a page shows them: by time, lines of one time by arrival, in which order ids are made."""
    return [entry.id for entry in sorted(entries, key=lambda entry: entry.timestamp_ns)]


def ids(lines: Sequence[StoredLog]) -> list[str]:
    return [stored.entry.id for stored in lines]


async def all_pages(store: LogStore, query: LogQuery) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        assert len(pages) < 500, "paging does not end"
        page = await store.query(LogQuery(
            query.key, query.filter, query.start_ns, query.end_ns, query.limit, cursor, query.direction
        ))  # fmt: skip
        pages.append(ids(page.entries))
        cursor = page.next_cursor
    return pages


async def exported(store: LogStore, query: LogQuery) -> list[LogEntry]:
    return [entry async for chunk in store.export(query) for entry in chunk]


# Keeping


async def test_what_is_appended_comes_back_whole(store: LogStore) -> None:
    full = line(
        'quote " backslash \\ newline \n tab \t ünïcode 🙂 nul \0.', level="fatal", source="api", trace_id="t1",
        user_id="ü1", metadata='{"b":1,  "a":"é","user-id":"x"}',
    )  # fmt: skip
    bare = line()._replace(message="")
    assert await store.append([full, bare]) == 2
    page = await store.query(LogQuery(CHAT))
    assert [stored.entry for stored in page.entries] == [full, bare]
    assert page.next_cursor is None


async def test_an_empty_store_answers_everything(store: LogStore) -> None:
    page = await store.query(LogQuery(CHAT))
    assert (page.entries, page.next_cursor) == ((), None)
    assert await store.around("nothing", None, 5) is None
    assert await exported(store, LogQuery(CHAT)) == []
    assert list(await store.since(0, None, 10)) == []
    assert list(await store.since(await store.last_position(), None, 10)) == []
    assert await store.keys() == set()
    assert await store.append([]) == 0
    await store.ping()


async def test_an_id_is_kept_once_in_its_feature_and_environment(store: LogStore) -> None:
    one, two, three = line(), line(), line()
    assert await store.append([one, two, one]) == 2
    assert await store.append([two, three]) == 1
    assert await store.append([one._replace(environment="staging")]) == 1
    assert ids((await store.query(LogQuery(CHAT))).entries) == [one.id, two.id, three.id]
    assert ids((await store.query(LogQuery(STAGED))).entries) == [one.id]


async def test_text_that_is_not_unicode_is_mended_not_refused(store: LogStore) -> None:
    broken = line("half \ud83d of it", source="a\udc00", metadata='{"a":"\ud800"}')
    assert await store.append([broken, line("whole", key=SEARCH)]) == 2
    (kept,) = (await store.query(LogQuery(CHAT))).entries
    assert kept.entry.message == "half ? of it"
    assert (await store.query(LogQuery(SEARCH))).entries[0].entry.message == "whole"


async def test_environments_and_features_are_never_mixed(store: LogStore) -> None:
    lines = [line(key=key) for key in (CHAT, STAGED, SEARCH)]
    await store.append(lines)
    for entry in lines:
        query = LogQuery(entry.key)
        assert ids((await store.query(query)).entries) == [entry.id]
        assert await exported(store, query) == [entry]
    assert await store.keys() == {CHAT, STAGED, SEARCH}


# Telling


async def test_listeners_hear_each_line_once_in_order_before_append_returns(store: LogStore) -> None:
    heard: list[StoredLog] = []
    end = store.listen(heard.extend)

    async def send(count: int) -> None:
        batch = [line() for _ in range(count)]
        assert await store.append(batch) == count
        told = ids(heard)
        assert all(entry.id in told for entry in batch)

    await asyncio.gather(*(send(count) for count in (1, 50, 3, 1, 200, 7)))
    assert len(heard) == 262
    assert all(earlier.position < later.position for earlier, later in pairwise(heard))
    assert await store.last_position() == heard[-1].position
    assert list(await store.since(0, None, 1000)) == heard
    end()
    end()
    await store.append([line()])
    assert len(heard) == 262


async def test_listeners_do_not_hear_what_was_known_already(store: LogStore) -> None:
    one, two = line(), line()
    await store.append([one])
    heard: list[StoredLog] = []
    store.listen(heard.extend)
    await store.append([one])
    await store.append([one, two])
    assert ids(heard) == [two.id]


async def test_a_listener_that_fails_keeps_nothing_from_the_others(store: LogStore) -> None:
    def broken(_: Sequence[StoredLog]) -> None:
        raise ValueError("this listener fails")

    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    heard: list[StoredLog] = []
    store.listen(broken)
    store.listen(heard.extend)
    assert await store.append([line()]) == 1
    assert len(heard) == 1
    assert [str(error) for error in reported] == ["this listener fails"]


async def test_since_is_in_order_of_arrival_of_the_features_asked_for(store: LogStore) -> None:
    late, early, other = line(at=2000), line(at=1000), line(key=SEARCH, at=0)
    for entry in (late, early, other):
        await store.append([entry])
    everything = await store.since(0, None, 10)
    assert ids(everything) == [late.id, early.id, other.id]
    assert ids(await store.since(everything[0].position, {CHAT}, 10)) == [early.id]
    assert ids(await store.since(0, {SEARCH, STAGED}, 10)) == [other.id]
    assert list(await store.since(0, set(), 10)) == []
    assert ids(await store.since(0, None, 2)) == [late.id, early.id]
    assert list(await store.since(await store.last_position(), None, 10)) == []


# Paging


async def test_a_range_includes_its_start_and_excludes_its_end(store: LogStore) -> None:
    lines = [line(at=at) for at in (1, 2, 2, 3)]
    await store.append(lines)

    async def between(start: int | None, end: int | None) -> list[str]:
        query = LogQuery(
            CHAT, start_ns=None if start is None else BASE_NS + start, end_ns=None if end is None else BASE_NS + end
        )
        assert [entry.id for entry in await exported(store, query)] == ids((await store.query(query)).entries)
        return ids((await store.query(query)).entries)

    everything = [entry.id for entry in lines]
    assert await between(2, 3) == everything[1:3]
    assert await between(None, 2) == everything[:1]
    assert await between(3, None) == everything[3:]
    assert await between(2, 2) == []
    assert await between(3, 1) == []


async def test_without_a_direction_the_newest_come_oldest_first(store: LogStore) -> None:
    lines = [line(at=at) for at in (5, 1, 3, 2, 4)]
    await store.append(lines)
    order = in_order(lines)
    assert await all_pages(store, LogQuery(CHAT, limit=2)) == [order[3:], order[1:3], order[:1]]
    assert await all_pages(store, LogQuery(CHAT, limit=2, direction="forward")) == [order[:2], order[2:4], order[4:]]
    newest_first = order[::-1]
    backward = await all_pages(store, LogQuery(CHAT, limit=2, direction="backward"))
    assert backward == [newest_first[:2], newest_first[2:4], newest_first[4:]]


async def test_a_page_that_holds_all_has_no_cursor(store: LogStore) -> None:
    await store.append([line(), line()])
    for direction in (None, "forward", "backward"):
        assert (await store.query(LogQuery(CHAT, limit=2, direction=direction))).next_cursor is None
        assert (await store.query(LogQuery(CHAT, limit=1, direction=direction))).next_cursor is not None


@pytest.mark.parametrize(
    "cursor", ["x", "!!!!", "AAAA", "é", "A" * 5000, "\0", "-1", base64.b64encode(b"x" * 15).decode()]
)
async def test_a_cursor_that_is_none_is_refused(store: LogStore, cursor: str) -> None:
    await store.append([line()])
    with pytest.raises(BadInput, match="cursor: expected the next_cursor of an earlier page") as refused:
        await store.query(LogQuery(CHAT, cursor=cursor))
    assert len(refused.value.message) < 200
    assert "\n" not in refused.value.message


async def test_a_limit_below_one_is_refused(store: LogStore) -> None:
    with pytest.raises(OutOfRange, match="limit: expected at least 1, got 0"):
        await store.query(LogQuery(CHAT, limit=0))


def test_paging_covers_every_line_exactly_once(opener: Opener) -> None:
    """Equal timestamps, any limit, all directions; lines of other features and, while paging, of later times arrive."""

    @settings(deadline=None, max_examples=opener.examples(80))
    @given(
        times=st.lists(st.integers(0, 6), max_size=30),
        limit=st.integers(1, 12),
        direction=st.sampled_from([None, "forward", "backward"]),
        wanted=st.frozensets(levels, max_size=3),
        given_levels=st.lists(levels, min_size=30, max_size=30),
        start=st.one_of(st.none(), st.integers(-1, 7)),
        end=st.one_of(st.none(), st.integers(-1, 8)),
    )
    def holds(
        times: list[int],
        limit: int,
        direction: Direction | None,
        wanted: frozenset[Any],
        given_levels: list[Any],
        start: int | None,
        end: int | None,
    ) -> None:
        lines = [line(at=at, level=level) for at, level in zip(times, given_levels, strict=False)]
        passing = [
            entry
            for entry in lines
            if (not wanted or entry.level in wanted)
            and (start is None or entry.timestamp_ns >= BASE_NS + start)
            and (end is None or entry.timestamp_ns < BASE_NS + end)
        ]
        query = LogQuery(
            CHAT,
            LogFilter(wanted),
            None if start is None else BASE_NS + start,
            None if end is None else BASE_NS + end,
            limit,
            direction=direction,
        )

        async def run() -> None:
            async with opener() as store:
                await store.append(lines)
                seen: list[str] = []
                cursor: str | None = ""
                while cursor is not None:
                    page = await store.query(
                        LogQuery(CHAT, query.filter, query.start_ns, query.end_ns, limit, cursor, direction)
                    )
                    found = ids(page.entries)
                    assert len(found) <= limit
                    assert page.next_cursor is None or len(found) == limit
                    seen = found + seen if direction is None else seen + found
                    cursor = page.next_cursor
                    elsewhere = -100 if direction == "forward" else 1000  # behind the reader
                    await store.append([line(at=elsewhere), line(key=SEARCH, at=3)])
                order = in_order(passing)
                assert seen == (order[::-1] if direction == "backward" else order)
                assert [entry.id for entry in await exported(store, query) if entry in passing] == order

        asyncio.run(run())

    holds()


async def test_many_lines_of_one_timestamp_are_paged(store: LogStore) -> None:
    lines = [line(at=7) for _ in range(2500)]
    await store.append(lines)
    expected = [entry.id for entry in lines]
    forward = await all_pages(store, LogQuery(CHAT, limit=999, direction="forward"))
    assert [one for page in forward for one in page] == expected
    newest = await all_pages(store, LogQuery(CHAT, limit=999))
    assert [one for page in reversed(newest) for one in page] == expected
    assert [entry.id for entry in await exported(store, LogQuery(CHAT))] == expected


# Filtering


async def test_levels_and_source_filter_exactly(store: LogStore) -> None:
    lines = [line(level=level, source=source) for source in ("api", "API") for level in ("info", "error", "debug")]
    await store.append(lines)

    async def found(**conditions: Any) -> list[str]:
        return ids((await store.query(LogQuery(CHAT, LogFilter(**conditions)))).entries)

    def expected(**conditions: Any) -> list[str]:
        return [entry.id for entry in lines if matches(LogFilter(**conditions), entry)]

    for conditions in (
        {"levels": frozenset({"error"})}, {"levels": frozenset({"info", "debug"})}, {"levels": frozenset({"fatal"})},
        {"source": "api"}, {"source": "api", "levels": frozenset({"info"})}, {"source": "nowhere"},
    ):  # fmt: skip
        assert await found(**conditions) == expected(**conditions)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("TIMEOUT", True), ("time out", False), ("100%", True), ("100_", False), ("%", True), ("_", True),
        ("\\d", True),
        ("\\\\", False), ("STRASSE", True), ("straße", True), ("MÜNCHEN", True), ("münchen", True), ("munchen", False),
        ("kelvin", True), ("payments", True), ("Größe", True), ("abc", False), ("xyz", True), ("nul\0", True),
        ("after", True), ("T1D", False), ("🙂", True), ("\ud800", False),
    ],
)  # fmt: skip
async def test_search_finds_a_plain_substring_in_any_case(store: LogStore, search: str, found: bool) -> None:
    entry = line(
        "Timeout at 100% under_score \\d+ Straße MÜNCHEN \u212aelvin ab 🙂 nul\0after",
        source="cPayments", metadata='{"k":"xYz","größe":1}', trace_id="t1d",
    )  # fmt: skip
    await store.append([entry, line("other")])
    page = await store.query(LogQuery(CHAT, LogFilter(search=search)))
    assert ids(page.entries) == ([entry.id] if found else [])
    assert matches(LogFilter(search=search), entry) is found


async def test_a_search_text_that_is_too_long_is_refused(store: LogStore) -> None:
    await store.append([line("a" * 2000)])
    assert len((await store.query(LogQuery(CHAT, LogFilter(search="a" * 1000)))).entries) == 1
    with pytest.raises(OutOfRange, match="search: expected at most 1000 characters, got 1001"):
        LogFilter(search="a" * 1001)


def test_store_and_predicate_agree(opener: Opener) -> None:
    """The page, the export and `matching.compile_filter` pass the same lines as a plain casefold model."""

    @settings(deadline=None, max_examples=opener.examples(120))
    @given(
        lines=st.lists(entries, max_size=15),
        filters=st.lists(
            st.builds(
                LogFilter,
                st.frozensets(levels, max_size=2),
                st.one_of(st.just(""), st.just("app"), searches),
                st.one_of(st.just(""), searches),
            ),
            min_size=1,
            max_size=8,
        ),
    )
    def holds(lines: Sequence[LogEntry], filters: list[LogFilter]) -> None:

        def model(filter: LogFilter, entry: LogEntry) -> bool:
            fields = [entry.message, entry.source, entry.metadata or ""]
            return (
                (not filter.levels or entry.level in filter.levels)
                and filter.source in ("", entry.source)
                and any(filter.search.casefold() in field.casefold() for field in fields)
            )

        async def run() -> None:
            async with opener() as store:
                await store.append(lines)
                kept = opener.kept(lines)
                for filter in filters:
                    expected = in_order([entry for entry in kept if model(filter, entry)])
                    passes = compile_filter(filter)
                    assert in_order([entry for entry in kept if passes(entry)]) == expected
                    query = LogQuery(CHAT, filter, limit=1000)
                    assert ids((await store.query(query)).entries) == expected
                    assert [entry.id for entry in await exported(store, query)] == expected
                    pages = await all_pages(store, LogQuery(CHAT, filter, limit=2, direction="forward"))
                    assert [one for page in pages for one in page] == expected
                    assert sum(await store.counts(CHAT, filter, BASE_NS - 1, BASE_NS + 10**9, 60)) == len(expected)

        asyncio.run(run())

    holds()


# Neighbours, export, cancelling


async def test_around_shows_neighbours_of_the_same_log(store: LogStore) -> None:
    lines = [line(at=at) for at in (1, 2, 2, 2, 3)]
    await store.append([*lines, line(key=STAGED, at=2)])
    order = in_order(lines)
    for place, entry in enumerate(order):
        for count in (0, 1, 10):
            page = await store.around(entry, None, count)
            assert page is not None
            assert ids(page.entries) == order[max(place - count, 0) : place + count + 1]


async def test_around_looks_only_where_the_caller_may(store: LogStore) -> None:
    entry = line()
    await store.append([entry, entry._replace(environment="staging"), line(key=SEARCH)])
    assert await store.around(entry.id, {SEARCH}, 1) is None
    assert await store.around(entry.id, set(), 1) is None
    for key in (CHAT, STAGED):
        page = await store.around(entry.id, {key, SEARCH}, 1)
        assert page is not None
        assert [stored.entry.key for stored in page.entries] == [key]


async def test_export_yields_chunks_oldest_first_and_ends_although_lines_arrive(store: LogStore) -> None:
    lines = [line(at=5000 - number) for number in range(5000)]
    await store.append(lines)
    chunks: list[int] = []
    seen: list[LogEntry] = []
    async for chunk in store.export(LogQuery(CHAT, limit=1)):
        chunks.append(len(chunk))
        seen += chunk
        await store.append([line(at=9000 + len(chunks))])
        assert len(chunks) < 50, "the export does not end"
    assert [entry.id for entry in seen if entry in lines] == in_order(lines)
    assert max(chunks) <= 5000


async def test_a_query_is_cancelled_without_harm(store: LogStore) -> None:
    await store.append([line() for _ in range(1000)])
    tasks = [asyncio.create_task(store.query(LogQuery(CHAT, LogFilter(search="zzz")))) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert len((await store.query(LogQuery(CHAT))).entries) == 1000


async def test_many_writers_and_readers_at_once_see_whole_batches(store: LogStore) -> None:
    async def write(number: int) -> None:
        for _ in range(5):
            await store.append([line(f"batch {number}") for _ in range(10)])

    async def read() -> None:
        for _ in range(10):
            found = (await store.query(LogQuery(CHAT, limit=5000))).entries
            assert len(found) % 10 == 0

    await asyncio.gather(*(write(number) for number in range(10)), *(read() for _ in range(5)))
    assert len((await store.query(LogQuery(CHAT, limit=5000))).entries) == 500


# Counting


async def test_lines_are_counted_by_the_step_that_they_end_in(store: LogStore) -> None:
    second = 1_000_000_000
    await store.append([line(at=at * second) for at in (0, 1, 60, 61, 119, 120, 121, 240, 241)])
    await store.append([line(at=60 * second + 1), line(key=SEARCH, at=1)])
    counted = await store.counts(CHAT, LogFilter(), BASE_NS, BASE_NS + 240 * second, 60)
    assert list(counted) == [2, 4, 1, 1], "0 is before the first step, 60 within it, 241 behind the last"
    assert list(await store.counts(CHAT, LogFilter(), BASE_NS, BASE_NS + 90 * second, 60)) == [2, 2]
    assert list(await store.counts(CHAT, LogFilter(), BASE_NS, BASE_NS, 60)) == []
    assert list(await store.counts(STAGED, LogFilter(), BASE_NS, BASE_NS + 60 * second, 60)) == [0]
