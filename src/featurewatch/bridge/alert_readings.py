"""What alerting counts of itself, for /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .alerting import Alerting
from .meters import Labelled, Told

__all__ = ["alert_readings"]


def alert_readings(alerting: Alerting) -> Iterator[Told]:
    """Yield the families; those of a notifier or a watch only where there is one."""
    history, evaluator = alerting.history, alerting.evaluator.stats
    states = Counter(episode.alert.status if episode.open else "closed" for episode in history.unsettled)
    yield (
        "featurewatch_alerts", "gauge", "Alerts that are open, or closed by people while their condition holds.",
        _by("status", {"active": 0, "acknowledged": 0, "closed": 0, **states}),
    )  # fmt: skip
    yield "featurewatch_alert_signals_total", "counter", "What was heard of alerts.", _by("source", history.heard)
    name, help_ = "featurewatch_alert_signals_ignored_total", "Alerts in webhooks that are no feature's."
    yield name, "counter", help_, {(): history.ignored}
    yield "featurewatch_evaluator_rules", "gauge", "Rules that the bridge evaluates itself.", {(): evaluator.rules}
    yield "featurewatch_evaluator_rounds_total", "counter", "Rounds of evaluation.", {(): evaluator.rounds}
    yield "featurewatch_evaluator_failures_total", "counter", "Rounds that failed.", {(): evaluator.failures}
    name, help_ = "featurewatch_evaluator_last_seconds", "How long the last round took."
    yield name, "gauge", help_, {(): evaluator.last_seconds}
    if alerting.watch is not None:
        watch = alerting.watch.stats
        yield "featurewatch_alertmanager_polls_total", "counter", "Looks at Alertmanager.", {(): watch.polls}
        name, help_ = "featurewatch_alertmanager_poll_failures_total", "Looks at Alertmanager that failed."
        yield name, "counter", help_, {(): watch.failures}
        name, help_ = "featurewatch_alertmanager_poll_found_total", "Alerts that a poll told and no webhook had."
        yield name, "counter", help_, {(): watch.found}
        name, help_ = "featurewatch_silences_left_total", "Silences that were left to end by themselves."
        yield name, "counter", help_, {(): watch.dropped_endings}
    if alerting.notifier is not None:
        notifier = alerting.notifier
        sent, failed = _by("channel", notifier.stats.sent), _by("channel", notifier.stats.failed)
        yield "featurewatch_notifications_sent_total", "counter", "Notifications that a channel took.", sent
        yield "featurewatch_notifications_failed_total", "counter", "Notifications that were given up.", failed
        name, help_ = "featurewatch_notifications_dropped_total", "Notifications dropped since too many waited."
        yield name, "counter", help_, {(): notifier.stats.dropped}
        yield "featurewatch_notifications_queued", "gauge", "Notifications that wait.", {(): notifier.queued}


def _by(label: str, counts: Mapping[str, int]) -> Labelled:
    return {((label, name),): count for name, count in counts.items()}
