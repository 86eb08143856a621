"""The silence that stands for an episode: which alerts it matches, how long it holds, and how it is known as ours."""

from __future__ import annotations

import re
from typing import Final

from ..episode_model import Episode, Hold, Maintenance
from ..times import NS
from .alertmanager_client import AlertmanagerClient, Matcher

__all__ = ["HOLD_S", "REFRESH_S", "alert_of", "expire", "matchers", "put", "put_maintenance"]

HOLD_S: Final = 900
"""A silence is made for so long and extended while it is wanted: should every bridge be gone, it ends by itself."""
REFRESH_S: Final = 600
"""It is extended when less than this is left."""

_MARK: Final = re.compile(r"\[featurewatch ([0-9a-f]{1,64})\]$")


def matchers(episode: Episode) -> tuple[Matcher, ...]:
    """Match the episode's alerts and no others, whatever their severity and route become."""
    names = {instance.labels.get("alertname", "") for instance in episode.instances.values()} - {""}
    place = (
        ("rule_id", episode.alert.rule_id),
        ("feature", episode.alert.key.feature),
        ("environment", episode.alert.key.environment),
    )
    return (("alertname", names.pop()), *place) if len(names) == 1 else place


async def put(api: AlertmanagerClient, episode: Episode, hold: Hold, now_ns: int) -> Hold:
    """Make or extend the silence of an episode and return it as it is then.

    Raises:
        Unavailable, UpstreamError, TooMany: Alertmanager did not take it.
    """
    ends_ns = now_ns + HOLD_S * NS
    if hold.until_ns is not None:
        ends_ns = min(ends_ns, hold.until_ns)
    text = hold.comment or "acknowledged"
    silence = await api.silence(
        matchers(episode), now_ns, ends_ns, hold.by, f"{text} [featurewatch {episode.alert.id}]", id=hold.silence
    )
    return Hold(silence, ends_ns, hold.until_ns, hold.by, hold.comment)


async def put_maintenance(api: AlertmanagerClient, window: Maintenance) -> str:
    """Make the silence of a maintenance window and return its id; raises as `put`."""
    place: tuple[Matcher, ...] = (("feature", window.feature),)
    if window.environment is not None:
        place = (*place, ("environment", window.environment))
    return await api.silence(
        place, window.starts_ns, window.ends_ns, window.created_by, f"maintenance: {window.comment}".rstrip(": ")
    )


async def expire(api: AlertmanagerClient, hold: Hold | None) -> None:
    """End a silence, where there is one; raises as `put`."""
    if hold is not None and hold.silence:
        await api.expire(hold.silence)


def alert_of(comment: str) -> str | None:
    """Return the id of the alert that a silence of ours stands for, None where it is none of ours."""
    match = _MARK.search(comment)
    return match[1] if match else None
