"""The fan-out: what the stores publish, encoded once and put before every client that asked for it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

from ..directory import Directory
from ..errors import TooMany
from ..model import Event, FeatureKey, LogGap, MetricsSnapshot, StoredLog
from ..stores.base import LogFilter, LogStore, StateStore
from ..times import NS
from .messages import Gap, Message, Parcel, happened, log_line, pack
from .positions import Position
from .publisher import Pressure, Publisher
from .routes import Routes, Selector, features_of
from .stats import Stats
from .subscribers import Group, Latest, Subscriber
from .turns import Turns

__all__ = ["Client", "Hub", "Subscriber"]

SLOW: Final = 1013
RESTART: Final = 1012

STALLED_S: Final = 30.0
"""A client that takes nothing for so long is closed."""
RENEW_S: Final = 20
"""How often the store hears whose lines are followed."""
BRIEF_S: Final = 0.1
"""A send that takes no longer is no sign of a slow client."""
DRAIN_S: Final = 2.0
"""How long clients may take what waits for them before a restart closes them."""

_log = logging.getLogger(__name__)


class Client(Protocol):
    """What the hub asks of a transport."""

    @property
    def subscriber(self) -> Subscriber: ...

    def check(self, now_ns: int) -> None:
        """Look at deadlines; called every second."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Close the stream, at once and without waiting for the client."""
        ...


class Hub:
    """Publishes lines, events and snapshots to all clients; all of it happens on one event loop.

    Start it before anything is written to the stores by this process. Order is the order of arrival: a client that
    has a message with position P was sent everything before P that it asked for.

    Args:
        clock: nanoseconds since the epoch.
        queue_bytes: lines that may wait for one client; above it the oldest become a gap.
        max_streams: open streams; one more is refused.
        max_features: features (each environment counts) that lines or events may bring; of more nothing is told.
        jitter_s: a restart spreads the closing of clients over so many seconds.
    """

    def __init__(
        self,
        logs: LogStore,
        state: StateStore,
        directory: Directory,
        *,
        clock: Callable[[], int],
        queue_bytes: int = 1024**2,
        max_streams: int = 10_000,
        max_features: int = 100_000,
        jitter_s: float = 1.0,
    ) -> None:
        self.logs = logs
        self.state = state
        self.directory = directory
        self.clock = clock
        self.queue_bytes = queue_bytes
        self.max_streams = max_streams
        self.max_features = max_features
        self.stats = Stats()
        self.turns = Turns()
        self.stopping = False
        self.new_keys: set[FeatureKey] = set()
        """Features that lines or events told of first; the metric poll takes them."""
        self._jitter_s = jitter_s
        self._log_position = self._event_position = 0
        self._clients: dict[Client, None] = {}
        self._watchers: Routes[dict[Subscriber, None]] = Routes(directory)
        self._groups: Routes[Group] = Routes(directory)
        self._latest: dict[FeatureKey, Latest] = {}
        self._publisher = Publisher(self._publish, self._lose, self._pressure)
        self._ends: list[Callable[[], None]] = []
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        """Where the streams stand now."""
        return Position(self._log_position, self._event_position, self.clock() // NS)

    @property
    def full(self) -> bool:
        """Whether no further stream is taken."""
        return len(self._clients) >= self.max_streams

    @property
    def clients(self) -> Collection[Client]:
        """Who is connected now."""
        return self._clients.keys()

    @property
    def routes(self) -> int:
        """How many distinct things are asked for, by however many clients."""
        return len(self._watchers) + len(self._groups)

    @property
    def idle(self) -> bool:
        """Whether every client was handed all there is."""
        return self._publisher.idle and all(client.subscriber.outbox.idle for client in self._clients)

    async def start(self) -> None:
        """Listen to the stores and take up their positions.

        Raises:
            Unavailable: a store cannot answer.
        """
        self._ends = [self.logs.listen(self.publish_logs, self.publish_gap), self.state.listen(self.publish_event)]
        self._log_position = max(self._log_position, await self.logs.last_position())
        self._event_position = max(self._event_position, await self.state.last_event_position())
        self._sweeper = asyncio.create_task(self._sweep(), name="featurewatch-streams")

    async def stop(self) -> None:
        """Let clients take what waits for them, then close them with 1012, not all at the same moment."""
        if self.stopping:
            return
        self.stopping = True
        for end in self._ends:
            end()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_S
        # The state of many queues is no single event to wait for.
        while loop.time() < deadline and not self.idle:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.02)
        clients = list(self._clients)
        random.shuffle(clients)
        for number, client in enumerate(clients):
            client.end(RESTART, f"restarting, come back in {random.uniform(1, 5):.1f} s")
            if number % 64 == 63:
                await asyncio.sleep(self._jitter_s * 64 / len(clients))
        deadline = loop.time() + DRAIN_S
        while self._clients and loop.time() < deadline:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.02)
        self._publisher.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def open(self, client: Client, transport: str) -> None:
        """Take in a client.

        Raises:
            TooMany: as many streams are open as may be.
        """
        if self.full:
            raise TooMany(f"{self.max_streams} streams are open, which is the limit: try again later", retry_after=5)
        self._clients[client] = None
        self.stats.open[transport] += 1

    def leave(self, client: Client, transport: str) -> None:
        """Forget a client and everything that it asked for."""
        if client in self._clients:
            del self._clients[client]
            self.stats.open[transport] -= 1
        self.watch(client.subscriber, frozenset())
        self.follow(client.subscriber, frozenset())

    def watch(self, subscriber: Subscriber, selectors: frozenset[Selector]) -> None:
        """Send the snapshots and events of these features, and of no others."""
        for gone in subscriber.watching - selectors:
            watchers = self._watchers.get(gone)
            if watchers is not None:
                watchers.pop(subscriber, None)
                if not watchers:
                    self._watchers.remove(gone)
        for added in selectors - subscriber.watching:
            watchers = self._watchers.get(added)
            if watchers is None:
                watchers = {}
                self._watchers.add(added, added, watchers)
            watchers[subscriber] = None
        subscriber.watching = selectors

    def follow(self, subscriber: Subscriber, wanted: frozenset[tuple[Selector, LogFilter]]) -> None:
        """Send the lines of these features that match the filter, and no others."""
        for gone in subscriber.following - wanted:
            group = self._groups.get(gone)
            if group is not None:
                group.members.pop(subscriber, None)
                if not group.members:
                    self._groups.remove(gone)
        for added in wanted - subscriber.following:
            group = self._groups.get(added)
            if group is None:
                group = Group(added[1])
                self._groups.add(added, added[0], group)
                self.logs.want(features_of((added[0],)))
            group.members[subscriber] = None
        subscriber.following = wanted

    def latest(self, key: FeatureKey, unknown_as_zero: bool) -> Parcel | None:
        """Return the last snapshot of a feature as it was published."""
        known = self._latest.get(key)
        return None if known is None else known.parcel(unknown_as_zero)

    def meet(self, keys: Iterable[FeatureKey]) -> None:
        """Note features that exist, as many as there is room for."""
        for key in keys:
            self._meet(key)

    def publish_logs(self, batch: Sequence[StoredLog]) -> None:
        """Send lines that the store has committed, in order of position; of very many the first at once."""
        self._publisher.lines(batch)

    def publish_gap(self, gap: LogGap) -> None:
        """Tell those who follow a feature of lines that cannot be had, in order with those that can."""
        self._publisher.gap(gap)

    def _publish(self, batch: Sequence[StoredLog], commit: int) -> None:
        now_ns = self.clock()
        now_s, event_position = now_ns // NS, self._event_position
        touched: dict[Group, None] = {}
        keys: set[FeatureKey] = set()
        # Looked up once for a run of lines of the same feature, as they mostly come.
        key: FeatureKey | None = None
        groups: tuple[Group, ...] = ()
        for stored in batch:
            entry = stored.entry
            if key is None or entry.feature != key.feature or entry.environment != key.environment:
                key = entry.key
                if key not in keys:
                    keys.add(key)
                    self._meet(key)
                groups = self._groups.to(key)
            line = None
            for group in groups:
                if group.matches(entry):
                    if line is None:
                        line = log_line(entry, Position(stored.position, event_position, now_s), now_ns=now_ns)
                    group.lines.append(line)
                    touched[group] = None
        self._log_position = batch[-1].position
        self._deliver(touched, commit)

    def publish_event(self, event: Event) -> None:
        """Send an event that the state store has committed."""
        self._event_position = event.position
        self._meet(event.key)
        parcel = None
        for watchers in self._watchers.to(event.key):
            if parcel is None and watchers:
                parcel = Parcel((happened(event, self.position),))
            for subscriber in watchers:
                assert parcel is not None
                subscriber.outbox.put(parcel)

    def publish_snapshots(self, snapshots: Iterable[MetricsSnapshot]) -> None:
        """Send the snapshots of a tick: all there are. They are what a client that comes later sees first."""
        position = self.position
        latest = {snapshot.key: Latest(snapshot, position) for snapshot in snapshots}
        self._latest = latest
        for key, figures in latest.items():
            for watchers in self._watchers.to(key):
                for subscriber in watchers:
                    subscriber.outbox.put_figures(key, figures.parcel(subscriber.unknown_as_zero), position)

    def _meet(self, key: FeatureKey) -> None:
        if len(self.directory) < self.max_features and self.directory.note((key,)):
            self.new_keys.add(key)

    def _lose(self, gap: LogGap) -> None:
        told = Gap(gap.reason, gap.feature, gap.count, gap.from_ns, gap.to_ns)
        parcel = Parcel((told.message(self.position),))
        groups: Iterable[Group]
        if gap.feature is not None and gap.environment is not None:
            groups = self._groups.to(FeatureKey(gap.feature, gap.environment))
        else:
            groups = (group for selector, group in self._groups.items() if selector.may_match(gap.feature))
        concerned = {subscriber for group in groups for subscriber in group.members}
        self.stats.gaps[gap.reason] += len(concerned)
        self.stats.dropped[gap.reason] += len(concerned) * (gap.count or 0)
        for subscriber in concerned:
            subscriber.outbox.put(parcel)

    def _pressure(self) -> Pressure:
        """Tell whether another slice would be more than clients that read can be handed."""
        found: Pressure = "none"
        brief = asyncio.get_running_loop().time() - BRIEF_S
        for client in self._clients:
            outbox = client.subscriber.outbox
            if outbox.line_bytes * 2 <= self.queue_bytes:
                continue
            if outbox.sending_since is None:
                return "busy"
            if outbox.sending_since > brief:
                found = "slow"
        return found

    def _deliver(self, touched: Collection[Group], commit: int) -> None:
        """Hand each subscriber its lines in order of position, whichever groups they came through."""
        shared: dict[tuple[Group, ...], list[Parcel]] = {}
        through: dict[Subscriber, tuple[Group, ...]] = {}
        for group in touched:
            alone = shared[group,] = pack(group.lines)
            for subscriber in group.members:
                # Most follow one thing: nothing to merge, and nothing kept for each of 10,000.
                if len(subscriber.following) == 1:
                    subscriber.outbox.put_lines(alone, commit)
                else:
                    through[subscriber] = (*through.get(subscriber, ()), group)
        for subscriber, groups in through.items():
            parcels = shared.get(groups)
            if parcels is None:
                parcels = shared[groups] = pack(_merged(groups))
            subscriber.outbox.put_lines(parcels, commit)
        for group in touched:
            group.lines = []

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(1)
            now, now_ns = loop.time(), self.clock()
            if now - renewed >= RENEW_S:
                renewed = now
                self.logs.want(features_of(selector for selector, _ in self._groups.items()))
            for client in tuple(self._clients):
                try:
                    since = client.subscriber.outbox.sending_since
                    if since is not None and now - since > STALLED_S:
                        client.end(SLOW, f"nothing was read for {STALLED_S:.0f} s")
                    elif client.subscriber.outbox.overfull:
                        client.end(SLOW, "more happened than was read")
                    else:
                        client.check(now_ns)
                except Exception:
                    _log.exception("checking a stream failed")


def _merged(groups: tuple[Group, ...]) -> Sequence[Message]:
    if len(groups) == 1:
        return groups[0].lines
    lines: Mapping[int, Message] = {
        line.position.log: line for group in groups for line in group.lines if line.position is not None
    }
    return [lines[position] for position in sorted(lines)]
