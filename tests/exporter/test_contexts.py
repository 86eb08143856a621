"""Calls across threads, tasks, executors and contexts: each counted once, none mistaken for another."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import anyio
import pytest

from exporter.recorded import dropped, recorded
from featurewatch import Feature, current_call

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Boom(Exception):
    pass


@pytest.fixture
def chat() -> Iterator[Feature]:
    feature = Feature("chat")
    yield feature
    assert recorded(feature).in_progress == 0
    assert dropped("calls", "invalid_value") == 0
    assert not current_call()


async def hang() -> None:
    await asyncio.sleep(60)


def test_a_timeout_around_a_call_cancels_it(chat: Feature) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await chat.track(hang)()
        with anyio.move_on_after(0.01) as scope:
            await chat.track(hang)()
        assert scope.cancelled_caught

    asyncio.run(main())
    assert recorded(chat).outcomes == (0, 0, 2)


def test_a_timeout_that_the_call_handles_itself_is_as_it_ends(chat: Feature) -> None:
    @chat.track
    async def fall_back() -> str:
        try:
            async with asyncio.timeout(0.01):
                await hang()
        except TimeoutError:
            pass
        return "short answer"

    assert asyncio.run(fall_back()) == "short answer"
    assert recorded(chat).outcomes == (1, 0, 0)


def test_a_failing_task_of_a_group_cancels_its_siblings(chat: Feature) -> None:
    @chat.track
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise Boom

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            for _ in range(3):
                group.create_task(chat.track(hang)())

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert recorded(chat).outcomes == (0, 1, 3)
    assert recorded(chat).errors == {"Boom": 1}


def test_a_group_inside_a_call_is_one_error(chat: Feature) -> None:
    async def fail() -> None:
        raise Boom

    @chat.track
    async def ask_two() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(hang())

    with pytest.raises(ExceptionGroup):
        asyncio.run(ask_two())
    assert recorded(chat).errors == {"ExceptionGroup": 1}


def test_tasks_at_once_have_calls_of_their_own(chat: Feature) -> None:
    @chat.track
    async def ask(number: int) -> None:
        mine = current_call()
        mine.tokens(input=number)
        await asyncio.sleep(0.001 * (number % 3))
        assert current_call() is mine

    async def main() -> None:
        await asyncio.gather(*(ask(number) for number in range(50)))

    asyncio.run(main())
    assert recorded(chat).outcomes == (50, 0, 0)
    assert recorded(chat).tokens == {("unknown", "input"): sum(range(50))}


def test_a_task_begun_in_a_call_knows_it_until_it_ends(chat: Feature) -> None:
    async def main() -> None:
        ended = asyncio.Event()
        known: list[bool] = []

        async def aside() -> None:
            known.append(bool(current_call()))
            await ended.wait()
            known.append(bool(current_call()))

        with chat.call():
            task = asyncio.create_task(aside())
            await asyncio.sleep(0)
        ended.set()
        await task
        assert known == [True, False]

    asyncio.run(main())
    assert recorded(chat).outcomes == (1, 0, 0)


def test_what_runs_in_a_thread_for_a_call_tells_it(chat: Feature) -> None:
    def work() -> None:
        current_call().tokens(input=1)

    @chat.track
    async def ask() -> None:
        await asyncio.to_thread(work)
        await anyio.to_thread.run_sync(work)

    asyncio.run(ask())
    assert recorded(chat).tokens == {("unknown", "input"): 2}


def test_a_thread_pool_counts_each_and_mixes_none(chat: Feature) -> None:
    search = Feature("search")

    def work(number: int) -> str:
        feature = (chat, search)[number % 2]
        with feature.call() as call:
            call.tokens(input=1)
            assert current_call() is call
            if number % 10 == 9:
                raise Boom
        assert not current_call()
        return feature.id

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, number) for number in range(400)]
        failed = sum(future.exception() is not None for future in futures)
    assert failed == 40
    assert recorded(chat).outcomes == (200, 0, 0)
    assert recorded(search).outcomes == (160, 40, 0)
    assert not current_call()


def test_calls_nest_each_for_itself(chat: Feature) -> None:
    search = Feature("search")
    with chat.call() as outer:
        with search.call() as inner, chat.call() as innermost:
            assert current_call() is innermost
            assert len({outer, inner, innermost}) == 3
        assert current_call() is outer
    assert recorded(chat).outcomes == (2, 0, 0)
    assert recorded(search).outcomes == (1, 0, 0)


def test_what_a_call_sets_in_the_context_stays_set(chat: Feature) -> None:
    """Wrapping must not run the app's code in a context of its own."""

    @chat.track
    def set_it(value: str) -> None:
        REQUEST.set(value)

    @chat.track
    async def set_it_later(value: str) -> None:
        REQUEST.set(value)

    @chat.track
    def set_it_stepwise(value: str) -> Iterator[int]:
        REQUEST.set(value)
        yield 1

    async def main() -> None:
        await set_it_later("coroutine")
        assert REQUEST.get() == "coroutine"

    def run() -> None:
        set_it("function")
        assert REQUEST.get() == "function"
        list(set_it_stepwise("generator"))
        assert REQUEST.get() == "generator"
        asyncio.run(main())

    contextvars.Context().run(run)
    assert recorded(chat).outcomes == (3, 0, 0)


def test_a_generator_advanced_by_several_threads_is_one_call(chat: Feature) -> None:
    """Some frameworks run each step of a synchronous stream on whichever thread of a pool is free."""

    @chat.track
    def parts() -> Iterator[int]:
        for part in range(40):
            assert current_call().feature == "chat"
            current_call().tokens(output=1)
            yield part

    running = parts()
    seen: list[int] = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while (part := pool.submit(contextvars.Context().run, next, running, None).result()) is not None:
            seen.append(part)
    assert seen == list(range(40))
    assert recorded(chat).outcomes == (1, 0, 0)
    assert recorded(chat).tokens == {("unknown", "output"): 40}


def test_two_threads_that_advance_a_generator_at_once_hurt_only_themselves(chat: Feature) -> None:
    entered, go_on = threading.Event(), threading.Event()

    @chat.track
    def parts() -> Iterator[int]:
        entered.set()
        go_on.wait(20)
        yield 1

    running = parts()
    first = threading.Thread(target=lambda: list(running))
    first.start()
    entered.wait(20)
    with pytest.raises(ValueError, match="already executing"):
        next(running)
    go_on.set()
    first.join()
    assert recorded(chat).outcomes == (1, 0, 0)


def test_a_delegated_generator_is_one_call_of_each_feature(chat: Feature) -> None:
    search = Feature("search")

    @search.track
    def inner() -> Any:
        heard = yield "question"
        assert current_call().feature == "search"
        return heard

    @chat.track
    def outer() -> Any:
        answer = yield from inner()
        assert current_call().feature == "chat"
        yield f"answer {answer}"

    running = outer()
    assert next(running) == "question"
    assert running.send("42") == "answer 42"
    assert list(running) == []
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 0, 0)

    running = outer()
    next(running)
    running.close()
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 0, 1)

    running = outer()
    next(running)
    with pytest.raises(Boom):
        running.throw(Boom())
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 1, 1)


def test_generators_at_once_keep_their_calls_apart(chat: Feature) -> None:
    search = Feature("search")

    def parts() -> Iterator[str]:
        for _ in range(3):
            yield current_call().feature

    both = zip(chat.track(parts)(), search.track(parts)(), strict=True)
    assert list(both) == [("chat", "search")] * 3
    assert recorded(chat).outcomes == recorded(search).outcomes == (1, 0, 0)


def test_breaking_out_of_an_asynchronous_generator_cancels_when_it_is_closed(chat: Feature) -> None:
    @chat.track
    async def parts() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        async with aclosing(parts()) as running:  # type: ignore[type-var]  # an AsyncIterator by annotation
            async for _ in running:
                break
        assert recorded(chat).outcomes == (0, 0, 1)
        async for _ in parts():
            break

    asyncio.run(main())
    gc.collect()
    assert recorded(chat).outcomes == (0, 0, 2)


def test_the_end_of_an_event_loop_closes_what_still_runs(chat: Feature) -> None:
    kept: list[Any] = []

    @chat.track
    async def parts() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        kept.append(parts())
        await anext(kept[0])
        kept.append(asyncio.create_task(chat.track(hang)()))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert recorded(chat).outcomes == (0, 0, 2)


def test_an_exception_thrown_into_an_asynchronous_generator_is_its_error(chat: Feature) -> None:
    @chat.track
    async def parts() -> Any:
        yield 1

    async def main() -> None:
        running = parts()
        await anext(running)
        with pytest.raises(Boom):
            await running.athrow(Boom())

    asyncio.run(main())
    assert recorded(chat).errors == {"Boom": 1}


def test_the_cancellation_of_a_step_cancels_an_asynchronous_generator(chat: Feature) -> None:
    @chat.track
    async def parts() -> Any:
        yield 1
        await hang()

    async def main() -> None:
        running = parts()
        await anext(running)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(running), 0.01)

    asyncio.run(main())
    assert recorded(chat).outcomes == (0, 0, 1)


@pytest.mark.parametrize("way", ["leave", "raise"])
def test_tracked_context_managers_last_as_long_as_their_block(chat: Feature, way: str) -> None:
    """A generator below `contextmanager`, advanced by the block's beginning and end."""

    @contextmanager
    @chat.track
    def session() -> Iterator[str]:
        yield "open"

    @asynccontextmanager
    @chat.track
    async def session_later() -> AsyncIterator[str]:
        yield "open"

    async def main() -> None:
        async with session_later() as state:
            assert recorded(chat).in_progress == 1
            if way == "raise":
                raise Boom(state)

    def run() -> None:
        with session() as state:
            assert recorded(chat).in_progress == 1
            if way == "raise":
                raise Boom(state)

    for each in (run, lambda: asyncio.run(main())):
        if way == "raise":
            with pytest.raises(Boom):
                each()
        else:
            each()
    assert recorded(chat).outcomes == ((2, 0, 0) if way == "leave" else (0, 2, 0))


def test_a_block_entered_in_one_context_and_left_in_another_ends(chat: Feature) -> None:
    call = chat.call()
    contextvars.Context().run(call.__enter__)
    assert recorded(chat).in_progress == 1
    contextvars.Context().run(call.__exit__, None, None, None)
    assert recorded(chat).outcomes == (1, 0, 0)


def test_threads_count_exactly_while_others_look(chat: Feature) -> None:
    stop = threading.Event()
    totals: list[int] = []

    def look() -> None:
        while not stop.is_set():
            seen = recorded(chat)
            assert sum(seen.outcomes) == seen.durations, "a scrape is never torn"
            totals.append(seen.success)

    def work(run: Callable[[], None]) -> None:
        for _ in range(2000):
            run()

    @chat.track
    def run() -> None:
        current_call().tokens(input=1)

    watcher = threading.Thread(target=look)
    watcher.start()
    workers = [threading.Thread(target=work, args=(run,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    watcher.join()
    assert recorded(chat).success == 8000
    assert recorded(chat).tokens == {("unknown", "input"): 8000}
    assert totals == sorted(totals)


def test_a_group_of_cancellations_alone_is_one(chat: Feature) -> None:
    inner = BaseExceptionGroup("inner", [asyncio.CancelledError(), GeneratorExit()])
    for group in (
        BaseExceptionGroup("all", [asyncio.CancelledError(), inner]),
        BaseExceptionGroup("x", [inner, Boom()]),
    ):
        with contextlib.suppress(BaseExceptionGroup), chat.call():
            raise group
    assert recorded(chat).outcomes == (0, 1, 1)
