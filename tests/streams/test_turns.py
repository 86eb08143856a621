"""Turns at writing: bounded in each round of the loop, first come, first served."""

from __future__ import annotations

import asyncio

import pytest

from featurewatch.streams.messages import PARCEL_BYTES
from featurewatch.streams.turns import Turns
from waiting import until

pytestmark = pytest.mark.anyio

SIZE = 4 * PARCEL_BYTES


async def test_while_little_is_written_nobody_waits() -> None:
    turns = Turns(SIZE)
    for _ in range(100):
        assert turns.free
        turns.spend(SIZE // 2)
        await asyncio.sleep(0)


async def test_in_one_round_no_more_is_written_than_a_turn_has() -> None:
    turns, order, rounds = Turns(SIZE), [], []

    async def write(number: int) -> None:
        for _ in range(3):
            if not turns.free:
                await turns.wait()
            turns.spend(PARCEL_BYTES)
            order.append(number)

    writers = [asyncio.create_task(write(number)) for number in range(20)]
    while not all(writer.done() for writer in writers):
        before = len(order)
        await asyncio.sleep(0)
        rounds.append(len(order) - before)
    assert len(order) == 60
    assert max(rounds) <= 2 * SIZE // PARCEL_BYTES, "what was left of one turn and the next"
    assert max(rounds) < 60
    first = {number: order.index(number) for number in range(20)}
    assert sorted(first, key=first.__getitem__) == list(range(20)), "first come, first served"


async def test_one_who_left_takes_no_turn() -> None:
    turns = Turns(PARCEL_BYTES)
    turns.spend(PARCEL_BYTES)
    gone, here = asyncio.create_task(turns.wait()), asyncio.create_task(turns.wait())
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.timeout(5):
        await here
    assert gone.cancelled()
    await until(lambda: turns.free)
