"""A feature's totals as one row of numbers: what an aggregate keeps, what processes tell each other, how rows add up.

A row is described by its layout; the numbers are, in this order: start (Unix nanoseconds), time of the last probe and
its result (1, 0, or -1 for none), calls by outcome, duration buckets and sum, first-token buckets and sum, calls by
error type, and for each model tokens by kind, US dollars reported and estimated, calls without a price.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

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
from .snapshot import OTHER, Distribution, Exemplar, Snapshot

if TYPE_CHECKING:
    from .ledger import Note

LABEL_LIMIT: Final = 50
"""Distinct values of error_type, and of model, that one feature may have; further ones become OTHER."""

OUTCOMES: Final[tuple[Outcome, ...]] = ("success", "error", "cancelled")

_HEAD: Final = 3
_SLOTS: Final = len(BUCKETS) + 1
_REQUESTS: Final = slice(_HEAD, _HEAD + len(OUTCOMES))
_DURATIONS: Final = slice(_REQUESTS.stop, _REQUESTS.stop + _SLOTS)
_FIRSTS: Final = slice(_DURATIONS.stop + 1, _DURATIONS.stop + 1 + _SLOTS)
_FIXED: Final = _FIRSTS.stop + 1
_MODEL: Final = len(TOKEN_KINDS) + 3
_FRACTIONS: Final = (_DURATIONS.stop, _FIRSTS.stop)
_USD: Final = (len(TOKEN_KINDS), len(TOKEN_KINDS) + 1)
"""Places of what is no whole number: in a row, and in a model's part of it."""

Values: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Whose row it is, what does not change with calls, and the labels that its variable part is by."""

    key: FeatureKey
    name: str = ""
    owner: str = ""
    version: str = ""
    budget: float | None = None
    errors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def struct(self) -> Struct:
        """How the row is written: counts as 64-bit integers, the rest as doubles."""
        return _struct(len(self.errors), len(self.models))


@dataclass(frozen=True, slots=True)
class DropLayout:
    """A row of what was dropped for one key: counts by (signal, reason)."""

    key: FeatureKey
    reasons: tuple[tuple[str, str], ...]

    @property
    def struct(self) -> Struct:
        return _drop_struct(len(self.reasons))


AnyLayout: TypeAlias = Layout | DropLayout


class Record(NamedTuple):
    """A row, and how many calls run now."""

    layout: Layout
    values: Values
    running: int = 0

    def snapshot(self, exemplars: Mapping[int, Exemplar] | None = None) -> Snapshot:
        """Spell the row out by families and labels."""
        layout, values, running = self
        errors_end = _FIXED + len(layout.errors)
        tokens: dict[tuple[str, ...], float] = {}
        cost: dict[tuple[str, ...], float] = {}
        unpriced: dict[tuple[str, ...], float] = {}
        for model, start in zip(layout.models, range(errors_end, len(values), _MODEL), strict=True):
            tokens.update(zip([(model, kind) for kind in TOKEN_KINDS], values[start:], strict=False))
            cost[model, "reported"], cost[model, "estimated"], unpriced[model,] = values[start + 5 : start + _MODEL]
        numbers: dict[str, Mapping[tuple[str, ...], float]] = {
            REQUESTS.name: dict(zip(_OUTCOME_LABELS, values[_REQUESTS], strict=True)),
            ERRORS.name: dict(zip([(error,) for error in layout.errors], values[_FIXED:errors_end], strict=True)),
            IN_PROGRESS.name: {(): running},
            TOKENS.name: tokens,
            COST.name: cost,
            UNPRICED.name: unpriced,
            INFO.name: {(layout.name, layout.owner, layout.version): 1},
        }
        if layout.budget is not None:
            numbers[BUDGET.name] = {(): layout.budget}
        if values[2] >= 0:
            numbers[PROBE.name] = {(): values[2]}
        distributions = {
            DURATION.name: Distribution(tuple(values[_DURATIONS]), values[_DURATIONS.stop]),  # type: ignore[arg-type]  # counts are int
            FIRST_TOKEN.name: Distribution(tuple(values[_FIRSTS]), values[_FIRSTS.stop]),  # type: ignore[arg-type]  # counts are int
        }
        return Snapshot(layout.key, int(values[0]), numbers, distributions, exemplars or {})


def noted(layout: Layout, numbers: Sequence[float], notes: Iterable[Note], begun: int) -> Record:
    """Add the calls that were noted behind a row to it; what began and has not ended runs."""
    values = list(numbers)
    for note in notes:
        values[_REQUESTS.start + note.outcome] += 1
        values[_DURATIONS.start + note.bucket] += 1
        values[_DURATIONS.stop] += note.duration
        if note.first_bucket >= 0:
            values[_FIRSTS.start + note.first_bucket] += 1
            values[_FIRSTS.stop] += note.first
        if note.error >= 0:
            values[_FIXED + note.error] += 1
        if note.model >= 0:
            start = _FIXED + len(layout.errors) + note.model * _MODEL
            for place, count in enumerate(note.tokens, start):
                values[place] += count
            values[start + len(TOKEN_KINDS)] += note.usd
    return Record(layout, values, max(0, int(begun - sum(values[_REQUESTS]))))


def merge(records: Sequence[Record], *, up: bool = False) -> Record:
    """Add up one feature's rows; what is not a sum is the latest: the declaration, the probe.

    Sums do not depend on the order of the rows: each worker adds up others' rows to its own, and a counter that is less
    by its last digit than it was at another worker is, to Prometheus, one that began anew.

    Args:
        up: round up what cannot be written down exactly: for a sum that stands for its rows from then on.
    """
    first = records[0]
    if len(records) == 1:
        return first
    running = sum(record.running for record in records)
    rows = [record.values for record in records]
    probe = max((row[1], row[2]) for row in rows)
    head = (min(row[0] for row in rows), *probe)
    if all(record.layout is first.layout for record in records):
        models_at = _FIXED + len(first.layout.errors)
        fractions = [*_FRACTIONS, *(at + place for at in range(models_at, len(rows[0]), _MODEL) for place in _USD)]
        return Record(first.layout, (*head, *_added(rows, fractions, up)[_HEAD:]), running)
    newest = max(records, key=lambda record: record.values[0]).layout
    errors: dict[str, list[Values]] = {}
    models: dict[str, list[Values]] = {}
    for record in records:
        _sort(record, record.layout.errors, record.layout.models, errors, models)
    fixed = _added([row[:_FIXED] for row in rows], _FRACTIONS, up)[_HEAD:]
    return _assemble(newest, (*head, *fixed), errors, models, running, up)


def bounded(record: Record, limit: int) -> Record:
    """Bound a row's error types and models as a process bounds its own: those over the limit count as `other`."""
    layout, row, running = record
    if len(layout.errors) <= limit + 1 and len(layout.models) <= limit + 1:
        return record
    errors: dict[str, list[Values]] = {}
    models: dict[str, list[Values]] = {}
    _sort(record, _limited(layout.errors, limit), _limited(layout.models, limit), errors, models)
    return _assemble(layout, row[:_FIXED], errors, models, running, True)


def encode(layout: AnyLayout) -> bytes:
    """Write a layout down, as JSON."""
    import json  # needed where processes share their totals

    kind = "drops" if isinstance(layout, DropLayout) else "calls"
    return json.dumps([kind, asdict(layout)], ensure_ascii=False, separators=(",", ":")).encode()


@lru_cache(maxsize=20_000)
def decode(encoded: bytes) -> AnyLayout:
    """Read a layout.

    Raises:
        ValueError: it is none.
    """
    import json

    try:
        kind, fields = json.loads(encoded)
        return DropLayout(**_with_key(fields)) if kind == "drops" else one(Layout(**_with_key(fields)))
    except (TypeError, KeyError) as error:
        raise ValueError(f"expected a layout, got {encoded[:100]!r}") from error


@lru_cache(maxsize=20_000)
def one(layout: Layout) -> Layout:
    """Return the one object for all equal layouts, so that rows can be told to be alike at a glance."""
    return layout


@lru_cache(maxsize=2_000)
def one_drop_layout(key: FeatureKey, reasons: tuple[tuple[str, str], ...]) -> DropLayout:
    """Return the one object for all equal layouts, so that it is written down once."""
    return DropLayout(key, reasons)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if type(value) is list else value


def _with_key(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: FeatureKey(*value) if name == "key" else _frozen(value) for name, value in fields.items()}


def _sort(
    record: Record,
    error_names: Sequence[str],
    model_names: Sequence[str],
    errors: dict[str, list[Values]],
    models: dict[str, list[Values]],
) -> None:
    """Put the parts of a row that are by error type and by model to those of other rows by the same name."""
    row, end = record.values, _FIXED + len(record.layout.errors)
    for name, count in zip(error_names, row[_FIXED:end], strict=True):
        errors.setdefault(name, []).append([count])
    for name, at in zip(model_names, range(end, len(row), _MODEL), strict=True):
        models.setdefault(name, []).append(row[at : at + _MODEL])


def _assemble(
    about: Layout, fixed: Values, errors: Mapping[str, list[Values]], models: Mapping[str, list[Values]], running: int,
    up: bool,
) -> Record:  # fmt: skip
    layout = one(replace(about, errors=tuple(errors), models=tuple(models)))
    counts = (count for rows in errors.values() for count in _added(rows, (), up))
    return Record(
        layout, (*fixed, *counts, *(part for rows in models.values() for part in _added(rows, _USD, up))), running
    )


def _added(rows: Sequence[Values], fractions: Iterable[int], up: bool) -> list[float]:
    """Add up columns; those of fractions exactly, and rounded once."""
    sums: list[float] = list(map(sum, zip(*rows, strict=True)))
    for place in fractions:
        sums[place] = _total([row[place] for row in rows], up)
    return sums


def _total(parts: Sequence[float], up: bool) -> float:
    try:
        total = math.fsum(parts)
    except OverflowError:
        return math.inf
    if up and total < math.inf and math.fsum((*parts, -total)) > 0:
        return math.nextafter(total, math.inf)
    return total


def _limited(names: Sequence[str], limit: int) -> list[str]:
    return [name if index < limit else OTHER for index, name in enumerate(names)]


@lru_cache(maxsize=10_000)
def _struct(errors: int, models: int) -> Struct:
    return Struct(f"=qdq{len(OUTCOMES)}q{_SLOTS}qd{_SLOTS}qd{errors}q" + f"{len(TOKEN_KINDS)}q2dq" * models)


@lru_cache(maxsize=100)
def _drop_struct(reasons: int) -> Struct:
    return Struct(f"={reasons}q")


_OUTCOME_LABELS: Final = tuple((outcome,) for outcome in OUTCOMES)
