"""A feature's totals as one row of numbers: what an aggregate keeps, what processes tell each other, how rows add up.

A row is described by its layout; the numbers are, in this order: start (Unix nanoseconds), time of the last probe and
its result (1, 0, or -1 for none), calls by outcome, duration buckets and sum, first-token buckets and sum, calls by
error type, and for each model tokens by kind, US dollars reported and estimated, calls without a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

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
from ..model import FeatureKey
from .snapshot import OTHER, Distribution, Exemplar, Snapshot

LABEL_LIMIT: Final = 50
"""Distinct values of error_type, and of model, that one feature may have; further ones become OTHER."""

OUTCOMES: Final = ("success", "error", "cancelled")

_HEAD: Final = 3
_SLOTS: Final = len(BUCKETS) + 1
_REQUESTS: Final = slice(_HEAD, _HEAD + len(OUTCOMES))
_DURATIONS: Final = slice(_REQUESTS.stop, _REQUESTS.stop + _SLOTS)
_FIRSTS: Final = slice(_DURATIONS.stop + 1, _DURATIONS.stop + 1 + _SLOTS)
_FIXED: Final = _FIRSTS.stop + 1
_MODEL: Final = len(TOKEN_KINDS) + 3

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


def merge(records: Sequence[Record]) -> Record:
    """Add up one feature's rows; what is not a sum is the latest: the declaration, the probe."""
    first = records[0]
    if len(records) == 1:
        return first
    running = sum(record.running for record in records)
    rows = [record.values for record in records]
    probe = max((row[1], row[2]) for row in rows)
    head = (min(row[0] for row in rows), *probe)
    if all(record.layout is first.layout for record in records):
        return Record(first.layout, (*head, *map(sum, zip(*(row[_HEAD:] for row in rows), strict=True))), running)
    newest = max(records, key=lambda record: record.values[0]).layout
    errors: dict[str, Values] = {}
    models: dict[str, Values] = {}
    for layout, row, _ in records:
        end = _FIXED + len(layout.errors)
        _add(errors, zip(layout.errors, ([count] for count in row[_FIXED:end]), strict=True))
        _add(models, zip(layout.models, (row[at : at + _MODEL] for at in range(end, len(row), _MODEL)), strict=True))
    fixed = map(sum, zip(*(row[_HEAD:_FIXED] for row in rows), strict=True))
    return _assemble(newest, (*head, *fixed), errors, models, running)


def bounded(record: Record, limit: int) -> Record:
    """Bound a row's error types and models as a process bounds its own: those over the limit count as `other`."""
    layout, row, running = record
    if len(layout.errors) <= limit + 1 and len(layout.models) <= limit + 1:
        return record
    end = _FIXED + len(layout.errors)
    errors: dict[str, Values] = {}
    models: dict[str, Values] = {}
    _add(errors, zip(_limited(layout.errors, limit), ([count] for count in row[_FIXED:end]), strict=True))
    parts = (row[at : at + _MODEL] for at in range(end, len(row), _MODEL))
    _add(models, zip(_limited(layout.models, limit), parts, strict=True))
    return _assemble(layout, row[:_FIXED], errors, models, running)


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


def _add(sums: dict[str, Values], rows: Iterable[tuple[str, Values]]) -> None:
    for name, row in rows:
        before = sums.get(name)
        sums[name] = row if before is None else [one + other for one, other in zip(before, row, strict=True)]


def _assemble(
    about: Layout, fixed: Values, errors: Mapping[str, Values], models: Mapping[str, Values], running: int
) -> Record:
    layout = one(replace(about, errors=tuple(errors), models=tuple(models)))
    variable = (number for rows in (errors, models) for row in rows.values() for number in row)
    return Record(layout, (*fixed, *variable), running)


def _limited(names: Sequence[str], limit: int) -> list[str]:
    return [name if index < limit else OTHER for index, name in enumerate(names)]


@lru_cache(maxsize=10_000)
def _struct(errors: int, models: int) -> Struct:
    return Struct(f"=qdq{len(OUTCOMES)}q{_SLOTS}qd{_SLOTS}qd{errors}q" + f"{len(TOKEN_KINDS)}q2dq" * models)


@lru_cache(maxsize=100)
def _drop_struct(reasons: int) -> Struct:
    return Struct(f"={reasons}q")


_OUTCOME_LABELS: Final = tuple((outcome,) for outcome in OUTCOMES)
