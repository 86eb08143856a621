"""A feature's running totals in one environment: plain numbers behind one lock, so that a scrape is never torn."""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from ..families import (
    BUCKETS,
    BUDGET,
    COST,
    DURATION,
    ERRORS,
    FIRST_TOKEN,
    IN_PROGRESS,
    INFO,
    PROBE,
    REQUESTS,
    TOKEN_KINDS,
    TOKENS,
    UNPRICED,
)
from ..model import FeatureKey, Outcome
from .drops import Drops

if TYPE_CHECKING:
    from .call import Call

LABEL_LIMIT: Final = 50
"""Distinct values of error_type, and of model, that one feature may have; further ones become OTHER."""

LABEL_LENGTH: Final = 128

FOLD_AT: Final = 64
"""Ended calls that wait before the next one to end adds them to the totals: about 20 µs of work."""

QUEUE_LIMIT: Final = 50_000
"""Ended calls that wait at most; above it the threads that end calls wait for each other."""

OTHER: Final = "other"
UNKNOWN_MODEL: Final = "unknown"

Classifier = Callable[[BaseException], "str | None"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `Feature(...)` was told."""

    id: str
    name: str
    owner: str = ""
    version: str = ""
    models: tuple[str, ...] = ()
    classify: Classifier | None = None
    budget_usd_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's state: `counts` per bucket (not cumulative; the last is above the highest bound), their sum."""

    counts: tuple[int, ...]
    sum: float


class Exemplar(NamedTuple):
    """A call that stands for its bucket: its trace, its span if that is known, seconds it took, Unix time of its end."""

    trace_id: str
    span_id: str
    value: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All series of one feature in one environment at one instant.

    Attributes:
        start_ns: since when it counts, nanoseconds UTC.
        numbers: by family name, then by the values of the family's labels in their order. Counts are int.
        distributions: by family name.
        exemplars: of the duration's buckets, the latest of each, by the bucket's index.
    """

    key: FeatureKey
    start_ns: int
    numbers: Mapping[str, Mapping[tuple[str, ...], float]]
    distributions: Mapping[str, Distribution]
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


class _Model:
    """One model's totals: tokens in the order of TOKEN_KINDS, US dollars by source, calls without a price."""

    __slots__ = ("estimated", "reported", "tokens", "unpriced")

    def __init__(self) -> None:
        self.tokens = [0] * len(TOKEN_KINDS)
        self.reported = 0.0
        self.estimated = 0.0
        self.unpriced = 0


def text(value: object) -> str:
    """Make text of what the app gave as a label; what cannot be written goes by its type."""
    try:
        return str(value)
    except Exception:
        return type(value).__name__


class Aggregate:
    """Counts the calls of one feature in one environment.

    A call that ends is one atomic append to `ended`; totals change only in `_fold`, under the lock, which takes
    many at once. So a call never waits for another thread, and what a snapshot copies is whole calls. A thread that
    ends a call folds once FOLD_AT wait, unless another does it just then; once QUEUE_LIMIT wait, it does wait for it.

    The lock is reentrant because the garbage collector may finalise an abandoned generator, which ends its call, on
    the thread that holds it.
    """

    __slots__ = (
        "_duration_sum",
        "_durations",
        "_errors",
        "_first_sum",
        "_firsts",
        "_folding",
        "_lock",
        "_models",
        "_probe",
        "_requests",
        "_start_ns",
        "declaration",
        "drops",
        "ended",
        "estimate",
        "key",
        "observe",
        "on_begin",
        "running",
    )

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
        self.observe: Callable[[Call], None] | None = None
        self.reset()

    def reset(self) -> None:
        """Start from zero with a new lock and no running calls: what a forked child does with its parent's counts."""
        self._lock = threading.RLock()
        self._folding = False
        self.running: set[Call] = set()
        self.ended: deque[Call] = deque()
        self._start_ns = time.time_ns()
        self._requests: dict[Outcome, int] = {"success": 0, "error": 0, "cancelled": 0}
        self._errors: dict[str, int] = {}
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self._firsts = [0] * (len(BUCKETS) + 1)
        self._first_sum = 0.0
        self._models: dict[str, _Model] = {model: _Model() for model in self.declaration.models}
        self._probe: int | None = None

    def fold_some(self) -> None:
        """Add some of what ended to the totals, unless another thread does; wait for it where too much waits."""
        if self._lock.acquire(blocking=len(self.ended) >= QUEUE_LIMIT):
            try:
                self._fold(2 * FOLD_AT)
            finally:
                self._lock.release()

    def declare(self, declaration: Declaration) -> None:
        """Take the app's own declaration in the place of one that was made for it; its models start at 0."""
        with self._lock:
            self.declaration = declaration
            for model in declaration.models:
                self._models.setdefault(model, _Model())

    def fold_all(self) -> None:
        """Add all that ended to the totals."""
        with self._lock:
            self._fold()

    def price(self, model: str, usd: float | None) -> None:
        """Add a call's estimated cost; None counts it as unpriced."""
        with self._lock:
            totals = self._totals(model)
            if usd is None:
                totals.unpriced += 1
            else:
                totals.estimated += usd

    def spend(self, model: str, tokens: Sequence[int]) -> None:
        """Add tokens, in the order of TOKEN_KINDS, that a call used of another model than its own."""
        with self._lock:
            totals = self._totals(model)
            totals.tokens = [total + count for total, count in zip(totals.tokens, tokens, strict=True)]
        self.estimate(self, model, tokens)

    def probe(self, ok: bool) -> None:
        with self._lock:
            self._probe = int(ok)

    def touched(self) -> bool:
        """Tell whether anything was ever recorded; an untouched aggregate of a replaced environment is not exported."""
        with self._lock:
            return bool(self.running or self.ended or any(self._requests.values()) or self._probe is not None)

    def snapshot(self) -> Snapshot:
        """Copy everything under the lock."""
        about = self.declaration
        with self._lock:
            self._fold()
            models = [
                (name, tuple(model.tokens), model.reported, model.estimated, model.unpriced)
                for name, model in self._models.items()
            ]
            requests, errors = dict(self._requests), dict(self._errors)
            durations = Distribution(tuple(self._durations), self._duration_sum)
            firsts = Distribution(tuple(self._firsts), self._first_sum)
            # Those that ended since the fold run no more; one operation, so that none can end in the middle of it.
            running = len(self.running.difference(self.ended))
            probe, start_ns = self._probe, self._start_ns
        numbers: dict[str, dict[tuple[str, ...], float]] = {
            REQUESTS.name: {(outcome,): count for outcome, count in requests.items()},
            ERRORS.name: {(error_type,): count for error_type, count in errors.items()},
            IN_PROGRESS.name: {(): running},
            TOKENS.name: {
                (name, kind): count
                for name, tokens, *_ in models
                for kind, count in zip(TOKEN_KINDS, tokens, strict=True)
            },
            COST.name: {
                (name, source): usd
                for name, _, reported, estimated, _ in models
                for source, usd in (("reported", reported), ("estimated", estimated))
            },
            UNPRICED.name: {(name,): count for name, *_, count in models},
            INFO.name: {(about.name, about.owner, about.version): 1},
        }
        if about.budget_usd_per_day is not None:
            numbers[BUDGET.name] = {(): about.budget_usd_per_day}
        if probe is not None:
            numbers[PROBE.name] = {(): probe}
        return Snapshot(self.key, start_ns, numbers, {DURATION.name: durations, FIRST_TOKEN.name: firsts})

    def _fold(self, at_most: int = sys.maxsize) -> None:
        """Add ended calls to the totals, under the lock; a fold inside a fold leaves them to the outer one."""
        if self._folding:
            return
        self._folding = True
        running, requests, durations, models = self.running, self._requests, self._durations, self._models
        take, observe = self.ended.popleft, self.observe
        duration_sum = 0.0
        try:
            for _ in range(min(len(self.ended), at_most)):
                call = take()
                try:
                    running.remove(call)
                except KeyError:
                    # It ended before, or began in the parent of this forked process.
                    continue
                if observe is not None:
                    observe(call)
                requests[call._outcome] += 1  # type: ignore[index]  # an ended call has one
                duration = call._duration
                durations[bisect_left(BUCKETS, duration)] += 1
                duration_sum += duration
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
            self._duration_sum += duration_sum
            self._folding = False

    def _count_error(self, error_type: str) -> None:
        if error_type not in self._errors:
            error_type = self._new_label(error_type, self._errors)
        self._errors[error_type] = self._errors.get(error_type, 0) + 1

    def _totals(self, model: str | None) -> _Model:
        model = model or UNKNOWN_MODEL
        totals = self._models.get(model)
        if totals is None:
            model = self._new_label(model, self._models)
            totals = self._models.get(model)
            if totals is None:
                totals = self._models[model] = _Model()
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
