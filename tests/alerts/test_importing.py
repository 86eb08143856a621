"""Importing rule files: what is recognised, in what it differs, and why the rest is not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alert_model import CONDITIONS, ON_NO_DATA, SEVERITIES, AlertRule, LogSelection
from featurewatch.alerts import loki
from featurewatch.alerts.importing import Found, read_rule_file
from featurewatch.alerts.manifest import manifest, object_name
from featurewatch.alerts.prometheus import Rendering, group, render
from featurewatch.alerts.promql_reader import NotRead, parse
from featurewatch.alerts.slo import slo_rules
from featurewatch.errors import BadInput
from featurewatch.formulas import METRICS
from featurewatch.model import FeatureRecord, Slo

OURS: Final = AlertRule(
    "r1", "chat", "Errors", "error_rate", "greater_than", 20.0, "high", channels=("mail", "ops"), origin="import"
)


def one(expr: str, **fields: Any) -> Found:
    rule = {"alert": "A", "expr": expr, **fields}
    (found,) = read_rule_file(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    return found


def recognised(expr: str, **fields: Any) -> AlertRule:
    found = one(expr, **fields)
    assert found.rule is not None, found.reason
    return found.rule


def short(rule: AlertRule) -> tuple[Any, ...]:
    return rule.metric, rule.condition, rule.threshold, rule.feature, rule.environment, rule.window_minutes


SHORT: Final = {
    "REQ": "feature_requests_total", "DUR": "feature_request_duration_seconds", "COST": "feature_cost_usd_total",
    "TTFT": "feature_time_to_first_token_seconds", "TOKENS": "feature_tokens_total", "{F": '{feature="chat"',
}  # fmt: skip
"""What the expressions below write short."""


def full(expr: str) -> str:
    for word, meant in SHORT.items():
        expr = expr.replace(word, meant)
    return expr


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        # shares of calls, as people write them
        ('sum(rate(REQ{F,outcome="error"}[5m])) / sum(rate(REQ{F}[5m])) > 0.05',
         ("error_rate", "greater_than", 5, "chat", None, 5)),
        ('100 * sum by (feature) (increase(REQ{F,outcome="error"}[10m])) '
         '/ sum by (feature) (increase(REQ{F,outcome=~"success|error"}[10m]) > 0) >= 5',
         ("error_rate", "greater_than", 5, "chat", None, 10)),
        ('sum(rate(REQ{F,outcome="error"}[5m])) / sum(rate(REQ{F,outcome!="cancelled"}[5m])) * 100 > 20',
         ("error_rate", "greater_than", 20, "chat", None, 5)),
        ('0.95 > sum(rate(REQ{F,outcome="success"}[1h])) / sum(rate(REQ{F}[1h]))',
         ("success_rate", "less_than", 95, "chat", None, 60)),
        ('1 - (sum(rate(REQ{F,outcome="error"}[5m])) / sum(rate(REQ{F}[5m]))) < 0.9',
         ("success_rate", "less_than", 90, "chat", None, 5)),
        ('sum(increase(feature_errors_total{F}[5m])) / sum(increase(REQ{F}[5m])) > 0.1',
         ("error_rate", "greater_than", 10, "chat", None, 5)),
        # durations: seconds there, milliseconds here
        ('histogram_quantile(0.95, sum by (le) (rate(DUR_bucket{F,environment="production"}[5m]))) > 2.5',
         ("response_time_p95", "greater_than", 2500, "chat", "production", 5)),
        ('histogram_quantile(0.5, rate(DUR_bucket{F}[5m])) * 1000 > 2500',
         ("response_time_p50", "greater_than", 2500, "chat", None, 5)),
        ('histogram_quantile(0.95, sum by (le, feature) (rate(TTFT_bucket{F}[5m]))) > 1',
         ("time_to_first_token_p95", "greater_than", 1000, "chat", None, 5)),
        ('sum(rate(DUR_sum{F}[5m])) / sum(rate(DUR_count{F}[5m])) > 1.5',
         ("response_time", "greater_than", 1500, "chat", None, 5)),
        # counts, calls by minute, cost, tokens
        ('sum(increase(REQ{F}[1h])) == 0', ("total_requests", "equals", 0, "chat", None, 60)),
        ('round(sum(increase(REQ{F}[5m]))) < 1', ("total_requests", "less_than", 1, "chat", None, 5)),
        ('sum(rate(REQ{F}[5m])) > 2', ("requests_per_minute", "greater_than", 120, "chat", None, 5)),
        ('sum(rate(REQ{F}[5m])) * 60 > 120', ("requests_per_minute", "greater_than", 120, "chat", None, 5)),
        ('sum(increase(COST{F}[1d])) > 50', ("total_cost", "greater_than", 50, "chat", None, 1440)),
        ('sum(rate(COST{F}[1h])) / sum(rate(REQ{F}[1h])) > 0.01',
         ("cost_per_request", "greater_than", 0.01, "chat", None, 60)),
        ('sum(rate(TOKENS{F,kind=~"input|output"}[1h])) / sum(rate(REQ{F}[1h])) > 4e3',
         ("tokens_per_request", "greater_than", 4000, "chat", None, 60)),
        # recorded figures
        ('feature:error_rate:over5m{F} > 20', ("error_rate", "greater_than", 20, "chat", None, 5)),
        ('feature:uptime:over24h{F,environment="staging"} < 99', ("uptime", "less_than", 99, "chat", "staging", 1440)),
        # layout
        ('# a comment\n  sum (\n rate( REQ{ feature="chat" , instance=~".+" } [ 5m ] ) ) # more\n > 2 # the end',
         ("requests_per_minute", "greater_than", 120, "chat", None, 5)),
        ('(sum(rate({__name__="REQ",feature=\'chat\'}[300s]))) > +2',
         ("requests_per_minute", "greater_than", 120, "chat", None, 5)),
    ],
)  # fmt: skip
def test_what_people_wrote_is_recognised_in_our_units(expr: str, expected: tuple[Any, ...]) -> None:
    assert short(recognised(full(expr))) == expected


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        ("up == 0", "up is compared as it stands"),
        ("feature_requests_in_progress{F} > 5", "compared as it stands"),
        ("sum(rate(http_requests_total{F}[5m])) > 5", "none of featurewatch's counters"),
        ("sum(rate(REQ[5m])) > 5", 'a matcher feature="…" is missing'),
        ('sum(rate(REQ{feature=~"chat|search"}[5m])) > 5', "it selects by feature=~'chat|search'"),
        ('sum(rate(REQ{F,instance="a"}[5m])) > 5', "it selects by instance='a'"),
        ("sum by (instance) (rate(REQ{F}[5m])) > 5", "tells series apart by instance"),
        ("max(rate(REQ{F}[5m])) > 5", "max() is no figure"),
        ("sum(irate(REQ{F}[5m])) > 5", "irate() is no figure"),
        ("sum(rate(REQ{F}[5m]))", "compares nothing"),
        ("absent(REQ{F})", "on_no_data"),
        ("sum(rate(REQ{F}[5m])) > 5 and sum(rate(REQ{F}[5m])) < 9", "joins conditions by 'and'"),
        ("sum(rate(REQ{F}[5m])) != 5", "'!=' is no condition"),
        ("sum(rate(REQ{F}[5m])) > sum(rate(REQ{F}[1h]))", "one figure with one number"),
        ("sum(rate(REQ{F}[5m])) / sum(rate(REQ{F}[1h])) > 1", "different windows"),
        ('sum(rate(REQ{F}[5m])) / sum(rate(REQ{feature="x"}[5m])) > 1', "different features"),
        ("histogram_quantile(0.9, sum by (le) (rate(DUR_bucket{F}[5m]))) > 1", "0.9-quantile"),
        ("histogram_quantile(0.95, sum(rate(DUR_bucket{F}[5m]))) > 1", "over le"),
        ("sum(rate(REQ{F}[5m] offset 1h)) > 1", "offset is not read"),
        ("max_over_time(sum(rate(REQ{F}[5m]))[1h:1m]) > 1", "a subquery"),
        ("sum without (pod) (rate(REQ{F}[5m])) > 1", "'without'"),
        ("sum(rate(REQ{F}[5m])) > bool 1", "'> bool'"),
        ("topk(1, rate(REQ{F}[5m])) > 1", "topk() chooses"),
        ("sum(rate(REQ{F}[5m])) ^ 2 > 1", "'^'"),
        ("sum(rate(REQ{F}[5m])) * 0 > 1", "multiplied by 0"),
        ("sum(rate(", "ends too early"),
        ("(" * 5000, "nested too deep"),
        ("", "ends too early"),
        ("1 > ;", "is not PromQL"),
        ("vector(1) > 0", "vector() is no figure"),
        ("sum(rate(REQ{F,outcome=\"lost\"}[5m])) > 1", "outcome='lost'"),
        ("feature:error_rate:over5m{F} > 120", "can never fire"),
    ],
)  # fmt: skip
def test_what_is_not_recognised_says_why(expr: str, reason: str) -> None:
    found = one(full(expr))
    assert found.rule is None, found.rule
    assert reason in found.reason, found.reason
    assert "\n" not in found.reason


def test_the_fields_around_the_expression_are_taken() -> None:
    found = one(
        full("feature:error_rate:over5m{F} > 20"),
        **{"for": "90s", "keep_firing_for": "1h", "labels": {"severity": "page"}},
    )
    assert found.rule is not None
    assert (found.rule.name, found.rule.severity, found.rule.origin) == ("A", "critical", "import")
    assert (found.rule.for_minutes, found.rule.keep_firing_minutes) == (2, 60)
    assert any("for of 90 s becomes 2 min" in note for note in found.notes)


@pytest.mark.parametrize(
    ("severity", "expected", "noted"),
    [
        ("warning", "medium", False), ("CRITICAL", "critical", False), ("info", "low", False), ("odd", "medium", True),
        (None, "medium", True),
    ],
)  # fmt: skip
def test_severities_of_others_are_ours(severity: str | None, expected: str, noted: bool) -> None:
    found = one(full("feature:error_rate:over5m{F} > 20"), labels={} if severity is None else {"severity": severity})
    assert found.rule is not None
    assert found.rule.severity == expected
    assert any("severity" in note for note in found.notes) is noted


def test_what_ours_does_differently_is_noted() -> None:
    notes = " ".join(
        one(full('sum(rate(REQ{F,outcome="error"}[90s])) / sum(rate(REQ{F}[90s])) >= 0.05')).notes
    )  # fmt: skip
    for words in (
        "cancelled calls",
        "'>='",
        "added the environments up",
        "90 s becomes 2 min",
        "notification_channels",
    ):
        assert words in notes, words


def test_the_same_alert_at_two_severities_becomes_two_rules() -> None:
    rules = [
        {
            "alert": "Slow",
            "expr": full("feature:response_time_p95:over5m{F} > ") + str(ms),
            "labels": {"severity": severity},
        }
        for ms, severity in ((1000, "warning"), (5000, "critical"), (9000, "critical"))
    ]
    found = read_rule_file(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    assert [one.rule.name for one in found if one.rule] == ["Slow", "Slow (critical)", "Slow (critical 2)"]


def test_recording_rules_are_left_and_lines_are_told() -> None:
    text = "groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: up\n  - alert: X\n    expr: up > 1\n  - 7\n"
    assert [(one.name, one.line) for one in read_rule_file(text)] == [("a:b", 4), ("X", 6), ("?", 8)]
    assert "recording rule" in read_rule_file(text)[0].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("a: 1", "expected groups:"),
        ("- 1", "expected groups:"),
        ("groups: 7", "expected groups:"),
        ("groups:\n- 7", "rules.yml:2: expected a group"),
        ("groups:\n- name: a\n  rules: x", "expected a group"),
        ("groups: [", "this is no YAML"),
        ("groups: []\ngroups: []", "rules.yml:2: 'groups' is said twice"),
        ("!!python/object:os.system {}", "this is no YAML"),
        ("a: &a [*a, *a]\n", "nested too deep"),
        ("\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]" for n in range(9)), "things"),
    ],
)
def test_what_is_no_rule_file_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_rule_file(text)
    assert words in caught.value.message


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("recorded", [False, True])
def test_what_was_exported_is_imported_as_it_was(metric: str, condition: Any, recorded: bool) -> None:
    rule = replace(
        OURS, metric=metric, condition=condition, threshold=50.0, environment="staging", on_no_data="alert",
        for_minutes=0, keep_firing_minutes=90, cooldown_minutes=15, window_minutes=1440 if metric == "uptime" else 5,
    )  # fmt: skip
    (text,) = render(
        [rule], Rendering(recorded=recorded, console_url="http://x", environments={"chat": ["a"]})
    ).values()
    (found,) = read_rule_file(text)
    assert found.rule == replace(rule, id=""), found.reason
    assert found.notes == ()


RULES = st.builds(
    AlertRule,
    id=st.just("r1"), feature=st.sampled_from(["chat", "A.b-c_d", "0"]),
    name=st.text(min_size=1, max_size=20, alphabet='aé"\\{}$ ').map(str.strip).filter(bool),
    metric=st.sampled_from(sorted(METRICS)), condition=st.sampled_from(CONDITIONS),
    threshold=st.integers(1, 99).map(float) | st.floats(0.001, 99.5).map(lambda value: round(value, 6)),
    severity=st.sampled_from(SEVERITIES), cooldown_minutes=st.integers(1, 7200),
    channels=st.sampled_from([("a",), ("D.e", "a"), ("D.e", "a", "b-c")]),
    window_minutes=st.integers(1, 7200), for_minutes=st.integers(0, 7200), keep_firing_minutes=st.integers(0, 7200),
    on_no_data=st.sampled_from(ON_NO_DATA), environment=st.sampled_from([None, "production", "eu-1.x"]),
    origin=st.just("import"),
)  # fmt: skip


@given(RULES, st.booleans())
def test_any_rule_survives_its_export(rule: AlertRule, as_manifest: bool) -> None:
    if rule.condition == "equals" and rule.metric == "total_requests":
        rule = replace(rule, threshold=float(round(rule.threshold)) or 1.0)
    made = group(rule, Rendering())
    text = manifest(rule.feature, [made]) if as_manifest else next(iter(render([rule], Rendering()).values()))
    (found,) = read_rule_file(text)
    assert found.rule == replace(rule, id=""), found.reason


def test_what_is_no_rule_of_figures_is_said_of_our_own_too() -> None:
    slo = slo_rules(FeatureRecord("chat", "Chat", slo=Slo(99.5)))
    lines = replace(OURS, kind="logs", metric="log_entries", logs=LogSelection())
    text = next(iter(render(slo, Rendering()).values()))
    assert all("objective" in one.reason for one in read_rule_file(text))
    text = next(iter(loki.render([lines], Rendering()).values()))
    assert "LogQL" in read_rule_file(text)[0].reason


def test_many_channels_are_not_told_by_the_label() -> None:
    rule = replace(OURS, channels=tuple(f"channel-of-a-team-{n}" for n in range(9)))
    (found,) = read_rule_file(next(iter(render([rule], Rendering()).values())))
    assert found.rule is not None
    assert found.rule.channels == ()
    assert "name them anew" in found.notes[0]


@pytest.mark.parametrize("feature", ["chat", "Chat", "a.b", "a--b", "a_b", "a-b", "-", "x" * 64])
def test_manifests_have_names_that_kubernetes_takes(feature: str) -> None:
    name = object_name(feature)
    assert len(name) <= 253
    assert all(character.islower() or character.isdigit() or character == "-" for character in name), name
    others = {"chat", "Chat", "a.b", "a--b", "a_b", "a-b"} - {feature}
    assert name not in {object_name(other) for other in others}


def test_a_manifest_is_one_object_with_our_groups() -> None:
    text = manifest("chat", [group(OURS, Rendering())], namespace="ai", labels={"release": "prometheus"})
    told = yaml.safe_load(text)
    assert (told["apiVersion"], told["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert told["metadata"] == {
        "name": "featurewatch-chat", "namespace": "ai",
        "labels": {"app.kubernetes.io/managed-by": "featurewatch", "release": "prometheus"},
    }  # fmt: skip
    file = next(iter(render([OURS], Rendering()).values()))
    assert told["spec"] == yaml.safe_load(file)


@given(st.text(alphabet="sumratebyle()[]{}=\"'`5m.>< +-*/,feature_requests_total#\n\\", max_size=60))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    with suppress(NotRead):
        parse(text)
