"""Who did what, as the state keeps it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select

from .. import wire
from ..alert_model import Deed
from ..errors import BadInput
from ..times import NS
from .alert_base import AuditPage
from .database import Database
from .state_alert_schema import audit
from .state_events import LARGEST, bounded

__all__ = ["Audit", "record"]

_HOUR_NS: Final = 3600 * NS
_SWEEP_ROWS: Final = 5000
"""Old deeds removed in one transaction."""


def record(connection: Connection, deed: Deed) -> None:
    """Keep a deed within the transaction that does it."""
    statement = insert(audit).values(
        at_ns=bounded(deed.at_ns),
        actor=_text(deed.actor),
        action=deed.action,
        feature=_text(deed.feature),
        target=_text(deed.target),
        details=orjson.loads(wire.dump(dict(deed.details))),
    )
    connection.execute(statement)


class Audit:
    """The AuditLog over the database. Deeds older than the retention are removed, once an hour as new ones come.

    Args:
        clock: nanoseconds since the epoch.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int], retention_s: float = 400 * 86_400.0) -> None:
        self._database = database
        self._clock = clock
        self._retention_ns = int(retention_s * NS)
        self._swept_ns = 0

    async def record(self, deed: Deed) -> None:
        await self._database.write(lambda connection: record(connection, deed))
        if self._clock() - self._swept_ns >= _HOUR_NS:
            await self.sweep()

    async def sweep(self) -> int:
        """Remove what is past the retention, and return how much; the newest deed always stays."""
        self._swept_ns = self._clock()
        before = self._swept_ns - self._retention_ns
        removed = 0
        while True:
            count = await self._database.write(lambda connection: _sweep(connection, before))
            removed += count
            if count < _SWEEP_ROWS:
                return removed

    async def page(
        self,
        *,
        sees: Callable[[str], bool] | None = None,
        features: Collection[str] | None = None,
        actor: str = "",
        action: str = "",
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> AuditPage:
        query = _newest_first(cursor)
        if features is not None:
            query = query.where(audit.c.feature.in_(sorted(features)))
        if actor:
            query = query.where(audit.c.actor == actor)
        if action:
            query = query.where(or_(audit.c.action == action, audit.c.action.startswith(f"{action}.", autoescape=True)))
        if start_ns is not None:
            query = query.where(audit.c.at_ns >= bounded(start_ns))
        if end_ns is not None:
            query = query.where(audit.c.at_ns < bounded(end_ns))

        def read(connection: Connection) -> list[Deed]:
            rows = connection.execution_options(yield_per=500).execute(query)
            shown = (row for row in rows if sees is None or (row.feature and sees(row.feature)))
            return list(map(_read, islice(shown, limit + 1)))

        deeds = await self._database.read(read)
        return AuditPage(tuple(deeds[:limit]), f"{deeds[limit - 1].position:x}" if len(deeds) > limit else None)


def _newest_first(cursor: str) -> Select[Any]:
    query = select(audit).order_by(audit.c.position.desc())
    if not cursor:
        return query
    try:
        position = min(int(cursor, 16), LARGEST)
    except ValueError:
        raise BadInput("cursor: expected next_cursor of the page before, got another text") from None
    return query.where(audit.c.position < bounded(position))


def _sweep(connection: Connection, before_ns: int) -> int:
    newest = select(func.max(audit.c.position)).scalar_subquery()
    old = select(audit.c.position).where(audit.c.at_ns < before_ns, audit.c.position < newest).limit(_SWEEP_ROWS)
    return connection.execute(delete(audit).where(audit.c.position.in_(old))).rowcount


def _read(row: Row[Any]) -> Deed:
    return Deed(row.actor, row.action, row.feature, row.target, row.at_ns, row.details, row.position)


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "")
