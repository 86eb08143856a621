"""Files are replaced together, whatever ends the process or fills the disk; what is not ours stays as it is."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from featurewatch.alerts.fileset import FileSet
from featurewatch.errors import StoreFull, StoreLocked, Unavailable

HEADER = b"# ours\n"
OLD = {"a.yml": HEADER + b"a1", "b.yml": HEADER + b"b1", "sub/c.yml": HEADER + b"c1"}
NEW = {"a.yml": HEADER + b"a2", "d.yml": HEADER + b"d2", "sub/e.yml": HEADER + b"e2"}
REMOVED = ("b.yml", "sub/c.yml")
FOREIGN = {"theirs.yml": b"theirs", "sub/theirs.txt": b"theirs"}


def fileset(root: Path, step: Callable[[str], None] = lambda name: None) -> FileSet:
    control = root / ".featurewatch"
    return FileSet(root, control, what="RULES_DIR", ours=lambda text: text.startswith(HEADER), step=step)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".featurewatch" not in path.parts
    }


def control_files(root: Path) -> set[str]:
    return {str(path.relative_to(root / ".featurewatch")) for path in (root / ".featurewatch").rglob("*")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a published set, and files of somebody else."""
    folder = tmp_path / "rules.d"
    for name, content in FOREIGN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = fileset(folder).open()
    files.stage(OLD)
    files.swap(OLD)
    files.commit({"round": 1})
    files.close()
    return folder


def publish(root: Path, step: Callable[[str], None], *, prove: bool) -> None:
    files = fileset(root, step).open()
    try:
        files.stage(NEW)
        files.swap(NEW, REMOVED)
        if prove:
            files.commit({"round": 2})
        else:
            files.roll_back()
    finally:
        files.close()


def killed_at(root: Path, number: int, *, prove: bool) -> bool:
    """Publish in a process that is killed before its step of this number; tell whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [number]

        def step(name: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            publish(root, step, prove=prove)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("prove", [True, False], ids=["committed", "rolled back"])
def test_a_process_killed_at_any_step_leaves_the_old_files_or_the_new_ones(root: Path, prove: bool) -> None:
    new = {**NEW, **FOREIGN}
    old = {**OLD, **FOREIGN}
    outcomes = []
    number = 0
    while killed_at(root, number, prove=prove):
        files = fileset(root).open()
        now = contents(root)
        assert now in (old, new)
        assert files.names == frozenset(NEW if now == new else OLD)
        assert files.notes == {"round": 2 if now == new else 1}
        assert control_files(root) == {"bridge.lock", "manifest.json"}
        assert files.drifted() == []
        outcomes.append(now == new)
        if now == new:
            files.stage(OLD)
            files.swap(OLD, [name for name in NEW if name not in OLD])
            files.commit({"round": 1})
        files.close()
        assert contents(root) == old
        number += 1
    assert number > 10
    assert any(outcomes) is prove
    assert contents(root) == (new if prove else old)


def test_a_repair_that_is_killed_itself_is_repaired(root: Path) -> None:
    def stop_when_swapped(name: str) -> None:
        if name == "swapped":
            raise KeyboardInterrupt

    for number in range(20):
        with pytest.raises(KeyboardInterrupt):
            publish(root, stop_when_swapped, prove=True)
        assert contents(root) == {**NEW, **FOREIGN}
        child = os.fork()
        if child == 0:
            left = [number]

            def step(name: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            fileset(root, step).open().close()
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        fileset(root).open().close()
        assert contents(root) == {**OLD, **FOREIGN}
        if not killed:
            assert number > 3
            return
    raise AssertionError("a repair has no end")


def test_two_bridges_on_one_folder_are_refused(root: Path) -> None:
    first = fileset(root).open()
    with pytest.raises(StoreLocked, match=rf"RULES_DIR {root} is in use by another bridge \(process {os.getpid()}"):
        fileset(root).open()
    first.close()
    fileset(root).open().close()


def test_a_full_disk_changes_nothing_and_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fileset(root).open()

    def full(handle: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StoreFull, match=r"RULES_DIR .*: the disk is full; free some space"):
            files.stage(NEW)
    assert contents(root) == {**OLD, **FOREIGN}
    assert control_files(root) == {"bridge.lock", "manifest.json"}
    files.stage(NEW)
    files.swap(NEW, REMOVED)
    files.commit()
    assert contents(root) == {**NEW, **FOREIGN}


def test_a_rename_that_fails_half_way_puts_everything_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fileset(root).open()
    files.stage(NEW)
    replace, calls = os.replace, []

    def fail_once(source: Path, target: Path) -> None:
        calls.append(target)
        if target == root / "d.yml":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail_once)
        with pytest.raises(Unavailable, match="mount the folder"):
            files.swap(NEW, REMOVED)
    assert root / "a.yml" in calls
    assert contents(root) == {**OLD, **FOREIGN}
    assert files.drifted() == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(root: Path) -> None:
    files = fileset(root).open()
    (root / ".featurewatch").chmod(0o500)
    try:
        with pytest.raises(Unavailable, match=r"RULES_DIR .* cannot be written \(Permission denied\)"):
            files.stage(NEW)
    finally:
        (root / ".featurewatch").chmod(0o700)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="RULES_DIR"):
        fileset(tmp_path / "file" / "rules.d").open()


def test_files_of_others_are_in_the_way_and_ours_are_known_without_a_manifest(root: Path) -> None:
    (root / ".featurewatch" / "manifest.json").write_text("{broken")
    files = fileset(root).open()
    assert files.names == frozenset()
    assert files.foreign(["a.yml", "theirs.yml", "new.yml"]) == ["theirs.yml"]
    files.stage(NEW)
    files.swap(NEW)
    files.commit()
    assert (root / "a.yml").read_bytes() == NEW["a.yml"]


def test_what_others_changed_or_removed_is_found(root: Path) -> None:
    (root / "a.yml").write_bytes(b"edited")
    (root / "b.yml").unlink()
    assert fileset(root).open().drifted() == ["a.yml", "b.yml"]


def test_permissions_are_as_asked_and_a_setgid_folder_shares_with_its_group(root: Path) -> None:
    def modes(mode: int) -> set[int]:
        files = FileSet(root, root / ".featurewatch", what="X", ours=lambda text: True, mode=mode).open()
        files.stage(NEW)
        files.swap(NEW)
        files.commit()
        files.close()
        return {(root / name).stat().st_mode & 0o777 for name in NEW}

    assert modes(0o644) == {0o644}
    assert modes(0o600) == {0o600}
    root.chmod(0o2750)
    assert modes(0o600) == {0o640}


def test_the_manifest_tells_people_what_is_ours(root: Path) -> None:
    told = json.loads((root / ".featurewatch" / "manifest.json").read_text())
    assert set(told["files"]) == set(OLD)
    assert told["pending"] == {}
