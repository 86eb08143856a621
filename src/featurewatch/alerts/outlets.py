"""Where an evaluator's alerts go: to Alertmanager, as Prometheus's do, or into the history and to people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from ..episode_model import Episode
from ..errors import Conflict
from ..times import NS, format_instant
from .actions import Actions
from .alertmanager_client import AlertmanagerClient
from .history import History
from .notifier import Notifier
from .signals import Signal

__all__ = ["ToAlertmanager", "ToPeople"]

RESEND_S: Final = 60
"""Alertmanager is told of what fires so often, as Prometheus does by default."""
LIVES_S: Final = 4 * RESEND_S
"""So long after the last word an alert ends by itself."""


class ToAlertmanager:
    """Sends what changed at once, and all that fires each minute; webhooks and polls tell the history of it."""

    def __init__(self, api: AlertmanagerClient, *, clock: Callable[[], int], link: str = "") -> None:
        self._api = api
        self._clock = clock
        self._link = link
        self._sent_ns = 0

    async def __call__(self, changed: Sequence[Signal], firing: Sequence[Signal]) -> None:
        now = self._clock()
        again = not 0 <= now - self._sent_ns < RESEND_S * NS
        told = {id(signal) for signal in changed}
        due = [*changed, *(signal for signal in firing if again and id(signal) not in told)]
        if due:
            await self._api.post_alerts([self._alert(signal, now) for signal in due])
        if again:
            self._sent_ns = now

    def _alert(self, signal: Signal, now_ns: int) -> dict[str, Any]:
        ends_ns = now_ns + LIVES_S * NS if signal.ends_ns is None else signal.ends_ns
        return {
            "labels": dict(signal.labels),
            "annotations": {name: text for name, text in signal.annotations.items() if text},
            "startsAt": format_instant(signal.starts_ns),
            "endsAt": format_instant(ends_ns),
            "generatorURL": self._link,
        }


class ToPeople:
    """Keeps what changed in the history, and lets the notifier tell people. Hand `settle` to the history.

    Acknowledgements that people set an end to are taken back here: there is no silence that would end.
    """

    def __init__(self, history: History, notifier: Notifier, actions: Actions, *, clock: Callable[[], int]) -> None:
        self._history = history
        self._notifier = notifier
        self._actions = actions
        self._clock = clock
        self._ended: list[Episode] = []

    def settle(self, episodes: Sequence[Episode]) -> None:
        """Remember what ended, to be told at the next look."""
        self._ended += episodes

    async def __call__(self, changed: Sequence[Signal], firing: Sequence[Signal]) -> None:
        await self._history.take(changed)
        await self._expire()
        ended, self._ended = self._ended, []
        try:
            await self._notifier.look(self._history.unsettled, ended)
        except BaseException:
            self._ended = ended + self._ended
            raise

    async def _expire(self) -> None:
        now = self._clock()
        for episode in list(self._history.unsettled):
            hold = episode.hold
            if episode.alert.status == "acknowledged" and hold and hold.until_ns is not None and hold.until_ns <= now:
                with suppress(Conflict):  # somebody was faster
                    await self._actions.release(
                        episode, hold.by, "expire", "the acknowledgement ended as it was set to"
                    )
