"""Connections that dawdle: a request that does not come whole, a body that trickles, an answer that nobody reads."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from featurewatch.bridge import bodies, connections

from .running import API, serving

LINE = json.dumps({"featureId": "chat", "message": "x"}).encode()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let patience end after moments."""
    monkeypatch.setattr(connections, "HEAD_S", 0.7)
    monkeypatch.setattr(connections, "LINGER_S", 0.7)
    monkeypatch.setattr(connections, "STALLED_S", 0.7)
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.7)


@pytest.fixture
def port(hurried: None, tmp_path: Path) -> Iterator[int]:
    with serving(tmp_path) as url:
        yield int(url.rpartition(":")[2])


@contextlib.contextmanager
def link(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as opened:
        yield opened


def rest(opened: socket.socket) -> bytes:
    """Read to the end of a connection, however it ends."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := opened.recv(65_536):
            received += part
    return received


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", "")).encode()


@pytest.mark.parametrize("sent", [b"", b"GET /heal", head("GET", "/healthz")[:-2], b"\r\n"])
def test_a_request_that_does_not_come_is_given_up(port: int, sent: bytes) -> None:
    with link(port) as opened:
        opened.sendall(sent)
        assert rest(opened) == b""


def test_a_second_request_that_does_not_come_is_given_up_too(port: int) -> None:
    with link(port) as opened:
        opened.sendall(head("GET", "/healthz") + b"GET /")
        assert rest(opened).count(b"200 OK") == 1


def test_a_header_that_trickles_does_not_win_time(port: int) -> None:
    with link(port) as opened:
        opened.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 15:
                opened.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 15


def test_a_header_without_end_is_refused_before_it_fills_the_memory(port: int) -> None:
    with link(port) as opened:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                opened.sendall(b"GET /" if _ == 0 else b"a" * 10_000)
        told = rest(opened)
        assert told == b"" or b"400 Bad Request" in told
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_a_body_that_does_not_come_is_408_and_closes_the_connection(port: int) -> None:
    with link(port) as opened:
        opened.sendall(head("POST", f"{API}/logs", "Content-Type: application/json", "Content-Length: 100") + LINE)
        told = rest(opened)
        assert told.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in told.lower()
        assert b'"code":"timeout"' in told


@pytest.mark.parametrize(("path", "code"), [("/v1/logs", b'"code": 14'), ("/loki/api/v1/push", b"too slowly")])
def test_the_receivers_say_so_in_their_own_protocols(port: int, path: str, code: bytes) -> None:
    """OTLP's exporters and Loki's shippers send again what was answered 503, and drop what was answered 408."""
    with link(port) as opened:
        opened.sendall(head("POST", path, "Content-Type: application/json", "Content-Length: 100") + b"{")
        told = rest(opened)
        assert told.startswith(b"HTTP/1.1 503")
        assert code in told


def test_a_slow_body_that_comes_is_taken(port: int) -> None:
    """While 8 KB a second come there is time for more."""
    message = b"x" * 40_000
    body = b'{"featureId": "chat", "message": "' + message + b'"}'
    with link(port) as opened:
        opened.sendall(
            head(
                "POST", f"{API}/logs", "Content-Type: application/json", f"Content-Length: {len(body)}",
                "Connection: close",
            )
        )  # fmt: skip
        for start in range(0, len(body), 8000):
            opened.sendall(body[start : start + 8000])
            time.sleep(0.15)
        assert rest(opened).startswith(b"HTTP/1.1 200")


def test_the_rest_of_a_body_that_was_answered_early_is_not_waited_for(port: int) -> None:
    with link(port) as opened:
        opened.sendall(head("POST", f"{API}/logs", "Content-Type: text/plain", "Content-Length: 1000") + b"x")
        told = rest(opened)
        assert told.startswith(b"HTTP/1.1 415")


def test_a_body_that_comes_after_its_answer_leaves_the_connection_usable(port: int) -> None:
    with link(port) as opened:
        opened.sendall(head("POST", f"{API}/logs", "Content-Type: text/plain", "Content-Length: 9") + b"x")
        assert opened.recv(65_536).startswith(b"HTTP/1.1 415")
        opened.sendall(b"x" * 8 + head("GET", "/healthz", "Connection: close"))
        assert b"200 OK" in rest(opened)


def test_an_answer_that_nobody_reads_is_given_up(port: int) -> None:
    lines = [{"featureId": "chat", "message": "x" * 1000} for _ in range(8000)]
    httpx.post(f"http://127.0.0.1:{port}{API}/logs", json=lines, timeout=60).raise_for_status()
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.settimeout(30)
        opened.connect(("127.0.0.1", port))
        opened.sendall(head("GET", f"{API}/logs/export?feature_id=chat"))
        deadline = time.monotonic() + 20
        running = "featurewatch_http_requests_in_progress 2.0"
        while time.monotonic() < deadline and running not in httpx.get(f"http://127.0.0.1:{port}/metrics").text:
            threading.Event().wait(0.02)
        while time.monotonic() < deadline and running in httpx.get(f"http://127.0.0.1:{port}/metrics").text:
            threading.Event().wait(0.05)
        assert time.monotonic() < deadline
        assert len(rest(opened)) < 8_000_000


def test_a_stream_outlives_all_of_these(port: int) -> None:
    """Also one whose client sends a stray line break behind its request, as old ones do."""
    httpx.post(f"http://127.0.0.1:{port}{API}/logs", content=LINE, headers={"Content-Type": "application/json"})
    with link(port) as opened:
        opened.sendall(head("GET", f"{API}/features/chat/metrics/stream") + b"\r\n")
        received, began = b"", time.monotonic()
        while time.monotonic() - began < 2:
            part = opened.recv(65_536)
            assert part, "the stream ended"
            received += part
        assert received.count(b"metrics_update") >= 2


def test_keep_alive_goes_on_between_requests(port: int) -> None:
    with link(port) as opened:
        opened.sendall(head("GET", "/healthz"))
        assert b"200 OK" in opened.recv(65_536)
        time.sleep(1.1)
        opened.sendall(head("GET", "/healthz", "Connection: close"))
        assert b"200 OK" in rest(opened), "an idle connection has uvicorn's own patience"
