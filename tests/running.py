"""A real bridge in a process of its own, found by the line that says it is ready."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Done: TypeAlias = "subprocess.CompletedProcess[str]"

START_S = 60.0
STOP_S = 30.0


@dataclass
class Running:
    """A bridge that answers at `url`; `errors` is the file with what it says on stderr."""

    url: str
    process: subprocess.Popen[str]
    errors: Path

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(STOP_S)


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without settings of featurewatch or a proxy, with the changes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FEATUREWATCH_") and not name.lower().endswith("_proxy")
    }
    return kept | dict(changes or {})


@contextmanager
def bridge(
    folder: Path,
    *options: str,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Running]:
    """Run `featurewatch serve` with its data in `folder` and stop it at the end; port 0: any free one.

    Args:
        within: a command that becomes the one that follows it, such as `nice`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "stderr.txt"
    with errors.open("ab") as stderr:
        process = subprocess.Popen(
            [
                *within,
                sys.executable,
                "-m",
                "featurewatch.cli",
                "serve",
                "--port",
                str(port),
                "--data-dir",
                str(folder),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment(env),
        )
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        assert line.startswith("featurewatch is ready: "), errors.read_text()
        yield Running(line.removeprefix("featurewatch is ready: ").strip(), process, errors)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def command(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Done:
    """Run a featurewatch command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "featurewatch.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(env),
        cwd=cwd,
    )
