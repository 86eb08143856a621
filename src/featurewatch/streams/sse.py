"""Server-sent events: the same messages as the WebSocket's, where that is blocked or one direction is enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .. import wire
from ..access import Principal
from ..errors import Unauthenticated
from ..model import StoredLog
from ..snapshots import Snapshots
from ..stores.base import LogFilter
from .backlog import Rendering, refusal
from .feed import Feed
from .hub import SLOW, STALLED_S, Hub, Subscriber
from .messages import Message, Parcel, histories, log_line
from .outbox import Outbox
from .positions import Position
from .routes import EVERY

__all__ = ["COMMENT_S", "SSE_HEADERS", "EventStream", "features_stream", "logs_stream", "metrics_stream"]

SSE_HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
"""No cache and no proxy may hold events back: one that compresses (Next.js's rewrites do) would wait for more."""

GRACE_S: Final = 5.0
"""So much later than the hub, which counts it, a response gives up a client that reads nothing."""
COMMENT_S: Final = 15.0
"""An idle stream says that it lives so often: proxies close silent ones."""


class _Reader:
    """One stream: a feed without a way back."""

    def __init__(
        self,
        hub: Hub,
        snapshots: Snapshots,
        principal: Principal,
        environment: str | None,
        unknown_as_zero: bool,
        after: str,
        holds: Callable[[Principal], bool],
        render: Rendering,
    ) -> None:
        self._hub = hub
        self._principal = principal
        self._holds = holds
        self._subscriber = Subscriber(Outbox(hub.queue_bytes, hub.stats), unknown_as_zero=unknown_as_zero)
        self.feed = Feed(
            hub, snapshots, principal, self._subscriber, environment=environment, after=after, render=render
        )

    @property
    def subscriber(self) -> Subscriber:
        return self._subscriber

    def check(self, now_ns: int) -> None:
        """End the stream with its credential, and say so: an event stream cannot be given a new one."""
        expires_ns = self._principal.expires_ns
        over = (expires_ns is not None and expires_ns <= now_ns) or not self._holds(self._principal)
        if over and not self._subscriber.outbox.closed:
            error = Unauthenticated("the credential ended: open the stream anew with another")
            self._subscriber.outbox.put(Parcel((refusal(error, None, now_ns),)))
            self.end(1008, "the credential ended")

    def end(self, code: int, reason: str) -> None:
        if not self._subscriber.outbox.closed:
            self._hub.stats.closed[str(code)] += 1
            self._subscriber.outbox.close(discard=code == SLOW)

    async def __aenter__(self) -> Self:
        self._hub.open(self, "sse")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.feed.close()
        self._hub.leave(self, "sse")

    async def events(self) -> AsyncIterator[bytes]:
        """Yield events as they come, comments where none do."""
        outbox, stats, turns = self._subscriber.outbox, self._hub.stats, self._hub.turns
        time = asyncio.get_running_loop().time
        while True:
            if not turns.free:
                await turns.wait()
            parcel = outbox.take()
            if parcel is not None:
                turns.spend(parcel.size)
                outbox.sending_since = time()
                yield parcel.events
                outbox.sending_since = None
                stats.messages += len(parcel.messages)
                continue
            if outbox.closed:
                return
            try:
                async with asyncio.timeout(COMMENT_S):
                    await outbox.wait()
            except TimeoutError:
                yield b": still here\n\n"


async def metrics_stream(
    hub: Hub,
    snapshots: Snapshots,
    *,
    feature: str,
    environment: str,
    principal: Principal,
    unknown_as_zero: bool = False,
    after: str = "",
    holds: Callable[[Principal], bool] = lambda _: True,
) -> AsyncIterator[bytes]:
    """Yield `connected`, the latest snapshot, then snapshots, status changes, test results and alerts of a feature.

    Args:
        environment: as `Snapshots.environment_of` found it.
        after: what the client sent as Last-Event-ID.
        holds: whether the caller's credential still holds; asked every second.

    Raises:
        TooMany: as many streams are open as may be; at the first step.
    """
    async with _Reader(hub, snapshots, principal, environment, unknown_as_zero, after, holds, _log_entries) as reader:
        await reader.feed.open([feature], lambda recovered, at: _connected(feature, environment, recovered, at))
        async for event in reader.events():
            yield event


async def logs_stream(
    hub: Hub,
    snapshots: Snapshots,
    *,
    feature: str,
    environment: str,
    filter: LogFilter,
    principal: Principal,
    after: str = "",
    holds: Callable[[Principal], bool] = lambda _: True,
) -> AsyncIterator[bytes]:
    """Yield `connected`, then as `log_entry` the last 50 lines that match, or those since `after`, then new ones.

    Raises:
        TooMany: as many streams are open as may be; at the first step.
    """
    async with _Reader(hub, snapshots, principal, environment, False, after, holds, _log_entries) as reader:
        await reader.feed.open_logs(
            feature, filter, lambda recovered, at: _connected(feature, environment, recovered, at)
        )
        async for event in reader.events():
            yield event


async def features_stream(
    hub: Hub,
    snapshots: Snapshots,
    *,
    features: Sequence[str],
    environment: str | None,
    filter: LogFilter | None,
    history: bool | None = None,
    principal: Principal,
    unknown_as_zero: bool = False,
    after: str = "",
    holds: Callable[[Principal], bool] = lambda _: True,
) -> AsyncIterator[bytes]:
    """Yield `connected`, then the messages that a WebSocket of the same features gets, under the same positions.

    Args:
        features: ids, or `*`.
        filter: which lines; None: none.
        history: as in `Feed.follow`.

    Raises:
        TooMany: as many streams are open as may be; at the first step.
    """
    async with _Reader(hub, snapshots, principal, environment, unknown_as_zero, after, holds, histories) as reader:
        feed = reader.feed

        def greet(recovered: bool, position: Position | None) -> Message:
            keys = feed.keys()
            only = features[0] if len(features) == 1 and features[0] != EVERY else None
            more = {
                "featureIds": [key.feature for key in keys],
                "environments": {key.feature: key.environment for key in keys},
            }
            return _connected(only, keys[0].environment if only and keys else environment, recovered, position, more)

        await feed.open(features, greet)
        if filter is not None:
            await feed.follow(None, filter, history=history)
        async for event in reader.events():
            yield event


class EventStream(Response):
    """The response that carries events: it ends when the client leaves, or takes nothing for 30 s."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], *, stalled_s: float = STALLED_S + GRACE_S) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(SSE_HEADERS)
        self._events = events
        self._stalled_s = stalled_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    async def _pump(self, send: Send) -> None:
        stalled = False
        try:
            async for event in self._events:
                async with asyncio.timeout(self._stalled_s):
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        except TimeoutError:
            stalled = True
        except OSError:
            return
        finally:
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
        if stalled:
            # The server cuts a client that reads nothing, soon. Ended before, the response would be called a mistake.
            await asyncio.sleep(self._stalled_s)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _connected(
    feature: str | None,
    environment: str | None,
    recovered: bool,
    position: Position | None,
    more: Mapping[str, Any] | None = None,
) -> Message:
    """Encode the first event. It stands beside the envelope: clients look for `featureId` in it, not for `data`."""
    named = {"featureId": feature, "environment": environment}
    event: dict[str, Any] = {"type": "connected", **{name: value for name, value in named.items() if value is not None}}
    event |= {"recovered": recovered, **(more or {})}
    if position is not None:
        event["id"] = position.encode()
    return Message(wire.dump(event), feature, 0, position)


def _log_entries(feature: str | None, lines: Sequence[StoredLog], at: Position, resumed: bool) -> Sequence[Message]:
    return [
        log_line(line.entry, at._replace(log=line.position) if resumed else at if line is lines[-1] else None)
        for line in lines
    ]
