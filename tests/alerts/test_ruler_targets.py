"""Rules reach rulers that are told by their API: a real Loki, and a Mimir of our own making."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import replace

import httpx
import pytest

import loki as lokis
from featurewatch.alert_model import AlertRule, LogSelection
from featurewatch.alerts import loki as translation
from featurewatch.alerts.prometheus import Rendering
from featurewatch.alerts.routes import Route
from featurewatch.alerts.ruler_targets import ApiRuler, LokiRuler, MimirRuler
from featurewatch.alerts.rulers import Report, RuleGroup
from featurewatch.errors import Unavailable
from featurewatch.stores.upstream import Target, Upstream

from .fake_mimir import FakeMimir
from .groups import by_id, group

pytestmark = pytest.mark.anyio

RULER = """\
ruler: {{enable_api: true, poll_interval: 1s, evaluation_interval: 1s, rule_path: {folder}/ruler}}
ruler_storage: {{backend: filesystem, filesystem: {{dir: {folder}/data/rules}}}}
storage_config: {{use_thanos_objstore: true, object_store: {{filesystem: {{dir: {folder}/data/chunks}}}}}}
"""


@pytest.fixture
def mimir() -> Iterator[FakeMimir]:
    made = FakeMimir()
    yield made
    made.close()


@pytest.fixture(scope="module")
def loki_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Loki whose ruler takes rules by its API, which it does over object storage only."""
    if shutil.which("loki") is None:
        pytest.skip("no Loki to test against: put the program 'loki' on PATH")
    folder = tmp_path_factory.mktemp("loki-ruler")
    made = lokis.make(folder)
    with (folder / "loki.yaml").open("a") as config:
        config.write(RULER.format(folder=folder))
    made.start()
    yield made.url
    made.stop()


def told(name: str, url: str) -> Upstream:
    return Upstream(Target(name, f"FEATUREWATCH_{name.upper()}", url, tenant="team-a", timeout_s=10))


async def nothing(_: float) -> None: ...


@pytest.fixture
async def to_mimir(anyio_backend: str, mimir: FakeMimir) -> AsyncIterator[MimirRuler]:
    target = MimirRuler(told("Mimir", mimir.url), sleep=nothing, patience_s=2)
    await target.open()
    yield target
    await target.close()


async def publish(
    target: ApiRuler, wanted: Mapping[str, RuleGroup], *changed: str
) -> tuple[Report, dict[str, list[str]]]:
    states: dict[str, list[str]] = {}

    def progress(rules: Collection[str], state: str) -> None:
        for rule in rules:
            states.setdefault(rule, []).append(state)

    return await target.publish(wanted, changed or list(wanted), progress), states


async def test_mimir_takes_groups_one_by_one_and_names_the_bad(to_mimir: MimirRuler, mimir: FakeMimir) -> None:
    mimir.namespaces["theirs"] = {"x": {"name": "x", "rules": []}}
    wanted = by_id([group("a"), group("bad", "sum(up"), group("c", file="Search~1.yml", keep_firing=5)])
    report, states = await publish(to_mimir, wanted)
    assert set(report.refused) == {"bad"}
    assert "could not parse expression" in report.refused["bad"]
    assert states == {"a": ["written", "loaded"], "c": ["written", "loaded"]}
    assert set(mimir.namespaces) == {"theirs", "featurewatch-chat", "featurewatch-Search~1"}
    assert mimir.tenants == {"team-a"}
    (seen,) = await to_mimir.seen()
    assert set(seen) == {"featurewatch-a", "featurewatch-c"}


async def test_only_what_changed_is_written_and_what_is_gone_is_removed(to_mimir: MimirRuler, mimir: FakeMimir) -> None:
    wanted = by_id([group("a"), group("b")])
    await publish(to_mimir, wanted)
    mimir.writes.clear()
    wanted = {"a": group("a", "vector(2) > 0", revision=2)}
    assert (await publish(to_mimir, wanted, "a", "b"))[0] == Report()
    assert mimir.writes == ["featurewatch-a"]
    assert set(mimir.namespaces["featurewatch-chat"]) == {"featurewatch-a"}


async def test_of_a_rule_that_becomes_bad_the_last_good_edition_stays(to_mimir: MimirRuler, mimir: FakeMimir) -> None:
    await publish(to_mimir, by_id([group("a")]))
    report, _ = await publish(to_mimir, by_id([group("a", "sum(up", revision=2)]), "a")
    assert set(report.refused) == {"a"}
    assert mimir.namespaces["featurewatch-chat"]["featurewatch-a"]["rules"][0]["expr"] == "vector(1) > 0"
    assert await to_mimir.drifted() == ""


async def test_a_bridge_that_is_started_again_writes_nothing_anew(mimir: FakeMimir) -> None:
    wanted = by_id([group("a"), group("b")])
    for rules in (wanted, wanted, {"a": wanted["a"]}):
        target = MimirRuler(told("Mimir", mimir.url), sleep=nothing)
        assert (await publish(target, rules))[0] == Report()
        await target.close()
    assert sorted(mimir.writes) == ["featurewatch-a", "featurewatch-b"]
    assert set(mimir.namespaces["featurewatch-chat"]) == {"featurewatch-a"}


async def test_what_others_change_is_found_and_written_anew(to_mimir: MimirRuler, mimir: FakeMimir) -> None:
    wanted = by_id([group("a"), group("b")])
    await publish(to_mimir, wanted)
    assert await to_mimir.drifted() == ""
    del mimir.namespaces["featurewatch-chat"]["featurewatch-a"]
    mimir.namespaces["featurewatch-chat"]["featurewatch-b"]["rules"][0]["expr"] = "vector(9) > 0"
    assert "featurewatch-a, featurewatch-b" in await to_mimir.drifted()
    assert (await publish(to_mimir, wanted))[0] == Report()
    assert await to_mimir.drifted() == ""
    assert (await to_mimir.seen())[0].keys() == {"featurewatch-a", "featurewatch-b"}


async def test_a_ruler_that_is_away_is_told_of() -> None:
    target = MimirRuler(told("Mimir", "http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match=r"Mimir at http://127\.0\.0\.1:9 cannot be reached"):
        await publish(target, by_id([group("a")]))
    await target.close()


RULE = AlertRule(
    "r1",
    "chat",
    "Errors",
    "log_entries",
    "greater_than",
    3,
    "high",
    kind="logs",
    logs=LogSelection(("error",), 'time"out'),
)


def on_lines(rule: AlertRule) -> RuleGroup:
    return RuleGroup(rule.id, rule.revision, "chat.yml", translation.group(rule, Rendering()), Route((), 0))


@pytest.mark.stack
async def test_a_real_loki_takes_shows_and_evaluates_rules_on_lines(loki_url: str) -> None:
    target = LokiRuler(told("Loki", loki_url), patience_s=30)
    wanted = {
        "r1": on_lines(RULE),
        "r2": on_lines(replace(RULE, id="r2", name="Quiet", condition="less_than", environment="production")),
        "r3": on_lines(replace(RULE, id="r3", keep_firing_minutes=5)),
        "r4": replace(group("r4", "sum by (feature)("), file="chat.yml"),
    }
    try:
        report, states = await publish(target, wanted)
        assert (report.waiting, set(report.refused)) == ("", {"r3", "r4"})
        assert "keep_firing_minutes" in report.refused["r3"]
        assert "parse error" in report.refused["r4"]
        assert states == {"r1": ["written", "loaded"], "r2": ["written", "loaded"]}
        assert await target.drifted() == ""
        edited = replace(RULE, threshold=9, revision=2)
        assert (await publish(target, {"r1": on_lines(edited)}, "r1", "r2", "r3", "r4"))[0] == Report()
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(f"{loki_url}/loki/api/v1/rules", headers={"X-Scope-OrgID": "team-a"})
        assert ("> 9" in answer.text, "featurewatch-r2" in answer.text) == (True, False)
    finally:
        await target.close()
