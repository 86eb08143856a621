"""What the exporter could not keep, counted by reason, and the one place that tells of it in the app's log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..model import FeatureKey
from .records import one_drop_layout

if TYPE_CHECKING:
    from .ledger import Slot

LOGGER: Final = logging.getLogger("featurewatch")
NOWHERE: Final = FeatureKey("", "")
"""The key of what belongs to no known feature."""

Signal: TypeAlias = Literal["calls", "costs", "metrics", "logs"]

REASONS: Final[dict[Signal, tuple[str, ...]]] = {
    "calls": (
        "invalid_value", "label_limit", "classifier_failed", "queue_full", "rejected", "undeliverable",
        "feature_limit", "invalid_feature", "span_limit",
    ),
    "costs": ("queue_full", "estimate_failed"),
    "metrics": ("push_failed", "rejected"),
    "logs": (
        "no_feature", "invalid_feature", "unreadable", "queue_full", "rejected", "too_old", "too_large", "torn",
        "undeliverable",
    ),
}  # fmt: skip
"""Every reason there is, by signal. Closed, so that the series are bounded and exported at 0 from the start."""

_TOLD_AT_MOST: Final = 1000


class Drops:
    """Counts by (signal, reason, feature, environment), and what was told already.

    The lock is reentrant because the garbage collector may finalise an abandoned generator, which ends its
    call, on a thread that already holds it.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start from zero with a new lock: what a forked child does, whose lock may be held by nobody alive."""
        self._lock = threading.RLock()
        self._counts: dict[FeatureKey, dict[tuple[str, str], int]] = {
            NOWHERE: {(signal, reason): 0 for signal, reasons in REASONS.items() for reason in reasons}
        }
        self._new_slot: Callable[[], Slot] | None = None
        self._slots: dict[FeatureKey, Slot] = {}
        self._told: set[str] = set()

    def count(self, signal: Signal, reason: str, key: FeatureKey = NOWHERE, count: int = 1) -> None:
        with self._lock:
            counts = self._counts.setdefault(key, {})
            counts[signal, reason] = counts.get((signal, reason), 0) + count
            if self._new_slot is not None:
                self._write(key, self._new_slot)

    def snapshot(self) -> dict[tuple[str, str, FeatureKey], int]:
        with self._lock:
            return {(*place, key): count for key, counts in self._counts.items() for place, count in counts.items()}

    def mirror(self, new_slot: Callable[[], Slot] | None) -> None:
        """Show the counts in slots from here on, one for each key; None: no more."""
        with self._lock:
            self._new_slot = new_slot
            self._slots.clear()
            if new_slot is not None:
                for key in self._counts:
                    self._write(key, new_slot)

    def _write(self, key: FeatureKey, new_slot: Callable[[], Slot]) -> None:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = new_slot()
        counts = self._counts[key]
        slot.write(one_drop_layout(key, tuple(counts)), list(counts.values()), 0)

    def tell(self, topic: str, message: str, *args: object) -> None:
        """Log a warning once for each topic, until `recovered` is called for it."""
        with self._lock:
            if topic in self._told or len(self._told) >= _TOLD_AT_MOST:
                return
            self._told.add(topic)
        LOGGER.warning(message, *args)

    def forget(self, *topics: str) -> None:
        """Let topics be told of again: what was told of them held for settings that are replaced."""
        with self._lock:
            self._told.difference_update(topics)

    def recovered(self, topic: str, message: str, *args: object) -> None:
        """Log that what was told of is over, if it was told; the topic may be told again."""
        if topic not in self._told:
            return
        with self._lock:
            self._told.discard(topic)
        LOGGER.info(message, *args)


def shown(value: object) -> str:
    """Write a value the app gave for a message: at most 100 characters, and never raising."""
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__} whose repr fails>"
    return text if len(text) <= 100 else text[:100] + "…"
