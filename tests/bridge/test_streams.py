"""Streams over a real server: the routes and their parameters; the hub has tests of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .running import API, serving

LINE = {"featureId": "chat", "message": "hello", "environment": "production"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("bridge")) as url:
        httpx.post(f"{url}{API}/logs", json=LINE).raise_for_status()
        yield url


def socket_url(address: str, query: str) -> str:
    return f"{address.replace('http', 'ws')}{API}/websocket?{query}"


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_a_socket_is_greeted_and_gets_figures_and_lines(address: str) -> None:
    with connect(socket_url(address, "featureId=chat&unknown=zero")) as opened:
        greeting, figures = (json.loads(opened.recv(10)) for _ in range(2))
        assert greeting["type"] == "connection_confirmed"
        assert greeting["data"]["connected"] is True
        assert figures["type"] == "metrics_update"
        assert figures["data"]["metrics"]["error_rate"] == 0
        opened.send(json.dumps({"type": "subscribe_logs", "featureId": "chat"}))
        told = None
        while told is None or told["type"] != "log_history":
            told = json.loads(opened.recv(10))
        assert [line["message"] for line in told["data"]] == ["hello"]


def test_a_batched_socket_sends_arrays(address: str) -> None:
    with connect(socket_url(address, "featureId=chat&batch=true")) as opened:
        assert json.loads(opened.recv(10))[0]["type"] == "connection_confirmed"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "featureId"),
        ("featureId=a%20b", "feature"),
        ("featureId=chat&environment=a/b", "environment: expected"),
        ("featureId=chat&feture=x", "is not a parameter"),
        ("featureId=chat&batch=maybe", "batch: expected true or false"),
    ],
)
def test_what_is_wrong_with_a_sockets_address_closes_it_with_1008(address: str, query: str, says: str) -> None:
    with connect(socket_url(address, query)) as opened:
        with pytest.raises(ConnectionClosed) as caught:
            opened.recv(10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008
        assert says in caught.value.rcvd.reason


def test_a_socket_of_a_foreign_page_is_refused(address: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(socket_url(address, "featureId=chat"), origin="https://evil.example")  # type: ignore[arg-type]  # text
    assert caught.value.response.status_code == 403


def test_a_socket_that_names_a_foreign_host_is_refused(address: str) -> None:
    port = address.rpartition(":")[2]
    link = socket.create_connection(("127.0.0.1", int(port)))
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://evil.example:{port}{API}/websocket?featureId=chat", sock=link)
    assert caught.value.response.status_code == 403


def test_figures_are_streamed_as_unnamed_events(address: str) -> None:
    with httpx.stream("GET", f"{address}{API}/features/chat/metrics/stream?unknown=zero", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store, no-transform"
        connected, figures = (event for event, _ in zip(events(answer), range(2), strict=False))
        assert (connected["type"], connected["featureId"]) == ("connected", "chat")
        assert figures["data"]["metrics"]["error_rate"] == 0


def test_lines_are_streamed_filtered_and_live(address: str) -> None:
    url = f"{address}{API}/features/chat/logs/stream"
    with httpx.stream("GET", url, params={"levels": "error", "search": "NEEDLE"}, timeout=10) as answer:
        told = events(answer)
        assert next(told)["type"] == "connected"
        for level, message in (("info", "needle"), ("error", "hay"), ("error", "a needle")):
            httpx.post(f"{address}{API}/logs", json={**LINE, "level": level, "message": message}).raise_for_status()
        event = next(told)
        assert (event["type"], event["data"]["message"]) == ("log_entry", "a needle")
        position = event["id"]
    httpx.post(f"{address}{API}/logs", json={**LINE, "level": "error", "message": "needle missed"}).raise_for_status()
    with httpx.stream(
        "GET", url, params={"levels": "error", "search": "needle"}, headers={"Last-Event-ID": position}, timeout=10
    ) as answer:
        told = events(answer)
        assert next(told)["recovered"] is True
        assert next(told)["data"]["message"] == "needle missed"


def test_one_event_stream_carries_what_a_websocket_does(address: str) -> None:
    url = f"{address}{API}/stream"
    asked = {"featureId": ["chat", "nowhere"], "logs": "true", "search": "haystack", "unknown": "zero"}
    with httpx.stream("GET", url, params=asked, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer)
        assert next(told)["featureIds"] == ["chat"]
        assert next(told)["data"]["metrics"]["error_rate"] == 0
        assert next(told)["data"]["code"] == "not_found"
        assert next(told)["type"] == "log_history"
        httpx.post(f"{address}{API}/logs", json={**LINE, "message": "a haystack"}).raise_for_status()
        event = next(told)
        while event["type"] != "log_entry":
            event = next(told)
        assert event["data"]["message"] == "a haystack"
    with connect(socket_url(address, f"featureId=chat&after={event['id']}")) as opened:
        assert json.loads(opened.recv(10))["data"]["recovered"] is True


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "featureId: expected one or more"),
        ("featureId=", "featureId: expected one or more"),
        ("featureId=no%20such", "feature_id: expected 1 to 64"),
        ("featureId=chat&logs=yes", "logs: expected true or false"),
        ("featureId=chat&levels=loud", "levels: expected debug"),
        ("featureId=chat&filter=x", "'filter' is not a parameter here"),
        ("featureId=chat&after=" + "x" * 300, "Last-Event-ID"),
    ],
)
def test_what_is_wrong_with_an_event_streams_address_is_400(address: str, query: str, says: str) -> None:
    answer = httpx.get(f"{address}{API}/stream?{query}")
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_a_published_test_result_is_broadcast(address: str) -> None:
    with connect(socket_url(address, "featureId=chat")) as opened:
        assert json.loads(opened.recv(10))["type"] == "connection_confirmed"
        result = {"name": "answers", "ok": False, "environment": "production"}
        httpx.post(f"{address}{API}/features/chat/test-results", json=result).raise_for_status()
        told = json.loads(opened.recv(10))
        while told["type"] != "test_result":
            told = json.loads(opened.recv(10))
        assert (told["featureId"], told["data"]["name"], told["data"]["passed"]) == ("chat", "answers", False)


@pytest.mark.parametrize("path", ["metrics/stream", "logs/stream"])
def test_a_stream_of_an_unknown_feature_is_404(address: str, path: str) -> None:
    assert httpx.get(f"{address}{API}/features/nowhere/{path}").status_code == 404


def test_open_streams_are_counted_and_leave(address: str) -> None:
    with connect(socket_url(address, "featureId=chat")) as opened:
        opened.recv(10)
        assert 'featurewatch_streams_open{transport="websocket"} 1.0' in httpx.get(f"{address}/metrics").text


def test_an_event_stream_that_nobody_reads_is_counted_and_cut_without_a_word_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.5)
    monkeypatch.setattr("featurewatch.bridge.connections.STALLED_S", 1.5)
    with serving(tmp_path) as address, socket.socket() as unread, httpx.Client(base_url=address) as http:
        http.post(f"{API}/logs", json=LINE).raise_for_status()
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        unread.sendall(f"GET {API}/stream?featureId=chat&logs=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        deadline = time.monotonic() + 60
        text = ""
        while 'featurewatch_streams_closed_total{code="1013"} 1.0' not in text:
            assert time.monotonic() < deadline, text
            http.post(f"{API}/logs", json=[{**LINE, "message": "x" * 10_000}] * 100).raise_for_status()
            text = http.get("/metrics").text
        while 'featurewatch_streams_open{transport="sse"} 0.0' not in http.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # What the system still holds for it, and then the end.
        unread.settimeout(30)
        with contextlib.suppress(ConnectionError):
            while unread.recv(65_536):
                pass
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


def test_one_stream_more_than_may_be_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("full"), max_streams=1) as address:
        httpx.post(f"{address}{API}/logs", json=LINE).raise_for_status()
        url = f"{address}{API}/features/chat/metrics/stream"
        with httpx.stream("GET", url, timeout=10) as answer:
            told = events(answer)  # held: a generator that is collected ends its stream
            next(told)
            with httpx.stream("GET", url, timeout=10) as refused:
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
