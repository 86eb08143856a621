"""The values of alerting that travel: rules, what became of them, and alerts. Plain, immutable, free of I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

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


Change: TypeAlias = Literal["triggered", "updated", "resolved"]


class Place(NamedTuple):
    """What an episode is one of."""

    rule_id: str
    key: FeatureKey


@dataclass(frozen=True, slots=True)
class Instance:
    """One fingerprint of an episode: when it fired and ended (None while it fires), and its labels."""

    starts_ns: int
    ends_ns: int | None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hold:
    """The silence that stands for an episode in Alertmanager, so that nobody is notified of it.

    Attributes:
        silence: its id there, "" while it has none.
        ends_ns: when it ends there if nothing extends it.
        until_ns: when people wanted it to end; None: with the episode.
        by, comment: who asked for it, and why.
    """

    silence: str = ""
    ends_ns: int = 0
    until_ns: int | None = None
    by: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert, and what stands behind it: its instances by fingerprint, and the silence that was asked for."""

    alert: Alert
    instances: Mapping[str, Instance]
    hold: Hold | None = None

    @property
    def place(self) -> Place:
        return Place(self.alert.rule_id, self.alert.key)

    @property
    def open(self) -> bool:
        return self.alert.status != "resolved"

    @property
    def held(self) -> bool:
        """Whether people closed it while its condition holds: it stays silenced until that clears."""
        return not self.open and self.alert.condition_active


class Step(NamedTuple):
    """What something made of an episode, and what that is to those who watch; no changes: nothing to tell."""

    episode: Episode
    changes: tuple[Change, ...]


RemarkKind: TypeAlias = Literal["comment", "delivery", "action"]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something told of an episode besides its state: a comment, a delivery that was seen, what people did.

    Attributes:
        author: who said it; of a delivery, the receiver.
        position: its place in the order of remarks, 0 before it is kept.
    """

    alert_id: str
    kind: RemarkKind
    at_ns: int
    author: str
    text: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A time in which nobody is notified of a feature's alerts; `environment` None: in all of its environments.

    Attributes:
        silence: its id in Alertmanager, "" where there is none.
    """

    id: str
    feature: str
    environment: str | None
    starts_ns: int
    ends_ns: int
    comment: str
    created_by: str
    silence: str = ""
