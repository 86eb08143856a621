"""The command line, as a person or a script meets it: real processes, and a real bridge behind them."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurewatch.cli import build_parser, main
from running import Done, Running, bridge, command, environment


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with bridge(tmp_path_factory.mktemp("bridge")) as running:
        send(running.url, "chat", *(f"line {n}" for n in range(120)))
        send(running.url, "chat", "boom\x1b[31m\nsecond", level="error", metadata={"step": 3})
        yield running


def send(url: str, feature: str, *messages: str, **fields: Any) -> None:
    lines = [{"featureId": feature, "message": message} | fields for message in messages]
    answer = httpx.post(f"{url}/api/v1/logs", json=lines, trust_env=False)
    assert answer.status_code == 200, answer.text


def ask(served: Running, *arguments: str, **env: str) -> Done:
    return command(*arguments, env={"FEATUREWATCH_URL": served.url, **env})


def one_line(text: str) -> str:
    assert text.startswith("featurewatch: "), text
    assert text.count("\n") == 1, text
    return text


# reading the line


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for word in ("serve", "tail", "logs", "token", "examples:", "featurewatch tail summarize"):
        assert word in shown


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("serv", "did you mean serve?"),
        ("token creat", "did you mean create?"),
        ("token create --role viewr", "did you mean viewer?"),
        ("serve --prot 8", "did you mean --port?"),
        ("tail", "FEATURE"),
        ("tail chat --level wrong", "debug, info, warn, error, fatal"),
        ("tail chat -n many", "expected a number of lines"),
        ("serve --port x", "expected a number, got 'x'"),
        ("logs export chat --format xml", "'xml' is not one of json, csv"),
        ("quite-something-else", "is not one of"),
    ],
)
def test_a_mistyped_line_is_one_line_with_what_was_meant(
    line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    told = one_line(capsys.readouterr().err)
    assert expected in told
    assert "--help" in told


def test_every_command_explains_itself() -> None:
    parser = build_parser()
    for line in ("serve", "tail", "logs export", "token create", "token list", "token revoke", "logs", "token"):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args([*line.split(), "--help"])
        assert caught.value.code == 0


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert command("--version").stdout == f"featurewatch {version('featurewatch')}\n"


def test_a_command_without_its_packages_prints_the_line_that_installs_them(tmp_path: Path) -> None:
    for extra, hidden, line in (("bridge", "loguru", "serve"), ("client", "websockets", "tail chat"),
                                ("client", "rich", "tail chat")):  # fmt: skip
        program = f"import sys; sys.modules[{hidden!r}] = None; from featurewatch.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", program, *line.split()], capture_output=True, text=True, cwd=tmp_path,
            env=environment(),
        )  # fmt: skip
        assert done.returncode == 1
        assert f"pip install 'featurewatch[{extra}]'" in one_line(done.stderr)


def test_a_traceback_is_shown_only_where_it_is_asked_for(tmp_path: Path) -> None:
    line = ("token", "list", "--file", str(tmp_path / "none.json"))
    assert "Traceback" not in command(*line).stderr
    assert "Traceback" in command(*line, env={"FEATUREWATCH_DEBUG": "1"}).stderr


# tokens


def test_a_token_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    line = ("token", "create", "--role", "viewer", "--features", "sum*,chat", "--features", "a?", "--expires", "90d")
    made = command(*line, "--name", "wall", env={"FEATUREWATCH_API_TOKENS_FILE": str(path)})
    assert re.fullmatch(r"fw_[a-z0-9]{8}_[A-Za-z0-9]{43}\n", made.stdout)
    assert "viewer of sum*, chat, a?, until" in made.stderr
    token_id = made.stdout.split("_")[1]
    listed = command("token", "list", "--json", "--file", str(path))
    (row,) = json.loads(listed.stdout)
    assert (row["id"], row["name"], row["role"], row["features"]) == (
        token_id,
        "wall",
        "viewer",
        ["sum*", "chat", "a?"],
    )
    assert token_id in command("token", "list", "--file", str(path)).stdout
    assert made.stdout.split("_")[2].strip() not in path.read_text()
    assert command("token", "revoke", token_id, "--file", str(path)).returncode == 0
    assert json.loads(command("token", "list", "--json", "--file", str(path)).stdout) == []
    again = command("token", "revoke", token_id, "--file", str(path))
    assert again.returncode == 1
    assert "token list" in one_line(again.stderr)


def test_a_token_goes_beside_the_data_where_nothing_else_is_said(tmp_path: Path) -> None:
    made = command("token", "create", "--role", "admin", cwd=tmp_path)
    path = tmp_path / ".featurewatch" / "tokens.json"
    assert path.exists()
    assert f"export FEATUREWATCH_API_TOKENS_FILE={path}" in made.stderr


def test_a_wrong_duration_or_pattern_is_a_usage_error(tmp_path: Path) -> None:
    for wrong in (("--expires", "soon"), ("--features", "sum mer")):
        done = command("token", "create", "--role", "viewer", "--file", str(tmp_path / "t.json"), *wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert wrong[1] in one_line(done.stderr)


# serve


def test_serve_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    with bridge(tmp_path, "--environment", "staging", env={"FEATUREWATCH_METRICS_INTERVALL": "5"}) as served:
        assert httpx.get(f"{served.url}/healthz", trust_env=False).status_code == 200
        send(served.url, "chat", "where am I?")
        page = httpx.get(f"{served.url}/api/v1/logs?feature_id=chat", trust_env=False).json()
        assert page["logs"][0]["environment"] == "staging"
        assert served.stop() == 0
        told = served.errors.read_text()
        assert "did you mean FEATUREWATCH_METRICS_INTERVAL?" in told
        assert "Traceback" not in told


def test_serve_ends_with_130_after_ctrl_c(tmp_path: Path) -> None:
    with bridge(tmp_path) as served:
        assert served.stop(signal.SIGINT) == 130


def test_a_second_bridge_is_told_who_holds_the_data_or_the_port(tmp_path: Path) -> None:
    with bridge(tmp_path) as served:
        data = command("serve", "--port", "0", "--data-dir", str(tmp_path))
        assert data.returncode == 1
        assert f"process {served.process.pid}" in one_line(data.stderr)
        port = served.url.rpartition(":")[2]
        taken = command("serve", "--port", port, "--data-dir", str(tmp_path / "other"))
        assert taken.returncode == 1
        assert f"port {port} of 127.0.0.1 is in use" in one_line(taken.stderr)


@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [
        (("--host", "0.0.0.0"), {}, "FEATUREWATCH_API_TOKENS_FILE"),
        (("--port", "70000"), {}, "FEATUREWATCH_PORT: expected at least 0 and at most 65535, got '70000'"),
        (("--port", "many"), {}, "--port: expected a number, got 'many'"),
        ((), {"FEATUREWATCH_METRICS_INTERVAL": "often"}, "FEATUREWATCH_METRICS_INTERVAL"),
        ((), {"FEATUREWATCH_API_TOKENS_FILE": "/no/such/tokens.json"}, "featurewatch token create"),
        ((), {"FEATUREWATCH_LOKI_URL": "127.0.0.1:3100"}, "FEATUREWATCH_LOKI_URL"),
        ((), {"FEATUREWATCH_DATABASE_URL": "mysql://root:hunter2@db/x"}, "expected sqlite"),
    ],
)
def test_a_wrong_setting_stops_serve_with_one_line(
    tmp_path: Path, options: tuple[str, ...], env: dict[str, str], expected: str
) -> None:
    done = command("serve", "--data-dir", str(tmp_path), *options, env={"FEATUREWATCH_PORT": "0"} | env)
    assert done.returncode == 2
    assert expected in one_line(done.stderr)
    assert "hunter2" not in done.stderr


# tail


class Tail:
    """A running `featurewatch tail` whose lines are collected as they come."""

    def __init__(self, url: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "featurewatch.cli", "tail", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({"FEATUREWATCH_URL": url} | (env or {})),
        )
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while not any(text in line for line in self.lines):
            assert time.monotonic() < deadline, (self.lines, self.process.poll())
            time.sleep(0.05)

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


def test_tail_begins_with_the_last_lines_and_goes_on(served: Running) -> None:
    send(served.url, "tailed", *(f"old {n}" for n in range(20)))
    tail = Tail(served.url, "tailed", "-n", "3")
    tail.wait_for("old 19")
    send(served.url, "tailed", "new", level="warn", metadata={"a": "b"}, trace_id="t1")
    tail.wait_for("new")
    code, notes = tail.stop()
    assert (code, notes) == (130, "")
    assert [line.partition(": ")[2] for line in tail.lines] == ["old 17", "old 18", "old 19", "new  a=b trace_id=t1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN  app: new .*", tail.lines[-1])


def test_tail_shows_no_escape_sequence_of_a_line(served: Running) -> None:
    tail = Tail(served.url, "chat", "--level", "error")
    tail.wait_for("second")
    tail.stop()
    assert tail.lines[0].endswith(r"ERROR app: boom\x1b[31m")
    assert tail.lines[1] == "    second  step=3"


def test_tail_shows_more_history_than_a_stream_brings_each_line_once(served: Running) -> None:
    for history in (("-n", "100"), ("--since", "1h")):
        tail = Tail(served.url, "chat", *history, "--search", "line", "--json")
        tail.wait_for("line 119")
        tail.stop()
        messages = [json.loads(line)["message"] for line in tail.lines]
        assert messages == [f"line {n}" for n in range(20 if history[0] == "-n" else 0, 120)]


def test_tail_goes_on_after_a_restart(tmp_path: Path) -> None:
    with bridge(tmp_path) as first:
        send(first.url, "chat", "one")
        tail = Tail(first.url, "chat")
        tail.wait_for("one")
        first.stop()
    send_later = int(first.url.rpartition(":")[2])
    with bridge(tmp_path, port=send_later) as second:
        send(second.url, "chat", "two")
        tail.wait_for("two")
        code, notes = tail.stop()
    assert code == 130
    assert "disconnected: " in notes
    assert "connected again" in notes
    assert [line.partition(": ")[2] for line in tail.lines] == ["one", "two"]


def test_tail_of_an_unknown_feature_names_what_exists(served: Running) -> None:
    done = ask(served, "tail", "chta")
    assert done.returncode == 1
    assert "did you mean chat?" in one_line(done.stderr)


def test_tail_is_coloured_on_a_terminal_only(served: Running) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "featurewatch.cli", "tail", "chat", "--level", "error"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment({"FEATUREWATCH_URL": served.url, "TERM": "xterm-256color"}),
    )
    os.close(theirs)
    shown = b""
    while b"second" not in shown:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    os.close(ours)
    assert b"\x1b[1;31mERROR" in shown
    assert rb"boom\x1b[31m" in shown


def test_a_token_on_the_command_line_is_warned_about(served: Running) -> None:
    done = ask(served, "logs", "export", "chat", "--token", "fw_a_b")
    assert done.returncode == 0
    assert "FEATUREWATCH_TOKEN" in done.stderr
    assert "FEATUREWATCH_TOKEN" not in ask(served, "logs", "export", "chat", FEATUREWATCH_TOKEN="fw_a_b").stderr


def test_a_bridge_that_asks_for_a_token_says_where_to_put_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = command("token", "create", "--role", "viewer", "--features", "ch*", "--file", str(path)).stdout.strip()
    writer = command("token", "create", "--role", "ingest", "--file", str(path)).stdout.strip()
    with bridge(tmp_path / "data", env={"FEATUREWATCH_API_TOKENS_FILE": str(path)}) as served:
        for feature in ("chat", "hidden"):
            answer = httpx.post(
                f"{served.url}/api/v1/logs", json={"featureId": feature, "message": "kept"}, trust_env=False,
                headers={"Authorization": f"Bearer {writer}"},
            )  # fmt: skip
            assert answer.status_code == 200
        refused = ask(served, "logs", "export", "chat")
        assert refused.returncode == 1
        assert "FEATUREWATCH_TOKEN" in one_line(refused.stderr)
        wrong = ask(served, "tail", "chat", FEATUREWATCH_TOKEN="fw_a_b")
        assert "FEATUREWATCH_TOKEN" in one_line(wrong.stderr)
        assert (
            json.loads(ask(served, "logs", "export", "chat", FEATUREWATCH_TOKEN=token).stdout)[0]["message"] == "kept"
        )
        hidden = ask(served, "logs", "export", "hidden", FEATUREWATCH_TOKEN=token)
        assert "there are: chat" in one_line(hidden.stderr)


def test_no_bridge_is_told_with_what_to_do() -> None:
    for line in (("tail", "chat"), ("logs", "export", "chat"), ("--url", "http://127.0.0.1:1", "tail", "chat")):
        done = command(*line, env={"FEATUREWATCH_URL": "http://127.0.0.1:1"})
        assert done.returncode == 1
        assert "'featurewatch serve' starts one" in one_line(done.stderr)


# export


def test_export_writes_json_and_csv_to_stdout(served: Running) -> None:
    entries = json.loads(ask(served, "logs", "export", "chat").stdout)
    assert [entry["message"] for entry in entries[:2]] == ["line 0", "line 1"]
    assert len(entries) == 121
    done = subprocess.run(
        [sys.executable, "-m", "featurewatch.cli", "logs", "export", "chat", "--format", "csv", "--level", "error"],
        capture_output=True, env=environment({"FEATUREWATCH_URL": served.url}),
    )  # fmt: skip
    rows = list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))
    assert rows[0][:3] == ["timestamp", "level", "message"]
    assert [row[2] for row in rows[1:]] == ["boom\x1b[31m\nsecond"]


def test_export_writes_a_file_and_counts_its_lines(served: Running, tmp_path: Path) -> None:
    for name, lines in (("all.json", 121), ("all.csv", 121)):
        done = ask(served, "logs", "export", "chat", "-o", str(tmp_path / name), "--since", "24h")
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert f"{lines} lines, {(tmp_path / name).stat().st_size:,} bytes" in done.stderr
    assert len(json.loads((tmp_path / "all.json").read_text())) == 121
    assert sorted(found.name for found in tmp_path.iterdir()) == ["all.csv", "all.json"]


def test_export_shows_its_progress_on_a_terminal_and_only_there(served: Running, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "featurewatch.cli", "logs", "export", "chat", "-o", str(tmp_path / "all.json")],
        stderr=theirs,
        env=environment({"FEATUREWATCH_URL": served.url, "TERM": "xterm-256color", "COLUMNS": "120"}),
    )
    os.close(theirs)
    shown = b""
    while b"all.json" not in shown:
        shown += os.read(ours, 4096)
    assert process.wait(30) == 0
    os.close(ours)
    assert b"121 lines" in shown
    assert b"lines/s" in shown
    assert "lines/s" not in ask(served, "logs", "export", "chat", "-o", str(tmp_path / "again.json")).stderr


def test_export_of_a_range(served: Running) -> None:
    entries = json.loads(ask(served, "logs", "export", "chat", "--search", "boom").stdout)
    at = entries[0]["timestamp"]
    assert len(json.loads(ask(served, "logs", "export", "chat", "--end", at).stdout)) == 120
    assert len(json.loads(ask(served, "logs", "export", "chat", "--start", at).stdout)) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--since", "soon"), "--since: expected a duration"),
        (("--start", "noon"), "--start: expected ISO 8601"),
        (("--since", "1h", "--start", "2026-01-01"), "exclude each other"),
    ],
)
def test_export_of_a_wrong_range_is_a_usage_error(served: Running, options: tuple[str, ...], expected: str) -> None:
    done = ask(served, "logs", "export", "chat", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in one_line(done.stderr)


def test_an_export_that_fails_leaves_the_old_file_and_no_part(served: Running, tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")
    assert ask(served, "logs", "export", "nosuch", "-o", str(path)).returncode == 1
    assert ask(served, "logs", "export", "chat", "-o", str(tmp_path / "no" / "folder.json")).returncode == 1
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.parametrize(("ending", "code"), [("breaks off", 1), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_export_that_does_not_end_well_leaves_no_part(tmp_path: Path, ending: Any, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HALF_AN_EXPORT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        export = subprocess.Popen(
            [sys.executable, "-m", "featurewatch.cli", "logs", "export", "chat", "-o", str(tmp_path / "part.json")],
            stderr=subprocess.PIPE,
            text=True,
            env=environment({"FEATUREWATCH_URL": url}),
        )
        assert server.stdout.readline() == "half is sent\n"
        deadline = time.monotonic() + 30
        while not list(tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if isinstance(ending, signal.Signals):
            export.send_signal(ending)
            _, errors = export.communicate(timeout=30)
            server.stdin.close()
        else:
            server.stdin.close()
            _, errors = export.communicate(timeout=30)
            assert "broke off" in one_line(errors)
    assert (export.returncode, "Traceback" in errors) == (code, False)
    assert list(tmp_path.iterdir()) == []


HALF_AN_EXPORT = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(f"http://127.0.0.1:{server.getsockname()[1]}", flush=True)
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        body = b'{"features": [{"id": "chat"}]}'
        head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n"
        connection.sendall(head + b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        connection.recv(65536)
        connection.sendall(head + b"Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\n[{},\\n\\r\\n")
        print("half is sent", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("line", ["logs export long", "tail long -n 1000"])
def test_a_reader_that_has_enough_ends_the_command_quietly(served: Running, line: str) -> None:
    send(served.url, "long", *(f"{n} {'x' * 2000}" for n in range(1000)))
    piped = f"{sys.executable} -m featurewatch.cli {line} | head -c 100; echo; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", piped],
        capture_output=True,
        text=True,
        env=environment({"FEATUREWATCH_URL": served.url}),
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
