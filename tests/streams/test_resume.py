"""From history to live and through reconnects: each line exactly once, in order of arrival, or counted by a gap."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurewatch.errors import Unavailable
from featurewatch.model import LEVELS, FeatureKey, Level, LogGap, StoredLog
from featurewatch.streams import catchup
from featurewatch.streams.positions import Position, parse
from featurewatch.times import NS
from streams.fakes import KEY, START_NS, FakeWebSocket, entry
from streams.rig import Rig, running

CHAT = FeatureKey("chat", "production")
FEATURES = ("summarize", "chat")

# Each action and its number: of lines, of frames, or (odd) whether the position goes into the URL.
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "commit", "tell", "event", "tick", "read", "reconnect", "drop", "stick"]),
        st.integers(1, 40),
    ),
    min_size=20,
    max_size=60,
)


@dataclass
class Reader:
    """A client that remembers the id of the last message it has read, as the documentation tells clients to."""

    rig: Rig
    feature: str
    levels: list[Level]
    socket: FakeWebSocket | None = None
    last_id: str = ""
    lines: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    lost: int = 0

    def connect(self, *, by_url: bool) -> None:
        if self.socket is not None:
            return
        self.socket = self.rig.connect(self.feature, after=self.last_id)
        filters: dict[str, Any] = {"filters": {"levels": self.levels}}
        if self.last_id and not by_url:
            filters["after"] = self.last_id
        self.socket.say("subscribe_logs", **filters)

    async def read(self, count: int | None) -> None:
        await self.rig.settle()
        if self.socket is None:
            return
        for message in self.socket.take(count):
            self.hear(message)

    def hear(self, message: Any) -> None:
        self.last_id = message.get("id", self.last_id)
        match message["type"]:
            case "log_history":
                self.lines += [line["id"] for line in message["data"]]
            case "log_entry":
                self.lines.append(message["data"]["id"])
            case "test_result":
                self.events.append(message["data"]["id"])
            case "gap":
                assert message["data"]["reason"] == "slow_consumer"
                self.lost += message["data"]["count"]

    async def drop(self) -> None:
        """Lose the connection, and with it what was sent and not read."""
        if self.socket is not None:
            self.socket.unstick()
            self.socket.leave()
            await self.rig.ended(self.socket)
            self.socket = None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    actions=ACTIONS,
    levels=st.sets(st.sampled_from(LEVELS)),
    feature=st.sampled_from(["summarize", "*"]),
    slow=st.booleans(),
    random=st.integers(0, 2**32).map(Random),
)
def test_each_matching_line_comes_once_in_order_of_arrival_or_is_counted_by_a_gap(
    actions: list[tuple[str, int]], levels: set[Level], feature: str, slow: bool, random: Random
) -> None:
    # A gap of two features is told by two messages: cut between them, what the first one told is sent again.
    slow = slow and feature != "*"
    asyncio.run(_play(actions, sorted(levels), feature, slow, random))


async def _play(actions: list[tuple[str, int]], levels: list[Level], feature: str, slow: bool, random: Random) -> None:
    async with running(features=FEATURES, queue_bytes=4_000 if slow else 1024**2) as rig:
        reader = Reader(rig, feature, levels)
        untold: deque[list[StoredLog]] = deque()
        made = 0
        # Some lines are there before the client comes first, some of them not told yet.
        for count in (random.randrange(70), random.randrange(5)):
            untold.append(rig.logs.commit([entry(number) for number in range(made, made + count)]))
            made += count
        rig.logs.tell(untold.popleft())
        reader.connect(by_url=True)
        await reader.read(None)
        first = reader.lines[0] if reader.lines else None
        for action, number in actions:
            match action:
                case "publish" | "commit":
                    batch = [
                        entry(made + index, random.choice((KEY, CHAT)), level=random.choice(LEVELS))
                        for index in range(number)
                    ]
                    made += number
                    untold.append(rig.logs.commit(batch))
                    # What is committed is told in its order, now or later.
                    while action == "publish" and untold:
                        rig.logs.tell(untold.popleft())
                case "tell":
                    if untold:
                        rig.logs.tell(untold.popleft())
                case "event":
                    await rig.state.record_event(KEY, "test_result", rig.clock(), {})
                case "tick":
                    await rig.tick()
                case "read":
                    await reader.read(number)
                case "drop":
                    await reader.drop()
                case "reconnect":
                    await reader.drop()
                    reader.connect(by_url=number % 2 == 1)
                case "stick":
                    if reader.socket is not None and slow:
                        reader.socket.stick()
        while untold:
            rig.logs.tell(untold.popleft())
        await reader.drop()
        reader.connect(by_url=True)
        await reader.read(None)
        wanted = [
            line.entry.id
            for line in rig.logs.lines
            if feature in ("*", line.entry.feature) and (not levels or line.entry.level in levels)
        ]
        # Of what was there before it came, a client gets the last 50 lines.
        wanted = wanted[wanted.index(first) if first is not None else 0 :]
        assert len(set(reader.lines)) == len(reader.lines), "no line comes twice"
        came = set(reader.lines)
        assert reader.lines == [line for line in wanted if line in came], "in order of arrival"
        assert reader.lost == len(wanted) - len(came), "what did not come was counted"
        if not slow:
            assert reader.lost == 0
        assert reader.events == [event.id for event in rig.state.happened], "events are never dropped"


pytestmark = pytest.mark.anyio


async def test_a_line_that_is_stored_but_not_yet_told_comes_once_after_the_history() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        batch = rig.logs.commit([entry(2)])
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-1"]
        rig.logs.tell(batch)
        assert (await socket.next())["data"]["id"] == "line-2"
        await rig.settle()
        assert socket.waiting() == []


async def test_a_line_that_is_stored_but_not_yet_told_comes_once_after_a_resume() -> None:
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(entry(1))
        batch = rig.logs.commit([entry(2)])
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-1"]
        rig.logs.tell(batch)
        assert (await socket.next())["data"]["id"] == "line-2"


async def test_lines_that_arrive_while_the_history_is_read_come_after_it() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        rig.logs.gate = asyncio.Event()
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        await socket.until("metrics_update")
        rig.logs.publish(entry(2))
        await rig.state.record_event(KEY, "test_result", rig.clock(), {})
        await rig.settle()
        assert socket.waiting() == [], "an id must not promise the history"
        rig.logs.gate.set()
        assert [line["id"] for line in (await socket.next())["data"]] == ["line-1"]
        assert [(await socket.next())["type"] for _ in range(2)] == ["log_entry", "test_result"]


async def test_a_client_lost_before_its_missed_events_gets_them_at_the_next_try() -> None:
    async with running() as rig:
        before = rig.hub.position
        await rig.state.record_event(KEY, "test_result", rig.clock(), {})
        socket = rig.connect("summarize", after=before.encode())
        last = [await socket.next() for _ in range(2)][-1]["id"]
        again = rig.connect("summarize", after=last)
        assert (await again.until("test_result"))["data"]["id"] == "event-1"


async def _resumed(rig: Rig, after: str) -> tuple[bool, list[Any]]:
    """Connect, follow, and return whether it was recovered and what came with the lines."""
    socket = rig.connect("summarize", after=after)
    confirmed = await socket.next()
    socket.say("subscribe_logs", after=after)
    got = []
    while not got or got[-1]["type"] != "log_history":
        got.append(await socket.next())
    return confirmed["data"]["recovered"], [message for message in got if message["type"] != "metrics_update"]


@pytest.mark.parametrize("after", ["nonsense", "é", "====", "A" * 300, base64.b64encode(b"9.1.1.1").decode(), "MQ"])
async def test_a_position_that_is_none_of_ours_cannot_be_recovered(after: str) -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        recovered, got = await _resumed(rig, after)
        assert recovered is False
        assert [message["type"] for message in got] == ["gap", "gap", "log_history"]
        assert {message["data"]["reason"] for message in got[:2]} == {"unknown_position"}
        assert got[1]["featureId"] == "summarize"
        assert got[1]["data"]["count"] is None
        assert [line["id"] for line in got[2]["data"]] == ["line-1"]


async def test_a_position_of_other_data_cannot_be_recovered() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        recovered, got = await _resumed(rig, Position(500, 0, rig.hub.position.at_s).encode())
        assert recovered is False
        assert got[0]["data"]["reason"] == "unknown_position"


async def test_a_client_that_was_away_too_long_is_told_so() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        before = rig.hub.position
        rig.logs.publish(entry(2))
        rig.clock.advance(15 * 60 + 1)
        recovered, got = await _resumed(rig, before.encode())
        assert recovered is False
        assert [message["type"] for message in got] == ["gap", "gap", "log_history"]
        assert got[0]["data"]["reason"] == "too_old"
        assert got[0]["data"]["from"] < got[0]["data"]["to"]
        assert [line["id"] for line in got[2]["data"]] == ["line-1", "line-2"]


async def test_a_restart_of_the_bridge_is_survived() -> None:
    async with running() as before:
        before.logs.publish(entry(1))
        await before.state.record_event(KEY, "test_result", before.clock(), {})
        socket = before.connect("summarize")
        socket.say("subscribe_logs")
        last = (await socket.until("log_history"))["id"]
    # Committed, but the bridge ended before it could be sent.
    before.logs.commit([entry(2)])
    await before.state.record_event(KEY, "test_result", before.clock(), {})
    async with running(before=before) as after:
        socket = after.connect("summarize", after=last)
        assert (await socket.next())["data"]["recovered"] is True
        assert (await socket.until("test_result"))["data"]["id"] == "event-2"
        socket.say("subscribe_logs")
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-2"]
        after.logs.publish(entry(3))
        assert (await socket.next())["data"]["id"] == "line-3"


async def test_too_many_lines_leave_a_gap_with_their_count_before_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catchup, "MAX_LINES", 10)
    monkeypatch.setattr(catchup, "PAGE", 7)
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(*(entry(number, level=("info", "error")[number % 2]) for number in range(60)))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode(), filters={"levels": ["error"]})
        gap = (await socket.until("gap"))["data"]
        assert (gap["reason"], gap["count"]) == ("too_many", 20)
        assert (gap["from"][-5:], gap["to"][-5:]) == ("0001Z", "0039Z")
        lines = (await socket.next())["data"]
        assert [line["id"] for line in lines] == [f"line-{number}" for number in range(41, 60, 2)]


async def test_more_than_can_be_read_leaves_a_gap_that_nobody_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catchup, "MAX_READ", 10)
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(*(entry(number) for number in range(30)))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        assert (await socket.until("gap"))["data"]["count"] is None
        assert [line["id"] for line in (await socket.next())["data"]] == [f"line-{number}" for number in range(20, 30)]


async def test_the_bytes_of_a_resume_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catchup, "MAX_BYTES", 5_000)
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(*(entry(number, message="x" * 1_000) for number in range(10)))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        assert (await socket.until("gap"))["data"]["count"] == 7
        assert len((await socket.next())["data"]) == 3


async def test_a_store_that_fails_while_resuming_leaves_a_gap() -> None:
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(entry(1))
        rig.logs.failure = Unavailable("the disk is gone")
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        gap, error = await socket.until("gap"), await socket.next()
        assert gap["data"]["reason"] == "unavailable"
        assert error["data"]["code"] == "unavailable"


async def test_a_store_that_does_not_have_all_lines_since_says_so_and_the_newest_follow() -> None:
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(entry(1))
        rig.logs.missing = "not_followed"
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        gap = await socket.until("gap")
        assert (gap["data"]["reason"], gap["data"]["count"]) == ("not_followed", None)
        assert [line["id"] for line in (await socket.next())["data"]] == ["line-1"]
        assert rig.hub.stats.gaps["not_followed"] == 1


async def test_gaps_that_were_told_while_a_client_was_away_are_told_to_it_too() -> None:
    async with running(features=FEATURES) as rig:
        rig.logs.tell_gap(LogGap(0, "summarize", "production", "late", 1, 0, 1))
        rig.logs.publish(entry(1))
        before = rig.hub.position
        rig.logs.publish(entry(2))
        rig.logs.tell_gap(LogGap(2, "summarize", "production", "late", 7, START_NS, START_NS + NS))
        socket = rig.connect("summarize", after=before.encode())
        socket.say("subscribe_logs")
        told = await socket.until("gap")
        assert (told["data"]["reason"], told["data"]["count"]) == ("late", 7), "the one of before was told before"
        assert [line["id"] for line in (await socket.next())["data"]] == ["line-2"]


async def test_what_a_client_has_yet_to_ask_for_is_not_promised_by_an_id() -> None:
    """A client that reconnects hears figures before it asks for lines; lost then, it must not skip them."""
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(entry(1))
        socket = rig.connect("summarize", after=before.encode())
        for _ in range(2):
            place = parse((await socket.next())["id"])
            assert place is not None
            assert place.log == before.log
        await rig.tick()
        held = (await socket.next())["id"]
        assert (parse(held) or rig.hub.position).log == before.log
        socket.say("subscribe_logs")
        assert [line["id"] for line in (await socket.next())["data"]] == ["line-1"]
        await rig.tick()
        assert parse((await socket.next())["id"]) == rig.hub.position


async def test_a_history_is_cut_into_messages_that_clients_take(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        before = rig.hub.position
        rig.logs.publish(*(entry(number, message="x" * 2_000) for number in range(300)))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", after=before.encode())
        lines: list[str] = []
        while len(lines) < 300:
            message = await socket.until("log_history")
            assert len(str(message)) < 1024**2
            lines += [line["id"] for line in message["data"]]
            place = parse(message["id"])
            assert place is not None
            assert place.log == len(lines), "each part can be resumed from"
        assert lines == [f"line-{number}" for number in range(300)]
