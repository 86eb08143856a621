"""Servers with several workers, run for real: any worker's /metrics answers for all, through death and restart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from featurewatch.exporter.prefork import judge
from running import environment

HERE = Path(__file__).parent
COUNT = 'feature_requests_total{environment="production",feature="chat",outcome="success"}'
RUNNING = "feature_requests_in_progress environment=production feature=chat"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(true: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(0.05)


@dataclass
class Server:
    """A server under test: who answered, and how many requests did not get an answer."""

    port: int
    log: Path
    answered: list[str] = field(default_factory=list)
    failed: int = 0

    @property
    def workers(self) -> set[int]:
        return {int(pid) for pid in self.answered}

    def get(self, path: str) -> str:
        """Ask on a connection of its own, so that any worker may answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, text
        return text

    def call(self) -> None:
        try:
            self.answered.append(self.get("/call"))
        except (OSError, HTTPException):
            self.failed += 1

    def calls(self, count: int) -> None:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: self.call(), range(count)))

    def samples(self) -> dict[str, float]:
        families = parse_text(self.get("/metrics"))
        return {
            sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def count(self, outcome: str = "success") -> float:
        return self.samples()[f"feature_requests_total environment=production feature=chat outcome={outcome}"]

    def alive(self) -> bool:
        try:
            return bool(self.get("/metrics"))
        except (OSError, HTTPException):
            return False


@contextmanager
def serving(folder: Path, *command: str, env: Mapping[str, str], port: int = 0) -> Iterator[Server]:
    """Run a server on the port, or a free one (`{port}` in the command), until the end of the block."""
    server = Server(port or free_port(), folder / "server.log")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=server.port) for part in command)],
            cwd=HERE, env=environment(env), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: server.alive() or process.poll() is not None, "the server's first answer")
        assert process.poll() is None, server.log.read_text()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


UVICORN = ("uvicorn", "prefork_app:app", "--port", "{port}", "--workers", "4", "--log-level", "warning")
GUNICORN = ("gunicorn", "prefork_app:wsgi", "--bind", "127.0.0.1:{port}", "--workers", "3", "--threads", "4")


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Run a Prometheus that scrapes the target twice a second; yield its URL."""
    port = free_port()
    config = folder / "prometheus.json"
    scrape = {
        "job_name": "app", "scrape_interval": "500ms", "scrape_timeout": "500ms",
        "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
    }  # fmt: skip
    config.write_text(json.dumps({"scrape_configs": [scrape]}))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
             f"--storage.tsdb.path={folder / 'tsdb'}"],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def scraped(url: str, selector: str) -> list[tuple[float, float]]:
    """Read the raw samples of one series, (time, value)."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": f"{selector}[5m]"}, timeout=20, trust_env=False)
    except httpx.TransportError:
        return []
    if answer.status_code != 200:
        return []
    series = answer.json()["data"]["result"]
    assert len(series) <= 1
    return [(float(at), float(value)) for at, value in series[0]["values"]] if series else []


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus (Debian's package) is not installed")
def test_four_workers_are_one_to_prometheus_while_one_is_killed_and_replaced(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    port = free_port()
    with (
        # First, since it looks at its targets five seconds after its start.
        prometheus(tmp_path, port) as url,
        serving(tmp_path, *UVICORN, env={"FEATUREWATCH_MULTIPROCESS_DIR": str(shared)}, port=port) as server,
    ):
        until(lambda: len(scraped(url, COUNT)) > 0, "a first scrape")
        until(lambda: server.call() or len(server.workers) == 4, "calls answered by four workers")
        server.calls(300)
        before = len(server.workers)

        os.kill(victim := max(server.workers), signal.SIGKILL)
        server.calls(300)
        quiet_failures = server.failed

        # Again in the middle of calls: one that gets no answer may have been counted, or not.
        load = threading.Thread(target=server.calls, args=(300,))
        load.start()
        os.kill(max(server.workers - {victim}), signal.SIGKILL)
        load.join()
        until(lambda: server.call() or len(server.workers) > before, "a new worker's first answer")
        made = len(server.answered)
        ended = time.time()
        until(lambda: (scraped(url, COUNT) or [(0, 0)])[-1][0] > ended + 0.5, "a scrape after the last call")
        samples = scraped(url, COUNT)
        values = [value for _, value in samples]
        assert values == sorted(values), "counters never go back"
        assert values[0] == 0
        counted = values[-1] - values[0]
        assert made <= counted <= made + server.failed
        assert server.failed - quiet_failures <= 6, "only what the killed worker had at hand"
        found = server.samples()
        key = "environment=production feature=chat"
        assert found[f"feature_request_duration_seconds_count {key}"] == counted
        assert found[f"feature_request_duration_seconds_bucket {key.replace('chat', 'chat le=+Inf')}"] == counted
        assert found[f"feature_tokens_total {key} kind=input model=gpt-5-mini"] == 3 * counted
        assert found[f"feature_cost_usd_total {key} model=gpt-5-mini source=reported"] == 0.5 * counted
        assert found[RUNNING] == 0
        assert found["feature_info " + key + " name=chat owner= version="] == 1
        until(lambda: len(list(shared.glob("worker-*"))) <= 6, "files of ended workers to be added up")
    assert "Traceback" not in server.log.read_text()


def test_a_server_that_starts_again_goes_on_counting(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    env = {"FEATUREWATCH_MULTIPROCESS_DIR": str(tmp_path / "shared")}
    total = 0
    for command in (GUNICORN, (*GUNICORN, "--preload")):
        with serving(tmp_path, *command, env=env) as server:
            assert server.count() == total
            server.calls(60)
            assert server.failed == 0
            total += 60
            assert {server.count() for _ in range(8)} == {total}
            slow = threading.Thread(target=server.get, args=("/slow",))
            slow.start()
            until(lambda: server.samples()[RUNNING] == 1, "every worker to see the running call")
            slow.join()
            total += 2
            assert {server.samples()[RUNNING] for _ in range(8)} == {0}
            assert server.count() == total
        assert "FEATUREWATCH_MULTIPROCESS_DIR" not in server.log.read_text()


@pytest.mark.parametrize(
    ("command", "seen"), [(GUNICORN, "gunicorn runs 3 workers"), (UVICORN, "this is one of several worker processes")]
)
def test_workers_without_a_folder_are_told_what_to_set(tmp_path: Path, command: Sequence[str], seen: str) -> None:
    pytest.importorskip(command[0])
    with serving(tmp_path, *command, env={}) as server:
        assert server.get("/metrics")
        log = server.log.read_text()
    assert seen in log
    assert "FEATUREWATCH_MULTIPROCESS_DIR" in log


@pytest.mark.parametrize(
    ("environ", "argv", "forked", "child", "configured", "expected"),
    [
        ({}, ["app"], False, False, False, ""),
        ({}, ["app"], True, False, False, "forked"),
        ({}, ["uvicorn", "app:app"], False, True, False, "worker processes"),
        ({}, ["uvicorn", "app:app", "--reload"], False, True, False, ""),
        ({"SERVER_SOFTWARE": "gunicorn/27"}, ["gunicorn", "app"], False, False, False, ""),
        ({"SERVER_SOFTWARE": "gunicorn/27"}, ["gunicorn", "-w1", "app"], True, False, False, ""),
        ({"SERVER_SOFTWARE": "gunicorn/27"}, ["gunicorn", "-w", "4", "app"], False, False, False, "4 workers"),
        ({"SERVER_SOFTWARE": "gunicorn/27"}, ["gunicorn", "--workers=2", "app"], False, False, False, "2 workers"),
        ({"SERVER_SOFTWARE": "gunicorn/27", "GUNICORN_CMD_ARGS": "-w 8"}, ["gunicorn"], False, False, False, "8 work"),
        ({"SERVER_SOFTWARE": "gunicorn/27", "WEB_CONCURRENCY": "3"}, ["gunicorn"], False, False, False, "3 workers"),
        ({"SERVER_SOFTWARE": "gunicorn/27"}, ["gunicorn", "app"], False, False, True, "any number"),
        ({"SERVER_SOFTWARE": "gunicorn/27", "GUNICORN_CMD_ARGS": "'"}, ["gunicorn"], False, False, False, ""),
    ],
)
def test_a_worker_among_others_is_recognised(
    environ: dict[str, str], argv: list[str], forked: bool, child: bool, configured: bool, expected: str
) -> None:
    reason = judge(environ, argv, forked=forked, child=child, configured=configured)
    assert expected in reason
    assert bool(reason) == bool(expected)
