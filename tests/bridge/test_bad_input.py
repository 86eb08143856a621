"""Every kind of bad input over real HTTP: the right status, one clear line, and nothing else harmed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from .running import API, serving

LINE = {"featureId": "chat", "message": "x"}
CALL = {"outcome": "success", "duration_ms": 1}
LIMIT = 100_000


class Case(NamedTuple):
    name: str
    method: str
    path: str
    status: int
    says: str
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * 10_000


CASES = [
    Case("malformed JSON", "POST", "/logs", 400, "not valid JSON: ", b'{"featureId": '),
    Case("an empty body", "POST", "/logs", 400, "the body is empty", b"   "),
    Case("not UTF-8", "POST", "/logs", 400, "not UTF-8: byte 28 is 0xff", b'{"featureId":"a","message":"\xff"}'),
    Case("deep nesting", "POST", "/logs", 400, "not valid JSON", b"[" * 50_000),
    Case("NaN", "POST", "/features/chat/requests", 400, "not valid JSON", b'{"outcome":"success","duration_ms":NaN}'),
    Case("a huge number", "POST", "/features/chat/requests", 400, "not valid JSON", b'{"duration_ms":1e999}'),
    Case(
        "a large number",
        "POST",
        "/features/chat/requests",
        422,
        "expected a number from 0 to",
        {**CALL, "duration_ms": 1e300},
    ),
    Case("a number as text", "POST", "/features/chat/requests", 400, "got '12'", {**CALL, "duration_ms": "12"}),
    Case(
        "a wrong outcome",
        "POST",
        "/features/chat/requests",
        400,
        "expected success, error, cancelled",
        {**CALL, "outcome": "ok"},
    ),
    Case("a malformed timestamp", "POST", "/logs", 400, "timestamp: expected ISO 8601", {**LINE, "timestamp": "soon"}),
    Case("a date that is none", "POST", "/logs", 400, "is not a date that exists", {**LINE, "timestamp": "2026-02-30"}),
    Case("a wrong level", "POST", "/logs", 400, "level: expected", {**LINE, "level": "loud"}),
    Case("a wrong feature id", "POST", "/logs", 400, "feature_id: expected 1 to 64", {**LINE, "featureId": "a b"}),
    Case("a missing feature", "POST", "/logs", 400, "feature_id: is missing", {"message": "x"}),
    Case(
        "a list with one wrong line",
        "POST",
        "/logs",
        400,
        "1 of 2 logs are wrong and none was kept; logs[1]",
        [LINE, {**LINE, "level": 1}],
    ),
    Case("a body that is no line", "POST", "/logs", 400, "expected log lines as an object, a list", "text"),
    Case("a wrong feature id in the path", "GET", "/features/a%20b/metrics", 400, "feature_id: expected 1 to 64"),
    Case("a null byte in the path", "GET", "/features/a%00b", 400, "feature_id: expected 1 to 64"),
    Case("a null byte in a query", "GET", "/logs?feature_id=a%00", 400, "feature_id: expected 1 to 64"),
    Case("an unknown feature", "GET", "/features/nowhere", 404, "feature 'nowhere' is not known"),
    Case("the log of an unknown feature", "GET", "/logs?feature_id=nowhere", 404, "feature 'nowhere' is not known"),
    Case("an unknown line", "GET", "/logs/none", 404, "line 'none' is not known"),
    Case("no feature", "GET", "/logs", 400, "feature_id is missing"),
    Case("an unknown parameter", "GET", "/logs?feature_id=chat&serach=x", 400, "did you mean search?"),
    Case(
        "an unknown parameter of a write",
        "POST",
        "/features/chat/requests?env=x",
        400,
        "did you mean environment?",
        CALL,
    ),
    Case("a limit that is too large", "GET", "/logs?feature_id=chat&limit=5001", 422, "from 1 to 5000, got '5001'"),
    Case("a limit that is no number", "GET", "/logs?feature_id=chat&limit=many", 400, "from 1 to 5000, got 'many'"),
    Case("a wrong level to filter by", "GET", "/logs?feature_id=chat&levels=eror", 400, "did you mean error?"),
    Case(
        "a wrong direction", "GET", "/logs?feature_id=chat&direction=up", 400, "direction: expected forward or backward"
    ),
    Case("a wrong cursor", "GET", "/logs?feature_id=chat&cursor=!!", 400, "cursor"),
    Case(
        "a start after the end",
        "GET",
        "/logs?feature_id=chat&start_time=2026-01-02&end_time=2026-01-01",
        400,
        "start_time is later",
    ),
    Case("a wrong instant", "GET", "/logs?feature_id=chat&start_time=x", 400, "start_time: expected ISO 8601"),
    Case("a wrong environment", "GET", "/features/chat/metrics?environment=a/b", 400, "environment: expected 1 to 32"),
    Case("a wrong duration", "GET", "/features/chat/metrics?time_range=5", 400, "time_range: expected a duration"),
    Case("a duration that is too long", "GET", "/features/chat/metrics?time_range=9999d", 422, "at most 400d"),
    Case("a wrong figure", "GET", "/features/chat/metrics/history?metric=eror_rate", 400, "did you mean error_rate?"),
    Case(
        "a step that is too fine",
        "GET",
        "/features/chat/metrics/history?metric=uptime&time_range=400d&step=1s",
        422,
        "step: expected at least",
    ),
    Case("a wrong format", "GET", "/logs/export?feature_id=chat&format=xml", 400, "format: expected json or csv"),
    Case("a wrong switch", "GET", "/features/chat/metrics?unknown=nil", 400, "unknown: expected null or zero"),
    Case(
        "a threshold out of range",
        "PUT",
        "/features/chat",
        422,
        "thresholds.error_rate: input should be",
        {"thresholds": {"error_rate": 101}},
    ),
    Case(
        "a name that is none", "PUT", "/features/chat", 400, "name: input should be a valid string, got 5", {"name": 5}
    ),
    Case("a declaration that is no object", "PUT", "/features/chat", 400, "expected an object", []),
    Case("a wrong If-Match", "PUT", "/features/chat", 400, "If-Match: expected the ETag", {}, {"If-Match": '"x"'}),
    Case("an edit of an older revision", "PUT", "/features/chat", 412, "revision", {}, {"If-Match": '"r99"'}),
    Case(
        "a test result without a result",
        "POST",
        "/features/chat/test-results",
        400,
        "passed: is missing",
        {"name": "n"},
    ),
    Case("an unknown path", "GET", "/alerts/rules/none", 404, "nothing is found at /api/v1/alerts/rules/none"),
    Case("a path outside the API", "GET", "//etc/passwd", 404, "nothing is found"),
    Case("another method", "DELETE", "/logs", 405, "not a method of /api/v1/logs; it takes GET, HEAD, POST"),
    Case(
        "metadata nested too deep",
        "POST",
        "/logs",
        422,
        "metadata: expected at most 100 levels",
        b'{"featureId":"a","message":"m","metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301,
    ),
    Case(
        "metadata of a test nested too deep",
        "POST",
        "/features/chat/test-results",
        422,
        "metadata: expected at most 100 levels",
        b'{"name":"t","passed":true,"metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301,
    ),
    Case("a wrong number in exact digits", "POST", "/logs", 400, "got 1.50", b'{"featureId":"a","message":1.50}'),
    Case("a negative duration", "POST", "/features/chat/requests", 422, "got -1", {**CALL, "duration_ms": -1}),
    Case(
        "a negative duration and a wrong outcome",
        "POST",
        "/features/chat/requests",
        400,
        "duration_ms",
        {**CALL, "duration_ms": -1, "outcome": "ok"},
    ),
    Case(
        "a body that is no JSON by its type",
        "POST",
        "/logs",
        415,
        "expected application/json, got 'text/plain'",
        b"{}",
        {"Content-Type": "text/plain"},
    ),
    Case(
        "a form",
        "POST",
        "/features/chat/requests",
        415,
        "expected application/json",
        b"a=1",
        {"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Case("another encoding", "POST", "/logs", 415, "Content-Encoding: expected gzip", b"x", {"Content-Encoding": "br"}),
    Case("damaged gzip", "POST", "/logs", 400, "not valid gzip", b"nonsense", {"Content-Encoding": "gzip"}),
    Case(
        "a gzip bomb",
        "POST",
        "/logs",
        413,
        "larger than 100000 bytes",
        gzip.compress(bytes(5_000_000)),
        {"Content-Encoding": "gzip"},
    ),
    Case("an oversized body", "POST", "/logs", 413, "larger than 100000 bytes", b" " * (LIMIT + 1)),
    Case("an oversized body in chunks", "POST", "/logs", 413, "larger than 100000 bytes", 50),
    Case(
        "a foreign Host",
        "GET",
        "/features",
        403,
        "Host 'evil.example' is no name of this bridge",
        None,
        {"Host": "evil.example"},
    ),
    Case(
        "a foreign Origin",
        "GET",
        "/features",
        403,
        "Origin 'https://evil.example' may not call",
        None,
        {"Origin": "https://evil.example"},
    ),
    Case("a WebSocket's path without the upgrade", "GET", "/websocket?featureId=chat", 426, "speaks WebSocket"),
    Case("a missing token", "POST", "/session", 400, "expected {'token'", {}),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("bridge"), max_body_bytes=LIMIT) as url:
        httpx.post(f"{url}{API}/logs", json=LINE).raise_for_status()
        yield url


def send(address: str, method: str, path: str, body: Any, headers: Mapping[str, str]) -> httpx.Response:
    json_type = {"Content-Type": "application/json"} if body is not None else {}
    content = chunks(body) if isinstance(body, int) else body
    content = content if content is None or isinstance(content, (bytes, Iterator)) else json.dumps(content)
    return httpx.request(method, address + path, content=content, headers={**json_type, **headers})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_told_in_one_line(address: str, case: Case) -> None:
    answer = send(address, case.method, API + case.path, case.body, case.headers)
    told = answer.json()
    assert (answer.status_code, set(told)) == (case.status, {"error", "code", "details"}), answer.text
    assert case.says in told["error"]
    assert "\n" not in told["error"]
    assert answer.headers["content-type"] == "application/json"
    after = httpx.get(f"{address}{API}/logs", params={"feature_id": "chat"}).json()
    assert [line["message"] for line in after["logs"]] == ["x"], "something was kept of what was refused"


def test_the_details_name_the_item_and_the_field(address: str) -> None:
    told = httpx.post(f"{address}{API}/logs", json=[LINE, {**LINE, "level": "loud"}]).json()
    assert [(detail["index"], detail["field"]) for detail in told["details"]] == [(1, "level")]


OTLP = [
    Case(
        "malformed protobuf",
        "POST",
        "/v1/metrics",
        400,
        "not valid protobuf",
        b"\xff\xff\xff",
        {"Content-Type": "application/x-protobuf"},
    ),
    Case("malformed JSON", "POST", "/v1/logs", 400, "not valid JSON", b"{", {"Content-Type": "application/json"}),
    Case(
        "another content type", "POST", "/v1/logs", 415, "Content-Type: expected", b"{}", {"Content-Type": "text/plain"}
    ),
    Case(
        "an oversized body",
        "POST",
        "/v1/logs",
        413,
        "larger than 100000 bytes",
        b" " * (LIMIT + 1),
        {"Content-Type": "application/json"},
    ),
]


@pytest.mark.parametrize("case", OTLP, ids=lambda case: case.name.replace(" ", "-"))
def test_otlp_is_refused_with_a_status_of_its_own(address: str, case: Case) -> None:
    answer = send(address, case.method, case.path, case.body, case.headers)
    assert answer.status_code == case.status
    if case.headers["Content-Type"] == "application/x-protobuf":
        from google.rpc.status_pb2 import Status

        status = Status.FromString(answer.content)
        assert status.code == 3
        assert case.says in status.message
    else:
        assert case.says in answer.json()["message"]


def test_loki_is_refused_with_a_line_of_text(address: str) -> None:
    url = f"{address}/loki/api/v1/push"
    malformed = httpx.post(url, content=b"{", headers={"Content-Type": "application/json"})
    large = httpx.post(url, content=b" " * (LIMIT + 1), headers={"Content-Type": "application/json"})
    assert (malformed.status_code, large.status_code) == (400, 413)
    assert malformed.headers["content-type"].startswith("text/plain")
    assert "not valid JSON" in malformed.text
    assert len(malformed.text.splitlines()) == 1
