"""What befalls the machine: a disk that fills up, a clock that is set. Nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from bridge.running import API, serving
from running import Running, bridge

SMALL: tuple[str, ...] = (
    "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=12m tmpfs "$0" && exec "$@"',
)  # fmt: skip
"""Runs a command in a mount namespace of its own, where a folder is a disk of 12 MB."""


def _may_unshare() -> bool:
    try:
        return subprocess.run([*SMALL, "/mnt", "true"], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def on_a_small_disk(folder: Path) -> Iterator[tuple[Running, Path]]:
    """Run a bridge whose data lies on a disk of 12 MB; also gives the folder as it is seen from here."""
    folder.mkdir()
    with bridge(folder, env={"FEATUREWATCH_METRICS_INTERVAL": "0.5"}, within=(*SMALL, str(folder))) as served:
        yield served, Path(f"/proc/{served.process.pid}/root{folder}")


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def all_lines(http: httpx.Client) -> list[str]:
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        query = {"feature_id": "chat", "direction": "forward", "limit": 5000, "cursor": cursor}
        page = http.get(f"{API}/logs", params=query).json()
        found += [line["id"] for line in page["logs"]]
        cursor = page["next_cursor"]
    return found


@pytest.mark.skipif(not _may_unshare(), reason="this machine lets no user mount a small disk (unshare --user --mount)")
def test_a_disk_that_fills_up_is_told_and_what_comes_after_room_is_made_is_kept(tmp_path: Path) -> None:
    kept: list[str] = []
    number = 0
    with on_a_small_disk(tmp_path / "small") as (served, inside):
        (inside / "ballast").write_bytes(b"x" * 4_000_000)
        with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as http:

            def post(count: int) -> httpx.Response:
                nonlocal number
                lines = [
                    {"featureId": "chat", "id": f"line-{number + at}", "message": f"{number + at} " + "x" * 600}
                    for at in range(count)
                ]
                number += count
                answer = http.post(f"{API}/logs", json=lines)
                if answer.status_code == 200:
                    kept.extend(answer.json()["ids"])
                return answer

            def ready() -> bool:
                return http.get("/readyz").status_code == 200

            assert ready()
            http.post(f"{API}/features/chat/requests", json={"outcome": "success", "duration_ms": 1}).raise_for_status()
            refused = post(100)
            while refused.status_code == 200:
                refused = post(100)
            assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (
                503, "store_full", "60",
            )  # fmt: skip
            with (inside / "more").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            results = http.post(f"{API}/features/chat/test-results", json={"name": "smoke", "passed": True})
            calls = http.post(f"{API}/features/chat/requests", json={"outcome": "success", "duration_ms": 1})
            assert {results.json()["code"], calls.json()["code"]} == {"store_full"}
            checks = http.get("/readyz").json()["checks"]
            assert {name for name, check in checks.items() if "disk is full" in check.get("error", "")} >= {
                "logs", "metrics", "state",
            }  # fmt: skip
            # What can be read is read, and figures go on.
            assert http.get(f"{API}/features").json()["features"][0]["id"] == "chat"
            assert http.get(f"{API}/features/chat/metrics/current").json()["data"]["stale"] is False
            (inside / "more").unlink()
            (inside / "ballast").unlink()
            assert post(10).status_code == 200
            until(ready)
            answer = http.post(f"{API}/features/chat/test-results", json={"name": "smoke", "passed": True})
            assert answer.status_code == 200
            assert all_lines(http) == kept
        assert "Traceback" not in served.errors.read_text()


class Clock:
    """The machine's clock, set by hand."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> int:
        return time.time_ns() + int(self.ahead_s * 1e9)


def heard(socket: ClientConnection, kind: str, wanted: Callable[[Any], bool]) -> Any:
    """Read messages until one of a kind is as wanted."""
    deadline = time.monotonic() + 60
    while True:
        message = json.loads(socket.recv(timeout=max(0.1, deadline - time.monotonic())))
        assert message["type"] != "gap", message
        if message["type"] == kind and wanted(message):
            return message


def test_a_clock_that_is_set_forward_and_back_harms_neither_lines_nor_figures_nor_streams(tmp_path: Path) -> None:
    clock, count = Clock(), 0
    with (
        serving(tmp_path, clock=clock) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=30) as http,
    ):

        def calls(number: int) -> None:
            nonlocal count
            told = [{"id": f"c{count + at}", "outcome": "success", "duration_ms": 10} for at in range(number)]
            count += number
            accepted = http.post(f"{API}/features/chat/requests", json=told)
            assert accepted.json()["accepted"] == number, accepted.text

        calls(20)
        http.post(f"{API}/logs", json={"featureId": "chat", "message": "first"}).raise_for_status()
        place = f"{address.replace('http', 'ws', 1)}{API}/websocket?featureId=chat"
        said = ["first"]
        with connect(place) as socket:
            socket.send('{"type": "subscribe_logs"}')
            heard(socket, "log_history", lambda _: True)
            for hours in (6, -6, -5.5, 0.5, 24):
                clock.ahead_s = hours * 3600
                calls(7)
                said.append(f"{hours:g} h")
                http.post(f"{API}/logs", json={"featureId": "chat", "message": said[-1]}).raise_for_status()
                line = heard(socket, "log_entry", lambda told: told["data"]["message"] == said[-1])
                assert "late" not in line["data"]
                update = heard(socket, "metrics_update", lambda told: told["data"]["metrics"]["total_requests"] == 7)
                assert update["data"]["stale"] is False
                assert http.get("/readyz").status_code == 200
                with connect(f"{place}&after={line['id']}") as again:
                    assert json.loads(again.recv(timeout=30))["data"]["recovered"] is True
        lines = http.get(f"{API}/logs", params={"feature_id": "chat"}).json()["logs"]
        assert sorted(line["message"] for line in lines) == sorted(said)
        clock.ahead_s = 25 * 3600
        total = http.get(f"{API}/features/chat/metrics", params={"time_range": "7d"}).json()["total_requests"]
        assert total == count, "every call is counted, each in the time in which it was told"
