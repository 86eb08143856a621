"""PromQL and LogQL of the dashboards, from the project's table of figures and its metric families."""

from __future__ import annotations

from typing import Final

from featurewatch.families import Family
from featurewatch.stores.recording import FIGURES

SCOPE: Final = 'feature=~"$feature", environment=~"$environment"'
"""The series of the features and environments that are chosen."""

KEYS: Final = "feature, environment"
BRIDGE: Final = "featurewatch_poll_last_seconds"
"""What every bridge exports, and nothing else does."""
RATE: Final = "$__rate_interval"
STEP: Final = "$__interval"
RANGE: Final = "$__range"


def figure(metric: str, scope: str = SCOPE) -> str:
    """Read a figure of the table as the recording rules left it.

    Raises:
        KeyError: the table has no such figure.
    """
    return f"{FIGURES[metric]}{{{scope}}}"


def recorded_calls(more: str = "", scope: str = SCOPE) -> str:
    """Read the recorded number of calls over 5 minutes, by outcome."""
    return f"feature:requests:gain5m{{{_joined(scope, more)}}}"


def rate(family: Family | str, by: str, *, scope: str = SCOPE, more: str = "", suffix: str = "") -> str:
    """Write how fast a counter grows, a second, by some labels."""
    return f"sum by ({by}) (rate({_name(family)}{suffix}{{{_joined(scope, more)}}}[{RATE}]))"


def increase(family: Family | str, by: str, *, over: str = RANGE, scope: str = SCOPE, more: str = "") -> str:
    """Write how much a counter grew within a time, by some labels."""
    return f"sum by ({by}) (increase({_name(family)}{{{_joined(scope, more)}}}[{over}]))"


def gained(name: str, by: str, *, over: str = STEP, scope: str = SCOPE, more: str = "") -> str:
    """Write what a counter gained that is born with its first count, which `increase` does not see; only what did.

    After a restart `increase` tells it, which knows resets.
    """
    series = f"{name}{{{_joined(scope, more)}}}"
    since = f"{series} - ({series} offset {over} or {series} * 0) >= 0"
    return f"sum by ({by}) ({since} or increase({series}[{over}])) > 0"


def value(family: Family | str, by: str, *, how: str = "sum", scope: str = SCOPE, more: str = "") -> str:
    """Read a gauge, its instances taken together."""
    return f"{how} by ({by}) ({_name(family)}{{{_joined(scope, more)}}})"


def or_zero(expr: str, label: str = "") -> str:
    """Let an expression answer 0 where it has no series: where nothing is wrong there is often nothing to show.

    `label` is then "none", so that a legend which shows it has a name for the line.
    """
    zero = f'label_replace(vector(0), "{label}", "none", "", "")' if label else "vector(0)"
    return f"({expr}) or on () {zero}"


def zero_by_bridge(expr: str, scope: str = "") -> str:
    """Let an expression of the bridge's metrics answer 0 where it has no series and a bridge is scraped.

    Where none is scraped now nothing is known: a green 0 would be a lie, and so would the last value there was.
    """
    bridges = f"{BRIDGE}{{{scope}}}"
    return f"(({expr}) or on () 0 * count({bridges})) and on () count({bridges} @ end())"


def zero_while_bridge(expr: str, label: str) -> str:
    """Let an expression of the bridge's metrics answer 0, called "none", at the times when a bridge was scraped."""
    return f'({expr}) or on () label_replace(0 * count({BRIDGE}), "{label}", "none", "", "")'


def current(expr: str) -> str:
    """Let a sum have no points where it has none now: Grafana shows the last one there was, however old, as of now."""
    return f"({expr}) and on () count_over_time(({expr})[1m:] @ end())"


def _name(family: Family | str) -> str:
    return family if isinstance(family, str) else family.name


def _joined(*matchers: str) -> str:
    return ", ".join(matcher for matcher in matchers if matcher)
