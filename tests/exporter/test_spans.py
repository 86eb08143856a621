"""Spans of a real TracerProvider, in both generations of the semantic conventions, as calls of features."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, Tracer

import featurewatch
from exporter.recorded import dropped, recorded
from featurewatch import Feature, SpanProcessor
from featurewatch.exporter import spans
from featurewatch.exporter.runtime import RUNTIME

OLD = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.response.model": "gpt-5-mini-2025-08-07",
    "gen_ai.usage.prompt_tokens": 812,
    "gen_ai.usage.completion_tokens": 120,
}
NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 120,
    "gen_ai.usage.cache_read.input_tokens": 300,
    "gen_ai.usage.reasoning.output_tokens": 20,
}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}


@pytest.fixture
def tracer() -> Tracer:
    return tracer_with(SpanProcessor())


def tracer_with(processor: SpanProcessor) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("an app's instrumentation")


@contextmanager
def in_baggage(feature: str) -> Iterator[None]:
    token = context.attach(baggage.set_baggage("feature", feature))
    try:
        yield
    finally:
        context.detach(token)


def used(input: int, output: int = 0) -> dict[str, int]:
    return {"gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output}


def tokens(feature: Feature) -> dict[tuple[str, str], int]:
    return recorded(feature).tokens


@pytest.mark.parametrize("name", ["feature", "featurewatch.feature"])
def test_a_span_of_the_older_convention_is_a_call(tracer: Tracer, name: str) -> None:
    summarize = Feature("summarize", models=["gpt-5-mini"])
    with tracer.start_as_current_span("chat", attributes={**OLD, name: "summarize"}):
        assert recorded(summarize).in_progress == 1
    seen = recorded(summarize)
    assert (seen.outcomes, seen.in_progress, seen.durations) == ((1, 0, 0), 0, 1)
    assert seen.tokens == {("gpt-5-mini", "input"): 812, ("gpt-5-mini", "output"): 120}, "under the declared name"


def test_a_span_of_the_newer_convention_is_a_call_whose_subsets_are_not_added(tracer: Tracer) -> None:
    summarize = Feature("summarize")
    with tracer.start_as_current_span("chat gpt-5-mini", attributes={**NEW, "feature": "summarize"}):
        pass
    featurewatch.flush()
    seen = recorded(summarize)
    assert seen.outcomes == (1, 0, 0)
    assert seen.tokens == {
        ("gpt-5-mini", "input"): 812,
        ("gpt-5-mini", "output"): 120,
        ("gpt-5-mini", "cache_read"): 300,
        ("gpt-5-mini", "reasoning"): 20,
    }
    assert seen.cost["gpt-5-mini", "estimated"] > 0


def test_parts_counted_beside_their_whole_are_added_to_it(tracer: Tracer) -> None:
    chat = Feature("chat")
    apart = {**CHAT, **used(10, 5), "gen_ai.usage.cache_read_input_tokens": 90, "gen_ai.usage.reasoning_tokens": 30}
    with tracer.start_as_current_span("chat", attributes={**apart, "feature": "chat"}):
        pass
    assert tokens(chat) == {
        ("m", "input"): 100, ("m", "output"): 35, ("m", "cache_read"): 90, ("m", "reasoning"): 30,
    }  # fmt: skip


def test_attributes_may_come_before_the_end(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("chat") as span:
        span.set_attributes({**CHAT, **used(3), "feature": "chat"})
    assert recorded(chat).outcomes == (1, 0, 0)
    assert tokens(chat) == {("m", "input"): 3}


def test_the_duration_is_the_spans_own(tracer: Tracer) -> None:
    chat = Feature("chat")
    span = tracer.start_span("chat", attributes={**CHAT, "feature": "chat"}, start_time=1_000_000_000)
    span.end(end_time=3_500_000_000)
    backwards = tracer.start_span("chat", attributes={**CHAT, "feature": "chat"}, start_time=9_000_000_000)
    backwards.end(end_time=8_000_000_000)
    assert recorded(chat).duration_sum == pytest.approx(2.5)
    assert recorded(chat).durations == 2


@pytest.mark.parametrize("name", ["gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"])
def test_the_first_token_by_attribute(tracer: Tracer, name: str) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("chat", attributes={**CHAT, "feature": "chat", name: 0.25}):
        pass
    (snapshot,) = RUNTIME.snapshots()
    assert recorded(chat).first_tokens == 1
    assert snapshot.distributions["feature_time_to_first_token_seconds"].sum == pytest.approx(0.25, abs=0.1)


def test_what_a_first_span_declares_takes_nothing_from_its_first_token(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = featurewatch.SpanProcessor._feature

    def slow(self: featurewatch.SpanProcessor, id: str) -> Feature | None:
        time.sleep(0.2)
        return find(self, id)

    monkeypatch.setattr(featurewatch.SpanProcessor, "_feature", slow)
    attributes = {**CHAT, "feature": "chat", "gen_ai.response.time_to_first_chunk": 0.25}
    with tracer.start_as_current_span("chat", attributes=attributes):
        pass
    (snapshot,) = RUNTIME.snapshots()
    assert snapshot.distributions["feature_time_to_first_token_seconds"].sum == pytest.approx(0.25, abs=0.001)


def test_the_first_token_by_event(tracer: Tracer) -> None:
    Feature("chat")
    span = tracer.start_span("chat", attributes={**CHAT, "feature": "chat"}, start_time=1_000_000_000)
    span.add_event("gen_ai.choice", timestamp=1_200_000_000)
    span.add_event("llm.content.completion.chunk", timestamp=1_500_000_000)
    span.add_event("llm.content.completion.chunk", timestamp=1_900_000_000)
    span.end(end_time=2_000_000_000)
    (snapshot,) = RUNTIME.snapshots()
    assert snapshot.distributions["feature_time_to_first_token_seconds"].sum == pytest.approx(0.5, abs=0.1)


def test_a_reported_cost_is_taken(tracer: Tracer) -> None:
    chat = Feature("chat")
    cost = {"gen_ai.usage.cost": 0.5}
    with tracer.start_as_current_span("chat", attributes={**CHAT, **used(3), **cost, "feature": "chat"}):
        pass
    assert recorded(chat).cost == {("m", "reported"): 0.5}


def test_errors_are_named_by_attribute_exception_or_status(tracer: Tracer) -> None:
    chat = Feature("chat")
    about = {**CHAT, "feature": "chat"}
    with tracer.start_as_current_span("chat", attributes={**about, "error.type": "rate_limited"}):
        pass
    with pytest.raises(ValueError), tracer.start_as_current_span("chat", attributes=about):
        raise ValueError
    with tracer.start_as_current_span("chat", attributes=about) as span:
        span.set_status(Status(StatusCode.ERROR, "a text of the provider's, different each time"))
    with tracer.start_as_current_span("chat", attributes={**about, "error.type": "_OTHER"}):
        pass
    with tracer.start_as_current_span("chat", attributes={**about, "error.type": "openai.RateLimitError"}):
        pass
    assert recorded(chat).errors == {"rate_limited": 1, "ValueError": 1, "error": 1, "other": 1, "RateLimitError": 1}
    assert recorded(chat).outcomes == (0, 5, 0)


def test_a_cancelled_task_is_cancelled_though_its_span_records_nothing(tracer: Tracer) -> None:
    chat = Feature("chat")

    async def ask() -> None:
        with tracer.start_as_current_span("chat", attributes={**CHAT, "feature": "chat"}):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            # What is done while a cancellation is handled was not cancelled itself.
            with tracer.start_as_current_span("chat", attributes={**CHAT, "feature": "chat"}):
                pass

    asyncio.run(main())
    assert recorded(chat).outcomes == (1, 0, 1)
    assert recorded(chat).in_progress == 0


def test_a_closed_generator_is_cancelled(tracer: Tracer) -> None:
    chat = Feature("chat")

    def parts() -> Any:
        with tracer.start_as_current_span("chat", attributes={**CHAT, "feature": "chat"}):
            yield 1
            yield 2

    running = parts()
    next(running)
    running.close()
    assert recorded(chat).outcomes == (0, 0, 1)


def test_baggage_names_the_feature(tracer: Tracer) -> None:
    chat = Feature("chat")
    with in_baggage("chat"), tracer.start_as_current_span("POST /chat"):  # noqa: SIM117  # the order is the point
        with tracer.start_as_current_span("chat", attributes={**CHAT, **used(4)}):
            assert recorded(chat).in_progress == 1
    assert recorded(chat).outcomes == (1, 0, 0)


def test_a_span_around_names_the_feature_of_those_inside(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("POST /chat", attributes={"feature": "chat"}):
        for _ in range(2):
            with tracer.start_as_current_span("chat", attributes={**CHAT, **used(4)}):
                pass
    assert recorded(chat).outcomes == (2, 0, 0), "a span that is no model's is no call"
    assert tokens(chat) == {("m", "input"): 8}


def test_spans_that_name_no_feature_and_spans_of_no_model_count_nothing(tracer: Tracer) -> None:
    with tracer.start_as_current_span("chat", attributes={**CHAT, **used(4)}):
        pass
    with tracer.start_as_current_span("GET /", attributes={"feature": "chat"}):
        pass
    assert RUNTIME.snapshots() == []


def test_inside_a_running_call_a_span_adds_to_it(tracer: Tracer) -> None:
    chat = Feature("chat")
    with chat.call() as call:
        for attributes in (CHAT, {**CHAT, "feature": "chat"}):
            with tracer.start_as_current_span("chat", attributes={**attributes, **used(4, 1)}):
                pass
        assert call.model == "m"
    assert recorded(chat).outcomes == (1, 0, 0)
    assert tokens(chat) == {("m", "input"): 8, ("m", "output"): 2}


def test_what_fails_in_a_span_fails_not_the_call_around_it(tracer: Tracer) -> None:
    chat = Feature("chat")
    with chat.call():
        with pytest.raises(ValueError), tracer.start_as_current_span("chat", attributes=CHAT):
            raise ValueError
        with tracer.start_as_current_span("chat", attributes=CHAT):
            pass
    assert recorded(chat).outcomes == (1, 0, 0)


def test_a_span_of_another_feature_inside_a_call_is_a_call_of_that_one(tracer: Tracer) -> None:
    chat, search = Feature("chat"), Feature("search")
    with chat.call(), tracer.start_as_current_span("chat", attributes={**CHAT, **used(4), "feature": "search"}):
        pass
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 0, 0)
    assert (tokens(chat), tokens(search)) == ({}, {("m", "input"): 4})


def test_a_call_inside_a_span_of_another_feature_takes_what_is_inside_it(tracer: Tracer) -> None:
    chat, search = Feature("chat"), Feature("search")
    with (
        tracer.start_as_current_span("agent", attributes={**AGENT, "feature": "chat"}),
        search.call(),
        tracer.start_as_current_span("chat", attributes={**CHAT, **used(4)}),
    ):
        pass
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 0, 0)
    assert (tokens(chat), tokens(search)) == ({}, {("m", "input"): 4})


def test_an_agent_is_one_call_and_its_sum_is_not_added_to_its_parts(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("agent", attributes={**AGENT, "feature": "chat"}) as agent:
        for tool in range(2):
            with tracer.start_as_current_span("chat", attributes={**CHAT, **used(10, 1)}):
                pass
            with tracer.start_as_current_span("tool", attributes=TOOL), tracer.start_as_current_span("GET /"):
                if tool:
                    with tracer.start_as_current_span("chat", attributes={**CHAT, **used(5)}):
                        pass
        agent.set_attributes({**used(25, 2), "gen_ai.request.model": "m"})
        assert recorded(chat).in_progress == 1
    assert recorded(chat).outcomes == (1, 0, 0)
    assert tokens(chat) == {("m", "input"): 25, ("m", "output"): 2}


def test_an_agent_alone_tells_its_own_sum(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("agent", attributes={**AGENT, **used(25, 2), "feature": "chat"}):  # noqa: SIM117
        with tracer.start_as_current_span("tool", attributes=TOOL):
            pass
    assert tokens(chat) == {("unknown", "input"): 25, ("unknown", "output"): 2}


def test_an_agents_models_are_told_apart(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("agent", attributes={**AGENT, "feature": "chat"}):
        for model in ("small", "large", "small"):
            about = {**CHAT, **used(10), "gen_ai.request.model": model}
            with tracer.start_as_current_span("chat", attributes=about):
                pass
    featurewatch.flush()
    seen = recorded(chat)
    assert seen.outcomes == (1, 0, 0)
    assert seen.tokens == {("small", "input"): 20, ("large", "input"): 10}
    assert seen.unpriced == {"small": 1, "large": 1}


def test_an_agent_that_says_what_it_is_only_at_its_end_is_not_counted_over_its_parts(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("agent") as agent:
        with tracer.start_as_current_span("chat", attributes={**CHAT, **used(10), "feature": "chat"}):
            pass
        agent.set_attributes({**AGENT, **used(10), "feature": "chat"})
    assert recorded(chat).outcomes == (1, 0, 0)
    assert tokens(chat) == {("m", "input"): 10}


def test_a_tool_on_its_own_is_no_call(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("tool", attributes={**TOOL, "feature": "chat"}):
        pass
    assert recorded(chat).outcomes == (0, 0, 0)


def test_spans_of_other_threads_find_their_parent(tracer: Tracer) -> None:
    chat = Feature("chat")
    with tracer.start_as_current_span("agent", attributes={**AGENT, "feature": "chat"}):
        here = context.get_current()

        def ask() -> None:
            with tracer.start_as_current_span("chat", context=here, attributes={**CHAT, **used(1)}):
                pass

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recorded(chat).outcomes == (1, 0, 0)
    assert tokens(chat) == {("m", "input"): 8}


def test_a_feature_named_by_spans_is_declared_until_the_app_declares_it(tracer: Tracer) -> None:
    with tracer.start_as_current_span("chat", attributes={**CHAT, **used(4), "feature": "new"}):
        pass
    declared = Feature("new", name="New", owner="docs", models=["gpt-5-mini"])
    assert Feature("new", name="New", owner="docs", models=["gpt-5-mini"]) is declared
    with declared.call() as call:
        assert call.model == "gpt-5-mini"
    (snapshot,) = RUNTIME.snapshots()
    assert snapshot.numbers["feature_info"] == {("New", "docs", ""): 1}
    assert recorded(declared).outcomes == (2, 0, 0)
    assert ("gpt-5-mini", "input") in snapshot.numbers["feature_tokens_total"]


def test_names_from_outside_are_bounded_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tracer = tracer_with(SpanProcessor(feature_limit=2))
    known = Feature("known")
    for name in ("a", "b", "c", "c", "../etc", "known"):
        with in_baggage(name), tracer.start_as_current_span("chat", attributes=CHAT):
            pass
    assert set(RUNTIME.features) == {"a", "b", "known"}
    assert recorded(known).outcomes == (1, 0, 0)
    assert dropped("calls", "feature_limit") >= 2
    assert dropped("calls", "invalid_feature") >= 1
    assert len(caplog.records) == 2


def test_above_the_processs_limit_spans_count_for_other(tracer: Tracer) -> None:
    featurewatch.configure(max_features=1)
    Feature("known")
    with in_baggage("one-too-many"), tracer.start_as_current_span("chat", attributes={**CHAT, **used(3)}):
        pass
    counts = {one.key.feature: one.numbers["feature_requests_total"]["success",] for one in RUNTIME.snapshots()}
    assert counts == {"known": 0, "other": 1}


def test_spans_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_LIMIT", 3)
    tracer = tracer_with(SpanProcessor())
    chat = Feature("chat")
    for _ in range(5):
        tracer.start_span("chat", attributes={**CHAT, "feature": "chat"})
    assert recorded(chat).outcomes == (0, 0, 2)
    assert recorded(chat).in_progress == 3
    assert dropped("calls", "span_limit") == 2


def test_attributes_of_any_kind_break_nothing(tracer: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    chat = Feature("chat")
    strange = {
        **CHAT, "gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -3,
        "gen_ai.usage.cost": float("nan"), "gen_ai.response.time_to_first_chunk": float("inf"), "feature": "chat",
    }  # fmt: skip
    with tracer.start_as_current_span("chat", attributes=strange):
        pass
    assert recorded(chat).outcomes == (1, 0, 0)
    assert (recorded(chat).tokens, recorded(chat).cost, recorded(chat).first_tokens) == ({}, {}, 0)
    assert caplog.records == []


def test_disabled_spans_count_nothing(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_DISABLED", "1")
    with tracer.start_as_current_span("chat", attributes={**NEW, "feature": "chat"}):
        pass
    assert RUNTIME.snapshots() == []


def test_the_provider_flushes_and_shuts_down() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    assert provider.force_flush()
    provider.shutdown()
