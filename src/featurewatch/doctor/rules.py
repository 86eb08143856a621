"""The rules that Prometheus evaluates and that read features: does each work, and does its query answer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..alerts.proof import PREFIX
from ..stores.recording import MARKER, threshold_of
from .asking import an_object, objects
from .findings import Finding, broken, doubtful, fine, left_out
from .queries import Answered, Asked
from .selectors import selectors_of

__all__ = ["LoadedRule", "judge_answers", "judge_health", "judge_recorded", "records_of", "rules_of"]

_OURS: Final = ("feature_", "feature:", "featurewatch_", "featurewatch:")


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule as Prometheus shows it."""

    name: str
    group: str
    recording: bool
    expr: str
    health: str = ""
    error: str = ""

    @property
    def check(self) -> str:
        return "recording-rule" if self.recording else "rule"

    @property
    def shown(self) -> str:
        return f"{self.name} in {self.group}"


def rules_of(groups: Sequence[Mapping[str, Any]]) -> list[LoadedRule]:
    """Return the rules that are ours or read what is ours."""
    found = []
    for group in groups:
        for rule in objects(group.get("rules")):
            told = LoadedRule(
                str(rule.get("name", "")),
                str(group.get("name", "")),
                rule.get("type") == "recording",
                str(rule.get("query", "")),
                str(rule.get("health", "")),
                str(rule.get("lastError", "")),
            )
            ours = told.group.startswith(PREFIX) or told.name.startswith(_OURS)
            if ours or any(selector.name.startswith(_OURS) for selector in selectors_of(told.expr)):
                found.append(told)
    return found


def records_of(groups: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Name what the loaded rules record."""
    return frozenset(
        str(rule.get("name"))
        for group in groups
        for rule in objects(group.get("rules"))
        if rule.get("type") == "recording"
    )


def judge_health(shown: str, groups: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Judge what a Prometheus says of its rules: those that fail, and groups that take longer than their interval."""
    rules = rules_of(groups)
    found = [
        broken(
            rule.check,
            rule.shown,
            f"{shown} fails to evaluate it: {rule.error or 'no reason is told'}",
            "correct the rule: run its expression in Prometheus part by part; many-to-many joins, and labels that are "
            "recorded twice, are the usual reasons",
        )
        for rule in rules
        if rule.health == "err"
    ]
    names = {rule.group for rule in rules}
    for group in groups:
        name = str(group.get("name"))
        took, interval = _seconds(group.get("evaluationTime")), _seconds(group.get("interval"))
        if name in names and 0 < interval < took:
            found.append(
                doubtful(
                    "rule" if name.startswith(PREFIX) else "recording-rule",
                    f"group {name}",
                    f"its evaluation takes {took:.1f} s, longer than its interval, {interval:g} s: rounds are left out",
                    "give Prometheus more CPU, or raise the interval of the group",
                )
            )
    for check, kind in (("rule", False), ("recording-rule", True)):
        of_kind = [rule for rule in rules if rule.recording is kind]
        if not any(finding.check == check for finding in found) and of_kind:
            found.append(fine(check, shown, f"{len(of_kind)} are evaluated without an error"))
    return found


def judge_recorded(shown: str, groups: Sequence[Mapping[str, Any]], threshold: float) -> list[Finding]:
    """Judge whether the recording rules run, and with the threshold of the uptime that the bridge has."""
    markers = [
        an_object(rule.get("labels"))
        for group in groups
        for rule in objects(group.get("rules"))
        if rule.get("name") == MARKER
    ]
    if not markers:
        return [left_out("recording-rule", shown, "the recording rules are not loaded (needed above 200 features)")]
    told = threshold_of(markers)
    if told is None:
        return [
            doubtful(
                "recording-rule",
                shown,
                "some groups of the recording rules are missing, or are of another version",
                "load prometheus/rules/featurewatch.yml of this version whole",
            )
        ]
    if told != threshold:
        return [
            doubtful(
                "recording-rule",
                shown,
                f"they record uptime with a threshold of {told:g} %, and "
                f"FEATUREWATCH_UPTIME_THRESHOLD is {threshold:g}",
                f"python -m featurewatch.commands.recording --uptime-threshold {threshold:g} > featurewatch.yml, and "
                "load that file",
            )
        ]
    return []


def asked_of(rules: Sequence[LoadedRule]) -> Iterator[Asked]:
    """Write rules as queries to be run."""
    for rule in rules:
        yield Asked(rule.shown, rule.expr, "recording-rule" if rule.recording else "rule")


def judge_answers(check: str, answered: Sequence[Answered]) -> list[Finding]:
    """Judge how queries went; those of one cause are one finding, which names the first of them."""
    found: list[Finding] = []
    causes: dict[tuple[str, str, str], list[Answered]] = {}
    for each in answered:
        if each.failure:
            cause = ("error", _bare(each.failure), "correct the query: the message says where it is wrong")
        elif each.verdict.severity in ("error", "warning"):
            cause = (each.verdict.severity, each.verdict.found, each.verdict.todo)
        else:
            continue
        causes.setdefault(cause, []).append(each)
    for (severity, said, todo), queries in causes.items():
        first, more = queries[0].asked, len(queries) - 1
        subject = f"{first.where}" + (f" and {more} more" if more else "")
        make = broken if severity == "error" else doubtful
        found.append(make(check, subject, f"{said} — {first.expr}" if len(first.expr) < 120 else said, todo))
    good = sum(1 for each in answered if not each.failure and each.verdict.severity == "ok")
    if good:
        empty = sum(1 for each in answered if not each.failure and not each.series and each.verdict.severity == "ok")
        idle = f", {empty} of them empty for want of traffic or alerts" if empty else ""
        what = {"dashboard": "queries", "rule": "queries of rules", "recording-rule": "queries of recording rules"}[
            check
        ]
        found.append(fine(check, "queries", f"{good} of {len(answered)} {what} answer{idle}"))
    return found


def _seconds(told: Any) -> float:
    return float(told) if isinstance(told, (int, float)) else 0.0


def _bare(failure: str) -> str:
    """Take what names the upstream off its words, so that equal faults are told once."""
    _, colon, said = failure.partition(" answered ")
    return f"it answers {said}" if colon else failure
