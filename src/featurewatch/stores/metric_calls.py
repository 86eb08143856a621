"""Calls told one by one, each by its own id, added to the rows of the embedded metric store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from .. import families
from ..errors import BadInput, OutOfRange
from ..families import BUCKETS
from ..formulas import bucket_of
from ..model import CallReport, FeatureKey
from ..times import NS, format_instant
from .cumulative import Gain
from .metric_ledger import Ids, Ledger

__all__ = ["Price", "PricedCall", "add_calls", "check_times", "estimated_cost"]

Price: TypeAlias = Callable[[str, Mapping[str, int]], float | None]
PricedCall: TypeAlias = tuple[CallReport, float | None]
"""A call told by itself and what `estimated_cost` says of it."""

_STANDS_NS: Final = 24 * 3600 * NS
"""A feature whose calls are told one by one is idle, not absent, so long after the last of them."""

_AHEAD_NS: Final = 600 * NS
_UNKNOWN_MODEL: Final = "unknown"
_OTHER_ERROR: Final = "other"


def add_calls(
    db: sqlite3.Connection,
    ids: Ids,
    calls: Mapping[FeatureKey, Sequence[PricedCall]],
    *,
    threshold: float,
    now_ns: int,
) -> list[tuple[FeatureKey, CallReport]]:
    """Add calls told one by one, each id of a feature once; those that were new are returned."""
    ledger = Ledger(db, ids, threshold, now_ns)
    new = []
    for key, told in calls.items():
        k = ids.of_key(db, key)
        for call, estimate in told:
            if call.id is not None:
                noted = db.execute(
                    "INSERT INTO calls VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (k, call.id, now_ns // NS)
                )
                if not noted.rowcount:
                    continue
            new.append((key, call))
            at = call.timestamp_ns
            for family, labels, value, counts in _gains_of(call, estimate):
                ledger.add(k, family, labels, Gain(at, at, value, counts), _STANDS_NS)
    ledger.write()
    return new


def check_times(calls: Mapping[FeatureKey, Sequence[CallReport]], oldest_ns: int, now_ns: int) -> None:
    """Refuse calls that would be forgotten at once, or would stand in the future.

    Raises:
        OutOfRange: one of them is older than `oldest_ns`, or more than 10 minutes ahead of `now_ns`.
    """
    for told in calls.values():
        for call in told:
            if not oldest_ns <= call.timestamp_ns <= now_ns + _AHEAD_NS:
                raise OutOfRange(
                    f"timestamp: expected one after {format_instant(oldest_ns)} and at most 10 minutes ahead of "
                    f"{format_instant(now_ns)}, got {format_instant(call.timestamp_ns)}"
                )


def estimated_cost(call: CallReport, price: Price) -> float | None:
    """Estimate what a call cost from its model and tokens; None where its cost is reported, or the model unknown.

    Raises:
        BadInput: the tokens contradict each other.
    """
    if call.cost_usd is not None or not call.model or not call.tokens:
        return None
    try:
        return price(call.model, call.tokens)
    except ValueError as error:
        raise BadInput(f"tokens: {error}") from None


def _gains_of(
    call: CallReport, estimate: float | None
) -> Iterable[tuple[str, tuple[str, ...], float, tuple[int, ...]]]:
    model = call.model or _UNKNOWN_MODEL
    yield families.REQUESTS.name, (call.outcome,), 1, ()
    yield families.DURATION.name, (), call.duration_s, _one_in(call.duration_s)
    if call.outcome == "error":
        yield families.ERRORS.name, (call.error_type or _OTHER_ERROR,), 1, ()
    if call.time_to_first_token_s is not None:
        yield families.FIRST_TOKEN.name, (), call.time_to_first_token_s, _one_in(call.time_to_first_token_s)
    for kind, count in call.tokens.items():
        yield families.TOKENS.name, (model, kind), count, ()
    if call.cost_usd is not None:
        yield families.COST.name, (model, "reported"), float(call.cost_usd), ()
    elif estimate is not None:
        yield families.COST.name, (model, "estimated"), estimate, ()
    elif call.tokens:
        yield families.UNPRICED.name, (model,), 1, ()


def _one_in(seconds: float) -> tuple[int, ...]:
    at = bucket_of(seconds)
    return tuple(int(index == at) for index in range(len(BUCKETS) + 1))
