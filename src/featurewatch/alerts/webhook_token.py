"""The bearer token by which Alertmanager's webhooks are known: the operator's, or one of our own making."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import SettingsError, Unavailable

__all__ = ["NAME", "WebhookToken"]

NAME: Final = "webhook-token"
"""The file of our own token, in the folder of secrets, and beside Alertmanager's configuration."""


class WebhookToken:
    """Reads the token anew when its file changes, so that it can be changed while the bridge runs.

    Args:
        path: the operator's file; None: `folder`/webhook-token, made where there is none.
    """

    def __init__(self, path: Path | None, folder: Path) -> None:
        self.path = path or folder / NAME
        self.own = path is None
        self._seen: tuple[int, int, int] | None = None
        self._text = ""

    def ensure(self) -> str:
        """Return the token; one of our own is made at the first time.

        Raises:
            SettingsError: the operator's file is missing or empty. Unavailable: ours cannot be made.
        """
        if self.own and not self.path.exists():
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with os.fdopen(file, "w", encoding="ascii") as opened:
                        opened.write(secrets.token_urlsafe(32))
            except OSError as error:
                raise Unavailable(f"{self.path} cannot be written ({error.strerror}): make it writable") from None
        text = self._read()
        if not text:
            raise SettingsError(f"FEATUREWATCH_WEBHOOK_TOKEN_FILE: expected a token in {self.path}, which is empty")
        return text

    def shown_by(self, headers: Mapping[str, str]) -> bool:
        """Whether a request shows the token as `Authorization: Bearer …`.

        Raises:
            Unavailable: the operator's file cannot be read; where ours does not exist, nobody shows it.
        """
        try:
            text = self._read()
        except SettingsError as error:
            if self.own:
                return False
            raise Unavailable(f"{error.message}: webhooks wait until it can") from None
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        return bool(text) and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), text.encode())

    def _read(self) -> str:
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._text = self.path.read_text(encoding="utf-8").strip()
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise SettingsError(f"FEATUREWATCH_WEBHOOK_TOKEN_FILE {self.path} cannot be read ({reason})") from None
        return self._text
