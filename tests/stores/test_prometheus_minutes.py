"""Gains of counters that were read at each minute: births, restarts, gaps, many processes, any window."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.families import BUCKETS
from featurewatch.formulas import METRICS, bucket_of, quantile
from featurewatch.stores.prometheus_api import Values
from featurewatch.stores.prometheus_minutes import figures, names_of
from featurewatch.stores.sliding import Sliding

MINUTE_MS = 60_000
GONE = None


def series(name: str, values: Sequence[float | None], **labels: str) -> Values:
    told = {"__name__": name, "feature": "chat", "environment": "production", "instance": "a", "job": "app", **labels}
    return Values(told, {at * MINUTE_MS: value for at, value in enumerate(values) if value is not None})


def calls(values: Sequence[float | None], outcome: str = "success", **labels: str) -> Values:
    return series("feature_requests_total", values, outcome=outcome, **labels)


def computed(metric: str, told: list[Values], window: int, last: int, first: int = 0) -> list[float | None]:
    points = [at * MINUTE_MS for at in range(first, last + 1)]
    return list(figures(METRICS[metric].expression, told, range(last + 1), points, window * 60))


def test_a_window_holds_what_was_counted_in_it() -> None:
    told = [calls([0, 1, 1, 4, 4, 4, 10])]
    assert computed("total_requests", told, 1, 6) == [0, 1, 0, 3, 0, 0, 6]
    assert computed("total_requests", told, 3, 6) == [0, 1, 1, 4, 3, 3, 6]
    assert computed("requests_per_minute", told, 3, 6)[-1] == 2


def test_what_a_counter_had_when_it_was_first_seen_is_no_gain() -> None:
    assert computed("total_requests", [calls([GONE, 100, 103])], 5, 2) == [None, 0, 3]


def test_a_restart_counts_from_0() -> None:
    assert computed("total_requests", [calls([5, 8, 2, 3])], 1, 3) == [0, 3, 2, 1]


def test_a_gap_is_a_gain_of_windows_that_reach_back_to_before_it() -> None:
    told = [calls([0, 1, GONE, GONE, GONE, GONE, 9])]
    assert computed("total_requests", told, 2, 6) == [0, 1, None, None, None, None, 0]
    assert computed("total_requests", told, 5, 6)[-1] == 8


def test_processes_are_added_up_and_each_is_followed_by_itself() -> None:
    told = [calls([0, 1, 2]), calls([7, 9, 0], instance="b"), calls([GONE, 5, 6], instance="c")]
    assert computed("total_requests", told, 1, 2) == [0, 3, 2]


def test_a_model_that_comes_late_counts_from_0_where_its_process_was_there() -> None:
    cost = series("feature_cost_usd_total", [GONE, GONE, 0.5, 0.75], model="m", source="reported")
    alone = computed("total_cost", [cost], 1, 3)
    assert alone == [None, None, 0, 0.25]
    assert computed("total_cost", [cost, calls([3, 3, 4, 5])], 1, 3) == [None, None, 0.5, 0.25]
    assert computed("total_cost", [cost, calls([GONE, GONE, 0, 1])], 1, 3) == [None, None, 0.5, 0.25]
    assert computed("total_cost", [cost, calls([3, 3, 4], instance="b")], 1, 3) == [None, None, 0, 0.25]


def test_what_was_not_heard_for_five_minutes_is_unknown() -> None:
    told = [calls([1, 1, *[GONE] * 8])]
    assert computed("total_requests", told, 5, 9) == [0, 0, *[None] * 8]
    assert computed("total_requests", told, 8, 9) == [0, 0, 0, 0, 0, *[None] * 5]


def test_fractions_leave_nothing_of_themselves_behind() -> None:
    spent = [0.0]
    for _ in range(50):
        spent.append(spent[-1] + 0.1)
    cost = series("feature_cost_usd_total", [*spent, *[spent[-1]] * 19], model="m", source="reported")
    told = [calls([0.0] * 70), cost]
    assert computed("total_cost", told, 7, 69, 69) == [0]


@given(
    st.lists(st.lists(st.floats(0.005, 100), max_size=5), min_size=1, max_size=12),
    st.integers(1, 12), st.sampled_from([0.5, 0.95, 0.99]),
)  # fmt: skip
def test_a_quantile_is_of_the_buckets_of_its_window(minutes: list[list[float]], window: int, q: float) -> None:
    totals = [0.0] * (len(BUCKETS) + 1)
    found: dict[str, list[float | None]] = {f"{bound:g}": [0.0] for bound in BUCKETS} | {"+Inf": [0.0]}
    for durations in minutes:
        for value in durations:
            for at in range(bucket_of(value), len(totals)):
                totals[at] += 1
        for le, total in zip(found, totals, strict=True):
            found[le].append(total)
    told = [series("feature_request_duration_seconds_bucket", values, le=le) for le, values in found.items()]
    counts = [0.0] * (len(BUCKETS) + 1)
    for durations in minutes[-window:]:
        for value in durations:
            counts[bucket_of(value)] += 1
    expected = quantile(q, counts)
    last = len(minutes)
    (value,) = computed(f"response_time_p{q * 100:g}", told, window, last, last)
    assert value == (None if expected is None else pytest.approx(expected * 1000))


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "uptime"])
def test_only_what_a_figure_needs_is_asked_for(metric: str) -> None:
    names = names_of(METRICS[metric].expression)
    assert "feature_requests_total" in names
    assert len(names) <= 3
    assert ("feature_request_duration_seconds_bucket" in names) == metric.startswith("response_time_p")


@given(st.lists(st.floats(0, 10) | st.none(), min_size=1, max_size=40), st.integers(1, 10))
def test_a_sliding_sum_is_the_sum_of_its_window(values: list[float | None], length: int) -> None:
    sliding = Sliding()
    for minute, value in enumerate(values):
        if value is not None:
            sliding.add(minute, value)
    for minute in range(len(values) + length + 1):
        window = [value for value in values[max(0, minute - length + 1) : minute + 1] if value is not None]
        assert sliding.at(minute, length) == pytest.approx(sum(window), abs=1e-9)
        assert sliding.held == len(window)
        if not window:
            assert sliding.at(minute, length) == 0
