"""Calls told one by one, counted for Prometheus to scrape: safe before they are acknowledged, each id once."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from featurewatch import families
from featurewatch.errors import BadInput, OutOfRange, Unavailable
from featurewatch.exporter.snapshot import Snapshot
from featurewatch.model import CallReport, FeatureKey
from featurewatch.stores.call_totals import IDS_HELD_S, CallTotals
from featurewatch.stores.tally import Tally

pytestmark = pytest.mark.anyio

KEY, OTHER = FeatureKey("chat", "production"), FeatureKey("chat", "staging")
NOW = 1_771_000_000 * 10**9


def call(**given: object) -> CallReport:
    base: dict[str, object] = {"id": None, "timestamp_ns": NOW, "outcome": "success", "duration_s": 0.25}
    return CallReport(**{**base, **given})  # type: ignore[arg-type]  # a test's shorthand


def price(model: str, tokens: Mapping[str, int]) -> float | None:
    if tokens.get("cache_read", 0) > tokens.get("input", 0):
        raise ValueError("more is read from the cache than came in")
    return 0.5 if model == "known" else None


@asynccontextmanager
async def opened(folder: Path, now_ns: int = NOW) -> AsyncIterator[CallTotals]:
    totals = await CallTotals.open(folder / "calls.db", price=price, clock=lambda: now_ns)
    try:
        yield totals
    finally:
        await totals.close()


def requests(totals: CallTotals, key: FeatureKey = KEY) -> Mapping[tuple[str, ...], float]:
    (snapshot,) = [one for one in totals.snapshots() if one.key == key]
    return snapshot.numbers[families.REQUESTS.name]


async def test_calls_are_counted_and_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as totals:
        assert await totals.record({KEY: [call(), call(outcome="error", error_type="refused")], OTHER: [call()]}) == 3
        assert requests(totals) == {("success",): 1, ("error",): 1, ("cancelled",): 0}
        assert requests(totals, OTHER)[("success",)] == 1
        await totals.ping()


async def test_an_id_counts_once_for_a_day_a_restart_included(tmp_path: Path) -> None:
    async with opened(tmp_path) as totals:
        assert await totals.record({KEY: [call(id="a"), call(id="a"), call(id="b")]}) == 2
        assert await totals.record({KEY: [call(id="a")], OTHER: [call(id="a")]}) == 1
    async with opened(tmp_path, NOW + (IDS_HELD_S - 60) * 10**9) as totals:
        assert await totals.record({KEY: [call(id="a")]}) == 0
        assert requests(totals)[("success",)] == 2
    async with opened(tmp_path, NOW + (IDS_HELD_S + 120) * 10**9) as totals:
        assert await totals.record({KEY: [call(id="new")]}) == 1
        assert await totals.record({KEY: [call(id="a")]}) == 1


async def test_totals_go_on_after_a_restart(tmp_path: Path) -> None:
    told = [
        call(model="known", tokens={"input": 10, "output": 2}, time_to_first_token_s=0.1),
        call(model="strange", tokens={"input": 1}),
        call(outcome="error", error_type="refused", cost_usd=0.25, model="known"),
    ]
    async with opened(tmp_path) as totals:
        await totals.record({KEY: told})
        (before,) = totals.snapshots()
    async with opened(tmp_path) as totals:
        assert totals.snapshots() == [before]
        await totals.record({KEY: told})
        (after,) = totals.snapshots()
    for name, series in before.numbers.items():
        assert after.numbers[name] == {labels: 2 * value for labels, value in series.items()}, name
    for name, distribution in before.distributions.items():
        assert after.distributions[name].counts == tuple(2 * count for count in distribution.counts)
        assert after.distributions[name].sum == 2 * distribution.sum


def test_a_tally_is_what_it_was_once_restored() -> None:
    tally = Tally(KEY, NOW)
    for number in range(70):
        tally.add(call(outcome="error", error_type=f"e{number}", model=f"m{number}", tokens={"input": 1}), price)
    again = Tally.restore(KEY, tally.state())
    for one in (tally, again):
        one.add(call(outcome="error", error_type="one more", model="known", tokens={"input": 1}), price)
    assert _shown(again.snapshot()) == _shown(tally.snapshot())


def _shown(snapshot: Snapshot) -> object:
    return snapshot.key, snapshot.start_ns, dict(snapshot.numbers), dict(snapshot.distributions)


async def test_a_list_with_one_wrong_call_counts_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as totals:
        with pytest.raises(BadInput, match="tokens"):
            await totals.record({KEY: [call(id="a"), call(model="known", tokens={"input": 1, "cache_read": 2})]})
        with pytest.raises(OutOfRange, match="10 minutes ahead"):
            await totals.record({KEY: [call(id="a"), call(timestamp_ns=NOW + 3600 * 10**9)]})
        assert totals.snapshots() == []
        assert await totals.record({KEY: [call(id="a")]}) == 1


async def test_many_at_once_are_counted_each_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as totals:
        new = await asyncio.gather(*(totals.record({KEY: [call(id=str(n % 50)), call()]}) for n in range(200)))
        assert sum(new) == 250
        assert requests(totals)[("success",)] == 250


async def test_a_write_that_fails_is_no_count(tmp_path: Path) -> None:
    async with opened(tmp_path) as totals:
        await totals.record({KEY: [call(id="a")]})
        locker = sqlite3.connect(tmp_path / "calls.db")
        locker.execute("CREATE TRIGGER full BEFORE INSERT ON totals BEGIN SELECT RAISE(ABORT, 'full'); END")
        locker.commit()
        with pytest.raises(Unavailable):
            await totals.record({KEY: [call(id="b"), call()]})
        assert requests(totals)[("success",)] == 1
        locker.execute("DROP TRIGGER full")
        locker.commit()
        locker.close()
        assert await totals.record({KEY: [call(id="b"), call()]}) == 2
        assert requests(totals)[("success",)] == 3


async def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match=r"calls\.db"):
        await CallTotals.open(tmp_path / "calls.db", price=price)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from featurewatch.model import CallReport, FeatureKey
        from featurewatch.stores.call_totals import CallTotals

        async def main() -> None:
            totals = await CallTotals.open(Path(sys.argv[1]), price=lambda *_: None)
            key, number = FeatureKey("chat", "production"), 0
            while True:
                number += await totals.record({key: [CallReport(str(number), 0, "success", 1.0)]})
                print(number, flush=True)

        asyncio.run(main())
    """)
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "calls.db")], stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = int(running.stdout.readline())
    os.kill(running.pid, signal.SIGKILL)
    rest = running.stdout.read().split()
    running.wait()
    running.stdout.close()
    acknowledged = int(rest[-1]) if rest else acknowledged

    async def counted() -> float:
        async with opened(tmp_path) as totals:
            return requests(totals)[("success",)]

    assert asyncio.run(counted()) in (acknowledged, acknowledged + 1)
