"""Panels of alerts, which several dashboards show."""

from __future__ import annotations

from typing import Final

from . import kit, tables
from . import links as to
from .queries import BRIDGE, KEYS, value, zero_while_bridge

STATE: Final = "featurewatch_alert_state"
SINCE: Final = "featurewatch_alert_triggered_timestamp_seconds"

_LABELS: Final = f"{KEYS}, alert, severity, rule_id"
_COLUMNS: Final = {
    "Value #A": "State", "severity": "Severity", "feature": "Feature", "environment": "Environment", "alert": "Alert",
    "Value #B": "Since",
}  # fmt: skip


def alert_table(height: int = 8) -> kit.Built:
    """List the alerts that are not over."""
    or_unknown = f"{value(STATE, _LABELS, how='max')} or on () 0 * count({BRIDGE})"
    return (
        tables.rows(
            "Alerts that are not over",
            "Active, then acknowledged alerts, then those that people closed while their condition holds; the newest "
            "of each first. Unknown: the bridge is not scraped.",
            [
                kit.instant(f"{or_unknown} or on () vector(-1)", "A"),
                kit.instant(f"1000 * {value(SINCE, _LABELS, how='max')}", "B"),
            ],
            unit="none",
            height=height,
            links=to.ROW,
            no_data="No alert is open",
        )
        .with_transformation(tables.merged())
        .with_transformation(tables.arranged(_COLUMNS, hidden=("Time", "rule_id")))
        .with_transformation(tables.other_than("State", 0))
        .override_by_name("State", tables.mapped(kit.ALERT_STATES))
        .override_by_name("Severity", tables.worded(kit.SEVERITIES))
        .override_by_name("Since", tables.column("dateTimeFromNow", custom_width=180))
        .sort_by([tables.worst_first("State", least=True), tables.worst_first("Since")])
    )


def alert_timeline(height: int = 8) -> kit.Built:
    """Draw how long each alert was active and acknowledged."""
    states = zero_while_bridge(value(STATE, f"{KEYS}, alert", how="max"), "alert")
    return kit.states(
        "Alerts over time", "When each alert was active, acknowledged, or closed while its condition held.",
        [kit.query(states, "{{feature}} · {{environment}} · {{alert}}")],
        mappings=kit.ALERT_STATES, links=to.SERIES, height=height,
        no_data="The bridge is not scraped",
    )  # fmt: skip
