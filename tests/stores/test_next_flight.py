"""Equal questions are shared, and each answer is as fresh as its question."""

from __future__ import annotations

import asyncio

import pytest

from featurewatch.stores.next_flight import NextFlight
from waiting import until

pytestmark = pytest.mark.anyio


class World:
    """A number that grows; asking for it takes until `gate` is open."""

    def __init__(self) -> None:
        self.number = 0
        self.asked = 0
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def read(self) -> int:
        self.asked += 1
        seen = self.number
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return seen


async def test_however_many_ask_two_questions_run_and_nobody_gets_what_is_older_than_the_question() -> None:
    world, flights = World(), NextFlight[int]()
    first = asyncio.create_task(flights.ask("key", world.read))
    await until(lambda: world.asked == 1)
    world.number = 1
    later = [asyncio.create_task(flights.ask("key", world.read)) for _ in range(100)]
    await asyncio.sleep(0)
    world.gate.set()
    assert await first == 0
    assert set(await asyncio.gather(*later)) == {1}
    assert world.asked == 2
    world.number = 2
    assert await flights.ask("key", world.read) == 2


async def test_different_questions_do_not_wait_for_each_other() -> None:
    world, flights = World(), NextFlight[int]()
    waiting = asyncio.create_task(flights.ask("one", world.read))
    await until(lambda: world.asked == 1)

    async def other() -> int:
        return 7

    assert await flights.ask("two", other) == 7
    world.gate.set()
    assert await waiting == 0


async def test_a_failure_is_told_to_all_who_share_it_and_to_nobody_else() -> None:
    world, flights = World(), NextFlight[int]()
    world.gate.set()
    world.failure = OSError("away")
    results = await asyncio.gather(*(flights.ask("key", world.read) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, OSError) for result in results)
    world.failure = None
    assert await flights.ask("key", world.read) == 0


async def test_who_leaves_takes_the_answer_from_nobody() -> None:
    world, flights = World(), NextFlight[int]()
    leaving, staying = (asyncio.create_task(flights.ask("key", world.read)) for _ in range(2))
    await until(lambda: world.asked == 1)
    leaving.cancel()
    await asyncio.wait([leaving])
    world.gate.set()
    assert await staying == 0
    assert leaving.cancelled()


async def test_closing_ends_what_runs() -> None:
    world, flights = World(), NextFlight[int]()
    asked = [asyncio.create_task(flights.ask("key", world.read)) for _ in range(3)]
    await until(lambda: world.asked == 1)
    await flights.close()
    await flights.close()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
