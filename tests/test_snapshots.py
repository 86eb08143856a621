"""How features are now: joined, judged, shared, and honest when the store is gone."""

from __future__ import annotations

import asyncio

import pytest

from featurewatch.errors import NotFound, Unavailable, UpstreamError
from featurewatch.model import AlertSummary, FeatureKey, FeatureRecord, Thresholds
from featurewatch.snapshots import Snapshots
from streams.fakes import KEY, START_NS, Clock, FakeMetrics, FakeState

pytestmark = pytest.mark.anyio

CHAT = FeatureKey("chat", "staging")


class Parts:
    def __init__(self, **options: object) -> None:
        self.clock = Clock()
        self.metrics = FakeMetrics(self.clock)
        self.state = FakeState()
        self.snapshots = Snapshots(self.metrics, self.state, window_s=300, clock=self.clock, **options)  # type: ignore[arg-type]  # the tests' own


async def test_figures_are_joined_with_the_feature_s_own_thresholds() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=100, error_rate=3.0, uptime=100.0)
    (before,) = await parts.snapshots.current(None)
    assert (before.health, before.statuses["error_rate"]) == ("healthy", "warning")
    parts.state.records["summarize"] = FeatureRecord("summarize", "Summaries", thresholds=Thresholds(error_rate=2))
    parts.clock.advance(2)
    (after,) = await parts.snapshots.current(None)
    assert after.health == "warning"
    assert "error_rate" in after.reasons[0]


async def test_open_alerts_are_shown_and_make_an_error() -> None:
    alert = AlertSummary("Errors", "error_rate is 30", "high", START_NS)
    parts = Parts(alerts=lambda key: [alert] if key == KEY else [])
    parts.metrics.set(KEY, total_requests=100, error_rate=0.0, uptime=100.0)
    parts.metrics.set(CHAT, total_requests=100, error_rate=0.0, uptime=100.0)
    chat, summarize = await parts.snapshots.current(None)
    assert (summarize.health, summarize.alerts) == ("error", (alert,))
    assert (chat.health, chat.alerts) == ("healthy", ())


async def test_a_declared_feature_without_data_is_unknown_not_zero() -> None:
    parts = Parts(default_environment="qa")
    parts.state.declare("new")
    parts.state.declare("seen", "staging")
    new, seen = await parts.snapshots.current(None)
    assert (new.key, seen.key) == (FeatureKey("new", "qa"), FeatureKey("seen", "staging"))
    for snapshot in (new, seen):
        assert snapshot.health == "unknown"
        assert set(snapshot.metrics.values()) == {None}


async def test_a_feature_that_fell_silent_and_is_not_declared_is_left_out() -> None:
    parts = Parts()
    parts.metrics.set(KEY, uptime=100.0)
    assert await parts.snapshots.current(None) == []
    (asked,) = await parts.snapshots.current([KEY])
    assert asked.metrics["uptime"] == 100.0


async def test_identical_questions_at_the_same_time_are_asked_once() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=1)
    parts.metrics.gate = asyncio.Event()
    asking = [asyncio.create_task(parts.snapshots.current([KEY])) for _ in range(10)]
    other = asyncio.create_task(parts.snapshots.current([KEY], window_s=60))
    await asyncio.sleep(0)
    asking[0].cancel()
    parts.metrics.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert all(answer is answers[0] for answer in answers)
    await other
    assert parts.metrics.measured == 2
    assert asking[0].cancelled(), "one who leaves takes nobody along"


async def test_an_answer_serves_for_a_second_and_no_longer() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=1)
    await parts.snapshots.current(None)
    parts.clock.advance(0.9)
    await parts.snapshots.current(None)
    assert parts.metrics.measured == 1
    parts.clock.advance(0.2)
    await parts.snapshots.current(None)
    assert parts.metrics.measured == 2


@pytest.mark.parametrize("failure", [Unavailable("gone"), UpstreamError("nonsense")])
async def test_without_the_store_the_last_snapshots_are_shown_as_stale(failure: Unavailable | UpstreamError) -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=10)
    (fresh,) = await parts.snapshots.current(None)
    parts.metrics.failure = failure
    parts.clock.advance(60)
    for keys in (None, [KEY]):
        (stale,) = await parts.snapshots.current(keys)
        assert stale.stale
        assert stale.metrics == fresh.metrics
        assert stale.timestamp_ns == fresh.timestamp_ns
    for keys in ([CHAT], [KEY, CHAT]):
        with pytest.raises(type(failure)):
            await parts.snapshots.current(keys)
    with pytest.raises(type(failure)):
        await parts.snapshots.current([KEY], window_s=60)
    parts.metrics.failure = None
    parts.clock.advance(2)
    (again,) = await parts.snapshots.current(None)
    assert not again.stale


async def test_a_list_shows_what_is_known_beside_what_never_was() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=10)
    await parts.snapshots.current(None)
    parts.metrics.failure = Unavailable("Prometheus cannot be reached")
    parts.clock.advance(60)
    chat, known = await parts.snapshots.known([KEY, CHAT])
    assert (known.key, known.stale, known.metrics["total_requests"]) == (KEY, True, 10)
    assert (chat.key, chat.stale, chat.health) == (CHAT, True, "unknown")
    assert set(chat.metrics.values()) == {None}
    assert chat.reasons == ("Prometheus cannot be reached",)
    with pytest.raises(Unavailable):
        await parts.snapshots.known([CHAT])
    assert [one.key for one in await parts.snapshots.known([CHAT], blank=True)] == [CHAT]


async def test_a_failure_is_not_kept() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=10)
    parts.metrics.failure = Unavailable("gone")
    with pytest.raises(Unavailable):
        await parts.snapshots.current(None)
    parts.metrics.failure = None
    assert len(await parts.snapshots.current(None)) == 1


async def test_no_keys_are_no_question() -> None:
    parts = Parts()
    assert await parts.snapshots.current([]) == []
    assert parts.metrics.measured == 0


async def test_of_many_windows_few_are_kept() -> None:
    parts = Parts()
    parts.metrics.set(KEY, total_requests=10)
    await parts.snapshots.current(None)
    for window in range(1, 400):
        await parts.snapshots.current([KEY], window_s=float(window))
    assert len(parts.snapshots._last) <= 8
    assert len(parts.snapshots._answers) <= 256
    parts.metrics.failure = Unavailable("gone")
    parts.clock.advance(2)
    assert (await parts.snapshots.current(None))[0].stale, "the usual window is always kept"


async def test_the_environment_asked_for_wins() -> None:
    parts = Parts()
    parts.state.declare("summarize", "production")
    assert await parts.snapshots.environment_of("summarize", "staging") == "staging"


@pytest.mark.parametrize(
    ("environments", "chosen"),
    [(["production", "staging", "a"], "production"), (["staging", "a"], "staging"), (["b", "a"], "a")],
)
async def test_without_one_the_feature_s_own_choice_counts(environments: list[str], chosen: str) -> None:
    parts = Parts()
    parts.state.declare("summarize", *environments[1:])
    parts.metrics.set(FeatureKey("summarize", environments[0]), total_requests=1)
    await parts.snapshots.current(None)
    assert await parts.snapshots.environment_of("summarize", None) == chosen


async def test_a_declared_feature_without_data_stands_in_the_default_environment() -> None:
    parts = Parts(default_environment="qa")
    parts.state.declare("new")
    assert await parts.snapshots.environment_of("new", None) == "qa"


@pytest.mark.parametrize("asked", [None, "production"])
async def test_an_unknown_feature_is_not_found(asked: str | None) -> None:
    parts = Parts()
    with pytest.raises(NotFound, match="'nope' is not known"):
        await parts.snapshots.environment_of("nope", asked)
