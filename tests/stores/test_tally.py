from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from featurewatch import families
from featurewatch.exporter.prometheus import render
from featurewatch.model import CallReport, FeatureKey
from featurewatch.stores.tally import LABEL_LIMIT, Tally

KEY = FeatureKey("chat", "production")
PRICES = {"known": 0.25}


def call(**given: object) -> CallReport:
    base: dict[str, object] = {"id": None, "timestamp_ns": 0, "outcome": "success", "duration_s": 0.03}
    return CallReport(**{**base, **given})  # type: ignore[arg-type]  # a test's shorthand


def tally(*calls: CallReport) -> Tally:
    counted = Tally(KEY, 0)
    for one in calls:
        counted.add(one, lambda model, tokens: PRICES.get(model))
    return counted


def test_calls_add_up() -> None:
    counted = tally(
        call(), call(outcome="error", error_type="timeout", duration_s=100.0), call(time_to_first_token_s=0.01)
    ).snapshot()
    assert counted.numbers[families.REQUESTS.name] == {("success",): 2, ("error",): 1, ("cancelled",): 0}
    assert counted.numbers[families.ERRORS.name] == {("timeout",): 1}
    duration = counted.distributions[families.DURATION.name]
    assert (duration.counts[2], duration.counts[-1], duration.sum) == (2, 1, 100.06)
    assert counted.distributions[families.FIRST_TOKEN.name].counts[0] == 1


def test_cost_is_reported_estimated_or_unpriced_once_each() -> None:
    counted = tally(
        call(model="known", tokens={"input": 5}, cost_usd=1.0),
        call(model="known", tokens={"input": 5, "output": 2}),
        call(model="strange", tokens={"input": 1}),
        call(model="known"),
    ).snapshot()
    assert counted.numbers[families.COST.name] == {("known", "reported"): 1.0, ("known", "estimated"): 0.25}
    assert counted.numbers[families.UNPRICED.name] == {("strange",): 1}
    assert counted.numbers[families.TOKENS.name] == {
        ("known", "input"): 10, ("known", "output"): 2, ("strange", "input"): 1,
    }  # fmt: skip


def test_labels_are_bounded_and_nothing_is_lost() -> None:
    calls = [call(outcome="error", error_type=f"e{n}", model=f"m{n}", tokens={"input": 1}) for n in range(80)]
    counted = tally(*calls).snapshot()
    errors, tokens = counted.numbers[families.ERRORS.name], counted.numbers[families.TOKENS.name]
    assert len(errors) == len(tokens) == LABEL_LIMIT + 1
    assert sum(errors.values()) == sum(tokens.values()) == 80
    assert errors[("other",)] == 80 - LABEL_LIMIT


def test_it_is_shown_as_the_exporter_would() -> None:
    class Told:
        def collect(self) -> object:
            return render([tally(call(), call(outcome="error")).snapshot()], {})

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told())  # type: ignore[arg-type]  # collect is all it needs
    text = generate_latest(registry).decode()
    assert 'feature_requests_total{environment="production",feature="chat",outcome="error"} 1.0' in text
    assert 'feature_request_duration_seconds_count{environment="production",feature="chat"} 2.0' in text
