"""Nobody learns of a feature that they may not see: not by an answer, its status or headers, a count, or its time.

The walk goes through every endpoint of the OpenAPI document; one that is added takes part without being named here.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from featurewatch import tokens
from featurewatch.access import ALLOWED
from featurewatch.bridge.app import create_app
from featurewatch.settings import load

from .calling import Operation, operations
from .running import API, bridge, client_of, serving

pytestmark = pytest.mark.anyio

HIDDEN: Final = "hush-hush"
ABSENT: Final = "no-such-1"
SEEN: Final = "chat"
MARK: Final = "xyzzy"
"""Stands in everything that is told of the hidden feature; nobody else may ever read it."""

ENVIRONMENT: Final = f"{MARK}-lab"
PLACE: Final = {"environment": ENVIRONMENT}
LINES: Final = [
    {
        "id": f"line-of-{HIDDEN}",
        "featureId": HIDDEN,
        "level": "error",
        "message": f"the {MARK} leaked",
        "source": MARK,
        "trace_id": MARK,
        "user_id": MARK,
        "metadata": {MARK: MARK},
        **PLACE,
    },
    *({"featureId": HIDDEN, "message": f"{MARK} {number}", **PLACE} for number in range(5)),
]
CALLS: Final = [
    {"outcome": "error", "error_type": MARK, "duration_ms": 5, "model": MARK, "cost_usd": 1, **PLACE},
    {"outcome": "success", "duration_ms": 5, "model": MARK, "tokens": {"input": 9}, **PLACE},
]


Looks: TypeAlias = tuple[int, str, str]
"""An answer's status, body and headers."""


def limited(role: str) -> str:
    """Name the caller of a role that may see `chat*` alone."""
    return f"limited-{role}"


def make_tokens(folder: Path) -> tuple[Path, dict[str, str]]:
    file = folder / "tokens.json"
    told = {limited(role): tokens.create(file, role=role, features=("chat*",))[1] for role in ALLOWED}
    return file, {"admin": tokens.create(file, role="admin")[1], **told}


def seed(post: Any, put: Any) -> list[Any]:
    """Tell everything that can be told of the hidden feature, and a little of the visible one."""
    declared = {
        "name": MARK,
        "description": MARK,
        "owner": MARK,
        "organization_id": MARK,
        "environments": [ENVIRONMENT],
    }
    return [
        post("/logs", json=[*LINES, {"id": "line-of-chat", "featureId": SEEN, "message": "hello"}]),
        post(f"/features/{HIDDEN}/requests", json=CALLS),
        post(f"/features/{SEEN}/requests", json={"outcome": "success", "duration_ms": 5}),
        post(f"/features/{HIDDEN}/test-results", json={"id": "ci-1", "name": MARK, "ok": False, **PLACE}),
        put(f"/features/{HIDDEN}", json=declared),
    ]


class Callers:
    """Clients by the name of their token. `ids` are those of the hidden feature's rule, alert and window."""

    def __init__(self, admin: httpx.AsyncClient, secrets: dict[str, str]) -> None:
        self.app: Any = admin.app  # type: ignore[attr-defined]  # see running
        self.ids: dict[str, dict[str, str]] = {}
        self._secrets = secrets

    def by(self, name: str) -> httpx.AsyncClient:
        return client_of(self.app, Authorization=f"Bearer {self._secrets[name]}")

    def operations(self) -> list[Operation]:
        return list(operations(self.app.openapi()))


@pytest.fixture
async def callers(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Callers]:
    file, secrets = make_tokens(tmp_path)
    async with bridge(tmp_path, api_tokens_file=file, query_rate=0, ingest_rate=0) as client:
        callers = Callers(client, secrets)
        admin = callers.by("admin")
        for call in seed(
            lambda path, **given: admin.post(API + path, **given), lambda *a, **b: admin.put(API + a[0], **b)
        ):
            assert (await call).is_success
        for operation in callers.operations():
            # What is added later is told of the hidden feature too, by its own example.
            if operation.method in ("POST", "PUT") and operation.names_feature:
                await admin.request(**operation.call(HIDDEN))
        callers.ids = await ids_of_the_hidden(admin)
        yield callers


async def ids_of_the_hidden(admin: httpx.AsyncClient) -> dict[str, dict[str, str]]:
    """Find the ids of what is the hidden feature's, and make up such of what does not exist."""
    found = {}
    for name, path, key in (
        ("rule_id", f"/features/{HIDDEN}/alerts/rules", "rules"),
        ("alert_id", f"/features/{HIDDEN}/alerts", "alerts"),
        ("window_id", f"/features/{HIDDEN}/maintenance", "maintenance"),
    ):
        found[name] = (await admin.get(API + path)).json()[key][0]["id"]
    return {HIDDEN: found, ABSENT: {name: name[0] * len(id_) for name, id_ in found.items()}}


def looks(answer: httpx.Response, name: str, ids: Mapping[str, str] = MappingProxyType({})) -> Looks:
    """Return all of an answer but its time, with what was asked for named `<it>`."""
    headers = {key: value for key, value in answer.headers.items() if key != "date"}
    told = [answer.text, json.dumps(headers)]
    for text in (name, *ids.values()):
        told = [part.replace(text, "<it>") for part in told]
    return answer.status_code, told[0], told[1]


def shows_nothing(answer: httpx.Response, *, named: bool) -> None:
    """Assert that an answer says nothing of the hidden feature; `named`: the question said its name."""
    told = f"{answer.headers} {answer.text}".lower()
    assert MARK not in told
    assert named or HIDDEN not in told


async def test_the_hidden_feature_is_there_for_those_who_may_see_it(callers: Callers) -> None:
    """Else the walk would prove nothing."""
    admin = callers.by("admin")
    told = ""
    for path in (f"/features/{HIDDEN}", f"/features/{HIDDEN}/events", f"/logs?feature_id={HIDDEN}", "/features"):
        told += (await admin.get(API + path)).text
    told += (await admin.get(f"{API}/logs/line-of-{HIDDEN}")).text + (await admin.get("/metrics")).text
    assert told.count(MARK) > 20
    walked = [operation for operation in callers.operations() if operation.names_feature]
    assert len(walked) >= 25


@pytest.mark.parametrize("role", ALLOWED)
async def test_every_endpoint_answers_alike_for_a_hidden_feature_and_one_that_does_not_exist(
    callers: Callers, role: str
) -> None:
    caller, admin = callers.by(limited(role)), callers.by("admin")
    held = (await admin.get(f"{API}/features/{HIDDEN}")).headers["etag"]
    conditions: list[dict[str, str]] = [
        {},
        {"If-None-Match": held},
        {"If-None-Match": "*", "If-Match": held},
        {"If-Match": '"r9"', "Last-Event-ID": "MS4xLjEuMQ"},
    ]
    for operation in callers.operations():
        if not operation.names_feature or operation.streams:
            continue
        for headers in conditions:
            for optional in (False, True):
                answers = []
                for name in (HIDDEN, ABSENT):
                    call = operation.call(name, callers.ids[name], optional=optional)
                    call["headers"] = {**call.get("headers", {}), **headers}
                    answers.append(looks(await caller.request(**call, timeout=20), name, callers.ids[name]))
                assert answers[0] == answers[1], f"{operation} {headers}"
                assert MARK not in str(answers[0]).lower(), f"{operation} {headers}"
                assert answers[0][0] != 304
                assert answers[0][0] < 500


@pytest.mark.parametrize("role", ALLOWED)
async def test_no_endpoint_shows_a_hidden_feature_to_those_who_do_not_ask_for_it(callers: Callers, role: str) -> None:
    caller = callers.by(limited(role))
    seen = 0
    for operation in callers.operations():
        for optional in (False, True):
            if optional and operation.method == "DELETE":
                continue
            if operation.streams:
                continue  # below, over a real server
            answer = await caller.request(**operation.call(SEEN, optional=optional), timeout=20)
            shows_nothing(answer, named=False)
            assert answer.status_code < 500, f"{operation}: {answer.text}"
            seen += answer.is_success
    for path in ("/", "/nowhere", f"{API}/openapi.json", f"{API}/nowhere"):
        shows_nothing(await caller.get(path), named=False)
    assert seen > 3, "of the visible feature something is seen"


async def test_what_limited_callers_tried_changed_nothing_of_the_hidden_feature(callers: Callers) -> None:
    admin = callers.by("admin")

    async def state() -> list[Any]:
        feature = (await admin.get(f"{API}/features/{HIDDEN}")).json()
        lines = (await admin.get(f"{API}/logs?feature_id={HIDDEN}&environment={ENVIRONMENT}")).json()
        events = (await admin.get(f"{API}/features/{HIDDEN}/test-results")).json()
        rules = (await admin.get(f"{API}/features/{HIDDEN}/alerts/rules")).json()["rules"]
        windows = (await admin.get(f"{API}/features/{HIDDEN}/maintenance")).json()["maintenance"]
        alert = (await admin.get(f"{API}/alerts/{callers.ids[HIDDEN]['alert_id']}")).json()
        counts = [len(lines["logs"]), len(events["test_results"]), len(rules), len(windows), len(alert["remarks"])]
        return [feature["revision"], feature["owner"], counts, alert["status"]]

    before = await state()
    for role in ALLOWED:
        for operation in callers.operations():
            if operation.method not in ("GET", "HEAD") and operation.names_feature:
                await callers.by(limited(role)).request(**operation.call(HIDDEN, callers.ids[HIDDEN]))
    assert await state() == before


async def test_a_mixed_list_is_refused_whole_and_names_only_what_the_caller_sent(callers: Callers) -> None:
    caller = callers.by(limited("ingest"))
    told = []
    for name in (HIDDEN, ABSENT):
        lines = [{"featureId": SEEN, "message": "kept?"}, {"featureId": name, "message": "y"}]
        told.append(looks(await caller.post(f"{API}/logs", json=lines), name))
    assert told[0] == told[1]
    assert told[0][0] == 403
    lines = (await callers.by("admin").get(f"{API}/logs?feature_id={SEEN}&search=kept%3F")).json()["logs"]
    assert lines == []


async def test_an_id_that_a_hidden_feature_uses_is_free_for_others(callers: Callers) -> None:
    """Whoever could find out which ids are taken could find out what happens elsewhere."""
    ingest, viewer = callers.by(limited("ingest")), callers.by(limited("viewer"))
    line = {"id": f"line-of-{HIDDEN}", "featureId": SEEN, "message": "mine"}
    assert (await ingest.post(f"{API}/logs", json=line)).json()["ids"] == [line["id"]]
    around = (await viewer.get(f"{API}/logs/line-of-{HIDDEN}?around=500")).json()
    assert around["log"]["message"] == "mine"
    assert {entry["featureId"] for entry in around["logs"]} == {SEEN}
    result = {"id": "ci-1", "name": "mine", "ok": True}
    assert (await ingest.post(f"{API}/features/{SEEN}/test-results", json=result)).json()["ids"] == ["ci-1"]
    assert (await viewer.get(f"{API}/features/{SEEN}/test-results")).json()["test_results"][0]["data"]["name"] == "mine"
    counted = {"id": "call-1", "outcome": "success", "duration_ms": 1}
    for caller, feature in ((callers.by("admin"), HIDDEN), (ingest, SEEN)):
        answer = await caller.post(f"{API}/features/{feature}/requests", json=counted)
        assert answer.json()["duplicates"] == 0


async def test_a_cursor_of_a_hidden_feature_leads_nowhere_near_it(callers: Callers) -> None:
    admin, viewer = callers.by("admin"), callers.by(limited("viewer"))
    page = (await admin.get(f"{API}/logs?feature_id={HIDDEN}&environment={ENVIRONMENT}&limit=1")).json()
    assert page["next_cursor"]
    for direction in ("", "&direction=forward", "&direction=backward"):
        for path in ("/logs?", "/logs/export?"):
            answer = await viewer.get(f"{API}{path}feature_id={SEEN}&cursor={page['next_cursor']}{direction}")
            shows_nothing(answer, named=False)


async def test_a_hidden_feature_is_looked_up_no_further_than_one_that_does_not_exist(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes no other steps takes no other time."""
    asked: Counter[str] = Counter()
    stores = callers.app.state.bridge.stores
    for store in (getattr(stores, field.name) for field in dataclasses.fields(stores) if field.name[0] != "_"):
        for name in dir(type(store)):
            method = getattr(store, name)
            if name.startswith("_") or not callable(method) or name in ("close", "ping"):
                continue

            def counted(*given: Any, _method: Any = method, _name: str = name, **more: Any) -> Any:
                asked[_name] += 1
                return _method(*given, **more)

            monkeypatch.setattr(store, name, counted)
    monkeypatch.setattr(callers.app.state.bridge.hub, "new_keys", set())
    for role in ALLOWED:
        caller = callers.by(limited(role))
        for operation in callers.operations():
            if not operation.names_feature or operation.streams:
                continue
            # What runs in the background asks too, now and then: a difference that lasts is one of the two features.
            for _ in range(5):
                steps = []
                for name in (HIDDEN, ABSENT):
                    asked.clear()
                    await caller.request(**operation.call(name, callers.ids[name]))
                    steps.append(dict(asked))
                if steps[0] == steps[1]:
                    break
            assert steps[0] == steps[1], f"{role} {operation}"


# Streams, over a real server.


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("hidden")
    file, secrets = make_tokens(folder)
    with serving(folder, api_tokens_file=file) as url:
        with httpx.Client(base_url=url + API, headers={"Authorization": f"Bearer {secrets['admin']}"}) as admin:
            for answer in seed(admin.post, admin.put):
                answer.raise_for_status()
        yield url, secrets


def opened(served: tuple[str, dict[str, str]], name: str, query: str) -> ClientConnection:
    url, secrets = served
    headers = {"Authorization": f"Bearer {secrets[name]}"}
    return connect(f"ws{url[4:]}{API}/websocket?{query}", proxy=None, additional_headers=headers)


def firing(name: str) -> dict[str, Any]:
    """Make the webhook by which Alertmanager tells of an alert of the hidden feature."""
    labels = {"alertname": MARK, "feature": HIDDEN, "environment": ENVIRONMENT, "rule_id": name, "severity": "high"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"message": MARK},
        "startsAt": "2026-01-31T12:00:00Z",
        "fingerprint": MARK,
    }
    return {"version": "4", "status": "firing", "receiver": "featurewatch", "alerts": [alert]}


def happen(served: tuple[str, dict[str, str]], sentinel: str) -> None:
    """Let something of each kind happen to the hidden feature, and then a line and a result to the visible one."""
    url, secrets = served
    with httpx.Client(base_url=url + API, headers={"Authorization": f"Bearer {secrets['admin']}"}) as admin:
        told = [
            admin.post("/logs", json=[{**line, "id": f"{sentinel}-{number}"} for number, line in enumerate(LINES)]),
            admin.post(f"/features/{HIDDEN}/requests", json=CALLS),
            admin.post(f"/features/{HIDDEN}/test-results", json={"name": MARK, "ok": False, **PLACE}),
            admin.post("/webhooks/alertmanager", json=firing(sentinel)),
            admin.post(f"/features/{SEEN}/test-results", json={"name": sentinel, "ok": True}),
            admin.post("/logs", json={"featureId": SEEN, "message": sentinel}),
        ]
    for answer in told:
        answer.raise_for_status()


def read_until(socket: ClientConnection, text: str) -> str:
    """Read messages up to one that contains a text, and two ticks of the metrics more; return all of them."""
    told, deadline, ticks = "", time.monotonic() + 20, -1
    while ticks < 2 and time.monotonic() < deadline:
        frame = socket.recv(20)
        assert isinstance(frame, str)
        told += frame + "\n"
        ticks += (text in frame and ticks < 0) or (ticks >= 0 and "metrics_update" in frame)
    assert ticks == 2, told
    return told


@pytest.mark.parametrize("query", ["featureId=*", f"featureId={SEEN}", "featureId=*&batch=true"])
def test_a_socket_hears_nothing_of_a_hidden_feature(served: tuple[str, dict[str, str]], query: str) -> None:
    with opened(served, limited("viewer"), query) as socket:
        socket.send(json.dumps({"type": "subscribe_logs"}))
        happen(served, f"after-{query}")
        told = read_until(socket, f'"message":"after-{query}"')
    assert MARK not in told
    assert HIDDEN not in told


def test_commands_on_a_hidden_feature_are_answered_as_on_one_that_does_not_exist(
    served: tuple[str, dict[str, str]],
) -> None:
    commands: list[dict[str, Any]] = [
        {"type": "subscribe"},
        {"type": "subscribe_logs"},
        {"type": "subscribe_logs", "filters": {"environment": ENVIRONMENT, "levels": "error"}},
        {"type": "subscribe_logs", "after": "MS4wLjAuMQ"},
        {"type": "unsubscribe_logs"},
        {"type": "unsubscribe"},
        {"type": "subscribe"},
    ]
    for query in ("featureId=*", f"featureId={SEEN}", "featureId={it}", "featureId={it}&environment=" + ENVIRONMENT):
        told = []
        for name in (HIDDEN, ABSENT):
            with opened(served, limited("viewer"), query.format(it=name)) as socket:
                for command in commands:
                    socket.send(json.dumps({**command, "featureId": name}))
                    socket.send(json.dumps({"type": "ping"}))
                answers: list[Any] = []
                while sum(answer["type"] == "pong" for answer in answers) < len(commands):
                    answers.append(json.loads(socket.recv(20)))
            kept = [
                (answer["type"], str(answer["data"]).replace(name, "<it>"))
                for answer in answers
                if answer["type"] not in ("metrics_update", "status_change")
            ]
            told.append(kept)
        assert told[0] == told[1], query
        assert MARK not in str(told)


def test_a_position_of_those_who_see_all_shows_others_no_more(served: tuple[str, dict[str, str]]) -> None:
    with opened(served, "admin", "featureId=*") as socket:
        position = json.loads(socket.recv(20))["id"]
    happen(served, "missed")
    for after in (position, "MS4wLjAuMQ", "nonsense"):
        with opened(served, limited("viewer"), f"featureId=*&after={after}") as socket:
            socket.send(json.dumps({"type": "subscribe_logs"}))
            happen(served, f"after-{after}")
            told = read_until(socket, f'"message":"after-{after}"')
        assert MARK not in told
        assert HIDDEN not in told


STREAMS: Final = [operation for operation in operations(create_app(load({})).openapi()) if operation.streams]


@pytest.mark.parametrize("operation", STREAMS, ids=str)
@pytest.mark.parametrize("every", [False, True])
def test_an_event_stream_hears_nothing_of_a_hidden_feature(
    served: tuple[str, dict[str, str]], operation: Operation, every: bool
) -> None:
    url, secrets = served
    headers = {"Authorization": f"Bearer {secrets[limited('viewer')]}", "Last-Event-ID": "MS4xLjAuMQ"}
    call = operation.call("*" if every and "{feature_id}" not in operation.path else SEEN)
    if "logs" in {parameter["name"] for parameter in operation.told["parameters"]}:
        call["params"]["logs"] = "true"
    sentinel = f"after-{operation.path.replace('/', '-')}-{every}"
    with httpx.stream(**{**call, "url": url + call["url"]}, headers=headers, timeout=20) as answer:
        lines = answer.iter_lines()
        told = next(lines)
        happen(served, sentinel)
        for line in lines:
            told += line
            if sentinel in line:
                break
    assert MARK not in told
    assert HIDDEN not in told


@pytest.mark.parametrize("operation", STREAMS, ids=str)
def test_an_event_stream_of_a_hidden_feature_begins_as_one_of_none(
    served: tuple[str, dict[str, str]], operation: Operation
) -> None:
    url, secrets = served
    headers = {"Authorization": f"Bearer {secrets[limited('viewer')]}"}
    begun = []
    for name in (HIDDEN, ABSENT):
        call = operation.call(name)
        call = {**call, "url": url + call["url"], "params": {**call["params"], **PLACE}}
        with httpx.stream(**call, headers=headers, timeout=20) as answer:
            if answer.status_code == 200:
                events = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
                first = [{**next(events), "id": None, "timestamp": None} for _ in range(2)]
                assert first[1]["type"] == "error"
                begun.append((200, json.dumps(first).replace(name, "<it>"), ""))
            else:
                answer.read()
                begun.append(looks(answer, name))
    assert begun[0] == begun[1]
    assert begun[0][0] in (200, 404)
    assert HIDDEN not in str(begun)
