"""A real Alertmanager for the tests that talk to one, and somewhere that it can notify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_http import LocalServer, QuietHandler
from prometheus import Server, free_port, wait_for

MINIMAL = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class Alertmanager(Server):
    """Alertmanager alone, without a cluster. Its configuration is `config`."""

    @property
    def config(self) -> Path:
        return self.folder / "alertmanager.yml"

    def reload(self) -> None:
        answer = httpx.post(f"{self.url}/-/reload", timeout=60)
        assert answer.status_code == 200, f"{answer.text}\n{self.log}"

    def post(
        self, *alerts: Mapping[str, str], annotations: Mapping[str, str] | None = None, ended: bool = False
    ) -> None:
        """Tell it of alerts by their labels, as Prometheus does; they last five minutes, or are over where `ended`."""
        now = datetime.now(UTC)
        body = [
            {
                "labels": dict(labels),
                "annotations": dict(annotations or {}),
                "startsAt": (now - timedelta(seconds=5)).isoformat(),
                **({"endsAt": now.isoformat()} if ended else {}),
            }
            for labels in alerts
        ]
        assert httpx.post(f"{self.url}/api/v2/alerts", json=body, timeout=30).status_code == 200

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it has, as its API shows them."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts", timeout=30).json()
        return found

    def silences(self) -> list[dict[str, Any]]:
        """Return the silences that are active."""
        told = httpx.get(f"{self.url}/api/v2/silences", timeout=30).json()
        return [silence for silence in told if silence["status"]["state"] == "active"]

    def metric(self, name: str) -> float:
        """Return a metric of its own, given with its labels as it is written."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name))


class Sink(LocalServer):
    """A server that keeps what is posted to it: method, path, headers and JSON. `answer` is what it says to all."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status = 200
        self.said = "ok"
        sink = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.received()
                sink.posts.append(
                    {"path": self.path, "headers": dict(self.headers), "body": json.loads(body) if body else None}
                )
                self.answer(sink.status, sink.said.encode())

        super().__init__(Handler)

    def at(self, path: str) -> list[dict[str, Any]]:
        """Return what was posted to a path."""
        return [post for post in tuple(self.posts) if post["path"] == path]

    def wait(self, path: str, count: int = 1, *, within_s: float = 60) -> list[dict[str, Any]]:
        """Wait until so many were posted to a path, and return them."""
        return wait_for(
            lambda: found if len(found := self.at(path)) >= count else [], within_s=within_s, what=f"a post to {path}"
        )

    def told(self, path: str = "/hook") -> list[str]:
        """Return the status of every alert of every webhook that came to a path."""
        return [alert["status"] for post in self.at(path) for alert in post["body"]["alerts"]]

    def wait_told(self, count: int, path: str = "/hook", *, within_s: float = 60) -> list[str]:
        """Wait until so many alerts were told, and return the status of each."""
        wait_for(
            lambda: len(self.told(path)) >= count, within_s=within_s, what=f"{count} alerts, got {self.told(path)}"
        )
        return self.told(path)


def make(folder: Path, *, config: str = MINIMAL, options: Sequence[str] = ()) -> Alertmanager:
    """Prepare an Alertmanager in a folder, on a free port of the loopback; `start` it."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("no Alertmanager to test against (Debian: apt-get install prometheus-alertmanager)")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    arguments = [
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
        *options,
    ]
    made = Alertmanager(program, folder, port, arguments, "/-/ready")
    made.config.write_text(config, encoding="utf-8")
    return made


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """Alertmanager for all tests of a run, which notifies nobody: each posts alerts with a label of its own."""
    made = make(tmp_path_factory.mktemp("alertmanager"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def own_alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Alertmanager for one test alone, prepared and not started: write its `config`, `start`, `kill` it."""
    made = make(tmp_path / "alertmanager")
    yield made
    made.stop()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Somewhere to be notified, for one test."""
    made = Sink()
    yield made
    made.close()
