"""What clients receive, encoded once and shared by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import wire
from ..model import Event, LogEntry, MetricsSnapshot, StoredLog
from ..times import NS, format_instant
from .positions import Position

PARCEL_BYTES: Final = 16 * 1024
"""Lines travel in parcels of this size: small enough to be dropped one by one, large enough to be few."""

HISTORY_LINES: Final = 500
HISTORY_BYTES: Final = 256 * 1024
"""Bounds of one `log_history`: clients commonly refuse a message above 1 MiB."""

LATE_AFTER_NS: Final = 10 * NS
"""A line that arrives so long after its own timestamp is marked late: it belongs higher up on the screen."""


class Message:
    """One message as JSON text. `size` is its length in UTF-8, `position` what its `id` says (None: it has none)."""

    __slots__ = ("feature", "position", "size", "text", "timestamp_ns")

    def __init__(self, body: bytes, feature: str | None, timestamp_ns: int, position: Position | None) -> None:
        self.text = body.decode()
        self.size = len(body)
        self.feature = feature
        self.timestamp_ns = timestamp_ns
        self.position = position

    def at(self, position: Position | None) -> Message:
        """Make the same message with another `id` (None: without)."""
        if position == self.position:
            return self
        end = len(self.text) - 1
        if self.position is not None:
            end -= len(f',"id":"{self.position.encode()}"')
        tail = f',"id":"{position.encode()}"}}' if position is not None else "}"
        return Message((self.text[:end] + tail).encode(), self.feature, self.timestamp_ns, position)


class Parcel:
    """Messages that travel together. What a transport makes of them is made once, at the first client's send."""

    __slots__ = ("_array", "_events", "_frames", "messages", "size")

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = tuple(messages)
        self.size = sum(message.size for message in self.messages)
        self._array: str | None = None
        self._events: bytes | None = None
        self._frames: bytes | None = None

    @property
    def array(self) -> str:
        """The messages as the inside of a JSON array."""
        if self._array is None:
            self._array = ",".join(message.text for message in self.messages)
        return self._array

    @property
    def events(self) -> bytes:
        """The messages as server-sent events."""
        if self._events is None:
            self._events = b"".join(map(server_sent, self.messages))
        return self._events

    @property
    def frames(self) -> bytes:
        """The messages as unmasked WebSocket text frames."""
        if self._frames is None:
            self._frames = b"".join(text_frame(message.text) for message in self.messages)
        return self._frames

    def at(self, position: Position) -> Parcel:
        """Make the same parcel whose every `id` is `position`; itself, still shared, where that is so already."""
        if all(message.position == position for message in self.messages):
            return self
        return Parcel([message.at(position) for message in self.messages])

    def held(self, log: int) -> Parcel:
        """Make the same parcel whose positions stay at `log`: the client has yet to ask for the lines since."""
        return Parcel(
            [
                message if message.position is None else message.at(message.position._replace(log=log))
                for message in self.messages
            ]
        )


class Lines(Parcel):
    """A parcel of log lines: what a slow client's queue may drop."""

    __slots__ = ()


def text_frame(text: str) -> bytes:
    """Frame a text for a WebSocket, final and unmasked (RFC 6455, section 5.2)."""
    body = text.encode()
    size = len(body)
    if size < 126:
        return bytes((0x81, size)) + body
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + body
    return b"\x81\x7f" + size.to_bytes(8, "big") + body


def server_sent(message: Message) -> bytes:
    """Write a message as one unnamed server-sent event; a line break within it starts another data line."""
    lines = message.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    name = f"id: {message.position.encode()}\n" if message.position is not None else ""
    return (name + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def message(type_: str, feature: str | None, data: Any, timestamp_ns: int, position: Position | None = None) -> Message:
    """Encode a message."""
    envelope = wire.envelope(
        type_, feature, data, format_instant(timestamp_ns), None if position is None else position.encode()
    )
    return Message(wire.dump(envelope), feature, timestamp_ns, position)


def log_line(entry: LogEntry, position: Position | None, *, now_ns: int | None = None) -> Message:
    """Encode a `log_entry`; `now_ns` (when it arrived) tells whether it is late."""
    data = wire.log_entry(entry, late=now_ns is not None and now_ns - entry.timestamp_ns > LATE_AFTER_NS)
    envelope = wire.envelope(
        "log_entry", entry.feature, data, data["timestamp"], None if position is None else position.encode()
    )
    return Message(wire.dump(envelope), entry.feature, entry.timestamp_ns, position)


def history(lines: Iterable[StoredLog], at: Position, *, resumed: bool) -> Iterator[Message]:
    """Encode lines as `log_history` messages: each of one feature, in the order given.

    `resumed` lines are in order of arrival, so each message's id is where its last line stands. A first page is in
    order of time, where no line stands for those before it: only its last message has an id, `at`.
    """
    chunks = list(_chunks(lines))
    for number, chunk in enumerate(chunks, 1):
        last = at if number == len(chunks) else None
        yield _history(chunk, at._replace(log=chunk[-1].position) if resumed else last)


def histories(feature: str | None, lines: Sequence[StoredLog], at: Position, resumed: bool) -> Sequence[Message]:
    """Encode lines as `history` does; where there are none, one message says so."""
    found = list(history(lines, at, resumed=resumed))
    return found or [message("log_history", feature, [], at.at_s * NS, at)]


def _chunks(lines: Iterable[StoredLog]) -> Iterator[list[StoredLog]]:
    chunk: list[StoredLog] = []
    size = 0
    for line in lines:
        weight = len(line.entry.message) + len(line.entry.metadata or "") + 300
        full = len(chunk) >= HISTORY_LINES or size + weight > HISTORY_BYTES
        if chunk and (full or line.entry.feature != chunk[-1].entry.feature):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += weight
    if chunk:
        yield chunk


def _history(lines: Sequence[StoredLog], position: Position | None) -> Message:
    entry = lines[-1].entry
    data = [wire.log_entry(line.entry) for line in lines]
    return message("log_history", entry.feature, data, entry.timestamp_ns, position)


def happened(event: Event, position: Position) -> Message:
    """Encode an event: `status_change` and `test_result` as they are named, an alert's by what changed.

    An alert's data is `{"change": "triggered"|"updated"|"resolved", "alert": Alert}`.
    """
    if event.kind == "alert":
        type_, data = f"alert_{event.data['change']}", event.data["alert"]
    else:
        type_, data = event.kind, {**event.data, "id": event.id, "environment": event.key.environment}
    return message(type_, event.key.feature, data, event.timestamp_ns, position)


def metrics_update(snapshot: MetricsSnapshot, position: Position, *, unknown_as_zero: bool) -> Message:
    """Encode a snapshot."""
    data = wire.snapshot(snapshot, unknown_as_zero=unknown_as_zero)
    return message("metrics_update", snapshot.key.feature, data, snapshot.timestamp_ns, position)


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines of a feature (None: of any) that the client does not get. `count` None: nobody knows how many."""

    reason: str
    feature: str | None
    count: int | None
    from_ns: int
    to_ns: int

    def message(self, position: Position | None) -> Message:
        data: Mapping[str, Any] = {
            "reason": self.reason,
            "count": self.count,
            "from": format_instant(self.from_ns),
            "to": format_instant(self.to_ns),
        }
        return message("gap", self.feature, data, self.to_ns, position)


def pack(lines: Sequence[Message]) -> list[Lines]:
    """Split lines into parcels of about 16 KB, at least one line each."""
    parcels: list[Lines] = []
    start = size = 0
    for index, line in enumerate(lines):
        if index > start and size + line.size > PARCEL_BYTES:
            parcels.append(Lines(lines[start:index]))
            start, size = index, 0
        size += line.size
    if start < len(lines):
        parcels.append(Lines(lines[start:]))
    return parcels
