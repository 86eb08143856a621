"""The WebSocket: one task reads, one writes; between them the feed's outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from ..access import Principal
from ..errors import BadInput, FeaturewatchError, Forbidden, TooMany, Unauthenticated, Unavailable
from ..snapshots import Snapshots
from ..times import NS
from . import messages
from .backlog import refusal
from .commands import Auth, Ping, Subscribe, SubscribeLogs, Unsubscribe, UnsubscribeLogs, feature_id, parse
from .feed import MAX_FEATURES, Feed
from .hub import RESTART, SLOW, Hub, Subscriber
from .messages import Message, Parcel
from .outbox import Outbox
from .positions import Position
from .pumps import pump_batches, pump_messages

__all__ = ["MAX_MESSAGE_BYTES", "serve_websocket"]

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Largest message of a client. Give it to the server too, so that a larger one is not even read."""
AUTH_S: Final = 10
"""How long a socket may stay without credentials."""
RENEW_S: Final = 30
"""How long a socket may stay after its credential ended."""
ATTEMPTS: Final = 5
"""Wrong credentials on one socket, after which it is closed."""
FREE_SUBSCRIPTIONS: Final = 4
"""Subscriptions that come with a socket; further ones count as requests of its caller."""
CROWDED_S: Final = 0.02
"""How often a client that asks without reading is looked at."""
CLOSE_S: Final = 5.0
"""How long the closing of a socket may take."""

NORMAL: Final = 1000
POLICY: Final = 1008
TOO_BIG: Final = 1009

Authenticate = Callable[[str], Awaitable[Principal]]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Access:
    """What is known of who is on the other side, and until when that holds."""

    deadline_ns: int | None = None
    attempts: int = 0
    asked: int = 0


async def serve_websocket(
    websocket: WebSocket,
    hub: Hub,
    snapshots: Snapshots,
    *,
    features: Sequence[str],
    environment: str | None = None,
    batch: bool = False,
    unknown_as_zero: bool = False,
    principal: Principal | None,
    authenticate: Authenticate,
    holds: Callable[[Principal], bool] = lambda _: True,
    spend: Callable[[Principal | None], None] = lambda _: None,
    after: str = "",
) -> None:
    """Serve one WebSocket to its end. Origin and Host were checked, what the URL says was read.

    Args:
        features: ids, or `*`; none: the socket is closed with 1008.
        environment: of every feature; None: each feature's own choice.
        batch: send frames that are arrays of messages, at most every 100 ms.
        principal: who asks; None: an `auth` message has to say it within 10 s.
        authenticate: finds the caller by a token, or raises Unauthenticated.
        holds: whether a caller's credential still holds; asked every second, so cheap.
        spend: counts what a caller asks of the stores, or raises TooMany.
        after: the position to resume from.
    """
    await websocket.accept()
    if not features or len(features) > MAX_FEATURES:
        reason = f"featureId: expected one or more (at most {MAX_FEATURES}), or * for all"
        await websocket.close(POLICY, reason)
        return
    try:
        chosen = [feature_id(feature, every=True) for feature in features]
    except BadInput as error:
        await websocket.close(POLICY, _reason(error.message))
        return
    session = _Session(
        websocket,
        hub,
        snapshots,
        features=chosen,
        environment=environment,
        batch=batch,
        unknown_as_zero=unknown_as_zero,
        authenticate=authenticate,
        holds=holds,
        spend=spend,
        after=after,
    )
    await session.run(principal)


class _Session:
    """One socket. The task that runs it reads; a second one writes and closes."""

    __slots__ = (
        "_access", "_after", "_authenticate", "_batch", "_end", "_environment", "_features", "_feed", "_holds", "_hub",
        "_principal", "_reader", "_snapshots", "_spend", "_subscriber", "_websocket", "_writer", "_written_off",
    )  # fmt: skip

    def __init__(
        self,
        websocket: WebSocket,
        hub: Hub,
        snapshots: Snapshots,
        *,
        features: Sequence[str],
        environment: str | None,
        batch: bool,
        unknown_as_zero: bool,
        authenticate: Authenticate,
        holds: Callable[[Principal], bool],
        spend: Callable[[Principal | None], None],
        after: str,
    ) -> None:
        self._websocket = websocket
        self._hub = hub
        self._snapshots = snapshots
        self._features = features
        self._environment = environment
        self._batch = batch
        self._authenticate = authenticate
        self._holds = holds
        self._spend = spend
        self._after = after
        self._access = _Access()
        self._subscriber = Subscriber(Outbox(hub.queue_bytes, hub.stats), unknown_as_zero=unknown_as_zero)
        self._principal: Principal | None = None
        self._feed: Feed | None = None
        self._end: tuple[int, str] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._written_off = False

    @property
    def subscriber(self) -> Subscriber:
        return self._subscriber

    async def run(self, principal: Principal | None) -> None:
        """Serve until either side ends."""
        try:
            self._hub.open(self, "websocket")
        except TooMany as error:
            await self._websocket.close(SLOW, _reason(error.message))
            return
        self._reader = asyncio.current_task()
        self._writer = asyncio.create_task(self._write())
        self._writer.add_done_callback(self._written)
        try:
            if self._hub.stopping:
                self.end(RESTART, "restarting")
            elif principal is None:
                self._access.deadline_ns = self._hub.clock() + AUTH_S * NS
            else:
                try:
                    await self._admit(principal)
                except FeaturewatchError as error:
                    self._send(refusal(error, None, self._hub.clock()))
            await self._read()
        except asyncio.CancelledError:
            # The writer ended, so there is nobody left to read from; any other cancellation is the server's.
            if not self._written_off:
                raise
            if self._reader is not None:
                self._reader.uncancel()
        finally:
            if self._feed is not None:
                self._feed.close()
            self._hub.leave(self, "websocket")
            self._reader = None
            self._writer.cancel()

    def check(self, now_ns: int) -> None:
        """End what has no credentials in time; ask for new ones where they ended."""
        access, principal = self._access, self._principal
        if access.deadline_ns is not None:
            # A clock that was put back must not put the end off.
            access.deadline_ns = min(access.deadline_ns, now_ns + (AUTH_S if principal is None else RENEW_S) * NS)
        if principal is not None and access.deadline_ns is None:
            if (principal.expires_ns is not None and principal.expires_ns <= now_ns) or not self._holds(principal):
                access.deadline_ns = now_ns + RENEW_S * NS
                error = Unauthenticated(f"the credential ended: send a new 'auth' within {RENEW_S} s")
                self._send(refusal(error, None, now_ns))
        elif access.deadline_ns is not None and now_ns >= access.deadline_ns:
            said = "no 'auth' came in time" if principal is None else "the credential ended and was not renewed"
            self.end(POLICY, said)

    def end(self, code: int, reason: str) -> None:
        """Close the socket: after what waits where the client is told why, else at once; asked again, at once."""
        outbox, again = self._subscriber.outbox, self._end is not None
        if not again:
            self._end = (code, reason)
            self._hub.stats.closed[str(code)] += 1
        if outbox.sending_since is not None and self._writer is not None and (again or code != POLICY):
            self._writer.cancel()
        outbox.close()

    def _going(self) -> bool:
        return self._end is None or self._end[0] == POLICY

    # Reading

    async def _read(self) -> None:
        while True:
            try:
                received = await self._websocket.receive()
            except (WebSocketDisconnected, RuntimeError):
                return
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            size = len(text if text is not None else received.get("bytes") or b"")
            if size > MAX_MESSAGE_BYTES:
                self.end(TOO_BIG, f"a message has at most {MAX_MESSAGE_BYTES} bytes")
                continue
            try:
                if text is None:
                    raise BadInput("expected a text frame with a JSON object, got a binary frame")
                await self._obey(text)
            except FeaturewatchError as error:
                self._send(refusal(error, None, self._hub.clock()))
            # Rare, so looked at by the clock: an event would cost every socket memory.
            while self._subscriber.outbox.crowded and self._end is None:  # noqa: ASYNC110 (see above)
                await asyncio.sleep(CROWDED_S)

    async def _obey(self, text: str) -> None:
        command = parse(text)
        match command:
            case Ping():
                self._send(messages.message("pong", None, {}, self._hub.clock()))
                return
            case Auth(token):
                await self._identify(token)
                return
        if self._feed is None:
            raise Unauthenticated('send {"type": "auth", "token": "…"} first')
        if isinstance(command, (SubscribeLogs, Subscribe)):
            self._access.asked += 1
            if self._access.asked > FREE_SUBSCRIPTIONS:
                self._spend(self._principal)
        match command:
            case SubscribeLogs(feature, filter, environment, after, history):
                await self._feed.follow(feature, filter, environment, after, history)
            case UnsubscribeLogs(feature):
                self._feed.unfollow(feature)
            case Subscribe(feature):
                await self._feed.subscribe(feature)
            case Unsubscribe(feature):
                self._feed.unsubscribe(feature)

    async def _identify(self, token: str) -> None:
        try:
            principal = await self._authenticate(token)
        except Unavailable:
            raise  # nobody can say whether it is wrong
        except FeaturewatchError:
            self._access.attempts += 1
            if self._access.attempts >= ATTEMPTS:
                self.end(POLICY, f"{ATTEMPTS} wrong credentials")
            raise
        await self._admit(principal)

    async def _admit(self, principal: Principal) -> None:
        if not principal.may("read"):
            error = Forbidden(f"role {principal.role} of {principal.name!r} may not read streams")
            self.end(POLICY, _reason(error.message))
            raise error
        self._principal = principal
        self._access.deadline_ns = None
        if self._feed is not None:
            await self._feed.become(principal)
            return
        self._feed = Feed(
            self._hub,
            self._snapshots,
            principal,
            self._subscriber,
            environment=self._environment,
            after=self._after,
            render=messages.histories,
        )
        await self._feed.open(self._features, self._greeting)

    def _greeting(self, recovered: bool, position: Position | None) -> Message:
        assert self._feed is not None
        keys = self._feed.keys()
        data = {
            "connected": True,
            "recovered": recovered,
            "featureIds": [key.feature for key in keys],
            "environments": {key.feature: key.environment for key in keys},
        }
        only = self._features[0] if len(self._features) == 1 and self._features[0] != "*" else None
        return messages.message("connection_confirmed", only, data, self._hub.clock(), position)

    def _send(self, message: Message) -> None:
        self._subscriber.outbox.put(Parcel((message,)))

    # Writing

    async def _write(self) -> None:
        try:
            pump = pump_batches if self._batch else pump_messages
            await pump(self._websocket, self._subscriber.outbox, self._hub.stats, self._hub.turns, self._going)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return
        except asyncio.CancelledError:
            if self._end is None:
                raise
        if self._end is not None:
            code, reason = self._end
            self._subscriber.outbox.sending_since = None
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._websocket.close(code, _reason(reason))
            except (TimeoutError, RuntimeError, WebSocketDisconnect):
                _log.debug("a close with %d did not reach the client", code)

    def _written(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("writing to a stream failed", exc_info=task.exception())
        if self._reader is not None:
            self._written_off = True
            self._reader.cancel()


def _reason(text: str) -> str:
    """Cut a close reason to the 123 bytes that a close frame holds."""
    return text.encode()[:123].decode(errors="ignore")
