"""Real metric servers for the tests that talk to one: Prometheus, and VictoriaMetrics, which speaks its language."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from remote_write import Points, write

T = TypeVar("T")

START_S = 60.0


@dataclass
class Server:
    """A server of our own, at `url`. `stop`, `kill` and `start` it; `write` past samples into it.

    Attributes:
        ready: the path that answers once it is ready.
        flush: the path that makes what was written visible, where that is not so at once.
    """

    program: str
    folder: Path
    port: int
    arguments: Sequence[str]
    ready: str
    flush: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it said, the last 4,000 characters."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *self.arguments], cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, f"{self.program} ended: {self.log}"
            assert time.monotonic() < deadline, f"{self.program} is not ready after {START_S:g} s: {self.log}"
            time.sleep(0.05)

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """End it; harmless when repeated."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(with_signal)
                self.process.send_signal(signal.SIGCONT)  # one that was stopped by SIGSTOP hears nothing else
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections are accepted, and nothing is answered until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        # A signal takes a while to reach all threads, and those that it did not reach yet answer.
        wait_for(lambda: all(_state(task) == "T" for task in tasks.iterdir()), what="its threads to stop")

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def write(self, points: Points) -> None:
        """Keep points by remote write; Prometheus takes them out of order, up to 60 days old."""
        write(self.url, points)
        if self.flush:
            assert httpx.get(f"{self.url}{self.flush}", timeout=60).is_success

    def query(self, promql: str, *, time_s: float | None = None) -> list[dict[str, Any]]:
        """Evaluate an expression now, or at an instant, and return the vector as Prometheus tells it."""
        form = {"query": promql, **({} if time_s is None else {"time": f"{time_s:.3f}"})}
        answer = httpx.post(f"{self.url}/api/v1/query", data=form, timeout=60)
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def wait_for(self, promql: str, *, within_s: float = 60) -> list[dict[str, Any]]:
        """Wait until an expression has a result and return it."""
        return wait_for(lambda: self.query(promql), within_s=within_s, what=promql)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}{self.ready}", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


class Prometheus(Server):
    """Prometheus with lifecycle and remote-write receiver, and a configuration that can be changed while it runs."""

    def configure(self, **sections: Any) -> None:
        """Write its configuration; `reload` it, if it runs. See `config` for the sections."""
        (self.folder / "prometheus.yml").write_text(config(**sections), encoding="utf-8")

    def reload(self) -> None:
        """Load the configuration and rule files anew; a failure is told with what it logged."""
        answer = httpx.post(f"{self.url}/-/reload", timeout=60)
        assert answer.status_code == 200, f"{answer.text}\n{self.log}"


def config(
    *,
    targets: Mapping[str, Sequence[str]] | None = None,
    scrape_interval: str = "1s",
    evaluation_interval: str = "1s",
    rule_files: Sequence[str] = (),
    alertmanagers: Sequence[str] = (),
    **sections: Any,
) -> str:
    """Write a configuration, as JSON, which is YAML.

    Args:
        targets: job name to addresses `host:port`, scraped at /metrics.
        rule_files: paths, `*` allowed, relative to the server's folder or absolute.
        alertmanagers: addresses `host:port`.
        sections: further top-level sections, such as `scrape_configs` (added to `targets`) or `remote_write`.
    """
    jobs = [
        {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
        for job, addresses in (targets or {}).items()
    ]
    told: dict[str, Any] = {
        "global": {"scrape_interval": scrape_interval, "evaluation_interval": evaluation_interval},
        "storage": {"tsdb": {"out_of_order_time_window": "60d"}},
        **sections,
        "scrape_configs": [*jobs, *sections.get("scrape_configs", ())],
    }
    # Prometheus refuses a timeout above the interval.
    for job in told["scrape_configs"]:
        job.setdefault("scrape_timeout", job.get("scrape_interval", scrape_interval))
    if rule_files:
        told["rule_files"] = list(rule_files)
    if alertmanagers:
        told["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
    return json.dumps(told, indent=2)


def make(folder: Path, *, options: Sequence[str] = (), **sections: Any) -> Prometheus:
    """Prepare a Prometheus in a folder, on a free port of the loopback; `start` it.

    Args:
        options: further ones of the command line.
        sections: as of `config`.
    """
    program, port = _program("prometheus", "prometheus"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
        *options,
    ]
    made = Prometheus(program, folder, port, arguments, "/-/ready")
    made.configure(**sections)
    return made


def make_victoriametrics(folder: Path, *, options: Sequence[str] = ()) -> Server:
    """Prepare a VictoriaMetrics in a folder; `start` it."""
    program, port = _program("victoria-metrics", "victoria-metrics"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"-storageDataPath={folder / 'data'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=10y",
        "-search.disableCache",
        "-loggerLevel=WARN",
        *options,
    ]
    return Server(program, folder, port, arguments, "/health", "/internal/force_flush")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(read: Callable[[], T], *, within_s: float = 60, what: str = "it") -> T:
    """Read until it is something, and return that."""
    deadline = time.monotonic() + within_s
    while not (found := read()):
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        time.sleep(0.1)
    return found


def _state(task: Path) -> str:
    """Read the state of a thread: T where it is stopped."""
    return (task / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]


def _program(command: str, package: str) -> str:
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"no {command} to test against (Debian: apt-get install {package})")
    return found


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus for all tests of a run, which scrapes nothing: each writes series with a label of its own."""
    made = make(tmp_path_factory.mktemp("prometheus"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def own_prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """Prometheus for one test alone, prepared and not started: `configure` it, `start`, `kill` it."""
    made = make(tmp_path / "prometheus")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def victoriametrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """VictoriaMetrics for all tests of a run, as `prometheus`."""
    made = make_victoriametrics(tmp_path_factory.mktemp("victoriametrics"))
    made.start()
    yield made
    made.stop()
