"""The conversation over a WebSocket, without a network."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from featurewatch.access import Principal
from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey
from featurewatch.streams.positions import parse
from featurewatch.streams.websocket import AUTH_S, MAX_MESSAGE_BYTES
from streams.fakes import KEY, entry
from streams.rig import running

pytestmark = pytest.mark.anyio

CHAT = FeatureKey("chat", "production")
VIEWER = Principal("viewer", "viewer", ("sum*",))


async def test_confirms_first_and_sends_the_latest_snapshot_at_once() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        confirmed, update = await socket.next(), await socket.next()
        assert confirmed["type"] == "connection_confirmed"
        assert confirmed["featureId"] == "summarize"
        assert confirmed["data"]["connected"] is True
        assert confirmed["data"]["recovered"] is False
        assert confirmed["data"]["featureIds"] == ["summarize"]
        assert confirmed["data"]["environments"] == {"summarize": "production"}
        assert confirmed["id"]
        assert confirmed["timestamp"].endswith("Z")
        assert update["type"] == "metrics_update"
        assert update["data"]["metrics"]["total_requests"] == 100
        assert update["data"]["health_status"] == "healthy"
        assert rig.metrics.measured == 1, "a client costs no query"


async def test_each_tick_updates_every_client_by_one_query() -> None:
    async with running() as rig:
        sockets = [rig.connect("summarize") for _ in range(5)]
        for socket in sockets:
            await socket.until("metrics_update")
        rig.metrics.set(KEY, total_requests=200, error_rate=0.0, uptime=100.0)
        await rig.tick()
        for socket in sockets:
            assert (await socket.until("metrics_update"))["data"]["metrics"]["total_requests"] == 200
        assert rig.metrics.measured == 2


async def test_lines_come_after_the_last_fifty_oldest_first() -> None:
    async with running() as rig:
        rig.logs.publish(*(entry(number) for number in range(80)))
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        rig.logs.publish(entry(80))
        await rig.settle()
        assert socket.waiting() == [], "lines come only when they are asked for"
        socket.say("subscribe_logs")
        history = await socket.next()
        assert history["type"] == "log_history"
        assert [line["id"] for line in history["data"]] == [f"line-{number}" for number in range(31, 81)]
        rig.logs.publish(entry(81))
        live = await socket.next()
        assert live["type"] == "log_entry"
        assert live["data"]["id"] == "line-81"
        assert live["featureId"] == "summarize"


async def test_an_empty_log_is_answered_too() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        history = await socket.until("log_history")
        assert history["data"] == []


async def test_filters_hold_for_history_and_live_and_change_without_reconnecting() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1, level="error"), entry(2), entry(3, message="Ünüsual TIMEOUT"))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", featureId="summarize", filters={"levels": ["error"]})
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-1"]
        rig.logs.publish(entry(4), entry(5, level="error"))
        assert (await socket.next())["data"]["id"] == "line-5"
        socket.say("subscribe_logs", filters={"search": "ünüsual timeout", "levels": "info,WARNING"})
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-3"]
        rig.logs.publish(entry(6, level="error"), entry(7, message="another ÜNÜSUAL timeout"))
        assert (await socket.next())["data"]["id"] == "line-7"


async def test_a_filter_changes_for_what_comes_without_history_and_each_line_counts_once() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1, level="error"), entry(2))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", filters={"levels": ["error"]})
        await socket.until("log_history")
        rig.logs.publish(entry(3, level="error"))
        socket.say("subscribe_logs", filters={"levels": ["info"]}, history=False)
        assert (await socket.until("log_entry"))["data"]["id"] == "line-3"
        assert (await socket.until("log_history"))["data"] == [], "where the new filter takes over"
        rig.logs.publish(entry(4, level="error"), entry(5))
        assert (await socket.next())["data"]["id"] == "line-5"


async def test_what_was_missed_comes_though_the_filter_changes_while_it_is_read() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        last = (await socket.until("log_history"))["id"]
        rig.logs.publish(entry(2), entry(3))
        rig.logs.gate = asyncio.Event()
        socket = rig.connect("summarize", after=last)
        socket.say("subscribe_logs")
        await rig.settle()
        socket.say("subscribe_logs", filters={"levels": "error"}, history=False)
        await rig.settle()
        rig.logs.publish(entry(4), entry(5, level="error"))
        rig.logs.gate.set()
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-2", "line-3"]
        assert (await socket.until("log_history"))["data"] == []
        assert (await socket.next())["data"]["id"] == "line-5"


async def test_the_last_fifty_are_sent_instead_of_what_was_missed_where_that_is_wished() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1), entry(2))
        socket = rig.connect("summarize")
        place = (await socket.until("connection_confirmed"))["id"]
        rig.logs.publish(entry(3))
        socket = rig.connect("summarize", after=place)
        socket.say("subscribe_logs", history=True)
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-1", "line-2", "line-3"]
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", history=False)
        assert (await socket.until("log_history"))["data"] == []


async def test_who_becomes_another_gets_no_history_of_what_that_one_may_not_see() -> None:
    async with running(features=("summarize", "chat")) as rig:
        rig.tokens["narrow"] = Principal("narrow", "viewer", ("chat",))
        rig.logs.publish(entry(1), entry(2, CHAT))
        rig.logs.gate = asyncio.Event()
        socket = rig.connect("summarize", "chat")
        socket.say("subscribe_logs")
        await rig.settle()
        socket.say("auth", token="narrow")
        await rig.settle()
        rig.logs.gate.set()
        history = await socket.until("log_history")
        assert (history["featureId"], [line["id"] for line in history["data"]]) == ("chat", ["line-2"])


async def test_a_filter_may_name_another_environment() -> None:
    async with running() as rig:
        staging = KEY._replace(environment="staging")
        rig.logs.publish(entry(1, staging), entry(2))
        socket = rig.connect("summarize")
        socket.say("subscribe_logs", filters={"environment": "staging"})
        assert [line["id"] for line in (await socket.until("log_history"))["data"]] == ["line-1"]
        rig.logs.publish(entry(3), entry(4, staging))
        assert (await socket.next())["data"]["id"] == "line-4"


async def test_environments_are_never_mixed() -> None:
    async with running() as rig:
        staging = KEY._replace(environment="staging")
        rig.metrics.set(staging, total_requests=7)
        await rig.tick()
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        assert (await socket.until("metrics_update"))["data"]["environment"] == "production"
        await socket.until("log_history")
        rig.logs.publish(entry(1, staging))
        await rig.state.record_event(staging, "test_result", rig.clock(), {"name": "smoke"})
        await rig.tick()
        await rig.settle()
        assert [message["data"]["environment"] for message in socket.waiting()] == ["production"]


async def test_unsubscribed_lines_stop() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        await socket.until("log_history")
        socket.say("unsubscribe_logs")
        socket.say("ping")
        await socket.until("pong")
        rig.logs.publish(entry(1))
        await rig.settle()
        assert socket.waiting() == []


async def test_events_flow_to_every_subscriber_of_the_feature() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket, other = rig.connect("summarize"), rig.connect("chat")
        for each in (socket, other):
            await each.until("metrics_update")
        await rig.state.record_event(KEY, "test_result", rig.clock(), {"name": "smoke", "passed": True})
        result = await socket.next()
        assert result["type"] == "test_result"
        assert result["data"] == {"name": "smoke", "passed": True, "id": "event-1", "environment": "production"}
        alert = {"change": "triggered", "alert": {"id": "a1", "title": "Errors Alert"}}
        await rig.state.record_event(KEY, "alert", rig.clock(), alert)
        triggered = await socket.next()
        assert (triggered["type"], triggered["data"]) == ("alert_triggered", {"id": "a1", "title": "Errors Alert"})
        await rig.settle()
        assert other.waiting() == []


async def test_several_features_share_a_socket_in_order_of_arrival() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket = rig.connect("summarize", "chat")
        assert (await socket.next())["data"]["featureIds"] == ["chat", "summarize"]
        socket.say("subscribe_logs", featureId="summarize")
        socket.say("subscribe_logs", featureId="chat", filters={"levels": ["info"]})
        for _ in range(2):
            await socket.until("log_history")
        rig.logs.publish(*(entry(number, (KEY, CHAT)[number % 2]) for number in range(6)))
        got = [await socket.next() for _ in range(6)]
        assert [message["data"]["id"] for message in got] == [f"line-{number}" for number in range(6)]
        assert {message["featureId"] for message in got} == {"summarize", "chat"}


async def test_the_star_includes_features_that_appear_later() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket = rig.connect("*", principal=VIEWER)
        assert (await socket.next())["data"]["featureIds"] == ["summarize"]
        socket.say("subscribe_logs", filters={"levels": ["error"]})
        await socket.until("log_history")
        later, hidden = KEY._replace(feature="summary2"), KEY._replace(feature="secret")
        rig.metrics.set(later, total_requests=1)
        rig.metrics.set(hidden, total_requests=1)
        await rig.tick()
        updates = [await socket.next() for _ in range(2)]
        assert [update["featureId"] for update in updates] == ["summarize", "summary2"]
        rig.logs.publish(entry(1, hidden, level="error"), entry(2, later, level="error"), entry(3, later))
        assert (await socket.next())["data"]["id"] == "line-2"
        fresh = KEY._replace(feature="sum-of-lines-alone")
        rig.logs.publish(entry(4, fresh, level="error"))
        assert (await socket.next())["data"]["id"] == "line-4"


async def test_a_feature_of_ones_own_choice_leaves_the_star() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket = rig.connect("*")
        socket.say("subscribe_logs")
        for _ in range(2):
            await socket.until("log_history")
        socket.say("subscribe_logs", featureId="chat", filters={"levels": ["error"]})
        await socket.until("log_history")
        rig.logs.publish(entry(1, CHAT), entry(2), entry(3, CHAT, level="error"))
        assert [(await socket.next())["data"]["id"] for _ in range(2)] == ["line-2", "line-3"]
        socket.say("unsubscribe", featureId="chat")
        socket.say("ping")
        await socket.until("pong")
        rig.logs.publish(entry(4, CHAT, level="error"), entry(5))
        await rig.tick()
        assert (await socket.next())["data"]["id"] == "line-5"
        assert (await socket.next())["featureId"] == "summarize"
        await rig.settle()
        assert socket.waiting() == []


async def test_a_hidden_feature_is_answered_as_one_that_does_not_exist() -> None:
    async with running(features=("summarize", "chat")) as rig:
        refused = []
        for feature in ("chat", "none"):
            socket = rig.connect("summarize", feature, principal=VIEWER)
            confirmed = await socket.next()
            assert confirmed["data"]["featureIds"] == ["summarize"]
            error = await socket.until("error")
            socket.say("subscribe", featureId=feature)
            socket.say("subscribe_logs", featureId=feature)
            again = [await socket.until("error") for _ in range(2)]
            refused.append([(message["data"]["code"], message["data"]["message"]) for message in (error, *again)])
        hidden, absent = refused
        assert [(code, text.replace("chat", "none")) for code, text in hidden] == absent
        assert {code for code, _ in absent} == {"not_found"}


async def test_an_unknown_feature_is_sent_once_it_appears() -> None:
    async with running() as rig:
        socket = rig.connect("chat")
        assert (await socket.until("error"))["featureId"] == "chat"
        rig.metrics.set(CHAT, total_requests=3)
        await rig.tick()
        assert (await socket.until("metrics_update"))["data"]["metrics"]["total_requests"] == 3


async def test_features_are_subscribed_and_unsubscribed_on_the_way() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        socket.say("subscribe", featureId="chat")
        assert (await socket.until("metrics_update"))["featureId"] == "chat"
        socket.say("unsubscribe", featureId="summarize")
        socket.say("ping")
        await socket.until("pong")
        await rig.tick()
        assert (await socket.until("metrics_update"))["featureId"] == "chat"
        await rig.settle()
        assert socket.waiting() == []


async def test_unknown_figures_are_null_or_zero_as_each_client_wishes() -> None:
    async with running() as rig:
        plain, zero = rig.connect("summarize"), rig.connect("summarize", unknown_as_zero=True)
        for socket, unknown in ((plain, None), (zero, 0)):
            assert (await socket.until("metrics_update"))["data"]["metrics"]["response_time"] is unknown
        await rig.tick()
        for socket, unknown in ((plain, None), (zero, 0)):
            assert (await socket.until("metrics_update"))["data"]["metrics"]["response_time"] is unknown


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{", "a JSON object"),
        ("[1]", "a list"),
        ('{"type": "dance"}', "'dance'"),
        ("{}", "null"),
        ('{"type": "subscribe"}', "featureId"),
        ('{"type": "subscribe", "featureId": "../etc"}', "featureId"),
        ('{"type": "subscribe_logs", "filters": {"levels": ["loud"]}}', "'loud'"),
        ('{"type": "subscribe_logs", "filters": []}', "filters"),
        ('{"type": "subscribe_logs", "filters": {"search": 5}}', "search"),
        ('{"type": "subscribe_logs", "after": 5}', "after"),
        ('{"type": "auth"}', "token"),
    ],
)
async def test_a_malformed_message_is_answered_and_the_connection_stays(said: str, expected: str) -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        socket.say_text(said)
        error = await socket.until("error")
        assert expected in error["data"]["message"]
        assert "\n" not in error["data"]["message"]
        socket.say("ping")
        await socket.until("pong")


async def test_a_binary_message_is_answered_and_the_connection_stays() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        socket.say_bytes(b"\x00")
        await socket.until("error")
        socket.say("ping")
        await socket.until("pong")


async def test_a_message_that_is_too_large_closes_with_1009() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        socket.say_text(" " * (MAX_MESSAGE_BYTES + 1))
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1009


@pytest.mark.parametrize("features", [(), ("no/such",)])
async def test_without_a_feature_the_socket_is_closed_with_1008(features: tuple[str, ...]) -> None:
    async with running() as rig:
        socket = rig.connect(*features)
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1008
        assert "featureId" in socket.closed[1]


async def test_credentials_must_come_within_ten_seconds() -> None:
    async with running() as rig:
        rig.tokens["good"] = VIEWER
        late, timely = rig.connect("summarize", principal=None), rig.connect("summarize", principal=None)
        await rig.settle()
        assert late.waiting() == [], "nothing is told to a stranger"
        late.say("subscribe_logs")
        assert (await late.next())["data"]["code"] == "unauthenticated"
        late.say("auth", token="bad")
        assert (await late.next())["data"]["code"] == "unauthenticated"
        rig.clock.advance(9)
        rig.check()
        timely.say("auth", token="good")
        assert (await timely.next())["type"] == "connection_confirmed"
        rig.clock.advance(2)
        rig.check()
        await rig.ended(late)
        assert late.closed is not None
        assert late.closed[0] == 1008
        assert timely.closed is None


async def test_a_clock_that_is_put_back_does_not_put_the_end_off() -> None:
    async with running() as rig:
        socket = rig.connect("summarize", principal=None)
        await rig.settle()
        rig.clock.advance(-5 * 3600)
        rig.check()
        rig.clock.advance(AUTH_S + 0.1)
        rig.check()
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1008


async def test_guessing_ends_after_five_wrong_credentials() -> None:
    async with running() as rig:
        socket = rig.connect("summarize", principal=None)
        for _ in range(5):
            socket.say("auth", token="guess")
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1008
        assert [message["type"] for message in socket.waiting()] == ["error"] * 5


async def test_a_role_that_may_not_read_is_refused() -> None:
    async with running() as rig:
        socket = rig.connect("summarize", principal=Principal("shipper", "ingest"))
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1008
        assert [message["type"] for message in socket.waiting()] in ([], ["error"])


async def test_a_credential_that_ends_may_be_renewed_within_thirty_seconds() -> None:
    async with running(features=("summarize", "chat")) as rig:
        ending = Principal("viewer", "viewer", ("*",), expires_ns=rig.clock() + 60 * 10**9)
        rig.tokens["new"] = Principal("viewer", "viewer", ("sum*",))
        renewed, left = rig.connect("*", principal=ending), rig.connect("*", principal=ending)
        for socket in (renewed, left):
            for _ in range(2):
                await socket.until("metrics_update")
        rig.clock.advance(61)
        rig.check()
        for socket in (renewed, left):
            assert (await socket.until("error"))["data"]["code"] == "unauthenticated"
        renewed.say("auth", token="new")
        await rig.settle()
        rig.clock.advance(31)
        rig.check()
        await rig.ended(left)
        assert left.closed is not None
        assert left.closed[0] == 1008
        assert renewed.closed is None
        await rig.poll.tick()
        assert (await renewed.until("metrics_update"))["featureId"] == "summarize"
        await rig.settle()
        assert renewed.waiting() == [], "the new credential sees less"


async def test_a_revoked_credential_counts_as_ended() -> None:
    async with running() as rig:
        socket = rig.connect("summarize", principal=VIEWER)
        await socket.until("metrics_update")
        rig.revoked.add("viewer")
        rig.check()
        await socket.until("error")
        rig.clock.advance(31)
        rig.check()
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1008


async def test_one_stream_more_than_allowed_is_closed_with_1013() -> None:
    async with running(max_streams=1) as rig:
        first = rig.connect("summarize")
        await first.until("metrics_update")
        second = rig.connect("summarize")
        await rig.ended(second)
        assert second.closed is not None
        assert second.closed[0] == 1013
        assert first.closed is None


async def test_a_restart_sends_what_waits_and_closes_with_1012() -> None:
    async with running() as rig:
        sockets = [rig.connect("summarize") for _ in range(3)]
        for socket in sockets:
            socket.say("subscribe_logs")
            await socket.until("log_history")
        rig.logs.publish(entry(1))
        await rig.hub.stop()
        for socket in sockets:
            await rig.ended(socket)
            assert (await socket.next())["data"]["id"] == "line-1"
            assert socket.closed is not None
            assert socket.closed[0] == 1012
            assert "come back in" in socket.closed[1]
        late = rig.connect("summarize")
        await rig.ended(late)
        assert late.closed is not None
        assert late.closed[0] == 1012


async def test_a_client_that_reads_nothing_is_closed_with_1013(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.2)
    async with running() as rig:
        socket, reading = rig.connect("summarize"), rig.connect("summarize")
        for each in (socket, reading):
            await each.until("metrics_update")
        socket.stick()
        await rig.tick()
        await rig.ended(socket)
        assert socket.closed is not None
        assert socket.closed[0] == 1013
        await reading.until("metrics_update")
        assert reading.closed is None
        assert rig.hub.stats.closed == {"1013": 1}


async def test_a_slow_client_gets_the_newest_lines_behind_a_gap_and_one_snapshot() -> None:
    async with running(queue_bytes=64 * 1024) as rig:
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        await socket.until("log_history")
        socket.stick()
        rig.logs.publish(entry(0))
        await rig.settle()
        for number in range(1, 1001):
            rig.logs.publish(entry(number))
            if number % 100 == 0:
                rig.metrics.set(KEY, total_requests=number)
                await rig.tick()
        assert max(client.subscriber.outbox.line_bytes for client in rig.hub.clients) <= 64 * 1024
        socket.unstick()
        await rig.settle()
        got = socket.waiting()
        gaps = [message["data"] for message in got if message["type"] == "gap"]
        lines = [message["data"]["id"] for message in got if message["type"] == "log_entry"]
        figures = [message for message in got if message["type"] == "metrics_update"]
        assert [figure["data"]["metrics"]["total_requests"] for figure in figures] == [1000]
        assert lines[0] == "line-0"
        assert lines[1:] == [f"line-{number}" for number in range(1001 - len(lines) + 1, 1001)]
        assert sum(gap["count"] for gap in gaps) == 1001 - len(lines)
        assert {gap["reason"] for gap in gaps} == {"slow_consumer"}
        assert gaps[0]["from"].endswith("20.000000001Z")
        assert rig.hub.stats.dropped["slow_consumer"] == 1001 - len(lines)
        assert [message["type"] for message in got].index("gap") == 1, "the gap stands where the lines were"


async def test_batches_are_arrays_with_the_confirmation_first() -> None:
    async with running() as rig:
        socket = rig.connect("summarize", batch=True)
        first = await socket.next()
        assert isinstance(first, list)
        assert first[0]["type"] == "connection_confirmed"
        socket.say("subscribe_logs")
        frames = [await socket.next()]
        for number in range(100):
            rig.logs.publish(entry(number))
            await asyncio.sleep(0.001)
        while sum(message["type"] == "log_entry" for frame in frames for message in frame) < 100:
            frames.append(await socket.next())
        lines = [message["data"]["id"] for frame in frames for message in frame if message["type"] == "log_entry"]
        assert lines == [f"line-{number}" for number in range(100)]
        assert len(frames) < 20, "lines of 100 ms travel together"


async def test_a_store_that_fails_is_told_and_the_live_lines_come() -> None:
    async with running() as rig:
        rig.logs.failure = Unavailable("the log store cannot be reached")
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        error = await socket.until("error")
        assert error["data"] == {"code": "unavailable", "message": "the log store cannot be reached"}
        rig.logs.publish(entry(1))
        assert (await socket.next())["data"]["id"] == "line-1"


async def test_a_client_that_leaves_cancels_what_it_asked_for_and_leaves_nothing_behind() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        rig.logs.gate = asyncio.Event()
        socket.say("subscribe_logs")
        await rig.settle()
        assert rig.logs.reads == 1
        socket.leave()
        await rig.ended(socket)
        assert rig.hub.stats.open["websocket"] == 0
        assert not rig.hub.clients
        assert rig.hub.routes == 0
        rig.logs.gate.set()
        rig.logs.publish(entry(1))


async def test_a_client_that_asks_without_reading_is_not_listened_to() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        socket.stick()
        for _ in range(500):
            socket.say("ping")
        await rig.settle()
        await asyncio.sleep(0.05)
        assert socket.unheard > 400, "its messages stay with the network"
        socket.unstick()
        for _ in range(500):
            await socket.until("pong")


async def test_late_lines_are_marked() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        socket.say("subscribe_logs")
        await socket.until("log_history")
        rig.logs.publish(entry(1, at_ns=rig.clock() - 60 * 10**9), entry(2, at_ns=rig.clock()))
        late, timely = await socket.next(), await socket.next()
        assert late["data"]["late"] is True
        assert "late" not in timely["data"]


async def test_positions_never_run_backwards_on_a_socket_that_was_not_resumed() -> None:
    async with running(features=("summarize", "chat")) as rig:
        socket = rig.connect("*")
        socket.say("subscribe_logs")
        for _ in range(2):
            await socket.until("log_history")
        for number in range(20):
            rig.logs.publish(entry(number, (KEY, CHAT)[number % 2]))
            await rig.state.record_event(CHAT, "test_result", rig.clock(), {})
            await rig.tick()
        await rig.settle()
        places = [parse(message["id"]) for message in socket.waiting() if "id" in message]
        assert len(places) == 80
        assert all(a is not None and b is not None and a <= b for a, b in pairwise(places))


async def test_a_connection_that_breaks_while_sending_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        socket.broken = True
        await rig.tick()
        await rig.ended(socket)
        assert not rig.hub.clients
        assert caplog.records == []


async def test_the_server_may_cancel_a_socket() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        _, task = rig.sockets.pop()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not rig.hub.clients
