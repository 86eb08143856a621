"""Which way an alert takes to people: the label by which Alertmanager's routes tell channels and cooldowns apart.

Pure. A rule carries the label; a route matches it. So a rule edit touches Alertmanager's configuration only where it
brings a combination of channels and cooldown that no rule had before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

__all__ = ["NOBODY", "ROUTE_LABEL", "TESTS", "TEST_LABEL", "Route", "read_route", "route_label", "route_of"]

ROUTE_LABEL: Final = "featurewatch_route"

NOBODY: Final = "none"
"""The label of rules without a channel: the bridge hears of their alerts, and nobody else."""

TESTS: Final = "doctor"
"""The label of test alerts, which the bridge alone is told of."""

TEST_LABEL: Final = "featurewatch_doctor"
"""By its value the bridge knows a test alert again."""

_LONGEST: Final = 100
"""Characters of a label that names its channels; more of them become a digest."""

_READABLE: Final = re.compile(r"([^@#]+)@(\d{1,5})m")


class Route(NamedTuple):
    """Who is told, channels sorted and each once, and how many minutes lie between two reminders."""

    channels: tuple[str, ...]
    cooldown_minutes: int


def route_of(channels: Iterable[str], cooldown_minutes: int) -> Route:
    """Make the route of a rule; the order and repetition of its channels make no difference."""
    names = tuple(sorted(set(channels)))
    return Route(names, cooldown_minutes if names else 0)


def route_label(channels: Iterable[str], cooldown_minutes: int) -> str:
    """Write a route as a label's value: the same for the same route, another for another; at most 100 characters.

    A channel's name (`alert_model.CHANNEL_NAME`) holds none of `+`, `@` and `#`.

    >>> route_label(["ops", "mail"], 60)
    'mail+ops@60m'
    """
    route = route_of(channels, cooldown_minutes)
    if not route.channels:
        return NOBODY
    names, rest = "+".join(route.channels), f"@{route.cooldown_minutes}m"
    if len(names) + len(rest) <= _LONGEST:
        return names + rest
    return f"#{len(route.channels)}-{blake2b(names.encode(), digest_size=8).hexdigest()}{rest}"


def read_route(label: str) -> Route | None:
    """Read a label back; None where it is a digest or none of ours."""
    if label == NOBODY:
        return Route((), 0)
    match = _READABLE.fullmatch(label)
    if match is None:
        return None
    route = route_of(match[1].split("+"), int(match[2]))
    return route if route_label(*route) == label else None
