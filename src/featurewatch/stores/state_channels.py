"""Notification channels as the state keeps them: what is no secret, and the names of the files of what is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from ..alert_model import Channel, Deed
from ..errors import Conflict, NotFound, StaleEdit
from .database import Database
from .state_alert_schema import channels
from .state_audit import record
from .state_rules import users_of

__all__ = ["ChannelStore"]

_NAMED: Final = 5
"""Rules that a message names; the others are counted."""


class ChannelStore:
    """Keeps channels. An edit and its entry in the audit are one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def channels(self) -> Mapping[str, Channel]:
        """Return every channel by name, sorted."""
        rows = await self._database.read(lambda connection: connection.execute(select(channels)).all())
        found = {row.name: _read(row) for row in rows}
        return dict(sorted(found.items()))

    async def channel(self, name: str) -> Channel | None:
        query = select(channels).where(channels.c.name == name)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _read(row)

    async def save(self, channel: Channel, deed: Deed, *, expected: int | None = None) -> Channel:
        """Store a channel and return it with its new revision.

        Raises:
            StaleEdit: `expected` is not its current revision (0: it does not exist).
        """

        def work(connection: Connection) -> Channel:
            found = connection.scalar(select(channels.c.revision).where(channels.c.name == channel.name))
            _check(channel.name, expected, found or 0)
            saved = replace(channel, revision=(found or 0) + 1)
            values = {
                "revision": saved.revision,
                "updated_ns": saved.updated_ns,
                "updated_by": saved.updated_by,
                "channel": _written(saved),
            }
            if found is None:
                connection.execute(insert(channels).values(name=channel.name, **values))
            else:
                connection.execute(update(channels).where(channels.c.name == channel.name).values(values))
            record(connection, deed)
            return saved

        return await self._database.write(work)

    async def delete(self, name: str, deed: Deed, *, expected: int | None = None) -> Channel:
        """Delete a channel and return what it was.

        Raises:
            NotFound: there is none. StaleEdit: as `save`. Conflict: rules use it; the message names them.
        """

        def work(connection: Connection) -> Channel:
            row = connection.execute(select(channels).where(channels.c.name == name)).one_or_none()
            if row is None:
                raise NotFound(f"channel {name!r} is not known")
            _check(name, expected, row.revision)
            if users := users_of(connection, name):
                more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
                raise Conflict(
                    f"channel {name!r} is used by {', '.join(users[:_NAMED])}{more}: take it out of these rules first"
                )
            connection.execute(delete(channels).where(channels.c.name == name))
            record(connection, deed)
            return _read(row)

        return await self._database.write(work)


def _check(name: str, expected: int | None, current: int) -> None:
    if expected is not None and expected != current:
        raise StaleEdit(f"channel {name}: expected revision {expected}, it is {current}: read it again first")


def _written(channel: Channel) -> dict[str, Any]:
    return {
        "kind": channel.kind,
        "settings": dict(channel.settings),
        "secrets": dict(channel.secrets),
        "send_resolved": channel.send_resolved,
        "severities": list(channel.severities),
    }


def _read(row: Row[Any]) -> Channel:
    told = row.channel
    return Channel(
        name=row.name,
        kind=told["kind"],
        settings=told["settings"],
        secrets=told["secrets"],
        send_resolved=told["send_resolved"],
        severities=tuple(told["severities"]),
        revision=row.revision,
        updated_ns=row.updated_ns,
        updated_by=row.updated_by,
    )
