"""A feature's running totals in one environment: plain numbers behind one lock, so that a scrape is never torn."""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..families import BUCKETS, TOKEN_KINDS
from ..model import FeatureKey, Outcome
from .declaration import Declaration
from .drops import Drops
from .records import LABEL_LIMIT, OUTCOMES, Layout, Record, one
from .snapshot import OTHER, Exemplar, Snapshot
from .traces import tracer

if TYPE_CHECKING:
    from .call import Call
    from .ledger import Slot

LABEL_LENGTH: Final = 128

FOLD_AT: Final = 64
"""Ended calls that wait before the next one to end adds them to the totals: about 20 µs of work."""

QUEUE_LIMIT: Final = 50_000
"""Ended calls that wait at most; above it the threads that end calls wait for each other."""

UNKNOWN_MODEL: Final = "unknown"

_OUTCOME_PLACES: Final[dict[Outcome, int]] = {outcome: place for place, outcome in enumerate(OUTCOMES)}
_NO_TOKENS: Final = (0,) * len(TOKEN_KINDS)


class _Model:
    """One model's totals: tokens in the order of TOKEN_KINDS, US dollars by source, calls without a price."""

    __slots__ = ("estimated", "reported", "tokens", "unpriced")

    def __init__(self) -> None:
        self.tokens = [0] * len(TOKEN_KINDS)
        self.reported = 0.0
        self.estimated = 0.0
        self.unpriced = 0


class Aggregate:
    """Counts the calls of one feature in one environment.

    A call that ends is one atomic append to `ended`; totals change only in `_fold`, under the lock, which takes
    many at once. So a call never waits for another thread, and what a snapshot copies is whole calls. A thread that
    ends a call folds once FOLD_AT wait, unless another does it just then; once QUEUE_LIMIT wait, it does wait for it.

    The lock is reentrant because the garbage collector may finalise an abandoned generator, which ends its call, on
    the thread that holds it.
    """

    __slots__ = (
        "_duration_sum", "_durations", "_error_places", "_errors", "_exemplars", "_first_sum", "_firsts", "_folded",
        "_folding", "_layout", "_lock", "_model_places", "_models", "_noted", "_probe", "_probed_at", "_requests",
        "_slot", "_stale", "_start_ns", "_unwritten", "declaration", "drops", "ended", "estimate", "key", "observe",
        "on_begin", "on_end", "running", "tracer", "traces",
    )  # fmt: skip

    def __init__(
        self,
        key: FeatureKey,
        declaration: Declaration,
        drops: Drops,
        estimate: Callable[[Aggregate, str, Sequence[int]], None],
    ) -> None:
        self.key = key
        self.declaration = declaration
        self.drops = drops
        self.estimate = estimate
        self.on_begin: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.observe: Callable[[Call], None] | None = None
        self.tracer: Callable[[], tuple[str, str] | None] | None = None
        self.reset()

    def reset(self) -> None:
        """Start from zero with a new lock and no running calls: what a forked child does with its parent's counts."""
        self._lock = threading.RLock()
        self._folding = False
        self.running: set[Call] = set()
        self.ended: deque[Call] = deque()
        self._start_ns = time.time_ns()
        self._requests: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self._errors: dict[str, int] = {}
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self._firsts = [0] * (len(BUCKETS) + 1)
        self._first_sum = 0.0
        self._models: dict[str, _Model] = {model: _Model() for model in self.declaration.models}
        self._probe = -1
        self._probed_at = 0.0
        self._layout: Layout | None = None
        self._slot: Slot | None = None
        self._unwritten = True
        self._stale = False
        self._noted = 0
        self._folded = 0
        self._error_places: dict[str, int] = {}
        self._model_places: dict[str | None, int] = {}
        self._exemplars: dict[int, Exemplar] = {}
        self.traces: dict[Call, tuple[str, str, float]] = {}
        self.on_end = None

    def fold_some(self) -> None:
        """Add some of what ended to the totals, unless another thread does; wait for it where too much waits."""
        self.tracer = self.tracer or tracer()
        if self._lock.acquire(blocking=len(self.ended) >= QUEUE_LIMIT):
            try:
                self._fold(2 * FOLD_AT)
            finally:
                self._lock.release()

    def declare(self, declaration: Declaration) -> None:
        """Take the app's own declaration in the place of one that was made for it; its models start at 0."""
        with self._lock:
            self.declaration = declaration
            self._layout = None
            for model in declaration.models:
                self._models.setdefault(model, _Model())
        self._changed()

    def fold_all(self) -> None:
        """Add all that ended to the totals."""
        with self._lock:
            self._fold()
        self._look_again()

    def price(self, model: str, usd: float | None) -> None:
        """Add a call's estimated cost; None counts it as unpriced."""
        with self._lock:
            totals = self._totals(model)
            if usd is None:
                totals.unpriced += 1
            else:
                totals.estimated += usd
        self._changed()

    def spend(self, model: str, tokens: Sequence[int]) -> None:
        """Add tokens, in the order of TOKEN_KINDS, that a call used of another model than its own."""
        with self._lock:
            totals = self._totals(model)
            totals.tokens = [total + count for total, count in zip(totals.tokens, tokens, strict=True)]
        self._changed()
        self.estimate(self, model, tokens)

    def probe(self, ok: bool) -> None:
        with self._lock:
            self._probe, self._probed_at = int(ok), time.time()
        self._changed()

    def trace(self, call: Call, found: tuple[str, str]) -> None:
        """Keep the trace and span of a call, which may become its bucket's exemplar."""
        self.traces[call] = (*found, time.time())

    def touched(self) -> bool:
        """Tell whether anything was ever recorded; an untouched aggregate of a replaced environment is not exported."""
        with self._lock:
            was_touched = bool(self.running or self.ended or any(self._requests.values()) or self._probe >= 0)
        self._look_again()
        return was_touched

    def snapshot(self) -> Snapshot:
        """Copy everything under the lock."""
        return self.record().snapshot(self.exemplars())

    def exemplars(self) -> dict[int, Exemplar]:
        """Copy the latest exemplar of each bucket."""
        with self._lock:
            found = dict(self._exemplars)
        self._look_again()
        return found

    def record(self) -> Record:
        """Copy everything under the lock, as a row of numbers."""
        self.tracer = self.tracer or tracer()
        with self._lock:
            self._fold()
            record = self._row()
        self._look_again()
        return record

    def mirror(self, slot: Slot | None) -> None:
        """Show the totals in a slot from here on, as of each call's beginning and end; None: no more."""
        with self._lock:
            self._slot = slot
            self._unwritten = True
        self.on_begin, self.on_end = (None, None) if slot is None else (self._show_begun, self._show_ended)
        if slot is not None:
            self._show_ended()

    def hide(self) -> None:
        """Take the totals out of the slot: nothing was counted, and nothing will be."""
        with self._lock:
            if self._slot is not None:
                self._slot.erase()
        self.mirror(None)

    def _show_begun(self) -> None:
        """Show in the slot how many calls began.

        Without the lock: whoever writes looks again afterwards, so what is written last is right.
        """
        slot, running = self._slot, self.running
        while slot is not None:
            begun = self._folded + len(running)
            slot.began(begun)
            if begun == self._folded + len(running):
                break

    def _show_ended(self) -> None:
        """Show in the slot what ended and what else changed: calls by notes behind the row, else all by the row.

        A thread that finds another at it leaves it to that one, which looks again when it is done: so none waits. A
        write inside a write, by a generator that is finalised in the middle of it, leaves it to the outer one.
        """
        self._stale = True
        while self._stale and not self._folding and self._lock.acquire(False):
            self._folding = True
            try:
                self._stale = False
                slot = self._slot
                if slot is not None and (self._unwritten or not self._note(slot)):
                    self._add(sys.maxsize)
                    self._unwritten = not slot.write(*self._row()[:2], self._folded + len(self.running))
            finally:
                self._folding = False
                self._lock.release()

    def _look_again(self) -> None:
        """Show what another thread left to this one, which held the lock."""
        if self._stale and self._slot is not None:
            self._show_ended()

    def _changed(self) -> None:
        """Show that something changed beside the calls that ended."""
        self._unwritten = True
        if self._slot is not None:
            self._show_ended()

    def _row(self) -> Record:
        about = self.declaration
        if self._layout is None:
            self._layout = one(
                Layout(
                    self.key, about.name, about.owner, about.version, about.budget_usd_per_day,
                    tuple(self._errors), tuple(self._models),
                )
            )  # fmt: skip
            self._error_places = {name: place for place, name in enumerate(self._errors)}
            self._model_places = {name: place for place, name in enumerate(self._models)}
            if UNKNOWN_MODEL in self._model_places:
                self._model_places[None] = self._model_places[UNKNOWN_MODEL]
        values: list[float] = [
            self._start_ns, self._probed_at, self._probe, *self._requests.values(), *self._durations,
            self._duration_sum, *self._firsts, self._first_sum, *self._errors.values(),
        ]  # fmt: skip
        for model in self._models.values():
            values += model.tokens
            values += (model.reported, model.estimated, model.unpriced)
        # Those that ended since the fold run no more; one operation, so that none can end in the middle of it.
        return Record(self._layout, values, len(self.running.difference(self.ended)))

    def _note(self, slot: Slot) -> bool:
        """Note the calls that ended since; False where the row has to be written anew. They are folded with it."""
        ended, running, note = self.ended, self.running, slot.note
        for place in range(self._noted, len(ended)):
            call = ended[place]
            error, model, usd, tokens = -1, -1, call._usd, call._tokens
            if call._error_type is not None:
                error = self._error_places.get(call._error_type, -1)
                if error < 0:
                    return False
            if tokens is not None or usd is not None:
                model = self._model_places.get(call._model, -1)
                if model < 0:
                    return False
            first = call._first
            if call not in running or not note(
                _OUTCOME_PLACES[call._outcome],  # type: ignore[index]  # an ended call has one
                bisect_left(BUCKETS, call._duration),
                -1 if first is None else bisect_left(BUCKETS, first),
                error, model, call._duration, first or 0.0, usd or 0.0, tokens or _NO_TOKENS,
            ):  # fmt: skip
                return False
            self._noted = place + 1
        return True

    def _fold(self, at_most: int = sys.maxsize) -> None:
        """Add ended calls to the totals, under the lock; a fold inside a fold leaves them to the outer one."""
        if self._folding or not self.ended:
            return
        self._folding = True
        try:
            self._add(at_most)
        finally:
            self._folding = False

    def _add(self, at_most: int) -> None:
        """Add ended calls, one after another: sums are rounded as those are that readers of a slot add up."""
        running, requests, durations, models = self.running, self._requests, self._durations, self._models
        take, observe, traces = self.ended.popleft, self.observe, self.traces
        duration_sum, succeeded, before = self._duration_sum, 0, sum(requests.values())
        self._noted = 0
        self._unwritten = True
        try:
            for _ in range(min(len(self.ended), at_most)):
                call = take()
                try:
                    running.remove(call)
                except KeyError:
                    # It ended before, or began in the parent of this forked process.
                    traces.pop(call, None)
                    continue
                if observe is not None:
                    observe(call)
                outcome = call._outcome
                if outcome == "success":
                    succeeded += 1
                else:
                    requests[outcome] += 1  # type: ignore[index]  # an ended call has one
                duration = call._duration
                bucket = bisect_left(BUCKETS, duration)
                durations[bucket] += 1
                duration_sum += duration
                if traces and (trace := traces.pop(call, None)) is not None:
                    self._exemplars[bucket] = Exemplar(trace[0], trace[1], duration, trace[2])
                if call._error_type is not None:
                    self._count_error(call._error_type)
                if call._first is not None:
                    self._firsts[bisect_left(BUCKETS, call._first)] += 1
                    self._first_sum += call._first
                tokens, usd = call._tokens, call._usd
                if tokens is not None or usd is not None:
                    totals = models.get(call._model) or self._totals(call._model)  # type: ignore[arg-type]  # None finds none
                    if tokens is not None:
                        # Written out: a loop over the five kinds took a quarter of the whole fold.
                        sums = totals.tokens
                        input, output, cache_read, cache_write, reasoning = tokens
                        sums[0] += input
                        sums[1] += output
                        if cache_read or cache_write or reasoning:
                            sums[2] += cache_read
                            sums[3] += cache_write
                            sums[4] += reasoning
                    if usd is not None:
                        totals.reported += usd
        finally:
            self._duration_sum = duration_sum
            requests["success"] += succeeded
            self._folded += sum(requests.values()) - before

    def _count_error(self, error_type: str) -> None:
        if error_type not in self._errors:
            error_type = self._new_label(error_type, self._errors)
            if error_type not in self._errors:
                self._layout = None
        self._errors[error_type] = self._errors.get(error_type, 0) + 1

    def _totals(self, model: str | None) -> _Model:
        model = model or UNKNOWN_MODEL
        totals = self._models.get(model)
        if totals is None:
            model = self._new_label(model, self._models)
            totals = self._models.get(model)
            if totals is None:
                totals = self._models[model] = _Model()
                self._layout = None
        return totals

    def _new_label(self, value: str, known: Mapping[str, object]) -> str:
        """Bound a label's values: a long one is cut, one too many becomes OTHER and is counted.

        What is not valid Unicode (a lone surrogate) is replaced: one such label would fail the whole exposition.
        """
        value = value[:LABEL_LENGTH].encode("utf-8", "replace").decode()
        if value in known or len(known) < LABEL_LIMIT:
            return value
        self.drops.count("calls", "label_limit", self.key)
        return OTHER
