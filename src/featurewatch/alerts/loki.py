r"""Rules on lines, translated for Loki's ruler. Pure. https://grafana.com/docs/loki/latest/alert/

What users say reaches LogQL in double quotes alone. A search is a substring of message, source or metadata in whatever
case, so these are joined into one text, parted by a character that no one searches for, and looked at as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..alert_model import AlertRule, LogSelection
from ..levels import names_of
from ..model import LEVELS, Level
from ..stores.promql import duration
from . import texts
from .conditions import holds
from .prometheus import (
    FIGURE,
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

__all__ = ["group", "quoted", "render", "selection"]

_PARTED: Final = "\x1f"
_JOINED: Final = f"{{{{__line__}}}}{_PARTED}{{{{.source}}}}{_PARTED}{{{{.metadata}}}}"
_DEFAULT_SOURCE: Final = "app"
_UNTOLD: Final[Level] = "info"
"""What a line is that says no level."""


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
        f"sum by (feature, environment) (count_over_time({_streams(rule)}{selection(rule.logs or LogSelection())}"
        f"[{duration(rule.window_minutes * 60)}]))"
    )
    if holds(rule.metric, rule.condition, rule.threshold, 0):
        counted = " or ".join([counted, *_zeros(rule, rendering)])
    expr = compared(counted, rule)
    named, said = labels_of(rule), annotations_of(rule, rendering, texts.message(rule, FIGURE), VALUE)
    digest = fingerprint(expr, rule.for_minutes, rule.keep_firing_minutes, named, said)
    said[REVISION] = f"{rule.revision}.{digest}"
    return Group(
        group_name(rule.id),
        (Rule(rule.name, expr, rule.for_minutes, rule.keep_firing_minutes, named, said),),
    )


def selection(logs: LogSelection) -> str:
    """Write the stages that leave the lines which a rule counts."""
    return _levels(logs) + _source(logs.source) + _search(logs.search)


def quoted(text: str) -> str:
    r"""Write a text as a string of LogQL, in plain ASCII; half of a surrogate pair becomes U+FFFD.

    >>> quoted('a"b')
    '"a\\\\"b"'
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def _streams(rule: AlertRule) -> str:
    environment = f",environment={quoted(rule.environment)}" if rule.environment else ""
    return f"{{feature={quoted(rule.feature)}{environment}}}"


def _levels(logs: LogSelection) -> str:
    """Look at the level that a line says by any of its names, else at the one that Loki found."""
    if not logs.levels or len(logs.levels) == len(LEVELS):
        return ""
    names = [name for level in logs.levels for name in names_of(level)]
    found = [*names, *(("unknown", "") if _UNTOLD in logs.levels else ())]
    return f' | level=~{_one_of(names)} or (level="" and detected_level=~{_one_of(found)})'


def _source(source: str) -> str:
    if not source:
        return ""
    either = ' or source=""' if source == _DEFAULT_SOURCE else ""
    return f" | source={quoted(source)}{either}"


def _search(search: str) -> str:
    if not search:
        return ""
    pattern = "(?i)" + "".join(map(_literal, search))
    return f" | line_format {quoted(_JOINED)} |~ {quoted(pattern)}"


def _zeros(rule: AlertRule, rendering: Rendering) -> list[str]:
    """Write a 0 for each environment: where there are no lines, Loki has no series to compare."""
    return [
        f'label_replace(label_replace(vector(0), "feature", {quoted(rule.feature)}, "", ""), '
        f'"environment", {quoted(environment)}, "", "")'
        for environment in environments_of(rule, rendering)
    ]


def _one_of(names: Iterable[str]) -> str:
    return quoted(f"(?i)({'|'.join(''.join(map(_literal, name)) for name in names)})")


def _literal(character: str) -> str:
    """Write one character so that a pattern means just it."""
    return character if character.isascii() and character.isalnum() else f"\\x{{{_code(character):x}}}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    code = _code(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _code(character: str) -> int:
    return 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
