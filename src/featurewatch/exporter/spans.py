"""Finished `gen_ai.*` spans of OpenTelemetry as calls of features: an instrumented app needs no code of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage
from opentelemetry.sdk import trace
from opentelemetry.trace import StatusCode

from ..families import TOKEN_KINDS
from ..model import FEATURE_ID, FEATURE_ID_RULE
from . import genai
from .call import Call, current_call
from .declaration import Declaration
from .drops import shown
from .feature import Feature
from .outcomes import is_cancellation
from .runtime import RUNTIME

if TYPE_CHECKING:
    from opentelemetry.context import Context

FEATURE_LIMIT: Final = 200
"""Features that spans may bring up; a further name is refused and counted, since baggage may come from outside."""

SPAN_LIMIT: Final = 50_000
"""Spans that may be open; above it the oldest is taken for lost, and its call for cancelled."""

_NO_FEATURES: Final[frozenset[str]] = frozenset()


class _Open:
    """A span that runs.

    Attributes:
        running: the app's own call that ran where the span started.
        call: the call that the span itself is.
        reported: whether the span or one inside it has told its tokens already.
        counted: features of which a span inside was counted as a call.
        handled: the exception that was being handled when the span started, by its identity.
    """

    __slots__ = ("baggage", "began", "call", "counted", "handled", "parent", "reported", "running", "span")

    def __init__(self, span: Any, parent: _Open | None, running: Call | None, baggage: str | None) -> None:
        self.span = span
        self.parent = parent
        self.running = running
        self.baggage = baggage
        self.began = perf_counter()
        self.call: Call | None = None
        self.reported = False
        self.counted = _NO_FEATURES
        self.handled = id(sys.exception())

    def place(self) -> tuple[str | None, Call | None]:
        """Find which feature the span belongs to, and the running call of that feature which it is a part of.

        From inside out: what a span's attributes name, the app's running call, the call that a span around it is;
        at last the baggage.
        """
        feature: str | None = None
        at: _Open | None = self
        while at is not None:
            outer = at.parent
            feature = feature or genai.named_feature(at.span.attributes)
            inherited = outer.running if outer is not None else None
            around = (None if at.running is inherited else at.running, None if outer is None else outer.call)
            for call in around:
                if call is not None and call._open and feature in (None, call.feature):
                    return call.feature, call
            at = outer
        return feature or self.baggage, None


class SpanProcessor(trace.SpanProcessor):
    """Counts spans of models and agents as calls of the features that they name.

        tracer_provider.add_span_processor(featurewatch.SpanProcessor())

    A span names its feature by the attribute `feature` (or `featurewatch.feature`), its own or one of the spans around
    it, by the running call, or by baggage `feature`. The outermost such span of a feature is a call; those inside add
    their tokens to it, each token once: what an agent sums up of its model's spans is not added again. Inside a running
    call of the same feature a span adds its tokens to that call and is none itself. Spans that were not sampled are
    not seen. A feature that the app does not declare is declared as it comes.
    """

    def __init__(self, *, feature_limit: int = FEATURE_LIMIT) -> None:
        self._limit = feature_limit
        self._open: dict[int, _Open] = {}

    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:
        """Begin a call where the span says at its start that it is one."""
        self._guarded(lambda: self._start(span, parent_context))

    def on_end(self, span: trace.ReadableSpan) -> None:
        """Add what the span used, and end the call that it is."""
        self._guarded(lambda: self._end(span))

    def shutdown(self) -> None:
        """Leave what was counted as it is; it is sent with the other figures."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return RUNTIME.flush(timeout_millis / 1000)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            RUNTIME.drops.count("calls", "invalid_value")
            RUNTIME.drops.tell("span", "a span could not be read and is not counted: %s", shown(error))

    def _start(self, span: trace.Span, context: Context | None) -> None:
        named = baggage.get_baggage("feature", context)
        parent = None if span.parent is None else self._open.get(span.parent.span_id)
        entry = _Open(span, parent, current_call() or None, str(named) if named else None)
        while len(self._open) >= SPAN_LIMIT:
            self._lose_oldest()
        self._open[span.context.span_id] = entry
        attributes = span.attributes
        if attributes is None or not genai.is_genai(attributes) or genai.is_local(attributes):
            return
        feature, part_of = entry.place()
        if feature is not None and part_of is None:
            entry.call = self._begin(feature, attributes, entry.began)

    def _end(self, span: trace.ReadableSpan) -> None:
        entry = self._open.pop(span.context.span_id, None) or _Open(span, None, current_call() or None, None)
        entry.span = span
        attributes = span.attributes or {}
        if genai.is_genai(attributes):
            call, part_of = entry.call, None
            if call is None:
                feature, part_of = entry.place()
                new = feature is not None and part_of is None and feature not in entry.counted
                if feature is not None and new and not genai.is_local(attributes):
                    call = self._begin(feature, attributes, entry.began)
            target = call or part_of
            if target:
                self._tell(entry, target, attributes, owned=target is not part_of)
            if call:
                _judge(call, span, entry.handled)
                call._end(None, call._started + max(0, (span.end_time or 0) - (span.start_time or 0)) / 1e9)
                entry.counted |= {call.feature}
        if entry.parent is not None:
            entry.parent.reported |= entry.reported
            entry.parent.counted |= entry.counted

    def _begin(self, id: str, attributes: Mapping[str, Any], started: float | None = None) -> Call | None:
        feature = self._feature(id)
        if feature is None:
            return None
        call = feature.call(model=_model(feature._declaration, genai.usage(attributes).models))
        call._begin(started)
        return call

    def _tell(self, entry: _Open, call: Call, attributes: Mapping[str, Any], *, owned: bool) -> None:
        """Add a span's tokens, cost and first token to a call, unless spans inside it did."""
        first = genai.first_token_s(attributes, entry.span.events, entry.span.start_time or 0)
        if first is not None and call._first is None:
            call._first = max(0.0, entry.began - call._started + first)
        used = genai.usage(attributes)
        if entry.reported or not used.told:
            return
        entry.reported = True
        model = _model(call._aggregate.declaration, used.models)
        if model is not None and (call.model is None or (owned and call._tokens is None)):
            call.model = model
        if used.usd is not None:
            call.cost(used.usd)
        if used.tokens:
            _add_tokens(call, model, used.tokens)

    def _feature(self, id: str) -> Feature | None:
        """Return the feature, declared here where the app does not; None where it cannot be."""
        known = RUNTIME.features.get(id)
        if known is not None:
            return known
        if FEATURE_ID.fullmatch(id) is None:
            RUNTIME.drops.count("calls", "invalid_feature")
            RUNTIME.drops.tell("span feature", "a span names no feature: expected %s, got %.80r", FEATURE_ID_RULE, id)
            return None
        if len(RUNTIME.found) >= self._limit:
            RUNTIME.drops.count("calls", "feature_limit")
            RUNTIME.drops.tell(
                "span features", "spans name more than %d features that the app does not declare: the calls of "
                "further ones are not counted", self._limit,
            )  # fmt: skip
            return None
        return RUNTIME.find(id, Feature)

    def _lose_oldest(self) -> None:
        try:
            entry = self._open.pop(next(iter(self._open)))
        except (KeyError, StopIteration, RuntimeError):  # another thread was faster
            return
        RUNTIME.drops.count("calls", "span_limit")
        if entry.call is not None:
            entry.call.cancel()
            entry.call._end()


def _model(about: Declaration, models: tuple[str, ...]) -> str | None:
    """Choose the model's name: one that the feature declares, else as the provider answered."""
    declared = (model for model in models if model in about.models)
    return next(declared, models[0] if models else None)


def _add_tokens(call: Call, model: str | None, tokens: Mapping[str, int]) -> None:
    """Add tokens to a call; those of another model than the call's go to that model's totals, where its price is known.

    Where calls are told one by one there is one model for each, and all tokens are the call's.
    """
    aggregate = call._aggregate
    if model in (None, call.model) or aggregate.observe is not None:
        input, output, cache_read, cache_write, reasoning = (tokens[kind] for kind in TOKEN_KINDS)
        call.tokens(input=input, output=output, cache_read=cache_read, cache_write=cache_write, reasoning=reasoning)
    else:
        aggregate.spend(str(model), [tokens[kind] for kind in TOKEN_KINDS])


def _judge(call: Call, span: trace.ReadableSpan, handled: int) -> None:
    """Decide a call's outcome by its span: a cancellation is none of its errors, and often not even recorded."""
    error_type = genai.error_type(span.attributes or {}, span.events)
    passing = sys.exception()
    if genai.is_cancellation(error_type) or (
        passing is not None and id(passing) != handled and is_cancellation(passing)
    ):
        call.cancel()
    elif span.status.status_code is StatusCode.ERROR or (span.attributes or {}).get("error.type"):
        call.fail(error_type or "error")
