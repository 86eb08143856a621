"""Rules on lines, translated for Loki's ruler. Pure. https://grafana.com/docs/loki/latest/alert/"""

from __future__ import annotations

from collections.abc import Iterable

from ..alert_model import AlertRule, LogSelection
from ..stores.base import LogFilter
from ..stores.logql import quote
from ..stores.logql_count import stages
from ..stores.promql import duration
from . import texts
from .conditions import holds
from .prometheus import (
    REVISION,
    VALUE,
    Rendering,
    annotations_of,
    compared,
    environments_of,
    group_name,
    labels_of,
)
from .rule_files import Group, Rule, dump, file_name, fingerprint

__all__ = ["group", "render"]


def render(rules: Iterable[AlertRule], rendering: Rendering) -> dict[str, str]:
    """Write the rule files of all features that have an enabled rule on lines: file name to text."""
    by_feature: dict[str, list[AlertRule]] = {}
    for rule in rules:
        if rule.enabled and rule.kind == "logs":
            by_feature.setdefault(rule.feature, []).append(rule)
    return {
        file_name(feature): dump(group(rule, rendering) for rule in sorted(of, key=lambda rule: rule.id))
        for feature, of in sorted(by_feature.items())
    }


def group(rule: AlertRule, rendering: Rendering) -> Group:
    """Translate one rule on lines."""
    counted = (
        f"sum by (feature, environment) (count_over_time({_streams(rule)}{stages(_filter(rule))}"
        f"[{duration(rule.window_minutes * 60)}]))"
    )
    if holds(rule.metric, rule.condition, rule.threshold, 0):
        counted = " or ".join([counted, *_zeros(rule, rendering)])
    expr = compared(counted, rule)
    message = texts.message(rule, texts.figure_template(rule.metric))
    named, said = labels_of(rule), annotations_of(rule, rendering, message, VALUE)
    digest = fingerprint(expr, rule.for_minutes, rule.keep_firing_minutes, named, said)
    said[REVISION] = f"{rule.revision}.{digest}"
    return Group(
        group_name(rule.id),
        (Rule(rule.name, expr, rule.for_minutes, rule.keep_firing_minutes, named, said),),
    )


def _streams(rule: AlertRule) -> str:
    environment = f",environment={quote(rule.environment)}" if rule.environment else ""
    return f"{{feature={quote(rule.feature)}{environment}}}"


def _filter(rule: AlertRule) -> LogFilter:
    logs = rule.logs or LogSelection()
    return LogFilter(frozenset(logs.levels), logs.source, logs.search)


def _zeros(rule: AlertRule, rendering: Rendering) -> list[str]:
    """Write a 0 for each environment: where there are no lines, Loki has no series to compare."""
    return [
        f'label_replace(label_replace(vector(0), "feature", {quote(rule.feature)}, "", ""), '
        f'"environment", {quote(environment)}, "", "")'
        for environment in environments_of(rule, rendering)
    ]
