"""Channels of the kind apprise: one address for any of the services that apprise knows.

https://github.com/caronc/apprise/wiki, the extra `notify`. apprise says whether it worked; why it did not it writes
into its log, which is read here instead of shown: it may repeat an address.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from typing import Any, Final, Literal
from urllib.parse import unquote

__all__ = ["parts", "refusal", "tell"]

_SPELLED: Final = "expected an address that apprise understands: https://github.com/caronc/apprise/wiki lists them"
_MISSING: Final = "apprise is not installed with this bridge: pip install 'featurewatch[notify]'"
_SHORT: Final = 4
"""Parts of an address below this many letters are no secrets: hiding them would spoil the words around them."""


def refusal(url: str) -> str:
    """Say why an address cannot be used, "" where it can. It is not asked; importing apprise may take 0.3 s."""
    if importlib.util.find_spec("apprise") is None:
        return _MISSING
    return "" if _service(url) is not None else _SPELLED


def tell(url: str, title: str, body: str, mood: Literal["success", "warning", "failure"]) -> tuple[str, str | None]:
    """Send a message, and wait for it.

    Returns:
        The service's name, and what apprise said where it did not work, None where it did.
    """
    service = _service(url)
    with _Heard() as heard:
        took = service.notify(title=title, body=body, notify_type=mood)
    return str(service.service_name), None if took else heard.said


def parts(url: str) -> dict[str, str]:
    """Return what of an address may be a secret, the longest first: user, password, path and options."""
    found = re.split(r"[/:@?&=#,]+", url.partition("://")[2])
    forms = {form for part in found for form in (part, unquote(part)) if len(form) >= _SHORT}
    return {form: form for form in sorted(forms, key=len, reverse=True)}


def _service(url: str) -> Any:
    import apprise

    with _Heard():
        return apprise.Apprise.instantiate(url)


class _Heard(logging.Handler):
    """What apprise logs from this thread while this is open; nothing of it goes anywhere else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()
        self._log = logging.getLogger("apprise")

    @property
    def said(self) -> str:
        return "; ".join(dict.fromkeys(line.rstrip(".") for line in self.lines))

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())

    def __enter__(self) -> _Heard:
        self._log.propagate = False
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
