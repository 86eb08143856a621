"""The file of API tokens as a running bridge sees it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from .. import tokens
from ..errors import SettingsError
from ..tokens import Token

__all__ = ["TokenFile"]

_log = logging.getLogger(__name__)


class TokenFile:
    """The tokens of a file that may change: read again when it does; while it is broken the last good ones hold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = self._look()
        self._tokens: Mapping[str, Token] = tokens.load(path)

    def current(self) -> Mapping[str, Token]:
        """Return the tokens by id. One stat of the file, a few microseconds, and a read where it changed."""
        mark = self._look()
        if mark != self._mark:
            self._mark = mark
            try:
                self._tokens = tokens.load(self._path)
                _log.info("%s: read again, %d API tokens", self._path, len(self._tokens))
            except SettingsError as error:
                _log.error("%s; the %d tokens read before stay valid", error, len(self._tokens))
        return self._tokens

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
