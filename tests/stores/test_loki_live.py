"""The live half as a whole: features taken up, history that meets live lines, resumption, a journal that is full."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from featurewatch.errors import FeaturewatchError, StoreFull, Unavailable
from featurewatch.model import FeatureKey, LogEntry, LogGap, StoredLog
from featurewatch.stores import loki_live as module
from featurewatch.stores import loki_reconcile, loki_tail
from featurewatch.stores.loki_arrivals import Arrivals
from featurewatch.stores.loki_counts import Counts
from featurewatch.stores.loki_live import LokiLive
from featurewatch.stores.loki_memory import EVERY
from featurewatch.stores.upstream import Target
from featurewatch.times import NS
from log_samples import CHAT, SEARCH, line
from stores.fake_tail import FakeTail, frame, running
from waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loki_tail, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(loki_tail, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(loki_tail, "OVERLAP_S", 0.05)
    monkeypatch.setattr(loki_reconcile, "WITHOUT_TAIL_S", 0.05)
    monkeypatch.setattr(module, "TAIL_WAIT_S", 0.2)


class Held:
    """What Loki holds, and answers with. `failure` is what every question raises."""

    def __init__(self) -> None:
        self.lines_held: list[LogEntry] = []
        self.failure: FeaturewatchError | None = None
        self.newest_asked: list[frozenset[str]] = []
        self.queries: dict[str, int] = {}

    async def counts(self, features: Collection[str], start_ns: int, end_ns: int, width_ns: int) -> Counts:
        return Counter((one.key, -(-one.timestamp_ns // width_ns)) for one in self._of(features, start_ns, end_ns))

    async def lines(
        self, features: Collection[str], start_ns: int, end_ns: int
    ) -> AsyncGenerator[Sequence[LogEntry], None]:
        yield self._of(features, start_ns, end_ns)

    async def newest(self, features: Collection[str], start_ns: int, end_ns: int) -> tuple[Sequence[LogEntry], int]:
        self.newest_asked.append(frozenset(features))
        return self._of(features, start_ns - 1, end_ns), start_ns

    def _of(self, features: Collection[str], start_ns: int, end_ns: int) -> list[LogEntry]:
        if self.failure is not None:
            raise self.failure
        found = [one for one in self.lines_held if EVERY in features or one.feature in features]
        return sorted((one for one in found if start_ns < one.timestamp_ns <= end_ns), key=lambda one: one.timestamp_ns)


class Bench:
    def __init__(self, live: LokiLive, held: Held, loki: FakeTail, arrivals: Arrivals) -> None:
        self.live = live
        self.held = held
        self.loki = loki
        self.arrivals = arrivals
        self.told: list[StoredLog] = []
        self.gaps: list[LogGap] = []
        live.listen(self.told.extend, self.gaps.append)

    @property
    def messages(self) -> list[str]:
        return [stored.entry.message for stored in self.told]

    @property
    def readings(self) -> dict[str, Any]:
        return {name.removeprefix("featurewatch_loki_"): dict(values) for name, _, _, values in self.live.readings()}

    def log(self, message: str, *, ago_s: float = 0.0, key: FeatureKey = CHAT) -> LogEntry:
        made = line(message, key=key)._replace(timestamp_ns=time.time_ns() - int(ago_s * NS))
        self.held.lines_held.append(made)
        return made


@asynccontextmanager
async def bench(
    folder: Path, *, loki: FakeTail | None = None, held: Held | None = None, timeout_s: float = 10.0
) -> AsyncIterator[Bench]:
    held = held or Held()
    async with running(loki) as served:
        arrivals = await Arrivals.open(folder, max_bytes=64 * 1024**2, queue_bytes=8 * 1024**2, clock=time.time_ns)
        target = Target("Loki", "FEATUREWATCH_LOKI", served.url, timeout_s=timeout_s)
        live = LokiLive(target, held, arrivals, "production", time.time_ns)  # type: ignore[arg-type]  # stands in
        try:
            yield Bench(live, held, served, arrivals)
        finally:
            await live.close()
            await live.close()


async def test_a_feature_that_is_wanted_is_tailed_and_its_history_is_no_news(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.log("of before", ago_s=60)
        assert b.readings["tails_open"] == {(): 0}
        b.live.want({"chat"})
        await b.live.ready("chat")
        assert b.loki.asked == ['{feature=~"chat"}']
        new = b.log("new")
        await b.loki.say(frame(new))
        await until(lambda: b.told)
        assert b.messages == ["new"]
        b.live.want({"chat"})
        await asyncio.sleep(0.1)
        assert len(b.loki.asked) == len(b.held.newest_asked) == 1, "who wants it still is no news"


async def test_history_and_live_meet_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        old = b.log("hours ago", ago_s=7200)
        before = b.log("a minute ago", ago_s=60)
        b.live.want({"chat"})
        await b.live.ready("chat")
        heard = b.log("heard")
        await b.loki.say(frame(heard))
        await until(lambda: b.told)
        upto = b.told[-1].position
        under_way = b.log("under way")
        page = await b.live.meet(CHAT, [old, before, heard, under_way])
        assert [stored.entry for stored in page] == [old, before, heard, under_way]
        assert [stored.position for stored in page][:3] == [0, 0, upto]
        assert page[3].position > upto, "it comes live, and not with the history"
        assert b.messages == ["heard", "under way"]
        await b.loki.say(frame(under_way))
        await b.loki.say(frame(b.log("next")))
        await until(lambda: "next" in b.messages)
        assert b.messages == ["heard", "under way", "next"]


async def test_lines_that_were_pushed_from_here_are_told_at_once_and_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.live.appended([line("nobody wants it")])
        b.live.want({"chat"})
        await b.live.ready("chat")
        mine = b.log("mine")
        await b.live.appended([mine, b.log("another's", key=SEARCH)])
        assert b.messages == ["mine"]
        await b.loki.say(frame(mine, b.log("theirs")))
        await until(lambda: len(b.told) == 2)
        assert b.messages == ["mine", "theirs"]
        assert b.readings["lines_total"][("by", "append"),] == 1


async def test_what_the_tail_said_it_dropped_is_fetched(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        lost = b.log("lost")
        await b.loki.say(frame(b.log("heard"), dropped=1))
        await until(lambda: len(b.told) == 2)
        assert sorted(b.messages) == ["heard", lost.message]
        assert b.readings["lines_total"][("by", "reconciliation"),] == 1


async def test_features_of_one_moment_are_taken_up_together(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for number in range(20):
            b.live.want({f"f{number}"})
        for number in range(20):
            await b.live.ready(f"f{number}")
        assert len(b.held.newest_asked) <= 2
        assert b.loki.most <= 2


async def test_all_features_are_one_selector_and_what_nobody_wants_is_left_out(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.live.want({f"f{number}" for number in range(300)})
        await b.live.ready("f0")
        assert b.loki.asked[-1] == '{feature=~".+"}', "too many to be named"
        await b.loki.say(frame(b.log("not wanted"), b.log("wanted", key=CHAT._replace(feature="f7"))))
        await until(lambda: b.told)
        assert b.messages == ["wanted"]
        b.live.want(None)
        await b.live.ready("chat")
        await b.loki.say(frame(b.log("wanted now")))
        await until(lambda: len(b.told) == 2)


async def test_while_loki_does_not_answer_history_says_so_and_what_came_meanwhile_is_told_then(tmp_path: Path) -> None:
    held = Held()
    held.failure = Unavailable("Loki is away")
    async with bench(tmp_path, loki=FakeTail(refusal=HTTPStatus.SERVICE_UNAVAILABLE), held=held, timeout_s=0.3) as b:
        b.live.want({"chat"})
        with pytest.raises(Unavailable, match="live lines cannot be had"):
            await b.live.ready("chat")
        b.log("of before", ago_s=60)
        b.log("meanwhile")
        held.failure, b.loki.refusal = None, None
        await until(lambda: b.told)
        assert b.messages == ["meanwhile"]


async def test_where_no_tail_may_be_opened_counting_alone_finds_the_lines(tmp_path: Path) -> None:
    async with bench(tmp_path, loki=FakeTail(refusal=HTTPStatus.TOO_MANY_REQUESTS)) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        b.log("found")
        await until(lambda: b.told)
        assert b.messages == ["found"]
        assert b.readings["tails_open"] == {(): 0}
        assert b.readings["tail_failures_total"][()] >= 1


async def test_a_tail_that_is_silent_while_there_are_lines_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    monkeypatch.setattr(loki_reconcile, "EVERY_S", 0.1)
    async with bench(tmp_path) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        b.log("not by the tail")
        await until(lambda: b.told and len(b.loki.asked) >= 2)


async def test_a_restart_goes_on_with_what_was_wanted(tmp_path: Path) -> None:
    held = Held()
    async with bench(tmp_path, held=held) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        await b.loki.say(frame(b.log("one")))
        await until(lambda: b.told)
        position = b.told[-1].position
    held.lines_held.append(line("while away")._replace(timestamp_ns=time.time_ns()))
    async with bench(tmp_path, held=held) as b:
        await until(lambda: b.told)
        assert b.messages == ["while away"]
        assert b.live.lost(position, {"chat"}) is None
        assert [stored.entry.message for stored in await b.live.since(position, {CHAT}, 10)] == ["while away"]
        assert b.live.lost(position, {"search"}) == "not_followed"
        await until(lambda: b.loki.asked)


async def test_what_the_journal_cannot_take_is_fetched_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        add, full = b.arrivals.add, True

        async def fill(entries: Sequence[LogEntry]) -> int:
            if full:
                raise StoreFull("the disk is full")
            return await add(entries)

        monkeypatch.setattr(b.arrivals, "add", fill)
        await b.loki.say(frame(b.log("too much")))
        await until(lambda: b.readings["untaken_lines_total"][()] == 1)
        full = False
        await until(lambda: b.told)
        assert b.messages == ["too much"]


async def test_readiness_speaks_of_lines_that_could_not_be_compared_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAG_S", 0.0)
    async with bench(tmp_path) as b:
        await b.live.ping()
        b.live.want({"chat"})
        await b.live.ready("chat")
        await until(lambda: b.readings["comparisons_total"][()] >= 1 and b.arrivals.memory.reconciled_ns)
        await b.live.ping()
        b.held.failure = Unavailable("Loki is away")
        await until(lambda: b.readings["comparison_failures_total"][()] >= 1)
        with pytest.raises(Unavailable, match=r"live lines lag by .*Loki is away"):
            await b.live.ping()


async def test_what_nobody_wants_any_more_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    async with bench(tmp_path) as b:
        b.live.want({"chat"})
        await b.live.ready("chat")
        b.arrivals.memory.covered["chat"].wanted_ns -= 3600 * NS
        await until(lambda: not b.loki.open)
        assert b.arrivals.memory.covered == {}
        assert b.readings["features"] == {(): 0}
