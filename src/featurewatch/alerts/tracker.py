"""When an alert fires and when it ends, given whether its condition holds: as Prometheus does. Pure.

An alert is pending from the first evaluation at which its condition holds. It fires at the first evaluation that is
`for` or more later, if the condition held at each one between. It ends at the first evaluation at which the condition
does not hold, or, where it is kept firing, at the first one that is so much later without the condition having held
again. https://github.com/prometheus/prometheus/blob/main/rules/alerting.go
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Change", "Firing", "Tracker", "firings"]

Change: TypeAlias = Literal["fired", "ended"]


class Firing(NamedTuple):
    """An alert from its firing to its end, None while it goes on; in the caller's unit of time."""

    start: int
    end: int | None


@dataclass(slots=True)
class Tracker:
    """Follows one alert. Durations and instants are in one unit of the caller's choice.

    Attributes:
        pending_since: when the condition began to hold; None where it does not.
        firing_since: when it fired; None while it does not.
        cleared_since: since when it fires without its condition.
    """

    for_: int
    keep_firing: int = 0
    pending_since: int | None = None
    firing_since: int | None = None
    cleared_since: int | None = None

    def step(self, at: int, holds: bool) -> Change | None:
        """Take note of one evaluation, and say what changed."""
        if holds:
            self.cleared_since = None
            if self.pending_since is None:
                self.pending_since = at
            if self.firing_since is None and at - self.pending_since >= self.for_:
                self.firing_since = at
                return "fired"
            return None
        if self.firing_since is None:
            self.pending_since = None
            return None
        if self.cleared_since is None:
            self.cleared_since = at
        if at - self.cleared_since < self.keep_firing:
            return None
        self.pending_since = self.firing_since = self.cleared_since = None
        return "ended"


def firings(evaluations: Iterable[tuple[int, bool]], *, for_: int, keep_firing: int = 0) -> list[Firing]:
    """Return when an alert would have fired, given (instant, whether its condition held) in order of time."""
    tracker = Tracker(for_, keep_firing)
    found: list[Firing] = []
    since = 0
    for at, held in evaluations:
        change = tracker.step(at, held)
        if change == "fired":
            since = at
        elif change == "ended":
            found.append(Firing(since, at))
    if tracker.firing_since is not None:
        found.append(Firing(since, None))
    return found
