"""When a day's uptime is asked for, and what it was: from raw series it is by far the dearest figure of a tick."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from ..model import FeatureKey
from ..times import NS

__all__ = ["Uptimes"]

_MINUTE_NS: Final = 60 * NS
_HELD_NS: Final = 15 * _MINUTE_NS
"""So long an uptime is shown that could not be computed anew: it moves by 1 % a quarter of an hour at most."""

_WINDOWS_KEPT: Final = 8
_LONGEST_PAUSE: Final = 16


class Uptimes:
    """The uptimes of all features by window, each computed once a minute, since it is a share of whole minutes.

    A query that fails with the uptime in it and succeeds without is not asked for it again at once: the pause doubles
    from one minute to 16. One that fails without it too says nothing about the uptime.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[float, tuple[int, Mapping[FeatureKey, float]]] = OrderedDict()
        self._suspected = False
        self._pause = 0
        self._next_ns = 0

    @property
    def too_dear(self) -> bool:
        """Whether the last query with the uptime failed, and one without it did not."""
        return self._pause > 0

    def fresh(self, window_s: float, now_ns: int) -> Mapping[FeatureKey, float] | None:
        """Return the uptimes of this minute, None where they are to be computed."""
        at_ns, values = self._kept.get(window_s, (0, None))
        return values if values is not None and at_ns // _MINUTE_NS == now_ns // _MINUTE_NS else None

    def last(self, window_s: float, now_ns: int) -> Mapping[FeatureKey, float]:
        """Return the last uptimes unless they are too old."""
        at_ns, values = self._kept.get(window_s, (0, {}))
        return values if 0 <= now_ns - at_ns < _HELD_NS else {}

    def due(self, now_ns: int) -> bool:
        """Whether the next query may ask for uptimes."""
        return not self._suspected and now_ns >= self._next_ns

    def keep(self, window_s: float, now_ns: int, values: Mapping[FeatureKey, float]) -> None:
        """Note what a query told."""
        self._suspected, self._pause, self._next_ns = False, 0, 0
        self._kept[window_s] = now_ns, values
        self._kept.move_to_end(window_s)
        if len(self._kept) > _WINDOWS_KEPT:
            self._kept.popitem(last=False)

    def failed(self, *, asked: bool) -> None:
        """Note that a query failed that asked for the uptime, or did not."""
        self._suspected = asked

    def spared(self, now_ns: int) -> None:
        """Note that a query succeeded which did not ask for the uptime."""
        if self._suspected:
            self._suspected = False
            self._pause = min(_LONGEST_PAUSE, max(1, 2 * self._pause))
            self._next_ns = now_ns + self._pause * _MINUTE_NS
