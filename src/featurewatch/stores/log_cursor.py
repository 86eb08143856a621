"""The place between two lines that a page ends at, as opaque text."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

from ..errors import BadInput

__all__ = ["Cursor"]

_LAYOUT = struct.Struct(">qq")


class Cursor(NamedTuple):
    """A line's timestamp (ns) and position; lines are ordered by both. The next page begins beside it."""

    timestamp_ns: int
    position: int

    def encode(self) -> str:
        return base64.urlsafe_b64encode(_LAYOUT.pack(*self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read what `encode` wrote.

        Raises:
            BadInput: the text is not a cursor.
        """
        try:
            return cls(*_LAYOUT.unpack(base64.b64decode(f"{text}==", altchars=b"-_", validate=True)))
        except (binascii.Error, struct.error, ValueError):
            shown = repr(text if len(text) <= 40 else text[:40] + "…")
            raise BadInput(f"cursor: expected the next_cursor of an earlier page, got {shown}") from None
