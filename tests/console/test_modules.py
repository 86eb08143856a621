"""Runs the Node tests of the console's modules that need no browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed: the console's modules are tested in the browser alone")
def test_modules_hold_in_node() -> None:
    assert NODE is not None
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    # Numbers and times are shown in the reader's own manner: the tests fix it.
    environment = {**os.environ, "LC_ALL": "en_US.UTF-8", "TZ": "Europe/Berlin"}
    done = subprocess.run(
        [NODE, "--test", *files], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
