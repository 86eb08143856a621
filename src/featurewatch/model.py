"""The values that travel: plain, immutable, free of I/O and frameworks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Level: TypeAlias = Literal["debug", "info", "warn", "error", "fatal"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warn", "error", "fatal")

Outcome: TypeAlias = Literal["success", "error", "cancelled"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("success", "error", "cancelled")

HealthStatus: TypeAlias = Literal["healthy", "warning", "error", "unknown"]
FigureStatus: TypeAlias = Literal["good", "warning", "error", "unknown"]
Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
Role: TypeAlias = Literal["viewer", "operator", "editor", "ingest", "admin"]

FEATURE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FEATURE_ID_RULE: Final = "1 to 64 of letters, digits, '.', '_' and '-', the first a letter or digit"
ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
ENVIRONMENT_RULE: Final = "1 to 32 of letters, digits, '.', '_' and '-', the first a letter or digit"


class FeatureKey(NamedTuple):
    """What every series, line and alert belongs to. Environments are never mixed."""

    feature: str
    environment: str


def choose_environment(available: set[str] | frozenset[str]) -> str | None:
    """Choose the environment that an unspecific request means: production, else staging, else what there is."""
    for preferred in ("production", "staging"):
        if preferred in available:
            return preferred
    return min(available, default=None)


class LogEntry(NamedTuple):
    """One line of a feature's log.

    A tuple rather than a dataclass: 50,000 of them a second are made on the way in, and a tuple costs a third.

    Attributes:
        timestamp_ns: nanoseconds since the epoch, UTC.
        metadata: the user's own fields as the text of one JSON object, or None where there are none. It stays
            text from the app to the screen, so that nothing on the way renames, reorders or re-encodes it.
    """

    id: str
    feature: str
    environment: str
    timestamp_ns: int
    level: Level
    message: str
    source: str = "app"
    metadata: str | None = None
    trace_id: str | None = None
    user_id: str | None = None

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.feature, self.environment)


class StoredLog(NamedTuple):
    """A log entry with the place it took in the order of arrival (greater is later, never reused)."""

    position: int
    entry: LogEntry


@dataclass(frozen=True, slots=True)
class LogGap:
    """Lines that exist and that nobody is told of, since they could not be had.

    Attributes:
        position: its place in the order of arrival: that of the last line before it.
        feature: None: of any. So `environment`.
        count: how many lines; None: nobody knows.
        from_ns: the timestamps lie between this and `to_ns`.
    """

    position: int
    feature: str | None
    environment: str | None
    reason: str
    count: int | None
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a feature must keep to be healthy; one missed is a warning. Units as in `formulas.METRICS`."""

    uptime: float = 99.0
    error_rate: float = 5.0
    response_time_p95: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective: `objective` percent of calls succeed over `window` (a duration such as 30d).

    Attributes:
        channels: names of the notification channels that hear when its budget burns too fast.
        cooldown_minutes: between two reminders of that.
    """

    objective: float
    window: str = "30d"
    channels: tuple[str, ...] = ()
    cooldown_minutes: int = 60


@dataclass(frozen=True, slots=True)
class FeatureRecord:
    """What is known of a feature besides its figures. Listed once declared or seen.

    Attributes:
        revision: counts the edits; it is the ETag that If-Match compares.
        environments: where the feature was seen or declared.
    """

    id: str
    name: str
    description: str = ""
    owner: str = ""
    version: str = ""
    organization_id: str | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    slo: Slo | None = None
    environments: frozenset[str] = frozenset()
    revision: int = 1
    declared: bool = False


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """An open alert as a snapshot carries it. `timestamp` is when it fired, nanoseconds UTC."""

    type: str
    message: str
    severity: Severity
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one feature in one environment over one window, by metric name; None is "cannot be known"."""

    key: FeatureKey
    timestamp_ns: int
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """A measurement judged: what the wire shows as `metrics_update` and `/metrics/current`."""

    key: FeatureKey
    timestamp_ns: int
    metrics: Mapping[str, float | None]
    statuses: Mapping[str, FigureStatus]
    health: HealthStatus
    reasons: tuple[str, ...] = ()
    alerts: tuple[AlertSummary, ...] = ()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What one model cost within a window: US dollars by source, tokens by kind, calls that had no price."""

    model: str
    cost_usd: float
    reported_usd: float
    estimated_usd: float
    tokens: Mapping[str, int]
    unpriced_requests: int


@dataclass(frozen=True, slots=True)
class CallReport:
    """One finished call told to `POST /features/{id}/requests`. Durations in seconds, cost in US dollars."""

    id: str | None
    timestamp_ns: int
    outcome: Outcome
    duration_s: float
    error_type: str | None = None
    time_to_first_token_s: float | None = None
    model: str | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None


class Sample(NamedTuple):
    """One point of a series as OTLP brings it: cumulative since `start_ns`, or a gauge's value now.

    A tuple, since every push brings some 15 of them for each feature.

    Attributes:
        family: a name of `families.FAMILIES`.
        labels: the family's own labels, in its order.
        instance: which process says so; distinct for processes that count side by side.
        start_ns: when the count began, 0 where that is not told.
        value: a counter's total, a gauge's value, or the sum of what a histogram observed.
        counts: a histogram's observations per bucket of `families.BUCKETS` (not cumulative), the last one above
            the highest bound; empty for the others.
    """

    family: str
    key: FeatureKey
    labels: tuple[str, ...]
    instance: str
    start_ns: int
    time_ns: int
    value: float
    counts: tuple[int, ...] = ()


EventKind: TypeAlias = Literal["status_change", "test_result", "alert"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a feature; `data` is what the wire shows. `position` is its place in arrival order."""

    position: int
    id: str
    key: FeatureKey
    kind: EventKind
    timestamp_ns: int
    data: Mapping[str, Any]
