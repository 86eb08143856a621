"""What the exporter's tests share: a process as if nothing was declared yet, and a server that takes what is sent."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.worker import THREAD_PREFIX


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start each test with nothing declared, configured or told, and an environment that says nothing."""
    for name in os.environ:
        if name.startswith(("FEATUREWATCH_", "OTEL_")):
            monkeypatch.delenv(name)
    RUNTIME.forget()
    yield
    RUNTIME.forget()
    # What a thread gives up later would be counted and told in the next test.
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_PREFIX):
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} goes on after its runtime is gone"


@dataclass
class Received:
    """One request: its body decompressed, and the status that answered it."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0


@dataclass
class Receiver:
    """A local HTTP server.

    `answers` are given in turn, then for a push of lines what `judge` says of its body.
    """

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    logs_status: int = 204
    judge: Callable[[bytes], tuple[int, bytes]] | None = None
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def of(self, path: str) -> list[Received]:
        with self.arrived:
            return [request for request in self.received if request.path == path]

    def wait_for(self, path: str, count: int = 1, timeout: float = 20.0) -> list[Received]:
        """Wait until `count` requests came for the path."""
        with self.arrived:
            done = self.arrived.wait_for(
                lambda: sum(request.path == path for request in self.received) >= count, timeout
            )
            assert done, f"expected {count} requests for {path}, got {[r.path for r in self.received]}"
            return [request for request in self.received if request.path == path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            with state.arrived:
                status, extra, answer = (
                    state.answers.pop(0)
                    if state.answers
                    else (state.logs_status if "loki" in self.path else 200, {}, b"")
                )
                if state.judge is not None and "loki" in self.path and status == state.logs_status:
                    status, answer = state.judge(body)
                state.received.append(Received(self.path, headers, body, status))
                state.arrived.notify_all()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0" if status == 204 else str(len(answer)))
            self.end_headers()
            if status != 204:
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield state
    RUNTIME.forget()
    server.shutdown()
    thread.join()
    server.server_close()
