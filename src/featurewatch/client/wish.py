"""What a stream is to bring, and from where on: kept through every reconnect, whatever carries it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..errors import BadInput
from ..levels import parse_level
from ..model import FEATURE_ID, FEATURE_ID_RULE
from .calls import given
from .messages import Connected, LogHistory, LogLine, Message

__all__ = ["EVERY", "LinesFrom", "Wish", "chosen", "filters"]

LinesFrom: TypeAlias = Literal["history", "now", "position"]

EVERY: Final = "*"
FILTERS: Final = ("levels", "source", "search")


@dataclass(slots=True)
class Wish:
    """The features and lines that a consumer asked for.

    Attributes:
        features: ids, or `*`.
        lines: which lines, by `levels`, `source` and `search`; None: none.
        after: the position of the last message that came.
        lines_from: where the lines begin at the next connection: with the last 50 (`history`), with the next that
            comes (`now`), or where they were (`position`).
        revision: counts the changes of features and lines.
    """

    features: list[str]
    environment: str | None
    unknown_as_zero: bool
    lines: Mapping[str, str] | None
    after: str | None = None
    lines_from: LinesFrom = "history"
    revision: int = 0

    @property
    def only(self) -> str | None:
        """The feature, where it is a single one."""
        return self.features[0] if len(self.features) == 1 and self.features[0] != EVERY else None

    def query(self) -> dict[str, Any]:
        """Return the parameters that both transports take."""
        return given(
            {
                "featureId": self.features,
                "environment": self.environment,
                "unknown": "zero" if self.unknown_as_zero else None,
                "after": self.after,
            }
        )

    def event_query(self) -> dict[str, Any]:
        """Return the parameters of an event stream."""
        query = self.query()
        if self.lines is not None:
            history = self._history()
            query |= {"logs": "true", **self.lines}
            query |= {} if history is None else {"history": str(history).lower()}
        return query

    def subscription(self, feature: str | None = None, *, history: bool | None = None) -> str | None:
        """Return the message that asks for the lines (of one feature, or of all), None where none are wished."""
        if self.lines is None:
            return None
        message: dict[str, Any] = {"type": "subscribe_logs", "filters": given({**self.lines})}
        if self.environment:
            message["filters"]["environment"] = self.environment
        if feature is not None and feature != EVERY:
            message["featureId"] = feature
        begins = history if history is not None else self._history()
        return json.dumps(message if begins is None else {**message, "history": begins})

    def restart_lines(self, lines: Mapping[str, str] | None, *, history: bool) -> None:
        """Wish for other lines from now on; `history`: the last 50 of them first."""
        if lines is not None and (self.lines is None or history):
            # Where a position is known, a reconnect rather brings what came just before than miss what comes just now.
            self.lines_from = "history" if history else "position" if self.after else "now"
        self.lines = lines
        self.revision += 1

    def choose(self, features: list[str]) -> None:
        """Wish for other features from now on."""
        self.features = features
        self.revision += 1

    def heard(self, message: Message) -> None:
        """Note what came: from there on the stream goes on after a reconnect.

        A stream that begins with a history has not begun before it came: cut off until then, it begins anew, and its
        second `Connected` says that nothing was recovered.
        """
        if isinstance(message, (LogHistory, LogLine)) or (isinstance(message, Connected) and self.lines_from == "now"):
            self.lines_from = "position"
        begun = self.lines is None or self.lines_from != "history" or self.after is not None
        if message.id is not None and begun:
            self.after = message.id

    def _history(self) -> bool | None:
        """Say how the lines begin, where they do not go on from the position."""
        return {"history": True, "now": False, "position": None}[self.lines_from]


def chosen(features: str | Iterable[str]) -> list[str]:
    """Read which features are meant.

    Raises:
        BadInput: none is, or one cannot be a feature's id.
    """
    names = list(dict.fromkeys([features] if isinstance(features, str) else features))
    if not names:
        raise BadInput("expected a feature's id, several, or '*' for all that may be seen")
    for name in names:
        if name != EVERY and not (isinstance(name, str) and FEATURE_ID.fullmatch(name)):
            raise BadInput(f"feature: expected {FEATURE_ID_RULE}, got {name!r}")
    return [EVERY] if EVERY in names else names


def filters(asked: Mapping[str, Any]) -> dict[str, str]:
    """Read the filters of lines: `levels` (a list, or text with commas), `source`, `search`.

    Raises:
        BadInput: there is no such filter, or no such level.
    """
    found: dict[str, str] = {}
    for name, value in asked.items():
        name = {"level": "levels"}.get(name, name)
        if name not in FILTERS:
            raise BadInput(f"filters: expected {', '.join(FILTERS)}, got {name!r}")
        if value in (None, "", (), []):
            continue
        parts: Sequence[str] = value.split(",") if isinstance(value, str) else list(value)
        found[name] = ",".join(map(parse_level, filter(None, parts))) if name == "levels" else str(value)
    return found
