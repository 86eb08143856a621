"""Stores in memory that keep the contracts of `stores.base`, a transport without a network, and a clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from starlette.websockets import WebSocketDisconnect

from featurewatch.errors import FeaturewatchError, NotFound
from featurewatch.formulas import METRICS
from featurewatch.model import (
    Event,
    EventKind,
    FeatureKey,
    FeatureRecord,
    Level,
    LogEntry,
    LogGap,
    Measurement,
    ModelCost,
    StoredLog,
)
from featurewatch.stores.base import EventListener, EventPage, GapListener, LogFilter, LogListener, LogPage, LogQuery
from featurewatch.stores.matching import compile_filter
from featurewatch.times import NS

START_NS = 1_790_000_000 * NS
KEY = FeatureKey("summarize", "production")


class Clock:
    """Nanoseconds since the epoch, moved by hand."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)


def entry(
    number: int, key: FeatureKey = KEY, *, level: Level = "info", message: str | None = None, at_ns: int | None = None
) -> LogEntry:
    return LogEntry(
        f"line-{number}",
        key.feature,
        key.environment,
        START_NS + number if at_ns is None else at_ns,
        level,
        message if message is not None else f"line {number}",
    )


class FakeLogs:
    """A LogStore: a list. `failure` is what every reading raises, `gate` what a reading waits for.

    `missing` is what `lost` answers, `told_gaps` what `gaps` does, `wanted` what was last wanted.
    """

    def __init__(self, lines: Sequence[StoredLog] = ()) -> None:
        self.lines = list(lines)
        self.failure: FeaturewatchError | None = None
        self.gate: asyncio.Event | None = None
        self.reads = 0
        self.missing: str | None = None
        self.told_gaps: list[LogGap] = []
        self.wanted: list[Collection[str] | None] = []
        self._listeners: list[LogListener] = []
        self._gap_listeners: list[GapListener] = []
        self._positions = itertools.count(len(self.lines) + 1)

    def commit(self, entries: Sequence[LogEntry]) -> list[StoredLog]:
        """Keep entries without telling the listeners yet."""
        batch = [StoredLog(next(self._positions), line) for line in entries]
        self.lines += batch
        return batch

    def tell(self, batch: Sequence[StoredLog]) -> None:
        for listener in self._listeners:
            listener(batch)

    def publish(self, *entries: LogEntry) -> list[StoredLog]:
        batch = self.commit(entries)
        self.tell(batch)
        return batch

    async def append(self, entries: Sequence[LogEntry]) -> int:
        return len(self.publish(*entries))

    def tell_gap(self, gap: LogGap) -> None:
        self.told_gaps.append(gap)
        for listener in self._gap_listeners:
            listener(gap)

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        self._listeners.append(listener)
        if gaps is not None:
            self._gap_listeners.append(gaps)
        return lambda: self._listeners.remove(listener)

    def want(self, features: Collection[str] | None) -> None:
        self.wanted.append(features if features is None else frozenset(features))

    async def query(self, query: LogQuery) -> LogPage:
        await self._ask()
        passes = compile_filter(query.filter)
        found = [line for line in self.lines if line.entry.key == query.key and passes(line.entry)]
        found.sort(key=lambda line: line.entry.timestamp_ns)
        return LogPage(tuple(found[-query.limit :]))

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        await self._ask()
        found = [line for line in self.lines if line.position > position and (keys is None or line.entry.key in keys)]
        return found[:limit]

    async def newest(self, key: FeatureKey, filter: LogFilter, limit: int) -> Sequence[StoredLog]:
        return (await self.query(LogQuery(key, filter, limit=limit))).entries

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        return self.missing

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        return [gap for gap in self.told_gaps if gap.position >= position]

    async def last_position(self) -> int:
        return self.lines[-1].position if self.lines else 0

    async def keys(self) -> set[FeatureKey]:
        await self._ask()
        return {line.entry.key for line in self.lines}

    async def around(self, entry_id: str, keys: Collection[FeatureKey] | None, count: int) -> LogPage | None:
        raise NotImplementedError

    def export(self, query: LogQuery) -> AsyncIterator[Sequence[LogEntry]]:
        raise NotImplementedError

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    async def _ask(self) -> None:
        self.reads += 1
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure


class FakeState:
    """A StateStore: a dict of features and a list of events."""

    def __init__(self, happened: Sequence[Event] = ()) -> None:
        self.records: dict[str, FeatureRecord] = {}
        self.happened = list(happened)
        self.failure: FeaturewatchError | None = None
        self._listeners: list[EventListener] = []

    def declare(self, feature: str, *environments: str) -> None:
        self.records[feature] = FeatureRecord(feature, feature, environments=frozenset(environments), declared=True)

    async def features(self) -> Mapping[str, FeatureRecord]:
        self._ask()
        return dict(self.records)

    async def see(self, keys: Collection[FeatureKey], info: Mapping[FeatureKey, Mapping[str, str]]) -> None:
        self._ask()
        for key in keys:
            record = self.records.get(key.feature) or FeatureRecord(key.feature, key.feature)
            self.records[key.feature] = replace(record, environments=record.environments | {key.environment})

    async def record_event(
        self, key: FeatureKey, kind: EventKind, timestamp_ns: int, data: Mapping[str, Any], *, id: str | None = None
    ) -> Event:
        self._ask()
        position = len(self.happened) + 1
        event = Event(position, id or f"event-{position}", key, kind, timestamp_ns, data)
        self.happened.append(event)
        for listener in self._listeners:
            listener(event)
        return event

    async def events_since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[Event]:
        self._ask()
        await asyncio.sleep(0)
        found = [event for event in self.happened if event.position > position and (keys is None or event.key in keys)]
        return found[:limit]

    async def last_event_position(self) -> int:
        return len(self.happened)

    def listen(self, listener: EventListener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def save_feature(self, record: FeatureRecord, *, expected: int | None = None) -> FeatureRecord:
        self.records[record.id] = record
        return record

    async def delete_feature(self, feature: str) -> None:
        if self.records.pop(feature, None) is None:
            raise NotFound(feature)

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
        raise NotImplementedError

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _ask(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeMetrics:
    """A MetricStore that says what it is told to. `measured` counts its queries."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.figures: dict[FeatureKey, dict[str, float | None]] = {}
        self.failure: FeaturewatchError | None = None
        self.gate: asyncio.Event | None = None
        self.measured = 0
        self._clock = clock

    def set(self, key: FeatureKey, **figures: float | None) -> None:
        self.figures[key] = {**dict.fromkeys(METRICS), **figures}

    async def keys(self) -> set[FeatureKey]:
        return set(self.figures)

    async def info(self) -> Mapping[FeatureKey, Mapping[str, str]]:
        return {}

    async def measure(
        self, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        self.measured += 1
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        wanted = self.figures.keys() if keys is None else self.figures.keys() & set(keys)
        return {key: Measurement(key, self._clock(), dict(self.figures[key])) for key in wanted}

    async def history(
        self, key: FeatureKey, metric: str, start_ms: int, end_ms: int, step_s: int
    ) -> Sequence[tuple[int, float | None]]:
        raise NotImplementedError

    async def costs(self, key: FeatureKey, window_s: float) -> Sequence[ModelCost]:
        raise NotImplementedError

    async def errors(self, key: FeatureKey, window_s: float) -> Mapping[str, int]:
        raise NotImplementedError

    async def in_progress(self, keys: Collection[FeatureKey] | None) -> Mapping[FeatureKey, int]:
        raise NotImplementedError

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return


class FakeWebSocket:
    """What `serve_websocket` uses of a starlette WebSocket, without a network.

    Every frame must be read by the test (`next`), or be let through by `free`; `stuck` holds sends back.
    """

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {"type": "websocket", "extensions": {}}
        self.accepted = False
        self.closed: tuple[int, str] | None = None
        self.broken = False
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: asyncio.Queue[str] = asyncio.Queue()
        self._free = asyncio.Event()
        self._free.set()

    def stick(self) -> None:
        """Take nothing from now on."""
        self._free.clear()

    def unstick(self) -> None:
        self._free.set()

    def say(self, type_: str, **fields: Any) -> None:
        self.say_text(orjson.dumps({"type": type_, **fields}).decode())

    def say_text(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def next(self) -> Any:
        """Return the next frame that was sent, decoded."""
        async with asyncio.timeout(5):
            return orjson.loads(await self._sent.get())

    async def until(self, type_: str) -> Any:
        """Return the next message of a type, skipping others."""
        while True:
            message = await self.next()
            if message["type"] == type_:
                return message

    @property
    def unheard(self) -> int:
        """How many messages of the client were not read."""
        return self._incoming.qsize()

    def take(self, count: int | None = None) -> list[Any]:
        """Return the next frames that were sent, at most `count`."""
        size = self._sent.qsize()
        return [orjson.loads(self._sent.get_nowait()) for _ in range(size if count is None else min(count, size))]

    def waiting(self) -> list[Any]:
        """Return what was sent and not read yet."""
        return self.take()

    async def accept(self) -> None:
        self.accepted = True

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def send(self, message: Mapping[str, Any]) -> None:
        await self._free.wait()
        if self.broken:
            raise WebSocketDisconnect(1006)
        self._sent.put_nowait(message["text"])

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason or "")
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})


ALL = LogFilter()
