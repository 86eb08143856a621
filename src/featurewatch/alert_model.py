"""The values of alerting that travel: rules, what became of them, and alerts. Plain, immutable, free of I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from .model import FeatureKey, Level, Severity

Condition: TypeAlias = Literal["greater_than", "less_than", "equals"]
CONDITIONS: Final[tuple[Condition, ...]] = ("greater_than", "less_than", "equals")

SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
"""From the least to the most urgent."""

OnNoData: TypeAlias = Literal["ignore", "alert"]
ON_NO_DATA: Final[tuple[OnNoData, ...]] = ("ignore", "alert")

RuleKind: TypeAlias = Literal["metric", "logs", "slo"]
"""metric: a figure of `formulas.METRICS`; logs: how many lines; slo: the budget of a feature's objective burns."""

RuleOrigin: TypeAlias = Literal["api", "file", "import", "slo"]
"""Who keeps a rule: people by the API, a features.yml, a rule file that was imported, a feature's objective."""

LOG_ENTRIES: Final = "log_entries"
"""What the `metric` of a rule on logs is called."""

RULE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

CHANNEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CHANNEL_NAME_RULE: Final = "1 to 64 of letters, digits, '.', '_' and '-', the first a letter or digit"

DeploymentState: TypeAlias = Literal["saved", "written", "loaded", "evaluated", "failed"]
DEPLOYMENT_STATES: Final[tuple[DeploymentState, ...]] = ("saved", "written", "loaded", "evaluated", "failed")


@dataclass(frozen=True, slots=True)
class Deployment:
    """How far a rule got on its way to whoever evaluates it.

    Attributes:
        revision: of the rule that this is told of; below the rule's own, the newer one is still on its way.
        state: saved, written into a file, loaded by the server, evaluated by it at least once, or failed.
        error: why it failed, one line.
        at_ns: since when it is so, nanoseconds UTC.
    """

    revision: int
    state: DeploymentState
    error: str | None = None
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which lines a rule on logs counts, as `stores.base.LogFilter` means it; empty ones exclude nothing."""

    levels: tuple[Level, ...] = ()
    search: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows of an objective: it fires while both burn the budget `factor` times too fast."""

    factor: float
    long_minutes: int
    short_minutes: int


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A threshold on a figure of one feature.

    Attributes:
        id: stable for the rule's life, never used again; unique among all features.
        metric: a name of `formulas.METRICS`, or LOG_ENTRIES where `kind` is logs.
        threshold: in the metric's unit.
        cooldown_minutes: between two reminders of an alert that stays.
        channels: names of notification channels.
        window_minutes: what the figure is taken over.
        for_minutes: how long the condition has to hold before it fires.
        keep_firing_minutes: how long the alert stays after the condition ended.
        environment: None: each environment of the feature by itself.
        logs, burn: set where `kind` is logs or slo.
        revision: counts the edits; it is the ETag that If-Match compares.
    """

    id: str
    feature: str
    name: str
    metric: str
    condition: Condition
    threshold: float
    severity: Severity
    enabled: bool = True
    cooldown_minutes: int = 60
    channels: tuple[str, ...] = ()
    window_minutes: int = 5
    for_minutes: int = 1
    keep_firing_minutes: int = 0
    on_no_data: OnNoData = "ignore"
    environment: str | None = None
    kind: RuleKind = "metric"
    logs: LogSelection | None = None
    burn: Burn | None = None
    origin: RuleOrigin = "api"
    revision: int = 1
    created_ns: int = 0
    created_by: str = ""
    updated_ns: int = 0
    updated_by: str = ""
    deployment: Deployment | None = None


AlertStatus: TypeAlias = Literal["active", "acknowledged", "resolved"]
ALERT_STATUSES: Final[tuple[AlertStatus, ...]] = ("active", "acknowledged", "resolved")

ResolveReason: TypeAlias = Literal["recovered", "no_data", "rule_removed", "rule_changed", "manual", "unknown"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of a rule in one environment, from its firing to its end. Instants are nanoseconds UTC.

    Attributes:
        key: the feature and the environment; an episode is (rule_id, key), one open at a time.
        condition_active: whether the condition holds as far as is known, also where people closed the alert.
        metadata: trigger_value, threshold, condition, metrics_snapshot, and what else is worth showing.
    """

    id: str
    rule_id: str
    key: FeatureKey
    title: str
    message: str
    severity: Severity
    status: AlertStatus
    triggered_ns: int
    acknowledged_ns: int | None = None
    acknowledged_by: str | None = None
    resolved_ns: int | None = None
    resolved_by: str | None = None
    resolve_reason: ResolveReason | None = None
    condition_active: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody did, for the audit.

    Attributes:
        actor: the caller's name.
        action: a stable word: what was done to what, such as `rule.create` or `alert.acknowledge`.
        feature: whose it is; "" where it is no feature's, such as a channel.
        target: the id or name of what it was done to.
        details: what changed; never a secret.
        position: its place in the order of deeds, 0 before it is kept.
    """

    actor: str
    action: str
    feature: str
    target: str
    at_ns: int
    details: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0


ChannelKind: TypeAlias = Literal[
    "webhook", "email", "slack", "pagerduty", "opsgenie", "msteams", "discord", "telegram", "apprise"
]
CHANNEL_KINDS: Final[tuple[ChannelKind, ...]] = (
    "webhook", "email", "slack", "pagerduty", "opsgenie", "msteams", "discord", "telegram", "apprise",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Channel:
    """Where people are told of alerts.

    Attributes:
        settings: what its kind needs and is no secret.
        secrets: the settings that are secrets, by name, each with the file that keeps it; the text stands nowhere else.
        send_resolved: whether the end of an alert is told too.
        severities: only alerts of these are told; empty: all.
        revision: counts the edits; it is the ETag that If-Match compares.
    """

    name: str
    kind: ChannelKind
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    send_resolved: bool = True
    severities: tuple[Severity, ...] = ()
    revision: int = 1
    updated_ns: int = 0
    updated_by: str = ""
