"""What is shown as now is of now: Grafana's large numbers keep the last value of a series that has ended."""

from __future__ import annotations

import time

import httpx
import pytest

from featurewatch.dashboard_queries import interpolate, load, queries_of, values_of
from prometheus import Prometheus

pytest.importorskip("grafana_foundation_sdk", reason="the dependency group dashboards is not installed")

from boards.queries import BRIDGE, current, zero_by_bridge  # after the check that they can be imported

ENDED, LIVING = 'board_calls{app="ended"}', 'board_calls{app="living"}'


@pytest.fixture(scope="module")
def now(prometheus: Prometheus) -> float:
    """Write a sample each 15 seconds of half an hour; the app and the bridge that ended did so ten minutes ago."""
    end = time.time()
    steps = [end - 15.0 * index for index in range(120, -1, -1)]
    for name in ("board_calls", BRIDGE):
        for app, until in (("ended", end - 600), ("living", end)):
            points = [(round(at * 1000), 7.0) for at in steps if at <= until]
            prometheus.write({(("__name__", name), ("app", app)): points})
    return end


def shown(prometheus: Prometheus, expr: str, end: float) -> list[float]:
    """Ask as a panel does that shows the last half hour."""
    params = {"query": expr, "start": f"{end - 1800}", "end": f"{end}", "step": "15"}
    answer = httpx.get(f"{prometheus.url}/api/v1/query_range", params=params, timeout=30).json()
    assert answer["status"] == "success", answer
    return [float(value) for series in answer["data"]["result"] for _, value in series["values"]]


def test_a_sum_that_has_ended_is_not_shown_as_of_now(prometheus: Prometheus, now: float) -> None:
    assert shown(prometheus, f"sum({ENDED})", now), "what Grafana would show the last of"
    assert shown(prometheus, current(f"sum({ENDED})"), now) == []
    assert set(shown(prometheus, current(f"sum({LIVING})"), now)) == {7.0}


def test_nothing_is_0_only_where_a_bridge_is_scraped(prometheus: Prometheus, now: float) -> None:
    nothing = "count(board_calls > 100)"
    assert set(shown(prometheus, zero_by_bridge(nothing, 'app="living"'), now)) == {0.0}
    assert shown(prometheus, zero_by_bridge(nothing, 'app="ended"'), now) == []
    assert set(shown(prometheus, zero_by_bridge(f"sum({LIVING})", 'app="living"'), now)) == {7.0}


def test_without_a_bridge_the_list_of_alerts_says_that_it_does_not_know(prometheus: Prometheus, now: float) -> None:
    """A row of 0 is left out, so that the panel says that no alert is open; one below 0 is shown as unknown."""
    (board,) = (dashboard for dashboard in load() if dashboard["uid"] == "featurewatch-alerts")
    state, _ = (query for query in queries_of(board) if query.panel == "Alerts that are not over")
    expr = interpolate(state.expr, values_of(board), 1800, 15)
    told = {at: prometheus.query(expr, time_s=at) for at in (now, now - 7200)}
    assert [[float(row["value"][1]) for row in rows] for rows in told.values()] == [[0.0], [-1.0]]
