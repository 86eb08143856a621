"""Recording rules for the figures: the same expressions, evaluated by Prometheus once for all who ask. Pure.

`feature:<metric>:over5m` holds each figure of the table over 5 minutes, `feature:uptime:over24h` the uptime, and
`feature:minute_up:bool` whether a minute was up. What they are made of is recorded first, within the same group, which
Prometheus evaluates in order. `featurewatch:rules:info` says that a group runs, and with which threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..families import Family
from ..formulas import METRICS, Gain, Metric, Observations, Observed, Uptime, families_of
from .promql import ALL, Matchers, Raw, by, duration, number, quoted, render, selector, verdict
from .promql_parts import COUNTERS, Part, parts

__all__ = [
    "FIGURES", "MARKER", "METRIC_OF", "UPTIME_WINDOW_S", "WINDOW_S", "Group", "Rule", "document", "expression",
    "figures", "groups", "threshold_of", "uptime", "yaml",
]  # fmt: skip

MARKER: Final = "featurewatch:rules:info"
VERSION: Final = "1"
"""Grows when names or meanings change: a store reads only what it knows."""

WINDOW_S: Final = 300.0
UPTIME_WINDOW_S: Final = 86_400.0
INTERVAL_S: Final = 30.0

MINUTE: Final = "feature:minute_up:bool"

FIGURES: Final = {
    name: f"feature:{name}:over{duration(UPTIME_WINDOW_S if name == 'uptime' else WINDOW_S)}" for name in METRICS
}
"""Under which name each figure is recorded."""

METRIC_OF: Final = {recorded: name for name, recorded in FIGURES.items()}


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule; `help` says in a line what it records."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, each seeing what those before it recorded."""

    name: str
    interval_s: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The recorded parts, as a source of expressions."""

    window_s: float = WINDOW_S

    def gained(self, part: Gain) -> str:
        label, values = part.label, part.values
        only: Matchers = {label: values[0] if len(values) == 1 else values} if label else {}
        return by(selector(_name(part.family.name, "gain"), only))

    def histogram(self, part: Observed | Observations) -> str:
        return _name(f"{part.family.name}_{'sum' if isinstance(part, Observed) else 'count'}", "gain")

    def buckets(self, family: Family) -> str:
        return _name(f"{family.name}_bucket", "increase")

    def uptime(self) -> str:
        return f"avg_over_time({MINUTE}[{duration(UPTIME_WINDOW_S)}])"


def groups(threshold: float) -> tuple[Group, ...]:
    """Make the groups; `threshold` is the percentage of failed calls from which on a minute is down."""
    told = parts(Raw(WINDOW_S, ALL, targets=ALL))
    calls = [part for part in told if part.name in COUNTERS]
    durations = [part for part in told if part.name not in COUNTERS]
    rows = {name: metric for name, metric in METRICS.items() if not isinstance(metric.expression, Uptime)}
    by_calls = {name: row for name, row in rows.items() if families_of(row.expression) <= COUNTERS.keys()}
    minute = Rule(MINUTE, verdict(threshold), help="Whether the minute was up; an idle one is absent.")
    uptime = METRICS["uptime"]
    return (
        Group("featurewatch-calls", INTERVAL_S, (*_rules(calls, by_calls.values()), _marker("calls"))),
        Group(
            "featurewatch-durations",
            INTERVAL_S,
            (*_rules(durations, (row for name, row in rows.items() if name not in by_calls)), _marker("durations")),
        ),
        Group("featurewatch-uptime", 60, (minute, _figure(uptime), _marker("uptime", threshold=number(threshold)))),
    )


def document(threshold: float = 50.0) -> str:
    """Write the rule file that the project ships, or one for another threshold."""
    return yaml(
        groups(threshold),
        (
            "Recording rules of featurewatch: every figure of every feature over 5 minutes, and uptime over 24 hours.",
            "Made by: python -m featurewatch.commands.recording; do not edit, the store knows them by their meaning.",
        ),
    )


def threshold_of(markers: Iterable[Mapping[str, str]]) -> float | None:
    """Tell from the markers' labels whether all groups run, and with which threshold; None where one is missing."""
    known = {labels.get("group", ""): labels for labels in markers if labels.get("version") == VERSION}
    if not {"calls", "durations", "uptime"} <= known.keys():
        return None
    try:
        return float(known["uptime"].get("threshold", ""))
    except ValueError:
        return None


def figures(matchers: Matchers) -> str:
    """Write all recorded figures but the uptime as one vector, told apart by their names."""
    return selector("", {"__name__": [FIGURES[name] for name in METRICS if name != "uptime"]}, matchers)


def uptime(window_s: float, matchers: Matchers) -> str:
    """Write the uptime of a window, from recorded minutes."""
    if window_s == UPTIME_WINDOW_S:
        return selector(FIGURES["uptime"], matchers)
    return f"100 * avg_over_time({selector(MINUTE, matchers)}[{duration(max(60, window_s))}])"


def expression(metric: Metric | str, window_s: float, matchers: Matchers = ALL) -> str | None:
    """Write a recorded figure, as `promql.expression` does a raw one; None where none of this window is recorded.

    Raises:
        KeyError: there is no metric of this name.
    """
    row = METRICS[metric] if isinstance(metric, str) else metric
    if isinstance(row.expression, Uptime):
        return uptime(window_s, matchers)
    return selector(FIGURES[row.name], matchers) if window_s == WINDOW_S else None


def yaml(told: Iterable[Group], head: Collection[str] = ()) -> str:
    """Write groups as a rule file of Prometheus."""
    lines = [*(f"# {line}".rstrip() for line in head), "groups:"]
    for group in told:
        lines += [f"  - name: {group.name}", f"    interval: {duration(group.interval_s)}", "    rules:"]
        for rule in group.rules:
            if rule.help:
                lines.append(f"      # {rule.help}")
            lines += [f"      - record: {rule.record}", "        expr: |-", f"          {rule.expr}"]
            if rule.labels:
                lines.append("        labels:")
                lines += [f"          {name}: {quoted(value)}" for name, value in rule.labels.items()]
    return "\n".join(lines) + "\n"


def _rules(told: Iterable[Part], rows: Iterable[Metric]) -> list[Rule]:
    return [*(Rule(_name(part.name, part.how), part.expr) for part in told), *map(_figure, rows)]


def _figure(row: Metric) -> Rule:
    return Rule(FIGURES[row.name], render(row.expression, _Recorded()), help=f"{row.help} In {row.unit}.")


def _marker(group: str, **labels: str) -> Rule:
    return Rule(MARKER, "vector(1)", {"group": group, "version": VERSION, **labels})


def _name(series: str, how: str) -> str:
    stem = series.removeprefix("feature_").removesuffix("_total")
    return f"feature:{stem}:{how}{duration(WINDOW_S)}"
