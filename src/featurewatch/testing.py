"""See in a test what a block of code recorded.

from featurewatch.testing import recorded

def test_a_refusal_is_an_error():
    with recorded() as calls:
        summarize("…")
    calls.only("summarize").has(outcome="error", error_type="refused", model="gpt-5-mini")
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Final, Self, overload
from weakref import WeakSet

from .exporter.call import Call
from .exporter.config import Config
from .exporter.drops import Drops
from .exporter.prices import Estimator, estimate
from .exporter.runtime import RUNTIME
from .exporter.workers import Workers
from .families import TOKEN_KINDS
from .model import Outcome

__all__ = ["RecordedCall", "RecordedCalls", "recorded"]


@dataclass(frozen=True)
class RecordedCall:
    """A call that has ended.

    Attributes:
        tokens: by kind, without kinds of which there were none.
        reported_cost: US dollars, None where nobody told it; `cost` falls back to an estimate.
        duration: seconds, to the end of the stream.
        first_token: seconds to the first token, None where none was told.
        attempts: 1, and 1 more for each `call.retry()`.
    """

    feature: str
    outcome: Outcome
    error_type: str | None
    model: str | None
    tokens: Mapping[str, int]
    reported_cost: float | None
    duration: float
    first_token: float | None
    attempts: int
    environment: str

    @property
    def cost(self) -> float | None:
        """US dollars as reported, else as estimated from model and tokens; None where the model has no known price."""
        if self.reported_cost is not None or not self.model or not self.tokens:
            return self.reported_cost
        try:
            return estimate(self.model, self.tokens)
        except ValueError:
            return None

    def has(self, **expected: Any) -> Self:
        """Assert that attributes are as expected; `tokens` compares the kinds that are given."""
        known = {*(field.name for field in fields(self)), "cost"}
        for name, value in expected.items():
            if name not in known:
                raise TypeError(f"a call has no {name!r}; it has {', '.join(sorted(known))}")
            got = getattr(self, name)
            if name == "tokens":
                got = {kind: got.get(kind, 0) for kind in value}
            if got != value:
                raise AssertionError(f"expected {name} {value!r}, got {got!r} in {self}")
        return self

    def __str__(self) -> str:
        """Show what is not at its default, in a line."""
        parts = [f"{self.feature}: {self.outcome}"]
        parts += [f"error_type={self.error_type!r}"] if self.error_type else []
        parts += [f"model={self.model!r}"] if self.model else []
        parts += [f"tokens={dict(self.tokens)}"] if self.tokens else []
        parts += [f"cost={self.reported_cost}"] if self.reported_cost is not None else []
        parts += [f"attempts={self.attempts}"] if self.attempts > 1 else []
        return ", ".join([*parts, f"{self.duration:.3f} s"])


class RecordedCalls(Sequence[RecordedCall]):
    """The calls that ended in a block, in the order in which they ended."""

    def __init__(self) -> None:
        self._ended: list[tuple[float, RecordedCall]] = []
        self._live = True

    @overload
    def __getitem__(self, index: int) -> RecordedCall: ...

    @overload
    def __getitem__(self, index: slice) -> list[RecordedCall]: ...

    def __getitem__(self, index: int | slice) -> RecordedCall | list[RecordedCall]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"RecordedCalls({[str(call) for call in self._all()]})"

    def of(self, feature: str) -> list[RecordedCall]:
        """Return a feature's calls."""
        return [call for call in self._all() if call.feature == feature]

    def only(self, feature: str) -> RecordedCall:
        """Return the one call of a feature; another number of them is an AssertionError that lists what there was."""
        found = self.of(feature)
        if len(found) != 1:
            raise AssertionError(f"expected one call of {feature!r}, got {len(found)}; recorded was: {self._shown()}")
        return found[0]

    def none(self, feature: str | None = None) -> None:
        """Assert that nothing was called, or not that feature."""
        found = self._all() if feature is None else self.of(feature)
        if found:
            what = "no call" if feature is None else f"no call of {feature!r}"
            raise AssertionError(f"expected {what}, got {len(found)}; recorded was: {self._shown()}")

    def _shown(self) -> str:
        return "; ".join(map(str, self._all())) or "nothing"

    def _all(self) -> list[RecordedCall]:
        if self._live:
            RUNTIME.fold()
        return [call for _, call in sorted(self._ended, key=lambda entry: entry[0])]

    def _take(self, call: Call) -> None:
        tokens = {} if call._tokens is None else dict(zip(TOKEN_KINDS, call._tokens, strict=True))
        self._ended.append(
            (
                call._started + call._duration,
                RecordedCall(
                    call.feature, call._outcome or "success", call._error_type, call.model,
                    {kind: count for kind, count in tokens.items() if count}, call._usd, call._duration, call._first,
                    call.attempts, call._aggregate.key.environment,
                ),
            )
        )  # fmt: skip


_BLOCKS: Final[list[tuple[RecordedCalls, Callable[[], None]]]] = []
"""The blocks that run, the inner ones last, each with what puts back the state before it."""

_LOCK: Final = threading.RLock()
_KEPT: Final = (
    "drops", "estimator", "pusher", "shipper", "recorder", "_config", "_replaced", "_workers", "_other", "_overflowing",
)  # fmt: skip
"""What of the runtime a block has for itself."""


@contextmanager
def recorded() -> Iterator[RecordedCalls]:
    """Record the calls of a block, of every thread and task in it, and leave the process as it was before.

    Features declared before take part, with all counts at 0. One declared in the block stays, so that a module
    imported in it goes on working, but may be declared anew. Nothing is sent in the meantime, and `configure` changes
    nothing but the environment. In a block within a block the inner one alone records. Works where featurewatch is
    disabled, too.
    """
    calls = RecordedCalls()
    with _LOCK:
        _BLOCKS.append((calls, _begin(calls)))
    try:
        yield calls
    finally:
        with _LOCK:
            RUNTIME.fold()
            calls._live = False
            # Blocks of several threads may overlap: what was before one comes back when all begun after it have ended.
            while _BLOCKS and not _BLOCKS[-1][0]._live:
                _BLOCKS.pop()[1]()


def _begin(calls: RecordedCalls) -> Callable[[], None]:
    """Give the runtime a state of its own that tells each call to `calls`; the answer puts the former one back."""
    with RUNTIME._lock:
        environment = RUNTIME.config.environment
        kept = {name: getattr(RUNTIME, name) for name in _KEPT}
        features = {feature: (feature._aggregate, feature._declaration) for feature in RUNTIME.features.values()}
        pusher = RUNTIME.pusher
        if pusher is not None:
            pusher.held = True
        drops = Drops()
        fresh = {
            "drops": drops, "estimator": Estimator(drops), "pusher": None, "shipper": None, "recorder": calls._take,
            "_config": Config(environment=environment), "_replaced": [], "_workers": Workers(drops), "_other": None,
            "_overflowing": WeakSet(),
        }  # fmt: skip
        vars(RUNTIME).update(fresh)
        for feature in features:
            feature._aggregate = RUNTIME._aggregate_for(feature._declaration, None)

    def restore() -> None:
        with RUNTIME._lock:
            vars(RUNTIME).update(kept)
            for feature in RUNTIME.features.values():
                if feature in features:
                    feature._aggregate, feature._declaration = features[feature]
                else:
                    feature._aggregate = RUNTIME._aggregate_for(feature._declaration, None)
                    RUNTIME.found.add(feature.id)
            if pusher is not None:
                pusher.held = False

    return restore
