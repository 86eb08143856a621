"""One client's conversation with the hub, whatever carries it: what it may see, asked for, missed and gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ..access import Principal
from ..directory import unknown_feature
from ..errors import NotFound, OutOfRange, Unavailable, UpstreamError
from ..model import FeatureKey
from ..snapshots import Snapshots
from ..stores.base import LogFilter
from . import backlog, catchup
from .backlog import Rendering, expanded, refusal, told
from .catchup import lost, lost_since
from .hub import Hub, Subscriber
from .messages import Message, Parcel, happened, metrics_update, pack
from .outbox import Slot
from .positions import Position, parse
from .routes import EVERY, Selector

MAX_FEATURES: Final = 1_000
"""Features that one client may name; `*` is for more."""

Greeting: TypeAlias = Callable[[bool, Position | None], Message]
"""Makes the first message, told whether what was missed will follow."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _CatchUp:
    names: frozenset[str]
    slot: Slot
    task: asyncio.Task[None] | None = None


class Feed:
    """What one client watches (snapshots and events) and follows (lines).

    Args:
        environment: of every feature; None: each feature's own choice.
        after: the position that the client resumes from, "" where it begins anew.
        render: how lines from the store are shown.
    """

    __slots__ = (
        "_after", "_catching_up", "_environment", "_followed", "_hub", "_render", "_resume", "_resumed", "_snapshots",
        "_watched", "outbox", "principal", "subscriber",
    )  # fmt: skip

    def __init__(
        self,
        hub: Hub,
        snapshots: Snapshots,
        principal: Principal,
        subscriber: Subscriber,
        *,
        environment: str | None,
        after: str,
        render: Rendering,
    ) -> None:
        self.principal = principal
        self.subscriber = subscriber
        self.outbox = subscriber.outbox
        self._hub = hub
        self._snapshots = snapshots
        self._environment = environment
        self._after = after
        self._resume: Position | None = None
        self._resumed: set[str] = set()
        self._render = render
        self._watched: dict[str, Selector] = {}
        self._followed: dict[str, tuple[Selector, LogFilter]] = {}
        self._catching_up: list[_CatchUp] = []

    def keys(self) -> list[FeatureKey]:
        """Return what is watched and exists, sorted."""
        return sorted({key for selector in self._watched.values() for key in expanded(self._hub, selector)})

    async def open(self, features: Sequence[str], greet: Greeting) -> None:
        """Watch the features; greet, send their latest snapshots, and what happened since the client's position.

        A feature that is not known is told by an `error`; should it appear and the caller may see it, it is sent.
        """
        missing = [name for name in dict.fromkeys(features) if not await self._watch(name)]
        self._register()
        upto = self._hub.position
        slot = self.outbox.reserve()
        try:
            self.outbox.fill(slot, await self._opening(greet, missing, upto))
        finally:
            self.outbox.fill(slot)

    async def _opening(self, greet: Greeting, missing: Sequence[str], upto: Position) -> list[Parcel]:
        after = parse(self._after) if self._after else None
        reason = lost(after, upto) if self._after else None
        events, start = [], upto
        if after is not None and reason is None:
            # Until the lines since `after` are asked for, no id may promise that they were sent.
            self._resume, self.outbox.hold = after, after.log
            start = upto._replace(event=after.event)
            try:
                found, complete = await catchup.happened(self._hub.state, after, upto, self._sees)
                events = [happened(event, upto._replace(event=event.position)) for event in found]
                reason = None if complete else "too_many"
            except (Unavailable, UpstreamError):
                reason = "unavailable"
        greeting = greet(bool(self._after) and reason is None, start)
        told_off = [refusal(unknown_feature(name), name, self._hub.clock()) for name in missing]
        if reason is not None:
            told_off.append(told(self._hub, lost_since(reason, after, upto, None), start))
        figures = await self._figures(self.keys(), start)
        return [Parcel((greeting,)), *figures, *pack(told_off), *pack(events)]

    async def open_logs(self, feature: str, filter: LogFilter, greet: Greeting) -> None:
        """Follow the lines of one feature that is known, and nothing else; greet once it is clear what was missed."""
        chosen = {feature: Selector(feature, self._environment)}
        self._hub.follow(self.subscriber, frozenset({(chosen[feature], filter)}))
        upto, slot = self._hub.position, self.outbox.reserve()
        try:
            found = await backlog.read(self._hub, chosen, filter, self._after, upto, self._render)
            recovered = bool(self._after) and found.complete
            greeting = greet(recovered, parse(self._after) if recovered else None)
            self.outbox.fill(slot, pack([greeting, *found.messages]))
        finally:
            self.outbox.fill(slot)

    async def subscribe(self, feature: str) -> None:
        """Watch one more feature and send its latest snapshot.

        Raises:
            NotFound: it is not known, or the caller may not see it.
            OutOfRange: the client names too many.
        """
        if len(self._watched) >= MAX_FEATURES:
            raise OutOfRange(f"{MAX_FEATURES} features are subscribed, which is the limit: use featureId * for all")
        known = await self._watch(feature)
        self._register()
        if not known:
            raise unknown_feature(feature)
        slot = self.outbox.reserve()
        try:
            selector = self._watched[EVERY if EVERY in self._watched else feature]
            keys = [key for key in expanded(self._hub, selector) if feature in (EVERY, key.feature)]
            self.outbox.fill(slot, await self._figures(keys, self._hub.position))
        finally:
            self.outbox.fill(slot)

    def unsubscribe(self, feature: str) -> None:
        """Watch and follow a feature no longer (`*`: none at all)."""
        if feature == EVERY:
            self._watched.clear()
        elif EVERY in self._watched:
            self._watched[EVERY] = _without(self._watched[EVERY], feature)
        self._watched.pop(feature, None)
        self._register()
        self.unfollow(None if feature == EVERY else feature)

    async def follow(
        self,
        feature: str | None,
        filter: LogFilter,
        environment: str | None = None,
        after: str = "",
        history: bool | None = None,
    ) -> None:
        """Send the lines of a feature (None: of all that are watched) from now on, after those that came before.

        A second call for the same feature replaces the first: each line is judged by the filter that is in force when
        it arrives.

        Args:
            after: begin with what came since this position.
            history: begin with the last 50 (True) or with none (False), whatever the client resumes from. None: with
                what was missed since its position, else with the last 50. Where `after` is given, it counts alone.

        Raises:
            NotFound: the feature is not known, or the caller may not see it.
        """
        if feature is None:
            chosen = dict(self._watched)
        else:
            chosen = {feature: await self._selector(feature)}
            if EVERY in self._followed:
                selector, other = self._followed[EVERY]
                self._followed[EVERY] = (_without(selector, feature), other)
        if environment is not None:
            chosen = {name: replace(selector, environment=environment) for name, selector in chosen.items()}
        if feature is None:
            self._followed.clear()
        self._followed.update((name, (selector, filter)) for name, selector in chosen.items())
        self._hub.follow(self.subscriber, frozenset(self._followed.values()))
        resume = self._resume if not self._resumed.issuperset(chosen) else None
        self._resumed.update(chosen)
        since = after or (resume.encode() if resume is not None and history is None else "")
        goes_on = history is False and not since
        if not goes_on:
            self._abandon(frozenset(chosen))
        # From here on lines wait behind the slot, and the history ends here: nothing may run in between.
        upto = self._hub.position
        catching_up = _CatchUp(frozenset(chosen), self.outbox.reserve(releases=True))
        self._catching_up.append(catching_up)
        catching_up.task = asyncio.create_task(
            self._go_on(catching_up, chosen, upto)
            if goes_on
            else self._catch_up(catching_up, chosen, filter, since, upto)
        )

    def unfollow(self, feature: str | None) -> None:
        """Send no more lines of a feature (None: of any)."""
        gone = frozenset(self._followed) if feature is None else frozenset((feature,))
        if feature is not None and EVERY in self._followed:
            selector, filter = self._followed[EVERY]
            self._followed[EVERY] = (_without(selector, feature), filter)
        for name in gone:
            self._followed.pop(name, None)
        self._hub.follow(self.subscriber, frozenset(self._followed.values()))
        self._abandon(gone)

    async def become(self, principal: Principal) -> None:
        """Go on as another caller, who sees what it may see and no more."""
        if principal.patterns == self.principal.patterns:
            self.principal = principal
            return
        self.principal = principal
        for table in (self._watched, self._followed):
            for name in [name for name in table if name != EVERY and not principal.sees(name)]:
                del table[name]
        if EVERY in self._watched:
            self._watched[EVERY] = replace(self._watched[EVERY], patterns=principal.patterns)
        if EVERY in self._followed:
            selector, filter = self._followed[EVERY]
            self._followed[EVERY] = (replace(selector, patterns=principal.patterns), filter)
        self._register()
        self._hub.follow(self.subscriber, frozenset(self._followed.values()))

    def close(self) -> None:
        """Let go of everything. What was asked of the stores is cancelled."""
        self._abandon(None)
        self._hub.watch(self.subscriber, frozenset())
        self._hub.follow(self.subscriber, frozenset())

    async def _watch(self, feature: str) -> bool:
        """Add a feature to what is watched; whether it is known."""
        if feature == EVERY:
            self._watched = {EVERY: Selector(EVERY, self._environment, self.principal.patterns)}
            return True
        if EVERY in self._watched:
            every = self._watched[EVERY]
            self._watched[EVERY] = replace(every, excluded=every.excluded - {feature})
            return self.principal.sees(feature) and self._hub.directory.choose(feature) is not None
        try:
            self._watched[feature] = await self._selector(feature)
        except NotFound:
            # It may yet appear. Whether it is hidden or absent makes no difference to what the client hears.
            if self.principal.sees(feature):
                self._watched[feature] = Selector(feature, self._environment)
            return False
        return True

    async def _selector(self, feature: str) -> Selector:
        if not self.principal.sees(feature):
            raise unknown_feature(feature)
        try:
            return Selector(feature, await self._snapshots.environment_of(feature, self._environment))
        except (Unavailable, UpstreamError):
            # Whether it is known cannot be told now; it is sent as soon as it shows.
            return Selector(feature, self._environment)

    def _register(self) -> None:
        self._hub.watch(self.subscriber, frozenset(self._watched.values()))
        self.outbox.forget_figures(self._sees)

    def _sees(self, key: FeatureKey) -> bool:
        chosen = self._hub.directory.choose(key.feature)
        return any(selector.matches(key, chosen) for selector in self._watched.values())

    async def _figures(self, keys: Sequence[FeatureKey], position: Position) -> list[Parcel]:
        """Encode the latest snapshots; those of features that no tick has measured yet are measured now."""
        zero = self.subscriber.unknown_as_zero
        latest = {key: self._hub.latest(key, zero) for key in keys}
        absent = [key for key, parcel in latest.items() if parcel is None]
        if absent:
            try:
                for snapshot in await self._snapshots.current(absent):
                    latest[snapshot.key] = Parcel((metrics_update(snapshot, position, unknown_as_zero=zero),))
            except (Unavailable, UpstreamError) as error:
                _log.warning("no snapshot for a new stream: %s", error)
        return [parcel.at(position) for parcel in latest.values() if parcel is not None]

    async def _catch_up(
        self, catching_up: _CatchUp, chosen: Mapping[str, Selector], filter: LogFilter, after: str, upto: Position
    ) -> None:
        try:
            found = await backlog.read(self._hub, chosen, filter, after, upto, self._render)
            # Who asks may have become another, who sees less, while the store was read.
            sees = self.principal.sees
            self._caught_up(
                catching_up, [message for message in found.messages if message.feature is None or sees(message.feature)]
            )
        finally:
            self._caught_up(catching_up)

    async def _go_on(self, catching_up: _CatchUp, chosen: Mapping[str, Selector], upto: Position) -> None:
        """Say where the new filter takes over: by an empty history of each feature."""
        names = sorted({key.feature for selector in chosen.values() for key in expanded(self._hub, selector)})
        self._caught_up(catching_up, [message for name in names for message in self._render(name, (), upto, True)])

    def _caught_up(self, catching_up: _CatchUp, messages: Sequence[Message] = ()) -> None:
        self.outbox.fill(catching_up.slot, pack(messages))
        if catching_up in self._catching_up:
            self._catching_up.remove(catching_up)

    def _abandon(self, names: frozenset[str] | None) -> None:
        """End the catching up whose lines nobody wants any more (None: all)."""
        for catching_up in list(self._catching_up):
            if names is None or catching_up.names <= names:
                self._catching_up.remove(catching_up)
                if catching_up.task is not None:
                    catching_up.task.cancel()
                self.outbox.fill(catching_up.slot)


def _without(selector: Selector, feature: str) -> Selector:
    return replace(selector, excluded=selector.excluded | {feature})
