"""Costs that nobody reported are estimated off the calling thread; what has no price is counted as that."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pytest

import featurewatch
from exporter.recorded import dropped, recorded
from featurewatch import Feature
from featurewatch.exporter.prices import Estimator, estimate, table_version
from featurewatch.exporter.runtime import RUNTIME


def test_a_known_model_has_a_price() -> None:
    alone = estimate("gpt-5-mini", {"input": 1_000_000})
    assert alone is not None
    assert 0.01 < alone < 10
    assert estimate("openai/gpt-5-mini", {"input": 1_000_000}) == alone


def test_cached_and_reasoning_tokens_are_subsets() -> None:
    whole = estimate("gpt-5-mini", {"input": 1000, "output": 1000})
    cached = estimate("gpt-5-mini", {"input": 1000, "output": 1000, "cache_read": 900})
    thought = estimate("gpt-5-mini", {"input": 1000, "output": 1000, "reasoning": 900})
    assert whole is not None
    assert cached is not None
    assert cached < whole
    assert thought == whole


@pytest.mark.parametrize("model", ["no-such-model-1", "", "/", "nobody/nothing"])
def test_an_unknown_model_has_none(model: str) -> None:
    assert estimate(model, {"input": 1000}) is None


def test_the_tables_version_is_known() -> None:
    assert table_version()[0].isdigit()


def test_a_call_without_a_reported_cost_is_estimated() -> None:
    feature = Feature("chat")
    with feature.call(model="gpt-5-mini") as call:
        call.tokens(input=812, output=120, cache_read=300)
    assert featurewatch.flush(timeout=20)
    usd = recorded(feature).cost["gpt-5-mini", "estimated"]
    assert usd == estimate("gpt-5-mini", {"input": 812, "output": 120, "cache_read": 300})
    assert recorded(feature).unpriced == {"gpt-5-mini": 0}


def test_a_reported_cost_is_not_estimated_and_zero_is_a_cost() -> None:
    feature = Feature("chat")
    with feature.call(model="no-such-model-1") as call:
        call.tokens(input=10)
        call.cost(usd=0)
    assert featurewatch.flush(timeout=20)
    assert recorded(feature).cost == {}
    assert recorded(feature).unpriced == {"no-such-model-1": 0}


def test_a_call_of_an_unknown_model_is_unpriced_never_free() -> None:
    feature = Feature("chat")
    with feature.call(model="no-such-model-1") as call:
        call.tokens(input=10)
    with feature.call() as call:
        call.tokens(input=10)
    assert featurewatch.flush(timeout=20)
    assert recorded(feature).unpriced == {"no-such-model-1": 1, "unknown": 1}
    assert recorded(feature).cost == {}


def test_a_call_without_tokens_has_nothing_to_price() -> None:
    feature = Feature("chat", models=["gpt-5-mini"])
    with feature.call():
        pass
    assert featurewatch.flush(timeout=20)
    assert recorded(feature).unpriced == {"gpt-5-mini": 0}


def test_impossible_tokens_are_told_counted_and_unpriced(caplog: pytest.LogCaptureFixture) -> None:
    feature = Feature("chat")
    with feature.call(model="gpt-5-mini") as call:
        call.tokens(input=10, cache_read=300)
    assert featurewatch.flush(timeout=20)
    assert recorded(feature).unpriced == {"gpt-5-mini": 1}
    assert dropped("costs", "estimate_failed") == 1
    assert "gpt-5-mini cannot be estimated" in caplog.text


def test_what_does_not_fit_the_queue_is_counted() -> None:
    feature = Feature("chat")
    (aggregate,) = [feature._aggregate]
    assert aggregate is not None
    held = threading.Event()

    def slow(model: str, tokens: Mapping[str, int]) -> float:
        held.wait(20)
        return 1.0

    estimator = Estimator(RUNTIME.drops, slow, size=5)
    for _ in range(20):
        estimator.submit(aggregate, "m", [1, 0, 0, 0, 0])
    held.set()
    assert estimator.worker.stop(time.monotonic() + 60)
    priced = recorded(feature).cost["m", "estimated"]
    assert 5 <= priced <= 6
    assert priced + dropped("costs", "queue_full") == 20


def test_many_threads_submit_and_every_call_is_priced() -> None:
    feature = Feature("chat")
    aggregate = feature._aggregate
    assert aggregate is not None
    estimator = Estimator(RUNTIME.drops, lambda model, tokens: 1.0, size=100_000)

    def run() -> None:
        for _ in range(2_000):
            estimator.submit(aggregate, "m", [1, 0, 0, 0, 0])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert estimator.worker.stop(time.monotonic() + 60)
    assert recorded(feature).cost == {("m", "estimated"): 8_000}
