"""Commits handed on in slices: in order, with gaps in their place, while others have their turn."""

from __future__ import annotations

import asyncio

import pytest

from featurewatch.model import LogGap, StoredLog
from featurewatch.streams import publisher as module
from featurewatch.streams.publisher import SLICE, Pressure, Publisher
from streams.fakes import entry
from waiting import until

pytestmark = pytest.mark.anyio


def lines(first: int, count: int) -> list[StoredLog]:
    return [StoredLog(number, entry(number)) for number in range(first, first + count)]


def gap(position: int) -> LogGap:
    return LogGap(position, "summarize", None, "late", 3, 0, 1)


class Heard:
    """What was published, in order: positions of lines, and gaps as negative ones."""

    def __init__(self, pressure: Pressure = "none") -> None:
        self.order: list[int] = []
        self.slices: list[int] = []
        self.commits: list[int] = []
        self.pressure: Pressure = pressure
        self.asked = 0
        self.publisher = Publisher(self._publish, lambda gap: self.order.append(-gap.position), self._say)

    def _publish(self, batch: object, commit: int) -> None:
        positions = [line.position for line in batch]  # type: ignore[attr-defined]  # lines
        self.order += positions
        self.slices.append(len(positions))
        self.commits.append(commit)

    def _say(self) -> Pressure:
        self.asked += 1
        return self.pressure

    async def all(self) -> None:
        await until(lambda: self.publisher.idle)


async def test_a_small_commit_is_published_at_once() -> None:
    heard = Heard()
    heard.publisher.lines(lines(1, SLICE))
    heard.publisher.gap(gap(SLICE))
    heard.publisher.lines([])
    assert heard.order == [*range(1, SLICE + 1), -SLICE]
    assert heard.publisher.idle


async def test_a_large_one_comes_in_slices_between_which_others_run() -> None:
    heard = Heard()
    heard.publisher.lines(lines(1, 3 * SLICE + 1))
    assert heard.order == []
    assert heard.publisher.waiting == 3 * SLICE + 1
    seen = []
    while not heard.publisher.idle:
        seen.append(len(heard.slices))
        await asyncio.sleep(0)
    assert {1, 2, 3} <= set(seen), "something else ran after each slice"
    assert heard.slices == [SLICE, SLICE, SLICE, 1]
    assert set(heard.commits) == {3 * SLICE + 1}
    assert heard.publisher.waiting == 0


async def test_what_comes_meanwhile_waits_behind_it() -> None:
    heard = Heard()
    heard.publisher.lines(lines(1, SLICE + 1))
    heard.publisher.lines(lines(SLICE + 2, 1))
    heard.publisher.gap(gap(SLICE + 2))
    heard.publisher.lines(lines(SLICE + 3, 2))
    assert heard.order == []
    await heard.all()
    assert heard.order == [*range(1, SLICE + 3), -(SLICE + 2), SLICE + 3, SLICE + 4]


async def test_a_fault_of_one_slice_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    def publish(batch: object, commit: int) -> None:
        if not told:
            told.append(0)
            raise RuntimeError("broken")
        told.append(commit)

    publisher = Publisher(publish, lambda _: None, lambda: "none")
    publisher.lines(lines(1, 2 * SLICE))
    await until(lambda: publisher.idle)
    assert told == [0, 2 * SLICE]
    assert "publishing failed" in caplog.text


@pytest.mark.parametrize("pressure", ["busy", "slow"])
async def test_clients_with_much_before_them_are_waited_for_a_while(
    pressure: Pressure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    monkeypatch.setattr(module, "SLOW_S", 0.05)
    heard = Heard(pressure)
    heard.publisher.lines(lines(1, 2 * SLICE))
    await heard.all()
    assert heard.asked > 1
    assert heard.slices == [SLICE, SLICE]


async def test_where_very_much_waits_slow_clients_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HURRY", SLICE)
    monkeypatch.setattr(module, "SLOW_S", 3600.0)
    heard = Heard("slow")
    heard.publisher.lines(lines(1, 4 * SLICE))
    await until(lambda: len(heard.slices) >= 3)
    heard.pressure = "none"
    await heard.all()
    assert heard.order == list(range(1, 4 * SLICE + 1))


async def test_stopped_it_publishes_nothing_more() -> None:
    heard = Heard()
    heard.publisher.lines(lines(1, 10 * SLICE))
    heard.publisher.stop()
    for _ in range(20):
        await asyncio.sleep(0)
    assert heard.order == []
