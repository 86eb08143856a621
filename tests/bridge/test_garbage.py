"""The collector's pauses: none while the heap stands, one when it has grown."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from featurewatch.bridge import garbage
from featurewatch.bridge.garbage import GROWTH, LEAST_GROWTH, Collector, calm

pytestmark = pytest.mark.anyio


class Circle:
    """What reference counting alone never frees."""

    def __init__(self) -> None:
        self.itself = self


def full_looks() -> int:
    return int(gc.get_stats()[2]["collections"])


@pytest.mark.parametrize("heap", [1_000, 10_000_000])
def test_everything_is_looked_at_once_the_heap_has_grown_by_half(heap: int) -> None:
    blocks = heap
    collector = Collector(blocks=lambda: blocks)
    blocks = int(max(heap * GROWTH, heap + LEAST_GROWTH))
    assert not collector.look()
    lost = weakref.ref(Circle())
    blocks += 1
    assert collector.look()
    assert lost() is None
    assert not collector.look()


def test_what_stays_moves_the_bound() -> None:
    blocks = 1_000_000
    collector = Collector(blocks=lambda: blocks)
    blocks = 3_000_000
    assert collector.look()
    blocks = 4_000_000
    assert not collector.look()


async def test_python_itself_looks_at_everything_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_EVERY_S", 3600)
    before = gc.get_threshold()
    async with calm():
        looks = full_looks()
        # What survives the young rounds would make Python look at everything, many times over.
        kept = [[number] for number in range(1_000_000)]
        assert full_looks() == looks
        assert gc.get_stats()[1]["collections"] > 0
    assert gc.get_threshold() == before
    assert len(kept) == 1_000_000


async def test_circles_that_pile_up_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_EVERY_S", 0.01)
    async with asyncio.timeout(60), calm():
        circle = Circle()
        lost = weakref.ref(circle)
        gc.collect(1)  # it is old now: the young rounds see it no more
        del circle
        gc.collect(1)
        assert lost() is not None
        growing = []
        while lost() is not None:
            growing.append([Circle() for _ in range(10_000)])
            await asyncio.sleep(0.02)
