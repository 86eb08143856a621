"""A provider's streamed answer, from before the request to its last part."""

from __future__ import annotations

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


class Stream(Call, Generic[T]):
    """The parts of an iterable, of what an awaitable yields, or of what a callable returns, iterated as one call.

    The clock starts where the stream is made; the source is called or awaited at the first step. In a `with` block
    the call ends with the block, but its duration with the last part, so that tokens can be told after it; a block
    left normally is a success, even before the last part. Iterated without a block, the call ends with the
    iteration. A source that was not read to its end is closed.
    """

    __slots__ = ("_entered", "_iterator", "_made", "_source", "_stopped")

    def __init__(self, aggregate: Aggregate, model: str | None, source: Source[T]) -> None:
        super().__init__(aggregate, model)
        self._source: Any = source
        self._iterator: Any = None
        self._entered = False
        self._made = perf_counter()
        self._stopped: float | None = None

    def _begin(self, started: float | None = None) -> None:
        super()._begin(self._made)

    def _end(self, error: BaseException | None = None, stopped: float | None = None) -> None:
        super()._end(error, self._stopped)

    def __enter__(self) -> Self:
        self._entered = True
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(self._iterator, Generator):
            self._iterator.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()

    def __iter__(self) -> Iterator[T]:
        if self._entered:
            return self
        parts: Iterator[T] = track_generator(self._parts, lambda: self)()
        return parts

    def __next__(self) -> T:
        if self._iterator is None:
            self._iterator = self._parts() if self._entered else self.__iter__()
        self._reenter()
        try:
            part: T = next(self._iterator)
        except StopIteration:
            self._stopped = perf_counter()
            raise
        self.first_token()
        return part

    def __aiter__(self) -> AsyncIterator[T]:
        if self._entered:
            return self
        parts: AsyncIterator[T] = track_async_generator(self._async_parts, lambda: self)()
        return parts

    async def __anext__(self) -> T:
        if self._iterator is None:
            self._iterator = self._async_parts() if self._entered else self.__aiter__()
        self._reenter()
        try:
            part: T = await anext(self._iterator)
        except StopAsyncIteration:
            self._stopped = perf_counter()
            raise
        self.first_token()
        return part

    def _reenter(self) -> None:
        """Make this the running call again: a thread pool may run each step of a block in another context."""
        if self._entered and self._open and _current.get() is None:
            _current.set(self)

    def _parts(self) -> Generator[T, None, None]:
        source = self._called()
        ended = False
        try:
            for part in source:  # noqa: UP028  # `yield from` closes the source itself, and raises what that raises
                yield part
            ended = True
        finally:
            if not ended:
                self._settle(getattr(source, "close", None))

    async def _async_parts(self) -> AsyncGenerator[T, None]:
        source = self._called()
        if inspect.isawaitable(source):
            source = await source
        ended = False
        try:
            if hasattr(source, "__aiter__"):
                async for part in source:
                    yield part
            else:
                for part in source:
                    yield part
            ended = True
        finally:
            if not ended:
                closing = self._settle(getattr(source, "aclose", None) or getattr(source, "close", None))
                if inspect.isawaitable(closing):
                    await closing

    def _called(self) -> Any:
        """Return the source, called where it is a callable; it is not kept, so that it can go as soon as it ends."""
        source, self._source = self._source, ()
        iterable = hasattr(source, "__iter__") or hasattr(source, "__aiter__") or inspect.isawaitable(source)
        return source() if callable(source) and not iterable else source

    def _settle(self, close: Callable[[], Any] | None) -> Any:
        """Close a source that was left early; what goes wrong in that is told, not raised."""
        try:
            return close() if close is not None else None
        except Exception as error:
            self._aggregate.drops.tell(
                f"close {self.feature}", "%s: closing its stream raised %r", self.feature, error
            )  # fmt: skip
            return None
