"""Which feature and environment an OTLP point or record belongs to, and what is told of those that are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ..errors import BadInput
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, FEATURE_ID, FEATURE_ID_RULE, FeatureKey
from ..times import NS, format_instant

__all__ = ["KEY_NAMES", "Refusals", "check_time", "key_of"]

AHEAD_NS: Final = 600 * NS
"""Clocks of apps may run ahead so far."""

_ENVIRONMENT_NAMES: Final = ("environment", "deployment.environment.name", "deployment.environment")
KEY_NAMES: Final = frozenset({"feature", *_ENVIRONMENT_NAMES})

_TOLD_REASONS: Final = 5


class Refusals:
    """Counts what was refused, by reason, and words it as the one line of a partial success."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, reason: str, count: int = 1) -> None:
        self._counts[reason] += count

    @property
    def count(self) -> int:
        return self._counts.total()

    def message(self, what: str) -> str:
        told = [f"{count} {what} refused: {reason}" for reason, count in self._counts.most_common(_TOLD_REASONS)]
        if (rest := len(self._counts) - _TOLD_REASONS) > 0:
            told.append(f"{rest} more reasons")
        return "; ".join(told)


def key_of(own: Mapping[str, str], resource: Mapping[str, str], environment: str) -> FeatureKey:
    """Find the key in a point's or record's own attributes, else in its resource's.

    Args:
        environment: where neither names one.

    Raises:
        BadInput: there is no feature, or an id that cannot be.
    """
    feature = own.get("feature") or resource.get("feature")
    if not feature:
        raise BadInput("the attribute 'feature' is missing: set it on each point or record, or on the resource")
    for attributes in (own, resource):
        for name in _ENVIRONMENT_NAMES:
            if attributes.get(name):
                return _checked(feature, attributes[name])
    return _checked(feature, environment)


@lru_cache(maxsize=4096)
def _checked(feature: str, environment: str) -> FeatureKey:
    if FEATURE_ID.fullmatch(feature) is None:
        raise BadInput(f"feature: expected {FEATURE_ID_RULE}, got {_shown(feature)}")
    if ENVIRONMENT.fullmatch(environment) is None:
        raise BadInput(f"environment: expected {ENVIRONMENT_RULE}, got {_shown(environment)}")
    return FeatureKey(feature, environment)


def check_time(time_ns: int, now_ns: int) -> int:
    """Return the instant, now where none was told.

    Raises:
        BadInput: it is more than 10 minutes ahead.
    """
    if time_ns > now_ns + AHEAD_NS:
        raise BadInput(
            f"time: expected at most 10 minutes ahead of {format_instant(now_ns)}, got a later one: "
            "set the sender's clock"
        )
    return time_ns or now_ns


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
