"""Rule files: what is written for who evaluates rules, to the letter, and readable whatever people wrote."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alert_model import CONDITIONS, AlertRule, LogSelection
from featurewatch.alerts import loki, prometheus, texts
from featurewatch.alerts.prometheus import Rendering
from featurewatch.alerts.rule_files import Group, Rule, as_data, dump, file_name, minutes, quote
from featurewatch.alerts.slo import slo_rules
from featurewatch.formulas import METRICS
from featurewatch.model import FeatureRecord, Slo

from .promtool import needs_promtool, promtool, run, write

GOLDEN: Final = Path(__file__).parent / "golden"

ERRORS: Final = AlertRule(
    "0018e0c1", "chat", "Errors", "error_rate", "greater_than", 20.0, "high", channels=("ops", "mail"), revision=3
)
STORY: Final = {
    "every-field.yml": [
        replace(
            ERRORS, name='Slow "{{ $labels.x }}" \\ ü', metric="response_time_p95", condition="less_than",
            threshold=0.5, severity="low", cooldown_minutes=5, channels=(), window_minutes=90, for_minutes=0,
            keep_firing_minutes=10, on_no_data="alert", environment="staging",
        )
    ],
    "equals.yml": [
        replace(ERRORS, id="a", condition="equals", threshold=20.0),
        replace(ERRORS, id="b", condition="equals", threshold=3.0, metric="total_requests"),
        replace(ERRORS, id="c", condition="equals", threshold=0.00001, metric="cost_per_request"),
    ],
    "no-data.yml": [replace(ERRORS, on_no_data="alert"), replace(ERRORS, id="t", metric="uptime", window_minutes=1440,
                    condition="less_than", threshold=99.0, on_no_data="alert")],
    "objective.yml": [*slo_rules(FeatureRecord("chat", "Chat", slo=Slo(99.5, "30d", ("ops",)), revision=2))],
    "lines.yml": [
        replace(
            ERRORS, kind="logs", metric="log_entries", threshold=10.0,
            logs=LogSelection(("error", "fatal"), 'a "quoted" \\ text', "worker"),
        ),
        replace(ERRORS, id="quiet", kind="logs", metric="log_entries", condition="less_than", threshold=1.0,
                logs=LogSelection()),
    ],
}  # fmt: skip
RENDERING: Final = Rendering(
    environments={"chat": ["production", "staging"]}, console_url="https://featurewatch.example.com/"
)


def rendered(rules: list[AlertRule]) -> str:
    files = {**prometheus.render(rules, RENDERING), **loki.render(rules, RENDERING)}
    assert files.keys() == {"chat.yml"}
    return files["chat.yml"]


@pytest.mark.parametrize("name", STORY)
def test_rules_are_written_to_the_letter(name: str) -> None:
    text = rendered(STORY[name])
    if os.environ.get("FEATUREWATCH_TEST_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("window", ["1d", "36h", "7d", "30d", "90d", "366d"])
def test_the_more_urgent_a_rule_of_an_objective_the_faster_the_budget_burns(window: str) -> None:
    rules = slo_rules(FeatureRecord("chat", "Chat", slo=Slo(99.5, window)))
    assert [rule.severity for rule in rules] == ["critical", "high", "medium", "low"]
    assert [rule.burn and rule.burn.factor for rule in rules] == [14.4, 6, 3, 1]
    assert [rule.threshold for rule in rules] == [7.2, 3, 1.5, 0.5]


AMOUNTS: Final = {
    "uptime": {0.0: "0 %", 33.333333: "33.33 %", 99.996: "99.996 %", 100.0: "100 %"},
    "response_time_p95": {412.345: "412.3 ms", 999.96: "1000 ms", 12340.6: "12341 ms"},
    "cost_per_request": {0.0: "0 USD", 0.00002: "0.0000200 USD", 0.0021: "0.0021 USD", 1523.4: "1523 USD"},
    "requests_per_minute": {2.5: "2.5"},
    "tokens_per_request": {1250.0: "1250"},
    "log_entries": {7.0: "7"},
}
"""Values of figures, and how messages tell them."""


@needs_promtool
def test_messages_tell_values_with_their_unit_alike_in_prometheus_and_the_bridge(tmp_path: Path) -> None:
    groups, alerts = [], []
    for metric, told in AMOUNTS.items():
        for number, (value, shown) in enumerate(told.items()):
            rule = replace(ERRORS, metric=metric, threshold=20.0)
            assert texts.amount(metric, texts.figure(metric, value)) == shown
            message = texts.message(rule, texts.figure_template(metric))
            name = f"{metric}-{number}"
            groups.append(Group(name, (Rule(name, f"vector({value!r})", 0, 0, {}, {"message": message}),)))
            said = f"{metric} is {shown}, which is greater than threshold of {texts.amount(metric, '20')}"
            alerts.append(
                {"alertname": name, "eval_time": "0m", "exp_alerts": [{"exp_annotations": {"message": said}}]}
            )
    run(tmp_path, [{"files": {"rules.yml": dump(groups)}, "tests": [{"input_series": [], "alert_rule_test": alerts}]}])


@needs_promtool
def test_promtool_takes_every_metric_condition_and_name(tmp_path: Path) -> None:
    names = [
        "Errors", "{{ $value }}", "{{", "}} {{ x", 'a"b', "a'b", "a\\b", "ü\U0001f600", "%d %s", "- x: y", "#",
        "\u2028", "\x7f",
    ]  # fmt: skip
    rules = [
        replace(ERRORS, id=f"{metric}-{condition}", metric=metric, condition=condition, on_no_data="alert", name=name)
        for metric in METRICS
        for condition, name in zip(CONDITIONS * 5, names, strict=False)
    ]
    rules = [replace(rule, id=f"{at}-{rule.id}") for at, rule in enumerate(rules)]
    rules += STORY["objective.yml"] + STORY["every-field.yml"]
    files = prometheus.render(rules, RENDERING)
    write(tmp_path, files)
    assert f"SUCCESS: {2 * (len(rules) - 4) + 4} rules found" in promtool(tmp_path, "check", "rules", *files)


@needs_promtool
def test_recorded_figures_are_read_where_there_are_some(tmp_path: Path) -> None:
    rules = [replace(ERRORS, id=metric, metric=metric, threshold=1.0) for metric in METRICS]
    rules.append(replace(ERRORS, id="day", metric="uptime", window_minutes=1440, environment="staging"))
    recorded = {rule.id: prometheus.group(rule, Rendering(recorded=True)).rules[0].expr for rule in rules}
    assert recorded["error_rate"] == '(feature:error_rate:over5m{feature="chat"}) > 1'
    assert recorded["day"] == '(feature:uptime:over24h{feature="chat",environment="staging"}) > 20'
    assert all("feature:" in expr for expr in recorded.values())
    hour = replace(ERRORS, window_minutes=60)
    assert prometheus.group(hour, Rendering(recorded=True)) == prometheus.group(hour, Rendering())
    files = prometheus.render(rules, Rendering(recorded=True))
    write(tmp_path, files)
    promtool(tmp_path, "check", "rules", *files)


def test_disabled_rules_and_those_of_others_are_left_out() -> None:
    off, lines = replace(ERRORS, enabled=False), replace(ERRORS, kind="logs", metric="log_entries")
    assert prometheus.render([off, lines], Rendering()) == {}
    assert loki.render([replace(lines, enabled=False), ERRORS], Rendering()) == {}


def test_a_file_holds_the_rules_of_one_feature_in_an_order_of_their_own() -> None:
    rules = [
        replace(ERRORS, id=id_, feature=feature) for id_, feature in (("b", "chat"), ("c", "search"), ("a", "chat"))
    ]
    files = prometheus.render(rules, Rendering())
    assert list(files) == ["chat.yml", "search.yml"]
    assert files == prometheus.render(rules[::-1], Rendering())
    assert [one["name"] for one in yaml.safe_load(files["chat.yml"])["groups"]] == ["featurewatch-a", "featurewatch-b"]


def test_an_edit_of_the_threshold_changes_no_label() -> None:
    before, after = (
        as_data([prometheus.group(replace(ERRORS, threshold=threshold, revision=revision), Rendering())])
        for threshold, revision in ((20.0, 3), (10.0, 4))
    )
    (one,), (other,) = (told["groups"][0]["rules"] for told in (before, after))
    assert one["labels"] == other["labels"]
    assert one["alert"] == other["alert"]
    assert before["groups"][0]["name"] == after["groups"][0]["name"]
    assert one["annotations"]["revision"] != other["annotations"]["revision"]


def test_the_revision_tells_what_is_rendered_apart_too() -> None:
    plain, linked = (
        prometheus.group(ERRORS, Rendering(console_url=url)).rules[0].annotations["revision"]
        for url in ("", "http://x")
    )
    assert plain != linked
    assert plain.startswith("3.")
    assert linked.startswith("3.")


@pytest.mark.parametrize("feature", ["chat", "Chat", "CHAT", "a.b-c_d", "0", "A", "a" * 64, "con", "-", "chat.yml"])
def test_a_feature_has_a_file_of_its_own_whatever_case_means(feature: str) -> None:
    others = {"chat", "Chat", "CHAT", "a.b-c_d", "0", "A", "a" * 64, "con", "chat.yml"} - {feature}
    assert file_name(feature).lower() not in {file_name(other).lower() for other in others}
    assert "/" not in file_name(feature)


def test_durations_are_written_as_prometheus_writes_them() -> None:
    assert [minutes(count) for count in (0, 1, 59, 60, 90, 7200)] == ["0s", "1m", "59m", "1h", "90m", "120h"]


@given(st.text() | st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x2100)))
def test_whatever_is_quoted_is_read_again(text: str) -> None:
    assert yaml.safe_load(quote(text)) == text


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    assert yaml.safe_load(quote("a\ud800b")) == "a\ufffdb"


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)


LABELS = st.dictionaries(st.sampled_from(["a", "b"]), TEXTS)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 7200), st.integers(0, 7200), LABELS), max_size=4))
def test_a_rule_file_says_what_the_groups_are(told: list[Any]) -> None:
    groups = [
        Group(f"g{at}", (Rule(alert, expr, for_, keep, labels, labels),))
        for at, (alert, expr, for_, keep, labels) in enumerate(told)
    ]
    expected = as_data(groups)
    for group in expected["groups"]:
        for rule in group["rules"]:
            for name in ("labels", "annotations"):
                if not rule[name]:
                    del rule[name]
    read = yaml.safe_load(dump(groups))
    assert {"groups": read["groups"] or []} == expected
