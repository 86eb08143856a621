"""featurewatch itself, now: is the bridge well, was anything lost, and what did the doctor find?"""

from __future__ import annotations

from typing import Final

from featurewatch.families import DROPPED

from . import kit, tables
from .bridge_queries import SCOPE, TICKS, here, lost, of, rate
from .queries import BRIDGE, KEYS, RANGE, RATE, gained, or_zero, zero_by_bridge

FINDINGS: Final = "featurewatch_doctor_findings"
LAST_RUN: Final = "featurewatch_doctor_last_run_timestamp_seconds"

_AWAY: Final = "The bridge is not scraped"
_BAD: Final[kit.Steps] = ((None, kit.GREEN), (0.001, kit.YELLOW))
_LOST: Final[kit.Steps] = ((None, kit.GREEN), (1, kit.YELLOW))
_NOT_RUN: Final = (
    "The doctor has not run, or the bridge is not scraped: it looks a minute after the bridge's start, unless "
    "FEATUREWATCH_DOCTOR_INTERVAL is 0. By hand: featurewatch doctor"
)
_COLUMNS: Final = {"severity": "Severity", "check": "Check", "Value #A": "Findings", "Value #B": "Looked at"}
_SEVERITIES: Final = {"error": kit.RED, "warning": kit.YELLOW, "well": kit.GREEN}


def now() -> list[kit.Built]:
    """Make the panels that are seen without opening a row."""
    return [*_life(), *_losses(), _doctor()]


def _life() -> list[kit.Built]:
    slow = ((None, kit.GREEN), (1, kit.YELLOW), (5, kit.RED))
    return [
        kit.big(
            "Bridges", "Bridges that answer Prometheus.",
            [kit.query(or_zero(f"count({TICKS}{{{SCOPE}}})"), "bridges")],
            unit="short", width=4, steps=((None, kit.RED), (1, kit.GREEN)),
        ),
        kit.big(
            "Slowest tick", "How long it took to measure all features once: the longest of the last minute or so.",
            [kit.query(here(f"max(max_over_time({BRIDGE}{{{SCOPE}}}[{RATE}]))"), "tick")],
            unit="s", width=4, steps=slow, no_data=_AWAY,
        ),
        kit.big(
            "Failed ticks", "Ticks a minute that failed or showed stale figures: a store does not answer.",
            [kit.query(here(rate("featurewatch_poll_failures_total", a=60)), "failed")],
            unit="short", width=4, steps=_BAD, no_data=_AWAY,
        ),
        kit.big(
            "Figures are recorded", "Yes where figures are read as Prometheus's recording rules left them.",
            [kit.query(here(of("featurewatch_metric_store_recorded", how="max")), "recorded")],
            unit="none", width=4, course=False, mappings={0: ("no", kit.BLUE), 1: ("yes", kit.GREEN)}, no_data=_AWAY,
        ),
        kit.big(
            "Open streams", "WebSockets and event streams that are open.",
            [kit.query(here(of("featurewatch_streams_open")), "streams")], unit="short", width=4, no_data=_AWAY,
        ),
        kit.big(
            "Features", "Features that the bridge measures, by environment.",
            [kit.query(zero_by_bridge(f"count(max by ({KEYS}) (featurewatch_feature_health))"), "features")],
            unit="short", width=4, no_data=_AWAY,
        ),
    ]  # fmt: skip


def _losses() -> list[kit.Built]:
    """Count over the time that is shown what should not be: where one is not 0, its row below says more."""
    told = {
        "Refused at the door": (
            "What the bridge did not take in, in this time. See the row: What comes in.",
            lost("featurewatch_refused_total"),
        ),
        "Lines lost to clients": (
            "Lines that slow clients did not get, in this time. See the row: Streams.",
            lost("featurewatch_streams_dropped_lines_total"),
        ),
        "Lost in apps": (
            "What exporters could not keep, in this time. See the row: What waits and what is lost.",
            kit.instant(or_zero(gained(DROPPED.name, "", over=RANGE, scope=""))),
        ),
        "Failed questions": (
            "Requests to Prometheus, Loki and Alertmanager that failed, in this time. See the row: Queries.",
            lost("featurewatch_upstream_failures_total"),
        ),
    }
    counted: list[kit.Built] = [
        kit.big(title, description, [asked], unit="short", width=4, steps=_LOST, no_data=_AWAY)
        for title, (description, asked) in told.items()
    ]
    return [
        *counted,
        kit.big(
            "Not live as edited", "Rules whose last edit is not live: it was refused, and the edition before it holds.",
            [kit.query(here(of("featurewatch_publisher_refused")), "refused")],
            unit="short", width=4, steps=kit.ZERO_IS_GOOD, no_data=_AWAY,
        ),
        kit.big(
            "Recording rules",
            "Groups of recording rules that run in Prometheus: without all three of prometheus/rules/featurewatch.yml "
            "most figures are empty.",
            [kit.query(or_zero("count(count by (group) (featurewatch:rules:info))"), "groups")],
            unit="short", width=4, steps=((None, kit.RED), (3, kit.GREEN)),
        ),
    ]  # fmt: skip


def _doctor() -> kit.Built:
    """List what is wrong by the doctor, or that nothing is; without a look there is no row, and the panel says why."""
    ran = f"max({LAST_RUN}{{{SCOPE}}})"
    wrong = of(FINDINGS, "check, severity", how="max") + " > 0"
    well = f'label_replace(label_replace(0 * {ran}, "severity", "well", "", ""), "check", "nothing is wrong", "", "")'
    found = f"({wrong} or on () {well})"
    looked = f"{found} * 0 + on () group_left () (1000 * {ran})"
    return (
        tables.rows(
            "What the doctor found",
            "What is wrong with the installation, by check, and when the bridge last looked. What was found and what "
            "to do about it: featurewatch doctor, or /readyz?verbose of the bridge.",
            [kit.instant(f"{found} or on () vector(-1)", "A"), kit.instant(or_zero(looked), "B")],
            unit="short",
            height=6,
            no_data=_NOT_RUN,
        )
        .filterable(False)
        .with_transformation(tables.merged())
        .with_transformation(tables.arranged(_COLUMNS, hidden=("Time",)))
        .with_transformation(tables.at_least("Findings", 0))
        .override_by_name("Severity", tables.worded(_SEVERITIES))
        .override_by_name("Findings", tables.column("short", custom_width=100))
        .override_by_name("Looked at", tables.column("dateTimeFromNow", custom_width=180))
        .sort_by([tables.worst_first("Severity", least=True), tables.worst_first("Findings")])
    )
