"""What may be declared, and what a second declaration means."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import featurewatch
from exporter.recorded import recorded
from featurewatch import Feature
from featurewatch.errors import SettingsError
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.families import TOKEN_KINDS
from featurewatch.model import OUTCOMES


def test_series_exist_at_zero_from_the_declaration_on() -> None:
    Feature("summarize", name="Summaries", owner="docs", version="1.4", models=["a"], budget_usd_per_day=5)
    (snapshot,) = RUNTIME.snapshots()
    assert snapshot.key == ("summarize", "development")
    assert snapshot.numbers["feature_requests_total"] == {(outcome,): 0 for outcome in OUTCOMES}
    assert snapshot.numbers["feature_tokens_total"] == {("a", kind): 0 for kind in TOKEN_KINDS}
    assert snapshot.numbers["feature_cost_usd_total"] == {("a", "reported"): 0, ("a", "estimated"): 0}
    assert snapshot.numbers["feature_unpriced_requests_total"] == {("a",): 0}
    assert snapshot.numbers["feature_requests_in_progress"] == {(): 0}
    assert snapshot.numbers["feature_budget_usd_per_day"] == {(): 5}
    assert snapshot.numbers["feature_info"] == {("Summaries", "docs", "1.4"): 1}
    assert "feature_probe_success" not in snapshot.numbers


def test_declaring_alike_returns_the_same() -> None:
    first = Feature("chat", owner="docs", models=["a"])
    assert Feature("chat", owner="docs", models=("a",)) is first


def test_declaring_differently_is_refused_and_names_the_difference() -> None:
    Feature("chat", owner="docs")
    with pytest.raises(SettingsError, match=r"'chat' is already declared differently \(owner was 'docs', is 'sales'\)"):
        Feature("chat", owner="sales")


@pytest.mark.parametrize("id", ["", ".x", "a b", "a" * 65, "ä", "a\n", None, 3], ids=repr)
def test_a_wrong_id_is_refused_with_the_rule(id: Any) -> None:
    with pytest.raises(SettingsError, match="id: expected 1 to 64 of letters, digits"):
        Feature(id)
    assert RUNTIME.snapshots() == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("models", "gpt-5-mini"), ("models", [3]), ("models", 3), ("owner", None), ("owner", "\ud800"),
        ("models", ["\ud800"]), ("classify", "no"), ("classify", asyncio.sleep),
        ("budget_usd_per_day", -1), ("budget_usd_per_day", math.nan), ("budget_usd_per_day", "5"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_by_its_name(argument: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{argument}: expected"):
        Feature("chat", **{argument: value})


def test_a_feature_travels_to_another_process_as_its_declaration() -> None:
    feature = Feature("chat", owner="docs")
    assert pickle.loads(pickle.dumps(feature)) is feature


def test_configuring_after_declaring_moves_features_to_the_environment() -> None:
    feature = Feature("chat")
    featurewatch.configure(environment="production")
    with feature.call():
        pass
    assert [snapshot.key for snapshot in RUNTIME.snapshots()] == [("chat", "production")]
    assert recorded(feature).outcomes == (1, 0, 0)


def test_calls_of_a_replaced_environment_stay_in_it() -> None:
    feature = Feature("chat")
    with feature.call():
        featurewatch.configure(environment="staging")
    with feature.call():
        pass
    outcomes = {
        snapshot.key.environment: snapshot.numbers["feature_requests_total"]["success",]
        for snapshot in RUNTIME.snapshots()
    }
    assert outcomes == {"development": 1, "staging": 1}
    featurewatch.configure(environment="development")
    with feature.call():
        pass
    outcomes = {
        snapshot.key.environment: snapshot.numbers["feature_requests_total"]["success",]
        for snapshot in RUNTIME.snapshots()
    }
    assert outcomes == {"development": 2, "staging": 1}


def test_disabled_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_DISABLED", "1")
    feature = Feature("chat")

    @feature.track
    def run() -> int:
        assert not featurewatch.current_call()
        return 3

    with feature.call() as call:
        call.tokens(input=1)
        call.cost(1)
    feature.probe(ok=True)
    assert run() == 3

    @feature.track
    def parts() -> Iterator[bool]:
        yield bool(featurewatch.current_call())

    assert list(parts()) == [False]
    assert RUNTIME.snapshots() == []
    assert featurewatch.flush(timeout=1)
