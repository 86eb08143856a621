"""The public interface is typed: samples of its use, with deliberate mistakes, are checked by mypy."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = sorted((Path(__file__).parent / "typing").glob("*.py"))


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy (dependency group `check`) is not installed")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_type_checks_with_exactly_its_deliberate_mistakes(sample: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(sample)]
    checked = subprocess.run(command, cwd=sample.parents[2], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
