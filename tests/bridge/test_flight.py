from __future__ import annotations

import asyncio

import pytest

from featurewatch.bridge.flight import MAX_KEPT, SingleFlight


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Query:
    def __init__(self) -> None:
        self.runs = 0
        self.ended = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        try:
            await self.go.wait()
            return self.runs
        except asyncio.CancelledError:
            self.ended += 1
            raise


def test_identical_concurrent_queries_run_once() -> None:
    async def scenario() -> None:
        flights, query = SingleFlight(), Query()
        asked = [asyncio.create_task(flights.run("a", query)) for _ in range(20)]
        await asyncio.sleep(0)
        query.go.set()
        assert await asyncio.gather(*asked) == [1] * 20

    asyncio.run(scenario())


def test_an_answer_serves_for_a_moment_and_no_longer() -> None:
    async def scenario() -> None:
        clock, query = Clock(), Query()
        query.go.set()
        flights = SingleFlight(seconds=1, clock=clock)
        assert [await flights.run("a", query), await flights.run("a", query)] == [1, 1]
        clock.now = 1.0
        assert await flights.run("a", query) == 2
        assert await flights.run("b", query) == 3

    asyncio.run(scenario())


def test_an_answer_that_is_not_to_be_kept_is_asked_again() -> None:
    async def scenario() -> None:
        flights, query = SingleFlight(), Query()
        query.go.set()
        assert [await flights.run("a", query, keep=False), await flights.run("a", query, keep=False)] == [1, 2]

    asyncio.run(scenario())


def test_a_query_ends_when_the_last_who_waits_has_gone() -> None:
    async def scenario() -> None:
        flights, query = SingleFlight(), Query()
        first, second = (asyncio.create_task(flights.run("a", query)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        assert query.ended == 0
        second.cancel()
        await asyncio.sleep(0.01)
        assert query.ended == 1
        query.go.set()
        assert await flights.run("a", query) == 2

    asyncio.run(scenario())


def test_a_failure_is_told_to_all_and_not_kept() -> None:
    async def scenario() -> None:
        flights = SingleFlight()
        failures = iter([ValueError("no"), None])

        async def query() -> str:
            await asyncio.sleep(0)
            if (error := next(failures)) is not None:
                raise error
            return "yes"

        asked = [flights.run("a", query) for _ in range(3)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(error) for error in told] == ["no"] * 3
        assert await flights.run("a", query) == "yes"

    asyncio.run(scenario())


@pytest.mark.parametrize("elapsed", [0.0, 5.0])
def test_what_is_kept_is_bounded(elapsed: float) -> None:
    async def scenario() -> int:
        clock = Clock()
        flights, query = SingleFlight(seconds=1, clock=clock), Query()
        query.go.set()
        for number in range(3 * MAX_KEPT):
            clock.now += elapsed
            await flights.run(number, query)
        return len(flights._kept)

    assert asyncio.run(scenario()) == (1 if elapsed else MAX_KEPT)
