"""One bridge for one DATA_DIR."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from featurewatch.errors import StoreLocked, Unavailable
from featurewatch.stores.lock import DirectoryLock

HOLD = """
import sys, time
from pathlib import Path
from featurewatch.stores.lock import DirectoryLock
lock = DirectoryLock.acquire(Path(sys.argv[1]), clock=lambda: 1_800_000_000_000_000_000)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_holder_is_refused_with_the_first_ones_pid_and_gets_it_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "anew"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLocked, match=rf"process {holder.pid}, since 2027-01-15T08:00:00.*another DATA_DIR"):
            DirectoryLock.acquire(folder)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        DirectoryLock.acquire(folder).release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(3):
        lock = DirectoryLock.acquire(tmp_path)
        with pytest.raises(StoreLocked, match=str(os.getpid())):
            DirectoryLock.acquire(tmp_path)
        lock.release()
        lock.release()


def test_a_holder_that_wrote_nothing_readable_is_told_too(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    (tmp_path / "bridge.lock").write_text("{nonsense")
    with pytest.raises(StoreLocked, match="in use by another bridge"):
        DirectoryLock.acquire(tmp_path)
    lock.release()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"DATA_DIR .*file/data cannot be written"):
        DirectoryLock.acquire(tmp_path / "file" / "data")
