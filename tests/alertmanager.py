"""A real Alertmanager for the tests that talk to one, and somebody who is notified."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from prometheus import Server, find_program, free_port, wait_for


class Alertmanager(Server):
    """Alertmanager with a configuration that can be changed while it runs."""

    def configure(self, text: str | Mapping[str, Any]) -> None:
        """Write its configuration; `reload` it, if it runs. An object is written as JSON, which is YAML."""
        told = text if isinstance(text, str) else json.dumps(text, indent=2)
        (self.folder / "alertmanager.yml").write_text(told, encoding="utf-8")

    def reload(self) -> None:
        """Load the configuration anew; a failure is told with what it answered."""
        answer = httpx.post(f"{self.url}/-/reload", timeout=60)
        assert answer.status_code == 200, answer.text

    def alerts(self) -> list[dict[str, Any]]:
        """Return what fires, silenced too."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=60)
        assert answer.status_code == 200, answer.text
        told: list[dict[str, Any]] = answer.json()
        return told

    def silences(self) -> list[dict[str, Any]]:
        """Return the silences that are active."""
        told = httpx.get(f"{self.url}/api/v2/silences", timeout=60).json()
        return [silence for silence in told if silence["status"]["state"] == "active"]


NOBODY: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
"""A configuration that notifies nobody."""


def make(folder: Path, *, options: Sequence[str] = (), config: str | Mapping[str, Any] = NOBODY) -> Alertmanager:
    """Prepare an Alertmanager in a folder, on a free port of the loopback; `start` it."""
    command, port = find_program("prometheus-alertmanager", "prometheus-alertmanager"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
        *options,
    ]
    made = Alertmanager(command, folder, port, arguments, "/-/ready")
    made.configure(config)
    return made


@dataclass
class Sink:
    """Somebody who is notified by webhook: what came, in order. `status` is what it answers."""

    port: int
    received: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def told(self) -> list[str]:
        """Return the status of every alert of every webhook."""
        return [alert["status"] for body in self.received for alert in body["alerts"]]

    def wait_for(self, count: int, *, within_s: float = 60) -> list[str]:
        """Wait until so many alerts were told."""
        wait_for(lambda: len(self.told()) >= count, within_s=within_s, what=f"{count} alerts, got {self.told()}")
        return self.told()


@pytest.fixture
def own_alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Alertmanager for one test alone, prepared and not started."""
    made = make(tmp_path / "alertmanager")
    yield made
    made.stop()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Somebody to notify."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if found.status == 200:
                found.received.append(json.loads(body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Sink(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)
