"""The helpers for an app's own tests: what a block recorded, and nothing else touched."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import recorded as exported
from featurewatch import Feature
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.testing import recorded


def test_a_block_shows_each_call_as_it_was() -> None:
    chat, search = Feature("chat", models=["gpt-5-mini"]), Feature("search")
    with recorded() as calls:
        with chat.call() as call:
            call.tokens(input=812, output=120, cache_read=300)
            call.first_token()
        with search.call(model="gpt-5") as call:
            call.cost(0.25)
            call.fail("refused")
        with pytest.raises(ValueError), search.call():
            raise ValueError
    assert [call.feature for call in calls] == ["chat", "search", "search"]
    first = calls[0].has(
        outcome="success", error_type=None, model="gpt-5-mini", tokens={"input": 812, "output": 120, "reasoning": 0},
        environment="development", attempts=1,
    )  # fmt: skip
    assert first.tokens == {"input": 812, "output": 120, "cache_read": 300}
    assert first.reported_cost is None
    assert first.cost is not None
    assert 0 < first.cost < 0.01, "estimated"
    assert first.first_token is not None
    assert 0 <= first.first_token <= first.duration
    calls[1].has(outcome="error", error_type="refused", cost=0.25, model="gpt-5")
    assert [call.error_type for call in calls.of("search")] == ["refused", "ValueError"]
    assert calls.only("chat") is calls[0]
    assert (len(calls), len(calls[1:])) == (3, 2)


def test_calls_can_be_looked_at_while_the_block_runs() -> None:
    chat = Feature("chat")
    with recorded() as calls:
        calls.none()
        with chat.call():
            calls.none("chat")
        assert len(calls) == 1
    assert len(calls) == 1


def test_what_is_expected_and_missing_is_told_in_a_line() -> None:
    chat = Feature("chat")
    with recorded() as calls:
        for _ in range(2):
            with chat.call(model="m") as call:
                call.tokens(input=3)
                call.fail("refused")
    with pytest.raises(AssertionError, match=r"expected one call of 'chat', got 2; recorded was: chat: error, .*'m'"):
        calls.only("chat")
    with pytest.raises(AssertionError, match=r"expected one call of 'search', got 0; recorded was: chat: error"):
        calls.only("search")
    with pytest.raises(AssertionError, match=r"expected outcome 'success', got 'error' in chat: error"):
        calls[0].has(outcome="success")
    with pytest.raises(AssertionError, match=r"expected tokens \{'output': 1\}, got \{'output': 0\}"):
        calls[0].has(tokens={"output": 1})
    with pytest.raises(AssertionError, match=r"expected no call of 'chat', got 2"):
        calls.none("chat")
    with pytest.raises(TypeError, match=r"a call has no 'result'"):
        calls[0].has(result="success")


def test_a_block_leaves_the_counts_of_the_process_as_they_were() -> None:
    chat = Feature("chat")
    with chat.call():
        pass
    with chat.call(), recorded() as calls:
        with chat.call():
            pass
        assert exported(chat).outcomes == (1, 0, 0), "on /metrics, too, the block alone"
    assert len(calls) == 1
    assert exported(chat).outcomes == (2, 0, 0)


def test_blocks_nest() -> None:
    chat = Feature("chat")
    with recorded() as outer:
        with recorded() as inner, chat.call():
            pass
        with chat.call():
            pass
    assert (len(outer), len(inner)) == (1, 1)


def test_blocks_that_overlap_leave_the_process_as_it_was() -> None:
    chat = Feature("chat")
    first, second = recorded(), recorded()
    first.__enter__()
    calls = second.__enter__()
    first.__exit__(None, None, None)
    with chat.call():
        pass
    second.__exit__(None, None, None)
    assert len(calls) == 1
    with chat.call():
        pass
    assert exported(chat).outcomes == (1, 0, 0)
    assert len(calls) == 1


def test_a_feature_declared_in_a_block_goes_on_and_may_be_declared_anew() -> None:
    with recorded() as calls, Feature("chat", owner="docs").call():
        pass
    calls.only("chat")
    again = Feature("chat", owner="search")
    with recorded() as calls, again.call():
        pass
    calls.only("chat")
    assert exported(again).outcomes == (0, 0, 0)


def test_threads_and_tasks_are_recorded() -> None:
    chat = Feature("chat")

    @chat.track
    async def ask() -> None:
        await asyncio.sleep(0)

    async def ask_often() -> None:
        await asyncio.gather(*(ask() for _ in range(100)))

    def work() -> None:
        for _ in range(100):
            with chat.call():
                pass

    with recorded() as calls:
        asyncio.run(ask_often())
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(calls.of("chat")) == 500
    assert {call.outcome for call in calls} == {"success"}


def test_a_call_with_three_attempts_is_one_call() -> None:
    chat = Feature("chat")
    with recorded() as calls, chat.call(model="m") as call:
        for attempt in range(3):
            call.tokens(input=10)
            if attempt < 2:
                call.first_token()
                call.fail("overloaded")
                call.retry()
    only = calls.only("chat").has(outcome="success", error_type=None, attempts=3, tokens={"input": 30})
    assert only.first_token is None


def test_it_works_where_featurewatch_is_disabled() -> None:
    featurewatch.configure(disabled=True)
    chat = Feature("chat")
    with recorded() as calls, chat.call():
        pass
    calls.only("chat").has(outcome="success")
    assert not chat.call()


@pytest.mark.parametrize("mode", ["metrics", "events"])
def test_nothing_of_a_block_is_sent(receiver: Receiver, mode: str) -> None:
    featurewatch.configure(endpoint=receiver.url, mode=mode, push_interval=0.1)
    chat = Feature("chat")
    with recorded() as calls:
        featurewatch.configure(endpoint=receiver.url, environment="production", mode=mode, push_interval=0.1)
        before = len(receiver.received)
        with chat.call():
            pass
        assert featurewatch.flush()
        threading.Event().wait(0.4)
        assert len(receiver.received) <= before + 1, "one may have been on its way"
    calls.only("chat").has(environment="production")
    with chat.call():
        pass
    assert featurewatch.flush(timeout=20)
    assert len(receiver.received) > before
    assert exported(chat).outcomes == (1, 0, 0)


def test_the_workers_of_a_prefork_server_are_told_nothing_of_a_block(tmp_path: Path) -> None:
    featurewatch.configure(multiprocess_dir=tmp_path, max_features=2)
    first, second, third = Feature("first"), Feature("second"), Feature("third")
    with recorded() as calls:
        for feature in (first, second, Feature("fourth")):
            with feature.call():
                pass
    assert len(calls) == 3
    with third.call():
        pass
    snapshots, _ = RUNTIME.exposed()
    counts = {one.key.feature: one.numbers["feature_requests_total"]["success",] for one in snapshots}
    assert counts == {"first": 0, "second": 0, "fourth": 0, "other": 1}
