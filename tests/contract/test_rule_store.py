"""Rules and the audit over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from featurewatch.alert_model import AlertRule, Deed, Deployment, LogSelection
from featurewatch.errors import BadInput, Conflict, NotFound, StaleEdit
from featurewatch.model import FeatureRecord, Slo
from featurewatch.stores.alert_base import AuditLog, RuleStore
from featurewatch.stores.state import State
from featurewatch.stores.state_audit import Audit
from featurewatch.stores.state_rules import Rules, users_of

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000_000_000
HOUR = 3_600_000_000_000

RULE = AlertRule(
    "r1", "chat", "Errors", "error_rate", "greater_than", 20.0, "high", channels=("ops", "mail"), environment="staging",
    created_ns=NOW, created_by="ada", updated_ns=NOW, updated_by="ada", for_minutes=0, on_no_data="alert",
)  # fmt: skip
LINES = AlertRule(
    "r2", "chat", "Lines é\U0001f600", "log_entries", "less_than", 1.0, "low", kind="logs", enabled=False,
    logs=LogSelection(("warn", "fatal"), "a\"b\\", "worker"), origin="file",
)  # fmt: skip
OTHER = replace(RULE, id="r3", feature="search")


def deed(action: str, target: str = "r1", feature: str = "chat", at_ns: int = NOW, actor: str = "ada") -> Deed:
    return Deed(actor, action, feature, target, at_ns, {"threshold": [1, 2]})


@pytest.fixture
async def state(url: str, anyio_backend: str) -> AsyncIterator[State]:
    state = await State.open(url)
    yield state
    await state.close()


@pytest.fixture
def store(state: State) -> RuleStore:
    return Rules(state.database)


@pytest.fixture
def audit(state: State) -> AuditLog:
    return Audit(state.database, clock=lambda: NOW)


async def deeds(audit: AuditLog) -> list[tuple[str, str]]:
    return [(one.action, one.target) for one in (await audit.page()).deeds]


async def test_a_rule_comes_back_as_it_was_kept(store: RuleStore, audit: AuditLog) -> None:
    for rule in (LINES, RULE, OTHER):
        assert await store.create(rule, deed("rule.create", rule.id)) == rule
    assert await store.rules() == [RULE, LINES, OTHER]
    assert await store.rules("chat") == [RULE, LINES]
    assert await store.rule("chat", "r2") == LINES
    assert await store.rules_by_id(["r3", "gone", "r1"]) == [RULE, OTHER]
    assert await store.versions("metric") == {"r1": ("chat", 1), "r3": ("search", 1)}
    assert await store.versions("logs") == {}, "it is disabled"
    assert await deeds(audit) == [("rule.create", "r3"), ("rule.create", "r1"), ("rule.create", "r2")]


async def test_a_rule_belongs_to_its_feature(store: RuleStore) -> None:
    await store.create(RULE, deed("rule.create"))
    assert await store.rule("search", "r1") is None
    with pytest.raises(NotFound, match="rule 'r1' of search"):
        await store.replace(replace(RULE, feature="search"), deed("rule.change"))
    with pytest.raises(NotFound):
        await store.delete("search", "r1", deed("rule.delete"))


async def test_an_edit_counts_and_keeps_who_made_the_rule(store: RuleStore) -> None:
    await store.create(RULE, deed("rule.create"))
    edit = replace(RULE, threshold=5.0, updated_by="bob", updated_ns=NOW + 1, created_by="bob", revision=77)
    edited = await store.replace(edit, deed("rule.change"))
    assert edited == replace(RULE, threshold=5.0, updated_by="bob", updated_ns=NOW + 1, revision=2)
    assert await store.rule("chat", "r1") == edited


async def test_an_edit_of_an_older_revision_is_refused_and_leaves_no_trace(store: RuleStore, audit: AuditLog) -> None:
    await store.create(RULE, deed("rule.create"))
    await store.replace(RULE, deed("rule.change"), expected=1)
    for attempt in (
        store.replace(replace(RULE, threshold=1.0), deed("rule.change"), expected=1),
        store.delete("chat", "r1", deed("rule.delete"), expected=1),
    ):
        with pytest.raises(StaleEdit, match="expected revision 1, it is 2"):
            await attempt
    assert await store.rule("chat", "r1") == replace(RULE, revision=2)
    assert [action for action, _ in await deeds(audit)] == ["rule.change", "rule.create"]


async def test_two_rules_of_a_feature_have_different_names(store: RuleStore, audit: AuditLog) -> None:
    await store.create(RULE, deed("rule.create"))
    await store.create(LINES, deed("rule.create"))
    await store.create(OTHER, deed("rule.create"))
    with pytest.raises(Conflict, match="chat has a rule named 'Errors' already, r1"):
        await store.create(replace(RULE, id="r9"), deed("rule.create", "r9"))
    with pytest.raises(Conflict):
        await store.replace(replace(LINES, name="Errors"), deed("rule.change", "r2"))
    assert await store.rules("chat") == [RULE, LINES]
    assert len(await deeds(audit)) == 3


async def test_how_far_a_rule_got_stands_with_it_and_goes_with_it(store: RuleStore) -> None:
    await store.create(RULE, deed("rule.create"))
    written, failed = Deployment(1, "written", None, NOW), Deployment(1, "failed", "no such function", NOW + 1)
    await store.deploy({"r1": written, "slo-chat-1": written})
    assert await store.rule("chat", "r1") == replace(RULE, deployment=written)
    await store.deploy({"r1": failed})
    await store.deploy({})
    assert (await store.rules())[0].deployment == failed
    assert await store.deployments(["r1", "slo-chat-1", "gone"]) == {"r1": failed, "slo-chat-1": written}
    assert await store.delete("chat", "r1", deed("rule.delete")) == replace(RULE, deployment=failed)
    assert await store.deployments(["r1"]) == {}
    assert await store.rules() == []


async def test_the_rules_of_a_feature_go_together(store: RuleStore, audit: AuditLog) -> None:
    for rule in (RULE, LINES, OTHER):
        await store.create(rule, deed("rule.create", rule.id))
    gone = await store.delete_all("chat", deed("feature.forget", "chat"))
    assert gone == [RULE, LINES]
    assert await store.rules() == [OTHER]
    newest = (await audit.page(limit=1)).deeds[0]
    assert newest.details["rules"] == [RULE.name, LINES.name]
    assert await store.delete_all("chat", deed("feature.forget", "chat")) == []
    assert len(await deeds(audit)) == 4, "nothing was done"


async def test_who_uses_a_channel_is_known(state: State, store: RuleStore) -> None:
    await store.create(RULE, deed("rule.create"))
    await store.create(replace(OTHER, channels=("pager",)), deed("rule.create"))
    await state.save_feature(FeatureRecord("summarize", "Summaries", slo=Slo(99.5, "30d", ("pager",))))
    users = [await state.database.read(lambda c, name=name: users_of(c, name)) for name in ("ops", "pager", "none")]  # type: ignore[misc]  # a default binds it
    assert users == [["chat/Errors"], ["search/Errors", "summarize's slo"], []]


async def test_thousands_of_rules_are_told_at_once(store: RuleStore) -> None:
    told = {f"r{n}": Deployment(1, "loaded", None, n) for n in range(1200)}
    await store.deploy(told)
    await store.deploy(told)
    assert await store.deployments(told) == told


async def test_deeds_are_found_by_whose_who_and_what(audit: AuditLog) -> None:
    told = [
        deed("rule.create", at_ns=NOW),
        deed("rule.delete", feature="search", at_ns=NOW + 1),
        deed("channel.create", "ops", "", NOW + 2, "bob"),
        deed("ruler", at_ns=NOW + 3),
    ]
    for one in told:
        await audit.record(one)
    kept = [replace(one, position=at) for at, one in enumerate(told, 1)]
    assert list((await audit.page()).deeds) == kept[::-1]
    assert (await audit.page(features=["search"])).deeds == (kept[1],)
    assert (await audit.page(features=[])).deeds == ()
    assert (await audit.page(actor="bob")).deeds == (kept[2],)
    assert (await audit.page(action="rule")).deeds == (kept[1], kept[0])
    assert (await audit.page(action="rule.create")).deeds == (kept[0],)
    assert (await audit.page(start_ns=NOW + 1, end_ns=NOW + 3)).deeds == (kept[2], kept[1])


async def test_deeds_are_paged_without_a_gap(audit: AuditLog) -> None:
    for n in range(7):
        await audit.record(deed("rule.change", str(n)))
    found, cursor = [], ""
    while True:
        page = await audit.page(limit=3, cursor=cursor)
        found += [one.target for one in page.deeds]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert found == ["6", "5", "4", "3", "2", "1", "0"]
    with pytest.raises(BadInput, match="cursor"):
        await audit.page(cursor="no cursor")


async def test_old_deeds_are_forgotten_but_for_the_newest(state: State) -> None:
    now = NOW
    audit = Audit(state.database, clock=lambda: now, retention_s=10)
    await audit.record(deed("rule.create", "old", at_ns=NOW - 20 * 1_000_000_000))
    await audit.record(deed("rule.create", "new", at_ns=NOW))
    now = NOW + 2 * HOUR
    await audit.record(deed("rule.create", "newest", at_ns=now))
    assert [one.target for one in (await audit.page()).deeds] == ["newest"]


async def test_names_that_a_database_would_refuse_are_mended(audit: AuditLog) -> None:
    await audit.record(Deed("a\0b\ud800", "rule.create", "chat", "r\0", NOW, {"name": "x\ud800"}))
    found = (await audit.page()).deeds[0]
    assert (found.actor, found.target, found.details) == ("ab?", "r", {"name": "x?"})
