"""Minutes are remembered: what they say together, and how they are kept current."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.model import FeatureKey
from featurewatch.stores.prometheus_api import QueryApi
from featurewatch.stores.prometheus_uptime import AGAIN, HELD, MinuteLog, Uptimes
from featurewatch.stores.upstream import Target, Upstream

pytestmark = pytest.mark.anyio

CHAT = FeatureKey("chat", "production")
START = 30_000_000
"""A minute of 2027."""

Asked = list[tuple[int, int]]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 60), st.dictionaries(st.integers(-5, 3000), st.booleans(), max_size=9)
        ),
        max_size=12,
    ),
    st.integers(0, 3000),
    st.integers(0, 1500),
)
def test_uptime_is_the_share_of_the_judged_minutes_that_were_up(
    notes: list[tuple[int, int, dict[int, bool]]], first: int, length: int
) -> None:
    log, plain, newest = MinuteLog(), dict[int, bool](), 0
    for back, forth, verdicts in notes:
        since, until = max(1, newest - back), max(1, newest - back) + forth
        log.note(since, until, {CHAT: verdicts})
        newest = max(newest, until)
        plain = {minute: up for minute, up in plain.items() if not since <= minute <= until}
        plain |= {minute: up for minute, up in verdicts.items() if since <= minute <= until}
    plain = {minute: up for minute, up in plain.items() if minute > newest - HELD}
    judged = [up for minute, up in plain.items() if first <= minute <= first + length]
    expected = {CHAT: pytest.approx(100 * sum(judged) / len(judged))} if judged else {}
    assert log.uptimes(first, first + length) == expected


class Minutes:
    """Answers query_range with a verdict for each minute: down where its number divides by 10."""

    def __init__(self) -> None:
        self.asked: Asked = []
        self.failing = False
        self.hanging: asyncio.Event | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if self.hanging is not None:
            await self.hanging.wait()
        if self.failing:
            return httpx.Response(503, text="no")
        first, last = (round(float(form[name])) // 60 for name in ("start", "end"))
        self.asked.append((first, last))
        values = [[60 * minute, str(int(minute % 10 != 0))] for minute in range(first, last + 1)]
        result: list[dict[str, Any]] = [{"metric": CHAT._asdict(), "values": values}]
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": result}})


@asynccontextmanager
async def kept(answer: Callable[..., Any]) -> AsyncIterator[Uptimes]:
    target = Target("Prometheus", "X", "http://p", timeout_s=30)
    async with Upstream(target, transport=httpx.MockTransport(answer)) as upstream:
        uptimes = Uptimes(QueryApi(upstream), lambda: "up")
        try:
            yield uptimes
        finally:
            await uptimes.close()


def now_s(minute: int) -> float:
    return 60.0 * (START + minute) + 17.3


async def test_the_last_day_is_read_once_and_then_a_tick_brings_each_minute() -> None:
    server = Minutes()
    async with kept(server) as uptimes:
        assert await uptimes.ready(now_s(0), 1)
        assert server.asked == [(START - HELD + 1, START)]
        assert list(uptimes.wanted(now_s(0))) == []
        assert uptimes.over(now_s(0), 86_400) == {CHAT: 90}
        assert await uptimes.ready(now_s(1), 1)
        minutes = uptimes.wanted(now_s(1))
        assert list(minutes) == [START - 1, START, START + 1]
        uptimes.note({minute: {CHAT: False} for minute in minutes})
        assert list(uptimes.wanted(now_s(1))) == []
        assert uptimes.over(now_s(1), 180) == {CHAT: 0}
        assert len(server.asked) == 1


async def test_a_minute_that_no_one_called_in_is_forgotten_with_its_verdict() -> None:
    async with kept(Minutes()) as uptimes:
        await uptimes.ready(now_s(0), 1)
        uptimes.note({START - 1: {}, START: {}, START + 1: {CHAT: True}})
        assert uptimes.over(now_s(1), 180) == {CHAT: 100}
        assert uptimes.over(now_s(1), 600)[CHAT] == pytest.approx(100)


async def test_many_features_are_read_in_pieces() -> None:
    server = Minutes()
    async with kept(server) as uptimes:
        assert await uptimes.ready(now_s(0), 100)
    assert len(server.asked) == 8
    assert [first for first, _ in server.asked[1:]] == [last + 1 for _, last in server.asked[:-1]]
    assert server.asked[-1][1] == START


async def test_after_an_outage_what_is_missing_is_read() -> None:
    server = Minutes()
    async with kept(server) as uptimes:
        await uptimes.ready(now_s(0), 1)
        assert await uptimes.ready(now_s(AGAIN), 1)  # a tick brings so many
        assert len(server.asked) == 1
        assert await uptimes.ready(now_s(40), 1)
        assert server.asked[-1] == (START + 1, START + 40)
        assert uptimes.over(now_s(40), 86_400) == {CHAT: 90}


async def test_a_reading_that_fails_goes_on_where_it_was() -> None:
    server = Minutes()
    async with kept(server) as uptimes:
        server.failing = True
        assert not await uptimes.ready(now_s(0), 1)
        assert not uptimes.knows(now_s(0), 300)
        server.failing = False
        assert await uptimes.ready(now_s(0), 1)
        assert uptimes.knows(now_s(0), 86_400)
        assert not uptimes.knows(now_s(0), 86_401)
        assert uptimes.knows(now_s(1), 300)
        assert not uptimes.knows(now_s(2), 300)


async def test_a_slow_reading_holds_up_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.stores.prometheus_uptime._PATIENCE_S", 0.05)
    server = Minutes()
    server.hanging = asyncio.Event()
    async with kept(server) as uptimes:
        assert not await uptimes.ready(now_s(0), 1)
        assert not await uptimes.ready(now_s(0), 1)  # the same reading
        server.hanging.set()
        async with asyncio.timeout(20):
            while not await uptimes.ready(now_s(0), 1):
                pass
        assert len(server.asked) == 1


async def test_a_clock_that_is_set_back_begins_anew() -> None:
    server = Minutes()
    async with kept(server) as uptimes:
        await uptimes.ready(now_s(0), 1)
        assert await uptimes.ready(now_s(-600), 1)
        assert server.asked[-1] == (START - 600 - HELD + 1, START - 600)
        assert uptimes.over(now_s(-600), 86_400) == {CHAT: 90}
