"""What happened, drawn over every graph: deploys, test results, alerts. All of it is in Prometheus."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery

from featurewatch.families import INFO

from . import kit
from .queries import KEYS, SCOPE, STEP, gained, or_zero

ALERT_STATE: Final = "featurewatch_alert_state"

_VERSIONS: Final = f"{KEYS}, version"
_ALERTS: Final = f"{KEYS}, alert, severity"


def of_features() -> list[AnnotationQuery]:
    """Mark all that happened to the features that are chosen."""
    return [deploys(), test_results(), alerts()]


def deploys() -> AnnotationQuery:
    """Mark where a version of a feature is seen for the first time."""
    told = f'{INFO.name}{{{SCOPE}, version!=""}}'
    now, before = f"count by ({_VERSIONS}) ({told})", f"count by ({_VERSIONS}) ({told} offset {STEP})"
    return _annotation("Deploys", f"{now} unless {before}", "version {{version}} of {{feature}}", "blue", _VERSIONS)


def test_results() -> AnnotationQuery:
    """Mark where results of tests were told."""
    told = gained("featurewatch_test_results_total", f"{KEYS}, passed")
    return _annotation("Test results", told, "tests of {{feature}}, passed: {{passed}}", "purple", f"{KEYS}, passed")


def alerts() -> AnnotationQuery:
    """Mark where alerts begin.

    Not for how long they are open: Grafana washes the graph red for each, and three of them hide what is drawn.
    """
    state = f"{ALERT_STATE}{{{SCOPE}}}"
    now, before = (f"max by ({_ALERTS}) ({state}{when}) > 0" for when in ("", f" offset {STEP}"))
    text = "{{alert}} on {{feature}} ({{severity}})"
    return _annotation("Alerts", f"{now} unless {before}", text, "red", f"{KEYS}, severity")


def _annotation(name: str, expr: str, text: str, color: str, tags: str) -> AnnotationQuery:
    """Make an annotation where an expression is above 0; where it has no series it answers 0, which marks nothing."""
    asked = or_zero(expr)
    return (
        AnnotationQuery()
        .name(name)
        .datasource(kit.PROMETHEUS)
        .enable(True)
        .icon_color(color)
        .expr(asked)
        .target(kit.annotated(asked))
        .title_format(name)
        .text_format(text)
        .tag_keys(tags.replace(" ", ""))
        .use_value_for_time(False)
    )
