"""No dashboard is broken silently: every query of every dashboard is asked of real servers that the demo feeds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from check_queries import Answer, ask, table

from demo_stack import SCRAPE_S, DemoStack, demo_stack, told
from featurewatch.dashboard_queries import interpolate, load, queries_of, values_of
from prometheus import wait_for
from running import bridge

pytestmark = pytest.mark.stack

WITHIN_S: Final = 60.0

_NAME: Final = re.compile(
    r"\b(?:feature|featurewatch|alertmanager|prometheus|process)[a-z0-9]*[_:][a-z0-9_:]*\b(?=[{\[)\s])"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    with demo_stack(tmp_path_factory.mktemp("demo-stack")) as made:
        yield made


def asked(stack: DemoStack) -> list[Answer]:
    return list(ask(load(), stack.prometheus.url, stack.loki.url if stack.loki else "", scrape_s=SCRAPE_S))


def test_every_query_of_every_dashboard_answers(stack: DemoStack) -> None:
    answers: list[Answer] = []

    def all_answer() -> bool:
        answers[:] = asked(stack)
        return not any(answer.problem for answer in answers)

    try:
        wait_for(all_answer, within_s=WITHIN_S, what="every query to answer")
    except AssertionError:
        pytest.fail(table(answer for answer in answers if answer.problem))
    print(table(answers))  # noqa: T201 (pytest shows it on demand)
    assert len(answers) >= (100 if stack.loki is None else 120)
    assert {answer.query.kind for answer in answers} == ({"prometheus", "loki"} if stack.loki else {"prometheus"})


def test_what_happened_is_shown(stack: DemoStack) -> None:
    """A query that answers 0 where it has no series must not hide that it never has one."""
    named = {
        ("featurewatch-alerts", "Active"): 1,
        ("featurewatch-alerts", "Acknowledged"): 1,
        ("featurewatch-alerts", "Triggered"): 2,
        ("featurewatch-alerts", "Acknowledged in this time"): 1,
        ("featurewatch-alerts", "Rules that fire in Prometheus"): 1,
        ("featurewatch-bridge", "Open streams"): 1,
        ("featurewatch-bridge", "Bridges"): 1,
        ("featurewatch-bridge", "Figures are recorded"): 1,
        ("featurewatch-bridge", "Recording rules"): 3,
        ("featurewatch-bridge", "What the doctor found"): 1,
        ("featurewatch-feature", "Objective"): 99.5,
        ("featurewatch-feature", "Cost against budget, 24 hours"): 20,
        ("featurewatch-overview", "Open alerts"): 2,
    }

    def missing() -> dict[tuple[str, str], str]:
        last = {(answer.query.dashboard, answer.query.panel): answer.last for answer in asked(stack)}
        return {place: last[place] for place, least in named.items() if not float(last[place] or 0) >= least}

    wait_for(lambda: not missing(), within_s=WITHIN_S, what=f"what happened to be shown, missing: {missing()}")


@pytest.mark.parametrize(("instance", "rows"), [(".+", True), ("nowhere", False)])
def test_a_doctor_that_never_ran_is_told_from_one_that_found_nothing(
    stack: DemoStack, instance: str, rows: bool
) -> None:
    stack.prometheus.wait_for("featurewatch_doctor_last_run_timestamp_seconds > 0")
    (board,) = (dashboard for dashboard in load() if dashboard["uid"] == "featurewatch-bridge")
    found, looked = (query for query in queries_of(board) if query.panel == "What the doctor found")
    values = {**values_of(board), "instance": instance}
    told, when = (
        stack.prometheus.query(interpolate(query.expr, values, 300, 15, SCRAPE_S)) for query in (found, looked)
    )
    assert [series["metric"] for series in told] == [series["metric"] for series in when], "they become one table"
    assert all(("severity" in series["metric"]) is rows for series in told)
    assert all((float(series["value"][1]) >= 0) is rows for series in told), (
        "the row of -1 is left out, and a text shown"
    )
    assert all((time.time() - float(series["value"][1]) / 1000 < 300) is rows for series in when)


def test_annotations_mark_what_happened(stack: DemoStack) -> None:
    results = told(
        stack.api.post("/features/search/test-results?environment=production", json={"name": "x", "passed": True})
    )
    assert results.is_success
    marks = {"Deploys": "version", "Test results": "passed", "Alerts": "alert"}
    asked_for = {
        answer.query.panel.removeprefix("annotation: "): answer.expr
        for answer in asked(stack)
        if answer.query.panel.startswith("annotation: ")
    }
    assert asked_for.keys() == marks.keys()
    for name, label in marks.items():
        # Over the whole life of the stack: a deploy is a moment, and it was at the beginning.
        ever = f"max_over_time(({asked_for[name]})[5m:1s]) > 0"
        found = stack.prometheus.wait_for(ever)
        assert all(series["metric"].get(label) for series in found), (name, found)


def test_every_name_in_a_query_is_a_series_that_somebody_exports(stack: DemoStack, tmp_path: Path) -> None:
    exported: set[str] = set(httpx.get(f"{stack.prometheus.url}/api/v1/label/__name__/values").json()["data"])
    with bridge(tmp_path / "embedded") as embedded:  # what only a bridge with stores of its own has
        for address in (embedded.url, str(stack.api.base_url).removesuffix("/api/v1/")):
            text = httpx.get(f"{address}/metrics").text
            exported |= set(re.findall(r"(?m)^# TYPE (\S+) ", text))
    if stack.loki is None:
        exported |= {"featurewatch_loki_queued_bytes", "featurewatch_loki_lag_seconds"}
        exported |= {"featurewatch_loki_pushed_lines_total", "featurewatch_loki_push_failures_total"}
    named = {
        (answer.query.dashboard, answer.query.panel, name)
        for answer in asked(stack)
        if answer.query.kind == "prometheus"
        for name in _NAME.findall(answer.expr)
    }
    assert len(named) > 100
    assert {place for place in named if place[-1] not in exported} == set()


def test_a_dot_on_a_latency_leads_to_the_lines_of_its_call(stack: DemoStack) -> None:
    (heatmap,) = (
        answer.expr for answer in asked(stack) if answer.query[:2] == ("featurewatch-feature", "Duration of calls")
    )
    now = time.time()
    params = {"query": heatmap, "start": str(now - 300), "end": str(now)}
    shown = httpx.get(f"{stack.prometheus.url}/api/v1/query_exemplars", params=params, timeout=30).json()["data"]
    traces = {exemplar["labels"]["trace_id"] for series in shown for exemplar in series["exemplars"]}
    assert traces
    if stack.loki is None:
        return
    (told_apart,) = (dashboard for dashboard in load() if dashboard["uid"] == "featurewatch-logs")
    (lines,) = (query for query in queries_of(told_apart) if query.panel == "Lines")
    for trace in sorted(traces)[:3]:
        expr = interpolate(lines.expr, {**values_of(told_apart), "trace": trace}, 300, 15)
        assert wait_for(lambda expr=expr: stack.loki.stored(expr), what=f"lines of {trace}")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("sum(rate(up[5m])", "400: "),
        ("no_such_series", "empty"),
        ("sum(up) * 0 / 0", "not a number"),
        ("sum(up) / 0", "infinite"),
        ("sum(up)", ""),
    ],
)
def test_a_broken_query_is_told(stack: DemoStack, expr: str, problem: str) -> None:
    source = {"type": "prometheus", "uid": "x"}
    panel = {"type": "stat", "title": "x", "datasource": source, "targets": [{"refId": "A", "expr": expr}]}
    (answer,) = ask([{"uid": "d", "panels": [panel]}], stack.prometheus.url)
    assert answer.problem.startswith(problem)
    assert bool(answer.problem) == bool(problem)
