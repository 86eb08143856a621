"""Features overview: all features at a glance, the one in trouble first."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, MatcherConfig

from featurewatch.families import BUDGET, COST, ERRORS
from featurewatch.formulas import METRICS

from . import happenings, kit, tables, variables
from . import links as to
from .queries import KEYS, current, figure, increase, or_zero, rate, recorded_calls, value, zero_by_bridge
from .shape import dashboard, with_rows

HEALTH: Final = "featurewatch_feature_health"
ALERT: Final = "featurewatch_alert_state"

_FIGURES: Final = {
    "uptime": "B", "error_rate": "C", "response_time_p95": "D", "requests_per_minute": "E", "total_cost": "F",
}  # fmt: skip
_COURSES: Final = {"requests_per_minute": "G", "error_rate": "H"}

_COLUMNS: Final = {
    "feature": "Feature", "environment": "Environment", "Value #A": "Health", "Value #B": "Uptime",
    "Value #C": "Error rate", "Value #D": "p95", "Value #E": "Calls a minute", "Value #F": "Cost",
    "Trend #G": "Calls", "Trend #H": "Errors",
}  # fmt: skip


def overview() -> Dashboard:
    """Make the dashboard."""
    made = dashboard(
        to.OVERVIEW,
        "Features overview",
        "Every AI feature: does it work, how fast, at what cost. The one in trouble stands first.",
        [variables.prometheus(), *variables.places(), variables.console()],
        happenings.of_features(),
    )
    return with_rows(made, {"At a glance": [*_glance(), _features(), _health()], "Side by side": _side_by_side()})


def _glance() -> list[kit.Built]:
    open_alerts = value(ALERT, f"{KEYS}, rule_id", how="max")
    troubled = f"count({value(HEALTH, KEYS, how='max')} >= 3)"
    return [
        kit.big(
            "Features", "Features that sent figures, by environment, counted once each.",
            [kit.query(or_zero(f"count({figure('total_requests')})"), "features")], unit="short", width=4,
        ),
        kit.big(
            "In error", "Features whose health is error: an urgent alert is open, or half of the calls fail.",
            [kit.query(zero_by_bridge(troubled), "in error")], unit="short", width=4, steps=kit.ZERO_IS_GOOD,
            no_data="The bridge is not scraped",
        ),
        kit.big(
            "Open alerts", "Alerts that are active or acknowledged.",
            [kit.query(zero_by_bridge(f"count({open_alerts} < 3)"), "alerts")],
            unit="short", width=4, steps=kit.ZERO_IS_GOOD, no_data="The bridge is not scraped",
        ),
        kit.big(
            "Calls", "Calls a minute, all features together.",
            [kit.query(current(f"sum({figure('requests_per_minute')})"), "calls")], unit="reqpm", width=4,
            no_data="No calls",
        ),
        kit.big(
            "Failed calls", "Failed among the calls that succeeded or failed, all features together, over 5 minutes.",
            [kit.query(current(_error_rate()), "failed")],
            unit="percent", width=4, steps=kit.marked(METRICS["error_rate"].mark), no_data="No calls",
        ),
        kit.big(
            "Cost, 24 hours", "What all calls of the last 24 hours cost, reported and estimated.",
            [kit.query(f"sum({increase(COST, KEYS, over='24h')})", "cost")],
            unit="currencyUSD", width=4, no_data="No priced calls",
        ),
    ]  # fmt: skip


def _error_rate() -> str:
    failed, decided = recorded_calls('outcome="error"'), recorded_calls('outcome=~"success|error"')
    return f"100 * sum({failed}) / (sum({decided}) > 0)"


def _features() -> kit.Built:
    marks = {name: kit.marked(METRICS[name].mark) for name in ("uptime", "error_rate")}
    slow = ((None, kit.GREEN), (5_000, kit.YELLOW), (10_000, kit.RED))
    spark = tables.column(custom_cellOptions={"type": "sparkline", "hideValue": True})
    return (
        tables.rows(
            "Features, the one in trouble first",
            "Health, uptime over 24 hours, error rate, 95th percentile, calls a minute and cost over 5 minutes, and "
            "the course of calls and errors. What cannot be known is empty. Click a feature for its dashboard.",
            [
                kit.instant(value(HEALTH, KEYS, how="max"), "A"),
                *(kit.instant(_unnamed(metric), ref) for metric, ref in _FIGURES.items()),
                *(kit.query(_unnamed(metric), to.NAME, ref) for metric, ref in _COURSES.items()),
            ],
            unit="short",
            height=11,
            links=to.ROW,
            no_data="No feature sends figures",
        )
        .with_transformation(_as_sparklines("G"))
        .with_transformation(_as_sparklines("H"))
        .with_transformation(tables.merged())
        .with_transformation(tables.arranged(_COLUMNS, hidden=("Time",)))
        .override_by_name("Health", tables.mapped(kit.HEALTH))
        .override_by_name("Uptime", tables.column("percent", marks["uptime"], decimals=2))
        .override_by_name("Error rate", tables.column("percent", marks["error_rate"], decimals=2))
        .override_by_name("p95", tables.column("ms", slow))
        .override_by_name("Calls a minute", tables.column("reqpm", decimals=1))
        .override_by_name("Cost", tables.column("currencyUSD", decimals=4))
        .override_by_name("Calls", [*spark, kit.fixed(kit.BLUE)])
        .override_by_name("Errors", [*spark, kit.fixed(kit.RED)])
        .sort_by([tables.worst_first("Health"), tables.worst_first("Error rate")])
    )


def _unnamed(metric: str) -> str:
    """Read a figure without its name: rows of two names would not become one."""
    return f"max by ({KEYS}) ({figure(metric)})"


def _as_sparklines(ref: str) -> DataTransformerConfig:
    """Fold each series of a query into one cell of a table; the tables of the others would be folded, too."""
    return DataTransformerConfig(
        id_val="timeSeriesTable",
        filter_val=MatcherConfig(id_val="byRefId", options=ref),
        options={ref: {"stat": "lastNotNull"}},
    )


def _side_by_side() -> list[kit.Built]:
    spent = increase(COST, KEYS, over="24h")
    kinds = rate(ERRORS, "feature, error_type")
    budget = value(BUDGET, KEYS, how="max")
    return [
        kit.graph(
            "Error rate", METRICS["error_rate"].help, [kit.query(figure("error_rate"), to.NAME)],
            unit="percent", steps=kit.marked(METRICS["error_rate"].mark), shown=True, links=to.SERIES,
        ),
        kit.graph(
            "95th percentile", METRICS["response_time_p95"].help, [kit.query(figure("response_time_p95"), to.NAME)],
            unit="ms", links=to.SERIES,
        ),
        kit.graph(
            "Calls by feature", METRICS["requests_per_minute"].help,
            [kit.query(figure("requests_per_minute"), to.NAME)], unit="reqpm", stacked=True, links=to.SERIES,
        ),
        kit.graph(
            "Cost an hour", "What calls cost at this pace, in US dollars an hour, reported and estimated.",
            [kit.query(f"{rate(COST, KEYS)} * 3600", to.NAME)], unit="currencyUSD", stacked=True, links=to.SERIES,
        ),
        kit.graph(
            "Kinds of errors", "Failed calls a minute, by kind of error: is it one cause or many?",
            [kit.query(or_zero(f"{kinds} * 60", "error_type"), "{{feature}} · {{error_type}}")],
            unit="reqpm", stacked=True, links=to.CHOSEN,
        ),
        kit.graph(
            "Budget used, 24 hours", "Cost of the last 24 hours against the budget of a day, where a feature has one.",
            [kit.query(or_zero(f"100 * {spent} / ({budget} > 0)", "feature"), to.NAME)],
            unit="percent", steps=((None, kit.GREEN), (80, kit.YELLOW), (100, kit.RED)), shown=True, links=to.SERIES,
            no_data="No feature has a budget",
        ),
    ]  # fmt: skip


def _health() -> kit.Built:
    return kit.states(
        "Health", "The health of each feature as the bridge judged it, over time.",
        [kit.query(value(HEALTH, KEYS, how="max"), to.NAME)], mappings=kit.HEALTH, links=to.SERIES,
        no_data="The bridge tells nothing: is it scraped?",
    )  # fmt: skip
