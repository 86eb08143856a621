"""The public interface is typed: a sample of its use, with deliberate mistakes, is checked by mypy."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "typing" / "api.py"


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy (dependency group `check`) is not installed")
def test_the_sample_type_checks_with_exactly_its_deliberate_mistakes() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(SAMPLE)]
    checked = subprocess.run(command, cwd=SAMPLE.parents[2], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
