"""What the exporter could not keep, counted by reason, and the one place that tells of it in the app's log."""

from __future__ import annotations

import logging
import threading
from typing import Final, Literal, TypeAlias

from ..model import FeatureKey

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
        self._counts: dict[tuple[str, str, FeatureKey], int] = {
            (signal, reason, NOWHERE): 0 for signal, reasons in REASONS.items() for reason in reasons
        }
        self._told: set[str] = set()

    def count(self, signal: Signal, reason: str, key: FeatureKey = NOWHERE, count: int = 1) -> None:
        with self._lock:
            place = (signal, reason, key)
            self._counts[place] = self._counts.get(place, 0) + count

    def snapshot(self) -> dict[tuple[str, str, FeatureKey], int]:
        with self._lock:
            return dict(self._counts)

    def tell(self, topic: str, message: str, *args: object) -> None:
        """Log a warning once for each topic, until `recovered` is called for it."""
        with self._lock:
            if topic in self._told or len(self._told) >= _TOLD_AT_MOST:
                return
            self._told.add(topic)
        LOGGER.warning(message, *args)

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
