"""Whether what was published is what a server evaluates: read from `/api/v1/rules`, compared rule by rule. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from ..errors import BadInput, UpstreamError
from ..times import parse_instant
from .rule_files import Rule
from .rulers import RuleGroup, SeenGroup, SeenRule

__all__ = ["PREFIX", "differs", "same_expression", "seen_groups"]

PREFIX: Final = "featurewatch-"
"""How the names of our groups begin."""

_LONG: Final = 1 << 20
_FEW: Final = 20
"""So few groups are cut out of an answer of so many bytes."""

_TOKEN: Final = re.compile(
    r"""\s+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|.""", re.DOTALL
)


def seen_groups(answer: bytes, place: str, names: Collection[str] = ()) -> dict[str, SeenGroup]:
    """Read our groups from an answer of `/api/v1/rules`; its form is Prometheus's, and so is Mimir's and Loki's.

    https://prometheus.io/docs/prometheus/latest/querying/api/#rules

    Args:
        names: these alone, and one other of ours if there is one, as a sign that ours are read; empty: all of ours.

    Raises:
        UpstreamError: it is something else.
    """
    try:
        if names and (cut := _cut_out(answer, names)):
            return cut
        ours = [group for group in orjson.loads(answer)["data"]["groups"] if group["name"].startswith(PREFIX)]
        if names:
            wanted = frozenset(names)
            ours = [group for group in ours if group["name"] in wanted] or ours[:1]
        return {group["name"]: _group(group) for group in ours}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UpstreamError(f"{place} answered with something else than rules: is the address right?") from None


def differs(group: RuleGroup, seen: SeenGroup | None, where: str) -> str:
    """Say in what a group that a server shows is another than the one published, "" where it is the same.

    Expressions are compared by `same_expression`; one that a server only writes differently is for the caller to ask
    about, who finds `expr` in the answer.
    """
    if seen is None:
        return f"{where} does not show it"
    if len(seen.rules) != len(group.group.rules):
        return f"{where} shows {len(seen.rules)} rules of it, expected {len(group.group.rules)}"
    for rule, shown in zip(group.group.rules, seen.rules, strict=True):
        if wrong := _differs(rule, shown):
            return f"{where} shows another {wrong}"
    return ""


def same_expression(one: str, other: str) -> bool:
    """Whether two expressions are the same but for white space, quotes and how numbers are written.

    Most differ in spaces alone: looking at these first is a hundred times as fast.
    """
    return one.replace(" ", "") == other.replace(" ", "") or _canonical(one) == _canonical(other)


def _differs(rule: Rule, shown: SeenRule) -> str:
    if rule.alert != shown.alert:
        return "name"
    if dict(rule.labels) != dict(shown.labels):
        return "set of labels"
    if rule.for_minutes * 60 != shown.for_s or shown.keep_firing_s not in (None, rule.keep_firing_minutes * 60):
        return "duration"
    if dict(rule.annotations) != dict(shown.annotations):
        return "set of annotations"
    return "" if same_expression(rule.expr, shown.expr) else "expr"


def _cut_out(answer: bytes, names: Collection[str]) -> dict[str, SeenGroup]:
    """Read a few groups out of a long list without reading all of it; nothing where one is not found so.

    A group begins as Prometheus writes it; within a text its quotes would be escaped, so that no text looks like it.
    """
    if len(answer) < _LONG or len(names) > _FEW:
        return {}
    text = answer.decode()
    found = {}
    for name in names:
        at = text.find(f'{{"name":{json.dumps(name)},"file":')
        if at < 0:
            return {}
        found[name] = _group(json.JSONDecoder().raw_decode(text, at)[0])
    return found


def _group(told: Mapping[str, Any]) -> SeenGroup:
    return SeenGroup(told["name"], told["file"], tuple(map(_rule, told["rules"])))


def _rule(told: Mapping[str, Any]) -> SeenRule:
    return SeenRule(
        alert=told["name"],
        expr=told["query"],
        labels=told.get("labels") or {},
        annotations=told.get("annotations") or {},
        for_s=told.get("duration", 0),
        keep_firing_s=told.get("keepFiringFor"),
        health=told.get("health", "unknown"),
        error=told.get("lastError", ""),
        evaluated_ns=_instant(told.get("lastEvaluation", "")),
    )


def _instant(text: str) -> int:
    """Read when a rule was evaluated; the year 1 means never."""
    if not text or text.startswith("0001"):
        return 0
    try:
        return parse_instant(text)
    except BadInput:
        return 0


def _canonical(expression: str) -> list[str]:
    return [_written(token) for token in _TOKEN.findall(expression) if not token.isspace()]


def _written(token: str) -> str:
    if token[0].isdigit():
        return f"{float(token):g}" if float(token) < 1e15 else token
    if len(token) > 1 and token[0] in "'`" and '"' not in token and "\\" not in token:
        return f'"{token[1:-1]}"'
    return token
