"""Server-sent events: the messages, resume, comments, and the response that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from featurewatch.access import ANYONE, Principal
from featurewatch.errors import TooMany
from featurewatch.stores.base import LogFilter
from featurewatch.streams import sse
from featurewatch.streams.positions import parse
from featurewatch.streams.sse import SSE_HEADERS, EventStream, features_stream, logs_stream, metrics_stream
from streams.fakes import KEY, entry
from streams.rig import Rig, running

pytestmark = pytest.mark.anyio

CHAT = KEY._replace(feature="chat")


class Events:
    """What an EventSource makes of a stream: (id or "", data); comments by themselves."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self.comments = 0
        self._ready: list[tuple[str, Any]] = []

    async def next(self) -> tuple[str, Any]:
        while not self._ready:
            chunk = await asyncio.wait_for(anext(self.stream), 5)
            assert chunk.endswith(b"\n\n")
            for block in chunk.decode().removesuffix("\n\n").split("\n\n"):
                fields = [line.split(": ", 1) for line in block.split("\n")]
                if fields[0][0] == "":
                    self.comments += 1
                    continue
                assert {name for name, _ in fields} <= {"id", "data"}, "events are unnamed"
                data = "\n".join(value for name, value in fields if name == "data")
                self._ready.append((next((value for name, value in fields if name == "id"), ""), orjson.loads(data)))
        return self._ready.pop(0)

    async def close(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]  # a generator


def metrics(rig: Rig, **options: Any) -> Events:
    options = {"principal": ANYONE, **options}
    return Events(metrics_stream(rig.hub, rig.snapshots, feature="summarize", environment="production", **options))


def logs(rig: Rig, filter: LogFilter = LogFilter(), **options: Any) -> Events:  # noqa: B008 (immutable)
    options = {"principal": ANYONE, **options}
    return Events(
        logs_stream(rig.hub, rig.snapshots, feature="summarize", environment="production", filter=filter, **options)
    )


async def test_figures_and_events_come_as_on_the_websocket() -> None:
    async with running() as rig:
        events = metrics(rig)
        place, connected = await events.next()
        assert connected == {
            "type": "connected",
            "featureId": "summarize",
            "environment": "production",
            "recovered": False,
            "id": place,
        }
        place, update = await events.next()
        assert update["type"] == "metrics_update"
        assert update["id"] == place
        await rig.state.record_event(KEY, "test_result", rig.clock(), {"name": "smoke"})
        rig.metrics.set(KEY, total_requests=100, error_rate=80.0, uptime=100.0)
        await rig.tick()
        got = [(await events.next())[1]["type"] for _ in range(3)]
        assert got == ["test_result", "metrics_update", "status_change"]
        assert rig.hub.stats.open["sse"] == 1
        await events.close()
        assert rig.hub.stats.open["sse"] == 0
        assert rig.hub.routes == 0


async def test_missed_events_follow_last_event_id() -> None:
    async with running() as rig:
        events = metrics(rig)
        await events.next()
        last, _ = await events.next()
        await events.close()
        await rig.state.record_event(KEY, "test_result", rig.clock(), {"name": "missed"})
        events = metrics(rig, after=last)
        assert (await events.next())[1]["recovered"] is True
        assert (await events.next())[1]["type"] == "metrics_update"
        assert (await events.next())[1]["data"]["name"] == "missed"
        await events.close()


async def test_figures_may_be_zero_for_what_is_unknown() -> None:
    async with running() as rig:
        events = metrics(rig, unknown_as_zero=True)
        await events.next()
        assert (await events.next())[1]["data"]["metrics"]["response_time"] == 0
        await events.close()


async def test_lines_begin_with_the_last_fifty_and_go_on_live() -> None:
    async with running() as rig:
        rig.logs.publish(*(entry(number, level=("info", "error")[number % 2]) for number in range(200)))
        events = logs(rig, LogFilter(levels=frozenset({"error"})))
        place, connected = await events.next()
        assert (place, connected["type"], connected["recovered"]) == ("", "connected", False)
        history = [await events.next() for _ in range(50)]
        assert [data["data"]["id"] for _, data in history] == [f"line-{number}" for number in range(101, 200, 2)]
        assert {data["type"] for _, data in history} == {"log_entry"}
        assert [bool(place) for place, _ in history] == [False] * 49 + [True], "half a page cannot be resumed from"
        rig.logs.publish(entry(200), entry(201, level="error"))
        place, live = await events.next()
        assert live["data"]["id"] == "line-201"
        assert parse(place) is not None
        await events.close()
        assert rig.hub.routes == 0


async def test_missed_lines_follow_last_event_id() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        events = logs(rig)
        await events.next()
        last, _ = await events.next()
        await events.close()
        rig.logs.publish(entry(2), entry(3))
        events = logs(rig, after=last)
        place, connected = await events.next()
        assert (connected["recovered"], parse(place)) == (True, parse(last))
        place, second = await events.next()
        assert second["data"]["id"] == "line-2"
        await events.close()
        events = logs(rig, after=place)
        await events.next()
        assert (await events.next())[1]["data"]["id"] == "line-3"
        await events.close()


async def test_a_last_event_id_that_is_none_of_ours_says_so_and_begins_anew() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        events = logs(rig, after="17")
        assert (await events.next())[1]["recovered"] is False
        assert (await events.next())[1]["type"] == "gap"
        assert (await events.next())[1]["data"]["id"] == "line-1"
        await events.close()


def everything(rig: Rig, *features: str, **options: Any) -> Events:
    options = {"principal": ANYONE, "environment": None, "filter": LogFilter(), **options}
    return Events(features_stream(rig.hub, rig.snapshots, features=features, **options))


async def test_one_stream_carries_many_features_under_the_positions_of_a_websocket() -> None:
    async with running(features=("summarize", "chat")) as rig:
        rig.logs.publish(entry(1), entry(2, CHAT))
        events = everything(rig, "*")
        place, connected = await events.next()
        assert connected == {
            "type": "connected",
            "recovered": False,
            "featureIds": ["chat", "summarize"],
            "environments": {"chat": "production", "summarize": "production"},
            "id": place,
        }
        got = [(await events.next())[1] for _ in range(4)]
        assert [message["type"] for message in got] == ["metrics_update"] * 2 + ["log_history"] * 2
        assert [message["featureId"] for message in got] == ["chat", "summarize"] * 2
        rig.logs.publish(entry(3))
        await rig.state.record_event(CHAT, "test_result", rig.clock(), {"name": "smoke"})
        assert (await events.next())[1]["data"]["id"] == "line-3"
        last, told = await events.next()
        assert told["data"]["name"] == "smoke"
        await events.close()
        # From events to a WebSocket and back: the same position.
        rig.logs.publish(entry(4, CHAT))
        socket = rig.connect("*", after=last)
        assert (await socket.next())["data"]["recovered"] is True
        socket.say("subscribe_logs")
        history = await socket.until("log_history")
        while not history["data"]:
            history = await socket.until("log_history")
        assert [line["id"] for line in history["data"]] == ["line-4"]
        rig.logs.publish(entry(5))
        last = (await socket.until("log_entry"))["id"]
        rig.logs.publish(entry(6))
        events = everything(rig, "summarize", "chat", after=last)
        assert (await events.next())[1]["recovered"] is True
        heard = [(await events.next())[1] for _ in range(4)]
        assert [line["id"] for message in heard if message["type"] == "log_history" for line in message["data"]] == [
            "line-6"
        ]
        await events.close()
        assert rig.hub.stats.open["sse"] == 0


async def test_a_stream_of_features_filters_their_lines_or_has_none() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1, level="error"), entry(2))
        events = everything(rig, "summarize", filter=LogFilter(levels=frozenset({"error"})))
        kinds = [(await events.next())[1] for _ in range(3)]
        assert (kinds[0]["featureId"], kinds[0]["environment"]) == ("summarize", "production")
        assert [line["id"] for line in kinds[2]["data"]] == ["line-1"]
        await events.close()
        events = everything(rig, "summarize", filter=None)
        await events.next()
        await events.next()
        rig.logs.publish(entry(3))
        await rig.tick()
        assert (await events.next())[1]["type"] == "metrics_update"
        await events.close()
        assert rig.hub.routes == 0


async def test_an_unknown_feature_of_a_stream_is_told_and_sent_once_it_appears() -> None:
    async with running() as rig:
        events = everything(rig, "chat", "summarize")
        assert (await events.next())[1]["featureIds"] == ["summarize"]
        await events.next()
        error = (await events.next())[1]
        assert (error["type"], error["featureId"], error["data"]["code"]) == ("error", "chat", "not_found")
        await events.next()
        rig.logs.publish(entry(1, CHAT))
        await rig.tick()
        assert "chat" in [(await events.next())[1].get("featureId") for _ in range(2)]
        await events.close()


async def test_an_idle_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "COMMENT_S", 0.01)
    async with running() as rig:
        events = logs(rig)
        await events.next()
        reading = asyncio.create_task(events.next())
        while events.comments < 3:  # noqa: ASYNC110 (a count is no event)
            await asyncio.sleep(0.01)
        rig.logs.publish(entry(1))
        assert (await reading)[1]["data"]["id"] == "line-1"
        await events.close()


async def test_a_stream_ends_with_its_credential_and_with_the_bridge() -> None:
    async with running() as rig:
        ending = metrics(rig, principal=Principal("v", "viewer", expires_ns=rig.clock() + 10**9))
        revoked = metrics(rig, principal=Principal("r", "viewer"), holds=lambda _: False)
        staying = metrics(rig)
        for events in (ending, revoked, staying):
            for _ in range(2):
                await events.next()
        rig.clock.advance(2)
        rig.check()
        for events in (ending, revoked):
            _, told = await events.next()
            assert (told["type"], told["data"]["code"]) == ("error", "unauthenticated")
            with pytest.raises(StopAsyncIteration):
                await events.next()
        stopping = asyncio.create_task(rig.hub.stop())
        with pytest.raises(StopAsyncIteration):
            await staying.next()
        await stopping
        assert rig.hub.stats.closed == {"1008": 2, "1012": 1}


async def test_one_stream_more_than_allowed_is_refused() -> None:
    async with running(max_streams=1) as rig:
        first = metrics(rig)
        await first.next()
        with pytest.raises(TooMany, match="1 streams are open"):
            await metrics(rig).next()
        await first.close()


class Exchange:
    """The server's side of one ASGI response."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(message)


async def test_the_response_ends_with_its_events() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"

    exchange = Exchange()
    await asyncio.wait_for(EventStream(events())({"type": "http"}, exchange.receive, exchange.send), 5)
    start, body, end = exchange.sent
    assert start["status"] == 200
    assert {name.decode(): value.decode() for name, value in start["headers"]} == SSE_HEADERS
    assert (body["body"], body["more_body"], end["more_body"]) == (b"data: 1\n\n", True, False)


@pytest.mark.parametrize("how", ["leaves", "takes nothing"])
async def test_the_response_ends_when_the_client(how: str) -> None:
    closed = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(0)
        finally:
            closed.set()

    exchange = Exchange()
    stream = EventStream(events(), stalled_s=0.05)
    serving = asyncio.create_task(stream({"type": "http"}, exchange.receive, exchange.send))
    while len(exchange.sent) < 3:  # noqa: ASYNC110 (a count is no event)
        await asyncio.sleep(0)
    if how == "leaves":
        exchange.left.set()
    else:
        exchange.takes.clear()
    await asyncio.wait_for(serving, 5)
    assert closed.is_set()
