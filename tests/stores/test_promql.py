"""PromQL of the figures, evaluated by Prometheus itself: what is counted, and that no text can leave its quotes."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.formulas import METRICS
from featurewatch.stores import promql
from prometheus import Prometheus, Server
from remote_write import STALE, Labels, labels

NOW_S = int(time.time()) // 60 * 60 - 3600
_cases = itertools.count()

Story: TypeAlias = Mapping[Labels, Sequence[tuple[float, float]]]
"""Series to (seconds ago, value)."""

APP = {"job": "app", "instance": "a:1", "feature": "chat", "environment": "production"}
OK, FAILED = {**APP, "outcome": "success"}, {**APP, "outcome": "error"}
REQUESTS, COST, UP = "feature_requests_total", "feature_cost_usd_total", "up"
TARGET = {"job": "app", "instance": "a:1"}


@pytest.fixture(params=["prometheus", "victoriametrics"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def tell(server: Server, story: Story) -> dict[str, str]:
    """Write a story and return the matchers of its series."""
    case = {"case": f"promql-{os.getpid()}-{next(_cases)}"}
    server.write(
        {
            tuple(sorted((*told, *case.items()))): sorted((round((NOW_S - ago) * 1000), value) for ago, value in points)
            for told, points in story.items()
        }
    )
    return case


def figure(server: Server, metric: str, window_s: float, case: Mapping[str, str], *, targets: bool = True) -> float:
    """Evaluate a figure of the one feature there is; NaN where it has no series."""
    expr = promql.expression(metric, window_s, case, targets=case if targets else None)
    result = server.query(expr, time_s=NOW_S)
    assert all(one["metric"] == {"feature": "chat", "environment": "production"} for one in result), result
    assert len(result) <= 1, result
    return float(result[0]["value"][1]) if result else math.nan


def each(every: float, until: float, value: float = 1, since: float = 0) -> list[tuple[float, float]]:
    """Tell a value at each interval, from `until` seconds ago to `since`."""
    return [(ago, value) for ago in range(int(since), int(until) + 1, int(every))]


def counter(every: float, values: Sequence[float], last: float = 0) -> list[tuple[float, float]]:
    """Tell values at an interval, the last one `last` seconds ago."""
    return [(last + every * (len(values) - 1 - at), value) for at, value in enumerate(values)]


def test_a_burst_is_counted_exactly_where_increase_reads_more(server: Server) -> None:
    values = [*[100.0] * 30, *[119.0] * 11]  # 19 calls, 150 to 165 seconds ago
    case = tell(server, {labels(REQUESTS, OK): counter(15, values)})
    assert figure(server, "total_requests", 300, case) == 19
    assert figure(server, "requests_per_minute", 300, case) == pytest.approx(3.8)


def test_consecutive_windows_count_each_call_once(server: Server) -> None:
    values = [float(7 * n % 5 + 5 * n) for n in range(61)]
    case = tell(server, {labels(REQUESTS, OK): counter(15, values, last=4)})
    expr = promql.expression("total_requests", 60, case)
    told = [server.query(expr, time_s=NOW_S - ago) for ago in range(0, 600, 60)]
    assert sum(float(one[0]["value"][1]) for one in told) == values[-1] - values[-41]


def test_a_restart_subtracts_nothing(server: Server) -> None:
    values = [float(n) for n in (900, 910, 920, 930, 0, 10, 20, 30, 40, 50)]
    case = tell(server, {labels(REQUESTS, OK): counter(15, [*[900.0] * 20, *values])})
    assert figure(server, "total_requests", 300, case) == pytest.approx(80, abs=5)


def test_a_series_born_above_zero_in_a_target_that_was_scraped_counts_wholly(server: Server) -> None:
    case = tell(
        server,
        {
            labels(UP, TARGET): each(15, 600),
            labels(REQUESTS, OK): each(15, 90, 3),
            labels(REQUESTS, FAILED): each(15, 90, 0),
        },
    )
    assert figure(server, "total_requests", 300, case) == 3
    assert figure(server, "total_requests", 300, case, targets=False) == 0


def test_a_series_born_above_zero_in_a_young_server_counts_wholly(server: Server) -> None:
    case = tell(server, {labels(UP, TARGET): each(15, 150), labels(REQUESTS, OK): each(15, 60, 3)})
    assert figure(server, "total_requests", 300, case) == 3


def test_what_comes_back_after_a_gap_is_no_gain(server: Server) -> None:
    """The server was away for half an hour; the app counted 5,000 calls meanwhile."""
    gap = [*each(15, 7200, since=2400), *each(15, 150)]
    calls = [*each(15, 7200, 1000, since=2400), *each(15, 150, 6000)]
    case = tell(server, {labels(UP, TARGET): gap, labels(REQUESTS, OK): calls})
    assert figure(server, "total_requests", 300, case) == 0
    assert figure(server, "total_requests", 3600, case) == 5000


def test_a_target_that_was_unreachable_is_no_gain(server: Server) -> None:
    up = [*each(15, 150), *each(15, 2400, 0, since=165), *each(15, 7200, since=2415)]
    calls = [*each(15, 7200, 1000, since=2415), *each(15, 150, 6000)]
    case = tell(server, {labels(UP, TARGET): up, labels(REQUESTS, OK): calls})
    assert figure(server, "total_requests", 300, case) == 0


def test_targets_that_get_another_label_are_no_gain(server: Server) -> None:
    """A relabelled target is a new one with old totals, under the same job and instance."""
    end = [(151.0, STALE)]
    case = tell(
        server,
        {
            labels(UP, TARGET): [*each(15, 7200, since=165), *end],
            labels(REQUESTS, OK): [*each(15, 7200, 1000, since=165), *end],
            labels(COST, {**APP, "model": "m", "source": "reported"}): [*each(15, 7200, 5, since=165), *end],
            labels(UP, {**TARGET, "team": "x"}): each(15, 150),
            labels(REQUESTS, {**OK, "team": "x"}): each(15, 150, 1000),
            labels(COST, {**APP, "model": "m", "source": "reported", "team": "x"}): each(15, 150, 5),
        },
    )
    assert figure(server, "total_requests", 300, case) == 0
    assert figure(server, "total_cost", 300, case) == 0


def test_a_renamed_instance_is_no_gain(server: Server) -> None:
    renamed = {"instance": "b:1"}
    case = tell(
        server,
        {
            labels(UP, TARGET): each(15, 7200, since=165),
            labels(REQUESTS, OK): each(15, 7200, 1000, since=165),
            labels(UP, {**TARGET, **renamed}): each(15, 150),
            labels(REQUESTS, {**OK, **renamed}): each(15, 150, 1000),
        },
    )
    assert figure(server, "total_requests", 300, case) == 0


@pytest.mark.parametrize("targets", [True, False])
def test_the_first_cost_of_a_model_counts_wholly(server: Server, targets: bool) -> None:
    case = tell(
        server,
        {
            labels(UP, TARGET): each(15, 7200),
            labels(REQUESTS, OK): [*each(15, 7200, 1000, since=165), *each(15, 150, 1002)],
            labels(COST, {**APP, "model": "new", "source": "reported"}): each(15, 150, 0.5),
        },
    )
    assert figure(server, "total_cost", 300, case, targets=targets) == 0.5
    assert figure(server, "cost_per_request", 300, case, targets=targets) == 0.25


def test_one_series_that_is_no_number_poisons_no_sum(server: Server) -> None:
    if not isinstance(server, Prometheus):
        pytest.skip("VictoriaMetrics keeps no NaN")
    case = tell(
        server,
        {
            labels(REQUESTS, OK): counter(15, [float(n) for n in range(41)]),
            labels(REQUESTS, {**OK, "instance": "broken:1"}): each(15, 600, math.nan),
            labels(REQUESTS, {**FAILED, "instance": "broken:1"}): each(15, 600, math.inf),
        },
    )
    assert figure(server, "total_requests", 300, case) == 20
    assert figure(server, "error_rate", 300, case) == 0
    assert figure(server, "uptime", 300, case) == 100


def test_cancelled_calls_count_in_the_total_alone_and_half_failed_is_half(server: Server) -> None:
    rising = counter(15, [float(n) for n in range(1000, 1041)])
    young = counter(15, [float(n) for n in range(41)])  # near 0, where increase() would extrapolate less
    cancelled = {**APP, "outcome": "cancelled"}
    case = tell(
        server,
        {labels(REQUESTS, OK): rising, labels(REQUESTS, FAILED): young, labels(REQUESTS, cancelled): rising},
    )
    assert figure(server, "total_requests", 300, case) == 60
    assert figure(server, "error_rate", 300, case) == 50
    assert figure(server, "success_rate", 300, case) == 50


def test_a_label_that_never_came_counts_zero_and_an_idle_feature_has_no_rate(server: Server) -> None:
    case = tell(server, {labels(REQUESTS, OK): counter(15, [float(n) for n in range(41)])})
    assert figure(server, "error_rate", 300, case) == 0
    assert math.isnan(figure(server, "total_cost", 300, case))
    case = tell(server, {labels(REQUESTS, OK): each(15, 600, 5), labels(REQUESTS, FAILED): each(15, 600, 1)})
    assert figure(server, "total_requests", 300, case) == 0
    assert math.isnan(figure(server, "error_rate", 300, case))


def test_a_minute_is_down_from_the_threshold_on(server: Server) -> None:
    # 3 of 10 calls fail in each minute
    case = tell(
        server,
        {
            labels(REQUESTS, OK): counter(60, [float(7 * n) for n in range(11)]),
            labels(REQUESTS, FAILED): counter(60, [float(3 * n) for n in range(11)]),
        },
    )
    for threshold, uptime in ((30, 0), (30.5, 100), (50, 100), (100, 100)):
        expr = promql.expression("uptime", 300, case, threshold=threshold)
        assert float(server.query(expr, time_s=NOW_S)[0]["value"][1]) == uptime


def test_scrapes_a_minute_apart_are_enough(server: Server) -> None:
    case = tell(
        server,
        {
            labels(REQUESTS, OK): counter(60, [float(n) for n in range(20)], last=7),
            labels(REQUESTS, FAILED): each(60, 1200, 0, since=7),
        },
    )
    assert figure(server, "total_requests", 300, case) == 5
    assert figure(server, "total_requests", 60, case) == 1
    assert figure(server, "uptime", 900, case) == 100


def test_a_histogram_with_other_bounds_still_has_quantiles(server: Server) -> None:
    name = "feature_request_duration_seconds_bucket"
    told = {labels(name, {**APP, "le": le}): counter(15, [float(n * share) for n in range(41)]) for le, share in
            (("0.5", 1), ("1.0", 2), ("+Inf", 2))}  # fmt: skip
    case = tell(server, told)
    assert figure(server, "response_time_p50", 300, case) == pytest.approx(500)
    assert figure(server, "response_time_p99", 300, case) == pytest.approx(990)


def test_every_figure_is_valid_promql_for_any_window_and_selection(prometheus: Prometheus) -> None:
    selections: list[promql.Matchers] = [{}, {"feature": "a.b", "environment": ["x", "y"]}, {"cluster": 'e"u\\'}]
    for metric, window, matchers in itertools.product(METRICS, (5, 60, 90, 300, 3600, 0.5), selections):
        prometheus.query(promql.expression(metric, window, matchers, targets={}))


def test_a_window_is_written_as_prometheus_reads_it() -> None:
    told = {300: "5m", 90: "90s", 3600: "1h", 86_400: "24h", 0.5: "500ms", 1.0005: "1s", 61.25: "61250ms"}
    assert {seconds: promql.duration(seconds) for seconds in told} == told


def test_a_label_is_a_name() -> None:
    with pytest.raises(ValueError, match="expected the name of a label"):
        promql.selector("up", {'a="b"} or vector(1) #': "x"})


def test_a_metric_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        promql.expression("upness", 300)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=3, unique=True))
def test_any_text_finds_itself_and_nothing_else(prometheus: Prometheus, values: list[str]) -> None:
    """Quoted as one value, and as one of several in a regular expression."""
    case = {"case": f"promql-{os.getpid()}-{next(_cases)}"}
    at = [(NOW_S * 1000, 1.0)]
    others = ["", "x", ".*", '"', "\\", "a|b", "\n"]
    told = {*values, *others} - {""}
    prometheus.write({labels("quoted", {**case, "value": value}): at for value in told})
    for value in values:
        found = prometheus.query(promql.selector("quoted", case, {"value": value}), time_s=NOW_S)
        assert [one["metric"]["value"] for one in found] == [value]
    found = prometheus.query(promql.selector("quoted", case, {"value": values}), time_s=NOW_S)
    assert {one["metric"]["value"] for one in found} == set(values)
