from __future__ import annotations

import asyncio
import itertools
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.errors import BadInput, OutOfRange, StoreFull, Unavailable
from featurewatch.model import CallReport, FeatureKey, Sample
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from featurewatch.stores.metric_ledger import Ids
from featurewatch.stores.metric_samples import SERIES_LIMIT, add_samples
from featurewatch.stores.metric_schema import SCHEMA
from featurewatch.stores.metric_windows import spans
from metric_samples import CHAT, NOW, NS, SEARCH, STAGED, App, Done, requests

pytestmark = pytest.mark.anyio

MINUTE = 60 * NS
HOUR = 3600 * NS
DAY = 24 * HOUR


class Clock:
    def __init__(self, now_ns: int = NOW) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.db"


def price(model: str, tokens: Mapping[str, int]) -> float | None:
    if tokens.get("cache_read", 0) > tokens.get("input", 0):
        raise ValueError("cache_read is more than input")
    return sum(tokens.values()) / 1000 if model == "small" else None


@asynccontextmanager
async def opened(path: Path, clock: Clock, **options: Any) -> AsyncIterator[EmbeddedMetrics]:
    settings = {"uptime_threshold": 50, "retention_s": 400 * 86_400, "price": price} | options
    store = await EmbeddedMetrics.open(path, clock=clock, **settings)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[EmbeddedMetrics]:
    async with opened(path, clock) as store:
        yield store


async def calls_in(store: EmbeddedMetrics, window_s: float = 300, key: FeatureKey = CHAT) -> float | None:
    return (await store.measure([key], window_s))[key].metrics["total_requests"]


def call(id: str | None = None, **fields: Any) -> CallReport:
    return CallReport(id, **({"timestamp_ns": NOW, "outcome": "success", "duration_s": 0.1} | fields))


def table(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute(sql).fetchall()


# Samples


async def test_samples_sent_again_change_nothing(store: EmbeddedMetrics) -> None:
    app = App(start_ns=NOW - MINUTE, calls=[Done(NOW - 30 * NS, seconds=0.5, reported=0.25, model="small")])
    for _ in range(3):
        await store.write(app.samples(NOW - 5 * NS))
    figures = (await store.measure(None, 300))[CHAT].metrics
    assert figures["total_requests"] == 1
    assert figures["total_cost"] == 0.25
    assert figures["response_time"] == 500


async def test_positions_outlive_a_restart(path: Path, clock: Clock) -> None:
    app = App(start_ns=NOW - 10 * MINUTE, calls=[Done(NOW - n * NS) for n in range(1, 200)])
    for at_ns in (NOW - 100 * NS, NOW - 50 * NS, NOW - 50 * NS, NOW):
        async with opened(path, clock) as store:
            await store.write(app.samples(at_ns))
    async with opened(path, clock) as store:
        assert await calls_in(store, 1200) == 199


async def test_what_happened_while_nobody_listened_is_shared_among_its_minutes(store: EmbeddedMetrics) -> None:
    start = NOW - 2 * HOUR
    await store.write([requests(100, at_ns=NOW - HOUR, start_ns=start)])
    await store.write([requests(700, at_ns=NOW, start_ns=start)])
    points = await store.history(CHAT, "total_requests", (NOW - 50 * MINUTE) // 10**6, (NOW - MINUTE) // 10**6, 60)
    assert {value for _, value in points} == {10}
    assert await calls_in(store, 2 * 3600 + 60) == 700


async def test_a_series_that_appears_late_is_not_spread_over_the_life_of_its_process(store: EmbeddedMetrics) -> None:
    start = NOW - 10 * HOUR
    app = App(start_ns=start)
    for at_ns in (NOW - 10 * NS, NOW - 5 * NS):
        await store.write(app.samples(at_ns))
    app.calls = [Done(NOW - NS, "error", error_type="Sudden") for _ in range(20)]
    await store.write(app.samples(NOW))
    assert await store.errors(CHAT, 60) == {"Sudden": 20}
    assert await calls_in(store, 60) == 20


async def test_workers_that_share_an_instance_are_told_apart_by_their_start(store: EmbeddedMetrics) -> None:
    for seconds in (30, 25, 20, 15, 10, 5, 0):
        at_ns = NOW - seconds * NS
        for worker in range(8):
            start = NOW - MINUTE + worker
            await store.write([requests(60 - seconds, at_ns=at_ns + worker, start_ns=start)])
    assert await calls_in(store) == 8 * 60


async def test_pushes_of_the_same_time_in_parts_count_from_the_push_before(store: EmbeddedMetrics) -> None:
    start = NOW - 10 * HOUR
    await store.write([requests(5, at_ns=NOW - 5 * NS, start_ns=start)])
    await store.write([requests(6, at_ns=NOW, start_ns=start)])
    await store.write([Sample("feature_errors_total", CHAT, ("Sudden",), "one", start, NOW, 40)])
    assert await store.errors(CHAT, 60) == {"Sudden": 40}


async def test_counts_that_come_as_floating_point_stay_whole(store: EmbeddedMetrics) -> None:
    start = NOW - HOUR
    await store.write([requests(0.0, at_ns=start + NS, start_ns=start)])  # type: ignore[arg-type]  # as a client may
    await store.write([requests(1001.0, at_ns=NOW, start_ns=start)])  # type: ignore[arg-type]  # as a client may
    end = NOW // 10**6
    points = await store.history(CHAT, "total_requests", end - 59 * 60_000, end, 60)
    assert sum(value or 0 for _, value in points) == pytest.approx(1001, abs=17)
    assert await calls_in(store, 7000) == 1001


async def test_samples_that_may_have_been_counted_long_ago_are_dropped_and_counted(store: EmbeddedMetrics) -> None:
    old = NOW - 3 * DAY
    await store.write([requests(9, at_ns=old, start_ns=old - HOUR), requests(1, at_ns=NOW, start_ns=NOW - HOUR)])
    assert store.dropped_samples == 1
    assert await calls_in(store, 7 * 86_400) == 1


async def test_one_process_has_a_bounded_number_of_series(store: EmbeddedMetrics) -> None:
    many = [
        Sample("feature_errors_total", CHAT, (f"Error{n}",), "one", NOW - MINUTE, NOW, 1)
        for n in range(SERIES_LIMIT + 9)
    ]
    await store.write(many)
    assert store.dropped_samples == 9
    assert len(await store.errors(CHAT, 300)) == SERIES_LIMIT


async def test_gauges_hold_the_newest_value_of_each_process(store: EmbeddedMetrics) -> None:
    app = App(start_ns=NOW - HOUR, in_progress=4, budget=10.0, info=("Old", "team", "1"))
    other = App(instance="two", start_ns=NOW - HOUR, in_progress=5)
    gone = App(instance="gone", start_ns=NOW - HOUR, in_progress=100)
    await store.write(app.samples(NOW - 20 * NS))
    late = app.samples(NOW - 15 * NS)
    app.in_progress, app.info = 2, ("New", "team", "2")
    await store.write(app.samples(NOW - 10 * NS))
    await store.write(late)
    await store.write([*other.samples(NOW), *gone.samples(NOW - 6 * MINUTE)])
    assert await store.in_progress(None) == {CHAT: 7}
    assert (await store.info())[CHAT] == {"name": "New", "owner": "team", "version": "2", "budget_usd_per_day": "10"}


processes = st.lists(
    st.tuples(st.sampled_from([CHAT, STAGED]), st.sampled_from(["one", "two"]), st.integers(0, 1200)),
    min_size=1, max_size=4, unique_by=lambda process: process[:3],
)  # fmt: skip
pushes = st.tuples(st.integers(0, 3), st.integers(1, 400))


@settings(max_examples=60, deadline=None)
@given(processes, st.lists(pushes, max_size=20))
def test_rows_add_up_to_what_the_last_delivered_samples_say(
    processes: list[tuple[FeatureKey, str, int]], pushes: list[tuple[int, int]]
) -> None:
    # deliveries name a process and a moment of its life; what it had counted by then is a function of the moment
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    known: dict[int, int] = {}
    for number, moment in pushes:
        number %= len(processes)
        key, instance, born = processes[number]
        start = NOW - 30 * MINUTE + born * NS + number
        counted = moment * (number + 1)
        at_ns = start + moment * NS
        buckets = (counted, *(0,) * 14)
        told = [
            requests(counted, at_ns=at_ns, start_ns=start, instance=instance, key=key),
            Sample("feature_tokens_total", key, ("m", "input"), instance, start, at_ns, 3 * counted),
            Sample("feature_request_duration_seconds", key, (), instance, start, at_ns, 0.005 * counted, buckets),
        ]
        add_samples(db, Ids(), told, threshold=50, now_ns=NOW, round_=1)
        known[number] = max(known.get(number, 0), counted)
    for tier in ("fine", "minutes", "hours"):
        for key in {key for key, _, _ in processes}:
            expected = sum(count for number, count in known.items() if processes[number][0] == key)
            (k,) = db.execute("SELECT k FROM keys WHERE feature = ? AND environment = ?", key).fetchone() or (-1,)
            row = db.execute(f"SELECT SUM(success), SUM(d0), SUM(d_sum), SUM(up + down) FROM {tier} WHERE k = ?", (k,))
            success, first_bucket, total, judged = row.fetchone()
            (tokens,) = db.execute(f"SELECT SUM(v) FROM {tier}_labelled WHERE k = ?", (k,)).fetchone()
            assert (success or 0, first_bucket or 0, tokens or 0) == (expected, expected, 3 * expected)
            assert (total or 0) == pytest.approx(0.005 * expected)
            if tier != "fine":
                assert (judged or 0) == db.execute("SELECT COUNT(*) FROM minutes WHERE k = ?", (k,)).fetchone()[0]
    db.close()


# Calls told one by one


async def test_calls_are_counted_once_by_their_id(store: EmbeddedMetrics) -> None:
    assert await store.record_calls(CHAT, [call("a"), call("b"), call("a")]) == 2
    assert await store.record_calls(CHAT, [call("b"), call("c")]) == 1
    assert await store.record_calls(STAGED, [call("a")]) == 1
    assert await store.record_calls(CHAT, [call(), call()]) == 2
    assert await store.record_calls(CHAT, []) == 0
    assert await calls_in(store) == 5
    assert await calls_in(store, key=STAGED) == 1


async def test_call_ids_outlive_a_restart_for_a_day(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        await store.record_calls(CHAT, [call("a")])
    clock.now_ns += DAY - MINUTE
    async with opened(path, clock) as store:
        await store.sweep()
        assert await store.record_calls(CHAT, [call("a")]) == 0
        clock.now_ns += 2 * MINUTE
        await store.sweep()
        assert await store.record_calls(CHAT, [call("a")]) == 1


async def test_figures_of_calls_told_one_by_one(store: EmbeddedMetrics) -> None:
    await store.record_calls(
        CHAT,
        [
            call("1", model="small", tokens={"input": 900, "output": 100}, duration_s=0.3, time_to_first_token_s=0.1),
            call("2", model="small", tokens={"input": 10}, cost_usd=0.5),
            call("3", model="strange", tokens={"input": 10}),
            call("4", tokens={"input": 10}),
            call("5", outcome="error", error_type="refused"),
            call("6", outcome="error"),
            call("7", outcome="cancelled", duration_s=1000.0),
        ],
    )
    figures = (await store.measure(None, 300))[CHAT].metrics
    assert figures["total_requests"] == 7
    assert figures["error_rate"] == pytest.approx(100 * 2 / 6)
    assert figures["total_cost"] == pytest.approx(1.5)
    assert figures["response_time_p99"] == 81_920
    assert 80 <= figures["time_to_first_token_p95"] <= 160
    assert await store.errors(CHAT, 300) == {"other": 1, "refused": 1}
    small, strange, unknown = await store.costs(CHAT, 300)
    assert (small.model, small.reported_usd, small.estimated_usd, small.unpriced_requests) == ("small", 0.5, 1.0, 0)
    assert (strange.model, strange.cost_usd, strange.unpriced_requests) == ("strange", 0, 1)
    assert (unknown.model, unknown.cost_usd, unknown.unpriced_requests) == ("unknown", 0, 1)


async def test_a_list_of_calls_is_counted_wholly_or_not_at_all(store: EmbeddedMetrics) -> None:
    wrong = call("b", model="small", tokens={"input": 1, "cache_read": 2})
    with pytest.raises(BadInput, match="tokens: cache_read is more than input"):
        await store.record({CHAT: [call("a")], STAGED: [wrong]})
    assert await store.keys() == set()
    assert await store.record({CHAT: [call("a")], STAGED: [call("a")]}) == 2


@pytest.mark.parametrize("timestamp_ns", [0, NOW - 401 * DAY, NOW + 11 * MINUTE, NOW + 1000 * DAY])
async def test_a_call_that_could_not_be_kept_or_lies_ahead_is_refused(
    store: EmbeddedMetrics, timestamp_ns: int
) -> None:
    with pytest.raises(OutOfRange, match=r"timestamp: expected one after 2025-.* ahead of 2026-.*, got "):
        await store.record_calls(CHAT, [call("a"), call("b", timestamp_ns=timestamp_ns)])
    assert await store.keys() == set()


async def test_a_feature_of_calls_told_one_by_one_is_idle_for_a_day_and_then_absent(
    store: EmbeddedMetrics, clock: Clock
) -> None:
    await store.record_calls(CHAT, [call("a")])
    clock.now_ns += 20 * HOUR
    assert await calls_in(store) == 0
    clock.now_ns += 5 * HOUR
    assert await calls_in(store) is None


# Rows and their upkeep


@pytest.mark.parametrize("window_s", [1, 60, 300, 3600, 7200, 7201, 86_400, 7 * 86_400, 30 * 86_400])
@pytest.mark.parametrize("offset_s", [0, 3, 57, 1800, 3599.5])
def test_a_window_is_read_from_adjoining_rows(window_s: float, offset_s: float) -> None:
    now_ns = NOW // HOUR * HOUR + int(offset_s * NS)
    chosen = spans(window_s, now_ns)
    for one, following in itertools.pairwise(chosen):
        assert one.end == following.first
        assert one.tier.width_s < following.tier.width_s
    for span in chosen:
        assert span.first % span.tier.width_s == 0
        assert span.first < span.end
    edge = now_ns / NS - window_s
    exact_to = 5 if window_s <= 7200 else 60 if window_s <= 8 * 86_400 else 3600
    assert edge - exact_to < chosen[0].first <= edge
    assert sum((span.end - span.first) / span.tier.width_s for span in chosen[:-1]) <= 11 + 59


async def test_narrow_rows_are_forgotten_and_wide_ones_stay(path: Path, clock: Clock) -> None:
    start = NOW - 3 * MINUTE
    async with opened(path, clock, retention_s=30 * 86_400) as store:
        await store.write([requests(10, at_ns=NOW, start_ns=start)])
        await store.record_calls(CHAT, [call("a", model="small", tokens={"input": 1})])
        for days, tables in (
            (0, ["fine", "minutes", "hours"]),
            (1, ["minutes", "hours"]),
            (9, ["hours"]),
            (29, ["hours"]),
            (31, []),
        ):
            clock.now_ns = NOW + days * DAY
            await store.sweep()
            for suffix in ("", "_labelled"):
                left = [name for name in ("fine", "minutes", "hours") if table(path, f"SELECT t FROM {name}{suffix}")]
                assert left == tables
            if tables:
                assert await calls_in(store, (days + 1) * 86_400) == 11
        assert await store.keys() == {CHAT}  # its process may come back


async def test_processes_are_forgotten_after_two_days_of_hearing_nothing_of_them(path: Path, clock: Clock) -> None:
    start = NOW - MINUTE
    async with opened(path, clock, retention_s=3600) as store:
        await store.write([requests(10, at_ns=NOW, start_ns=start)])
    clock.now_ns = NOW + 5 * DAY
    async with opened(path, clock, retention_s=3600) as store:
        await store.sweep()
        await store.write([requests(12, at_ns=NOW + 5 * DAY, start_ns=start)])  # the bridge was away, not the app
        assert await calls_in(store, 5.1 * 86_400) == 12 - 10
        await store._writer.run(lambda db: db.execute("UPDATE notes SET value = value + 2890 WHERE name = 'round'"))
        clock.now_ns += DAY
        await store.sweep()
        assert await store.keys() == set()
        await store.write([requests(3, at_ns=clock.now_ns, start_ns=clock.now_ns - MINUTE)])  # numbers are not mixed up
        assert await calls_in(store) == 3


async def test_positions_of_earlier_processes_of_the_same_name_are_bounded(store: EmbeddedMetrics, path: Path) -> None:
    for number in range(100):
        start = NOW - 2 * HOUR + number * MINUTE
        await store.write([requests(5, at_ns=start + 30 * NS, start_ns=start)])
    assert await calls_in(store, 7200) == 500
    [(points,)] = table(path, "SELECT points FROM processes")
    assert len(points) < 64 * 120


async def test_a_minute_is_judged_anew_with_each_call_of_it(store: EmbeddedMetrics) -> None:
    minute = NOW // HOUR * HOUR - 20 * MINUTE
    await store.record_calls(CHAT, [call(timestamp_ns=minute - 30 * NS)])
    for outcome, uptime in (("success", 100), ("error", 50), ("error", 50), ("success", 50), ("success", 100)):
        await store.record_calls(CHAT, [call(timestamp_ns=minute + 30 * NS, outcome=outcome)])
        for window_s in (3600, 10 * 86_400):  # read from minutes, and from hours
            measured = await store.measure(None, 300, uptime_window_s=window_s)
            assert measured[CHAT].metrics["uptime"] == uptime


async def test_a_step_includes_its_end_and_not_its_beginning(store: EmbeddedMetrics) -> None:
    end = NOW // MINUTE * MINUTE
    await store.record_calls(CHAT, [call(timestamp_ns=end - MINUTE), call(timestamp_ns=end - MINUTE + 1)])
    points = await store.history(CHAT, "total_requests", (end - MINUTE) // 10**6, end // 10**6, 60)
    assert [value for _, value in points] == [1, 1]


async def test_another_uptime_threshold_judges_the_kept_minutes_anew(path: Path, clock: Clock) -> None:
    minute = NOW // MINUTE * MINUTE - 20 * MINUTE
    calls = [
        call("1", timestamp_ns=minute + NS, outcome="error"),
        *(call(f"s{n}", timestamp_ns=minute + NS) for n in range(3)),  # a quarter failed
        call("2", timestamp_ns=minute + 5 * MINUTE + NS),
    ]
    async with opened(path, clock) as store:
        await store.record_calls(CHAT, calls)
        assert (await store.measure(None, 300))[CHAT].metrics["uptime"] == 100
    for _ in range(2):
        async with opened(path, clock, uptime_threshold=20) as store:
            assert (await store.measure(None, 300))[CHAT].metrics["uptime"] == 50
            assert (await store.measure(None, 300, uptime_window_s=20 * 86_400))[CHAT].metrics["uptime"] == 50


async def test_history_from_rows_wider_than_a_step_shares_them_out(store: EmbeddedMetrics, clock: Clock) -> None:
    start = NOW - HOUR
    for at_ns in range(start + MINUTE, NOW + 1, MINUTE):
        await store.write([requests((at_ns - start) // MINUTE * 13, at_ns=at_ns, start_ns=start)])
    clock.now_ns += DAY
    end = NOW // 10**6 // 60_000 * 60_000
    by_minute = await store.history(CHAT, "total_requests", end - 50 * 60_000, end, 60)
    by_second = await store.history(CHAT, "total_requests", end - 50 * 60_000 - 45_000, end, 15)
    assert {value for _, value in by_minute} == {13}
    assert sum(value or 0 for _, value in by_second) == 51 * 13
    assert {value for _, value in by_second} <= {3, 4}
    uptime = await store.history(CHAT, "uptime", end - 50 * 60_000, end, 15)
    assert {value for _, value in uptime} == {100}


async def test_a_history_a_month_long_is_read_from_hours(store: EmbeddedMetrics, clock: Clock) -> None:
    day = NOW // DAY * DAY
    for days in range(20):
        at_ns = day - days * DAY + 10 * HOUR
        await store.record_calls(CHAT, [call(timestamp_ns=at_ns), call(timestamp_ns=at_ns, outcome="error")])
    points = await store.history(CHAT, "error_rate", (day - 18 * DAY) // 10**6, (day + DAY) // 10**6, 86_400)
    assert [value for _, value in points] == [50] * 20
    ups = await store.history(CHAT, "uptime", (day - 18 * DAY) // 10**6, (day + DAY) // 10**6, 86_400)
    assert {value for _, value in ups if value is not None} == {0}


# What goes wrong


async def test_a_full_disk_loses_nothing_and_counts_nothing_twice(store: EmbeddedMetrics) -> None:
    app = App(start_ns=NOW - MINUTE, calls=[Done(NOW - 30 * NS)])
    await store.write(app.samples(NOW - 20 * NS))
    pages = await store._writer.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    many = [sample for n in range(200) for sample in App(FeatureKey(f"f{n}", "production"), start_ns=NOW).samples(NOW)]
    app.calls.append(Done(NOW - 10 * NS))
    with pytest.raises(StoreFull, match="the disk is full"):
        await store.write([*app.samples(NOW), *many])
    with pytest.raises(StoreFull):
        await store.ping()
    assert await calls_in(store) == 1
    await store._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await store.write([*app.samples(NOW), *many])
    await store.ping()
    assert await calls_in(store) == 2
    assert len(await store.keys()) == 201


async def test_a_file_that_is_no_database_is_told(path: Path, clock: Clock) -> None:
    await asyncio.to_thread(path.write_bytes, b"this is not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Unavailable, match=r"metrics\.db: the file is corrupt"):
        async with opened(path, clock):
            pass


async def test_a_closed_store_says_so(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        pass
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.measure(None, 300)
    with pytest.raises(Unavailable, match="closed"):
        await store.write([requests(1, at_ns=NOW, start_ns=NOW - NS)])


async def test_writers_and_readers_do_not_disturb_each_other(store: EmbeddedMetrics) -> None:
    apps = [App(SEARCH, f"process {n}", NOW - MINUTE, [Done(NOW - 30 * NS)] * 5) for n in range(20)]

    async def push(app: App) -> None:
        for seconds in (20, 10, 0):
            await store.write(app.samples(NOW - seconds * NS))
            await store.measure(None, 300)

    await asyncio.gather(*map(push, apps), *(store.record_calls(CHAT, [call(f"{n}")]) for n in range(50)))
    assert await calls_in(store, key=SEARCH) == 100
    assert await calls_in(store) == 50


_CHILD = """
import asyncio, sys
from pathlib import Path
from featurewatch.model import CallReport
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from metric_samples import CHAT, NOW, NS, requests

async def main(path, first):
    store = await EmbeddedMetrics.open(path, uptime_threshold=50, retention_s=1e6, clock=lambda: NOW)
    for n in range(first, 100_000):
        at_ns = NOW - 600 * NS + n * 1_000_000
        told = CallReport(f"call {n}", at_ns, "error", 0.1)
        await asyncio.gather(
            store.write([requests(n, at_ns=at_ns, start_ns=NOW - 600 * NS)]), store.record_calls(CHAT, [told])
        )
        print(n, flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


async def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(path: Path, clock: Clock) -> None:
    tests = Path(__file__).parents[1]
    last = 0
    for _ in range(3):
        # each life begins with what the last one may have sent without an answer
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, path, str(max(1, last)),
            stdout=subprocess.PIPE, env={"PYTHONPATH": str(tests)},
        )  # fmt: skip
        assert child.stdout is not None
        acknowledged = []
        async for line in child.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == 40:
                child.send_signal(signal.SIGKILL)
        await child.wait()
        assert len(acknowledged) >= 40, "the child died by itself"
        last = acknowledged[-1]
        async with opened(path, clock) as store:
            succeeded = table(path, "SELECT SUM(success) FROM hours")[0][0]
            failed = table(path, "SELECT SUM(error) FROM hours")[0][0]
            assert await calls_in(store, 1200) == succeeded + failed
        assert succeeded in (last, last + 1)
        assert failed in (last, last + 1)


async def test_a_clock_that_was_set_back_stops_no_figures_and_counts_nothing_twice(
    store: EmbeddedMetrics, clock: Clock
) -> None:
    started = NOW - HOUR
    clock.now_ns = NOW + 5 * HOUR
    await store.write([requests(10, at_ns=clock.now_ns, start_ns=started)])
    clock.now_ns = NOW
    await store.write([requests(12, at_ns=NOW, start_ns=started)])
    assert await calls_in(store) == 2
    clock.now_ns += 5 * NS
    await store.write([requests(12, at_ns=NOW, start_ns=started), requests(15, at_ns=NOW + 5 * NS, start_ns=started)])
    assert await calls_in(store) == 5
    clock.now_ns = NOW + 5 * HOUR + MINUTE
    await store.write([requests(15, at_ns=clock.now_ns, start_ns=started)])
    assert await calls_in(store, 6 * 3600) == 15
