"""One call of a feature: begun once, ended once, on whatever way out."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Final, Never, Self

from ..families import TOKEN_KINDS
from ..model import Outcome
from .aggregate import FOLD_AT, UNKNOWN_MODEL, Aggregate
from .declaration import text
from .drops import shown
from .outcomes import judged
from .traces import identified

_current: Final[ContextVar[Call | None]] = ContextVar("featurewatch_call", default=None)

MOST_TOKENS: Final = 10**12
MOST_USD: Final = 1e9
"""What a call can be told at a time, which is what a bridge takes. More is a mistake, and one total too large for OTLP
would fail whole pushes."""


class Call:
    """A call, used as `with` or `async with`; what happens to it is told by its methods.

    `model` may be set while it runs, for instance from the answer. What is told to it once it has ended is lost,
    and that is told in the log.
    """

    __slots__ = (
        "_aggregate", "_attempts", "_duration", "_error_type", "_first", "_model", "_open", "_outcome", "_parent",
        "_started", "_tokens", "_usd",
    )  # fmt: skip

    def __init__(self, aggregate: Aggregate, model: str | None) -> None:
        self._aggregate = aggregate
        self._model = model
        self._open: bool | None = None
        self._outcome: Outcome | None = None
        self._error_type: str | None = None
        self._first: float | None = None
        self._tokens: tuple[int, ...] | None = None
        self._usd: float | None = None
        self._parent: Call | None = None

    @property
    def model(self) -> str | None:
        """The model that answers."""
        return self._model

    @model.setter
    def model(self, model: str | None) -> None:
        if self._open is not False:
            self._model = model if model is None else text(model)

    @property
    def feature(self) -> str:
        """The id of the feature that is called; empty where no call runs."""
        return self._aggregate.key.feature

    def tokens(
        self,
        *,
        input: int | None = 0,
        output: int | None = 0,
        cache_read: int | None = 0,
        cache_write: int | None = 0,
        reasoning: int | None = 0,
        **unknown: Never,
    ) -> None:
        """Add tokens. cache_* are subsets of input, reasoning of output: they are never summed with them."""
        if not self._open:
            self._refuse("tokens", "expected while the call runs, got them before or after")
            return
        try:
            # The sign bit survives "or", and the result is no less than any of them: it is wrong where one of them is.
            bits = input | output | cache_read | cache_write | reasoning  # type: ignore[operator]  # None falls to the except
            sound = type(bits) is int and 0 <= bits <= MOST_TOKENS and not unknown
        except Exception:  # whatever the app gave, its own operators may raise
            sound = False
        if not sound:
            input, output, cache_read, cache_write, reasoning = self._mended(
                {"input": input, "output": output, "cache_read": cache_read, "cache_write": cache_write,
                 "reasoning": reasoning, **unknown}
            )  # fmt: skip
        if self._tokens is None:
            self._tokens = (input, output, cache_read, cache_write, reasoning)  # type: ignore[assignment]  # no None is left
        else:
            # Written out: Python changes threads where a function is called, and what another added then was lost.
            a, b, c, d, e = self._tokens
            self._tokens = (a + input, b + output, c + cache_read, d + cache_write, e + reasoning)  # type: ignore[operator]

    def cost(self, usd: float) -> None:
        """Add what the call cost, US dollars. Without it the cost is estimated from the model and the tokens."""
        if not self._open:
            self._refuse("cost", "expected while the call runs, got it before or after")
            return
        try:
            value = usd if type(usd) is float else float(usd)
        except Exception:  # whatever the app gave, its own __float__ may raise
            value = math.nan
        if 0.0 <= value <= MOST_USD:
            self._usd = value if self._usd is None else self._usd + value
        else:
            self._refuse("cost", f"expected US dollars from 0 to {MOST_USD:.0f}, got {shown(usd)}")

    def first_token(self) -> None:
        """Note that the first token is there; later ones change nothing."""
        if self._first is None and self._open:
            self._first = perf_counter() - self._started

    def trace(self, trace_id: str | int, span_id: str | int = "") -> None:
        """Say which trace the call is part of, so that OpenMetrics shows it as an exemplar of its duration.

        Not needed where OpenTelemetry traces: the span that is current at the call's end is taken, if it is sampled.
        Numbers become 32 (trace) and 16 (span) hexadecimal digits.
        """
        if not self._open:
            self._refuse("trace", "expected while the call runs, got it before or after")
        elif (found := identified(trace_id, span_id)) is not None:
            self._aggregate.trace(self, found)
        else:
            ids = f"{shown(trace_id)} and {shown(span_id)}"
            rule = "ids of letters, digits, '_' and '-', at most 64 of them for a trace and 48 for a span, or numbers"
            self._refuse("trace", f"expected {rule}, got {ids}")

    def fail(self, error_type: str = "error") -> None:
        """Make the call an error, whatever else happens. `error_type` is one of few words, never a message."""
        if self._open is not False:
            self._outcome = "error"
            self._error_type = ("" if error_type is None else text(error_type)) or "error"

    def cancel(self) -> None:
        """Make the call a cancelled one, whatever else happens."""
        if self._open is not False:
            self._outcome = "cancelled"
            self._error_type = None

    def retry(self) -> None:
        """Say that an attempt failed and another begins: it is the same call, counted once when it ends.

        What `fail()`, `cancel()` and `first_token()` said of the failed attempt is taken back. The time goes on, since
        the caller waited through all attempts, and tokens and costs stay, since all of them were paid.
        """
        if self._open:
            self._attempts = self.attempts + 1
            self._outcome = self._error_type = self._first = None
        else:
            self._refuse("retry", "expected while the call runs, got it before or after")

    @property
    def attempts(self) -> int:
        """How often it was tried: 1, and 1 more for each `retry()`."""
        attempts: int = getattr(self, "_attempts", 1)
        return attempts

    def __enter__(self) -> Self:
        # `_enter` written out: one way through functions less is a twentieth of a call.
        if self._open is not None:
            return self._enter()
        parent = _current.get()
        if parent is not None:
            self._parent = live(parent)
        _current.set(self)
        self._open = True
        aggregate = self._aggregate
        aggregate.running.add(self)
        on_begin = aggregate.on_begin
        if on_begin is not None:
            on_begin()
        self._started = perf_counter()
        return self

    def _enter(self) -> Self:
        """Begin the call, and make it the running one unless it is already, or was."""
        if self._open is None:
            self._parent = live(_current.get())
            _current.set(self)
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Set, never reset: the block may be left in another context than it was entered in.
        if _current.get() is self:
            parent = self._parent
            _current.set(None if parent is None else live(parent))
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _begin(self, started: float | None = None) -> None:
        """Let the call run: `_open` is None before, True while it does, False once it has ended."""
        if self._open is not None:
            if self._open is False:
                self._refuse("call", "expected one `with` or iteration for each call, got a second one")
            return
        self._open = True
        aggregate = self._aggregate
        # A set's `add` is atomic, so it needs no lock.
        aggregate.running.add(self)
        on_begin = aggregate.on_begin
        if on_begin is not None:
            on_begin()
        self._started = perf_counter() if started is None else started

    def _end(self, error: BaseException | None = None, stopped: float | None = None) -> None:
        """Hand the call over to be counted, once: a second end finds it ended."""
        if not self._open:
            return
        self._duration = (stopped or perf_counter()) - self._started
        self._open = False
        if self._outcome is None:
            if error is None:
                self._outcome = "success"
            else:
                try:
                    self._outcome, self._error_type = self._judge(error)
                except KeyboardInterrupt:
                    # It was meant for the app, and came while its classifier ran.
                    self._outcome, self._error_type = judged(error)
                    self._open = True
                    self._end(error, stopped)
                    raise
        aggregate = self._aggregate
        ended = aggregate.ended
        if aggregate.tracer is not None and self not in aggregate.traces and (found := aggregate.tracer()):
            aggregate.trace(self, found)
        ended.append(self)
        if (on_end := aggregate.on_end) is not None:
            on_end()
        elif len(ended) >= FOLD_AT:
            aggregate.fold_some()
        if self._tokens is not None and self._usd is None:
            aggregate.estimate(aggregate, self._model or UNKNOWN_MODEL, self._tokens)

    def _withdraw(self) -> Callable[[], Call]:
        """Take the beginning back, but not its time; the answer begins the call again.

        What the call consists of runs later, or never: then it was no call.
        """
        if _current.get() is self:
            _current.set(live(self._parent))
        self._open = None
        self._aggregate.running.discard(self)
        self._aggregate.traces.pop(self, None)
        if self._aggregate.on_begin is not None:
            self._aggregate.on_begin()

        def begin_again() -> Call:
            self._begin(self._started)
            return self

        return begin_again

    def _judge(self, error: BaseException) -> tuple[Outcome, str | None]:
        classify = self._aggregate.declaration.classify
        if classify is not None:
            try:
                verdict = classify(error)
                verdict = None if verdict is None else str(verdict)
            except KeyboardInterrupt:
                raise
            except BaseException as fault:
                self._aggregate.drops.count("calls", "classifier_failed", self._aggregate.key)
                self._aggregate.drops.tell(
                    f"classify {self.feature}", "%s: classify raised %s; the call is judged without it",
                    self.feature, shown(fault),
                )  # fmt: skip
                verdict = None
            if verdict == "success":
                return "success", None
            if verdict == "cancelled":
                return "cancelled", None
            if verdict and verdict != "error":
                return "error", verdict
        return judged(error)

    def _mended(self, counts: dict[str, object]) -> list[int]:
        """Take what can be counted; None is 0, what is not a count is told, counted and left out."""
        kept = dict.fromkeys(TOKEN_KINDS, 0)
        for kind, count in counts.items():
            if count is None:
                continue
            if kind not in kept:
                self._refuse("tokens", f"expected one of {', '.join(TOKEN_KINDS)}, got {shown(kind)}")
                continue
            try:
                whole = int(count)  # type: ignore[call-overload]  # what has no int raises
                sound = not isinstance(count, str) and whole == count and 0 <= whole <= MOST_TOKENS
            except Exception:  # NaN, infinities, and what the app's own types do
                sound = False
            if sound:
                kept[kind] = whole
            else:
                self._refuse(
                    "tokens", f"expected a whole number from 0 to {MOST_TOKENS} for {kind}, got {shown(count)}"
                )
        return list(kept.values())

    def _refuse(self, what: str, problem: str) -> None:
        aggregate = self._aggregate
        aggregate.drops.count("calls", "invalid_value", aggregate.key)
        aggregate.drops.tell(f"{what} {self.feature}", "%s: %s: %s; it is ignored", self.feature, what, problem)


class NoCall(Call):
    """What runs where no call runs, or where featurewatch is disabled: falsy, and everything told to it is lost."""

    __slots__ = ()
    _model = None
    _open = False
    _parent = None

    def __init__(self) -> None:
        """Have no state at all: one object serves every thread."""

    def __bool__(self) -> bool:
        return False

    def __setattr__(self, name: str, value: object) -> None:
        """Forget what is set: `model` may be set on any call."""

    @property
    def feature(self) -> str:
        return ""

    def tokens(self, **counts: object) -> None: ...

    def cost(self, usd: float) -> None: ...

    def first_token(self) -> None: ...

    def trace(self, trace_id: str | int, span_id: str | int = "") -> None: ...

    def fail(self, error_type: str = "error") -> None: ...

    def cancel(self) -> None: ...

    def retry(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def _withdraw(self) -> Callable[[], Call]:
        return lambda: self

    def _begin(self, started: float | None = None) -> None: ...

    def _end(self, error: BaseException | None = None, stopped: float | None = None) -> None: ...


NO_CALL: Final = NoCall()


def current_call() -> Call:
    """Return the call that runs here; where none does, a falsy one that takes everything and keeps nothing."""
    return live(_current.get()) or NO_CALL


def live(call: Call | None) -> Call | None:
    """Find the innermost call that has not ended; one that a generator left behind may have."""
    while call is not None and not call._open:
        call = call._parent
    return call
