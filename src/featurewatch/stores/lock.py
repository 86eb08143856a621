"""One bridge for one DATA_DIR: a lock that ends with its process, whatever ends that."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from ..errors import StoreLocked, Unavailable
from ..times import format_instant

__all__ = ["DirectoryLock"]

_NAME: Final = "bridge.lock"


class DirectoryLock:
    """An exclusive lock on a directory, held until `release` or the end of the process.

    The kernel keeps it (flock), so a holder that was killed holds nothing; the file says only who it is, and stays.
    """

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def acquire(cls, directory: Path, *, what: str = "", clock: Callable[[], int] = time.time_ns) -> Self:
        """Take the lock without waiting; the directory is made where there is none.

        Args:
            what: the directory as messages name it, its setting first; DATA_DIR and its path by default.

        Raises:
            StoreLocked: another process has it; the message names its pid.
            Unavailable: the directory cannot be made or written, or its file system keeps no locks.
        """
        what = what or f"DATA_DIR {directory}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unavailable(f"{what} cannot be written ({error.strerror}): make it writable or set another") from None
        try:
            _lock(file, what)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"pid": os.getpid(), "since": format_instant(clock())}).encode() + b"\n", 0)
        except OSError as error:
            os.close(file)
            raise Unavailable(f"{what} cannot be written ({error.strerror}): free some space") from None
        except BaseException:
            os.close(file)
            raise
        return cls(file)

    def release(self) -> None:
        """Let go of the directory. Harmless when repeated."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _lock(file: int, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreLocked(
                f"{what} is in use by another bridge ({_holder(file)}): stop it, or set another {what.split()[0]}"
            ) from None
        raise Unavailable(f"{what}: its file system keeps no locks ({error.strerror}): use a local disk") from None


def _holder(file: int) -> str:
    try:
        told = json.loads(os.pread(file, 1000, 0))
        return f"process {int(told['pid'])}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process is starting"
