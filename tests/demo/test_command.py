"""`featurewatch demo` from end to end: a bridge, two app processes, and what arrives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

from featurewatch.commands.demo import Apps, app_commands, welcome
from running import START_S, STOP_S, environment

_DIRECT = build_opener(ProxyHandler({}))


class _Demo:
    def __init__(self, folder: Path, *options: str) -> None:
        self.errors = folder / "stderr.txt"
        with self.errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "featurewatch.cli", "demo", "--data-dir", str(folder / "data"), *options],
                stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment(), cwd=folder,
            )  # fmt: skip
        self.text = self._welcome()
        self.url = next(
            word.rstrip("/") for word in self.text.split() if word.startswith("http://") and word.endswith("/")
        )
        self.apps = [child for child in psutil.Process(self.process.pid).children() if child.is_running()]

    def _welcome(self) -> str:
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith("Ctrl-C"):
                return text
        raise AssertionError(self.errors.read_text())

    def get(self, path: str) -> Any:
        with _DIRECT.open(f"{self.url}/api/v1{path}", timeout=START_S) as answer:
            return json.load(answer)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


def _until(seen: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_S
    while not seen():
        assert time.monotonic() < end, f"not within {START_S:g} s: {what}"
        time.sleep(0.25)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Demo]:
    running = _Demo(tmp_path_factory.mktemp("demo"), "--port", "0")
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(STOP_S)


def test_the_text_shows_where_to_look(demo: _Demo) -> None:
    assert f"{demo.url}/\n" in demo.text
    assert f"curl '{demo.url}/api/v1/metrics/current?feature_id=summarize'" in demo.text
    assert f"featurewatch tail summarize --url {demo.url}\n" in demo.text
    with _DIRECT.open(demo.url, timeout=START_S) as console:
        assert b"<html" in console.read().lower()


def test_all_features_of_both_environments_arrive(demo: _Demo) -> None:
    def environments() -> dict[str, list[str]]:
        return {feature["id"]: feature["environments"] for feature in demo.get("/features")["features"]}

    expected = {
        **{name: ["production"] for name in ("search", "classify", "summarize", "extract", "explain", "review")},
        "rewrite": ["production", "staging"],
    }
    _until(lambda: environments() == expected, "seven features, one of them in staging too")


def test_figures_costs_and_errors_arrive(demo: _Demo) -> None:
    def snapshots() -> dict[str, dict[str, Any]]:
        return {snapshot["featureId"]: snapshot["metrics"] for snapshot in demo.get("/metrics/current")["data"]}

    _until(
        lambda: sum((metrics["total_requests"] or 0) > 0 for metrics in snapshots().values()) >= 6,
        "requests of six features",
    )
    _until(lambda: sum((metrics["total_cost"] or 0) > 0 for metrics in snapshots().values()) >= 4, "costs of four")
    _until(lambda: any((metrics["error_rate"] or 0) > 0 for metrics in snapshots().values()), "an error")
    by_model = demo.get("/features/review/costs")["by_model"]
    assert {model["model"] for model in by_model} == {"house-reviewer-1"}


def test_lines_arrive_with_their_readers_traces_and_metadata(demo: _Demo) -> None:
    for feature in ("search", "summarize", "extract", "explain", "classify"):
        _until(lambda feature=feature: len(demo.get(f"/logs?feature_id={feature}")["logs"]) > 0, f"lines of {feature}")
    for entry in demo.get("/logs?feature_id=search&levels=info")["logs"]:
        assert entry["environment"] == "production"
        assert len(entry["trace_id"]) == 32
        assert entry["user_id"].isalpha()
        assert entry["metadata"]["hits"] >= 0
    assert "is about" in demo.get("/logs?feature_id=classify&levels=info")["logs"][0]["message"]


def test_sigint_stops_the_apps_then_the_bridge_without_a_complaint(demo: _Demo) -> None:
    assert len(demo.apps) == 2
    assert demo.stop(signal.SIGINT) == 130
    assert not any(psutil.pid_exists(app.pid) and app.is_running() for app in demo.apps)
    told = demo.errors.read_text()
    assert "Traceback" not in told
    assert "cannot reach" not in told


def test_sigterm_at_once_stops_it_too(tmp_path: Path) -> None:
    running = _Demo(tmp_path, "--port", "0")
    assert running.stop(signal.SIGTERM) == 0
    assert not any(psutil.pid_exists(app.pid) and app.is_running() for app in running.apps)


def test_a_port_in_use_is_told_in_one_line_that_names_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "featurewatch.cli", "demo", "--port", str(port), "--data-dir", str(tmp_path)],
            capture_output=True, text=True, timeout=START_S, env=environment(), cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if line.startswith("featurewatch:")] == [
        f"featurewatch: port {port} of 127.0.0.1 is in use: stop what listens there, or choose another with --port "
        "(0 takes a free one)"
    ]


def test_a_missing_extra_prints_the_install_line(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['uvicorn'] = None; from featurewatch.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, text=True, timeout=START_S, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 1
    assert "pip install 'featurewatch[bridge]'" in done.stderr.splitlines()[-1]


def test_the_default_address_needs_no_option() -> None:
    assert "featurewatch tail summarize\n" in welcome("http://127.0.0.1:8400")


def test_the_apps_do_not_take_modules_from_the_working_directory() -> None:
    for command in app_commands("http://127.0.0.1:1", os.getpid()):
        assert command[:3] == [sys.executable, "-P", "-m"]


def test_apps_get_no_settings_of_the_bridge_and_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    stubborn = (
        "import json, os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(seen)!r} + '.new', 'w').write(json.dumps(dict(os.environ))); "
        f"os.rename({str(seen)!r} + '.new', {str(seen)!r}); time.sleep(600)"
    )
    before = psutil.Process().children()
    apps = Apps(patience=0.5)
    apps.start(
        [[sys.executable, "-c", stubborn]],
        {"PATH": os.environ["PATH"], "FEATUREWATCH_DISABLED": "1", "OTEL_SDK_DISABLED": "true", "LANG": "C"},
    )
    _until(seen.exists, "the app's environment")
    apps.stop()
    assert set(psutil.Process().children()) <= set(before)
    assert {"PATH", "LANG"} <= set(given := json.loads(seen.read_text()))
    assert not any(name.startswith(("FEATUREWATCH_", "OTEL_")) for name in given)


def test_an_app_that_ends_by_itself_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    apps = Apps()
    apps.start([[sys.executable, "-c", "raise SystemExit(7)"]], os.environ)
    told = ""

    def seen() -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return "a demo app ended by itself, exit code 7" in told

    _until(seen, "the exit code")
    apps.stop()


def test_the_app_alone_serves_its_metrics_and_sends_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "featurewatch.cli", "demo", "--app-only", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]

        def counted() -> bool:
            with _DIRECT.open(url, timeout=START_S) as answer:
                text = answer.read().decode()
            lines = [line for line in text.splitlines() if line.startswith("feature_requests_total{")]
            return sum(float(line.split()[-1]) for line in lines if 'environment="production"' in line) > 0

        _until(counted, "calls")
        with pytest.raises(HTTPError, match="404"):
            _DIRECT.open(url.removesuffix("metrics"), timeout=START_S)
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "8000"], "expected an address such as 0.0.0.0:8000, got '8000'"),
        (["--endpoint", "http://127.0.0.1:9", "--token-file", "nowhere"], "--token-file nowhere cannot be read"),
        ([], "expected --endpoint or --listen"),
    ],
)
def test_a_wrong_option_of_the_app_alone_is_told(options: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "featurewatch.cli", "demo", "--app-only", *options],
        capture_output=True, text=True, timeout=START_S, env=environment(), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("featurewatch: ")
