"""The store over a real Loki, beyond the contract: other shippers' lines, Loki's limits, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.errors import BadInput, OutOfRange, TooLarge
from featurewatch.model import LEVELS, FeatureKey, LogEntry
from featurewatch.stores.base import LogFilter, LogQuery
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.loki_entries import CATEGORIZED, read_streams
from featurewatch.stores.matching import matches
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS
from log_samples import BASE_NS, CHAT, line, searches, texts
from loki import ANY_TIME, Loki, make

pytestmark = pytest.mark.anyio

MINUTE: Final = 60 * NS
DAY: Final = 86_400 * NS
START: Final = BASE_NS // (3600 * NS) * 3600 * NS
"""A full hour, from which steps can be counted."""


@asynccontextmanager
async def opened(
    url: str, tenant: str, folder: Path, *, now_ns: int = START + 3600 * NS, lookback_s: float = 86_400.0
) -> AsyncIterator[LokiStore]:
    began = time.monotonic_ns()
    store = await LokiStore.open(
        Upstream(Target("Loki", "FEATUREWATCH_LOKI", url, tenant=tenant, timeout_s=60.0)),
        folder,
        environment=CHAT.environment,
        lookback_s=lookback_s,
        queue_bytes=64 * 1024**2,
        journal_bytes=1024**3,
        clock=lambda: now_ns + time.monotonic_ns() - began,
    )
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
async def store(loki_of_tenants: Loki, tenant: str, tmp_path: Path) -> AsyncIterator[LokiStore]:
    async with opened(loki_of_tenants.url, tenant, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def strict_loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """A Loki with lower limits than by default: lines of a page, the range of a query, the age and size of a line."""
    limits = ANY_TIME.replace("reject_old_samples: false", "reject_old_samples: true") + (
        ", max_entries_limit_per_query: 100, max_query_length: 36h, max_line_size: 1KB, volume_enabled: false"
        ", max_structured_metadata_size: 2KB"
    )
    made = make(tmp_path_factory.mktemp("strict-loki"), limits, tenants=True)
    made.start()
    yield made
    made.stop()


def push(loki: Loki, tenant: str, *streams: tuple[dict[str, str], list[list[Any]]]) -> None:
    """Push as another shipper does."""
    body = {"streams": [{"stream": labels, "values": values} for labels, values in streams]}
    answer = httpx.post(f"{loki.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant}, timeout=60)
    assert answer.status_code == 204, answer.text


async def found(store: LokiStore, filter: LogFilter = LogFilter(), **more: Any) -> list[LogEntry]:  # noqa: B008 (frozen)
    return [stored.entry for stored in (await store.query(LogQuery(CHAT, filter, **{"limit": 5000} | more))).entries]


def numbered(count: int, *, at_ns: int = START, step_ns: int = 1, **fields: Any) -> list[LogEntry]:
    return [line(f"line {number}")._replace(timestamp_ns=at_ns + number * step_ns, **fields) for number in range(count)]


# Lines of other shippers

_LABELS: Final = (
    {}, {"environment": CHAT.environment}, {"level": "warning"}, {"severity": "ERR"}, {"source": "lab", "job": "x"},
    {"id": "container-1", "pod": "p"}, {"trace_id": "t0"},
)  # fmt: skip
_OWN: Final = (
    {}, {"level": "error"}, {"level": "WARN"}, {"level": "loud"}, {"detected_level": "critical"},
    {"severity": "debug2"}, {"id": "own", "zone": 'a"b'}, {"metadata": "no json"},
    {"metadata": '{"a":1}', "k": "v\nnew"}, {"source": "api"}, {"user_id": "u"}, {"source": "a\x7fb"},
)  # fmt: skip


def push_foreign(loki: Loki, tenant: str) -> int:
    """Push lines of all kinds, some of the same moment; how many is returned."""
    numbers = iter(range(1000))
    streams = []
    for labels in _LABELS:
        values: list[list[Any]] = []
        for own in _OWN:
            number = next(numbers)
            about = {name: text + str(number) if name == "id" else text for name, text in own.items()}
            values.append([str(START + number // 3 * NS), f"line {number}{' error' if number % 5 else ''}", about])
        streams.append(({"service_name": "other", "feature": CHAT.feature} | labels, values))
    push(loki, tenant, *streams)
    return next(numbers)


async def test_lines_of_other_shippers_are_read_alike_by_queries_and_by_the_tail(
    loki_of_tenants: Loki, tenant: str, store: LokiStore
) -> None:
    """A query asks for packed lines, a tail cannot: both make the same of them."""
    count = push_foreign(loki_of_tenants, tenant)
    entries = await found(store)
    assert len({entry.id for entry in entries}) == len(entries) == count
    async with httpx.AsyncClient(headers={"X-Scope-OrgID": tenant, **CATEGORIZED}) as client:
        answer = await client.get(
            f"{loki_of_tenants.url}/loki/api/v1/query_range",
            params={"query": '{feature="chat"}', "start": str(START), "end": str(START + MINUTE * 59), "limit": "5000"},
        )
    unpacked = read_streams(answer.json()["data"]["result"], CHAT.environment)
    assert sorted(unpacked, key=lambda entry: (entry.timestamp_ns, entry.id)) == entries
    assert {entry.level for entry in entries} == set(LEVELS)
    assert await store.keys() == {CHAT}


async def test_filters_and_counts_of_other_shippers_lines_are_exact(
    loki_of_tenants: Loki, tenant: str, store: LokiStore
) -> None:
    push_foreign(loki_of_tenants, tenant)
    entries = await found(store)
    some_levels = chain.from_iterable(combinations(LEVELS, size) for size in (0, 1, 4))
    filters = [LogFilter(frozenset(levels), source) for levels in some_levels for source in ("", "app", "lab")]
    filters += [
        LogFilter(search=text)
        for text in (
            "error", "LINE 1", "zone", '"zone":"a\\"b', 'k":"v\\n', "new", "no json", "metadata", "pod", "container",
            "lab", "app", "loud", "x", "job", "id", "service", "\\n", "a\x7fb", "production", "info",
        )
    ]  # fmt: skip
    hour = START + 3600 * NS
    for filter in filters:
        expected = [entry for entry in entries if matches(filter, entry)]
        assert await found(store, filter) == expected
        # As one step, as steps that Loki counts, as steps that it would move.
        for start, end, step in ((START - MINUTE, hour, 7200), (START - MINUTE, hour, 60), (START - 7, hour - 7, 60)):
            assert sum(await store.counts(CHAT, filter, start, end, step)) == len(expected), filter


async def test_a_line_of_another_shipper_is_found_by_its_id(
    loki_of_tenants: Loki, tenant: str, store: LokiStore
) -> None:
    push_foreign(loki_of_tenants, tenant)
    entries = await found(store)
    for place in range(0, len(entries), 20):
        page = await store.around(entries[place].id, {CHAT}, 1)
        assert page is not None
        assert [stored.entry for stored in page.entries] == entries[max(0, place - 1) : place + 2]


async def test_a_feature_that_the_api_could_not_name_is_no_feature(
    loki_of_tenants: Loki, tenant: str, store: LokiStore
) -> None:
    push(
        loki_of_tenants,
        tenant,
        ({"feature": "no feature"}, [[str(START), "x"]]),
        ({"feature": "one"}, [[str(START), "x"]]),
    )
    assert await store.keys() == {FeatureKey("one", CHAT.environment)}


@settings(max_examples=25)
@given(
    lines=st.lists(
        st.tuples(texts, st.dictionaries(st.sampled_from(["source", "zone", "kind", "metadata"]), searches)),
        max_size=20,
    ),
    wanted=st.lists(searches, min_size=1, max_size=12),
)
def test_any_search_finds_what_the_predicate_does(
    loki_of_tenants: Loki,
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, dict[str, str]]],
    wanted: list[str],
) -> None:
    """In lines of other shippers, whose metadata Loki holds field by field."""
    tenant = uuid.uuid4().hex
    values = [[str(START + at), message, about] for at, (message, about) in enumerate(lines)]
    push(loki_of_tenants, tenant, ({"feature": "chat", "pod": "sﬁ-1"}, values or [[str(START), "x"]]))

    async def run() -> None:
        async with opened(loki_of_tenants.url, tenant, tmp_path_factory.mktemp("journal")) as store:
            everything = await found(store)
            assert len(everything) == max(1, len(lines))
            for search in wanted:
                filter = LogFilter(search=search)
                assert await found(store, filter) == [entry for entry in everything if matches(filter, entry)]

    asyncio.run(run())


# Density


async def test_more_lines_of_one_moment_than_a_page_holds_are_all_read(store: LokiStore) -> None:
    lines = numbered(7000, step_ns=0, message="all alike")
    rest = [*numbered(3, at_ns=START - 5), *numbered(3, at_ns=START + 5)]
    assert await store.append([*lines, *rest]) == 7006
    expected = sorted([*lines, *rest], key=lambda entry: (entry.timestamp_ns, entry.id))
    exported = [entry async for chunk in store.export(LogQuery(CHAT)) for entry in chunk]
    assert exported == expected
    page = await store.query(LogQuery(CHAT, limit=5000))
    assert [stored.entry for stored in page.entries] == expected[-5000:]
    assert page.next_cursor is not None


async def test_lines_far_apart_and_close_together_are_exported_in_order(store: LokiStore) -> None:
    lines = [
        *numbered(3, at_ns=START - 20 * 3600 * NS, step_ns=3600 * NS),
        *numbered(9000, at_ns=START - 7200 * NS, step_ns=1000),
        *numbered(2000, at_ns=START - 60 * NS, step_ns=10 * 10**6),
    ]
    for begin in range(0, len(lines), 3000):
        await store.append(lines[begin : begin + 3000])
    assert [entry async for chunk in store.export(LogQuery(CHAT)) for entry in chunk] == lines
    assert await found(store, limit=3) == lines[-3:]
    assert await found(store, limit=3, direction="forward") == lines[:3]
    assert await found(store, LogFilter(search="LINE 8999")) == [lines[3 + 8999]]


async def test_a_page_of_large_lines_takes_no_more_memory_than_may_be(
    store: LokiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurewatch.stores.loki_fetch.PAGE_BYTES", 200_000)
    monkeypatch.setattr("featurewatch.stores.loki_fetch.AIM_BYTES", 100_000)
    lines = numbered(40, message="x" * 20_000)
    await store.append(lines)
    assert await found(store) == lines
    assert [entry async for chunk in store.export(LogQuery(CHAT)) for entry in chunk] == lines


async def test_what_holds_the_separator_is_read_as_it_is(store: LokiStore) -> None:
    odd = line("a\x7fb", source="c\x7f\x7f")
    lines = [*numbered(3), odd._replace(timestamp_ns=START + 10), *numbered(3, at_ns=START + 20)]
    await store.append(lines)
    assert await found(store) == lines
    assert await found(store, LogFilter(search="A\x7fB")) == [lines[3]]
    assert await found(store, LogFilter(search="line")) == [*lines[:3], *lines[4:]]


# Limits


async def test_lower_limits_are_learned_from_refusals(strict_loki: Loki, tenant: str, tmp_path: Path) -> None:
    now = time.time_ns() // NS * NS
    async with opened(strict_loki.url, tenant, tmp_path, now_ns=now, lookback_s=6 * 86_400.0) as store:
        lines = [*numbered(250, at_ns=now - 5 * DAY), *numbered(250, at_ns=now - DAY), *numbered(250, at_ns=now - NS)]
        for begin in (0, 250, 500):
            await store.append(lines[begin : begin + 250])
        assert await found(store) == lines
        assert [entry async for chunk in store.export(LogQuery(CHAT)) for entry in chunk] == lines
        assert await found(store, limit=300, direction="forward") == lines[:300]
        assert await store.keys() == {CHAT}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda now: {"timestamp_ns": now - 9 * DAY}, OutOfRange, "for their timestamp.* too old"),
        (lambda now: {"timestamp_ns": now + DAY}, OutOfRange, "for their timestamp.* too new"),
        (lambda _: {"message": "x" * 2000}, TooLarge, "as too large.*max entry size"),
        (lambda _: {"metadata": json.dumps({"a": "x" * 3000})}, TooLarge, "as too large.*metadata too large"),
        (lambda _: {"feature": "x" * 3000}, BadInput, "label value too long"),
    ],
    ids=["old", "future", "long", "metadata", "label"],
)
async def test_what_loki_refuses_is_told_and_the_others_are_kept(
    strict_loki: Loki,
    tenant: str,
    tmp_path: Path,
    change: Callable[[int], dict[str, Any]],
    error: type[BadInput],
    said: str,
) -> None:
    now = time.time_ns() // NS * NS
    async with opened(strict_loki.url, tenant, tmp_path, now_ns=now) as store:
        good = numbered(20, at_ns=now - NS)
        bad = good[7]._replace(id="bad", **change(now))
        with pytest.raises(error, match=rf"Loki at .* refused 1\b.*{said}") as told:
            await store.append([*good[:10], bad, *good[10:]])
        assert type(told.value) is error
        assert "the others of 21 are kept" in told.value.message
        assert "\n" not in told.value.message
        assert await found(store) == good
        # Sent again, with what was wrong put right, all are there and none twice.
        assert await store.append([*good, bad._replace(**good[7]._asdict() | {"id": "bad"})]) == 21
        assert len(await found(store)) == 21


async def test_one_appends_bad_line_fails_no_other(strict_loki: Loki, tenant: str, tmp_path: Path) -> None:
    """They share a push where they wait at the same time."""
    now = time.time_ns() // NS * NS
    async with opened(strict_loki.url, tenant, tmp_path, now_ns=now) as store:
        lines = numbered(30, at_ns=now - NS)
        lines[5] = lines[5]._replace(message="x" * 2000)
        results = await asyncio.gather(*(store.append([entry]) for entry in lines), return_exceptions=True)
        assert [type(result) for result in results] == [TooLarge if at == 5 else int for at in range(30)]
        assert await found(store) == [*lines[:5], *lines[6:]]


async def test_a_line_too_old_for_its_stream_is_told(loki_of_tenants: Loki, tenant: str, store: LokiStore) -> None:
    await store.append(numbered(1))
    with pytest.raises(OutOfRange, match=r"refused 1 for their timestamp.*too far behind"):
        await store.append(numbered(1, at_ns=START - 5 * 3600 * NS))


async def test_an_id_that_comes_again_without_a_timestamp_of_its_own_is_kept_once(store: LokiStore) -> None:
    """A caller that got no answer sends again, and a line without a timestamp is of now."""
    (entry,) = numbered(1)
    assert await store.append([entry]) == 1
    assert await store.append([entry._replace(timestamp_ns=START + 5, message="again")]) == 0
    assert await found(store) == [entry]


async def test_an_append_of_many_megabytes_goes_in_parts(store: LokiStore) -> None:
    lines = numbered(60, message="ü" * 50_000)
    assert await store.append(lines) == 60
    assert await store.counts(CHAT, LogFilter(), START - MINUTE, START + MINUTE, 120) == [60]
    # A page of all would be more than Loki's parts can send each other, which it finds out after 15 seconds.
    assert await found(store, limit=10) == lines[-10:]
    readings = {name: values for name, _, _, values in store.readings()}
    assert sum(readings["featurewatch_loki_pushes_total"].values()) >= 4
    assert sum(readings["featurewatch_loki_pushed_lines_total"].values()) == 60
