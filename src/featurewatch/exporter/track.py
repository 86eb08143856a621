"""Functions, coroutines, generators and asynchronous generators made into calls of a feature.

The context variable of the running call is set before each step of a generator and set back after it, within the
step: what consumes a generator may advance each step in another context, and between two steps other code runs. What
it was within the generator (a block of another call may span a step) is kept for the next step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeAlias

from ..errors import SettingsError
from .call import Call, _current

NewCall: TypeAlias = Callable[[], Call]
Function: TypeAlias = Callable[..., Any]


def tracked(function: Function, new_call: NewCall) -> Function:
    """Wrap a function so that each run of it is a call; the wrapper is of the same kind as the function.

    Raises:
        SettingsError: it is no function.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(tracked(function.__func__, new_call))
    if not callable(function):
        raise SettingsError(f"track: expected a function, got {function!r}; a model is told by track(model=…)")
    shown = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004  # what it is, not whether
    if isinstance(function, functools.partial):
        shown = function
    if inspect.isasyncgenfunction(shown):
        return track_async_generator(function, new_call)
    if inspect.isgeneratorfunction(shown):
        return track_generator(function, new_call)
    if inspect.iscoroutinefunction(shown):
        return _track_coroutine(function, new_call)
    return _track_function(function, new_call)


def track_generator(function: Callable[..., Generator[Any, Any, Any]], new_call: NewCall) -> Function:
    """Count each generator from its first step to its end, whichever that is; its first item is the first token."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = new_call()
        call._begin()
        inner: Call | None = call
        sent: Any = None
        thrown: BaseException | None = None
        try:
            generator = function(*args, **kwargs)
            while True:
                outer = _current.get()
                _current.set(inner)
                try:
                    item = generator.send(sent) if thrown is None else generator.throw(thrown)
                except StopIteration as end:
                    call._end()
                    return end.value
                finally:
                    inner = _current.get()
                    _current.set(outer)
                call.first_token()
                sent = thrown = None
                try:
                    sent = yield item
                except GeneratorExit:
                    outer = _current.get()
                    _current.set(inner)
                    try:
                        generator.close()
                    finally:
                        _current.set(outer)
                    raise
                except BaseException as error:
                    thrown = error
        except BaseException as error:
            call._end(error)
            raise

    return wrapper


def track_async_generator(function: Callable[..., AsyncGenerator[Any, Any]], new_call: NewCall) -> Function:
    """Count each asynchronous generator from its first step to its end, as `track_generator` does."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = new_call()
        call._begin()
        inner: Call | None = call
        sent: Any = None
        thrown: BaseException | None = None
        try:
            generator = function(*args, **kwargs)
            while True:
                outer = _current.get()
                _current.set(inner)
                try:
                    item = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                except StopAsyncIteration:
                    call._end()
                    return
                finally:
                    inner = _current.get()
                    _current.set(outer)
                call.first_token()
                sent = thrown = None
                try:
                    sent = yield item
                except GeneratorExit:
                    outer = _current.get()
                    _current.set(inner)
                    try:
                        await generator.aclose()
                    finally:
                        _current.set(outer)
                    raise
                except BaseException as error:
                    thrown = error
        except BaseException as error:
            call._end(error)
            raise

    return wrapper


def _track_coroutine(function: Callable[..., Coroutine[Any, Any, Any]], new_call: NewCall) -> Function:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with new_call():
            return await function(*args, **kwargs)

    return wrapper


def _track_function(function: Function, new_call: NewCall) -> Function:
    """Count each run, to the end of what it returns where that runs on.

    A decorator may have hidden that the function is a coroutine function or a generator function: the coroutine or
    generator that it returns is then what is counted.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = new_call()
        call.__enter__()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.__exit__(type(error), error, None)
            raise
        track_rest = _RUNS_ON.get(type(result))
        if track_rest is None:
            call.__exit__(None, None, None)
            return result
        return track_rest(lambda: result, call._withdraw())()

    return wrapper


_RUNS_ON: dict[type, Callable[[Function, NewCall], Function]] = {
    CoroutineType: _track_coroutine,
    GeneratorType: track_generator,
    AsyncGeneratorType: track_async_generator,
}
