"""Logs: the lines of features, found by level, environment, source, trace and text, and what they are like."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from featurewatch.model import LEVELS

from . import happenings, kit, logql, tables, variables
from . import links as to
from .shape import dashboard, with_rows

_PATTERN_COLUMNS: Final = {"Value #A": "Lines", "feature": "Feature", "shape": "Pattern"}
_SOURCE_COLUMNS: Final = {"Value #A": "Lines", "source": "Source", "feature": "Feature", "environment": "Environment"}


def logs() -> Dashboard:
    """Make the dashboard."""
    made = dashboard(
        to.LOGS,
        "Logs",
        "Lines of features: filter by level, environment, source, trace and text; see which are alike.",
        [
            variables.prometheus(),
            variables.loki(),
            *variables.places(),
            variables.chosen("level", "Level", "Levels of lines.", tuple(LEVELS), ".*"),
            variables.chosen("source", "Source", "What wrote the line: a logger's name. Type one.", ("app",), ".*"),
            variables.typed("trace", "Trace", "A trace id, or how it begins; nothing: every line."),
            variables.typed("search", "Search", "A text or regular expression within the line, in any case."),
            variables.console(),
        ],
        happenings.of_features(),
    )
    return with_rows(
        made,
        {
            "How much": [*_amounts(), logql.volume_by_level(logql.CHOSEN, 12), _by_feature()],
            "Lines": [logql.lines_panel(logql.CHOSEN, height=18)],
            "What they are like": [_patterns(), _sources()],
        },
    )


def _amounts() -> list[kit.Built]:
    severe = f'{logql.CHOSEN} | level=~"error|fatal"'
    everything, errors = (logql.or_zero(logql.count(of, "", "$__range")) for of in (logql.CHOSEN, severe))
    traced = logql.or_zero(logql.count(f'{logql.CHOSEN} | trace_id!=""', "", "$__range"))
    features = f"count(sum by (feature, environment) (count_over_time({logql.CHOSEN} [$__range]))) or vector(0)"
    return [
        _amount("Lines found", "Lines that the filters let pass, in this time.", everything),
        _amount(
            "Errors found", "Of these, lines of level error and fatal.", errors, steps=((None, kit.GREEN), (1, kit.RED))
        ),
        _amount("With a trace", "Of these, lines that belong to a trace.", traced),
        _amount("Features", "Features with such a line, by environment.", features),
    ]


def _amount(title: str, description: str, expr: str, steps: kit.Steps = kit.NEUTRAL) -> kit.Built:
    return kit.big(
        title, description, [kit.counted_now(expr)],
        unit="short", width=6, height=3, steps=steps, source=kit.LOKI, no_data="No lines in this time",
    )  # fmt: skip


def _by_feature() -> kit.Built:
    return kit.graph(
        "Lines by feature", "How many lines there are, by feature and environment.",
        [kit.counted(logql.count(logql.CHOSEN, "feature, environment"), to.NAME)],
        unit="short", stacked=True, bars=True, every="30s", source=kit.LOKI, links=to.SERIES,
        no_data="No lines in this time",
    )  # fmt: skip


def _patterns() -> kit.Built:
    return (
        tables.rows(
            "Patterns",
            "Lines that begin alike but for quoted texts, numbers and names, the most frequent first: what fills the "
            "log, and which error is one error. All lines of this time are read; choose a short one on a busy system.",
            [kit.counted_now(logql.patterns(logql.CHOSEN, 25))],
            unit="short", width=13, height=12, source=kit.LOKI, no_data="No lines in this time",
        )
        .with_transformation(tables.merged())
        .with_transformation(tables.arranged(_PATTERN_COLUMNS, hidden=("Time",)))
        .override_by_name("Lines", tables.column("short", custom_width=100))
        .override_by_name("Feature", tables.column(custom_width=140))
        .sort_by([tables.worst_first("Lines")])
    )  # fmt: skip


def _sources() -> kit.Built:
    return (
        tables.rows(
            "Sources",
            "Which loggers write the lines.",
            [kit.counted_now(f"topk(25, {logql.count(logql.CHOSEN, 'feature, environment, source', '$__range')})")],
            unit="short", width=11, height=12, source=kit.LOKI, links=to.ROW, no_data="No lines in this time",
        )
        .with_transformation(tables.merged())
        .with_transformation(tables.arranged(_SOURCE_COLUMNS, hidden=("Time",)))
        .override_by_name("Lines", tables.column("short", custom_width=100))
        .override_by_name("Feature", tables.column(custom_width=130))
        .override_by_name("Environment", tables.column(custom_width=150))
        .sort_by([tables.worst_first("Lines")])
    )  # fmt: skip
