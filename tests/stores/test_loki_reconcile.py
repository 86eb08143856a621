"""What the tail lost: found by counting, fetched once, told once, or told as a gap with its count."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from featurewatch.errors import FeaturewatchError, TimedOut, TooMany, Unavailable, UpstreamError
from featurewatch.model import FeatureKey, LogEntry, LogGap, StoredLog
from featurewatch.stores import loki_counts
from featurewatch.stores import loki_reconcile as module
from featurewatch.stores.loki_arrivals import Arrivals
from featurewatch.stores.loki_counts import Counts
from featurewatch.stores.loki_memory import EVERY
from featurewatch.stores.loki_reconcile import ATTEMPTS, HOUR_S, MOST_LINES, Reconciler
from featurewatch.times import NS
from log_samples import CHAT, SEARCH, line
from waiting import until

pytestmark = pytest.mark.anyio

MINUTE_NS = 60 * NS
NOW = 1_790_000_000 * NS + 7


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every round compare all that is ever compared."""
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    monkeypatch.setattr(module, "HOUR_EVERY_S", 0.0)
    monkeypatch.setattr(module, "SHARE", 0)
    monkeypatch.setattr(module, "SHARE_OF_HOUR", 0)


class Loki:
    """What Loki holds, lines twice where it does. `failure` is what every count raises, `fetch_failure` every fetch."""

    def __init__(self) -> None:
        self.lines_held: list[LogEntry] = []
        self.failure: FeaturewatchError | None = None
        self.failure_of_width: dict[int, FeaturewatchError] = {}
        self.fetch_failure: FeaturewatchError | None = None
        self.breaks_after: int | None = None
        self.fetched: list[tuple[frozenset[str], int, int]] = []
        self.counted: list[tuple[int, int, int]] = []
        self.page = 100

    async def counts(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts:
        self.counted.append((start_ns, end_ns, width_ns))
        failure = self.failure or self.failure_of_width.get(width_ns)
        if failure is not None:
            raise failure
        return Counter(
            (entry.key, -(-entry.timestamp_ns // width_ns))
            for entry in self.lines_held
            if start_ns < entry.timestamp_ns <= end_ns and (EVERY in features or entry.feature in features)
        )

    async def lines(
        self, features: Collection[str], start_ns: int, end_ns: int
    ) -> AsyncGenerator[Sequence[LogEntry], None]:
        self.fetched.append((frozenset(features), start_ns, end_ns))
        found = sorted(
            (entry for entry in self.lines_held if start_ns < entry.timestamp_ns <= end_ns),
            key=lambda entry: entry.timestamp_ns,
        )
        for page, at in enumerate(range(0, len(found), self.page)):
            if self.fetch_failure is not None and page >= (self.breaks_after or 0):
                raise self.fetch_failure
            yield found[at : at + self.page]


class Bench:
    def __init__(self, arrivals: Arrivals, clock: Clock) -> None:
        self.arrivals = arrivals
        self.clock = clock
        self.loki = Loki()
        self.told: list[StoredLog] = []
        self.gaps: list[LogGap] = []
        self.found = 0
        self.tailed = True
        arrivals.listen(self.told.extend, self.gaps.append)
        self.reconciler = Reconciler(arrivals, self.loki, clock=clock, tailed=lambda: self.tailed, found=self._note)

    def _note(self, lines: int) -> None:
        self.found += lines

    def follow(self, *features: str, since_s: float = 900) -> None:
        self.arrivals.memory.want(set(features) - {EVERY}, self.clock(), self.arrivals.position)
        if EVERY in features:
            self.arrivals.memory.want(None, self.clock(), self.arrivals.position)
        self.arrivals.memory.take_up(features, self.clock() - int(since_s * NS))

    async def log(self, *ago_s: float, key: FeatureKey = CHAT, tailed: bool = False, held: int = 1) -> list[LogEntry]:
        """Have lines reach Loki, and the bridge too where they are `tailed`."""
        made = [line(key=key)._replace(timestamp_ns=self.clock() - int(ago * NS)) for ago in ago_s]
        self.loki.lines_held += made * held
        if tailed:
            await self.arrivals.add(made)
        return made

    def ids(self) -> list[str]:
        return [stored.entry.id for stored in self.told]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def bench(folder: Path, *features: str) -> AsyncIterator[Bench]:
    clock = Clock()
    arrivals = await Arrivals.open(folder, max_bytes=64 * 1024**2, queue_bytes=8 * 1024**2, clock=clock)
    made = Bench(arrivals, clock)
    made.follow(*(features or ("chat",)))
    try:
        yield made
    finally:
        await made.reconciler.close()
        await arrivals.close()


async def test_what_the_tail_lost_is_told_once_in_order_of_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        there = await b.log(20, 10, 5, tailed=True)
        lost = await b.log(15, 12, 11, 6)
        await b.reconciler.round()
        assert b.ids() == [entry.id for entry in there + lost]
        assert b.found == b.reconciler.stats.lines == 4
        await b.reconciler.round()
        assert len(b.told) == 7
        fetched = len(b.loki.fetched)
        await b.reconciler.round()
        assert len(b.loki.fetched) == fetched, "what agrees is not fetched"
        assert b.gaps == []


async def test_just_what_differs_is_fetched(tmp_path: Path) -> None:
    async with bench(tmp_path, "chat", "search") as b:
        await b.log(*range(5, 60), tailed=True)
        await b.log(*range(5, 60), key=SEARCH, tailed=True)
        await b.reconciler.round()
        (lost,) = await b.log(30.5, key=SEARCH)
        b.loki.fetched.clear()
        await b.reconciler.round()
        assert b.ids()[-1] == lost.id
        (features, start_ns, end_ns), *_ = b.loki.fetched
        assert features == {"search"}
        assert start_ns < lost.timestamp_ns <= end_ns
        assert end_ns - start_ns in (NS, MINUTE_NS)


async def test_what_is_younger_than_it_takes_to_arrive_is_left_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.log(0.5)
        await b.reconciler.round()
        assert b.told == []
        b.clock.now += 4 * NS
        await b.reconciler.round()
        assert len(b.told) == 1


async def test_a_line_of_half_an_hour_ago_that_came_late_and_was_lost_is_found_by_the_hour(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.follow("chat", since_s=0)
        b.arrivals.memory.covered["chat"].from_ns = NOW - HOUR_S * NS
        await b.reconciler.round()
        b.clock.now += 3 * MINUTE_NS
        (late,) = await b.log(1800)
        await b.reconciler.round()
        assert b.ids() == [late.id]


async def test_lines_that_loki_holds_twice_are_not_fetched_for_ever(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.log(10, 11, 70, tailed=True, held=2)
        await b.log(12, held=3)
        await b.reconciler.round()
        assert len(b.told) == 4
        fetched = len(b.loki.fetched)
        for _ in range(5):
            b.clock.now += NS
            await b.reconciler.round()
        assert len(b.loki.fetched) == fetched
        await b.log(13)
        await b.reconciler.round()
        assert len(b.told) == 5


async def test_nobody_is_told_of_what_nobody_wants(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.log(10, key=SEARCH)
        await b.log(10)
        await b.reconciler.round()
        assert [stored.entry.feature for stored in b.told] == ["chat"]


async def test_where_nobody_follows_anything_nothing_is_asked(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.arrivals.memory.covered.clear()
        b.reconciler.soon(NOW, NOW)
        await b.reconciler.round()
        assert b.loki.counted == []
        b.reconciler.start()
        await asyncio.sleep(0.1)
        assert b.reconciler.stats.rounds == 0


async def test_while_loki_is_away_nothing_counts_as_compared_and_all_of_it_is_fetched_then(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.reconciler.round()
        reconciled = b.arrivals.memory.reconciled_ns
        lost = []
        for _ in range(20):
            b.clock.now += MINUTE_NS
            b.loki.failure = Unavailable("Loki is away")
            lost += await b.log(30)
            with pytest.raises(Unavailable):
                await b.reconciler.round()
        assert b.arrivals.memory.reconciled_ns == reconciled
        b.loki.failure = None
        await b.reconciler.round()
        assert b.ids() == [entry.id for entry in lost]
        assert b.arrivals.memory.reconciled_ns > reconciled + 19 * MINUTE_NS


async def test_a_fetch_that_breaks_off_is_taken_up_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        lost = await b.log(*(10 + at / 1000 for at in range(300)))
        b.loki.fetch_failure, b.loki.breaks_after = Unavailable("it broke off"), 1
        with pytest.raises(Unavailable):
            await b.reconciler.round()
        b.loki.fetch_failure = None
        await b.reconciler.round()
        assert sorted(b.ids()) == sorted(entry.id for entry in lost)
        assert b.gaps == []


async def test_what_cannot_be_fetched_becomes_a_gap_with_its_count_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.log(*(10 + at / 1000 for at in range(300)))
        b.loki.fetch_failure, b.loki.breaks_after = UpstreamError("no"), 1
        failures = 0
        while not b.gaps:
            try:
                await b.reconciler.round()
            except UpstreamError:
                failures += 1
            assert failures <= 2 * ATTEMPTS
        assert len(b.told) + sum(gap.count or 0 for gap in b.gaps) == 300
        gap = b.gaps[0]
        assert (gap.feature, gap.environment, gap.reason) == ("chat", "production", "unavailable")
        assert gap.from_ns <= NOW - 10 * NS <= gap.to_ns
        b.loki.fetch_failure = None
        for _ in range(3):
            await b.reconciler.round()
        assert len(b.told) + sum(gap.count or 0 for gap in b.gaps) == 300, "each told once"
        await b.log(20)
        await b.reconciler.round()
        assert len(b.told) + sum(gap.count or 0 for gap in b.gaps) == 301


async def test_of_too_many_the_newest_are_fetched_and_the_rest_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_LINES >= 200_000
    monkeypatch.setattr(module, "MOST_LINES", 40)
    monkeypatch.setattr(loki_counts, "SPAN_LINES", 10)
    async with bench(tmp_path) as b:
        made = await b.log(*(10 + 8 * at for at in range(100)))
        await b.reconciler.round()
        assert b.gaps
        assert {gap.reason for gap in b.gaps} == {"too_many"}
        assert len(b.told) + sum(gap.count or 0 for gap in b.gaps) == 100
        assert made[0].id in b.ids(), "the newest"
        assert made[-1].id not in b.ids()


async def test_what_was_logged_before_anybody_followed_is_no_loss_but_what_is_added_to_it_is_told(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        await b.log(*range(1000, 1100))
        await b.reconciler.round()
        assert (b.told, b.gaps) == ([], [])
        # These arrive late, among lines that the bridge never looked at: it cannot tell which are new.
        await b.log(1050, 1051, 1052)
        (known,) = await b.log(1053, tailed=True)
        await b.reconciler.round()
        assert b.ids() == [known.id]
        assert sum(gap.count or 0 for gap in b.gaps) == 3
        assert {gap.reason for gap in b.gaps} == {"late"}
        await b.reconciler.round()
        assert sum(gap.count or 0 for gap in b.gaps) == 3


async def test_more_than_an_hour_without_loki_is_told_as_a_gap_that_nobody_counted(tmp_path: Path) -> None:
    async with bench(tmp_path, "chat", EVERY) as b:
        await b.reconciler.round()
        reconciled = b.arrivals.memory.reconciled_ns
        b.clock.now += 3 * HOUR_S * NS
        (recent,) = await b.log(600)
        await b.reconciler.round()
        assert {(gap.feature, gap.count) for gap in b.gaps} == {("chat", None), (None, None)}
        assert b.gaps[0].from_ns == reconciled
        assert b.clock() - 2 * HOUR_S * NS < b.gaps[0].to_ns < b.clock() - HOUR_S * NS
        assert b.ids() == [recent.id]


async def test_an_hour_that_takes_loki_too_long_does_not_hold_up_the_last_minute(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.log(10)
        b.loki.failure_of_width[MINUTE_NS] = TimedOut("it takes too long")
        await b.reconciler.round()
        assert len(b.told) == 1
        assert b.reconciler.stats.failures == 1
        assert b.arrivals.memory.reconciled_ns


async def test_what_is_asked_for_is_looked_at_again_until_all_of_it_is_old_enough(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.reconciler.round()
        b.reconciler.start()
        (lost,) = await b.log(0)
        b.reconciler.soon(lost.timestamp_ns, lost.timestamp_ns)

        async def pass_time() -> None:
            while True:
                b.clock.now += NS // 10
                await asyncio.sleep(0.05)

        passing = asyncio.create_task(pass_time())
        await until(lambda: b.told)
        passing.cancel()
        assert b.ids() == [lost.id]


async def test_a_clock_that_is_set_back_or_forward_neither_loses_nor_repeats(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        made = await b.log(10, 20, tailed=True)
        await b.reconciler.round()
        for step in (-600, 1200, -1200, 1200):
            b.clock.now += step * NS
            made += await b.log(5)
            await b.reconciler.round()
            b.clock.now += 10 * NS
            await b.reconciler.round()
        assert sorted(b.ids()) == sorted(entry.id for entry in made)


async def test_a_journal_that_is_busy_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as b:
        add, refused = b.arrivals.add, 0

        async def busy(entries: Sequence[LogEntry]) -> int:
            nonlocal refused
            if refused < 2:
                refused += 1
                raise TooMany("too much waits")
            return await add(entries)

        monkeypatch.setattr(b.arrivals, "add", busy)
        await b.log(10)
        await b.reconciler.round()
        assert len(b.told) == 1
        assert refused == 2


async def test_failures_are_told_once_and_it_goes_on_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        b.tailed = False
        b.loki.failure = Unavailable("Loki is away")
        b.reconciler.start()
        await until(lambda: b.reconciler.stats.failures >= 2)
        assert b.reconciler.problem == "Loki is away"
        b.loki.failure = None
        (lost,) = await b.log(10)
        await until(lambda: b.told)
        assert b.ids() == [lost.id]
        await until(lambda: b.reconciler.problem is None)
        assert caplog.text.count("Loki is away") == 1


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_lost_all_is_told_once(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    async with bench(tmp_path, "chat", "search") as b:
        made: list[LogEntry] = []
        for _ in range(25):
            b.clock.now += random.randrange(1, 30) * NS
            made += await b.log(
                *(random.choice((0, 1, 5, 30, 200)) * random.random() for _ in range(random.randrange(60))),
                key=random.choice((CHAT, SEARCH)),
                tailed=random.random() < 0.6,
                held=random.choice((1, 1, 1, 2)),
            )
            b.loki.failure = Unavailable("away") if random.random() < 0.3 else None
            b.loki.fetch_failure = Unavailable("away") if random.random() < 0.2 else None
            b.loki.page = random.choice((1, 7, 100))
            try:
                await b.reconciler.round()
            except Unavailable:
                assert b.loki.failure or b.loki.fetch_failure
        b.loki.failure = b.loki.fetch_failure = None
        b.clock.now += 5 * MINUTE_NS
        await b.reconciler.round()
        assert sorted(b.ids()) == sorted(entry.id for entry in made)
        assert b.gaps == []
        positions = [stored.position for stored in b.told]
        assert positions == sorted(positions)
