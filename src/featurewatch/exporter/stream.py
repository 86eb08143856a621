"""A provider's streamed answer, from before the request to its last part."""

from __future__ import annotations

import functools
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from .aggregate import Aggregate
from .call import Call, _current
from .track import track_async_generator, track_generator

T = TypeVar("T")

Parts: TypeAlias = Iterable[T] | AsyncIterable[T]
Source: TypeAlias = Parts[T] | Awaitable[Parts[T]] | Callable[[], Parts[T] | Awaitable[Parts[T]]]


class _Core(Call):
    """What is counted of a stream: it begins with the stream and lasts to the last part, where that came."""

    __slots__ = ("_made", "_stopped")

    def __init__(self, aggregate: Aggregate, model: str | None) -> None:
        super().__init__(aggregate, model)
        self._made = perf_counter()
        self._stopped: float | None = None

    def _begin(self, started: float | None = None) -> None:
        super()._begin(self._made)

    def _end(self, error: BaseException | None = None, stopped: float | None = None) -> None:
        super()._end(error, self._stopped)


class Stream(Call, Generic[T]):
    """The parts of an iterable, of what an awaitable yields, or of what a callable returns, iterated as one call.

    The clock starts where the stream is made; the source is called or awaited at the first step. In a `with` block
    the call ends with the block, but its duration with the last part, so that tokens can be told after it; a block
    left normally is a success, even before the last part. Iterated without a block, the call ends with the
    iteration. A source that was not read to its end is closed. One that is a context manager, as a provider's
    `stream()` may return it, is entered at the first step and left after the last.

    Attributes:
        source: what is read, once the first step was made; before, what the stream was made of.
    """

    # What is counted is another object: this one is the app's alone, so that it ends when the app forgets it.
    __slots__ = ("_core", "_entered", "_iterator", "_read")

    def __init__(self, aggregate: Aggregate, model: str | None, source: Source[T]) -> None:
        self._core = _Core(aggregate, model)
        self._read = _Source(source, aggregate)
        self._iterator: Any = None
        self._entered = False

    @property
    def source(self) -> Any:
        return self._read.value

    def trace(self, trace_id: str | int, span_id: str | int = "") -> None:
        self._core.trace(trace_id, span_id)

    def close(self) -> None:
        """Read no further: the source is closed, and without a block the call ends, cancelled if it was not done."""
        if isinstance(self._iterator, Generator):
            self._iterator.close()

    async def aclose(self) -> None:
        """Read no further, as `close` does, of an asynchronous source."""
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()
        else:
            self.close()

    def __enter__(self) -> Self:
        self._entered = True
        return self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        self.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        await self.aclose()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._iterator is None:
            self._iterator = _parts(self._read) if self._entered else _tracked(self._read, self._core)
        self._reenter()
        try:
            part: T = next(self._iterator)
        except StopIteration:
            self._stop()
            raise
        self.first_token()
        return part

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._iterator is None:
            self._iterator = _async_parts(self._read) if self._entered else _async_tracked(self._read, self._core)
        self._reenter()
        try:
            part: T = await anext(self._iterator)
        except StopAsyncIteration:
            self._stop()
            raise
        self.first_token()
        return part

    def _begin(self, started: float | None = None) -> None:
        self._core._begin()

    def _end(self, error: BaseException | None = None, stopped: float | None = None) -> None:
        self._core._end(error)

    def _stop(self) -> None:
        if self._core._stopped is None:
            self._core._stopped = perf_counter()

    def _reenter(self) -> None:
        """Make this the running call again: a thread pool may run each step of a block in another context."""
        if self._entered and self._open and _current.get() is None:
            _current.set(self)


def _of_core(name: str) -> property:
    def get(stream: Stream[Any]) -> Any:
        return getattr(stream._core, name)

    def set(stream: Stream[Any], value: Any) -> None:
        setattr(stream._core, name, value)

    return property(get, set)


def _told_to_core(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def tell(stream: Stream[Any], *args: Any, **kwargs: Any) -> None:
        method(stream._core, *args, **kwargs)

    return tell


for _name in Call.__slots__:
    # So that what a call is told by its methods is told to the core.
    setattr(Stream, _name, _of_core(_name))
for _method in (Call.tokens, Call.cost):
    # These add, which only the core itself does without losing what another thread adds.
    setattr(Stream, _method.__name__, _told_to_core(_method))


class _Source:
    """Where parts come from: what was given, and once it is read what came of that."""

    def __init__(self, given: Any, aggregate: Aggregate) -> None:
        self.value = given
        self._taken = False
        self._aggregate = aggregate

    def called(self) -> Any:
        """Return what is to be read, called where it is a callable; the second time there is nothing."""
        if self._taken:
            return ()
        self._taken = True
        source = self.value
        readable = hasattr(source, "__iter__") or hasattr(source, "__aiter__") or inspect.isawaitable(source)
        if callable(source) and not readable:
            self.value = source()
        return self.value

    def settle(self, close: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Close what was left early; what goes wrong in that is told, not raised."""
        try:
            return close(*arguments) if close is not None else None
        except Exception as error:
            return self.failed(error)

    def failed(self, error: Exception) -> None:
        feature = self._aggregate.key.feature
        self._aggregate.drops.tell(f"close {feature}", "%s: closing its stream raised %r", feature, error)


def _tracked(source: _Source, core: Call) -> Generator[Any, None, None]:
    parts: Generator[Any, None, None] = track_generator(_parts, lambda: core)(source)
    return parts


def _async_tracked(source: _Source, core: Call) -> AsyncGenerator[Any, None]:
    parts: AsyncGenerator[Any, None] = track_async_generator(_async_parts, lambda: core)(source)
    return parts


def _parts(source: _Source) -> Generator[Any, None, None]:
    found = source.called()
    if hasattr(found, "__enter__") and not hasattr(found, "__iter__"):
        source.value = found.__enter__()
        try:
            for part in source.value:
                yield part
        except GeneratorExit as left:
            source.settle(found.__exit__, type(left), left, left.__traceback__)
            raise
        except BaseException as error:
            if not found.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            found.__exit__(None, None, None)
        return
    ended = False
    try:
        for part in found:  # `yield from` closes the source itself, and raises what that raises
            yield part
        ended = True
    finally:
        if not ended:
            source.settle(getattr(found, "close", None))


async def _async_parts(source: _Source) -> AsyncGenerator[Any, None]:
    found = source.called()
    if inspect.isawaitable(found):
        found = source.value = await found
    if hasattr(found, "__aenter__") and not hasattr(found, "__aiter__"):
        source.value = await found.__aenter__()
        try:
            async for part in source.value:
                yield part
        except GeneratorExit as left:
            await _settled(source, found.__aexit__, type(left), left, left.__traceback__)
            raise
        except BaseException as error:
            if not await found.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await found.__aexit__(None, None, None)
        return
    if not hasattr(found, "__aiter__"):
        for part in _parts(_Source(found, source._aggregate)):
            yield part
        return
    ended = False
    try:
        async for part in found:
            yield part
        ended = True
    finally:
        if not ended:
            await _settled(source, getattr(found, "aclose", None) or getattr(found, "close", None))


async def _settled(source: _Source, close: Callable[..., Any] | None, *arguments: Any) -> None:
    closing = source.settle(close, *arguments)
    if inspect.isawaitable(closing):
        try:
            await closing
        except Exception as error:
            source.failed(error)
