"""What the state keeps of events: rows in, rows out, and the cursor between two pages of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from ..errors import BadInput
from ..model import Event, EventKind, FeatureKey
from .state_schema import events

SWEEP_ROWS: Final = 5000
"""Old events removed in one transaction, so that a long sweep never holds up an event."""

LARGEST: Final = 2**63 - 1


def append(connection: Connection, event: Event, *, look: bool) -> tuple[Event, bool]:
    """Insert an event and say whether it is new; `look` for one of the same feature and id first."""
    if look:
        same = (events.c.feature == event.key.feature) & (events.c.id == event.id)
        found = connection.execute(select(events).where(same)).one_or_none()
        if found is not None:
            return read(found), False
    return append_new(connection, [event])[0], True


def append_new(connection: Connection, told: Sequence[Event]) -> list[Event]:
    """Insert events whose ids nobody had, and return them with their positions, which grow in the order given."""
    if not told:
        return []
    rows = [
        {
            "id": event.id,
            "feature": event.key.feature,
            "environment": event.key.environment,
            "kind": event.kind,
            "timestamp_ns": event.timestamp_ns,
            "data": event.data,
        }
        for event in told
    ]
    statement = insert(events).returning(events.c.position, sort_by_parameter_order=True)
    positions = connection.scalars(statement, rows).all()
    return [replace(event, position=position) for event, position in zip(told, positions, strict=True)]


def read(row: Row[Any]) -> Event:
    """Make an event of a row of the table."""
    key = FeatureKey(row.feature, row.environment)
    return Event(row.position, row.id, key, row.kind, row.timestamp_ns, row.data)


def newest_first(
    feature: str,
    environment: str | None,
    kinds: Collection[EventKind],
    start_ns: int | None,
    end_ns: int | None,
    cursor: str,
) -> Select[Any]:
    """Select one feature's events, newest first, from the cursor on."""
    query = select(events).where(events.c.feature == feature)
    if environment is not None:
        query = query.where(events.c.environment == environment)
    if kinds:
        query = query.where(events.c.kind.in_(sorted(kinds)))
    if start_ns is not None:
        query = query.where(events.c.timestamp_ns >= bounded(start_ns))
    if end_ns is not None:
        query = query.where(events.c.timestamp_ns < bounded(end_ns))
    if cursor:
        timestamp_ns, position = _place(cursor)
        older = events.c.timestamp_ns < timestamp_ns
        same = (events.c.timestamp_ns == timestamp_ns) & (events.c.position < position)
        query = query.where(older | same)
    return query.order_by(events.c.timestamp_ns.desc(), events.c.position.desc())


def cursor_after(event: Event) -> str:
    """Write the cursor that leads to what is older than `event`."""
    return f"{event.timestamp_ns:x}.{event.position:x}"


def bounded(value: int) -> int:
    """Bring an integer into the range that databases keep: 64 bits."""
    return max(-LARGEST, min(LARGEST, value))


def sweep(connection: Connection, before_ns: int) -> int:
    """Remove some events older than `before_ns`, never the newest, and return how many."""
    newest = select(func.max(events.c.position)).scalar_subquery()
    old = (
        select(events.c.position).where(events.c.timestamp_ns < before_ns, events.c.position < newest).limit(SWEEP_ROWS)
    )
    return connection.execute(delete(events).where(events.c.position.in_(old))).rowcount


def _place(cursor: str) -> tuple[int, int]:
    timestamp, _, position = cursor.partition(".")
    try:
        return bounded(int(timestamp, 16)), bounded(int(position, 16))
    except ValueError:
        raise BadInput("cursor: expected next_cursor of the page before, got another text") from None
