"""Whether rules would be accepted, as promtool says, or a check of our own where it is absent; the bad are named."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from .halves import bisect
from .rule_files import Group, Rule, dump
from .rulers import RuleGroup
from .tools import Tool

__all__ = ["RuleCheck", "misshapen", "read_groups"]

_NAMED: Final = re.compile(r'group "([^"]+)", rule \d+, (?:"(?:[^"\\]|\\.)*"|[^:]*): (.+)')
_ARGUMENTS: Final = 1_000_000
"""Bytes of file names that one command line takes; Linux allows two million with the environment."""
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[smhdwy]))+|0")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where PyYAML has it: ten times as fast."""

_RULE_KEYS: Final = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}


class RuleCheck:
    """Checks rule files as `promtool check rules` does."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    async def refused(self, groups: Sequence[RuleGroup], files: Mapping[str, bytes], folder: Path) -> dict[str, str]:
        """Return the groups that would be refused, by id, each with the reason; one run where all is well.

        Args:
            groups: what `files` consist of.
            files: by name, as they are in `folder`.

        Raises:
            Unavailable: promtool cannot be run, or does not end.
        """
        reason = await self._files(sorted(files), folder) if self._tool.path else misshapen(files.values())
        if not reason:
            return {}
        found = self._named(groups, reason)
        rest = [group for group in groups if group.id not in found]
        said = await self._groups(rest) if rest else ""
        return found | ({group.id: why for group, why in await bisect(rest, self._groups, said)} if said else {})

    async def _files(self, names: Sequence[str], folder: Path) -> str:
        said = []
        for part in _parts(names):
            ran = await self._tool.run(["check", "rules", "--lint=none", *part], folder)
            if ran is not None and ran.code:
                said.append(ran.output)
        return "\n".join(said)

    async def _groups(self, groups: Sequence[RuleGroup]) -> str:
        """Check groups by themselves, and return what is wrong in one line, "" where nothing is."""
        text = dump(group.group for group in groups).encode()
        if self._tool.path is None:
            return misshapen([text])
        with tempfile.TemporaryDirectory(prefix="featurewatch-") as folder:
            (Path(folder) / "rules.yml").write_bytes(text)
            said = await self._files(["rules.yml"], Path(folder))
        return _line(said) if said else ""

    @staticmethod
    def _named(groups: Sequence[RuleGroup], output: str) -> dict[str, str]:
        """Read the groups that promtool names itself; it does for expressions, labels and templates."""
        ids = {group.group.name: group.id for group in groups}
        found: dict[str, str] = {}
        for name, reason in _NAMED.findall(output):
            if name in ids:
                found.setdefault(ids[name], reason.strip())
        return found


def misshapen(files: Any) -> str:
    """Say what is wrong with the shape of rule files, "" where nothing is. Expressions are only looked at for brackets.

    Args:
        files: their contents.
    """
    names: set[str] = set()
    for content in files:
        try:
            told = yaml.load(content, Loader=_LOADER)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            return f"no YAML: {_line(str(error))}"
        if not isinstance(told, dict) or not isinstance(told.get("groups"), list):
            return "expected a list of groups"
        for group in told["groups"]:
            name = group.get("name") if isinstance(group, dict) else None
            if not isinstance(name, str) or not isinstance(group.get("rules"), list):
                return "expected groups with a name and rules"
            if name in names:
                return f'group "{name}", rule 1, "": the name is there twice'
            names.add(name)
            for number, rule in enumerate(group["rules"], 1):
                if wrong := _wrong(rule):
                    return f'group "{name}", rule {number}, "": {wrong}'
    return ""


def read_groups(content: bytes) -> list[Group]:
    """Read a rule file that `rule_files.dump` wrote; nothing of one that is broken."""
    try:
        groups = yaml.load(content, Loader=_LOADER)["groups"]
        return [Group(group["name"], tuple(map(_read, group["rules"]))) for group in groups]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return []


def _read(rule: Any) -> Rule:
    lasting, keeping = (_minutes(str(rule.get(name, "0m"))) for name in ("for", "keep_firing_for"))
    return Rule(rule["alert"], rule["expr"], lasting, keeping, rule.get("labels", {}), rule.get("annotations", {}))


def _minutes(text: str) -> int:
    return int(text[:-1]) * (60 if text.endswith("h") else 1)


def _wrong(rule: Any) -> str:
    if not isinstance(rule, dict):
        return "expected a rule"
    if unknown := sorted(set(rule) - _RULE_KEYS):
        return f"unknown field {unknown[0]}"
    for name in ("alert", "expr"):
        if not isinstance(rule.get(name), str) or not rule[name].strip():
            return f"{name} is missing"
    for name in ("for", "keep_firing_for"):
        if name in rule and _DURATION.fullmatch(str(rule[name])) is None:
            return f"{name}: expected a duration, got {rule[name]!r}"
    for name in ("labels", "annotations"):
        pairs = rule.get(name, {})
        if not isinstance(pairs, dict):
            return f"{name}: expected names and texts"
        for key, value in pairs.items():
            if _LABEL.fullmatch(str(key)) is None or key == "__name__":
                return f"{name}: invalid name {key!r}"
            if not isinstance(value, str):
                return f"{name}: expected text for {key}"
    return _unbalanced(rule["expr"])


def _unbalanced(expression: str) -> str:
    """Say where the brackets or quotes of an expression do not match."""
    open_: list[str] = []
    quote = ""
    escaped = False
    for letter in expression:
        if quote:
            if escaped:
                escaped = False
            elif letter == "\\" and quote != "`":
                escaped = True
            elif letter == quote:
                quote = ""
        elif letter in "\"'`":
            quote = letter
        elif letter in "([{":
            open_.append(letter)
        elif letter in ")]}" and (not open_ or open_.pop() != _PAIRS[letter]):
            return f"could not parse expression: unexpected {letter!r}"
    if quote:
        return "could not parse expression: a text has no end"
    return f"could not parse expression: {open_[-1]!r} is not closed" if open_ else ""


def _parts(names: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    length = 0
    for name in names:
        length += len(name.encode()) + 9
        if length > _ARGUMENTS:
            parts.append([])
            length = len(name.encode()) + 9
        parts[-1].append(name)
    return parts


def _line(output: str) -> str:
    """Return the line of promtool's output that says what is wrong."""
    named = _NAMED.search(output)
    if named:
        return named[2].strip()
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Checking", "SUCCESS", "FAILED"))]
    return " ".join(told[:3])[:300] or "refused without a reason"
