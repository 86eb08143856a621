"""Panels of alerts, which several dashboards show."""

from __future__ import annotations

from typing import Final

from . import kit
from . import links as to
from .queries import KEYS, or_zero, value

STATE: Final = "featurewatch_alert_state"
SINCE: Final = "featurewatch_alert_triggered_timestamp_seconds"

_LABELS: Final = f"{KEYS}, alert, severity, rule_id"
_COLUMNS: Final = {
    "Value #A": "State", "feature": "feature", "environment": "environment", "alert": "Alert", "severity": "Severity",
    "Value #B": "Since", "rule_id": "Rule",
}  # fmt: skip


def alert_table(height: int = 8) -> kit.Built:
    """List the alerts that are not over."""
    severities = {"options": {name: {"text": name, "color": color} for name, color in kit.SEVERITIES.items()}}
    return (
        kit.rows(
            "Alerts that are not over",
            "Active and acknowledged alerts, and those that people closed while their condition holds.",
            [
                kit.instant(or_zero(value(STATE, _LABELS, how="max")), "A"),
                kit.instant(or_zero(f"1000 * {value(SINCE, _LABELS, how='max')}"), "B"),
            ],
            unit="none",
            height=height,
            links=to.ROW,
            no_data="No alert is open",
        )
        .with_transformation(kit.merged())
        .with_transformation(kit.arranged(_COLUMNS, hidden=("Time",)))
        .with_transformation(kit.above_zero("State"))
        .override_by_name("State", kit.mapped(kit.ALERT_STATES))
        .override_by_name("Severity", kit.column(mappings=[{"type": "value", **severities}]))
        .override_by_name("Since", kit.column("dateTimeFromNow"))
        .sort_by([kit.worst_first("Since")])
    )


def alert_timeline(height: int = 8) -> kit.Built:
    """Draw how long each alert was active and acknowledged."""
    states = or_zero(value(STATE, f"{KEYS}, alert", how="max"), "alert")
    return kit.states(
        "Alerts over time", "When each alert was active, acknowledged, or closed while its condition held.",
        [kit.query(states, "{{feature}} · {{environment}} · {{alert}}")],
        mappings=kit.ALERT_STATES, links=to.SERIES, height=height, no_data="No alert in this time",
    )  # fmt: skip
