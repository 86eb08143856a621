"""Rule files as Prometheus, Mimir and Loki read them: groups of alerting rules, their names and their YAML. Pure.

Written by hand rather than by a YAML library: for 10,000 rules a library takes as long as Prometheus takes to load
them. What is written is a small part of YAML: block mappings and lists, and double-quoted texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

__all__ = ["Group", "Rule", "as_data", "dump", "file_name", "minutes", "quote"]

HEADER: Final = "# Written by featurewatch. What is changed here is overwritten: change the rule.\n"

_PLAIN: Final = re.compile(r"[a-z][a-z0-9._-]*")
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML does not: https://yaml.org/spec/1.2.2/#51-character-set"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One alerting rule of a file; minutes of 0 are left out."""

    alert: str
    expr: str
    for_minutes: int
    keep_firing_minutes: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """The rules that come of one rule of ours. Its name is stable: a new one would reset what fires.

    https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
    """

    name: str
    rules: tuple[Rule, ...] = field(default_factory=tuple)


def file_name(feature: str) -> str:
    """Name the file of a feature's rules: for different features different names, whatever the case means to the disk.

    >>> file_name("chat"), file_name("Chat")
    ('chat.yml', 'Chat~6e4ca13d.yml')
    """
    if _PLAIN.fullmatch(feature):
        return f"{feature}.yml"
    return f"{feature}~{blake2b(feature.encode(), digest_size=4).hexdigest()}.yml"


def minutes(count: int) -> str:
    """Write a duration as Prometheus does.

    >>> minutes(90), minutes(120), minutes(0)
    ('90m', '2h', '0s')
    """
    if not count:
        return "0s"
    return f"{count // 60}h" if count % 60 == 0 else f"{count}m"


def quote(text: str) -> str:
    """Write any text as a double-quoted YAML scalar; half of a surrogate pair, which no text has, becomes U+FFFD."""
    return _UNPRINTABLE.sub(_escaped, json.dumps(text, ensure_ascii=False))


def dump(groups: Iterable[Group], *, header: str = HEADER) -> str:
    """Write a rule file."""
    lines = [header, "groups:\n"]
    for group in groups:
        lines.append(f"  - name: {quote(group.name)}\n    rules:\n")
        for rule in group.rules:
            lines.append(f"      - alert: {quote(rule.alert)}\n        expr: {quote(rule.expr)}\n")
            if rule.for_minutes:
                lines.append(f"        for: {minutes(rule.for_minutes)}\n")
            if rule.keep_firing_minutes:
                lines.append(f"        keep_firing_for: {minutes(rule.keep_firing_minutes)}\n")
            lines.append(_mapping("labels", rule.labels))
            lines.append(_mapping("annotations", rule.annotations))
    return "".join(lines)


def as_data(groups: Iterable[Group]) -> dict[str, Any]:
    """Return a rule file as plain data, for what takes it as JSON or inside of something else."""
    return {"groups": [{"name": group.name, "rules": [_data(rule) for rule in group.rules]} for group in groups]}


def fingerprint(*parts: Any) -> str:
    """Digest what a rule is made of in eight hexadecimal digits."""
    return blake2b(repr(parts).encode("utf-8", "replace"), digest_size=4).hexdigest()


def _mapping(name: str, pairs: Mapping[str, str]) -> str:
    lines = "".join(f"          {key}: {quote(value)}\n" for key, value in pairs.items())
    return f"        {name}:\n{lines}" if lines else ""


def _data(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {"alert": rule.alert, "expr": rule.expr}
    if rule.for_minutes:
        data["for"] = minutes(rule.for_minutes)
    if rule.keep_firing_minutes:
        data["keep_firing_for"] = minutes(rule.keep_firing_minutes)
    return {**data, "labels": dict(rule.labels), "annotations": dict(rule.annotations)}


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return "\\uFFFD" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04X}"
