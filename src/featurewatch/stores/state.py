"""Features as people declared them, and what happened to them: on SQLite or PostgreSQL, by the same statements."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

import orjson
from sqlalchemy import URL, Connection, func, select

from .. import wire
from ..errors import BadInput, OutOfRange
from ..ids import new_id
from ..model import Event, EventKind, FeatureKey, FeatureRecord
from ..times import NS
from . import state_events, state_features
from .base import EventListener, EventPage
from .database import Database
from .state_features import Sighting
from .state_schema import events

__all__ = ["State"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_HOUR_NS: Final = 3600 * NS
_FRESH_NS: Final = NS
"""How long a list of features is used again: another bridge on the same PostgreSQL may have changed it."""


class State:
    """The StateStore over a database.

    Positions grow in the order of commits (across bridges on one PostgreSQL too), and listeners hear events in that
    order, before `record_event` returns. They hear this process's events; one that fails is logged and harms no other.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int], event_retention_s: float) -> None:
        self.database = database
        self._clock = clock
        self._retention_ns = int(event_retention_s * NS)
        self._listeners: list[EventListener] = []
        self._seen: dict[FeatureKey, Sighting] = {}
        self._features: tuple[int, Mapping[str, FeatureRecord]] | None = None
        self._edits = 0
        self._swept_ns = 0

    @classmethod
    async def open(
        cls, url: str | URL, *, clock: Callable[[], int] = time.time_ns, event_retention_s: float = 400 * 86_400.0
    ) -> Self:
        """Open the database, make or migrate its tables, and forget the events older than the retention.

        Args:
            url: SQLAlchemy's: `sqlite:///file` or `postgresql://user:password@host/name`.
            clock: nanoseconds since the epoch.

        Raises:
            SettingsError: the URL names no database that is supported, its driver is not installed, or a newer
                featurewatch wrote the tables.
            Unavailable: it cannot be opened.
        """
        state = cls(await Database.open(url), clock=clock, event_retention_s=event_retention_s)
        try:
            await state.sweep()
        except BaseException:
            await state.close()
            raise
        return state

    async def close(self) -> None:
        """Finish what was begun and let go of the database. Harmless when repeated."""
        await self.database.close()

    async def ping(self) -> None:
        await self.database.check()

    async def features(self) -> Mapping[str, FeatureRecord]:
        cached, edits = self._features, self._edits
        if cached is not None and 0 <= self._clock() - cached[0] < _FRESH_NS:
            return cached[1]
        found = await self.database.read(state_features.all_features)
        if edits == self._edits:
            self._features = (self._clock(), found)
        return found

    async def save_feature(self, record: FeatureRecord, *, expected: int | None = None) -> FeatureRecord:
        """Store a declaration and return it with its new revision; StaleEdit where `expected` is not current.

        A feature that was seen and never declared has revision 0. What the record repeats of what the app says of
        the feature (name, owner, version, environments) is not fixed by the declaration: it follows the app.
        """
        return await self._edit(lambda connection: state_features.save(connection, record, expected))

    async def delete_feature(self, feature: str) -> None:
        """Forget a feature, declared or seen; NotFound where it is neither. While it sends, it is listed again."""
        await self._edit(lambda connection: state_features.forget(connection, feature))
        for key in [key for key in self._seen if key.feature == feature]:
            del self._seen[key]

    async def see(self, keys: Collection[FeatureKey], info: Mapping[FeatureKey, Mapping[str, str]]) -> None:
        """Note that features exist. Touches the database only for what is new, and once an hour."""
        now = self._clock()
        fresh: dict[FeatureKey, Sighting] = {}
        for key in keys:
            known = self._seen.get(key)
            told = state_features.said(info[key]) if key in info else known.info if known else None
            if known is None or known.info != told or now - known.last_seen_ns >= _HOUR_NS:
                fresh[key] = Sighting(now, told)
        if fresh:
            await self._edit(lambda connection: state_features.note(connection, fresh))
            self._seen.update(fresh)
        if now - self._swept_ns >= _HOUR_NS:
            await self.sweep()

    async def record_event(
        self, key: FeatureKey, kind: EventKind, timestamp_ns: int, data: Mapping[str, Any], *, id: str | None = None
    ) -> Event:
        """Keep an event and tell the listeners once it is safe; an id the feature had before returns the first one.

        Raises:
            BadInput: the data is not JSON; OutOfRange: the instant is outside 1678 to 2262.
        """
        return (await self.record_events([Event(0, id or "", key, kind, timestamp_ns, data)]))[0]

    async def record_events(self, told: Sequence[Event]) -> Sequence[Event]:
        """Keep events, all or none, and tell the listeners once they are safe; see `record_event`.

        Args:
            told: their positions do not count; one whose id is empty is given one.
        """
        fresh = [(self._checked(event), bool(event.id)) for event in told]

        def append(connection: Connection) -> list[tuple[Event, bool]]:
            return [state_events.append(connection, event, look=look) for event, look in fresh]

        kept = await self.database.write(append, then=self.tell)
        return [event for event, _ in kept]

    def _checked(self, event: Event) -> Event:
        if state_events.bounded(event.timestamp_ns) != event.timestamp_ns:
            raise OutOfRange("timestamp: expected a date between 1678 and 2262")
        try:
            data = orjson.loads(wire.dump(event.data))
        except TypeError as error:
            raise BadInput(f"data: expected JSON ({error})") from None
        return replace(event, id=event.id or new_id(self._clock()), data=data)

    async def events(
        self,
        feature: str,
        environment: str | None = None,
        *,
        kinds: Collection[EventKind] = (),
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> EventPage:
        """Return events newest first; `start_ns` is inclusive, `end_ns` exclusive, `environment` None means all.

        Raises:
            BadInput: the cursor is none that a page had.
        """
        query = state_events.newest_first(feature, environment, kinds, start_ns, end_ns, cursor).limit(limit + 1)
        rows = await self.database.read(lambda connection: connection.execute(query).all())
        page = tuple(map(state_events.read, rows[:limit]))
        return EventPage(page, state_events.cursor_after(page[-1]) if page and len(rows) > limit else None)

    async def events_since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[Event]:
        query = select(events).where(events.c.position > state_events.bounded(position)).order_by(events.c.position)
        wanted = None if keys is None else frozenset(keys)

        def read(connection: Connection) -> list[Event]:
            found: list[Event] = []
            for row in connection.execution_options(yield_per=500).execute(query):
                if len(found) >= limit:
                    break
                if wanted is None or (row.feature, row.environment) in wanted:
                    found.append(state_events.read(row))
            return found

        return await self.database.read(read)

    async def last_event_position(self) -> int:
        return await self.database.read(lambda connection: connection.scalar(select(func.max(events.c.position))) or 0)

    def listen(self, listener: EventListener) -> Callable[[], None]:
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    async def sweep(self) -> int:
        """Remove the events older than the retention and return how many; `see` does it every hour.

        The newest stays whatever its age, so that the last position never goes back.
        """
        self._swept_ns = self._clock()
        before = self._swept_ns - self._retention_ns
        removed = 0
        while True:
            count = await self.database.write(lambda connection: state_events.sweep(connection, before))
            removed += count
            if count < state_events.SWEEP_ROWS:
                return removed

    async def _edit(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self.database.write(work)
        finally:
            self._edits += 1
            self._features = None

    def tell(self, kept: Sequence[tuple[Event, bool]]) -> None:
        """Tell the listeners of events that were committed, those that are new; on the event loop, in order."""
        for event, new in kept:
            if new:
                for listener in tuple(self._listeners):
                    self._call(listener, event)

    def _call(self, listener: EventListener, event: Event) -> None:
        try:
            listener(event)
        except Exception:
            _log.exception("a listener failed on event %s", event.id)
