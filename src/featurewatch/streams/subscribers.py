"""Who is told what: one client's side of the hub, those who follow the same lines, and what is latest of a feature."""

from __future__ import annotations

from collections.abc import Callable

from ..model import LogEntry, MetricsSnapshot
from ..stores.base import LogFilter
from ..stores.matching import compile_filter
from .messages import Message, Parcel, metrics_update
from .outbox import Outbox
from .positions import Position
from .routes import Selector

__all__ = ["Group", "Latest", "Subscriber"]


class Subscriber:
    """One client's side of the hub: what waits for it and what it asked for."""

    __slots__ = ("following", "outbox", "unknown_as_zero", "watching")

    def __init__(self, outbox: Outbox, *, unknown_as_zero: bool = False) -> None:
        self.outbox = outbox
        self.unknown_as_zero = unknown_as_zero
        self.watching: frozenset[Selector] = frozenset()
        self.following: frozenset[tuple[Selector, LogFilter]] = frozenset()


class Group:
    """Everybody who follows the same lines: the filter runs once for all of them."""

    __slots__ = ("lines", "matches", "members")

    def __init__(self, filter: LogFilter) -> None:
        self.matches: Callable[[LogEntry], bool] = compile_filter(filter)
        self.members: dict[Subscriber, None] = {}
        self.lines: list[Message] = []


class Latest:
    """The last snapshot of a feature, encoded for each way of showing what is unknown, once somebody wants it."""

    __slots__ = ("_parcels", "position", "snapshot")

    def __init__(self, snapshot: MetricsSnapshot, position: Position) -> None:
        self.snapshot = snapshot
        self.position = position
        self._parcels: dict[bool, Parcel] = {}

    def parcel(self, unknown_as_zero: bool) -> Parcel:
        parcel = self._parcels.get(unknown_as_zero)
        if parcel is None:
            message = metrics_update(self.snapshot, self.position, unknown_as_zero=unknown_as_zero)
            parcel = self._parcels[unknown_as_zero] = Parcel((message,))
        return parcel
