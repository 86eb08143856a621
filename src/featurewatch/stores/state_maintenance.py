"""Maintenance windows as rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select

from ..alert_model import Deed
from ..episode_model import Maintenance
from .database import Database
from .state_audit import record
from .state_episode_schema import maintenance

__all__ = ["Windows"]

MOST: Final = 1_000
"""Windows that one answer lists."""


class Windows:
    """Keeps maintenance windows; those that ended stay for the record, a year long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, window: Maintenance, deed: Deed) -> None:
        row = {
            "id": window.id, "feature": window.feature, "environment": window.environment,
            "starts_ns": window.starts_ns, "ends_ns": window.ends_ns,
            "window": {"comment": window.comment, "created_by": window.created_by, "silence": window.silence},
        }  # fmt: skip

        def write(connection: Any) -> None:
            connection.execute(insert(maintenance), [row])
            record(connection, deed)

        await self._database.write(write)

    async def remove(self, window_id: str, deed: Deed) -> bool:
        """Forget a window; False where there is none of this id."""

        def write(connection: Any) -> bool:
            gone = connection.execute(delete(maintenance).where(maintenance.c.id == window_id)).rowcount
            if gone:
                record(connection, deed)
            return bool(gone)

        return await self._database.write(write)

    async def one(self, window_id: str) -> Maintenance | None:
        query = select(maintenance).where(maintenance.c.id == window_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _read(row)

    async def listed(self, features: Collection[str], *, ending_after_ns: int) -> list[Maintenance]:
        """Return the windows of these features that end after an instant, the first to begin first."""
        query = select(maintenance).where(
            maintenance.c.feature.in_(sorted(features)), maintenance.c.ends_ns > ending_after_ns
        )
        query = query.order_by(maintenance.c.starts_ns, maintenance.c.id).limit(MOST)
        return [_read(row) for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def sweep(self, before_ns: int) -> None:
        """Forget the windows that ended before an instant."""
        await self._database.write(
            lambda connection: connection.execute(delete(maintenance).where(maintenance.c.ends_ns < before_ns))
        )


def _read(row: Row[Any]) -> Maintenance:
    told = row.window
    return Maintenance(
        row.id, row.feature, row.environment, row.starts_ns, row.ends_ns,
        told["comment"], told["created_by"], told["silence"],
    )  # fmt: skip
