"""Alerts over HTTP: the webhook, the lists, what people do, and who may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from featurewatch.access import Principal
from featurewatch.times import format_instant

from .running import API, bridge, serving

pytestmark = pytest.mark.anyio

HOOK = f"{API}/webhooks/alertmanager"
START = "2026-01-31T12:00:00Z"
END = "2026-01-31T12:09:00Z"


def alert(feature: str = "chat", status: str = "firing", start: str = START, **labels: str) -> dict[str, Any]:
    told = {
        "alertname": "Errors", "feature": feature, "environment": "production", "rule_id": f"{feature}-errors",
        "metric": "error_rate", "severity": "high", **labels,
    }  # fmt: skip
    return {
        "status": status,
        "labels": told,
        "annotations": {"title": "Errors Alert", "message": "error_rate is 30", "value": "30", "threshold": "20"},
        "startsAt": start,
        "endsAt": END if status == "resolved" else "0001-01-01T00:00:00Z",
        "fingerprint": f"{feature}-{told['severity']}",
        "generatorURL": "http://127.0.0.1:9090/graph",
    }


def webhook(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": "4", "receiver": "featurewatch", "status": "firing", "alerts": list(alerts), "newer": True}


async def told(client: httpx.AsyncClient, *alerts: Mapping[str, Any]) -> None:
    answer = await client.post(HOOK, json=webhook(*alerts))
    assert (answer.status_code, answer.content) == (204, b"")


async def listed(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/alerts{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["alerts"]
    return found


async def test_a_webhook_becomes_an_alert_and_its_end(client: httpx.AsyncClient) -> None:
    await told(client, alert(), alert("search"))
    found = {one["featureId"]: one for one in await listed(client)}
    assert set(found) == {"chat", "search"}
    chat = found["chat"]
    assert {name: chat[name] for name in ("ruleId", "title", "severity", "status", "environment")} == {
        "ruleId": "chat-errors", "title": "Errors Alert", "severity": "high", "status": "active",
        "environment": "production",
    }  # fmt: skip
    assert chat["triggered_at"] == "2026-01-31T12:00:00.000000Z"
    assert chat["metadata"]["trigger_value"] == 30
    assert "resolved_at" not in chat
    assert "acknowledged_by" not in chat
    await told(client, alert(status="resolved"), alert("search"))
    statuses = {one["featureId"]: one["status"] for one in await listed(client)}
    assert statuses == {"chat": "resolved", "search": "active"}, "a group that fires can hold ends"
    chat = (await client.get(f"{API}/features/chat/alerts")).json()["alerts"][0]
    assert chat["resolved_at"] == "2026-01-31T12:09:00.000000Z"
    assert chat["resolve_reason"] == "rule_removed", "there is no such rule"


async def test_the_same_webhook_again_changes_nothing(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await told(client, alert(), alert("search"), alert(status="resolved"))
    assert len(await listed(client)) == 2
    events = (await client.get(f"{API}/features/chat/events?kinds=alert")).json()["events"]
    assert [event["data"]["change"] for event in events] == ["resolved", "triggered"]


async def test_alerts_of_others_are_counted_and_left_alone(client: httpx.AsyncClient) -> None:
    foreign = {**alert(), "labels": {"alertname": "DiskFull", "instance": "db1"}}
    await told(client, foreign, alert())
    assert [one["featureId"] for one in await listed(client)] == ["chat"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "an object with a list 'alerts'"),
        ({"alerts": {}}, "an object with a list 'alerts'"),
        ({"version": "5", "alerts": []}, "version 4"),
        ({"alerts": ["no"]}, "alerts[0]: expected an object"),
        ({"alerts": [{**alert(), "status": "maybe"}]}, "alerts[0].status: expected firing or resolved"),
        ({"alerts": [{**alert(), "labels": {"feature": 1}}]}, "alerts[0].labels.feature: expected a text"),
        ({"alerts": [{**alert(), "startsAt": "yesterday"}]}, "alerts[0].startsAt: expected ISO 8601"),
        ({"alerts": [{**alert(), "fingerprint": ""}]}, "alerts[0].fingerprint: expected a text"),
    ],
)
async def test_a_webhook_that_is_none_is_refused_whole(client: httpx.AsyncClient, body: Any, says: str) -> None:
    if isinstance(body, dict) and isinstance(body.get("alerts"), list):
        body["alerts"].append(alert())
    answer = await client.post(HOOK, json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert await listed(client) == []


async def test_filters_and_pages(client: httpx.AsyncClient) -> None:
    starts = [f"2026-01-31T12:{minute:02}:00Z" for minute in range(5)]
    for minute, start in enumerate(starts):
        await told(client, alert(start=start, rule_id=f"rule-{minute}"))
    first = (await client.get(f"{API}/alerts?limit=2")).json()
    rest = (await client.get(f"{API}/alerts?limit=3&cursor={first['next_cursor']}")).json()
    assert [one["ruleId"] for one in first["alerts"] + rest["alerts"]] == [f"rule-{n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next_cursor"] is None
    assert [one["ruleId"] for one in await listed(client, "?rule_id=rule-3")] == ["rule-3"]
    assert await listed(client, "?status=resolved") == []
    assert len(await listed(client, "?status=open&environment=production&feature_id=chat,nothing")) == 5
    assert await listed(client, "?environment=staging") == []
    assert len(await listed(client, "?severity=high,low")) == 5
    assert await listed(client, "?severity=critical") == []
    wrong = await client.get(f"{API}/alerts?severity=hihg")
    assert (wrong.status_code, "did you mean high?" in wrong.json()["error"]) == (400, True)
    wrong = await client.get(f"{API}/alerts?status=acknowleged")
    assert (wrong.status_code, "did you mean acknowledged?" in wrong.json()["error"]) == (400, True)
    assert (await client.get(f"{API}/alerts?cursor=zzz")).status_code == 400


async def test_an_alert_makes_its_feature_an_error_until_it_ends(client: httpx.AsyncClient) -> None:
    calls = [{"outcome": "success", "duration_ms": 5, "environment": "production"}] * 20
    await client.post(f"{API}/features/chat/requests", json=calls)
    await told(client, alert())
    health = (await client.get(f"{API}/features/chat/health")).json()
    assert health["status"] == "error"
    assert [one["message"] for one in health["alerts"]] == ["error_rate is 30"]
    await told(client, alert(status="resolved"))
    client.app.state.bridge.snapshots.expire()  # type: ignore[attr-defined]
    assert (await client.get(f"{API}/features/chat/health")).json()["status"] == "healthy"


async def test_acknowledge_take_back_comment_and_resolve(client: httpx.AsyncClient) -> None:
    await told(client, alert())
    id_ = (await listed(client))[0]["id"]
    answer = await client.post(f"{API}/alerts/{id_}/acknowledge", json={"comment": "on it", "expires_minutes": 30})
    assert answer.json()["status"] == "acknowledged", answer.text
    assert answer.json()["acknowledged_by"] == "anonymous"
    until = datetime.fromisoformat(answer.json()["metadata"]["acknowledged_until"])
    assert (until - datetime.fromisoformat(answer.json()["acknowledged_at"])).total_seconds() == 1800
    taken = await client.request("DELETE", f"{API}/alerts/{id_}/acknowledge")
    assert taken.json()["status"] == "active"
    assert "acknowledged_at" not in taken.json()
    assert "acknowledged_until" not in taken.json()["metadata"]
    again = await client.request("DELETE", f"{API}/alerts/{id_}/acknowledge")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    await client.post(f"{API}/alerts/{id_}/comments", json={"comment": "seen before"})
    closed = (await client.post(f"{API}/alerts/{id_}/resolve")).json()
    assert (closed["status"], closed["resolve_reason"], closed["condition_active"]) == ("resolved", "manual", True)
    assert (await client.post(f"{API}/alerts/{id_}/resolve")).status_code == 409
    shown = (await client.get(f"{API}/alerts/{id_}")).json()
    said = [(one["kind"], one["author"], one["text"]) for one in shown["remarks"]]
    assert said == [
        ("delivery", "featurewatch", "firing"),
        ("action", "anonymous", "acknowledge"),
        ("comment", "anonymous", "on it"),
        ("action", "anonymous", "unacknowledge"),
        ("comment", "anonymous", "seen before"),
        ("action", "anonymous", "resolve"),
    ]
    await told(client, alert(status="resolved"))
    assert (await listed(client))[0]["condition_active"] is False
    why = (await client.get(f"{API}/alerts/{id_}/explain")).json()
    assert "resolved at" in why["summary"]
    assert [one["status"] for one in why["deliveries"]] == ["firing", "resolved"]


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "comments", "explain"])
async def test_an_alert_that_does_not_exist(client: httpx.AsyncClient, action: str) -> None:
    method = "GET" if action == "explain" else "POST"
    answer = await client.request(method, f"{API}/alerts/nothing/{action}", json={"comment": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_bad_action_is_explained(client: httpx.AsyncClient) -> None:
    await told(client, alert())
    id_ = (await listed(client))[0]["id"]
    negative = await client.post(f"{API}/alerts/{id_}/acknowledge", json={"expires_minutes": -1})
    assert (negative.status_code, negative.json()["details"][0]["field"]) == (422, "expires_minutes")
    silent = await client.post(f"{API}/alerts/{id_}/comments", json={})
    assert (silent.status_code, silent.json()["error"]) == (400, "comment: is missing")


async def test_many_at_once(client: httpx.AsyncClient) -> None:
    await told(client, alert(), alert("search"))
    ids = [one["id"] for one in await listed(client)]
    body = {"ids": [*ids, "nothing"], "action": "acknowledge", "comment": "all mine"}
    answer = (await client.post(f"{API}/alerts/bulk", json=body)).json()
    assert [one["status"] for one in answer["alerts"]] == ["acknowledged"] * 2
    assert [(one["id"], one["code"]) for one in answer["failed"]] == [("nothing", "not_found")]


async def test_maintenance_is_set_listed_explained_and_ended(client: httpx.AsyncClient) -> None:
    await told(client, alert())
    url = f"{API}/features/chat/maintenance"
    made = (await client.post(url, json={"duration_minutes": 60, "comment": "new model"})).json()
    assert made["active"] is True
    assert [one["id"] for one in (await client.get(url)).json()["maintenance"]] == [made["id"]]
    why = (await client.get(f"{API}/alerts/{(await listed(client))[0]['id']}/explain")).json()
    assert any("under maintenance" in reason for reason in why["reasons"])
    wrong: tuple[tuple[dict[str, Any], int], ...] = (
        ({}, 400),
        ({"end_time": "2020-01-01T00:00:00Z"}, 422),
        ({"duration_minutes": 0}, 422),
        ({"start_time": "9998-01-01T00:00:00Z", "duration_minutes": 5}, 422),
        ({"end_time": "2999-01-01T00:00:00Z", "duration_minutes": 5}, 400),
    )
    for body, status in wrong:
        assert (await client.post(url, json=body)).status_code == status, body
    assert (await client.delete(f"{url}/{made['id']}")).status_code == 204
    assert (await client.delete(f"{url}/{made['id']}")).status_code == 404
    assert (await client.get(url)).json()["maintenance"] == []


async def test_alerts_survive_a_restart(tmp_path: Path) -> None:
    async with bridge(tmp_path) as client:
        await told(client, alert())
        id_ = (await listed(client))[0]["id"]
        await client.post(f"{API}/alerts/{id_}/acknowledge")
    async with bridge(tmp_path) as client:
        assert [(one["id"], one["status"]) for one in await listed(client)] == [(id_, "acknowledged")]
        await told(client, alert(status="resolved"))
        assert (await listed(client))[0]["status"] == "resolved"


async def test_a_webhook_shows_the_token_of_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "webhook-token"
    secret.write_text("open sesame\n")
    async with bridge(tmp_path, webhook_token_file=secret) as client:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic open sesame"}):
            answer = await client.post(HOOK, json=webhook(alert()), headers=header)
            assert (answer.status_code, "sesame" in answer.text) == (401, False)
        right = {"Authorization": "Bearer open sesame"}
        assert (await client.post(HOOK, json=webhook(alert()), headers=right)).status_code == 204


async def test_who_may_not_see_a_feature_learns_nothing_of_its_alerts(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(client, alert(), alert("secret"))
    id_ = next(one["id"] for one in await listed(client) if one["featureId"] == "secret")
    authenticator = client.app.state.bridge.authenticator  # type: ignore[attr-defined]

    async def limited(*_: Any, **__: Any) -> Principal:
        return Principal("lim", "operator", ("chat",))

    monkeypatch.setattr(authenticator, "from_headers", limited)
    assert [one["featureId"] for one in await listed(client)] == ["chat"]
    assert await listed(client, "?feature_id=secret") == []
    assert (await client.get(f"{API}/features/secret/alerts")).status_code == 404
    for path in (f"{id_}", f"{id_}/explain"):
        assert (await client.get(f"{API}/alerts/{path}")).status_code == 404
    bulk = await client.post(f"{API}/alerts/bulk", json={"ids": [id_], "action": "resolve"})
    assert bulk.json()["failed"][0]["code"] == "not_found"


def test_streams_hear_of_an_alert_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as url, connect(f"ws{url[4:]}{API}/websocket?featureId=chat") as socket:
        assert json.loads(socket.recv(10))["type"] == "connection_confirmed"
        heard: list[dict[str, Any]] = []

        def until(type_: str) -> dict[str, Any]:
            while True:
                message: dict[str, Any] = json.loads(socket.recv(10))
                heard.append(message)
                if message["type"] == type_:
                    return message

        httpx.post(f"{url}{HOOK}", json=webhook(alert())).raise_for_status()
        triggered = until("alert_triggered")
        assert triggered["data"]["status"] == "active"
        id_ = triggered["data"]["id"]
        httpx.post(f"{url}{API}/alerts/{id_}/acknowledge", json={}).raise_for_status()
        assert until("alert_updated")["data"]["status"] == "acknowledged"
        httpx.post(f"{url}{HOOK}", json=webhook(alert(status="resolved"))).raise_for_status()
        assert until("alert_resolved")["data"]["id"] == id_


async def test_a_window_for_no_feature(client: httpx.AsyncClient) -> None:
    start = format_instant(10**18)
    answer = await client.post(f"{API}/features/nothing/maintenance", json={"start_time": start, "duration_minutes": 1})
    assert answer.status_code == 404


async def test_alerting_counts_itself(client: httpx.AsyncClient) -> None:
    await told(client, alert(), {**alert(), "labels": {"alertname": "DiskFull"}})
    text = (await client.get("/metrics")).text
    assert 'featurewatch_alerts{status="active"} 1.0' in text
    assert 'featurewatch_alert_signals_total{source="webhook"} 1.0' in text
    assert "featurewatch_alert_signals_ignored_total 1.0" in text
    assert "featurewatch_evaluator_rounds_total" in text
    assert "featurewatch_notifications_dropped_total 0.0" in text
