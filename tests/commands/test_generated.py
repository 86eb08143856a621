"""Generated files are current, and the check that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurewatch.commands import generated

ROOT = Path(__file__).parents[2]


def test_the_written_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert generated.main(["--check", "--root", str(ROOT)]) == 0, capsys.readouterr().err


def test_each_file_that_is_not_current_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generated.main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in generated.FILES)
    assert generated.main(["--root", str(tmp_path)]) == 0
    assert generated.main(["--check", "--root", str(tmp_path)]) == 0
