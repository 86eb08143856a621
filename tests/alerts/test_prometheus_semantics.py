"""Rules as Prometheus evaluates them, beside the figures that snapshots show: they fire just where these cross."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurewatch.alert_model import CONDITIONS, AlertRule, Condition
from featurewatch.alerts.conditions import band, holds
from featurewatch.alerts.prometheus import Rendering, render
from featurewatch.alerts.slo import slo_rules
from featurewatch.alerts.tracker import firings
from featurewatch.formulas import METRICS, Quantile
from featurewatch.model import FeatureRecord, Slo

from .promtool import IDLE, Minute, Traffic, firing, needs_promtool, run

pytestmark = needs_promtool

AT: Final = 12
WINDOW: Final = 5

BUSY = Minute(
    success=16, error=4, cancelled=5, durations=(0.2,) * 15 + (1.5,) * 8 + (5.0, 9.0), first_tokens=(0.05, 0.4) * 5,
    tokens={"input": 1000, "output": 250, "cache_read": 300}, cost=0.5,
)  # fmt: skip
"""Of each minute, so that a window's figures are round: 20 % errors, 125 requests, 0.02 USD a request."""


def traffic(feature: str, *minutes: Minute, **given: Any) -> Traffic:
    """Fill what comes before with idle minutes."""
    return Traffic(feature, [IDLE] * (AT - len(minutes)) + list(minutes), **given)


def rule(story: Traffic, metric: str, condition: Condition, threshold: float, **given: Any) -> AlertRule:
    return AlertRule(
        f"{story.feature}-{metric}-{condition}-{threshold!r}", story.feature, f"{metric} {condition}", metric,
        condition, threshold, "high", for_minutes=0, window_minutes=WINDOW, **given,
    )  # fmt: skip


def edges(value: float | None) -> list[float]:
    """Return thresholds at, just above and just below a value, and around what equals it."""
    if value is None:
        return [0.0, 50.0]
    near = {value, value + 1, max(0, value - 1)} if float(value).is_integer() else set()
    return sorted(near | {value * factor for factor in (0.99, 0.994, 0.996, 0.999999, 1.000001, 1.004, 1.006, 1.01)})


def told(metric: str, value: float | None, edge: float) -> bool:
    """Whether the comparison is not decided by the last digits, in which two ways to compute may differ."""
    if value is None or not math.isclose(value, edge, rel_tol=1e-9):
        return True
    return float(value).is_integer() and not isinstance(METRICS[metric].expression, Quantile)


STORIES: Final = (
    traffic("busy", *[BUSY] * WINDOW),
    traffic("burst", replace(BUSY, error=0), IDLE, IDLE, replace(BUSY, error=31), IDLE),
    traffic("before-the-window", BUSY, BUSY, *[IDLE] * WINDOW),
    traffic("never-called"),
    traffic("all-failed", *[Minute(error=3, durations=(0.1,) * 3)] * WINDOW),
    traffic("none-failed", *[Minute(success=3, durations=(0.1,) * 3)] * WINDOW),
    traffic("cancelled", *[Minute(cancelled=2, durations=(100.0,) * 2)] * WINDOW),
    traffic("one-call", IDLE, Minute(success=1, durations=(0.02,), cost=0.00001, tokens={"input": 7}), IDLE),
    traffic("19-calls", Minute(success=19, durations=(0.3,) * 19), IDLE, IDLE),
)


def crossings(metric: str, value: float | None) -> list[tuple[Condition, float]]:
    """Return each condition at each edge of a value."""
    return [(condition, edge) for condition in CONDITIONS for edge in edges(value) if told(metric, value, edge)]


def suite(story: Traffic, found: dict[str, list[tuple[Condition, float]]], **given: Any) -> dict[str, Any]:
    """Make a rule of each metric, condition and threshold, and say which of them fire."""
    figures = story.figures(AT, WINDOW)
    rules, fires = [], []
    for metric, asked in found.items():
        for condition, threshold in asked:
            made = rule(story, metric, condition, threshold, **given)
            rules.append(made)
            if holds(metric, condition, threshold, figures[metric]):
                fires.append(made.id)
    return {
        "files": render(rules, Rendering()),
        "every": AT,
        "tests": [{"input_series": story.series(), "promql_expr_test": [firing(fires, story.feature, AT)]}],
    }


def run_one(folder: Path, files: dict[str, str], series: list[dict[str, str]], tests: list[dict[str, Any]]) -> None:
    run(folder, [{"files": files, "tests": [{"input_series": series, "promql_expr_test": tests}]}])


def test_each_metric_and_condition_fires_just_where_its_figure_crosses(tmp_path: Path) -> None:
    suites = []
    for story in STORIES:
        figures = story.figures(AT, WINDOW)
        assert figures.keys() == METRICS.keys()
        suites.append(suite(story, {metric: crossings(metric, value) for metric, value in figures.items()}))
    run(tmp_path, suites)


def test_a_restart_within_the_window_loses_no_call(tmp_path: Path) -> None:
    # What Prometheus makes of a restart is right to some percent, so thresholds are asked for that far from it.
    story = traffic("restarted", *[BUSY] * WINDOW, resets=frozenset({AT - 2}))
    whole = traffic("restarted", *[BUSY] * WINDOW)
    suites = []
    for metric in ("error_rate", "success_rate", "response_time", "response_time_p95", "cost_per_request"):
        value = whole.figures(AT, WINDOW)[metric]
        assert value is not None
        asked: list[tuple[Condition, float]] = [("greater_than", value * 0.9), ("less_than", value * 1.1)]
        asked += [("greater_than", value * 1.1), ("less_than", value * 0.9)]
        suites.append(suite(whole, {metric: asked}) | {"tests": suite(whole, {metric: asked})["tests"]})
        suites[-1]["tests"][0]["input_series"] = story.series()
    calls = rule(story, "total_requests", "greater_than", 90)
    test = {"input_series": story.series(), "promql_expr_test": [firing([calls.id], story.feature, AT)]}
    suites.append({"files": render([calls], Rendering()), "every": AT, "tests": [test]})
    run(tmp_path, suites)


def test_absent_series_fire_nothing_but_the_rule_that_asks_for_them(tmp_path: Path) -> None:
    silent = [
        rule(traffic("gone"), metric, condition, 0.0 if condition == "equals" else 50.0)
        for metric in METRICS
        for condition in CONDITIONS
    ]
    asking = replace(silent[0], id="asking", on_no_data="alert")
    rules = [*silent, asking]
    run_one(tmp_path, render(rules, Rendering()), [], [firing(["asking"], "gone", AT)])


def test_no_data_means_series_that_are_gone_for_five_minutes_not_idleness(tmp_path: Path) -> None:
    asking = AlertRule(
        "r", "chat", "Errors", "error_rate", "greater_than", 20, "high", for_minutes=1, on_no_data="alert"
    )  # fmt: skip
    rendering = Rendering(environments={"chat": ["production", "staging"]})
    ends = Traffic("chat", [BUSY] * 4)
    goes_on = Traffic("chat", [IDLE] * 15, environment="staging")
    missed = 'ALERTS{alertstate="firing",no_data="true"}'
    labels = (
        'ALERTS{alertname="Errors",alertstate="firing",environment="production",feature="chat",'
        'featurewatch_route="none",metric="error_rate",no_data="true",rule_id="r",severity="high"}'
    )
    tests = [
        {"expr": missed, "eval_time": "9m", "exp_samples": []},
        {"expr": missed, "eval_time": "11m", "exp_samples": [{"labels": labels, "value": 1}]},
    ]
    series = [*ends.series(), *goes_on.series()]
    run(
        tmp_path,
        [{"files": render([asking], rendering), "tests": [{"input_series": series, "promql_expr_test": tests}]}],
    )


def test_environments_fire_each_by_itself_unless_the_rule_names_one(tmp_path: Path) -> None:
    each = rule(traffic("chat"), "error_rate", "greater_than", 10)
    one = replace(each, id="one", environment="staging", threshold=1.0)
    failing = Traffic("chat", [BUSY] * AT)
    working = Traffic("chat", [replace(BUSY, error=0)] * AT, environment="staging")
    fires = {
        "expr": 'count by (rule_id, environment) (ALERTS{alertstate="firing"})',
        "eval_time": f"{AT}m",
        "exp_samples": [{"labels": f'{{environment="production",rule_id="{each.id}"}}', "value": 1}],
    }
    run_one(tmp_path, render([each, one], Rendering()), [*failing.series(), *working.series()], [fires])


@pytest.mark.parametrize(("for_minutes", "keep"), [(0, 0), (1, 0), (3, 0), (0, 4), (2, 3)])
def test_for_and_keep_firing_are_followed_as_the_tracker_does(for_minutes: int, keep: int, tmp_path: Path) -> None:
    bad = "bbgggbbbbbgbgggggggbgbgbggggggbbbbbbbbgg"
    minutes = [Minute(error=1) if mark == "b" else Minute(success=1) for mark in bad]
    story = Traffic("chat", minutes)
    made = replace(
        rule(story, "error_rate", "greater_than", 50.0, keep_firing_minutes=keep),
        id="r", for_minutes=for_minutes, window_minutes=1,
    )  # fmt: skip
    evaluated = [(at, at > 0 and bad[at - 1] == "b") for at in range(len(bad) + 1)]
    spans = firings(evaluated, for_=for_minutes, keep_firing=keep)
    assert spans
    tests = [
        firing(
            ["r"] if any(span.start <= at and (span.end is None or at < span.end) for span in spans) else [], "chat", at
        )
        for at, _ in evaluated
    ]
    run(
        tmp_path,
        [
            {
                "files": render([made], Rendering()),
                "tests": [{"input_series": story.series(), "promql_expr_test": tests}],
            }
        ],
    )


def test_an_objective_fires_while_both_windows_burn_and_ends_with_the_short_one(tmp_path: Path) -> None:
    record = FeatureRecord("chat", "Chat", slo=Slo(99.5, "30d"))
    fast, quick, *_ = slo_rules(record)
    calm, storm = Minute(success=1000), Minute(success=900, error=100)
    story = Traffic("chat", [calm] * 360 + [storm] * 50 + [calm] * 20)
    tests = [
        firing([], "chat", 360),
        firing([], "chat", 395),  # 35 of 60 minutes at 10 %: 5.8 % of an hour, below 7.2 %
        firing([fast.id], "chat", 408),  # 8 %, and so the last 5 minutes; of 6 hours it is 1.3 %, below 3 %
        firing([], "chat", 416),  # the hour still burns, the last 5 minutes do not
    ]
    run_one(tmp_path, render([fast, quick], Rendering()), story.series(), tests)


CALLS = st.builds(
    lambda success, error, cancelled, durations: Minute(
        success, error, cancelled, tuple(durations), tuple(durations[:3]), {"input": 10 * success}, 0.25 * success
    ),
    st.integers(0, 30), st.integers(0, 30), st.integers(0, 3), st.lists(st.floats(0.005, 100), max_size=6),
)  # fmt: skip
STORY = st.lists(st.one_of(st.just(IDLE), CALLS), min_size=2, max_size=AT)
ASKED = st.lists(
    st.tuples(st.sampled_from(sorted(METRICS)), st.sampled_from(CONDITIONS), st.floats(0.9, 1.1), st.floats(0, 1000)),
    min_size=5, max_size=20,
)  # fmt: skip


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(STORY, ASKED), min_size=10, max_size=10))
def test_whatever_the_traffic_a_rule_fires_just_where_the_figure_crosses(
    tmp_path: Path, drawn: list[tuple[list[Minute], list[tuple[str, Condition, float, float]]]]
) -> None:
    suites = []
    for number, (minutes, asked) in enumerate(drawn):
        story = traffic(f"story-{number}", *minutes)
        figures = story.figures(AT, WINDOW)
        found: dict[str, list[tuple[Condition, float]]] = {}
        for metric, condition, factor, otherwise in asked:
            value = figures[metric]
            edge = otherwise if value is None else value * factor
            near = [edge, *band(metric, edge)] if condition == "equals" else [edge]
            if all(told(metric, value, one) for one in near):
                found.setdefault(metric, []).append((condition, edge))
        suites.append(suite(story, {metric: sorted(set(asked)) for metric, asked in found.items()}))
    run(tmp_path, suites)
