"""What the streams count of themselves: plain numbers, rendered by the bridge's `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge"]

_PREFIX: Final = "featurewatch_streams_"


@dataclass(slots=True)
class Stats:
    """Counts since the start, `open` excepted. The event loop alone writes them."""

    open: Counter[str] = field(default_factory=Counter)
    """Streams open now, by transport: websocket, sse."""
    messages: int = 0
    """Messages handed to a transport, over all clients."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Lines that a client did not get, by reason."""
    gaps: Counter[str] = field(default_factory=Counter)
    """Gaps told to a client, by reason."""
    closed: Counter[str] = field(default_factory=Counter)
    """Streams that the bridge closed, by code."""

    def families(self) -> Iterator[tuple[str, Kind, str, Mapping[tuple[tuple[str, str], ...], float]]]:
        """Yield name, kind, help and the value by labels of each family."""
        yield f"{_PREFIX}open", "gauge", "Open streams.", _by("transport", self.open)
        yield f"{_PREFIX}messages_total", "counter", "Messages sent to clients.", {(): self.messages}
        yield f"{_PREFIX}dropped_lines_total", "counter", "Lines that clients did not get.", _by("reason", self.dropped)
        yield f"{_PREFIX}gaps_total", "counter", "Gaps told to clients.", _by("reason", self.gaps)
        yield f"{_PREFIX}closed_total", "counter", "Streams closed by the bridge.", _by("code", self.closed)


def _by(label: str, counts: Counter[str]) -> dict[tuple[tuple[str, str], ...], float]:
    return {((label, value),): count for value, count in counts.items()}
