"""Features as people declared them, and what happened to them: on SQLite or PostgreSQL, by the same statements."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, func, select

from .. import wire
from ..errors import BadInput, OutOfRange, TooMany, Unavailable
from ..ids import new_id
from ..model import Event, EventKind, FeatureKey, FeatureRecord
from ..times import NS
from . import state_events, state_features
from .base import EventListener, EventPage
from .state_engine import WRITES, open_engine
from .state_errors import translated
from .state_features import Sighting
from .state_schema import events, prepare

__all__ = ["State"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_HOUR_NS: Final = 3600 * NS
_FRESH_NS: Final = NS
"""How long a list of features is used again: another bridge on the same PostgreSQL may have changed it."""
_WAITING: Final = 1000
"""Statements that may wait for a thread; above it: TooMany."""


class State:
    """The StateStore over a database. Statements run in threads of their own, one of them for all writing.

    Writes are serial (across bridges on one PostgreSQL too), so positions grow in the order of commits, and
    listeners hear events in that order, before `record_event` returns. They hear this process's events; one that
    fails is logged and harms no other. What was returned is safe: SQLite syncs each commit. Statements are short
    and bounded by a limit, so a cancelled caller leaves at once and its statement ends by itself.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], int], event_retention_s: float) -> None:
        self._engine = engine
        self._clock = clock
        self._retention_ns = int(event_retention_s * NS)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="featurewatch-state-write")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="featurewatch-state-read")
        self._waiting = 0
        self._closed = False
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
        state = cls(open_engine(url), clock=clock, event_retention_s=event_retention_s)
        try:
            await state._write(prepare)
            await state.sweep()
        except BaseException:
            await state.close()
            raise
        return state

    async def close(self) -> None:
        """Finish what was begun and let go of the database. Harmless when repeated."""
        self._closed = True
        await asyncio.to_thread(self._end)

    async def ping(self) -> None:
        await self._read(lambda connection: connection.execute(select(1)))

    async def features(self) -> Mapping[str, FeatureRecord]:
        cached, edits = self._features, self._edits
        if cached is not None and 0 <= self._clock() - cached[0] < _FRESH_NS:
            return cached[1]
        found = await self._read(state_features.all_features)
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
        loop = asyncio.get_running_loop()

        def append(connection: Connection) -> list[tuple[Event, bool]]:
            return [state_events.append(connection, event, look=look) for event, look in fresh]

        def write() -> list[Event]:
            kept = self._transact(append, True)
            for event, new in kept:
                if new:
                    loop.call_soon_threadsafe(self._tell, event)
            return [event for event, _ in kept]

        return await self._run(self._writer, write)

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
        rows = await self._read(lambda connection: connection.execute(query).all())
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

        return await self._read(read)

    async def last_event_position(self) -> int:
        return await self._read(lambda connection: connection.scalar(select(func.max(events.c.position))) or 0)

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
            count = await self._write(lambda connection: state_events.sweep(connection, before))
            removed += count
            if count < state_events.SWEEP_ROWS:
                return removed

    async def _edit(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._write(work)
        finally:
            self._edits += 1
            self._features = None

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._writer, lambda: self._transact(work, True))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._readers, lambda: self._transact(work, False))

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the state store is closed")
        if self._waiting >= _WAITING:
            raise TooMany(f"the state store is busy: {self._waiting} statements wait already, try again in a second")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(threads, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: object) -> None:
        self._waiting -= 1

    def _transact(self, work: Callable[[Connection], T], writes: bool) -> T:
        with (
            translated(self._engine.url),
            self._engine.connect() as connection,
            connection.execution_options(**{WRITES: writes}).begin(),
        ):
            return work(connection)

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                _log.exception("a listener failed on event %s", event.id)

    def _end(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()
