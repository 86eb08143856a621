"""The place between two lines of Loki that a page ends at, as opaque text."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode, urlsafe_b64encode
from typing import NamedTuple

from ..errors import BadInput

__all__ = ["LokiCursor"]

_HEAD = struct.Struct(">Bq")
_VERSION = 2


class LokiCursor(NamedTuple):
    """A line's timestamp (ns) and id: lines are ordered by both, since Loki has no order among equal timestamps."""

    timestamp_ns: int
    id: str

    def encode(self) -> str:
        packed = _HEAD.pack(_VERSION, self.timestamp_ns) + self.id.encode()
        return urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> LokiCursor:
        """Read what `encode` wrote.

        Raises:
            BadInput: the text is not a cursor.
        """
        try:
            packed = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, timestamp_ns = _HEAD.unpack_from(packed)
            if version == _VERSION:
                return cls(timestamp_ns, packed[_HEAD.size :].decode())
        except (binascii.Error, struct.error, ValueError):
            pass
        shown = repr(text if len(text) <= 40 else text[:40] + "…")
        raise BadInput(f"cursor: expected the next_cursor of an earlier page, got {shown}")
