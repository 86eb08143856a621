"""Where a client stands in what was published: opaque to it, so that stores may change what is inside."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

_FORM: Final = re.compile(rb"1\.(\d{1,19})\.(\d{1,19})\.(\d{1,12})")


class Position(NamedTuple):
    """Everything up to here was published.

    Attributes:
        log: position of the last line.
        event: position of the last event.
        at_s: when that was, seconds since the epoch: how long a client was away is read from it.
    """

    log: int
    event: int
    at_s: int

    def encode(self) -> str:
        """Write the position as base64url of a versioned text."""
        return urlsafe_b64encode(b"1.%d.%d.%d" % self).rstrip(b"=").decode()


def parse(text: str) -> Position | None:
    """Read a position that a client gives back; None where it is none of ours."""
    try:
        raw = urlsafe_b64decode(text.strip().encode("ascii") + b"==")
    except ValueError:
        return None
    match = _FORM.fullmatch(raw)
    return Position(*map(int, match.groups())) if match else None
