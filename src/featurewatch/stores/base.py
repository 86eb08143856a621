"""What every store answers, embedded or over Prometheus and Loki. One suite of contract tests holds them to it.

All methods are coroutines and safe to run concurrently; none blocks the event loop. A method that is cancelled
stops its query. What fails raises `Unavailable` (cannot be reached, full, locked) or `UpstreamError` (answers
wrongly), never a driver's own exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from ..errors import OutOfRange
from ..model import (
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
)  # fmt: skip

Direction: TypeAlias = Literal["forward", "backward"]
LogListener: TypeAlias = Callable[[Sequence[StoredLog]], None]
GapListener: TypeAlias = Callable[[LogGap], None]
EventListener: TypeAlias = Callable[[Event], None]

LONGEST_SEARCH: Final = 1000
"""Characters."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines: all conditions must hold; an empty `levels`, `source` or `search` excludes nothing.

    `search` is found case-insensitively (Unicode) as a plain substring of message, source or metadata text.

    Raises:
        OutOfRange: the search text is too long.
    """

    levels: frozenset[Level] = frozenset()
    source: str = ""
    search: str = ""

    def __post_init__(self) -> None:
        if len(self.search) > LONGEST_SEARCH:
            raise OutOfRange(f"search: expected at most {LONGEST_SEARCH} characters, got {len(self.search)}")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """One page of one feature's log. `start_ns` is inclusive, `end_ns` exclusive.

    `direction` None: the newest `limit` of the range, oldest first, and the cursor leads to older ones.
    "backward": newest first, the cursor leads to older. "forward": oldest first, the cursor leads to newer.
    """

    key: FeatureKey
    filter: LogFilter = LogFilter()
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int = 1000
    cursor: str = ""
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page; `next_cursor` is None on the last one."""

    entries: tuple[StoredLog, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, newest first; `next_cursor` leads to older ones and is None on the last page."""

    events: tuple[Event, ...]
    next_cursor: str | None = None


class LogStore(Protocol):
    """Keeps lines and finds them again."""

    async def append(self, entries: Sequence[LogEntry]) -> int:
        """Keep the entries, all or none, and return once they are safe; how many were new is returned.

        An entry whose id its feature and environment already hold is not kept twice. Raises TooMany when the
        queue of writes is full, StoreFull when the disk is.
        """
        ...

    def listen(self, listener: LogListener, gaps: GapListener | None = None) -> Callable[[], None]:
        """Call `listener` on the event loop with each committed batch, in order of position; returns its end.

        Args:
            gaps: called in the same order with what exists and cannot be told.
        """
        ...

    def want(self, features: Collection[str] | None) -> None:
        """Say whose lines are followed now (None: everybody's), at each change and each minute; cheap.

        A store that does not hear of all lines by itself goes after these, and for at least 15 minutes more, so that
        who comes back finds what was missed.
        """
        ...

    async def query(self, query: LogQuery) -> LogPage: ...

    async def newest(self, key: FeatureKey, filter: LogFilter, limit: int) -> Sequence[StoredLog]:
        """Return the last lines of a feature that match, oldest first, such that live lines go on from there.

        A line that is told to the listeners later than at this call either has a greater position, or is not among
        these. Position 0: a line from before the store took note of the order of arrival.
        """
        ...

    async def around(self, entry_id: str, keys: Collection[FeatureKey] | None, count: int) -> LogPage | None:
        """Find an entry by id among `keys` (None: all) with `count` neighbours of its own log on either side."""
        ...

    def export(self, query: LogQuery) -> AsyncIterator[Sequence[LogEntry]]:
        """Yield all lines of the query's range oldest first, in chunks, at constant memory; limit is ignored."""
        ...

    async def counts(
        self, key: FeatureKey, filter: LogFilter, start_ns: int, end_ns: int, step_s: int
    ) -> Sequence[int]:
        """Count the lines that match in each step of (start, end], oldest first; a step includes its end."""
        ...

    async def since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[StoredLog]:
        """Return what arrived after `position`, in order of arrival, at most `limit`."""
        ...

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        """Tell in a word why not all lines of the features since a position are at hand; None where they are."""
        ...

    def gaps(self, position: int, keys: Collection[FeatureKey] | None) -> Sequence[LogGap]:
        """Return the gaps that were told after `position`, in their order."""
        ...

    async def last_position(self) -> int:
        """Return the position of the newest line, 0 where there is none."""
        ...

    async def keys(self) -> set[FeatureKey]:
        """Return every feature and environment that has lines."""
        ...

    async def ping(self) -> None:
        """Return when the store can answer and, where it is written to, keep; raise Unavailable when not."""
        ...

    async def close(self) -> None: ...


class MetricStore(Protocol):
    """Answers what the figures of features are and were."""

    async def keys(self) -> set[FeatureKey]:
        """Return every feature and environment that has series."""
        ...

    async def info(self) -> Mapping[FeatureKey, Mapping[str, str]]:
        """Return name, owner, version (feature_info) and budget_usd_per_day (where set) by feature."""
        ...

    async def measure(
        self, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        """Measure every metric of `formulas.METRICS` for the keys (None: all) over the window that ends now."""
        ...

    async def history(
        self, key: FeatureKey, metric: str, start_ms: int, end_ms: int, step_s: int
    ) -> Sequence[tuple[int, float | None]]:
        """Return a point for each step in [start, end], epoch ms; each figure covers the step before it.

        A step in which the figure cannot be known is None.
        """
        ...

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> Sequence[tuple[int, float | None]]:
        """Return a point for each whole minute in [start, end], epoch ms; each figure covers the window before it.

        What rules are judged by: a point is what `measure` would have said then. `window_s` is whole minutes.
        """
        ...

    async def costs(self, key: FeatureKey, window_s: float) -> Sequence[ModelCost]:
        """Return the cost by model within the window, dearest first."""
        ...

    async def errors(self, key: FeatureKey, window_s: float) -> Mapping[str, int]:
        """Return how many calls failed within the window by error_type, most frequent first; zeros are left out."""
        ...

    async def in_progress(self, keys: Collection[FeatureKey] | None) -> Mapping[FeatureKey, int]:
        """Return how many calls run now by feature (None: all); absent where nothing was heard for 5 minutes."""
        ...

    async def ping(self) -> None:
        """Return when the store can answer and, where it is written to, keep; raise Unavailable when not."""
        ...

    async def close(self) -> None: ...


class StateStore(Protocol):
    """Keeps what people declared and what happened: features, status changes, test results."""

    async def features(self) -> Mapping[str, FeatureRecord]:
        """Return every feature, declared or seen, by id."""
        ...

    async def save_feature(self, record: FeatureRecord, *, expected: int | None = None) -> FeatureRecord:
        """Store a declaration and return it with its new revision; StaleEdit where `expected` is not current."""
        ...

    async def delete_feature(self, feature: str) -> None:
        """Forget a feature, declared or seen; NotFound where it is neither. While it sends, it is listed again."""
        ...

    async def see(self, keys: Collection[FeatureKey], info: Mapping[FeatureKey, Mapping[str, str]]) -> None:
        """Note that features exist (their data arrived), with the name, owner and version they say they have."""
        ...

    async def record_event(
        self, key: FeatureKey, kind: EventKind, timestamp_ns: int, data: Mapping[str, Any], *, id: str | None = None
    ) -> Event:
        """Keep an event and tell the listeners once it is safe; an id seen before returns the first one, untold."""
        ...

    async def record_events(self, told: Sequence[Event]) -> Sequence[Event]:
        """Keep events, all or none, as `record_event` does; positions do not count, an empty id is replaced."""
        ...

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
        """Return events, newest first."""
        ...

    async def events_since(self, position: int, keys: Collection[FeatureKey] | None, limit: int) -> Sequence[Event]:
        """Return what happened after `position`, in order of position, at most `limit`."""
        ...

    async def last_event_position(self) -> int: ...

    def listen(self, listener: EventListener) -> Callable[[], None]:
        """Call `listener` on the event loop with each committed event, in order of position; returns its end."""
        ...

    async def ping(self) -> None:
        """Return when the store can answer and, where it is written to, keep; raise Unavailable when not."""
        ...

    async def close(self) -> None: ...
