"""Rules on lines as a real Loki evaluates them, beside the filter that every store is held to."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurewatch.alert_model import CONDITIONS, AlertRule, LogSelection
from featurewatch.alerts.conditions import holds
from featurewatch.alerts.loki import group, render
from featurewatch.alerts.prometheus import Rendering
from featurewatch.model import LEVELS, LogEntry
from featurewatch.stores.base import LogFilter
from featurewatch.stores.matching import compile_filter
from loki import Loki
from prometheus import wait_for

pytestmark = pytest.mark.stack

RULE = AlertRule(
    "r1", "", "Lines", "log_entries", "greater_than", 0.0, "high", kind="logs", for_minutes=0, window_minutes=60
)
LINES = [
    LogEntry("1", "", "production", 0, "error", "Timeout after 30 s", "app"),
    LogEntry("2", "", "production", 0, "error", "timeout upstream", "worker", '{"path":"/a\\"b"}'),
    LogEntry("3", "", "production", 0, "fatal", 'quote " back\\slash `tick` ü', "app", '{"why":"TIMEOUT"}'),
    LogEntry("4", "", "production", 0, "info", "fine", "timeouts", None),
    LogEntry("5", "", "staging", 0, "warn", "a.b*c (d) [e] {f} ^g$ |h+i?", "app"),
    LogEntry("6", "", "staging", 0, "debug", "ÜBER 50% \t tab", "worker"),
]
_features = itertools.count()


def told(loki: Loki, lines: list[LogEntry]) -> str:
    """Push lines as a feature of its own, and return its name once they can be found."""
    feature, now = f"lines-{time.time_ns()}-{next(_features)}", time.time_ns()
    streams = []
    for at, line in enumerate(lines):
        labels = {"feature": feature, "environment": line.environment, "service_name": "test"}
        fields = {"id": line.id, "level": line.level, "source": line.source}
        if line.metadata is not None:
            fields["metadata"] = line.metadata
        streams.append({"stream": labels, "values": [[str(now - at), line.message, fields]]})
    answer = httpx.post(f"{loki.url}/loki/api/v1/push", json={"streams": streams}, timeout=60)
    assert answer.status_code == 204, answer.text
    counted = f'sum(count_over_time({{feature="{feature}"}}[1h]))'
    wait_for(lambda: [one for one in query(loki, counted) if float(one["value"][1]) == len(lines)], what=counted)
    return feature


def query(loki: Loki, logql: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{loki.url}/loki/api/v1/query", params={"query": logql}, timeout=60)
    assert answer.status_code == 200, f"{logql}: {answer.text}"
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def firing(loki: Loki, rule: AlertRule) -> dict[str, float]:
    """The environments in which a rule's expression holds, each with its value."""
    rendering = Rendering(environments={rule.feature: ["production", "staging"]})
    (made,) = group(rule, rendering).rules
    found = query(loki, made.expr)
    assert all(one["metric"]["feature"] == rule.feature for one in found)
    return {one["metric"]["environment"]: float(one["value"][1]) for one in found}


def expected(rule: AlertRule, lines: list[LogEntry]) -> dict[str, float]:
    logs = rule.logs or LogSelection()
    passes = compile_filter(LogFilter(frozenset(logs.levels), logs.source, logs.search))
    counts = dict.fromkeys(["production", "staging"], 0)
    for line in lines:
        counts[line.environment] += passes(line)
    return {
        environment: count
        for environment, count in counts.items()
        if rule.environment in (None, environment) and holds(rule.metric, rule.condition, rule.threshold, count)
    }


@pytest.fixture(scope="module")
def feature(loki: Loki) -> str:
    return told(loki, LINES)


SEARCHES = [
    "", "timeout", "TIMEOUT", '"', "\\", "`", "ü", "a.b*c", "(d) [e] {f} ^g$ |h+i?", "50%", "\t", "app", '/a\\"b',
    "nothing",
]  # fmt: skip


@pytest.mark.parametrize("search", SEARCHES)
def test_lines_are_found_as_every_store_finds_them(loki: Loki, feature: str, search: str) -> None:
    for source in ("", "worker"):
        rule = replace(RULE, feature=feature, logs=LogSelection((), search, source))
        assert firing(loki, rule) == expected(rule, LINES), rule.logs


@pytest.mark.parametrize("levels", [("error",), ("error", "fatal", "debug"), ("info",), LEVELS], ids="-".join)
def test_lines_are_chosen_by_their_level(loki: Loki, feature: str, levels: tuple[Any, ...]) -> None:
    for search in ("", "timeout"):
        rule = replace(RULE, feature=feature, logs=LogSelection(levels, search, "app" if search else ""))
        assert firing(loki, rule) == expected(rule, LINES), rule.logs


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("search", ["timeout", "nothing of this"])
def test_a_rule_fires_where_the_count_crosses_and_no_line_counts_0(
    loki: Loki, feature: str, condition: Any, search: str
) -> None:
    rule = replace(RULE, feature=feature, condition=condition, logs=LogSelection((), search))
    for threshold, environment in ((0.0, None), (1.0, None), (2.0, "production"), (3.0, None), (1.0, "nowhere")):
        made = replace(rule, threshold=threshold, environment=environment)
        wanted = expected(made, LINES)
        if environment == "nowhere" and holds("log_entries", condition, threshold, 0):
            wanted["nowhere"] = 0
        assert firing(loki, made) == wanted, made


TEXT = st.text(alphabet='aAbBkK ."\\*`\u00fc\u00dc%{}|', max_size=6)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.builds(
        lambda level, message, source, environment: LogEntry("x", "", environment, 0, level, message, source),
        st.sampled_from(LEVELS), TEXT, st.sampled_from(["app", "worker"]), st.sampled_from(["production", "staging"]),
    ), min_size=1, max_size=8),
    st.lists(st.tuples(st.sets(st.sampled_from(LEVELS)), TEXT, st.sampled_from(["", "app"])), min_size=3, max_size=8),
)  # fmt: skip
def test_whatever_is_searched_the_same_lines_are_counted(
    loki: Loki, lines: list[LogEntry], wanted: list[tuple[set[Any], str, str]]
) -> None:
    lines = [line._replace(id=str(at), message=line.message or "empty") for at, line in enumerate(lines)]
    of = told(loki, lines)
    for levels, search, source in wanted:
        rule = replace(RULE, feature=of, logs=LogSelection(tuple(sorted(levels)), search, source))
        assert firing(loki, rule) == expected(rule, lines), rule.logs


def test_the_ruler_loads_what_is_written_and_evaluates_it(own_loki: Loki, tmp_path: Path) -> None:
    now = time.time_ns()
    stream = {"stream": {"feature": "chat", "environment": "production"}, "values": [[str(now), "timeout"]]}
    assert own_loki.folder is not None
    files = render(
        [
            replace(RULE, feature="chat", logs=LogSelection(("info", "error"), "Time")),
            replace(RULE, feature="chat", id="r2", name='Quiet "{{ }}" ü', condition="less_than", threshold=1.0,
                    logs=LogSelection((), "nothing"), keep_firing_minutes=5),
        ],
        Rendering(),
    )  # fmt: skip
    folder = own_loki.folder / "data" / "rules" / "fake"
    folder.mkdir(parents=True, exist_ok=True)
    own_loki.stop()
    configuration = own_loki.folder / "loki.yaml"
    configuration.write_text(configuration.read_text() + "ruler: {evaluation_interval: 2s, poll_interval: 2s}\n")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    own_loki.start()
    httpx.post(f"{own_loki.url}/loki/api/v1/push", json={"streams": [stream]}, timeout=60).raise_for_status()

    def evaluated() -> list[dict[str, Any]]:
        answer = httpx.get(f"{own_loki.url}/prometheus/api/v1/rules", timeout=60).json()
        rules = [rule for one in answer["data"]["groups"] for rule in one["rules"]]
        return rules if len(rules) == 2 and all(rule["alerts"] for rule in rules) else []

    rules = wait_for(evaluated, within_s=150, what="two rules that fire")
    assert [rule["health"] for rule in rules] == ["ok", "ok"]
    first, second = rules
    assert first["alerts"][0]["labels"] == {
        "alertname": "Lines", "environment": "production", "feature": "chat", "featurewatch_route": "none",
        "metric": "log_entries", "rule_id": "r1", "severity": "high",
    }  # fmt: skip
    assert first["alerts"][0]["annotations"]["message"] == "log_entries is 1, which is greater than threshold of 0"
    assert second["alerts"][0]["annotations"]["title"] == 'Quiet "{{ }}" ü Alert'
