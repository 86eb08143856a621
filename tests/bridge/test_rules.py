"""Alert rules over REST: made, changed, deleted, tried out; who did it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurewatch import tokens
from featurewatch.alert_model import Channel, Deed, Deployment
from featurewatch.stores import Stores
from featurewatch.times import format_instant

from .running import API, bridge, client_of

pytestmark = pytest.mark.anyio

RULES = f"{API}/features/chat/alerts/rules"
ERRORS: dict[str, Any] = {
    "name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high",
}  # fmt: skip


@pytest.fixture
async def client(anyio_backend: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A bridge with a feature, chat, and a channel, ops."""
    async with bridge(tmp_path) as running:
        await running.put(f"{API}/features/chat", json={"name": "Chat"})
        deed = Deed("ada", "channel.create", "", "ops", 1)
        await stores_of(running).channels.save(Channel("ops", "webhook", {"url": "http://127.0.0.1:1/"}), deed)
        yield running


def stores_of(client: httpx.AsyncClient) -> Stores:
    stores: Stores = client.app.state.bridge.stores  # type: ignore[attr-defined]  # put there by client_of
    return stores


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(RULES, json={**ERRORS, **changes})
    assert answer.status_code == 201, answer.text
    rule: dict[str, Any] = answer.json()["rule"]
    return rule


async def deeds(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/audit", params=query)
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["deeds"]
    return told


async def test_a_rule_is_made_with_its_defaults_and_shown_where_it_says(client: httpx.AsyncClient) -> None:
    answer = await client.post(RULES, json={**ERRORS, "metric": "metrics.error_rate", "notification_channels": ["ops"]})
    rule = answer.json()["rule"]
    assert {name: rule[name] for name in ERRORS} == ERRORS
    assert rule["featureId"] == "chat"
    assert (rule["enabled"], rule["cooldown_minutes"], rule["window_minutes"], rule["for_minutes"]) == (True, 60, 5, 1)
    assert (rule["keep_firing_minutes"], rule["on_no_data"], rule["environment"]) == (0, "ignore", None)
    assert rule["notification_channels"] == ["ops"]
    assert rule["revision"] == 1
    assert rule["created_by"] == "anonymous"
    assert rule["deployment"] == {"revision": 1, "state": "saved", "error": None, "at": rule["created_at"]}
    shown = await client.get(answer.headers["location"])
    assert shown.json() == {"rule": rule}
    assert (await client.get(RULES)).json() == {"rules": [rule]}
    assert (await client.get(f"{API}/alerts/rules")).json() == {"rules": [rule]}


async def test_what_is_wrong_is_told_with_its_field(client: httpx.AsyncClient) -> None:
    for changes, status, field, words in (
        ({"metric": "eror_rate"}, 400, "metric", "did you mean error_rate?"),
        ({"threshold": 120}, 422, "threshold", "can never fire"),
        ({"notification_channels": ["opps"]}, 400, "notification_channels", "did you mean ops?"),
        ({"cooldown_minutes": 0}, 422, "cooldown_minutes", "from 1 to 7200"),
    ):
        answer = await client.post(RULES, json={**ERRORS, **changes})
        told = answer.json()
        assert answer.status_code == status, told
        assert [detail["field"] for detail in told["details"]] == [field]
        assert words in told["error"]
    assert (
        await client.post(RULES, content=b'{"threshold": NaN}', headers={"Content-Type": "application/json"})
    ).status_code == 400
    assert (await client.post(RULES, json=[ERRORS])).status_code == 400
    assert (await client.get(RULES)).json() == {"rules": []}


async def test_rules_of_an_unknown_feature_are_not_found(client: httpx.AsyncClient) -> None:
    nowhere = f"{API}/features/chatt/alerts/rules"
    for answer in (
        await client.get(nowhere),
        await client.post(nowhere, json=ERRORS),
        await client.post(f"{nowhere}/preview", json=ERRORS),
        await client.get(f"{nowhere}/x"),
    ):
        assert answer.status_code == 404
        assert "'chatt' is not known" in answer.json()["error"]


async def test_an_unknown_rule_is_not_found(client: httpx.AsyncClient) -> None:
    other = await made(client)
    await client.put(f"{API}/features/search", json={})
    for path in (f"{RULES}/gone", f"{RULES}/%00", f"{API}/features/search/alerts/rules/{other['id']}"):
        assert (await client.get(path)).status_code == 404, path
        assert (await client.put(path, json={})).status_code == 404, path
        assert (await client.delete(path)).status_code == 404, path


async def test_names_are_taken_once(client: httpx.AsyncClient) -> None:
    first = await made(client)
    again = await client.post(RULES, json=ERRORS)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert first["id"] in again.json()["error"]
    other = await made(client, name="Other")
    assert (await client.put(f"{RULES}/{other['id']}", json={"name": "Errors"})).status_code == 409


async def test_a_change_names_what_changes(client: httpx.AsyncClient) -> None:
    rule = await made(client, environment="staging")
    path = f"{RULES}/{rule['id']}"
    changed = (await client.put(path, json={"threshold": 10, "enabled": False})).json()["rule"]
    assert changed == {
        **rule, "threshold": 10, "enabled": False, "revision": 2, "updated_at": changed["updated_at"],
        "deployment": changed["deployment"],
    }  # fmt: skip
    assert changed["deployment"]["state"] == "saved"
    back = (await client.put(path, json={**changed, "environment": None, "enabled": None})).json()["rule"]
    assert (back["environment"], back["enabled"], back["threshold"], back["revision"]) == (None, True, 10, 3)


async def test_a_change_of_nothing_is_none(client: httpx.AsyncClient) -> None:
    rule = await made(client)
    before = await deeds(client)
    answer = await client.put(f"{RULES}/{rule['id']}", json=rule)
    assert answer.json() == {"rule": rule}
    assert await deeds(client) == before


async def test_an_edit_of_an_older_revision_is_refused(client: httpx.AsyncClient) -> None:
    rule = await made(client)
    path = f"{RULES}/{rule['id']}"
    etag = (await client.get(path)).headers["etag"]
    changed = await client.put(path, json={"threshold": 5}, headers={"If-Match": etag})
    assert changed.status_code == 200
    for attempt in (
        await client.put(path, json={"threshold": 6}, headers={"If-Match": etag}),
        await client.put(path, json={}, headers={"If-Match": etag}),
        await client.delete(path, headers={"If-Match": etag}),
    ):
        assert (attempt.status_code, attempt.json()["code"]) == (412, "precondition_failed")
    assert (await client.delete(path, headers={"If-Match": changed.headers["etag"]})).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_how_far_a_rule_got_is_of_the_revision_that_it_was_told_of(client: httpx.AsyncClient) -> None:
    rule = await made(client)
    await stores_of(client).rules.deploy({rule["id"]: Deployment(1, "failed", "bad expression", 5_000_000_000)})
    shown = (await client.get(f"{RULES}/{rule['id']}")).json()["rule"]
    assert shown["deployment"] == {
        "revision": 1, "state": "failed", "error": "bad expression", "at": "1970-01-01T00:00:05.000000Z"
    }  # fmt: skip
    changed = (await client.put(f"{RULES}/{rule['id']}", json={"threshold": 5})).json()["rule"]
    assert changed["deployment"] == {"revision": 2, "state": "saved", "error": None, "at": changed["updated_at"]}


async def test_who_listens_hears_of_what_changed(client: httpx.AsyncClient) -> None:
    heard: list[int] = []
    end = client.app.state.bridge.rules.listen(lambda: heard.append(1))  # type: ignore[attr-defined]  # put there by client_of
    rule = await made(client)
    await client.put(f"{RULES}/{rule['id']}", json={"threshold": 5})
    await client.put(f"{RULES}/{rule['id']}", json={"threshold": 5})
    await client.post(RULES, json=ERRORS)
    await client.put(f"{API}/features/chat", json={"slo": {"objective": 99}})
    await client.delete(f"{RULES}/{rule['id']}")
    assert len(heard) == 4
    end()
    await made(client)
    assert len(heard) == 4


async def test_an_objective_shows_as_rules_that_change_with_it(client: httpx.AsyncClient) -> None:
    slo = {"objective": 99.5, "window": "30d", "notification_channels": ["ops"], "cooldown_minutes": 15}
    feature = (await client.put(f"{API}/features/chat", json={"slo": slo})).json()
    assert feature["slo"] == slo
    rules = (await client.get(RULES)).json()["rules"]
    assert [(rule["severity"], rule["threshold"], rule["burn"]["factor"]) for rule in rules] == [
        ("critical", 7.2, 14.4), ("high", 3, 6), ("medium", 1.5, 3), ("low", 0.5, 1)
    ]  # fmt: skip
    assert all(rule["notification_channels"] == ["ops"] and rule["cooldown_minutes"] == 15 for rule in rules)
    path = f"{RULES}/{rules[0]['id']}"
    assert (await client.get(path)).json()["rule"] == rules[0]
    for refused in (await client.put(path, json={"threshold": 1}), await client.delete(path)):
        assert refused.status_code == 409
        assert "change the feature's slo" in refused.json()["error"]
    assert (await client.put(f"{API}/features/chat", json={})).status_code == 200
    assert (await client.get(RULES)).json() == {"rules": []}


async def test_an_objective_that_cannot_be_alerted_on_is_refused(client: httpx.AsyncClient) -> None:
    for slo, status, words in (
        ({"objective": 99.5, "window": "1h"}, 422, "1d to 366d"),
        ({"objective": 99.5, "window": "soon"}, 400, "slo.window"),
        ({"objective": 99.5, "notification_channels": ["nobody"]}, 400, "there are ops"),
        ({"objective": 99.5, "cooldown_minutes": 0}, 422, "cooldown_minutes"),
    ):
        answer = await client.put(f"{API}/features/chat", json={"slo": slo})
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]


async def test_the_rules_of_a_feature_go_with_it(client: httpx.AsyncClient) -> None:
    await made(client)
    assert (await client.delete(f"{API}/features/chat")).status_code == 204
    assert (await client.get(f"{API}/alerts/rules")).json() == {"rules": []}
    assert [deed["action"] for deed in await deeds(client)][:2] == ["feature.delete", "rule.delete"]


async def test_a_preview_tells_when_a_rule_would_have_fired_and_keeps_nothing(client: httpx.AsyncClient) -> None:
    now = client.app.state.bridge.clock()  # type: ignore[attr-defined]  # put there by client_of
    bad = [{"outcome": "error", "duration_ms": 5, "timestamp": _at(now, minutes)} for minutes in range(30, 60)]
    good = [{"outcome": "success", "duration_ms": 5, "timestamp": _at(now, minutes)} for minutes in range(10, 90)]
    await client.post(f"{API}/features/chat/requests", json=bad + good[:20] + good[50:])
    rule = {"metric": "error_rate", "condition": "greater_than", "threshold": 50, "cooldown_minutes": 10}
    answer = await client.post(f"{RULES}/preview", json=rule)
    told = answer.json()
    assert answer.status_code == 200, told
    assert told["count"] == len(told["firings"]) == 1
    (firing,) = told["firings"]
    assert firing["environment"] == "development"
    assert firing["value"] == 100
    assert firing["start"] < firing["end"] < told["end"]
    assert told["notifications"] == 3
    assert told["step_seconds"] == 60
    assert told["rule"]["for_minutes"] == 1
    assert "chart" not in told
    assert (await client.get(RULES)).json() == {"rules": []}


async def test_a_preview_shows_what_it_compared_thinned_to_the_worst(client: httpx.AsyncClient) -> None:
    now = client.app.state.bridge.clock()  # type: ignore[attr-defined]  # put there by client_of
    bad = [{"outcome": "error", "duration_ms": 5, "timestamp": _at(now, 200)}]
    good = [{"outcome": "success", "duration_ms": 5, "timestamp": _at(now, minutes)} for minutes in range(100, 300)]
    await client.post(f"{API}/features/chat/requests", json=bad + good)
    rule = {"metric": "error_rate", "condition": "greater_than", "threshold": 90}
    hour, day, week = [
        (await client.post(f"{RULES}/preview?chart={span}", json=rule)).json()["chart"] for span in ("1h", "24h", "7d")
    ]
    assert [point[1] for point in hour[0]["points"]] == [None] * len(hour[0]["points"])
    for drawn, apart in ((day, 4), (week, 28)):
        (one,) = drawn
        values = [value for _, value in one["points"] if value is not None]
        # A minute of trouble within five minutes of six calls is not lost, however coarse the chart.
        assert (one["environment"], max(values)) == ("development", pytest.approx(100 / 6, rel=0.01))
        assert len(one["points"]) <= 361
        assert len(values) == pytest.approx(200 / apart, abs=4)
    calm = (await client.post(f"{RULES}/preview?chart=7d", json=rule | {"condition": "less_than"})).json()["chart"]
    assert max(value for _, value in calm[0]["points"] if value is not None) == 0, "the least is the worst here"
    refused = await client.post(f"{RULES}/preview?chart=8d", json=rule)
    assert (refused.status_code, "chart" in refused.json()["error"]) == (422, True)


async def test_a_preview_of_a_kept_rule_needs_only_what_changes(client: httpx.AsyncClient) -> None:
    rule = await made(client)
    told = (await client.post(f"{RULES}/preview", json={"id": rule["id"], "threshold": 7})).json()
    assert (told["count"], told["rule"]["threshold"], told["rule"]["name"]) == (0, 7, "Errors")
    assert (await client.post(f"{RULES}/preview", json={"id": "gone"})).status_code == 404
    assert (await client.post(f"{RULES}/preview", json={"id": 7})).status_code == 400
    assert (await client.post(f"{RULES}/preview", json={"metric": "error_rate"})).status_code == 400
    await client.put(f"{API}/features/chat", json={"slo": {"objective": 99}})
    told = (await client.post(f"{RULES}/preview", json={"id": "slo-chat-1"})).json()
    assert told["rule"]["kind"] == "slo"


async def test_a_rule_on_lines_is_previewed_over_the_log(client: httpx.AsyncClient) -> None:
    now = client.app.state.bridge.clock()  # type: ignore[attr-defined]  # put there by client_of
    lines = [{"featureId": "chat", "message": "timeout", "level": "error", "timestamp": _at(now, 20)}] * 3
    await client.post(f"{API}/logs", json=lines)
    rule = {
        "kind": "logs",
        "condition": "greater_than",
        "threshold": 2,
        "logs": {"levels": ["error"]},
        "for_minutes": 0,
    }
    told = (await client.post(f"{RULES}/preview", json={**rule, "for_minutes": 0})).json()
    assert (told["count"], told["firings"][0]["value"]) == (1, 3)


async def test_who_did_what_is_told_to_who_may_see_it(anyio_backend: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token = {
        name: tokens.create(file, role=role, features=[pattern], name=name)[1]  # type: ignore[arg-type]  # roles
        for name, role, pattern in (("ada", "editor", "*"), ("bob", "viewer", "ch*"), ("eve", "viewer", "search"))
    }
    async with bridge(tmp_path, api_tokens_file=file) as running:
        ada, bob, eve = (client_of(running.app, Authorization=f"Bearer {token[name]}") for name in token)  # type: ignore[attr-defined]  # put there by client_of
        await ada.put(f"{API}/features/chat", json={"name": "Chat"})
        rule = (await ada.post(RULES, json=ERRORS)).json()["rule"]
        await ada.put(f"{RULES}/{rule['id']}", json={"threshold": 10})
        assert (await bob.post(RULES, json={**ERRORS, "name": "x"})).status_code == 403
        assert (await bob.put(f"{RULES}/{rule['id']}", json={})).status_code == 403
        assert (await bob.delete(f"{RULES}/{rule['id']}")).status_code == 403
        assert (await bob.post(f"{RULES}/preview", json=ERRORS)).status_code == 200
        assert (await eve.get(RULES)).status_code == 404
        assert (await eve.get(f"{API}/alerts/rules")).json() == {"rules": []}
        assert await deeds(eve) == []
        told = await deeds(bob)
        assert [(deed["actor"], deed["action"]) for deed in told] == [
            ("ada", "rule.change"), ("ada", "rule.create"), ("ada", "feature.change")
        ]  # fmt: skip
        assert told[0]["details"] == {"name": "Errors", "changes": {"threshold": [20, 10]}}
        assert told[0]["target"] == rule["id"]
        assert [deed["action"] for deed in await deeds(bob, action="rule", limit="1")] == ["rule.change"]
        assert await deeds(bob, actor="eve") == []
        assert await deeds(bob, feature_id="search") == []


def _at(now_ns: int, minutes: float) -> str:
    return format_instant(now_ns - int(minutes * 60e9))
