"""Rules on figures, translated for Prometheus and what evaluates its rules. Pure.

A rule of ours becomes a group of its own, named by its id, in the file of its feature. The expression is the one that
snapshots are asked with (`stores.promql`), so an alert and a figure cannot disagree. A rule that wants to hear of
absent series gets a second alert beside it in its group, told apart by the label `no_data`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..alert_model import AlertRule
from ..families import FAMILIES, REQUESTS
from ..formulas import METRICS, families_of
from ..stores import promql, recording
from . import texts
from .conditions import Reading, band, readings
from .routes import ROUTE_LABEL, route_label
from .rule_files import Group, Rule, dump, file_name, fingerprint, minutes

__all__ = [
    "NO_DATA_LABEL", "RULE_LABEL", "Rendering", "annotations_of", "compared", "environments_of", "group", "group_name",
    "labels_of", "render", "window_of",
]  # fmt: skip

RULE_LABEL: Final = "rule_id"
NO_DATA_LABEL: Final = "no_data"
REVISION: Final = "revision"
"""The annotation that proves which edit of a rule a server has loaded."""

VALUE: Final = "{{ $value }}"


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a translation depends on besides the rules.

    Attributes:
        uptime_threshold: percent of failed calls from which on a minute is down.
        recorded: read figures as the recording rules left them, where they record such a window. Cheap, also for
            thousands of rules; where the recording rules stop, these fall silent.
        environments: where each feature was seen or declared: where absent series are missed.
        default_environment: where a feature stands that was seen nowhere.
        console_url: the console as people reach it, for links; "" where there is no such address.
    """

    uptime_threshold: float = 50.0
    recorded: bool = False
    environments: Mapping[str, Collection[str]] = field(default_factory=dict)
    default_environment: str = "production"
    console_url: str = ""


def render(rules: Iterable[AlertRule], rendering: Rendering) -> dict[str, str]:
    """Write the rule files of all features that have an enabled rule on figures: file name to text."""
    by_feature: dict[str, list[AlertRule]] = {}
    for rule in rules:
        if rule.enabled and rule.kind != "logs":
            by_feature.setdefault(rule.feature, []).append(rule)
    return {
        file_name(feature): dump(group(rule, rendering) for rule in sorted(of, key=lambda rule: rule.id))
        for feature, of in sorted(by_feature.items())
    }


def group_name(rule_id: str) -> str:
    """Name a rule's group: the same for all its life."""
    return f"featurewatch-{rule_id}"


def group(rule: AlertRule, rendering: Rendering) -> Group:
    """Translate one rule on a figure."""
    wholes = [compared(_figure(rule, reading, rendering), rule) for reading in readings(rule)]
    expr = wholes[0] if len(wholes) == 1 else " and ".join(f"({whole})" for whole in wholes)
    message = texts.message(rule, texts.figure_template(rule.metric))
    rules = [_rule(rule, expr, rendering, labels_of(rule), message, VALUE)]
    if rule.on_no_data == "alert":
        rules.append(
            _rule(
                rule,
                _absent(rule, rendering),
                rendering,
                {**labels_of(rule), NO_DATA_LABEL: "true"},
                texts.message(rule, None),
                texts.NO_DATA,
            )
        )
    return Group(group_name(rule.id), tuple(rules))


def labels_of(rule: AlertRule) -> dict[str, str]:
    """Return the labels that a rule's alerts carry besides alertname and the environment, which the series tell."""
    return {
        "feature": rule.feature,
        RULE_LABEL: rule.id,
        "metric": rule.metric,
        "severity": rule.severity,
        ROUTE_LABEL: route_label(rule.channels, rule.cooldown_minutes),
    }


def annotations_of(rule: AlertRule, rendering: Rendering, message: str, value: str) -> dict[str, str]:
    """Return what a rule's alerts say to people, and what the bridge reads from them; all texts are templates."""
    told = {
        "title": escaped(texts.title(rule)),
        "message": message,
        "value": value,
        "threshold": texts.plain(rule.threshold),
        "unit": texts.unit(rule.metric),
        "condition": rule.condition,
        "window": window_of(rule),
    }
    if rule.burn is not None:
        told["summary"] = (
            f"The error budget burns {texts.plain(rule.burn.factor)} times faster than the objective allows."
        )
    if rendering.console_url:
        address = f"{rendering.console_url.rstrip('/')}/#/feature/{rule.feature}"
        told["link"] = f"{escaped(address)}?env={{{{ $labels.environment | urlquery }}}}"
    return told


def window_of(rule: AlertRule) -> str:
    """Say what a rule's figure is taken over: `5m`, or `1h and 5m` where there are two windows."""
    return " and ".join(minutes(reading.window_minutes) for reading in readings(rule))


def compared(expression: str, rule: AlertRule) -> str:
    """Compare an expression as `conditions.holds` compares a figure; what is left are the series that fire."""
    match rule.condition:
        case "greater_than":
            return f"({expression}) > {promql.number(rule.threshold)}"
        case "less_than":
            return f"({expression}) < {promql.number(rule.threshold)}"
        case "equals":
            low, high = map(promql.number, band(rule.metric, rule.threshold))
            return f"({expression}) == {low}" if low == high else f"({expression}) >= {low} <= {high}"


def environments_of(rule: AlertRule, rendering: Rendering) -> list[str]:
    """Name the environments in which a rule's series are missed where they are absent."""
    if rule.environment is not None:
        return [rule.environment]
    return sorted(rendering.environments.get(rule.feature, ())) or [rendering.default_environment]


def escaped(text: str) -> str:
    """Let a text that people wrote pass through a template as it is.

    >>> escaped("a {{ b")
    'a {{ "{{" }} b'
    """
    return text.replace("{{", '{{ "{{" }}')


def _rule(rule: AlertRule, expr: str, rendering: Rendering, named: dict[str, str], message: str, value: str) -> Rule:
    said = annotations_of(rule, rendering, message, value)
    digest = fingerprint(expr, rule.for_minutes, rule.keep_firing_minutes, named, said)
    said[REVISION] = f"{rule.revision}.{digest}"
    return Rule(rule.name, expr, rule.for_minutes, rule.keep_firing_minutes, named, said)


def _figure(rule: AlertRule, reading: Reading, rendering: Rendering) -> str:
    matchers = {"feature": rule.feature, **({"environment": rule.environment} if rule.environment else {})}
    window_s = reading.window_minutes * 60
    recorded = recording.expression(reading.metric, window_s, matchers) if rendering.recorded else None
    return recorded or promql.expression(reading.metric, window_s, matchers, threshold=rendering.uptime_threshold)


def _absent(rule: AlertRule, rendering: Rendering) -> str:
    """Write that the series a rule reads are not there, as snapshots mean it: nothing heard for five minutes."""
    families = sorted(families_of(METRICS[rule.metric].expression)) or [REQUESTS.name]
    names = [f"{name}_count" if FAMILIES[name].kind == "histogram" else name for name in families]
    return " or ".join(
        f"absent_over_time({selected}[{promql.duration(promql.HEARD_S)}])"
        for environment in environments_of(rule, rendering)
        for name in names
        for selected in [promql.selector(name, {"feature": rule.feature, "environment": environment})]
    )
