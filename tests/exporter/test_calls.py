"""What a call carries, which call is the running one, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import featurewatch
from exporter.recorded import dropped, recorded
from featurewatch import Feature, current_call
from featurewatch.exporter.call import NO_CALL
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.families import BUCKETS


def test_tokens_and_cost_add_up_within_a_call() -> None:
    feature = Feature("chat")
    with feature.call(model="gpt-5-mini") as call:
        call.tokens(input=10, output=1, cache_read=4)
        call.tokens(output=2, reasoning=2, cache_write=3)
        call.cost(usd=0.25)
        call.cost(0.5)
    assert recorded(feature).tokens == {
        ("gpt-5-mini", "input"): 10,
        ("gpt-5-mini", "output"): 3,
        ("gpt-5-mini", "cache_read"): 4,
        ("gpt-5-mini", "cache_write"): 3,
        ("gpt-5-mini", "reasoning"): 2,
    }
    assert recorded(feature).cost == {("gpt-5-mini", "reported"): 0.75}


def test_the_model_may_be_known_only_from_the_answer() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.model = "gpt-5-mini-2026"
        call.tokens(input=1)
        call.cost(1)
    assert recorded(feature).tokens == {("gpt-5-mini-2026", "input"): 1}


def test_a_feature_of_one_model_needs_not_say_which() -> None:
    feature = Feature("chat", models=["gpt-5-mini"])
    with feature.call() as call:
        call.cost(1)
    assert recorded(feature).cost == {("gpt-5-mini", "reported"): 1}


def test_tokens_without_a_model_belong_to_an_unknown_one() -> None:
    feature = Feature("chat", models=["a", "b"])
    with feature.call() as call:
        call.tokens(input=5)
        call.cost(1)
    assert recorded(feature).tokens == {("unknown", "input"): 5}


@pytest.mark.parametrize(
    "counts",
    [
        {"input": -1},
        {"input": math.nan},
        {"output": "many"},
        {"output": 1.5},
        {"inputs": 3},
        {"input": math.inf},
        {"input": 10**12 + 1},
        {"output": 2.0**70},
    ],
    ids=str,
)
def test_wrong_token_counts_are_told_once_counted_and_left_out(
    counts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    feature = Feature("chat")
    for _ in range(2):
        with feature.call(model="m") as call:
            call.tokens(cache_read=1, **counts)
            call.cost(1)
    assert recorded(feature).tokens == {("m", "cache_read"): 2}
    assert recorded(feature).outcomes == (2, 0, 0)
    assert dropped("calls", "invalid_value") == 2
    assert len(caplog.records) == 1
    assert "chat" in caplog.text
    assert "expected" in caplog.text


def test_no_tokens_by_any_usual_way_are_none() -> None:
    feature = Feature("chat")
    with feature.call(model="m") as call:
        call.tokens(input=3, cache_read=None)
        call.tokens(output=4.0)  # type: ignore[arg-type]  # some clients count in floats
        call.cost(1)
    assert recorded(feature).tokens == {("m", "input"): 3, ("m", "output"): 4}
    assert dropped("calls", "invalid_value") == 0


@pytest.mark.parametrize("usd", [-0.01, math.nan, math.inf, "free", None, 1.1e9, 2**2000], ids=str)
def test_wrong_costs_are_told_once_counted_and_left_out(usd: Any, caplog: pytest.LogCaptureFixture) -> None:
    feature = Feature("chat")
    for _ in range(2):
        with feature.call(model="m") as call:
            call.cost(usd)
    assert recorded(feature).cost == {}
    assert dropped("calls", "invalid_value") == 2
    assert len(caplog.records) == 1


def test_a_token_that_is_true_is_one_and_has_a_price() -> None:
    feature = Feature("chat")
    with feature.call(model="gpt-5-mini") as call:
        call.tokens(input=True)
    assert featurewatch.flush(timeout=20)
    assert recorded(feature).tokens == {("gpt-5-mini", "input"): 1}
    assert recorded(feature).cost["gpt-5-mini", "estimated"] > 0


def test_an_error_without_a_name_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    feature = Feature("chat", classify=lambda error: "")
    for name in ("", None):
        with feature.call() as call:
            call.fail(name)  # type: ignore[arg-type]  # what is tested
    with contextlib.suppress(KeyError), feature.call():
        raise KeyError
    assert recorded(feature).errors == {"error": 2, "KeyError": 1}


def test_what_is_told_to_an_ended_call_is_lost_and_told(caplog: pytest.LogCaptureFixture) -> None:
    feature = Feature("chat")
    with feature.call(model="m") as call:
        pass
    call.tokens(input=1)
    call.cost(1)
    call.fail("late")
    with call:
        pass
    seen = recorded(feature)
    assert (seen.outcomes, seen.tokens, seen.cost, seen.errors) == ((1, 0, 0), {}, {}, {})
    assert dropped("calls", "invalid_value") == 3


class Hostile:
    """A value whose every operation raises."""

    def _raise(self, *_: Any) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __int__ = __float__ = __or__ = __ror__ = __eq__ = __hash__ = __bool__ = _raise


def test_nothing_that_the_app_gives_raises_or_breaks_the_count() -> None:
    hostile: Any = Hostile()
    feature = Feature("chat")
    for _ in range(100):
        with feature.call(model="m") as call:
            call.tokens(input=hostile)
            call.tokens(output=1)
            call.cost(hostile)
            call.cost(1)
            call.model = hostile
            call.fail(hostile)
        call.model = []  # type: ignore[assignment]  # after the end, and of no use as a label
    seen = recorded(feature)
    assert seen.outcomes == (0, 100, 0)
    assert seen.errors == {"Hostile": 100}
    assert seen.tokens == {("Hostile", "output"): 100}
    assert dropped("calls", "invalid_value") == 200


def test_the_first_token_is_the_first_one() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.first_token()
        call.first_token()
    assert recorded(feature).first_tokens == 1


def test_where_no_call_runs_there_is_a_falsy_one_that_takes_everything() -> None:
    call = current_call()
    assert not call
    call.tokens(input=1, nonsense=2)  # type: ignore[arg-type]  # it takes whatever comes
    call.cost(1)
    call.first_token()
    call.fail("x")
    call.cancel()
    call.model = "m"
    assert call.model is None
    assert call.feature == ""
    with call as same:
        assert same is NO_CALL


def test_nested_calls_are_each_counted_and_the_inner_one_runs() -> None:
    outer_feature, inner_feature = Feature("outer"), Feature("inner")
    with outer_feature.call() as outer:
        with inner_feature.call() as inner:
            assert current_call() is inner
        assert current_call() is outer
    assert not current_call()
    assert recorded(outer_feature).outcomes == recorded(inner_feature).outcomes == (1, 0, 0)


def test_a_tracked_function_finds_its_call() -> None:
    feature = Feature("chat")

    @feature.track(model="m")
    def run() -> None:
        current_call().tokens(output=9)
        current_call().cost(1)
        assert current_call().feature == "chat"

    run()
    assert recorded(feature).tokens == {("m", "output"): 9}


def test_tasks_each_have_their_own_call() -> None:
    feature = Feature("chat")

    async def run(number: int) -> None:
        async with feature.call(model=f"m{number}") as call:
            await asyncio.sleep(0.001 * (number % 3))
            assert current_call() is call
            current_call().tokens(input=number)
            call.cost(1)

    async def main() -> None:
        await asyncio.gather(*(run(number) for number in range(1, 20)))
        assert not current_call()

    asyncio.run(main())
    assert recorded(feature).tokens == {(f"m{number}", "input"): number for number in range(1, 20)}


def test_interleaved_generators_each_have_their_own_call() -> None:
    feature = Feature("chat")

    @feature.track
    def parts(model: str) -> Iterator[str]:
        mine = current_call()
        mine.model = model
        for _ in range(3):
            assert current_call() is mine
            mine.tokens(input=1)
            yield model
        mine.cost(1)

    first, second = parts("a"), parts("b")
    for _ in range(3):
        assert next(first) == "a"
        assert not current_call()
        assert next(second) == "b"
        assert not current_call()
    assert (list(first), list(second)) == ([], [])
    assert recorded(feature).tokens == {("a", "input"): 3, ("b", "input"): 3}


def test_a_block_within_a_tracked_generator_spans_its_steps() -> None:
    outer_feature, inner_feature = Feature("outer"), Feature("inner")

    @outer_feature.track
    def parts() -> Iterator[str]:
        yield current_call().feature
        with inner_feature.call():
            yield current_call().feature
            yield current_call().feature
        yield current_call().feature

    seen = []
    for part in parts():
        assert not current_call()
        seen.append(part)
    assert seen == ["outer", "inner", "inner", "outer"]
    assert recorded(outer_feature).outcomes == recorded(inner_feature).outcomes == (1, 0, 0)


def test_a_generator_may_be_advanced_in_another_context_at_each_step() -> None:
    feature = Feature("chat")

    @feature.track
    def parts() -> Iterator[bool]:
        for _ in range(3):
            yield bool(current_call())

    running = parts()
    with ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(contextvars.Context().run, next, running).result() for _ in range(3)]
    running.close()  # type: ignore[attr-defined]  # an Iterator by annotation, a generator in fact
    assert seen == [True, True, True]
    assert recorded(feature).outcomes == (0, 0, 1)


def test_blocks_left_out_of_order_leave_no_ended_call_running() -> None:
    feature = Feature("chat")

    def parts() -> Iterator[int]:
        with feature.call():
            yield 1

    first, second = parts(), parts()
    next(first)
    next(second)
    list(first)
    list(second)
    assert not current_call()
    assert recorded(feature).outcomes == (2, 0, 0)


def test_labels_are_bounded_and_what_overflows_is_counted() -> None:
    feature = Feature("chat")
    for number in range(60):
        with feature.call(model=f"model-{number}") as call:
            call.fail(f"error-{number}")
            call.cost(1)
    seen = recorded(feature)
    assert len(seen.errors) == len(seen.cost) == 51
    assert seen.errors["other"] == 10
    assert seen.cost["other", "reported"] == 10
    assert sum(seen.errors.values()) == seen.error == 60
    assert dropped("calls", "label_limit") == 20


def test_a_long_label_is_cut() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.fail("x" * 10_000)
    assert recorded(feature).errors == {"x" * 128: 1}


@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["success", "error", "cancelled"]),
            st.sampled_from(["a", "b", None]),
            st.integers(0, 10**9),
            st.none() | st.floats(0, 100),
        ),
        max_size=80,
    )
)
def test_totals_are_the_sums_of_the_calls(calls: list[tuple[str, str | None, int, float | None]]) -> None:
    RUNTIME.forget()
    feature = Feature("chat", models=["x", "y"])
    for outcome, model, tokens, usd in calls:
        with feature.call(model=model) as call:
            call.tokens(input=tokens)
            call.cost(0 if usd is None else usd)
            if outcome == "error":
                call.fail()
            elif outcome == "cancelled":
                call.cancel()
    seen = recorded(feature)
    assert seen.outcomes == tuple(
        sum(outcome == kind for outcome, *_ in calls) for kind in ("success", "error", "cancelled")
    )
    assert seen.durations == len(calls)
    assert sum(seen.tokens.values()) == sum(tokens for _, _, tokens, _ in calls)
    assert math.isclose(sum(seen.cost.values()), math.fsum(usd or 0 for *_, usd in calls), abs_tol=1e-9)


def test_a_scrape_is_never_torn() -> None:
    """Each call adds one outcome, one duration, one token and one dollar: every snapshot must show as many of each."""
    feature = Feature("chat", models=["m"])
    stop = threading.Event()
    ended = [0] * 4

    def run(number: int) -> None:
        while not stop.is_set():
            with feature.call(model="m") as call:
                call.tokens(input=1)
                call.cost(1)
                if number % 2:
                    call.fail("x")
            ended[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        last = 0
        for _ in range(300):
            seen = recorded(feature)
            calls = sum(seen.outcomes)
            assert seen.durations == calls
            assert seen.tokens.get(("m", "input"), 0) == calls
            assert seen.cost.get(("m", "reported"), 0) == calls
            assert seen.errors.get("x", 0) == seen.error
            assert 0 <= seen.in_progress <= 4
            assert calls >= last
            last = calls
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(recorded(feature).outcomes) == sum(ended) > 0
    assert recorded(feature).in_progress == 0


def test_many_threads_lose_no_call() -> None:
    feature = Feature("chat")

    def run() -> None:
        for _ in range(5_000):
            with feature.call():
                pass

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded(feature).outcomes == (40_000, 0, 0)


@pytest.mark.parametrize("begin", [Feature.call, lambda feature: feature.stream([1])], ids=["call", "stream"])
def test_threads_that_share_a_call_lose_nothing_that_they_add(begin: Any) -> None:
    feature = Feature("chat", models=["m"])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with begin(feature) as call:

            def add() -> None:
                for _ in range(2000):
                    call.tokens(input=1)
                    call.cost(1)

            threads = [threading.Thread(target=add) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    seen = recorded(feature)
    assert seen.tokens == {("m", "input"): 12_000}
    assert seen.cost["m", "reported"] == 12_000


def test_a_duration_on_a_bound_belongs_to_its_bucket() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        pass
    call._duration = BUCKETS[3]  # the call waits to be added up: nothing was read yet
    (snapshot,) = RUNTIME.snapshots()
    counts = snapshot.distributions["feature_request_duration_seconds"].counts
    assert [index for index, count in enumerate(counts) if count] == [3]


def test_a_probe_is_exported_once_it_told_something() -> None:
    feature = Feature("chat")
    assert "feature_probe_success" not in RUNTIME.snapshots()[0].numbers
    feature.probe(ok=True)
    assert RUNTIME.snapshots()[0].numbers["feature_probe_success"] == {(): 1}
    feature.probe(ok=False)
    assert RUNTIME.snapshots()[0].numbers["feature_probe_success"] == {(): 0}


def test_a_call_entered_twice_at_a_time_is_one_call() -> None:
    feature = Feature("chat")
    call = feature.call()
    with call:
        with call:
            pass
        assert not current_call()
    with feature.call() as outer:
        with feature.call() as inner, outer:
            assert current_call() is inner
        assert not current_call()
    assert recorded(feature).outcomes == (3, 0, 0)
