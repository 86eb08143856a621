"""Reading a features.yml: what it declares, and everything that is wrong with it, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featurewatch.alerts.apply_plan import Existing, Step, difference, summary
from featurewatch.alerts.features_file import Declared, read_features
from featurewatch.errors import BadInput, OutOfRange

WHOLE = """\
features:
  summarize:
    name: Summaries
    owner: docs
    environments: [production, staging]
    thresholds: {error_rate: 5}
    slo: {objective: 99.5, window: 30d, notification_channels: [ops]}
    rules:
      - {name: Errors, metric: error_rate, condition: greater_than, threshold: 20, severity: high,
         notification_channels: [ops]}
      - name: Timeouts
        kind: logs
        logs: {levels: [error], search: timeout}
        condition: greater_than
        threshold: 10
        severity: low
  chat:
channels:
  ops: {kind: webhook, settings: {url: "http://127.0.0.1:9000/hook", bearer_token: "${TOKEN}-$$"}}
"""


def refused(text: str, **environ: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_features(text, environ=environ)
    return caught.value


def test_what_a_file_declares_is_read() -> None:
    declared = read_features(WHOLE, environ={"TOKEN": "s3cret"})
    summarize = declared.features["summarize"]
    assert summarize.fields == {
        "name": "Summaries",
        "owner": "docs",
        "environments": ["production", "staging"],
        "thresholds": {"uptime": None, "error_rate": 5, "response_time_p95": None},
        "slo": {"objective": 99.5, "window": "30d", "notification_channels": ["ops"], "cooldown_minutes": 60},
    }
    assert [(rule.name, rule.kind, rule.origin) for rule in summarize.rules] == [
        ("Errors", "metric", "file"), ("Timeouts", "logs", "file")
    ]  # fmt: skip
    assert declared.features["chat"].fields == {}
    assert declared.channels == {
        "ops": {
            "kind": "webhook",
            "settings": {"url": "http://127.0.0.1:9000/hook", "bearer_token": "s3cret-$"},
        }
    }
    assert declared.used_channels() == {"ops"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "features.yml: it is empty"),
        ("features: [", "features.yml:2: this is no YAML"),
        ("a: 1\n---\nb: 2", "expected one document, got 2"),
        ("[1]", "features.yml:1: the file: expected features, channels, got a list"),
        ("feature: {}", "features.yml:1: feature: is not known here; did you mean features?"),
        ("features: [chat]", "features.yml:1: features: expected a mapping"),
        ("features:\n  'a b': {}", "features.yml:2: features.a b: expected 1 to 64 of"),
        ("features:\n  7: {}", "features.yml:2: features.7: expected text before the colon, got 7"),
        ("features:\n  chat: {nam: x}", "features.yml:2: features.chat.nam: is not known here; did you mean name?"),
        ("features:\n  chat: {version: 1.0}", "features.chat.version: expected text, got 1.0: put it in quotes"),
        (
            "features:\n  chat: {thresholds: {error_rate: 101}}",
            "thresholds.error_rate: expected a number from 0 to 100",
        ),
        ("features:\n  chat: {thresholds: {error_rat: 1}}", "did you mean error_rate?"),
        ("features:\n  chat: {slo: {objective: 100}}", "slo.objective: expected a percentage such as 99.5, got 100"),
        ("features:\n  chat: {slo: {objective: 99, window: 5m}}", "slo.window: expected 1d to 366d"),
        ("features:\n  chat: {slo: {objective: 99, window: 30}}", "slo.window: expected a duration"),
        ("features:\n  chat: {slo: {objective: 99, cooldown_minutes: 0}}", "slo.cooldown_minutes: expected whole"),
        ("features:\n  chat: {environments: production}", "environments: expected a list"),
        ("features:\n  chat: {environments: [a b]}", "environments[0]: expected 1 to 32"),
        ("features:\n  chat:\n    rules: {name: x}", "features.yml:3: features.chat.rules: expected a list"),
        ("features:\n  chat:\n    rules:\n      - x", "features.yml:4: features.chat.rules[0]: expected name, metric"),
        ("features:\n  chat: {}\n  chat: {}", "features.yml:3: 'chat' is said twice"),
        ("channels:\n  ops: {}", "features.yml:2: channels.ops.kind: is missing; expected webhook, email"),
        ("channels:\n  ops: {kind: slck}", "features.yml:2: channels.ops.kind: expected webhook, email"),
        (
            "channels:\n  ops:\n    kind: slack\n    settings: {chanel: x, webhook_url: set}",
            "features.yml:4: channels.ops.settings.chanel: is not known here; did you mean channel?",
        ),
        (
            "channels:\n  ops:\n    kind: webhook\n    settings:\n      url: ftp://example.com",
            "features.yml:5: channels.ops.settings.url: expected a URL",
        ),
        ("channels:\n  ops: {kind: email, send_resolved: x}", "channels.ops.send_resolved: expected true or false"),
        ("channels:\n  ops: {kind: webhook, setings: {}}", "did you mean settings?"),
        ("channels:\n  ops: {kind: webhook, settings: {url: '${NO}'}}", "channels.ops.settings.url: ${NO} is not set"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, words: str) -> None:
    assert words in refused(text).message


def test_what_is_wrong_with_a_rule_is_told_where_it_stands() -> None:
    text = WHOLE.replace("threshold: 10", "treshold: 10").replace("metric: error_rate", "metric: eror_rate")
    error = refused(text, TOKEN="x")
    assert [problem.message.partition(": ")[0] for problem in error.problems] == [
        "features.yml:9", "features.yml:11", "features.yml:15"
    ]  # fmt: skip
    assert "features.summarize.rules[0].metric: 'eror_rate' is no metric; did you mean error_rate?" in error.message
    assert "(and 2 more)" in error.message
    assert "did you mean threshold?" in error.problems[2].message
    assert "s3cret" not in str(error.problems)


def test_a_rule_that_can_never_fire_is_out_of_range() -> None:
    error = refused(WHOLE.replace("threshold: 20", "threshold: 200"), TOKEN="x")
    assert isinstance(error, OutOfRange)
    assert "can never fire" in error.message


def test_two_rules_of_a_feature_have_different_names() -> None:
    error = refused(WHOLE.replace("name: Timeouts", "name: Errors"), TOKEN="x")
    assert "two rules of summarize are named 'Errors'" in error.message


# the plan


def plan(text: str, existing: Existing, **options: Any) -> list[Step]:
    declared: Declared = read_features(text, environ={"TOKEN": "x"})
    return difference(declared, existing, **options)


def rule_on_the_wire(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1", "name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20,
        "severity": "high", "enabled": True, "cooldown_minutes": 60, "notification_channels": ["ops"],
        "window_minutes": 5, "for_minutes": 1, "keep_firing_minutes": 0, "on_no_data": "ignore", "environment": None,
        "kind": "metric", "origin": "file", "revision": 4, **changes,
    }  # fmt: skip


def test_on_an_empty_bridge_everything_is_added_in_an_order_that_works() -> None:
    steps = plan(WHOLE, Existing())
    assert [(step.action, step.target, step.method) for step in steps] == [
        ("add", "channel ops", "PUT"), ("add", "feature summarize", "PUT"), ("add", "feature chat", "PUT"),
        ("add", "rule summarize/Errors", "POST"), ("add", "rule summarize/Timeouts", "POST"),
    ]  # fmt: skip
    assert summary(steps) == "5 to add"


RULES = """\
features:
  chat:
    rules:
      - {name: Errors, metric: error_rate, condition: greater_than, threshold: 20, severity: high,
         notification_channels: [ops]}
"""


def test_what_is_as_declared_stays() -> None:
    there = Existing({"chat": {"id": "chat", "revision": 2}}, {"chat": [rule_on_the_wire()]})
    steps = plan(RULES, there)
    assert {step.action for step in steps} == {"keep"}
    assert summary(steps) == "nothing to change"


def test_a_change_names_its_fields_and_the_revision_that_it_edits() -> None:
    there = Existing({"chat": {"id": "chat"}}, {"chat": [rule_on_the_wire(threshold=10, origin="api")]})
    change = plan(RULES, there)[-1]
    assert (change.action, change.method, change.path) == ("change", "PUT", "/features/chat/alerts/rules/r1")
    assert change.changes == {"threshold": (10, 20), "origin": ("api", "file")}
    assert change.revision == 4


@pytest.mark.parametrize(
    ("origin", "kind", "prune", "removed"),
    [
        ("file", "metric", False, True), ("api", "metric", False, False), ("api", "metric", True, True),
        ("import", "metric", False, False), ("slo", "slo", True, False),
    ],
)  # fmt: skip
def test_rules_that_left_the_file_go_and_those_that_people_made_stay(
    origin: str, kind: str, prune: bool, removed: bool
) -> None:
    there = Existing({"chat": {"id": "chat"}}, {"chat": [rule_on_the_wire(name="Old", origin=origin, kind=kind)]})
    steps = plan("features: {chat: {}}", there, prune=prune)
    assert [step.target for step in steps if step.action == "remove"] == (["rule chat/Old"] if removed else [])


THRESHOLDS = {"uptime": 99.0, "error_rate": 5.0, "response_time_p95": 10000.0}
SLO = {"objective": 99.5, "window": "30d", "notification_channels": ["ops"], "cooldown_minutes": 60}
FEATURE = {
    "id": "summarize", "name": "Summaries", "owner": "docs", "environments": ["production", "staging", "seen"],
    "thresholds": THRESHOLDS, "revision": 7, "slo": SLO,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"name": "S"}, {"name": ("S", "Summaries")}),
        ({"thresholds": {**THRESHOLDS, "uptime": 90.0}}, {"thresholds.uptime": (90.0, 99.0)}),
        ({"environments": ["production"]}, {"environments": (["production"], ["production", "staging"])}),
        ({"slo": None}, {"slo": (None, SLO)}),
    ],
)  # fmt: skip
def test_a_feature_is_compared_by_what_the_file_says_of_it(changes: Any, expected: Any) -> None:
    step = plan(WHOLE, Existing({"summarize": {**FEATURE, **changes}}))[1]
    assert step.changes == expected
    assert step.action == ("change" if expected else "keep")
    assert step.revision == (7 if expected else None)


@pytest.mark.parametrize(
    ("shown", "action"),
    [
        ({"url": "http://127.0.0.1:9000/hook", "bearer_token": "set"}, "send"),
        ({"url": "http://other/", "bearer_token": "set"}, "change"),
        ({"url": "http://127.0.0.1:9000/hook"}, "send"),
        ({"url": "http://127.0.0.1:9000/hook?…", "bearer_token": "set"}, "send"),
    ],
)
def test_a_secret_is_compared_by_the_bridge(shown: dict[str, str], action: str) -> None:
    there = {"ops": {"kind": "webhook", "settings": shown, "send_resolved": True, "revision": 3}}
    assert plan(WHOLE, Existing(channels=there))[0].action == action


def test_a_channel_without_secrets_stays_where_it_is_as_declared() -> None:
    text = "channels: {ops: {kind: email, settings: {to: a@b.c}}}"
    there = {"kind": "email", "settings": {"to": "a@b.c"}, "send_resolved": True}
    assert plan(text, Existing(channels={"ops": there}))[0].action == "keep"
    assert plan(text, Existing(channels={"ops": {**there, "kind": "webhook"}}))[0].changes == {
        "kind": ("webhook", "email")
    }


def test_the_example_is_a_file_that_can_be_applied() -> None:
    text = (Path(__file__).parents[2] / "features.yml").read_text(encoding="utf-8")
    declared = read_features(text)
    assert len(declared.features["summarize"].rules) == 4
    assert declared.used_channels() == set(declared.channels) == {"ops"}
