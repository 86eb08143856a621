"""The first example of the client's guide, run as its reader would."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx

from running import bridge, environment

GUIDE = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_first_example_prints_features_figures_and_lines(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    with bridge(tmp_path, env={"FEATUREWATCH_METRICS_INTERVAL": "0.5"}) as served:
        line = {"featureId": "summarize", "message": "slow: 4.1 s", "level": "warn"}
        httpx.post(f"{served.url}/api/v1/logs", json=line, trust_env=False).raise_for_status()
        example = found[1].replace("http://127.0.0.1:8400", served.url)
        program = subprocess.Popen(
            [sys.executable, "-u", "-c", example], stdout=subprocess.PIPE, text=True, env=environment()
        )
        watchdog = threading.Timer(60, program.kill)
        watchdog.start()
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "summarize unknown\n"
            assert program.stdout.readline() == "errors: None %\n"
            httpx.post(f"{served.url}/api/v1/logs", json=line, trust_env=False).raise_for_status()
            told = program.stdout.readline()
            while told.startswith("errors"):
                told = program.stdout.readline()
            assert told.endswith("warn slow: 4.1 s\n")
        finally:
            watchdog.cancel()
            program.kill()
            program.communicate()
