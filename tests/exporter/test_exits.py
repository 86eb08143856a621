"""Every way out of a call counts it exactly once, with the right outcome, and leaves nothing in progress."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from exporter.recorded import dropped, recorded
from featurewatch import Feature, current_call
from featurewatch.errors import SettingsError

SUCCESS, ERROR, CANCELLED = (1, 0, 0), (0, 1, 0), (0, 0, 1)


class Boom(Exception):
    pass


def function_returns(feature: Feature) -> None:
    assert feature.track(lambda value: value + 1)(1) == 2


def function_raises(feature: Feature) -> None:
    @feature.track
    def run() -> None:
        raise Boom

    with pytest.raises(Boom):
        run()


def function_raises_cancelled_future(feature: Feature) -> None:
    @feature.track
    def run() -> None:
        raise concurrent.futures.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        run()


def function_exits_the_process(feature: Feature) -> None:
    @feature.track
    def run() -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        run()


def coroutine_returns(feature: Feature) -> None:
    @feature.track
    async def run() -> int:
        await asyncio.sleep(0)
        return 7

    async def main() -> None:
        assert await run() == 7

    asyncio.run(main())


def coroutine_raises(feature: Feature) -> None:
    @feature.track
    async def run() -> None:
        await asyncio.sleep(0)
        raise Boom

    async def main() -> None:
        with pytest.raises(Boom):
            await run()

    asyncio.run(main())


def coroutine_cancelled(feature: Feature) -> None:
    @feature.track
    async def run() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def coroutine_timed_out_from_outside(feature: Feature) -> None:
    @feature.track
    async def run() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(), 0.01)

    asyncio.run(main())


def coroutine_times_out_inside(feature: Feature) -> None:
    @feature.track
    async def run() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await run()

    asyncio.run(main())


def generator_exhausted(feature: Feature) -> None:
    @feature.track
    def parts() -> Iterator[int]:
        yield from range(3)

    assert list(parts()) == [0, 1, 2]


def generator_without_items(feature: Feature) -> None:
    @feature.track
    def parts() -> Iterator[int]:
        yield from ()

    assert list(parts()) == []


def generator_raises(feature: Feature) -> None:
    @feature.track
    def parts() -> Iterator[int]:
        yield 1
        raise Boom

    with pytest.raises(Boom):
        list(parts())


def generator_closed(feature: Feature) -> None:
    @feature.track
    def parts() -> Iterator[int]:
        yield 1
        yield 2

    running = parts()
    next(running)
    running.close()  # type: ignore[attr-defined]  # an Iterator by annotation, a generator in fact


def generator_abandoned(feature: Feature) -> None:
    @feature.track
    def parts() -> Iterator[int]:
        yield 1
        yield 2

    for _ in parts():
        break
    gc.collect()


def generator_gets_an_exception_thrown_in(feature: Feature) -> None:
    @feature.track
    def parts() -> Any:
        yield 1

    running = parts()
    next(running)
    with pytest.raises(Boom):
        running.throw(Boom())


def generator_fails_while_closing(feature: Feature) -> None:
    @feature.track
    def parts() -> Any:
        try:
            yield 1
        except GeneratorExit:
            raise Boom from None

    running = parts()
    next(running)
    with pytest.raises(Boom):
        running.close()


def async_generator_exhausted(feature: Feature) -> None:
    @feature.track
    async def parts() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def main() -> None:
        assert [part async for part in parts()] == [1, 2]

    asyncio.run(main())


def async_generator_raises(feature: Feature) -> None:
    @feature.track
    async def parts() -> AsyncIterator[int]:
        yield 1
        raise Boom

    async def main() -> None:
        with pytest.raises(Boom):
            async for _ in parts():
                pass

    asyncio.run(main())


def async_generator_closed(feature: Feature) -> None:
    @feature.track
    async def parts() -> Any:
        yield 1
        yield 2

    async def main() -> None:
        running = parts()
        await anext(running)
        await running.aclose()

    asyncio.run(main())


def async_generator_abandoned(feature: Feature) -> None:
    @feature.track
    async def parts() -> Any:
        yield 1
        yield 2

    async def main() -> None:
        async for _ in parts():
            break
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def async_generator_consumer_cancelled(feature: Feature) -> None:
    @feature.track
    async def parts() -> Any:
        yield 1
        await asyncio.sleep(60)
        yield 2

    async def main() -> None:
        async def consume() -> None:
            async for _ in parts():
                pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def block_left_normally(feature: Feature) -> None:
    with feature.call():
        pass


def block_raises(feature: Feature) -> None:
    with pytest.raises(Boom), feature.call():
        raise Boom


def block_returned_from(feature: Feature) -> None:
    def run() -> int:
        with feature.call():
            return 1

    assert run() == 1


def block_fails_without_exception(feature: Feature) -> None:
    with feature.call() as call:
        call.fail("refused")


def block_cancels_itself(feature: Feature) -> None:
    with feature.call() as call:
        call.cancel()


def block_cancels_itself_and_raises(feature: Feature) -> None:
    @feature.track
    def run() -> None:
        current_call().cancel()
        raise Boom

    with pytest.raises(Boom):
        run()


def block_in_a_closed_generator(feature: Feature) -> None:
    def parts() -> Any:
        with feature.call():
            yield 1

    running = parts()
    next(running)
    running.close()


def async_block_left_normally(feature: Feature) -> None:
    async def main() -> None:
        async with feature.call():
            await asyncio.sleep(0)

    asyncio.run(main())


def async_block_cancelled(feature: Feature) -> None:
    async def main() -> None:
        async def run() -> None:
            async with feature.call():
                await asyncio.sleep(60)

        task = asyncio.create_task(run())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def hidden_coroutine_function(feature: Feature) -> None:
    async def hidden() -> int:
        await asyncio.sleep(0.02)
        return 3

    async def main() -> None:
        assert await feature.track(lambda: hidden())() == 3

    asyncio.run(main())
    assert recorded(feature).duration_sum >= 0.015


def hidden_generator_closed(feature: Feature) -> None:
    def hidden() -> Any:
        yield 1
        yield 2

    running = feature.track(lambda: hidden())()
    assert next(running) == 1
    running.close()


WAYS: list[tuple[Callable[[Feature], None], tuple[int, int, int], int]] = [
    (function_returns, SUCCESS, 0),
    (function_raises, ERROR, 0),
    (function_raises_cancelled_future, CANCELLED, 0),
    (function_exits_the_process, ERROR, 0),
    (coroutine_returns, SUCCESS, 0),
    (coroutine_raises, ERROR, 0),
    (coroutine_cancelled, CANCELLED, 0),
    (coroutine_timed_out_from_outside, CANCELLED, 0),
    (coroutine_times_out_inside, ERROR, 0),
    (generator_exhausted, SUCCESS, 1),
    (generator_without_items, SUCCESS, 0),
    (generator_raises, ERROR, 1),
    (generator_closed, CANCELLED, 1),
    (generator_abandoned, CANCELLED, 1),
    (generator_gets_an_exception_thrown_in, ERROR, 1),
    (generator_fails_while_closing, ERROR, 1),
    (async_generator_exhausted, SUCCESS, 1),
    (async_generator_raises, ERROR, 1),
    (async_generator_closed, CANCELLED, 1),
    (async_generator_abandoned, CANCELLED, 1),
    (async_generator_consumer_cancelled, CANCELLED, 1),
    (block_left_normally, SUCCESS, 0),
    (block_raises, ERROR, 0),
    (block_returned_from, SUCCESS, 0),
    (block_fails_without_exception, ERROR, 0),
    (block_cancels_itself, CANCELLED, 0),
    (block_cancels_itself_and_raises, CANCELLED, 0),
    (block_in_a_closed_generator, CANCELLED, 0),
    (async_block_left_normally, SUCCESS, 0),
    (async_block_cancelled, CANCELLED, 0),
    (hidden_coroutine_function, SUCCESS, 0),
    (hidden_generator_closed, CANCELLED, 1),
]


@pytest.mark.parametrize(("way", "outcomes", "first_tokens"), WAYS, ids=[way.__name__ for way, *_ in WAYS])
def test_each_way_out_counts_the_call_once(
    way: Callable[[Feature], None], outcomes: tuple[int, int, int], first_tokens: int
) -> None:
    feature = Feature("summarize")
    way(feature)
    seen = recorded(feature)
    assert seen.outcomes == outcomes
    assert seen.in_progress == 0
    assert seen.durations == 1
    assert seen.first_tokens == first_tokens
    assert sum(seen.errors.values()) == seen.error
    assert dropped("calls", "invalid_value") == 0
    assert not current_call()


def test_an_error_is_named_by_its_class() -> None:
    feature = Feature("summarize")
    function_raises(feature)
    block_fails_without_exception(feature)
    coroutine_times_out_inside(feature)
    assert recorded(feature).errors == {"Boom": 1, "refused": 1, "TimeoutError": 1}


def test_a_generator_counts_from_its_first_step_to_its_last() -> None:
    feature = Feature("summarize")

    @feature.track
    def parts() -> Iterator[int]:
        yield 1
        time.sleep(0.03)
        yield 2

    running = parts()
    time.sleep(0.05)
    assert recorded(feature).in_progress == 0
    started = time.perf_counter()
    next(running)
    assert recorded(feature).in_progress == 1
    list(running)
    assert 0.03 <= recorded(feature).duration_sum <= time.perf_counter() - started


def test_a_generator_keeps_what_is_sent_and_returned() -> None:
    feature = Feature("summarize")

    @feature.track
    def parts() -> Any:
        heard = yield "first"
        try:
            heard = yield heard
        except Boom:
            heard = yield "caught"
        return heard

    running = parts()
    assert next(running) == "first"
    assert running.send("sent") == "sent"
    assert running.throw(Boom()) == "caught"
    with pytest.raises(StopIteration) as end:
        running.send("last")
    assert end.value.value == "last"
    assert recorded(feature).outcomes == SUCCESS


def test_an_asynchronous_generator_keeps_what_is_sent_and_thrown_in() -> None:
    feature = Feature("summarize")

    @feature.track
    async def parts() -> Any:
        heard = yield "first"
        try:
            yield heard
        except Boom:
            yield "caught"

    async def main() -> None:
        running = parts()
        assert await anext(running) == "first"
        assert await running.asend("sent") == "sent"
        assert await running.athrow(Boom()) == "caught"
        assert [part async for part in running] == []

    asyncio.run(main())
    assert recorded(feature).outcomes == SUCCESS


def test_wrappers_are_of_the_kind_of_what_they_wrap() -> None:
    feature = Feature("summarize")

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    assert inspect.iscoroutinefunction(feature.track(coroutine))
    assert inspect.isgeneratorfunction(feature.track(generator))
    assert inspect.isasyncgenfunction(feature.track(async_generator))
    assert feature.track(coroutine).__name__ == "coroutine"


def test_what_a_function_returns_but_nobody_runs_is_no_call() -> None:
    feature = Feature("summarize")

    def hidden() -> Iterator[int]:
        yield 1

    feature.track(lambda: hidden())()
    assert recorded(feature).outcomes == (0, 0, 0)
    assert recorded(feature).in_progress == 0
    assert dropped("calls", "invalid_value") == 0


def test_methods_are_tracked() -> None:
    feature = Feature("summarize")

    class Service:
        @feature.track
        def run(self, value: int) -> int:
            return value * 2

        @feature.track(model="gpt-5-mini")
        def parts(self) -> Iterator[int]:
            current_call().tokens(input=3)
            yield 1

    assert Service().run(4) == 8
    assert list(Service().parts()) == [1]
    assert recorded(feature).outcomes == (2, 0, 0)
    assert recorded(feature).tokens == {("gpt-5-mini", "input"): 3}


def test_static_and_class_methods_are_tracked_in_either_order() -> None:
    feature = Feature("summarize")

    class Service:
        @feature.track
        @staticmethod
        def double(value: int) -> int:
            return value * 2

        @feature.track
        @classmethod
        async def name(cls) -> str:
            return cls.__name__

        @classmethod
        @feature.track
        def parts(cls) -> Iterator[str]:
            yield cls.__name__

    assert Service.double(4) == Service().double(4) == 8
    assert asyncio.run(Service.name()) == "Service"
    assert list(Service().parts()) == ["Service"]
    assert recorded(feature).outcomes == (4, 0, 0)


@pytest.mark.parametrize("given", ["gpt-5-mini", 3])
def test_tracking_what_is_no_function_is_refused(given: Any) -> None:
    with pytest.raises(SettingsError, match=r"expected a function, got .*track\(model="):
        Feature("summarize").track(given)


def test_a_classifier_judges_exceptions() -> None:
    class Refused(Exception):
        pass

    def classify(error: BaseException) -> str | None:
        return {Refused: "success", Boom: "upstream", KeyError: "cancelled"}.get(type(error))

    feature = Feature("chat", classify=classify)
    for error in (Refused(), Boom(), KeyError(), ValueError()):
        with pytest.raises(type(error)), feature.call():
            raise error
    assert recorded(feature).outcomes == (1, 2, 1)
    assert recorded(feature).errors == {"upstream": 1, "ValueError": 1}


def test_a_classifier_that_fails_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    def classify(error: BaseException) -> str | None:
        raise RuntimeError("no idea")

    feature = Feature("chat", classify=classify)
    for _ in range(3):
        with pytest.raises(Boom), feature.call():
            raise Boom
    assert recorded(feature).errors == {"Boom": 3}
    assert dropped("calls", "classifier_failed") == 3
    assert [record.name for record in caplog.records] == ["featurewatch"]


def test_a_classifier_that_would_end_the_process_is_one_that_fails() -> None:
    feature = Feature("chat", classify=lambda error: sys.exit(1))
    with pytest.raises(Boom), feature.call():
        raise Boom
    assert recorded(feature).errors == {"Boom": 1}
    assert dropped("calls", "classifier_failed") == 1


def test_an_interruption_while_the_classifier_runs_is_the_apps_and_the_call_counts() -> None:
    def classify(error: BaseException) -> str | None:
        raise KeyboardInterrupt

    feature = Feature("chat", classify=classify)
    with pytest.raises(KeyboardInterrupt), feature.call():
        raise Boom
    assert recorded(feature).errors == {"Boom": 1}
    assert recorded(feature).in_progress == 0
