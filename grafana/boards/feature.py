"""Feature: one feature, or some, from what it is like now to its lines."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from featurewatch.families import (
    BUDGET,
    COST,
    DURATION,
    ERRORS,
    FIRST_TOKEN,
    IN_PROGRESS,
    REQUESTS,
    TOKENS,
    UNPRICED,
)
from featurewatch.formulas import METRICS

from . import happenings, kit, logql, tables, variables
from . import links as to
from .alert_panels import alert_table, alert_timeline
from .queries import KEYS, SCOPE, current, figure, increase, or_zero, rate, value
from .shape import dashboard, with_rows

OBJECTIVE: Final = "featurewatch_slo_objective_ratio"
OBJECTIVE_WINDOWS: Final = ("30d", "28d", "7d", "1d", "90d")

_LARGE: Final = {
    "uptime": ("Uptime", 3), "success_rate": ("Success rate", 3), "error_rate": ("Error rate", 3),
    "response_time": ("Response time", 3), "response_time_p95": ("p95", 3),
    "requests_per_minute": ("Calls a minute", 3),
    "response_time_p50": ("p50", 3), "response_time_p99": ("p99", 3),
    "time_to_first_token_p95": ("First token, p95", 4), "total_requests": ("Calls", 3),
    "tokens_per_request": ("Tokens of a call", 4), "cost_per_request": ("Cost of a call", 4), "total_cost": ("Cost", 3),
}  # fmt: skip
"""The figures that are shown large, and how wide: two rows, the first of which begins with the health."""

_SUMMED: Final = frozenset({"requests_per_minute", "total_requests", "total_cost"})
"""Figures of several features that add up; of the others the worst one counts."""

_COLUMNS: Final = {
    "uptime": "Uptime", "success_rate": "Success", "error_rate": "Errors", "response_time": "Mean",
    "response_time_p50": "p50", "response_time_p95": "p95", "response_time_p99": "p99",
    "time_to_first_token_p95": "First token", "requests_per_minute": "Calls/min", "total_requests": "Calls",
    "tokens_per_request": "Tokens/call", "cost_per_request": "Cost/call", "total_cost": "Cost",
}  # fmt: skip
"""All figures, and how short their columns are called: 15 columns fit a screen of 1,600 pixels."""

_OUTCOMES: Final = {"success": kit.GREEN, "error": kit.RED, "cancelled": kit.YELLOW}


def feature() -> Dashboard:
    """Make the dashboard."""
    made = dashboard(
        to.FEATURE,
        "Feature",
        "One feature, or some: what it is like now, calls, latency, tokens and cost, its objective, alerts and lines.",
        [
            variables.prometheus(),
            variables.loki(),
            *variables.places(),
            variables.window(OBJECTIVE_WINDOWS),
            variables.console(),
        ],
        happenings.of_features(),
    )
    return with_rows(
        made,
        {
            "Now": [*_now(), _figures(), alert_table(6)],
            "Calls": _calls(),
            "Latency": _latency(),
            "Objective": _objective(),
            "Tokens and cost": _cost(),
            "Alerts over time": [alert_timeline()],
            "Lines": [logql.volume_by_level(logql.PLACE), logql.lines_panel(logql.PLACE, height=14)],
        },
    )


def _now() -> list[kit.Built]:
    """Show each figure large, of several features the worst: seven numbers in one panel are too small to be read."""
    health = "max by (" + KEYS + ") (featurewatch_feature_health{" + SCOPE + "}%s)"
    return [
        kit.big(
            "Worst health", "As the bridge judges it: by the feature's thresholds, and by its open alerts.",
            [kit.query(f"{health % ''} and on ({KEYS}) topk(1, {health % ' @ end()'})", to.NAME)],
            unit="none", width=6, course=False, named=True, mappings=kit.HEALTH, links=to.SERIES,
            no_data="The bridge tells nothing: is it scraped?",
        ),
        *(_large(name, title, width) for name, (title, width) in _LARGE.items()),
    ]  # fmt: skip


def _large(name: str, title: str, width: int) -> kit.Built:
    row = METRICS[name]
    over = "" if name == "uptime" else " Over 5 minutes."
    if name in _SUMMED:
        expr, of_several = current(f"sum({figure(name)})"), "their sum"
    else:
        least = row.mark is not None and row.mark.above
        expr = f"{figure(name)} and on ({KEYS}) {'bottomk' if least else 'topk'}(1, {figure(name)} @ end())"
        of_several = "the lowest" if least else "the highest"
    return kit.big(
        title, f"{row.help}{over} Of several chosen features {of_several}; all are below.",
        [kit.query(expr, to.NAME)], unit=kit.UNITS[row.unit], width=width, course=False, steps=kit.marked(row.mark),
        links=to.CHOSEN if name in _SUMMED else to.SERIES, no_data="No calls",
    )  # fmt: skip


def _figures() -> kit.Built:
    """Show every figure in a table: as large numbers those of seven features were smaller than could be read."""
    letters = {name: chr(ord("A") + index) for index, name in enumerate(_COLUMNS)}
    names = {"feature": "Feature", "environment": "Environment"}
    names |= {f"Value #{letters[name]}": title for name, title in _COLUMNS.items()}
    panel = tables.rows(
        "All figures",
        "Uptime over 24 hours, all else over 5 minutes. Mean, p50, p95 and p99 are the response time, first token "
        "is the 95th percentile of the time to it. What cannot be known is empty.",
        [kit.instant(f"max by ({KEYS}) ({figure(name)})", letter) for name, letter in letters.items()],
        unit="short", height=6, links=to.ROW, no_data="No calls",
    ).filterable(False).min_width(70)  # fmt: skip
    panel = panel.with_transformation(tables.merged()).with_transformation(tables.arranged(names, hidden=("Time",)))
    for name, title in _COLUMNS.items():
        row = METRICS[name]
        panel = panel.override_by_name(title, tables.column(kit.UNITS[row.unit], kit.marked(row.mark)))
    return panel.sort_by([tables.worst_first("Errors")])


def _calls() -> list[kit.Built]:
    kinds = f"{rate(ERRORS, 'feature, error_type')} * 60"
    return [
        kit.coloured(
            kit.graph(
                "Calls by outcome", "Calls a minute that ended, by how: cancelled ones are neither success nor error.",
                [kit.query(f"{rate(REQUESTS, 'outcome')} * 60", "{{outcome}}")],
                unit="reqpm", stacked=True, links=to.CHOSEN,
            ),
            _OUTCOMES,
        ),
        kit.graph(
            "Error rate over time", METRICS["error_rate"].help, [kit.query(figure("error_rate"), to.NAME)],
            unit="percent", steps=kit.marked(METRICS["error_rate"].mark), shown=True, links=to.SERIES,
        ),
        kit.graph(
            "Kinds of errors", "Failed calls a minute, by kind of error: is it one cause or many?",
            [kit.query(or_zero(kinds, "error_type"), "{{feature}} · {{error_type}}")],
            unit="reqpm", stacked=True, links=to.CHOSEN, no_data="No call failed",
        ),
        kit.graph(
            "Running calls", "Calls that run now: a line that only rises is a leak or a provider that hangs.",
            [kit.query(value(IN_PROGRESS, KEYS), to.NAME)], unit="short", stacked=True, links=to.SERIES,
        ),
    ]  # fmt: skip


def _latency() -> list[kit.Built]:
    percentiles = {
        "response_time_p50": "p50",
        "response_time_p95": "p95",
        "response_time_p99": "p99",
        "response_time": "mean",
    }
    buckets = f"sum by (le) (increase({DURATION.name}_bucket{{{SCOPE}}}[$__rate_interval]))"
    first = f"sum by (le) (increase({FIRST_TOKEN.name}_bucket{{{SCOPE}}}[$__rate_interval]))"
    return [
        kit.heat(
            "Duration of calls", "How many calls took how long, to the end of the stream. Diamonds are traces.",
            [kit.buckets(buckets)], unit="s", links=to.CHOSEN,
        ),
        kit.graph(
            "Percentiles", "Median, 95th and 99th percentile, and the mean, over 5 minutes.",
            [
                kit.query(figure(name), f"{{{{feature}}}} · {{{{environment}}}} · {title}", chr(65 + index))
                for index, (name, title) in enumerate(percentiles.items())
            ],
            unit="ms", links=to.SERIES,
        ),
        kit.heat(
            "Time to the first token", "How many calls gave their first token how soon.",
            [kit.buckets(first)], unit="s", links=to.CHOSEN, no_data="No feature streams",
        ),
        kit.graph(
            "First token, 95th percentile", METRICS["time_to_first_token_p95"].help,
            [kit.query(figure("time_to_first_token_p95"), to.NAME)],
            unit="ms", links=to.SERIES, no_data="No feature streams",
        ),
    ]  # fmt: skip


def _cost() -> list[kit.Built]:
    spent, budget = increase(COST, KEYS, over="24h"), value(BUDGET, KEYS, how="max")
    unpriced = f"{rate(UNPRICED, 'feature, model')} * 60 and {increase(UNPRICED, 'feature, model')} > 0"
    return [
        kit.graph(
            "Tokens", "Tokens a minute by kind. Cached ones are part of the input, reasoning of the output.",
            [kit.query(f"{rate(TOKENS, 'kind')} * 60", "{{kind}}")], unit="short", width=8, links=to.CHOSEN,
        ),
        kit.graph(
            "Cost by model", "US dollars an hour at this pace, by model, and whether told by the app or estimated.",
            [kit.query(f"{rate(COST, 'model, source')} * 3600", "{{model}} · {{source}}")],
            unit="currencyUSD", width=8, stacked=True, links=to.CHOSEN,
        ),
        kit.graph(
            "Cost against budget, 24 hours", "What the last 24 hours cost, and the budget of a day where there is one.",
            [
                kit.query(spent, f"{to.NAME} · cost", "A"),
                kit.query(budget, f"{to.NAME} · budget", "B"),
            ],
            unit="currencyUSD", width=8, links=to.SERIES,
        ),
        kit.big(
            "Budget used, 24 hours", "Cost of the last 24 hours in percent of the budget of a day, where there is one.",
            [kit.query(or_zero(f"100 * {spent} / ({budget} > 0)", "feature"), to.NAME)],
            unit="percent", width=12, steps=((None, kit.GREEN), (80, kit.YELLOW), (100, kit.RED)), links=to.SERIES,
            no_data="No budget",
        ).with_transformation(tables.without_none()),
        kit.big(
            "Calls without a price",
            "Calls a minute whose model has no known price, of models that had such calls in this time: their cost is "
            "missing above.",
            [kit.query(or_zero(unpriced, "model"), "{{feature}} · {{model}}")],
            unit="reqpm", width=12, steps=((None, kit.GREEN), (0.001, kit.YELLOW)), links=to.CHOSEN,
            no_data="No such calls", grey=False,
        ).with_transformation(tables.without_none()),
    ]  # fmt: skip


def _objective() -> list[kit.Built]:
    windows = {"5m": "5 minutes", "1h": "1 hour", "6h": "6 hours"}
    left = f"100 * (1 - {_burn('$slo_window')})"
    none = "No objective over this time: choose another above"
    return [
        kit.big(
            "Objective", "The share of calls that are to succeed over the time chosen above.",
            [kit.query(f"100 * max by (feature, window) ({_objectives()})", "{{feature}} · {{window}}")],
            unit="percent", width=6, height=8, course=False, no_data=none,
        ).decimals(2),
        kit.big(
            "Error budget left", "What is left of the failures that the objective allows; below 0 it is broken.",
            [kit.query(left, to.NAME)],
            unit="percent", width=6, height=8, steps=((None, kit.RED), (0, kit.YELLOW), (25, kit.GREEN)),
            links=to.SERIES, no_data=none,
        ),
        kit.graph(
            "Burn rate", "How many times faster than allowed the budget burns: 14.4 for an hour is 2 % of a month.",
            [
                kit.query(_burn(window), f"{to.NAME} · {title}", chr(65 + index))
                for index, (window, title) in enumerate(windows.items())
            ],
            unit="none", steps=((None, kit.GREEN), (1, kit.YELLOW), (6, kit.ORANGE), (14.4, kit.RED)), shown=True,
            links=to.SERIES, no_data=none,
        ),
    ]  # fmt: skip


def _objectives() -> str:
    return f'{OBJECTIVE}{{feature=~"$feature", window="$slo_window"}}'


def _burn(window: str) -> str:
    """Write how fast the error budget burns, 1 being as fast as the objective allows."""
    failed = f'sum by ({KEYS}) (increase({REQUESTS.name}{{{SCOPE}, outcome="error"}}[{window}]))'
    decided = f'sum by ({KEYS}) (increase({REQUESTS.name}{{{SCOPE}, outcome=~"success|error"}}[{window}]))'
    allowed = f"(1 - max by (feature) ({_objectives()}))"
    return f"{failed} / ({decided} > 0) / on (feature) group_left () {allowed}"
