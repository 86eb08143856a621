"""The tick: what it publishes, notes and records, and how it lives with a store that fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey
from featurewatch.streams.metric_poll import MetricPoll
from streams.fakes import KEY, entry
from streams.rig import Rig, running

pytestmark = pytest.mark.anyio


async def test_a_change_of_health_becomes_an_event_and_a_first_sight_does_not() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        assert rig.state.happened == []
        rig.metrics.set(KEY, total_requests=100, error_rate=80.0, uptime=100.0)
        await rig.tick()
        change = (await socket.until("status_change"))["data"]
        assert (change["from"], change["to"]) == ("healthy", "error")
        assert "error_rate" in change["reasons"][0]
        await rig.tick()
        assert len(rig.state.happened) == 1


async def test_a_change_that_could_not_be_recorded_is_recorded_by_the_next_tick() -> None:
    async with running() as rig:
        rig.metrics.set(KEY, total_requests=100, error_rate=80.0, uptime=100.0)
        real = rig.state.record_event
        rig.state.record_event = _unavailable  # type: ignore[method-assign]  # fails this once
        await rig.tick()
        rig.state.record_event = real  # type: ignore[method-assign]  # as above
        assert rig.state.happened == []
        await rig.tick()
        assert [event.kind for event in rig.state.happened] == ["status_change"]


async def _unavailable(*_: object, **__: object) -> None:
    raise Unavailable("the state store cannot be reached")


async def test_without_the_store_stale_snapshots_are_sent_and_it_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        assert (await socket.until("metrics_update"))["data"]["stale"] is False
        rig.metrics.failure = Unavailable("gone")
        with caplog.at_level(logging.INFO, "featurewatch.streams.metric_poll"):
            for _ in range(3):
                await rig.tick()
                update = (await socket.until("metrics_update"))["data"]
                assert update["stale"] is True
                assert update["metrics"]["total_requests"] == 100, "never zeros"
            rig.metrics.failure = None
            await rig.tick()
        assert (await socket.until("metrics_update"))["data"]["stale"] is False
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert rig.poll.stats.failures == 3
        assert rig.state.happened == []


async def test_a_store_that_never_answered_stops_nothing() -> None:
    async with running() as rig:
        rig.snapshots._last.clear()
        rig.snapshots._answers.clear()
        rig.metrics.failure = Unavailable("gone")
        await rig.poll.tick()
        rig.metrics.failure = None
        await rig.tick()
        assert rig.poll.stats.failures == 1


async def test_new_features_are_noted_whether_they_measure_or_only_log() -> None:
    async with running() as rig:
        rig.logs.publish(entry(1, FeatureKey("only-logs", "staging")))
        rig.metrics.set(FeatureKey("chat", "production"), total_requests=0)
        await rig.tick()
        assert rig.state.records["only-logs"].environments == {"staging"}
        assert rig.state.records["chat"].environments == {"production"}
        await rig.tick()
        socket = rig.connect("*")
        assert (await socket.next())["data"]["featureIds"] == ["chat", "only-logs", "summarize"]


async def test_a_deleted_feature_that_sends_no_more_is_forgotten() -> None:
    async with running() as rig:
        rig.metrics.set(KEY, uptime=100.0)
        await rig.state.delete_feature("summarize")
        await rig.tick()
        assert rig.state.records == {}
        socket = rig.connect("summarize")
        assert (await socket.next())["data"]["featureIds"] == []
        rig.logs.publish(entry(1))
        await rig.tick()
        assert "summarize" in rig.state.records, "listed again once it sends"


async def test_a_deleted_feature_stays_away_though_its_last_figures_are_within_the_window() -> None:
    async with running() as rig:
        await rig.tick()
        await rig.state.delete_feature("summarize")
        rig.snapshots.forget("summarize")
        await rig.tick()
        await rig.tick()
        assert rig.state.records == {}
        socket = rig.connect("*")
        assert (await socket.next())["data"]["featureIds"] == []
        rig.clock.advance(rig.snapshots.window_s)
        await rig.tick()
        assert "summarize" in rig.state.records, "what still sends after a whole window is there again"


async def test_ticks_follow_each_other_and_never_overlap() -> None:
    rig = Rig()
    await rig.hub.start()
    running_now = most = 0
    real = rig.metrics.measure

    async def slow(*args: object, **options: object) -> object:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.03)
        running_now -= 1
        rig.clock.advance(2)
        return await real(*args, **options)  # type: ignore[arg-type]  # passed on

    rig.metrics.measure = slow  # type: ignore[method-assign]  # slower than the interval
    poll = MetricPoll(rig.snapshots, rig.metrics, rig.state, rig.hub, interval_s=0.01, clock=rig.clock)
    await poll.start()
    assert poll.stats.ticks == 1, "the start waits for the first tick"
    while poll.stats.ticks < 4:  # noqa: ASYNC110 (a count is no event)
        await asyncio.sleep(0.01)
    await poll.stop()
    ticks = poll.stats.ticks
    await asyncio.sleep(0.05)
    assert (most, poll.stats.ticks) == (1, ticks)
    await rig.hub.stop()


async def test_the_start_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.streams.metric_poll.FIRST_TICK_S", 0.05)
    rig = Rig()
    rig.metrics.gate = asyncio.Event()
    await asyncio.wait_for(rig.poll.start(), 5)
    assert rig.poll.stats.ticks == 0
    await rig.poll.stop()
