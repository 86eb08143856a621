"""The declaration of a feature, and what its calls are made with."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, ParamSpec, TypeVar, overload

from ..errors import SettingsError
from ..model import FEATURE_ID, FEATURE_ID_RULE, FeatureKey
from .aggregate import Aggregate
from .call import NO_CALL, Call
from .declaration import Classifier, Declaration, text
from .runtime import RUNTIME
from .stream import Parts, Stream
from .track import tracked

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Feature:
    """An AI feature of the product. Its series exist, at 0, from here on.

    Args:
        id: 1 to 64 of letters, digits, '.', '_' and '-', the first a letter or digit.
        name: for people; the id where it is left out.
        models: the models it may use; with one, calls that name none are taken to use it.
        classify: judges an exception that ended a call: "success", "cancelled", a short error type, or None to
            leave it to the default (cancellation is cancelled, everything else an error named by its class).
        budget_usd_per_day: exported as a metric, so that an alert can use it.

    Declaring a feature twice alike returns the same object.

    Raises:
        SettingsError: an argument is wrong, or the id is already declared differently.
    """

    __slots__ = ("__weakref__", "_aggregate", "_declaration", "_model")

    _aggregate: Aggregate | None
    _declaration: Declaration
    _model: str | None

    def __new__(
        cls,
        id: str,
        *,
        name: str = "",
        owner: str = "",
        version: str = "",
        models: Sequence[str] = (),
        classify: Classifier | None = None,
        budget_usd_per_day: float | None = None,
    ) -> Feature:
        declaration = _checked(id, name, owner, version, models, classify, budget_usd_per_day)
        feature = RUNTIME.declare(super().__new__(cls), declaration)
        feature._model = declaration.models[0] if len(declaration.models) == 1 else None
        return feature

    @property
    def id(self) -> str:
        return self._declaration.id

    @property
    def name(self) -> str:
        return self._declaration.name

    def __repr__(self) -> str:
        return f"Feature({self.id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the declaration, which is registered there."""
        about = self._declaration
        return _again, (
            about.id, about.name, about.owner, about.version, about.models, about.classify, about.budget_usd_per_day,
        )  # fmt: skip

    def call(self, *, model: str | None = None) -> Call:
        """Make a call, to be used as `with` or `async with`. It counts from its block's beginning to its end."""
        aggregate = self._aggregate
        if aggregate is None:
            return NO_CALL
        if model is None:
            model = self._model
        elif type(model) is not str:
            model = text(model)
        return Call(aggregate, model)

    @overload
    def track(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def track(self, /, *, model: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def track(self, function: Callable[P, R] | None = None, /, *, model: str | None = None) -> Any:
        """Count each run of a function, coroutine, generator or asynchronous generator as a call."""
        if function is None:
            return lambda function: self.track_as(function, model)
        return self.track_as(function, model)

    def track_as(self, function: Callable[P, R], model: str | None) -> Callable[P, R]:
        wrapper: Callable[P, R] = tracked(function, lambda: self.call(model=model))
        return wrapper

    @overload
    def stream(self, source: Callable[[], Awaitable[Parts[T]]], *, model: str | None = None) -> Stream[T]: ...

    @overload
    def stream(self, source: Callable[[], Parts[T]], *, model: str | None = None) -> Stream[T]: ...

    @overload
    def stream(
        self, source: Iterable[T] | AsyncIterable[T] | Awaitable[Parts[T]], *, model: str | None = None
    ) -> Stream[T]: ...

    def stream(self, source: Any, *, model: str | None = None) -> Stream[Any]:
        """Iterate a provider's streamed answer as one call whose clock starts here, before the request.

        `source` is an iterable, an awaitable of one, or a callable that returns either, sync or async.
        """
        aggregate = self._aggregate
        name = self._model if model is None else text(model)
        return Stream(_DETACHED if aggregate is None else aggregate, name, source)

    def probe(self, ok: bool) -> None:
        """Tell a synthetic check's result: feature_probe_success becomes 1 or 0."""
        if self._aggregate is not None:
            self._aggregate.probe(ok)


_DETACHED: Final = Aggregate(
    FeatureKey("", ""), Declaration("", ""), RUNTIME.drops, lambda aggregate, model, tokens: None
)
"""What streams count on where featurewatch is disabled: they still have to pass their parts on. Never exported."""


def _again(
    id: str,
    name: str,
    owner: str,
    version: str,
    models: Sequence[str],
    classify: Classifier | None,
    budget_usd_per_day: float | None,
) -> Feature:
    return Feature(
        id, name=name, owner=owner, version=version, models=models, classify=classify,
        budget_usd_per_day=budget_usd_per_day,
    )  # fmt: skip


def _checked(
    id: Any, name: Any, owner: Any, version: Any, models: Any, classify: Any, budget_usd_per_day: Any
) -> Declaration:
    problems = []
    if not isinstance(id, str) or FEATURE_ID.fullmatch(id) is None:
        problems.append(f"id: expected {FEATURE_ID_RULE}, got {id!r}")
    for what, value in (("name", name), ("owner", owner), ("version", version)):
        if not _is_text(value):
            problems.append(f"{what}: expected text, got {value!r}")
    if not isinstance(models, (list, tuple)) or not all(model and _is_text(model) for model in models):
        problems.append(f"models: expected a list of names, got {models!r}")
    if classify is not None and (not callable(classify) or inspect.iscoroutinefunction(classify)):
        problems.append(f"classify: expected a function of an exception, none to be awaited, got {classify!r}")
    if budget_usd_per_day is not None and not (
        isinstance(budget_usd_per_day, (int, float)) and 0 <= budget_usd_per_day < math.inf
    ):
        problems.append(f"budget_usd_per_day: expected US dollars of 0 or more, got {budget_usd_per_day!r}")
    if problems:
        raise SettingsError("Feature(): " + "; ".join(problems))
    return Declaration(
        id, name or id, owner, version, tuple(models), classify,
        None if budget_usd_per_day is None else float(budget_usd_per_day),
    )  # fmt: skip


def _is_text(value: Any) -> bool:
    """Tell whether a value is text that UTF-8 can hold: a lone surrogate would fail every exposition."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
