"""Alerts: what is open, what was, and whether anybody was told."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import happenings, kit, tables, variables
from . import links as to
from .alert_panels import STATE, alert_table, alert_timeline
from .queries import KEYS, RANGE, RATE, SCOPE, gained, or_zero, value, zero_by_bridge, zero_while_bridge
from .shape import dashboard, with_rows

CHANGES: Final = "featurewatch_alert_changes_total"

_HISTORY_COLUMNS: Final = {
    "change": "Change", "Value": "Times", "severity": "Severity", "feature": "Feature", "environment": "Environment",
}  # fmt: skip
_CHANGE_COLORS: Final = {"triggered": kit.RED, "acknowledged": kit.ORANGE, "resolved": kit.GREEN}


def alerts() -> Dashboard:
    """Make the dashboard."""
    made = dashboard(
        to.ALERTS,
        "Alerts",
        "Alerts of features: active, acknowledged, what there was, and whether notifications arrive.",
        [variables.prometheus(), *variables.places(), variables.console()],
        happenings.of_features(),
    )
    return with_rows(
        made,
        {
            "Now": [*_now(), alert_table(10)],
            "Over time": [alert_timeline(), _by_severity(), _firing()],
            "History": [*_history(), _history_table(), _changes()],
            "Notifications by Alertmanager": _alertmanager(),
            "Notifications by the bridge, and what it hears": _bridge(),
        },
    )


def _now() -> list[kit.Built]:
    states = value(STATE, f"{KEYS}, rule_id, severity", how="max")
    red, orange = ((None, kit.GREEN), (1, kit.RED)), ((None, kit.GREEN), (1, kit.ORANGE))
    urgent = value(STATE, f"{KEYS}, rule_id, severity", how="max", more='severity=~"high|critical"')
    told: dict[str, tuple[str, str, kit.Steps]] = {
        "Active": ("Alerts that nobody has acknowledged.", f"count({states} == 1)", red),
        "Urgent": ("Of these, those of severity high or critical.", f"count({urgent} == 1)", red),
        "Acknowledged": ("Alerts that somebody works on.", f"count({states} == 2)", orange),
        "Closed by hand": ("Alerts that people closed while their condition holds.", f"count({states} == 3)", orange),
    }
    return [
        kit.big(
            title, description, [kit.query(zero_by_bridge(expr), title.lower())],
            unit="short", width=6, steps=steps, links=to.CHOSEN, no_data="The bridge is not scraped",
        )
        for title, (description, expr, steps) in told.items()
    ]  # fmt: skip


def _by_severity() -> kit.Built:
    expr = f"count by (severity) ({value(STATE, f'{KEYS}, rule_id, severity', how='max')} < 3)"
    return kit.coloured(
        kit.graph(
            "Open alerts by severity", "Active and acknowledged alerts.",
            [kit.query(zero_while_bridge(expr, "severity"), "{{severity}}")],
            unit="short", stacked=True, links=to.CHOSEN, no_data="The bridge is not scraped",
        ),
        kit.SEVERITIES,
    )  # fmt: skip


def _firing() -> kit.Built:
    firing = f'count by (feature, alertname) (ALERTS{{alertstate="firing", {SCOPE}}})'
    return kit.graph(
        "Rules that fire in Prometheus",
        "Firing rules as Prometheus has them. One that is here and not among the alerts was not told to the bridge.",
        [kit.query(or_zero(firing, "alertname"), "{{feature}} · {{alertname}}")],
        unit="short", stacked=True, links=to.CHOSEN, no_data="No rule fires",
    )  # fmt: skip


def _history() -> list[kit.Built]:
    told = {
        "triggered": ("Triggered", "Alerts that began in this time.", kit.NEUTRAL),
        "acknowledged": ("Acknowledged in this time", "Alerts that somebody took.", kit.NEUTRAL),
        "resolved": ("Resolved", "Alerts that ended in this time.", kit.NEUTRAL),
    }
    return [
        kit.big(
            title, description,
            [kit.instant(zero_by_bridge(gained(CHANGES, "change", over=RANGE, more=f'change="{change}"')))],
            unit="short", width=8, steps=steps, links=to.CHOSEN, no_data="The bridge is not scraped",
        )
        for change, (title, description, steps) in told.items()
    ]  # fmt: skip


def _history_table() -> kit.Built:
    counted = gained(CHANGES, f"{KEYS}, severity, change", over=RANGE)
    return (
        tables.rows(
            "What became of alerts",
            "How often alerts of each feature were triggered, acknowledged and resolved in this time. Each alert with "
            "its figures, comments and deliveries is in the console.",
            [kit.instant(or_zero(counted))],
            unit="short", width=12, links=to.ROW, no_data="No alert in this time is known",
        )
        .with_transformation(tables.arranged(_HISTORY_COLUMNS, hidden=("Time",)))
        .with_transformation(tables.above_zero("Times"))
        .override_by_name("Change", tables.worded(_CHANGE_COLORS))
        .override_by_name("Severity", tables.worded(kit.SEVERITIES))
        .override_by_name("Times", tables.column("short", custom_width=100))
        .sort_by([tables.worst_first("Times")])
    )  # fmt: skip


def _changes() -> kit.Built:
    return kit.coloured(
        kit.graph(
            "Alerts that began, were taken, and ended", "How many alerts changed, over time.",
            [kit.query(or_zero(gained(CHANGES, "change"), "change"), "{{change}}")],
            unit="short", bars=True, every="1m", stacked=True, links=to.CHOSEN, no_data="No alert in this time",
        ),
        _CHANGE_COLORS,
    )  # fmt: skip


def _alertmanager() -> list[kit.Built]:
    def per_minute(name: str) -> str:
        """Read how many there were, for the kinds of which there was one in this time: of most there never is any."""
        used = f"sum by (integration) (increase({name}[{RANGE}])) > 0"
        return or_zero(f"sum by (integration) (rate({name}[{RATE}])) * 60 and {used}", "integration")

    sent = per_minute("alertmanager_notifications_total")
    failed = per_minute("alertmanager_notifications_failed_total")
    seconds = f"sum by (le) (rate(alertmanager_notification_latency_seconds_bucket[{RATE}]))"
    lost = " + ".join(
        f"sum(rate(prometheus_notifications_{name}_total[{RATE}])) * 60" for name in ("dropped", "errors")
    )
    missing = "Alertmanager is not scraped"
    return [
        kit.graph(
            "Sent", "Notifications a minute that Alertmanager sent, by kind of receiver.",
            [kit.query(sent, "{{integration}}")],
            unit="short", width=6, no_data=missing,
        ),
        kit.graph(
            "Failed", "Notifications a minute that a receiver did not take: look at its address and its credentials.",
            [kit.query(failed, "{{integration}}")],
            unit="short", width=6, steps=((None, kit.GREEN), (0.01, kit.RED)), no_data=missing,
        ),
        kit.graph(
            "How long sending takes", "The 95th percentile, all receivers together.",
            [kit.query(or_zero(f"histogram_quantile(0.95, {seconds}) >= 0"), "p95")],
            unit="s", width=6, steps=((None, kit.GREEN), (5, kit.YELLOW), (30, kit.RED)), no_data=missing,
        ),
        kit.graph(
            "Lost before Alertmanager", "Alerts a minute that Prometheus could not deliver to Alertmanager.",
            [kit.query(or_zero(lost), "lost")],
            unit="short", width=6, steps=((None, kit.GREEN), (0.01, kit.RED)),
            no_data="Prometheus does not scrape itself",
        ),
    ]  # fmt: skip


def _bridge() -> list[kit.Built]:
    def per_minute(name: str, by: str) -> str:
        return or_zero(f"sum by ({by}) (rate({name}[{RATE}])) * 60", by)

    return [
        kit.graph(
            "Sent by the bridge", "Notifications a minute that channels took, where no Alertmanager notifies.",
            [kit.query(per_minute("featurewatch_notifications_sent_total", "channel"), "{{channel}}")],
            unit="short", width=8,
        ),
        kit.graph(
            "Given up or dropped", "Notifications a minute given up after all tries, or dropped since too many waited.",
            [
                kit.query(per_minute("featurewatch_notifications_failed_total", "channel"), "{{channel}}", "A"),
                kit.query(or_zero(f"sum(rate(featurewatch_notifications_dropped_total[{RATE}])) * 60"), "dropped", "B"),
            ],
            unit="short", width=8, steps=((None, kit.GREEN), (0.01, kit.RED)),
        ),
        kit.graph(
            "Heard of alerts", "Signals a minute by where they came from: without webhooks, alerts are heard of late.",
            [kit.query(per_minute("featurewatch_alert_signals_total", "source"), "{{source}}")], unit="short", width=8,
        ),
    ]  # fmt: skip
