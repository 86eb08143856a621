"""Secrets, a file each that its owner alone can read. Their texts stand nowhere else."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import StoreFull, Unavailable
from ..times import NS

__all__ = ["SecretFiles"]

_OURS: Final = re.compile(r"[A-Za-z0-9._-]+~[0-9a-f]{12}")
_FRESH_NS: Final = 3600 * NS
"""A file this young may be one that another bridge is about to name in the database."""


class SecretFiles:
    """A folder of secrets. A file is never changed: a new text is a new file, so whoever holds a name holds its text.

    Not for the event loop: each call touches the disk.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.folder = folder
        self._clock = clock

    def keep(self, name: str, text: str) -> str:
        """Keep a secret and return its file's name; `name` says what it is, in letters, digits, '.', '_' and '-'.

        Raises:
            Unavailable: the folder cannot be written; StoreFull where its disk is full.
        """
        file = f"{name}~{os.urandom(6).hex()}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, text.encode())
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            kind = StoreFull if error.errno in (28, 122) else Unavailable
            raise kind(
                f"SECRETS_DIR {self.folder} cannot be written ({error.strerror}): make it writable or set another"
            ) from None
        return file

    def read(self, file: str) -> str:
        """Return a secret.

        Raises:
            Unavailable: its file is gone or cannot be read.
        """
        try:
            return (self.folder / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"the secret {file} cannot be read from SECRETS_DIR {self.folder} "
                f"({getattr(error, 'strerror', None) or 'no text'}): set it again"
            ) from None

    def holds(self, file: str, text: str) -> bool:
        """Tell whether a file keeps just this text."""
        try:
            return self.read(file) == text
        except Unavailable:
            return False

    def drop(self, files: Iterable[str]) -> None:
        """Remove secrets that nothing names any more; what cannot be removed now is swept later."""
        for file in files:
            if _OURS.fullmatch(file) is not None:
                with suppress(OSError):
                    os.unlink(self.folder / file)

    def sweep(self, used: Collection[str]) -> int:
        """Remove files that nothing names any more, and return how many; foreign and very young ones stay."""
        removed = 0
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return 0
        for entry in entries:
            if entry.name in used or _OURS.fullmatch(entry.name) is None:
                continue
            try:
                if self._clock() - entry.stat().st_mtime_ns > _FRESH_NS:
                    os.unlink(entry.path)
                    removed += 1
            except OSError:
                continue
        return removed
