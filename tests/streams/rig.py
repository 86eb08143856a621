"""A hub with its stores in memory, and clients that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from featurewatch.access import ANYONE, Principal
from featurewatch.errors import Unauthenticated
from featurewatch.snapshots import Snapshots
from featurewatch.streams.hub import Hub
from featurewatch.streams.metric_poll import MetricPoll
from featurewatch.streams.websocket import serve_websocket
from streams.fakes import KEY, Clock, FakeLogs, FakeMetrics, FakeState, FakeWebSocket


class Rig:
    def __init__(self, *, queue_bytes: int = 1024**2, max_streams: int = 100, before: Rig | None = None) -> None:
        self.clock = Clock()
        # A bridge that was started anew finds the stores as the one before left them.
        self.logs = FakeLogs(before.logs.lines if before else ())
        self.state = FakeState(before.state.happened if before else ())
        self.metrics = FakeMetrics(self.clock)
        self.snapshots = Snapshots(self.metrics, self.state, window_s=300, clock=self.clock)
        self.hub = Hub(
            self.logs,
            self.state,
            self.snapshots.directory,
            clock=self.clock,
            queue_bytes=queue_bytes,
            max_streams=max_streams,
            jitter_s=0,
        )
        self.poll = MetricPoll(self.snapshots, self.metrics, self.state, self.hub, interval_s=3600, clock=self.clock)
        self.tokens: dict[str, Principal] = {}
        self.revoked: set[str] = set()
        self.sockets: list[tuple[FakeWebSocket, asyncio.Task[None]]] = []

    async def authenticate(self, token: str) -> Principal:
        if token not in self.tokens:
            raise Unauthenticated("the token is not known")
        return self.tokens[token]

    def connect(
        self, *features: str, principal: Principal | None = ANYONE, socket: FakeWebSocket | None = None, **options: Any
    ) -> FakeWebSocket:
        """Connect a client; what it is sent waits in the socket."""
        socket = socket or FakeWebSocket()
        serving = serve_websocket(
            socket,  # type: ignore[arg-type]  # stands in for starlette's
            self.hub,
            self.snapshots,
            features=features,
            principal=principal,
            authenticate=self.authenticate,
            holds=lambda principal: principal.name not in self.revoked,
            **options,
        )
        self.sockets.append((socket, asyncio.create_task(serving)))
        return socket

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def tick(self) -> None:
        """Let a second pass, and a metrics tick come."""
        self.clock.advance(1.5)
        await self.poll.tick()

    def check(self) -> None:
        """Do what the hub does every second."""
        for client in list(self.hub.clients):
            client.check(self.clock())

    async def ended(self, socket: FakeWebSocket) -> None:
        """Return when the socket is no longer served."""
        await asyncio.wait_for(next(task for known, task in self.sockets if known is socket), 5)


@contextlib.asynccontextmanager
async def running(*, features: Sequence[str] = (KEY.feature,), **options: Any) -> AsyncIterator[Rig]:
    """Run a rig whose features have figures in production."""
    rig = Rig(**options)
    for feature in features:
        rig.metrics.set(KEY._replace(feature=feature), total_requests=100, error_rate=0.0, uptime=100.0)
    await rig.hub.start()
    await rig.poll.tick()
    try:
        yield rig
    finally:
        for socket, task in rig.sockets:
            socket.unstick()
            socket.leave()
            await asyncio.wait_for(task, 5)
        await rig.hub.stop()
