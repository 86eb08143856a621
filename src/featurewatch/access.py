"""Who asks, and what they may do and see. Pure: `bridge.auth` finds out who it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from .model import Role

Action: TypeAlias = Literal["read", "act", "edit", "ingest", "administer"]

ALLOWED: Final[dict[Role, frozenset[Action]]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "act"}),
    "editor": frozenset({"read", "act", "edit"}),
    "ingest": frozenset({"ingest"}),
    "admin": frozenset({"read", "act", "edit", "ingest", "administer"}),
}
"""read: look; act: acknowledge, resolve, silence; edit: features, rules, channels; ingest: write metrics and lines."""

PATTERN: Final = re.compile(r"[A-Za-z0-9._*?-]{1,64}")
PATTERN_RULE: Final = "a feature id, in which * stands for any characters and ? for one"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its name (for the audit), role, and the patterns (`*`, `?`) of the features that it may see.

    Attributes:
        expires_ns: when the credential ends, None where it does not.
        credential: its id (no secret), so that a stream can ask whether it still holds.
        issued_by: the id of the key that vouches for it, where it is a JWT; "" where it is not.
    """

    name: str
    role: Role
    patterns: tuple[str, ...] = ("*",)
    expires_ns: int | None = None
    credential: str = ""
    issued_by: str = ""

    def may(self, action: Action) -> bool:
        return action in ALLOWED[self.role]

    def sees(self, feature: str) -> bool:
        return any(fnmatchcase(feature, pattern) for pattern in self.patterns)


ANYONE: Final = Principal("anonymous", "admin")
"""The caller where no authentication is set: the bridge then listens on loopback only."""
