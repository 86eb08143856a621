"""What promtool or our own check refuses is named, each by itself, in few steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alerts.halves import bisect
from featurewatch.alerts.rule_check import RuleCheck, misshapen, read_groups
from featurewatch.alerts.rule_files import dump
from featurewatch.alerts.rulers import RuleGroup
from featurewatch.alerts.tools import Tool
from featurewatch.errors import Unavailable

from .groups import group
from .promtool import needs_promtool


@given(st.sets(st.integers(0, 199), min_size=1, max_size=6))
def test_halving_finds_all_that_are_bad_in_few_steps(bad: set[int]) -> None:
    steps = 0

    async def check(items: Sequence[int]) -> str:
        nonlocal steps
        steps += 1
        found = bad & set(items)
        return f"{min(found)} is bad" if found else ""

    assert dict(asyncio.run(bisect(range(200), check, ""))) == {number: f"{number} is bad" for number in bad}
    assert steps <= 2 * len(bad) * 8


@pytest.mark.anyio
async def test_what_is_refused_only_together_is_all_named() -> None:
    async def check(items: Sequence[str]) -> str:
        return "a name is there twice" if len(items) > 1 else ""

    assert await bisect(["a", "b"], check, "twice") == [("a", "twice"), ("b", "twice")]


async def refused(groups: Sequence[RuleGroup], folder: Path, program: str) -> dict[str, str]:
    content = dump(each.group for each in groups).encode()
    (folder / "chat.yml").write_bytes(content)
    return await RuleCheck(Tool(program, "PROMTOOL")).refused(groups, {"chat.yml": content}, folder)


@pytest.mark.anyio
@needs_promtool
async def test_promtools_own_words_name_the_rule(tmp_path: Path) -> None:
    groups = [group("good"), group("a", "sum("), group("b", "up >"), group("c", "nosuch(up)")]
    told = await refused(groups, tmp_path, "promtool")
    assert set(told) == {"a", "b", "c"}
    assert all("parse error" in reason and "\n" not in reason for reason in told.values())


@pytest.mark.anyio
@needs_promtool
async def test_a_promtool_that_names_no_rule_is_asked_by_halves(tmp_path: Path) -> None:
    """One that says only that something is wrong, as another release might."""
    program = tmp_path / "promtool"
    program.write_text('#!/bin/sh\nif grep -q bad *.yml; then echo "something is wrong"; exit 1; fi\n')
    program.chmod(0o755)
    groups = [group("a"), group("x", "vector(1) > bad"), group("c"), group("d")]
    assert await refused(groups, tmp_path, str(program)) == {"x": "something is wrong"}


@pytest.mark.anyio
async def test_a_promtool_that_never_ends_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "promtool"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    tool = Tool(str(program), "PROMTOOL", timeout_s=0.2)
    with pytest.raises(Unavailable, match=r"PROMTOOL: .* did not end within 0.2 s; nothing was published"):
        await tool.run(["check"], tmp_path)


@pytest.mark.anyio
async def test_a_promtool_that_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    program = tmp_path / "promtool"
    program.write_text("#!/nowhere/at/all\n")
    program.chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be run"):
        await Tool(str(program), "PROMTOOL").run([], tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: [", "no YAML"),
        ("[]", "a list of groups"),
        ("groups: [{name: a}]", "a name and rules"),
        ("groups: [{name: a, rules: []}, {name: a, rules: []}]", "there twice"),
        ("groups: [{name: a, rules: [1]}]", "expected a rule"),
        ("groups: [{name: a, rules: [{alert: x, expr: up, fore: 1m}]}]", "unknown field fore"),
        ("groups: [{name: a, rules: [{alert: x}]}]", "expr is missing"),
        ("groups: [{name: a, rules: [{alert: x, expr: up, for: soon}]}]", "expected a duration"),
        ("groups: [{name: a, rules: [{alert: x, expr: up, labels: {1: a}}]}]", "invalid name"),
        ("groups: [{name: a, rules: [{alert: x, expr: up, labels: {a: 1}}]}]", "expected text for a"),
        ("groups: [{name: a, rules: [{alert: x, expr: 'up)'}]}]", "unexpected ')'"),
        ("groups: [{name: a, rules: [{alert: x, expr: 'up{a=\"b}'}]}]", "a text has no end"),
        ("groups: [{name: a, rules: [{alert: x, expr: 'sum(up[5m)'}]}]", "unexpected ')'"),
    ],
)
def test_our_own_check_finds_what_has_no_shape(text: str, said: str) -> None:
    assert said in misshapen([text.encode()])


def test_our_own_check_lets_brackets_in_texts_pass_and_reads_back_what_we_write() -> None:
    groups = [group("a", 'up{a="(", b=\'[\', c=`{"`} > 0'), group("b", keep_firing=90)]
    content = dump(each.group for each in groups).encode()
    assert misshapen([content]) == ""
    assert read_groups(content) == [each.group for each in groups]
    assert read_groups(b"groups: [") == read_groups(b"") == []
