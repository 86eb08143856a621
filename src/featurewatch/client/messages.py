"""What a stream says, as frozen dataclasses: one for each type, and `Message` for those yet unknown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from ..errors import BadInput
from ..times import parse_instant

__all__ = [
    "Alert", "AlertMessage", "AlertResolved", "AlertTriggered", "AlertUpdated", "Connected", "Disconnected", "Gap",
    "LogEntry", "LogHistory", "LogLine", "Message", "MetricsUpdate", "Refused", "StatusChange", "TestResult",
    "TransportChanged",
]  # fmt: skip

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of a feature's log. `timestamp` is as the bridge wrote it, with nanoseconds where it has them.

    `late`: it arrived more than ten seconds after its own time.
    """

    id: str
    feature: str
    timestamp: str
    level: str
    message: str
    source: str
    environment: str
    metadata: Mapping[str, Any]
    trace_id: str | None = None
    user_id: str | None = None
    late: bool = False

    @property
    def time(self) -> datetime:
        """When it was said, in UTC, to the microsecond."""
        return _time(self.timestamp)


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of an alert rule; what the rule was and measured is in `metadata`."""

    id: str
    feature: str
    title: str
    message: str
    severity: str
    status: str
    triggered_at: str
    rule_id: str | None = None
    environment: str | None = None
    acknowledged_at: str | None = None
    acknowledged_by: str | None = None
    resolved_at: str | None = None
    resolved_by: str | None = None
    resolve_reason: str | None = None
    condition_active: bool | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as the bridge sent it: the others add what is read from `data`.

    Attributes:
        type: the bridge's word, such as `metrics_update`, the same by either transport; or the client's own:
            `disconnected`, `transport_changed`.
        feature: what it is about; None where that is no single feature.
        data: the JSON, unread.
        timestamp: ISO 8601, "" where it has none.
        id: the position to resume from (`after=`), where the message has one.
    """

    type: str
    feature: str | None
    data: Any
    timestamp: str
    id: str | None = None

    @property
    def time(self) -> datetime | None:
        """When it happened, in UTC; None where it does not say."""
        return _time(self.timestamp) if self.timestamp else None

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """The lines that it brings: one, the many of a history, or none."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Message):
    """The stream is open, for the first time or again. `recovered`: what was missed since the last time follows."""

    recovered: bool
    features: tuple[str, ...]
    environments: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsUpdate(Message):
    """The figures of a feature now: percent, milliseconds, US dollars; None where one cannot be known."""

    environment: str
    metrics: Mapping[str, float | None]
    statuses: Mapping[str, str]
    health: str
    reasons: tuple[str, ...]
    alerts: tuple[Mapping[str, Any], ...]
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Message):
    """A line, as it came."""

    entry: LogEntry

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        return (self.entry,)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHistory(Message):
    """Lines from before: the last 50 at first; after a reconnect what was missed, in order of arrival."""

    lines: tuple[LogEntry, ...]

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        return self.lines


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange(Message):
    """How a feature does has changed."""

    before: str
    after: str
    reasons: tuple[str, ...]
    environment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult(Message):
    """The result of a test of a feature was published."""

    __test__: ClassVar[bool] = False

    name: str
    passed: bool
    duration_ms: float | None
    message: str | None
    environment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage(Message):
    """Something happened to an alert."""

    alert: Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTriggered(AlertMessage):
    """An alert fired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertUpdated(AlertMessage):
    """An alert was acknowledged, commented on, or its figures moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertResolved(AlertMessage):
    """An alert is over; `alert.resolve_reason` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Message):
    """Lines that the stream does not bring; `count` None: nobody knows how many. `GET /logs` may still have them."""

    reason: str
    count: int | None
    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Message):
    """The bridge could not do something that was asked on the stream; the stream goes on."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(Message):
    """The connection was lost or could not be made; the next attempt comes in so many seconds. From the client."""

    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportChanged(Message):
    """The stream goes on by another transport, `websocket` or `sse`. From the client."""

    transport: str
    reason: str


def _time(text: str) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=parse_instant(text) // 1000)
    except (BadInput, OverflowError):
        return _EPOCH
