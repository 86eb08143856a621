"""What every metric store does. Expected figures are computed from the calls, not by the code under test.

Tolerances: a store may read a window at its rows' or scrapes' edges, so counts may differ by what happened within 10
seconds of an edge (`between`); a quantile is known to its bucket, a factor of 2; sums and ratios are exact to 2 %
where calls are spread evenly.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from featurewatch.errors import BadInput, OutOfRange
from featurewatch.formulas import METRICS, Quantile
from featurewatch.model import FeatureKey, Outcome, Sample
from featurewatch.stores.base import MetricStore
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from metric_samples import CHAT, NOW, NS, SEARCH, STAGED, App, Done, flat
from shifted import over

pytestmark = pytest.mark.anyio

Feeder: TypeAlias = Callable[[Sequence[Sample], int], AbstractAsyncContextManager[MetricStore]]
"""Opens a store that heard these samples, at the time `now_ns`."""


@asynccontextmanager
async def _embedded(samples: Sequence[Sample], now_ns: int) -> AsyncIterator[MetricStore]:
    with TemporaryDirectory() as folder:
        clock = [now_ns]
        store = await EmbeddedMetrics.open(
            Path(folder) / "metrics.db", uptime_threshold=50, retention_s=400 * 86_400, clock=lambda: clock[0]
        )
        try:
            pushes: dict[int, list[Sample]] = {}
            for sample in samples:
                pushes.setdefault(sample.time_ns, []).append(sample)
            for clock[0], push in sorted(pushes.items()):
                await store.write(push)
            clock[0] = now_ns
            yield store
        finally:
            await store.close()


@pytest.fixture(params=["embedded", "prometheus", "victoriametrics"])
def fed(request: pytest.FixtureRequest) -> Feeder:
    if request.param == "embedded":
        return _embedded
    return partial(over, request.getfixturevalue(request.param))


def ago(seconds: float) -> int:
    return NOW - int(seconds * NS)


def busy(key: FeatureKey = CHAT, *, seed: int = 1, seconds: int = 900, each_second: int = 1) -> App:
    """An app that was called at random times, with every outcome and figure."""
    chance = random.Random(seed)
    app = App(key, start_ns=ago(seconds), in_progress=3, budget=25.0, info=("Chat", "team", "1.4"))
    for _ in range(seconds * each_second):
        outcome = chance.choices(["success", "error", "cancelled"], [80, 15, 5])[0]
        app.calls.append(
            Done(
                app.start_ns + int(chance.random() * seconds * NS),
                outcome,  # type: ignore[arg-type]  # choices() forgets the literal
                chance.lognormvariate(-1, 0.8),
                chance.uniform(0.05, 0.5) if chance.random() < 0.5 else None,
                chance.choice(["TimeoutError", "refused"]),
                chance.choice(["small", "large"]),
                (("input", chance.randrange(2000)), ("output", chance.randrange(300)), ("cache_read", 10)),
                reported=chance.uniform(0, 0.01) if chance.random() < 0.5 else None,
            )
        )
    return app


def within(app: App, window_s: float) -> list[Done]:
    return [call for call in app.calls if call.at_ns > ago(window_s)]


def between(app: App, window_s: float, outcome: str = "") -> tuple[int, int]:
    """The fewest and most calls that a window may count, its edge being known to 10 seconds."""
    low, high = (
        sum(1 for call in within(app, seconds) if not outcome or call.outcome == outcome)
        for seconds in (window_s - 10, window_s + 10)
    )
    return low, high


async def test_a_window_shows_the_figures_of_the_calls_in_it(fed: Feeder) -> None:
    app = busy()
    async with fed(flat(app.pushes()), NOW) as store:
        measurement = (await store.measure(None, 300))[CHAT]
    figures = measurement.metrics
    assert set(figures) == set(METRICS)
    assert measurement.key == CHAT
    assert measurement.timestamp_ns == NOW
    calls = within(app, 300)
    low, high = between(app, 300)
    assert low <= figures["total_requests"] <= high
    assert low / 5 <= figures["requests_per_minute"] <= high / 5
    failed = sum(call.outcome == "error" for call in calls)
    decided = sum(call.outcome != "cancelled" for call in calls)
    assert figures["error_rate"] == pytest.approx(100 * failed / decided, abs=1)
    assert figures["success_rate"] == pytest.approx(100 - figures["error_rate"])
    assert figures["response_time"] == pytest.approx(1000 * sum(c.seconds for c in calls) / len(calls), rel=0.05)
    cost = sum(call.reported or 0 for call in calls)
    assert figures["total_cost"] == pytest.approx(cost, rel=0.06)
    assert figures["cost_per_request"] == pytest.approx(cost / len(calls), rel=0.06)
    tokens = sum(count for call in calls for kind, count in call.tokens if kind in ("input", "output"))
    assert figures["tokens_per_request"] == pytest.approx(tokens / len(calls), rel=0.06)
    for name, q in (("response_time_p50", 0.5), ("response_time_p95", 0.95), ("response_time_p99", 0.99)):
        actual = 1000 * sorted(call.seconds for call in calls)[int(q * len(calls))]
        assert actual / 2 <= figures[name] <= actual * 2
    first = sorted(call.first_token for call in calls if call.first_token is not None)
    assert first[int(0.95 * len(first))] * 500 <= figures["time_to_first_token_p95"] <= first[-1] * 2000


@pytest.mark.parametrize("window_s", [60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400])
async def test_calls_are_counted_in_every_window_that_holds_them(fed: Feeder, window_s: int) -> None:
    app = App(start_ns=ago(8 * 86_400))
    ages = [30, 200, 800, 3000, 5 * 3600, 20 * 3600, 6 * 86_400, 7.9 * 86_400]
    app.calls = [Done(ago(age), seconds=1.0) for age in ages]
    moments = sorted(ago(age) + offset * NS for age in ages for offset in (-20, -10, 0, 10))
    samples = flat(app.samples(at) for at in [*moments, NOW])
    async with fed(samples, NOW) as store:
        figures = (await store.measure([CHAT], window_s))[CHAT].metrics
    assert figures["total_requests"] == sum(age < window_s for age in ages)
    assert figures["response_time"] == pytest.approx(1000)


async def test_features_and_environments_are_never_mixed(fed: Feeder) -> None:
    apps = [busy(CHAT, seed=1), busy(STAGED, seed=2, each_second=1), busy(SEARCH, seed=3, each_second=3)]
    samples = flat(push for app in apps for push in app.pushes())
    async with fed(samples, NOW) as store:
        assert await store.keys() == {CHAT, STAGED, SEARCH}
        everything = await store.measure(None, 600)
        assert set(everything) == {CHAT, STAGED, SEARCH}
        for app in apps:
            low, high = between(app, 600)
            assert low <= everything[app.key].metrics["total_requests"] <= high
            alone = await store.measure([app.key], 600)
            assert set(alone) == {app.key}
            assert alone[app.key].metrics == everything[app.key].metrics


async def test_a_feature_without_series_has_no_figures(fed: Feeder) -> None:
    async with fed(flat(busy(seconds=60).pushes()), NOW) as store:
        measured = await store.measure([SEARCH], 300)
        now_ms = NOW // 1_000_000
        history = await store.history(SEARCH, "total_requests", now_ms - 60_000, now_ms, 30)
        assert await store.costs(SEARCH, 300) == []
        assert await store.errors(SEARCH, 300) == {}
        assert SEARCH not in await store.in_progress(None)
    assert SEARCH not in measured or set(measured[SEARCH].metrics.values()) == {None}
    assert [value for _, value in history] == [None, None, None]


async def test_an_empty_store_answers(fed: Feeder) -> None:
    async with fed([], NOW) as store:
        await store.ping()
        assert await store.keys() == set()
        assert await store.measure(None, 300) == {}
        assert await store.info() == {}
        assert await store.in_progress(None) == {}


async def test_an_idle_feature_stands_with_zero_calls_and_no_rates(fed: Feeder) -> None:
    app = App(start_ns=ago(1800), calls=[Done(ago(1700), reported=0.5, model="small", tokens=(("input", 3),))])
    async with fed(flat(app.pushes(every_s=15)), NOW) as store:
        figures = (await store.measure(None, 300))[CHAT].metrics
    assert figures["total_requests"] == 0
    assert figures["requests_per_minute"] == 0
    assert figures["total_cost"] == 0
    rates = ("error_rate", "success_rate", "response_time", "response_time_p95", "cost_per_request")
    assert {figures[name] for name in rates} == {None}
    assert figures["uptime"] == 100


async def test_a_feature_that_went_silent_has_no_counts(fed: Feeder) -> None:
    app = App(start_ns=ago(7200), calls=[Done(ago(7000))])
    async with fed(flat(app.pushes(ago(3600), every_s=30)), NOW) as store:
        figures = (await store.measure([CHAT], 300)).get(CHAT)
        assert CHAT not in await store.in_progress(None)
    assert figures is None or figures.metrics["total_requests"] is None


async def test_what_was_never_told_is_unknown_and_not_zero(fed: Feeder) -> None:
    app = App(start_ns=ago(600), calls=[Done(ago(100)) for _ in range(4)])
    async with fed(flat(app.pushes()), NOW) as store:
        figures = (await store.measure(None, 300))[CHAT].metrics
    assert figures["total_requests"] == 4
    unknown = ("total_cost", "cost_per_request", "tokens_per_request", "time_to_first_token_p95")
    assert {figures[name] for name in unknown} == {None}


async def test_processes_add_up(fed: Feeder) -> None:
    apps = [busy(seed=seed, each_second=1) for seed in (1, 2, 3)]
    for number, app in enumerate(apps):
        app.instance = f"instance {number}"
        app.in_progress = number + 1
    async with fed(flat(push for app in apps for push in app.pushes()), NOW) as store:
        figures = (await store.measure(None, 300))[CHAT].metrics
        assert await store.in_progress([CHAT]) == {CHAT: 6}
    low, high = (sum(counts) for counts in zip(*(between(app, 300) for app in apps), strict=True))
    assert low <= figures["total_requests"] <= high


async def test_a_restart_subtracts_nothing(fed: Feeder) -> None:
    before = App(start_ns=ago(900), calls=[Done(ago(880 - n)) for n in range(500)])
    after = App(start_ns=ago(350), calls=[Done(ago(340 - n)) for n in range(300)])
    samples = [*flat(before.pushes(ago(360))), *after.samples(after.start_ns + NS), *flat(after.pushes())]
    async with fed(samples, NOW) as store:
        assert (await store.measure(None, 1800))[CHAT].metrics["total_requests"] == pytest.approx(800, abs=10)
        assert (await store.measure(None, 345))[CHAT].metrics["total_requests"] == pytest.approx(300, abs=10)


async def test_uptime_is_the_share_of_minutes_with_traffic_that_were_up(fed: Feeder) -> None:
    app = App(start_ns=ago(3600))
    minute = NOW // (60 * NS) * 60 * NS
    plan = {  # minutes ago: outcomes
        50: ["success"] * 4,
        40: ["success"] * 2 + ["error"] * 2,  # half failed: down
        30: ["success"] * 3 + ["error"] * 2,
        20: ["cancelled"] * 3,  # judged by nobody
        10: ["error"],
    }
    for minutes, outcomes in plan.items():
        app.calls += [Done(minute - minutes * 60 * NS + 20 * NS, outcome) for outcome in outcomes]  # type: ignore[arg-type]  # str is wider than Outcome
    async with fed(flat(app.pushes(every_s=5)), NOW) as store:
        day = (await store.measure(None, 300))[CHAT].metrics["uptime"]
        some = (await store.measure(None, 300, uptime_window_s=35 * 60))[CHAT].metrics["uptime"]
        none = (await store.measure(None, 300, uptime_window_s=300))[CHAT].metrics["uptime"]
    assert day == 50
    assert some == 50
    assert none is None


async def test_probes_decide_the_minutes_without_traffic(fed: Feeder) -> None:
    app = App(start_ns=ago(1200))
    minute = NOW // (60 * NS) * 60 * NS
    app.probes = [(ago(1190), True), (minute - 10 * 60 * NS, False), (minute - 5 * 60 * NS, True)]
    app.calls = [Done(minute - 8 * 60 * NS + 30 * NS)]  # the probe fails, but calls succeed
    async with fed(flat(app.pushes(every_s=15)), NOW) as store:
        uptime = (await store.measure(None, 300))[CHAT].metrics["uptime"]
    assert uptime == pytest.approx(100 * 16 / 20, abs=6)


async def test_history_has_a_point_at_each_step_and_none_for_gaps(fed: Feeder) -> None:
    first = App(start_ns=ago(3000), calls=[Done(ago(2990 - 3 * n)) for n in range(300)])
    second = App(instance="two", start_ns=ago(900), calls=[Done(ago(895 - 3 * n)) for n in range(290)])
    samples = [*flat(first.pushes(ago(2000))), *second.samples(second.start_ns + NS), *flat(second.pushes())]
    start_ms, end_ms = ago(3600) // 1_000_000, NOW // 1_000_000
    async with fed(samples, NOW) as store:
        counts = await store.history(CHAT, "total_requests", start_ms, end_ms, 60)
        rates = await store.history(CHAT, "metrics.error_rate", start_ms, end_ms, 60)
    assert [at for at, _ in counts] == list(range(start_ms, end_ms + 1, 60_000))
    assert [at for at, _ in rates] == [at for at, _ in counts]
    assert sum(value or 0 for _, value in counts) == pytest.approx(590, abs=8)
    gap = [value for at, value in counts if ago(1800) < at * 1_000_000 <= ago(1000)]
    assert len(gap) > 10
    assert set(gap) == {None}
    busy_steps = [value for at, value in counts if ago(700) < at * 1_000_000 <= ago(100)]
    assert all(value == pytest.approx(20, abs=3) for value in busy_steps)
    assert {value for at, value in rates if ago(700) < at * 1_000_000 <= ago(100)} == {0}


async def test_every_metric_has_a_history_that_agrees_with_its_window(fed: Feeder) -> None:
    app = busy(seconds=600)
    now_ms = NOW // 1_000_000
    async with fed(flat(app.pushes()), NOW) as store:
        figures = (await store.measure([CHAT], 300, uptime_window_s=300))[CHAT].metrics
        for metric in METRICS:
            [(at, value)] = await store.history(CHAT, metric, now_ms, now_ms, 300)
            assert (metric, at, value) == (metric, now_ms, pytest.approx(figures[metric], rel=0.1))


async def test_uptime_has_a_history_of_many_minutes(fed: Feeder) -> None:
    day_s, end_ms = 86_400, NOW // 1_000_000
    first = App(start_ns=ago(40 * day_s), calls=[Done(ago(40 * day_s - 30), "error")])
    second = App(instance="two", start_ns=ago(3600), calls=[Done(ago(1800))])
    samples = [*flat(first.pushes(ago(40 * day_s - 90))), *flat(second.pushes(every_s=15))]
    async with fed(samples, NOW) as store:
        days = await store.history(CHAT, "uptime", end_ms - 45 * day_s * 1000, end_ms, day_s)
        [(_, whole)] = await store.history(CHAT, "uptime", end_ms, end_ms, 41 * day_s)
    assert len(days) == 46
    assert [value for _, value in days if value is not None] == [0, 100]
    assert whole is None or 0 <= whole <= 100  # of so long a window not every minute need be looked at


async def test_history_counts_each_call_once_whatever_the_step(fed: Feeder) -> None:
    app = busy(seconds=600)
    low, high = between(app, 600)
    async with fed(flat(app.pushes()), NOW) as store:
        for step in (5, 7, 15, 60, 300, 3600):
            end_ms = NOW // 1_000_000 + 10_000
            points = await store.history(
                CHAT, "total_requests", end_ms - 900_000 // (step * 1000) * step * 1000, end_ms, step
            )
            assert sum(value or 0 for _, value in points) == pytest.approx((low + high) / 2, abs=25)


async def test_a_history_of_too_many_points_is_refused_with_the_step_to_use(fed: Feeder) -> None:
    end_ms = NOW // 1_000_000
    async with fed([], NOW) as store:
        with pytest.raises(OutOfRange, match=r"step: .* at most 11000 .*: use 55 s"):
            await store.history(CHAT, "uptime", end_ms - 7 * 86_400_000, end_ms, 5)
        assert len(await store.history(CHAT, "uptime", end_ms - 7 * 86_400_000, end_ms, 55)) <= 11_000
        with pytest.raises(BadInput, match=r"expected one of uptime, .*, got 'upness'"):
            await store.history(CHAT, "upness", end_ms, end_ms, 5)


async def test_costs_are_told_by_model_the_dearest_first(fed: Feeder) -> None:
    app = App(start_ns=ago(600))
    app.calls = [
        *(Done(ago(100), model="small", tokens=(("input", 10), ("output", 5)), reported=0.25) for _ in range(2)),
        Done(ago(90), model="small", tokens=(("input", 1),), estimated=0.5),
        Done(ago(80), model="large", tokens=(("input", 7), ("cache_read", 2)), estimated=3.0),
        *(Done(ago(70), model="strange", tokens=(("input", 4),)) for _ in range(3)),
    ]
    async with fed(flat(app.pushes()), NOW) as store:
        costs = await store.costs(CHAT, 300)
        assert (await store.measure(None, 300))[CHAT].metrics["total_cost"] == pytest.approx(4.0)
    assert [cost.model for cost in costs] == ["large", "small", "strange"]
    large, small = costs[:2]
    assert (large.cost_usd, large.reported_usd, large.estimated_usd) == pytest.approx((3.0, 0, 3.0))
    assert (small.cost_usd, small.reported_usd, small.estimated_usd) == pytest.approx((1.0, 0.5, 0.5))
    assert {kind: n for kind, n in small.tokens.items() if n} == {"input": 21, "output": 10}
    assert {kind: n for kind, n in large.tokens.items() if n} == {"input": 7, "cache_read": 2}
    assert [cost.unpriced_requests for cost in costs] == [0, 0, 3]


async def test_errors_are_told_by_type_the_most_frequent_first(fed: Feeder) -> None:
    app = App(start_ns=ago(600))
    app.calls = [
        Done(ago(100), "error", error_type="refused"),
        *(Done(ago(90), "error") for _ in range(3)),
        Done(ago(90)),
    ]
    app.calls.append(Done(ago(500), "error", error_type="OldError"))
    async with fed(flat(app.pushes()), NOW) as store:
        assert list((await store.errors(CHAT, 300)).items()) == [("TimeoutError", 3), ("refused", 1)]


async def test_info_says_what_the_feature_is_and_its_budget(fed: Feeder) -> None:
    named, bare = busy(seconds=60), App(SEARCH, start_ns=ago(60))
    async with fed(flat([*named.pushes(), *bare.pushes()]), NOW) as store:
        info = await store.info()
        assert await store.in_progress(None) == {CHAT: 3, SEARCH: 0}
    assert info[CHAT]["name"] == "Chat"
    assert info[CHAT]["owner"] == "team"
    assert info[CHAT]["version"] == "1.4"
    assert float(info[CHAT]["budget_usd_per_day"]) == 25
    assert "budget_usd_per_day" not in info.get(SEARCH, {})


# what rules look at


MINUTE_MS = 60_000
END_MS = NOW // 60_000_000_000 * MINUTE_MS


def before_end(app: App) -> list[Sample]:
    """What an app told up to the last whole minute."""
    return [sample for sample in flat(app.pushes()) if sample.time_ns <= END_MS * 1_000_000]


async def test_a_series_shows_at_each_minute_what_a_window_that_ends_there_holds(fed: Feeder) -> None:
    app = App(start_ns=ago(3600))
    # In the middle of minutes: within some seconds of an edge a store may take a call for one of the next window.
    told: dict[int, Outcome] = {49: "success", 29: "error", 28: "success", 8: "success", 6: "cancelled"}
    app.calls = [
        Done(END_MS * 1_000_000 - (60 * minutes + 30) * NS, outcome, seconds=2.0, reported=0.25)
        for minutes, outcome in told.items()
    ]
    async with fed(before_end(app), END_MS * 1_000_000) as store:
        for window_s in (60, 300, 1800, 7200):
            calls, costs, errors, slow = [
                dict(await store.series(CHAT, name, window_s, END_MS - 2_950_500, END_MS))
                for name in ("total_requests", "total_cost", "error_rate", "response_time_p95")
            ]
            assert list(calls) == list(range(END_MS - 49 * MINUTE_MS, END_MS + 1, MINUTE_MS))
            for at in calls:
                held = [one for one in app.calls if (at - window_s * 1000) * 1_000_000 < one.at_ns <= at * 1_000_000]
                decided = [one for one in held if one.outcome != "cancelled"]
                failed = sum(one.outcome == "error" for one in held)
                assert calls[at] == len(held), at
                assert costs[at] == pytest.approx(0.25 * len(held)), at
                assert errors[at] == (pytest.approx(100 * failed / len(decided)) if decided else None), at
                assert (slow[at] is None) == (not held), at


async def test_a_series_ends_with_what_a_snapshot_says_then(fed: Feeder) -> None:
    async with fed(before_end(busy()), END_MS * 1_000_000) as store:
        then = (await store.measure([CHAT], 300, 300))[CHAT].metrics
        for metric, row in METRICS.items():
            told = await store.series(CHAT, metric, 300, END_MS - MINUTE_MS, END_MS)
            assert [at for at, _ in told] == [END_MS - MINUTE_MS, END_MS]
            # Prometheus extrapolates what buckets gained.
            tolerance = 0.05 if isinstance(row.expression, Quantile) else 1e-6
            assert told[-1][1] == pytest.approx(then[metric], rel=tolerance), metric


async def test_a_series_counts_the_uptime_of_its_window(fed: Feeder) -> None:
    app = App(start_ns=END_MS * 1_000_000 - 3600 * NS)
    app.calls = [
        Done(END_MS * 1_000_000 - (60 * n + 30) * NS, "error" if 10 <= n < 20 else "success") for n in range(40)
    ]
    async with fed(before_end(app), END_MS * 1_000_000) as store:
        told = dict(await store.series(CHAT, "uptime", 1200, END_MS - 60 * MINUTE_MS, END_MS))
    for minutes, up in ((0, 50), (5, 50), (10, 50), (20, 100), (39, 100), (55, None)):
        assert told[END_MS - minutes * MINUTE_MS] == up, minutes


async def test_a_series_of_an_unknown_feature_has_no_figure(fed: Feeder) -> None:
    before = END_MS - MINUTE_MS
    async with fed([], END_MS * 1_000_000) as store:
        assert await store.series(SEARCH, "error_rate", 300, before, END_MS) == [(before, None), (END_MS, None)]
        assert await store.series(SEARCH, "error_rate", 300, END_MS, before) == []
        with pytest.raises(BadInput, match="metric"):
            await store.series(SEARCH, "nothing", 300, END_MS, END_MS)
        with pytest.raises(OutOfRange):
            await store.series(SEARCH, "error_rate", 300, 0, END_MS)
