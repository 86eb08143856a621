"""The store over Loki where no Loki is present: one story, told to a real one and recorded, replayed to the store."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from featurewatch.errors import OutOfRange
from featurewatch.model import LEVELS, FeatureKey, Level, LogEntry
from featurewatch.stores.base import LogFilter, LogQuery
from featurewatch.stores.loki_fetch import Fetcher
from featurewatch.stores.loki_push import Pusher
from featurewatch.stores.loki_queries import LokiQueries
from featurewatch.stores.matching import matches
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS
from loki import Loki
from loki_cassette import RECORDING, Recorder, Replayer, recorded

pytestmark = pytest.mark.anyio

NOW: Final = 1_700_000_400 * NS
CHAT: Final = FeatureKey("chat", "production")
STAGED: Final = FeatureKey("chat", "staging")
TENANT: Final = "recorded"
NAME: Final = "story"

_TEXTS: Final = (
    "Timeout at 100 %", "straße MÜNCHEN", 'quote " backslash \\ newline \n tab \t', "🙂 nul\0after", "ошибка 第1章", "",
    "a\x7fb", "request failed", "\u212aelvin of ſ", "plain",
)  # fmt: skip


def lines(key: FeatureKey = CHAT) -> list[LogEntry]:
    """Lines of all kinds, three to a timestamp, whose ids are always the same."""
    return [
        LogEntry(
            f"{NOW - 60 * NS + number // 3:016x}{number:016x}",
            *key,
            NOW - 60 * NS + number // 3,
            LEVELS[number % len(LEVELS)],
            f"{_TEXTS[number % len(_TEXTS)]}",
            ("app", "api", "cPayments")[number % 3],
            f'{{"number":{number},"größe":"ÄÖ"}}' if number % 2 else None,
            f"t{number}" if number % 4 == 0 else None,
            "u\u00fc" if number % 7 == 0 else None,
        )
        for number in range(21)
    ]


@pytest.fixture(autouse=True)
def no_slice_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for must not depend on how fast this machine is."""
    monkeypatch.setattr("featurewatch.stores.loki_walk.SLOW_S", float("inf"))


@asynccontextmanager
async def opened(url: str, transport: Recorder | Replayer) -> AsyncIterator[tuple[Pusher, LokiQueries]]:
    target = Target("Loki", "FEATUREWATCH_LOKI", url, tenant=TENANT, timeout_s=60.0)
    async with Upstream(target, transport=transport) as upstream:
        pusher = Pusher(upstream, queue_bytes=64 * 1024**2)
        try:
            yield pusher, LokiQueries(Fetcher(upstream, "development"), lookback_s=4 * 86_400.0, clock=lambda: NOW)
        finally:
            await pusher.close()


async def tell(pusher: Pusher, ask: LokiQueries) -> None:
    """The story; what it asserts holds for every Loki, the recorded one too."""
    await ask.ping()
    await pusher.ping()
    assert await ask.keys() == set()
    sent, staged = lines(), lines(STAGED)[:3]
    assert await pusher.append([*sent, *staged]) == [*sent, *staged]
    assert await pusher.append(sent[:2]) == []
    with pytest.raises(OutOfRange, match="too far behind"):
        await pusher.append([sent[0]._replace(id="late", timestamp_ns=NOW - 20 * 3600 * NS)])

    for limit, direction in itertools.product((7, 1000), (None, "forward", "backward")):
        assert await paged(ask, limit, direction) == (sent[::-1] if direction == "backward" else sent)
    assert [entry async for chunk in ask.export(LogQuery(CHAT)) for entry in chunk] == sent
    assert [entry async for chunk in ask.export(LogQuery(STAGED)) for entry in chunk] == staged
    start = NOW - 60 * NS + 3
    within = [stored.entry for stored in (await ask.page(LogQuery(CHAT, start_ns=start, end_ns=start + 4))).entries]
    assert within == [entry for entry in sent if start <= entry.timestamp_ns < start + 4]

    searches = (
        "timeout", "100 %", "STRASSE", "münchen", "kelvin", "OF S", "\\ newline", '\\"', "nul\0", "🙂", "ОШИБКА", "第1",
        "payments", '"number":3', "GRÖSSE", "äö", "a\x7fb", "nowhere", "app", "request", "error", "%", "s",
    )  # fmt: skip
    chosen: list[frozenset[Level]] = [frozenset({"error"}), frozenset({"info", "fatal"})]
    filters = [LogFilter(search=text) for text in searches]
    filters += [LogFilter(levels) for levels in chosen] + [LogFilter(source=text) for text in ("app", "api", "x")]
    filters += [LogFilter(chosen[1], "api", "failed")]
    for filter in filters:
        expected = [entry for entry in sent if matches(filter, entry)]
        assert [stored.entry for stored in (await ask.page(LogQuery(CHAT, filter))).entries] == expected, filter
        counted = await ask.counts(CHAT, filter, NOW - 3600 * NS, NOW, 3600)
        assert counted == [len(expected)], filter

    page = await ask.around(sent[10].id, {CHAT}, 2)
    assert page is not None
    assert [stored.entry for stored in page.entries] == sent[8:13]
    assert await ask.around(sent[10].id, {STAGED}, 2) is None
    assert await ask.keys() == {CHAT, STAGED}


async def paged(ask: LokiQueries, limit: int, direction: Any) -> list[LogEntry]:
    found: list[LogEntry] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask.page(LogQuery(CHAT, limit=limit, cursor=cursor, direction=direction))
        entries = [stored.entry for stored in page.entries]
        found = entries + found if direction is None else found + entries
        cursor = page.next_cursor
    return found


async def test_the_story_is_as_it_was_recorded() -> None:
    replayer = Replayer(NAME)
    async with opened("http://loki.test", replayer) as (pusher, ask):
        await tell(pusher, ask)
    assert replayer.left() == 0, "the store asks for less than was recorded"


async def test_a_real_loki_answers_as_the_recorded_one(loki_of_tenants: Loki) -> None:
    """What is recorded stays true: asked anew, Loki says the same."""
    recorder = Recorder(NAME)
    async with opened(loki_of_tenants.url, recorder) as (pusher, ask):
        await tell(pusher, ask)
    if RECORDING:
        recorder.save()
    assert sorted(told["question"] for told in recorder.exchanges) == sorted(
        told["question"] for told in recorded(NAME)
    )
