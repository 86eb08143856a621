"""Secrets lie in files of their own, which change never and end when nothing names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurewatch.errors import Unavailable
from featurewatch.stores.secret_files import SecretFiles
from featurewatch.times import NS


def test_a_secret_is_kept_read_and_compared(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path / "secrets")
    file = secrets.keep("ops.bearer_token", "hunter2")
    assert (secrets.read(file), secrets.holds(file, "hunter2"), secrets.holds(file, "x")) == ("hunter2", True, False)
    assert (secrets.folder / file).stat().st_mode & 0o777 == 0o600
    assert secrets.folder.stat().st_mode & 0o777 == 0o700
    assert secrets.keep("ops.bearer_token", "hunter2") != file, "a file is never used twice"


def test_one_that_is_gone_is_told_of_without_its_text(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path)
    with pytest.raises(Unavailable, match=r"the secret gone cannot be read from SECRETS_DIR .*: set it again"):
        secrets.read("gone")
    assert not secrets.holds("gone", "")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="SECRETS_DIR"):
        SecretFiles(tmp_path / "file" / "secrets").keep("a", "b")


def test_what_nothing_names_is_swept_but_young_ones_and_files_of_others_stay(tmp_path: Path) -> None:
    now = [0]
    secrets = SecretFiles(tmp_path, clock=lambda: now[0])
    used, unused = secrets.keep("a.b", "x"), secrets.keep("a.b", "y")
    (tmp_path / "webhook-token").write_text("theirs")
    now[0] = (tmp_path / unused).stat().st_mtime_ns
    assert secrets.sweep({used}) == 0, "another bridge may be about to name it"
    now[0] += 3601 * NS
    assert secrets.sweep({used}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {used, "webhook-token"}
    secrets.drop([used, "webhook-token", "gone"])
    assert {path.name for path in tmp_path.iterdir()} == {"webhook-token"}
    assert SecretFiles(tmp_path / "nowhere").sweep(()) == 0
