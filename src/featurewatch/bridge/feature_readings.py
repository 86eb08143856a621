"""What the bridge alone knows of each feature, for dashboards: its health, its objective, its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from ..alerts.history import History
from ..episode_model import Episode
from ..model import FeatureKey, HealthStatus
from ..snapshots import Snapshots
from ..streams.metric_poll import MetricPoll
from ..times import NS
from .meters import Told

__all__ = ["HEALTH", "feature_readings"]

HEALTH: Final[dict[HealthStatus, int]] = {"healthy": 0, "warning": 1, "unknown": 2, "error": 3}
"""The worse, the higher: what a dashboard sorts by."""

_Labels: TypeAlias = tuple[tuple[str, str], ...]

_HEALTH_HELP: Final = "Health at the last tick: 0 healthy, 1 warning, 2 unknown, 3 error."
_STATE_HELP: Final = "Alerts that are not over: 1 active, 2 acknowledged, 3 closed by people while the condition holds."


def feature_readings(poll: MetricPoll, snapshots: Snapshots, history: History) -> Iterator[Told]:
    """Yield the families; as many series as there are features in environments, objectives, and alerts not over."""
    yield (
        "featurewatch_feature_health", "gauge", _HEALTH_HELP,
        {_place(one.key): HEALTH[one.health] for one in poll.latest},
    )  # fmt: skip
    yield (
        "featurewatch_slo_objective_ratio", "gauge", "The share of calls that are to succeed, 0 to 1, over a window.",
        {
            (("feature", record.id), ("window", record.slo.window)): record.slo.objective / 100
            for record in snapshots.declared.values()
            if record.slo is not None
        },
    )  # fmt: skip
    alerts = [(_labels(episode), episode) for episode in history.unsettled]
    yield "featurewatch_alert_state", "gauge", _STATE_HELP, {labels: _state(episode) for labels, episode in alerts}
    yield (
        "featurewatch_alert_triggered_timestamp_seconds", "gauge", "When the alerts that are not over began.",
        {labels: episode.alert.triggered_ns / NS for labels, episode in alerts},
    )  # fmt: skip
    yield (
        "featurewatch_alert_changes_total", "counter", "What became of alerts: triggered, acknowledged, resolved.",
        {
            (*_place(key), ("severity", severity), ("change", change)): count
            for (key, severity, change), count in history.changed.items()
        },
    )  # fmt: skip


def _place(key: FeatureKey) -> _Labels:
    return ("feature", key.feature), ("environment", key.environment)


def _labels(episode: Episode) -> _Labels:
    alert = episode.alert
    return (*_place(alert.key), ("rule_id", alert.rule_id), ("alert", alert.title), ("severity", alert.severity))


def _state(episode: Episode) -> int:
    if not episode.open:
        return 3
    return 2 if episode.alert.status == "acknowledged" else 1
