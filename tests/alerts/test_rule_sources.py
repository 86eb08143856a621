"""What is published: the enabled rules of all features, translated, and told apart by versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from featurewatch.alert_model import AlertRule, Deed, LogSelection
from featurewatch.alerts.prometheus import Rendering
from featurewatch.alerts.routes import Route
from featurewatch.alerts.rule_sources import Translated
from featurewatch.alerts.rulers import RuleSource
from featurewatch.model import FeatureKey, FeatureRecord, Slo
from featurewatch.stores.state import State
from featurewatch.stores.state_rules import Rules

pytestmark = pytest.mark.anyio

RULE = AlertRule(
    "r1", "chat", "Errors", "error_rate", "greater_than", 20.0, "high", channels=("ops",), on_no_data="alert"
)
LINES = replace(
    RULE, id="r2", name="Lines", kind="logs", metric="log_entries", logs=LogSelection(), on_no_data="ignore"
)
OFF = replace(RULE, id="r3", name="Off", enabled=False)
DEED = Deed("ada", "rule.create", "chat", "r", 1)


@pytest.fixture
async def state(tmp_path: Path, anyio_backend: str) -> AsyncIterator[State]:
    state = await State.open(f"sqlite:///{tmp_path}/state.db")
    for rule in (RULE, LINES, OFF):
        await Rules(state.database).create(rule, DEED)
    await state.save_feature(FeatureRecord("chat", "Chat"))
    yield state
    await state.close()


def source(state: State, kind: str = "metric") -> RuleSource:
    return Translated(Rules(state.database), state, kind, rendering=Rendering)  # type: ignore[arg-type]  # a literal


async def test_enabled_rules_of_the_kind_are_published(state: State) -> None:
    assert list(await source(state).versions()) == ["r1"]
    assert list(await source(state, "logs").versions()) == ["r2"]
    (figures,) = await source(state).groups(["r1", "r2", "r3", "gone"])
    assert (figures.id, figures.revision, figures.file, figures.route) == ("r1", 1, "chat.yml", Route(("ops",), 60))
    assert "error" in figures.group.rules[0].expr
    (lines,) = await source(state, "logs").groups(["r1", "r2", "r3", "gone"])
    assert "count_over_time" in lines.group.rules[0].expr


async def test_an_objective_is_published_as_its_rules(state: State) -> None:
    await state.save_feature(FeatureRecord("chat", "Chat", slo=Slo(99.5, channels=("pager",))))
    ids = [f"slo-chat-{n}" for n in (1, 2, 3, 4)]
    assert list(await source(state).versions()) == ["r1", *ids]
    assert [one.id for one in await source(state).groups(ids[1:3])] == ids[1:3]
    assert (await source(state).groups(ids[:1]))[0].route == Route(("pager",), 60)
    assert list(await source(state, "logs").versions()) == ["r2"]


async def test_a_version_changes_with_what_the_translation_is_made_of(state: State) -> None:
    published = source(state)
    first = await published.versions()
    assert first == await published.versions()
    edited = await Rules(state.database).replace(replace(RULE, threshold=5.0), DEED)
    second = await published.versions()
    assert second != first
    (before,) = await published.groups(["r1"])
    await state.see([FeatureKey("chat", "staging")], {})
    third = await published.versions()
    assert third != second
    (after,) = await published.groups(["r1"])
    assert before.revision == after.revision == edited.revision
    assert "staging" not in before.group.rules[1].expr
    assert "staging" in after.group.rules[1].expr
