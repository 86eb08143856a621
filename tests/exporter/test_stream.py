"""Streamed answers: from before the request to the last part, on every way out."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from exporter.recorded import recorded
from featurewatch import Feature, current_call


class Boom(Exception):
    pass


class Provider:
    """A provider's stream: an iterator that knows whether it was closed."""

    def __init__(self, parts: list[str], fails: bool = False) -> None:
        self._parts = iter(parts)
        self._fails = fails
        self.closed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._parts)
        except StopIteration:
            if self._fails:
                raise Boom from None
            raise

    def close(self) -> None:
        self.closed = True


class AsyncProvider:
    def __init__(self, parts: list[str], fails: bool = False, hangs: bool = False) -> None:
        self._parts = iter(parts)
        self._fails, self._hangs = fails, hangs
        self.closed = False

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        for part in self._parts:
            return part
        if self._hangs:
            await asyncio.sleep(60)
        if self._fails:
            raise Boom
        raise StopAsyncIteration

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "source",
    [["a", "b"], lambda: ["a", "b"], iter(["a", "b"]), lambda: Provider(["a", "b"])],
    ids=["list", "callable", "iterator", "provider"],
)
def test_a_block_reads_iterables_and_callables(source: Any) -> None:
    feature = Feature("chat", models=["m"])
    with feature.stream(source) as reply:
        assert current_call() is reply
        assert list(reply) == ["a", "b"]
        reply.tokens(input=5)
        reply.cost(1)
    seen = recorded(feature)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((1, 0, 0), 1, 0)
    assert seen.tokens == {("m", "input"): 5}


@pytest.mark.parametrize("asynchronous_block", [True, False])
@pytest.mark.parametrize("shape", ["iterable", "awaitable", "callable", "coroutine function"])
def test_a_block_reads_asynchronous_sources(shape: str, asynchronous_block: bool) -> None:
    feature = Feature("chat")

    async def create() -> AsyncProvider:
        await asyncio.sleep(0)
        return AsyncProvider(["a", "b"])

    sources: dict[str, Callable[[], Any]] = {
        "iterable": lambda: AsyncProvider(["a", "b"]),
        "awaitable": lambda: create(),
        "callable": lambda: lambda: AsyncProvider(["a", "b"]),
        "coroutine function": lambda: create,
    }

    async def main() -> None:
        if asynchronous_block:
            async with feature.stream(sources[shape]()) as reply:
                assert [part async for part in reply] == ["a", "b"]
        else:
            with feature.stream(sources[shape]()) as reply:
                assert [part async for part in reply] == ["a", "b"]

    asyncio.run(main())
    seen = recorded(feature)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((1, 0, 0), 1, 0)


def test_an_asynchronous_block_may_read_a_synchronous_source() -> None:
    feature = Feature("chat")

    async def main() -> None:
        async with feature.stream(lambda: iter("ab")) as reply:
            assert [part async for part in reply] == ["a", "b"]

    asyncio.run(main())
    assert recorded(feature).outcomes == (1, 0, 0)


def test_the_clock_starts_before_the_request_and_stops_at_the_last_part() -> None:
    feature = Feature("chat")

    def request() -> list[str]:
        time.sleep(0.03)
        return ["a"]

    with feature.stream(request) as reply:
        list(reply)
        before = time.perf_counter()
        time.sleep(0.5)
        after = time.perf_counter() - before
    assert recorded(feature).duration_sum >= 0.03
    assert recorded(feature).duration_sum < 0.03 + after


def test_a_request_that_fails_is_an_error() -> None:
    feature = Feature("chat")

    def request() -> list[str]:
        raise Boom

    with pytest.raises(Boom), feature.stream(request) as reply:
        list(reply)
    assert recorded(feature).errors == {"Boom": 1}


def test_a_stream_that_breaks_is_an_error_and_its_source_is_closed() -> None:
    feature = Feature("chat")
    provider = Provider(["a"], fails=True)
    with pytest.raises(Boom), feature.stream(provider) as reply:
        list(reply)
    assert recorded(feature).outcomes == (0, 1, 0)
    assert provider.closed


def test_a_block_left_early_is_a_success_and_closes_the_source() -> None:
    feature = Feature("chat")
    provider = Provider(["a", "b"])
    with feature.stream(provider) as reply:
        for _ in reply:
            break
    assert recorded(feature).outcomes == (1, 0, 0)
    assert provider.closed


def test_a_consumer_that_goes_away_cancels() -> None:
    """A generator of the app's own holds the block; closing it is what a web framework does when a client leaves."""
    feature = Feature("chat")
    provider = Provider(["a", "b"])

    def body() -> Any:
        with feature.stream(provider) as reply:
            yield from reply

    running = body()
    next(running)
    running.close()
    assert recorded(feature).outcomes == (0, 0, 1)
    assert provider.closed


def test_an_asynchronous_consumer_that_is_cancelled_cancels() -> None:
    feature = Feature("chat")
    provider = AsyncProvider(["a"], hangs=True)

    async def consume() -> None:
        async with feature.stream(provider) as reply:
            async for _ in reply:
                pass

    async def main() -> None:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recorded(feature).outcomes == (0, 0, 1)
    assert recorded(feature).first_tokens == 1
    assert provider.closed


def test_an_asynchronous_stream_that_breaks_is_an_error() -> None:
    feature = Feature("chat")
    provider = AsyncProvider(["a"], fails=True)

    async def main() -> None:
        async with feature.stream(provider) as reply:
            async for _ in reply:
                pass

    with pytest.raises(Boom):
        asyncio.run(main())
    assert recorded(feature).errors == {"Boom": 1}
    assert provider.closed


def test_without_a_block_the_call_ends_with_the_iteration() -> None:
    feature = Feature("chat")
    assert list(feature.stream(lambda: iter("ab"))) == ["a", "b"]

    async def main() -> None:
        assert [part async for part in feature.stream(AsyncProvider(["a"]))] == ["a"]

    asyncio.run(main())
    assert recorded(feature).outcomes == (2, 0, 0)
    assert recorded(feature).first_tokens == 2


def test_without_a_block_an_abandoned_iteration_is_cancelled() -> None:
    feature = Feature("chat")
    provider = Provider(["a", "b"])
    for _ in feature.stream(provider):
        break
    gc.collect()
    assert recorded(feature).outcomes == (0, 0, 1)
    assert provider.closed


def test_without_a_block_and_step_by_step() -> None:
    feature = Feature("chat")
    reply = feature.stream(iter("ab"))
    assert [next(reply), next(reply), next(reply, None)] == ["a", "b", None]
    assert recorded(feature).outcomes == (1, 0, 0)


def test_a_stream_never_read_is_no_call_without_a_block_and_one_with_it() -> None:
    feature = Feature("chat")
    feature.stream(iter("ab"))
    assert recorded(feature).outcomes == (0, 0, 0)
    with feature.stream(iter("ab")):
        pass
    assert recorded(feature).outcomes == (1, 0, 0)
    assert recorded(feature).first_tokens == 0


def test_a_source_whose_close_fails_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Provider):
        def close(self) -> None:
            raise Boom

    feature = Feature("chat")
    with feature.stream(Stubborn(["a", "b"])) as reply:
        next(reply)
    assert recorded(feature).outcomes == (1, 0, 0)
    assert "closing its stream" in caplog.text


def test_disabled_streams_still_pass_their_parts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_DISABLED", "1")
    feature = Feature("chat")

    async def create() -> AsyncProvider:
        return AsyncProvider(["c"])

    async def main() -> list[str]:
        async with feature.stream(create) as reply:
            return [part async for part in reply]

    with feature.stream(lambda: iter("ab")) as reply:
        reply.tokens(input=1)
        assert list(reply) == ["a", "b"]
    assert asyncio.run(main()) == ["c"]
    assert list(feature.stream("xy")) == ["x", "y"]


class Manager:
    """What `client.messages.stream(...)` is: a context manager that yields the stream, and no iterable itself."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.left: list[type[BaseException] | None] = []

    def __enter__(self) -> Any:
        return self.stream

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self.left.append(kind)

    async def __aenter__(self) -> Any:
        return self.stream

    async def __aexit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self.left.append(kind)


class Sync(Manager):
    __aenter__ = None  # type: ignore[assignment]  # as of a synchronous client


def test_a_manager_is_entered_and_left_with_what_happened() -> None:
    feature = Feature("chat")
    whole, left, failed = Sync(Provider(["a", "b"])), Sync(Provider(["a", "b"])), Sync(Provider(["a"], fails=True))
    with feature.stream(lambda: whole) as reply:
        assert list(reply) == ["a", "b"]
        assert reply.source is whole.stream, "where the usage is to be read"
    for _ in feature.stream(left):
        break
    with pytest.raises(Boom), feature.stream(lambda: failed) as reply:
        list(reply)
    assert (whole.left, left.left, failed.left) == ([None], [GeneratorExit], [Boom])
    seen = recorded(feature)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((1, 1, 1), 3, 0)


def test_an_asynchronous_manager_too() -> None:
    feature = Feature("chat")
    whole, cut = Manager(AsyncProvider(["a", "b"])), Manager(AsyncProvider(["a"], hangs=True))

    async def main() -> None:
        async with feature.stream(lambda: whole) as reply:
            assert [part async for part in reply] == ["a", "b"]
            assert reply.source is whole.stream
        began = asyncio.Event()

        async def read() -> None:
            async with feature.stream(cut) as reply:
                async for _ in reply:
                    began.set()

        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (whole.left, cut.left) == ([None], [asyncio.CancelledError])
    assert recorded(feature).outcomes == (1, 0, 1)


def test_the_first_part_may_be_taken_before_the_others() -> None:
    """As by a server that looks at it before it answers."""
    feature = Feature("chat")
    reply = feature.stream(["a", "b", "c"])
    assert next(reply) == "a"
    assert recorded(feature).in_progress == 1
    assert list(reply) == ["b", "c"]
    seen = recorded(feature)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((1, 0, 0), 1, 0)


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "forgotten"])
def test_a_stream_that_is_left_after_its_first_part_is_cancelled(closed: bool) -> None:
    feature = Feature("chat")
    source = Provider(["a", "b"])
    reply = feature.stream(source)
    assert next(reply) == "a"
    if closed:
        reply.close()
        reply.close()
        assert list(reply) == []
    del reply
    gc.collect()
    seen = recorded(feature)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((0, 0, 1), 1, 0)
    assert source.closed


def test_an_asynchronous_stream_may_be_closed() -> None:
    feature = Feature("chat")
    source = AsyncProvider(["a", "b"])

    async def main() -> None:
        reply = feature.stream(source)
        assert await anext(reply) == "a"
        await reply.aclose()
        assert [part async for part in reply] == []

    asyncio.run(main())
    assert source.closed
    assert (recorded(feature).outcomes, recorded(feature).in_progress) == ((0, 0, 1), 0)


def test_what_is_told_to_a_stream_counts_in_a_block_and_without_one() -> None:
    feature = Feature("chat")
    reply = feature.stream(["a"])
    for _ in reply:
        reply.model = "m"
        reply.tokens(input=3)
        reply.trace("0" * 31 + "1")
        reply.fail("refused")
    with feature.stream(["a"], model="m") as block:
        block.retry()
        assert block.attempts == 2
        assert list(block) == ["a"]
        block.tokens(input=4)
    seen = recorded(feature)
    assert (seen.outcomes, seen.errors, seen.tokens) == ((1, 1, 0), {"refused": 1}, {("m", "input"): 7})
    assert feature._aggregate is not None
    assert feature._aggregate.traces == {}
