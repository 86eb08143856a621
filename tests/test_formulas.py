"""What a figure means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch import families
from featurewatch.families import BUCKETS
from featurewatch.formulas import METRICS, Histogram, Window, bucket_of, evaluate, metric_named, quantile


def window(**outcomes: float) -> Window:
    histogram = Histogram()
    histogram.counts[bucket_of(0.3)] = sum(outcomes.values())
    histogram.total = 0.3 * sum(outcomes.values())
    return Window(
        seconds=300,
        counters={
            families.REQUESTS.name: {(name,): outcomes.get(name, 0.0) for name in ("success", "error", "cancelled")},
            families.COST.name: {("m", "estimated"): 0.5, ("m", "reported"): 0.25},
            families.TOKENS.name: {("m", "input"): 100, ("m", "output"): 20, ("m", "cache_read"): 60},
        },
        histograms={families.DURATION.name: histogram},
        uptime=99.5,
    )


def test_rates_leave_cancelled_calls_out_and_counts_do_not() -> None:
    figures = evaluate(window(success=6, error=2, cancelled=2))
    assert figures["error_rate"] == 25.0
    assert figures["success_rate"] == 75.0
    assert figures["total_requests"] == 10
    assert figures["requests_per_minute"] == 2.0
    assert figures["cost_per_request"] == pytest.approx(0.075)
    assert figures["total_cost"] == 0.75
    assert figures["tokens_per_request"] == 12.0, "cache and reasoning tokens are subsets, never summed"
    assert figures["response_time"] == pytest.approx(300.0)
    assert figures["uptime"] == 99.5


def test_without_traffic_counts_are_zero_and_rates_unknown() -> None:
    figures = evaluate(window())
    assert figures["total_requests"] == 0
    assert figures["requests_per_minute"] == 0
    for name in ("error_rate", "success_rate", "response_time", "response_time_p95", "cost_per_request"):
        assert figures[name] is None, name


def test_without_series_nothing_is_known() -> None:
    assert set(evaluate(Window(300, {}, {})).values()) == {None}


def test_only_cancelled_calls_leave_the_rates_unknown() -> None:
    figures = evaluate(window(cancelled=3))
    assert figures["error_rate"] is None
    assert figures["total_requests"] == 3


def test_counts_are_rounded_to_whole_calls() -> None:
    assert evaluate(window(success=19.47))["total_requests"] == 19


def test_names_are_also_accepted_with_a_prefix() -> None:
    assert metric_named("metrics.error_rate") is METRICS["error_rate"]
    assert metric_named("avg_response_time") is METRICS["response_time"]
    assert metric_named("errorrate") is None


def test_a_bound_belongs_to_its_bucket() -> None:
    assert bucket_of(0.01) == 0
    assert bucket_of(math.nextafter(0.01, 1)) == 1
    assert bucket_of(BUCKETS[-1]) == len(BUCKETS) - 1
    assert bucket_of(1000) == len(BUCKETS)


def test_quantiles_are_those_of_histogram_quantile() -> None:
    # 10 in (0, .01], 10 in (.01, .02]: the median is the end of the first, p75 half-way through the second.
    counts = [10.0, 10.0] + [0.0] * (len(BUCKETS) - 1)
    assert quantile(0.5, counts) == pytest.approx(0.01)
    assert quantile(0.75, counts) == pytest.approx(0.015)
    assert quantile(0.25, counts) == pytest.approx(0.005)
    above = [0.0] * len(BUCKETS) + [3.0]
    assert quantile(0.5, above) == BUCKETS[-1]
    assert quantile(0.5, [0.0] * (len(BUCKETS) + 1)) is None


@given(st.lists(st.integers(0, 1000), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1))
def test_quantiles_rise_with_q_and_stay_within_the_bounds(counts: list[int]) -> None:
    values = [quantile(q, counts) for q in (0.05, 0.5, 0.95, 0.99)]
    if sum(counts) == 0:
        assert values == [None] * 4
    else:
        known = [value for value in values if value is not None]
        assert len(known) == 4
        assert known == sorted(known)
        assert 0 <= known[0] <= known[-1] <= BUCKETS[-1]
