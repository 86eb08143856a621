"""The journal of what came from Loki: numbered, once each, told or noted in silence, found again after a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from featurewatch.model import FeatureKey, LogEntry, LogGap, StoredLog
from featurewatch.stores.loki_arrivals import Arrivals
from featurewatch.times import NS
from log_samples import CHAT, SEARCH, line
from waiting import until

pytestmark = pytest.mark.anyio

MIB = 1024**2


@asynccontextmanager
async def opened(folder: Path, *, max_bytes: int = 64 * MIB) -> AsyncIterator[Arrivals]:
    arrivals = await Arrivals.open(folder, max_bytes=max_bytes, queue_bytes=8 * MIB, clock=time.time_ns)
    try:
        yield arrivals
    finally:
        await arrivals.close()


class Listener:
    def __init__(self, arrivals: Arrivals) -> None:
        self.lines: list[StoredLog] = []
        self.gaps: list[LogGap] = []
        self.end = arrivals.listen(self._hear, self.gaps.append)

    def _hear(self, batch: Sequence[StoredLog]) -> None:
        self.lines += batch

    @property
    def messages(self) -> list[str]:
        return [stored.entry.message for stored in self.lines]


def now(message: str, *, ago_s: float = 0, key: FeatureKey = CHAT) -> LogEntry:
    return line(message, key=key)._replace(timestamp_ns=time.time_ns() - int(ago_s * NS))


async def test_each_line_is_told_once_in_order_of_arrival(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        listener = Listener(arrivals)
        one, two, three = now("one"), now("two", ago_s=600), now("three")
        assert await arrivals.add([one, two]) == 2
        assert await arrivals.add([two, three, one]) == 1
        assert listener.messages == ["one", "two", "three"]
        positions = [stored.position for stored in listener.lines]
        assert positions == sorted(positions)
        assert arrivals.position == positions[-1] == await arrivals.last_position()
        assert await arrivals.since(positions[0], {CHAT}, 10) == listener.lines[1:]
        assert await arrivals.positions(CHAT, [three.id, "never"]) == {three.id: positions[2]}
        listener.end()
        listener.end()
        await arrivals.add([now("four")])
        assert listener.messages == ["one", "two", "three"]


async def test_what_completes_a_history_is_noted_and_never_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        listener = Listener(arrivals)
        asked = time.time_ns()
        before = arrivals.position
        arrivals.memory.want({"chat"}, asked, before)
        old, late = now("old", ago_s=60), now("late", ago_s=60)
        new = now("new")
        await arrivals.add([old, new])
        assert listener.messages == ["new"]
        assert arrivals.position == listener.lines[0].position
        assert [stored.entry.message for stored in await arrivals.since(before, {CHAT}, 10)] == ["new"]
        assert old.id in await arrivals.positions(CHAT, [old.id])
        arrivals.memory.take_up(["chat"], asked - 900 * NS)
        await arrivals.add([old, late])
        assert listener.messages == ["new", "late"]


async def test_silent_lines_do_not_cut_a_page_short(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        before = arrivals.position
        arrivals.memory.want({"chat"}, time.time_ns(), before)
        await arrivals.add([now("old", ago_s=60) for _ in range(50)])
        await arrivals.add([now(f"new {number}") for number in range(30)])
        page = await arrivals.since(before, None, 20)
        assert [stored.entry.message for stored in page] == [f"new {number}" for number in range(20)]
        rest = await arrivals.since(page[-1].position, None, 20)
        assert [stored.entry.message for stored in rest] == [f"new {number}" for number in range(20, 30)]


async def test_lines_are_counted_by_second_and_minute(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        lines = [now("a"), now("b", ago_s=600), now("c", key=SEARCH)]
        await arrivals.add(lines)
        await arrivals.add(lines)
        seconds, minutes = arrivals.seconds, arrivals.minutes
        for entry in lines:
            assert seconds.ours(entry.key, seconds.bucket(entry.timestamp_ns)) == 1
            assert minutes.ours(entry.key, minutes.bucket(entry.timestamp_ns)) == 1
        arrivals.forget()
        assert seconds.ours(CHAT, seconds.bucket(lines[1].timestamp_ns)) == 0, "too far back to be compared by seconds"
        assert minutes.ours(CHAT, minutes.bucket(lines[1].timestamp_ns)) == 1


async def test_a_restart_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    lines = [now(str(number)) for number in range(3)]
    async with opened(tmp_path) as arrivals:
        start = arrivals.position
        arrivals.memory.want({"chat"}, time.time_ns(), start)
        await arrivals.add([now("old", ago_s=60)])
        arrivals.memory.take_up(["chat"], 0)
        await arrivals.add(lines)
        arrivals.lose("chat", "production", "late", 4, 1, 2)
        arrivals.memory.reconciled_ns = 77
        arrivals.changed()
        position = arrivals.position
    async with opened(tmp_path) as arrivals:
        listener = Listener(arrivals)
        assert arrivals.position == position
        assert arrivals.memory.reconciled_ns == 77
        assert arrivals.minutes.ours(CHAT, arrivals.minutes.bucket(lines[0].timestamp_ns)) >= 3
        assert await arrivals.add(lines) == 0
        assert [stored.entry for stored in await arrivals.since(start, {CHAT}, 10)] == lines
        assert arrivals.lost(start, {"chat"}) is None
        assert arrivals.lost(start, {"search"}) == "not_followed"
        assert [gap.count for gap in arrivals.gaps(start, {CHAT})] == [4]
        await arrivals.add([now("new")])
        assert listener.lines[0].position > position


async def test_a_gap_stands_after_the_lines_before_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        listener = Listener(arrivals)
        await arrivals.add([now("one")])
        arrivals.lose("chat", None, "late", 2, 5, 9)
        assert listener.gaps == [LogGap(arrivals.position, "chat", None, "late", 2, 5, 9)]
        assert arrivals.lost_by_reason == {"late": 1}
        assert arrivals.gaps(arrivals.position + 1, None) == []


async def test_the_memory_is_written_down_while_it_runs(tmp_path: Path) -> None:
    async with opened(tmp_path) as arrivals:
        arrivals.memory.want({"chat"}, time.time_ns(), 0)
        arrivals.changed()
        await until((tmp_path / "arrivals.json").exists)
        assert "chat" in json.loads((tmp_path / "arrivals.json").read_text())["covered"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 9}', b"\xff\xfe"])
async def test_a_memory_that_cannot_be_read_is_begun_anew(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as arrivals:
        arrivals.memory.want({"chat"}, time.time_ns(), 0)
        await arrivals.add([now("one")])
    (tmp_path / "arrivals.json").write_bytes(damage)
    async with opened(tmp_path) as arrivals:
        assert arrivals.memory.covered == {}
        assert arrivals.lost(arrivals.position, {"chat"}) == "not_followed"
    assert "arrivals.json cannot be read" in caplog.text


async def test_a_journal_that_is_damaged_is_set_aside_and_nobody_resumes_from_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as arrivals:
        arrivals.memory.want({"chat"}, time.time_ns(), arrivals.position)
        arrivals.memory.take_up(["chat"], 0)
        await arrivals.add([now("one")])
        before = arrivals.position
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"arrivals.db{suffix}").write_bytes(b"no database at all" * 1000)
    async with opened(tmp_path) as arrivals:
        assert arrivals.position > before, "positions never run backward"
        assert arrivals.lost(before, {"chat"}) == "expired"
        assert arrivals.memory.pending() == ["chat"], "it is taken up again"
        await arrivals.add([now("two")])
    assert (tmp_path / "arrivals.db.bad").exists()
    assert "begun anew" in caplog.text


async def test_what_the_journal_had_to_let_go_is_no_longer_known_by_its_id(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=10 * MIB) as arrivals:
        assert arrivals.kept_since_ns == 0
        first = now("first")
        await arrivals.add([first])
        start = arrivals.position
        text = "x" * 20_000
        deadline = time.monotonic() + 60
        while arrivals.lost(start, set()) is None:
            assert time.monotonic() < deadline
            await arrivals.add([now(text) for _ in range(100)])
        assert arrivals.lost(start, set()) == "expired"
        assert first.timestamp_ns <= arrivals.kept_since_ns <= time.time_ns()


async def test_a_listener_that_fails_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    failures: list[object] = []
    async with opened(tmp_path) as arrivals:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

        def fail(_: object) -> None:
            raise RuntimeError("broken")

        arrivals.listen(fail, fail)
        listener = Listener(arrivals)
        await arrivals.add([now("one")])
        arrivals.lose(None, None, "late", None, 0, 1)
        assert listener.messages == ["one"]
        assert len(listener.gaps) == 1
        assert len(failures) == 2
