"""A sum over a window that moves forward minute by minute. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Sliding"]


@dataclass(slots=True)
class Sliding:
    """What was gained in each minute, and its sum over the window. What has left it leaves nothing of itself behind.

    Attributes:
        rows: what was gained, by minute.
        held: how many minutes of the window gained something.
    """

    rows: dict[int, float] = field(default_factory=dict)
    held: int = 0
    _sum: float = 0
    _to: int | None = None

    def add(self, minute: int, value: float) -> None:
        self.rows[minute] = self.rows.get(minute, 0) + value

    def at(self, minute: int, length: int) -> float:
        """Return the sum of the `length` minutes up to `minute`; to be called for one minute after the other."""
        if self._to is None:
            entering, leaving = range(minute - length + 1, minute + 1), range(0)
        else:
            entering, leaving = range(self._to + 1, minute + 1), range(self._to - length + 1, minute - length + 1)
        self._to = minute
        for come in entering:
            if (value := self.rows.get(come)) is not None:
                self._sum += value
                self.held += 1
        for gone in leaving:
            if (value := self.rows.get(gone)) is not None:
                self._sum -= value
                self.held -= 1
        if not self.held:
            self._sum = 0  # and not the rest that subtracting fractions leaves
        return self._sum
