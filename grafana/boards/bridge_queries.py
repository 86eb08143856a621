"""PromQL about the bridges that are chosen."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusQuery

from . import kit
from .queries import RANGE, RATE, gained, or_zero, zero_by_bridge

TICKS: Final = "featurewatch_poll_ticks_total"
"""What each bridge has and nothing else."""

SCOPE: Final = 'job=~"$job", instance=~"$instance"'


def of(name: str, by: str = "", *, how: str = "sum", more: str = "") -> str:
    """Read a gauge of the bridges that are chosen."""
    matchers = ", ".join(part for part in (SCOPE, more) if part)
    return f"{how} by ({by}) ({name}{{{matchers}}})" if by else f"{how}({name}{{{matchers}}})"


def own(series: str) -> str:
    """Read what every process has of the bridges alone: all jobs are chosen where none is."""
    selected = series if "{" in series else f"{series}{{{SCOPE}}}"
    return f"sum by (instance) ({selected} and on (job, instance) {TICKS}{{{SCOPE}}})"


def rate(name: str, by: str = "", *, more: str = "", a: int = 1) -> str:
    """Write how fast a counter of the bridges that are chosen grows, per `a` seconds."""
    matchers = ", ".join(part for part in (SCOPE, more) if part)
    inner = f"rate({name}{{{matchers}}}[{RATE}])"
    return (f"sum by ({by}) ({inner})" if by else f"sum({inner})") + (f" * {a}" if a != 1 else "")


def counted(name: str, label: str) -> PrometheusQuery:
    """Ask how much a counter grows a minute, by a label that has no value before something is counted."""
    return kit.query(or_zero(rate(name, label, a=60), label), f"{{{{{label}}}}}")


def quantile(q: float, name: str, by: str) -> str:
    """Write a quantile of a histogram; what had no observation has no series."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({name}_bucket{{{SCOPE}}}[{RATE}]))) >= 0"


def lost(name: str) -> PrometheusQuery:
    """Ask how much a counter gained in the time that is shown; those of losses are born with their first."""
    return kit.instant(here(gained(name, "", over=RANGE, scope=SCOPE)))


def here(expr: str) -> str:
    """Let an expression answer 0 where it has no series and one of the chosen bridges is scraped."""
    return zero_by_bridge(expr, SCOPE)
