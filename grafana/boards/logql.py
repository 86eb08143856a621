"""LogQL of the dashboards, and the panels of lines."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.logs import Panel as LogsPanel
from grafana_foundation_sdk.models import common

from featurewatch.model import LEVELS

from . import kit
from . import links as to

PLACE: Final = '{feature=~"$feature", environment=~"$environment"}'
"""Lines of the features and environments that are chosen."""

CHOSEN: Final = PLACE + ' |~ `(?i)$search` | level=~"$level" | source=~"$source" | trace_id=~"$trace.*"'
"""Lines that all filters of the dashboard of lines let pass. Text first, which Loki looks for fastest."""

COLORS: Final = {
    "debug": "blue", "info": kit.GREEN, "warn": kit.YELLOW, "error": kit.RED, "fatal": "purple",
}  # fmt: skip

_QUOTED: Final = r"'[^']*'|\"[^\"]*\""
_NAMES: Final = r"\\S*[0-9_/]\\S*|\\w+(?:\\.\\w+)+"
_ALIKE: Final = f'{{{{ regexReplaceAll "{_NAMES}" (regexReplaceAll "{_QUOTED}" __line__ "<text>") "<…>" }}}}'
_BEGINNING: Final = r"^(?P<shape>(?:\S+\s+){0,3}\S+)"
"""Four words tell what a line is about; with more of them there would be as many patterns as lines."""

_NAMED: Final = '{{ printf "%-12s" .feature }} {{ __line__ }}'
"""Grafana shows a line without its labels: of several features nobody would know which wrote it."""

assert tuple(COLORS) == tuple(LEVELS), "every level has a colour"


def count(lines: str, by: str, over: str = "$__auto") -> str:
    """Count lines within a time, by some labels."""
    return f"sum by ({by}) (count_over_time({lines} [{over}]))" if by else f"sum(count_over_time({lines} [{over}]))"


def or_zero(expr: str) -> str:
    return f"{expr} or vector(0)"


def patterns(lines: str, most: int) -> str:
    """Count lines that begin alike, but for quoted texts, numbers and names with a dot, a dash below or a slash."""
    alike = f"{lines} | line_format `{_ALIKE}` | regexp `{_BEGINNING}`"
    return f"topk({most}, {count(alike, 'feature, shape', '$__range')})"


def volume_by_level(lines: str, width: int = 24) -> kit.Built:
    return kit.coloured(
        kit.graph(
            "Lines by level",
            "How many lines there are, by level.",
            [kit.counted(count(lines, "level"), "{{level}}")],
            unit="short", width=width, height=8, stacked=True, bars=True, every="30s", source=kit.LOKI,
            links=to.CHOSEN, no_data="No lines in this time",
        ),
        COLORS,
    )  # fmt: skip


def lines_panel(lines: str, height: int = 16) -> kit.Built:
    return (
        kit.dressed(
            LogsPanel(),
            "Lines",
            "The newest lines, after the feature that wrote them. Open one for its fields; its trace id leads to all "
            "lines of the trace.",
            [kit.lines(f"{lines} | line_format `{_NAMED}`")],
            unit="none", width=24, height=height, source=kit.LOKI, no_data="No lines in this time",
        )
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
    )  # fmt: skip
