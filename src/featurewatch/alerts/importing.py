"""Existing rule files of Prometheus as rules of ours: what is recognised, and for the rest the reason why not. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..alert_model import LOG_ENTRIES, SEVERITIES, AlertRule
from ..errors import BadInput, FeaturewatchError
from ..fields import shown
from ..model import ENVIRONMENT, FEATURE_ID, Severity
from . import prometheus
from .prometheus import NO_DATA_LABEL, RULE_LABEL, Rendering
from .promql_reader import NotRead, parse, seconds
from .recognising import Recognised, recognise
from .routes import ROUTE_LABEL, read_route
from .rules import LONGEST_MINUTES, read_rule
from .yaml_lines import Document, Path, read_yaml

__all__ = ["Found", "read_rule_file"]

_SEVERITIES: Final[Mapping[str, Severity]] = {
    **{severity: severity for severity in SEVERITIES},
    "page": "critical", "p1": "critical", "emergency": "critical", "fatal": "critical",
    "p2": "high", "error": "high", "major": "high",
    "p3": "medium", "warning": "medium", "warn": "medium", "minor": "medium", "ticket": "medium",
    "p4": "low", "info": "low", "information": "low", "none": "low", "notice": "low",
}  # fmt: skip
"""What others call our severities."""


@dataclass(frozen=True, slots=True)
class Found:
    """One rule of a file: ours, or why it cannot be.

    Attributes:
        name: what the file calls it.
        line: where it stands.
        rule: without an id; None where it was not recognised.
        reason: why not.
        notes: in what ours differs from what the file says.
    """

    name: str
    line: int
    rule: AlertRule | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


def read_rule_file(text: str, *, name: str = "rules.yml") -> list[Found]:
    """Read a rule file of Prometheus, or PrometheusRule manifests.

    Raises:
        BadInput: it is neither.
    """
    documents = read_yaml(text, name=name)
    if not documents:
        raise BadInput(f"{name}: it is empty; expected groups:")
    found: list[Found] = []
    for document in documents:
        found += _document(document, name)
    return _told_apart(found)


def _document(document: Document, name: str) -> Iterator[Found]:
    value = document.value
    inner: Path = ()
    if isinstance(value, dict) and isinstance(value.get("spec"), dict):
        value, inner = value["spec"], ("spec",)
    groups = value.get("groups") if isinstance(value, dict) else None
    if not isinstance(groups, list):
        raise BadInput(f"{name}:{document.line(inner)}: expected groups: with a list, as Prometheus's rule files have")
    for number, group in enumerate(groups):
        rules = group.get("rules") if isinstance(group, dict) else None
        if not isinstance(rules, list):
            raise BadInput(f"{name}:{document.line((*inner, 'groups', number))}: expected a group with rules:")
        halves = {_labels(rule).get(RULE_LABEL) for rule in rules if NO_DATA_LABEL in _labels(rule)} - {None}
        for at, rule in enumerate(rules):
            line = document.line((*inner, "groups", number, "rules", at))
            if not (NO_DATA_LABEL in _labels(rule) and _labels(rule).get(RULE_LABEL) in halves):
                yield _rule(rule, line, missed=_labels(rule).get(RULE_LABEL) in halves)


def _rule(told: Any, line: int, *, missed: bool) -> Found:
    """Read one rule; `missed`: its other half beside it asks for absent series."""
    if not isinstance(told, dict):
        return Found("?", line, reason=f"expected a rule, got {shown(told)}")
    if "record" in told:
        return Found(str(told["record"]), line, reason="it is a recording rule: those are not alerts")
    name = str(told.get("alert") or "?")
    try:
        own = _own(name, told, line, missed=missed)
        return own if own is not None else _written_by_hand(name, told, line)
    except NotRead as error:
        return Found(name, line, reason=str(error))
    except FeaturewatchError as error:
        return Found(name, line, reason=error.message)


def _own(name: str, told: Mapping[str, Any], line: int, *, missed: bool) -> Found | None:
    """Recognise what featurewatch exported: what its labels and annotations say is rendered to just this expression."""
    labels, said = _labels(told), _texts(told.get("annotations"))
    if RULE_LABEL not in labels:
        return None
    if labels[RULE_LABEL].startswith("slo-"):
        raise NotRead("it is of a feature's objective: set the feature's slo instead")
    if labels.get("metric") == LOG_ENTRIES:
        raise NotRead("it counts lines by LogQL: make it anew as a rule of kind logs")
    route = read_route(labels.get(ROUTE_LABEL, ""))
    expr = str(told.get("expr"))
    body: dict[str, Any] = {
        "name": name, "metric": labels.get("metric"), "condition": said.get("condition"),
        "severity": labels.get("severity"), "environment": _environment_of(expr),
        "on_no_data": "alert" if missed else "ignore", "origin": "import",
    }  # fmt: skip
    if route is not None and route.channels:
        body |= {"notification_channels": list(route.channels), "cooldown_minutes": route.cooldown_minutes}
    try:
        body["threshold"] = float(said.get("threshold", ""))
        for field, text in (
            ("window_minutes", said.get("window")),
            ("for_minutes", told.get("for")),
            ("keep_firing_minutes", told.get("keep_firing_for")),
        ):
            body[field] = round(seconds(str(text or "0s")) / 60)
        rule = read_rule(body, labels.get("feature", ""))
    except (ValueError, BadInput):
        return None
    exported = {prometheus.group(rule, Rendering(recorded=recorded)).rules[0].expr for recorded in (False, True)}
    if expr not in exported or FEATURE_ID.fullmatch(rule.feature) is None:
        return None
    notes = () if route is not None else ("its channels are too many to be told by a label: name them anew",)
    return Found(name, line, rule, notes=notes)


def _environment_of(expr: str) -> str | None:
    _, found, rest = expr.partition('environment="')
    environment = rest.partition('"')[0]
    return environment if found and ENVIRONMENT.fullmatch(environment) else None


def _written_by_hand(name: str, told: Mapping[str, Any], line: int) -> Found:
    value = recognise(parse(str(told.get("expr") or "")))
    notes, called = list(value.notes), _labels(told).get("severity", "")
    severity = _SEVERITIES.get(called.lower())
    if severity is None:
        notes.append(f"severity {called!r} is taken for medium" if called else "no severity is told: medium")
    body = {
        "name": name,
        "metric": value.metric,
        "condition": value.condition,
        "threshold": value.threshold,
        "severity": severity or "medium",
        "environment": value.environment,
        "window_minutes": _whole(value.window_s, "the window", notes, least=1),
        "for_minutes": _whole(seconds(str(told["for"])) if told.get("for") else 0, "for", notes),
        "keep_firing_minutes": _whole(
            seconds(str(told["keep_firing_for"])) if told.get("keep_firing_for") else 0, "keep_firing_for", notes
        ),
        "origin": "import",
    }
    notes.append(
        "who is told is decided by Alertmanager's routes there; here by notification_channels, which --channel sets"
    )
    return Found(name, line, read_rule(body, _feature(value)), notes=tuple(notes))


def _feature(value: Recognised) -> str:
    if FEATURE_ID.fullmatch(value.feature) is None:
        raise NotRead(f"{shown(value.feature)} can be no feature")
    return value.feature


def _whole(told_s: float, what: str, notes: list[str], *, least: int = 0) -> int:
    """Round a duration up to whole minutes, and say so where it changes."""
    whole = max(least, math.ceil(told_s / 60))
    if whole * 60 != told_s:
        notes.append(f"{what} of {told_s:g} s becomes {whole} min")
    if whole > LONGEST_MINUTES:
        raise NotRead(f"{what} of {whole} min is longer than {LONGEST_MINUTES}")
    return whole


def _labels(rule: Any) -> dict[str, str]:
    return _texts(rule.get("labels")) if isinstance(rule, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _told_apart(found: list[Found]) -> list[Found]:
    """Give the rules of a feature names of their own: a file may have one alert at several severities."""
    taken: set[tuple[str, str]] = set()
    apart = []
    for one in found:
        rule = one.rule
        if rule is not None:
            name, number = rule.name, 1
            while (rule.feature, rule.name) in taken:
                extra = f" ({rule.severity})" if number == 1 else f" ({rule.severity} {number})"
                rule, number = replace(rule, name=f"{name}{extra}"), number + 1
            taken.add((rule.feature, rule.name))
        apart.append(replace(one, rule=rule))
    return apart
