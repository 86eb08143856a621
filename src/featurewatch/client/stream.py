"""A stream that outlives connections: reconnects, falls back to events and returns, and goes on where it was."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from ..errors import BadInput, FeaturewatchError, Forbidden, NotFound, Unauthenticated
from .calls import Calls
from .choice import STABLE_S, Backoff, Choice, Transport, Wanted
from .messages import Connected, Message, Refused
from .reading import disconnected, transport_changed
from .refusals import FINAL, Blocked, Lost, one_line
from .transport_sse import EventConnection, Reopen, open_events
from .transport_ws import WebSocketConnection, open_websocket
from .wish import EVERY, Wish, chosen, filters

__all__ = ["Stream"]

AHEAD: Final = 16
"""Frames that are read ahead of the consumer. Above, nothing is read, and the bridge's rule for slow readers holds."""
REFUSALS: Final = 2
"""A bridge that refuses so many fresh tokens in a row means it."""


class Stream:
    """Messages as they come, for ever. Iterate it, in one task; close it, or use it as a context manager.

    Its methods may be called from other tasks of the same event loop while it is iterated.
    """

    def __init__(
        self,
        calls: Calls,
        wish: Wish,
        *,
        transport: Wanted,
        open_timeout: float,
        pause: Callable[[float], Awaitable[Any]],
        on_close: Callable[[Stream], None],
    ) -> None:
        self._calls = calls
        self._wish = wish
        self._choice = Choice(transport)
        self._backoff = Backoff()
        self._open_timeout = open_timeout
        self._pause = pause
        self._on_close = on_close
        self._connection: WebSocketConnection | EventConnection | None = None
        self._shown: Transport | None = None
        self._why = ""
        self._refusals = 0
        self._connections = 0
        self._position = wish.after
        self._ready: deque[Message] = deque()
        self._ahead: asyncio.Queue[Sequence[Message] | BaseException] = asyncio.Queue(AHEAD)
        self._pump: asyncio.Task[None] | None = None
        self._over = False

    @property
    def position(self) -> str | None:
        """The position of the last message that was handed out: `after=` of a later stream goes on from it."""
        return self._position

    @property
    def transport(self) -> Transport | None:
        """What carries the stream now: `websocket`, `sse`, or None where nothing does."""
        return None if self._connection is None else self._connection.transport

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next message. Cancelling it (a time-out, say) loses none.

        Raises:
            Unauthenticated, Forbidden, NotFound, BadInput: the bridge refused, and trying again would not help.
        """
        while not self._ready:
            self._ready.extend(await self.batch())
        message = self._ready.popleft()
        self._position = message.id or self._position
        return message

    async def batch(self) -> Sequence[Message]:
        """Return the next messages, as many as came together; raises as iterating does."""
        if self._over:
            raise StopAsyncIteration
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="featurewatch-client-stream")
        found = await self._ahead.get()
        if isinstance(found, BaseException):
            await self.aclose()
            raise found
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it; a task that waits for a message stops. Harmless when repeated."""
        if not self._over and self._ahead.empty():
            self._ahead.put_nowait(StopAsyncIteration())
        self._over = True
        self._on_close(self)
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            await asyncio.wait((self._pump,))

    async def follow(self, *, history: bool = False, **asked: Any) -> None:
        """Bring lines from now on, or other ones: `levels`, `source` and `search` choose; without any, all.

        By WebSocket the connection stays; each line is judged by the filters in force when it arrives.

        Args:
            history: begin with the last 50 of them, which may have come before.

        Raises:
            BadInput: there is no such filter or level.
        """
        self._wish.restart_lines(filters(asked), history=history)
        await self._tell(self._wish.subscription(history=history))

    async def unfollow(self) -> None:
        """Bring no more lines."""
        self._wish.restart_lines(None, history=False)
        await self._tell({"type": "unsubscribe_logs"})

    async def subscribe(self, feature: str) -> None:
        """Bring another feature too (`*`: all), with its lines where lines are followed.

        Raises:
            BadInput: it cannot be a feature's id. One that the bridge does not know is told by `Refused`.
        """
        (name,) = chosen(feature)
        if name in self._wish.features:
            return
        self._wish.choose([EVERY] if name == EVERY else [*self._wish.features, name])
        await self._tell({"type": "subscribe", "featureId": name}, self._wish.subscription(name))

    async def unsubscribe(self, feature: str) -> None:
        """Bring a feature no more, where the features were named.

        Raises:
            NotFound: it is not among them. BadInput: it is the only one.
        """
        if feature not in self._wish.features:
            raise NotFound(f"{feature!r} is not subscribed; there are: {', '.join(self._wish.features)}")
        if len(self._wish.features) == 1:
            raise BadInput(f"{feature!r} is all that is subscribed: close the stream instead")
        self._wish.choose([name for name in self._wish.features if name != feature])
        await self._tell({"type": "unsubscribe", "featureId": feature})

    async def _tell(self, *commands: Mapping[str, Any] | str | None) -> None:
        if self._connection is not None:
            await self._connection.tell([command for command in commands if command is not None])

    # What runs beside the consumer

    async def _run(self) -> None:
        try:
            while True:
                await self._connect()
        except Exception as error:
            await self._ahead.put(error)

    async def _connect(self) -> None:
        """Open a connection, pass on what it brings, and pause as what ended it asks."""
        now = asyncio.get_running_loop().time
        transport = self._choice.next(now())
        opened: float | None = None
        failure: Lost
        try:
            open_ = open_websocket if transport == "websocket" else open_events
            asked = self._wish.revision
            async with open_(self._calls, self._wish, open_timeout=self._open_timeout) as connection:
                opened = now()
                if self._wish.revision != asked:
                    raise Reopen
                if isinstance(connection, WebSocketConnection) and (lines := self._wish.subscription()):
                    await connection.tell([lines])
                await self._listen(connection)
        except Reopen:
            return
        except Unauthenticated as error:
            failure = await self._other_token(error)
        except FeaturewatchError as error:
            if isinstance(error, FINAL):
                raise
            failure = Lost(one_line(error))
        except Lost as lost:
            failure = lost
        held_s = 0.0 if opened is None else now() - opened
        self._backoff.held(held_s)
        at_once = self._judge(transport, failure, opened is not None, held_s, now())
        if not at_once:
            wait = self._backoff.pause(failure.retry_after)
            await self._say(disconnected(self._wish.only, failure.reason, wait))
            await self._pause(wait)
        elif opened is not None:
            await self._say(disconnected(self._wish.only, failure.reason, 0.0))

    def _judge(self, transport: Transport, failure: Lost, opened: bool, held_s: float, now: float) -> bool:
        """Note what the end of a connection means for the next; whether that is tried at once."""
        self._why = failure.reason
        if transport == "sse":
            if not opened:
                self._choice.silent()
            return False
        if opened:
            blocked = isinstance(failure, Blocked)
            dead = isinstance(failure, Blocked) and failure.dead
            return self._choice.ended(now, held_s, cut=blocked, dead=dead) and self._choice.falls_back
        if isinstance(failure, Blocked):
            self._choice.blocked(now)
            return self._choice.falls_back
        return False

    async def _other_token(self, error: Unauthenticated) -> Lost:
        """Get another token where one can be got; what then ended the connection."""
        credential = self._calls.credential
        if not credential.renewable or self._refusals >= REFUSALS:
            raise error
        self._refusals += 1
        try:
            await credential.renew(await credential.token())
        except Lost as lost:
            return lost
        return Lost(error.message)

    async def _listen(self, connection: WebSocketConnection | EventConnection) -> None:
        self._connection = connection
        beside: asyncio.Task[None] | None = None
        if isinstance(connection, EventConnection):
            beside = asyncio.create_task(self._try_websocket(connection))
        try:
            while True:
                await self._pass_on(connection, await connection.receive())
        finally:
            self._connection = None
            if beside is not None:
                beside.cancel()
                await asyncio.wait((beside,))

    async def _pass_on(self, connection: WebSocketConnection | EventConnection, told: Sequence[Message]) -> None:
        passed: list[Message] = []
        try:
            for message in told:
                self._wish.heard(message)
                if isinstance(message, Connected):
                    self._refusals = 0
                    self._connections += 1
                    self._tell_transport(connection.transport, passed)
                elif isinstance(message, Refused):
                    self._raise_if_final(message)
                passed.append(message)
        finally:
            if passed:
                await self._ahead.put(passed)

    def _tell_transport(self, transport: Transport, passed: list[Message]) -> None:
        before, self._shown = self._shown, transport
        if self._choice.falls_back and transport != (before or "websocket"):
            passed.append(transport_changed(self._wish.only, transport, self._why))

    def _raise_if_final(self, refused: Refused) -> None:
        if refused.code == Forbidden.code:
            raise Forbidden(refused.text)
        # A feature that is not there yet, of several or of a stream that ran before, may still come.
        only = self._wish.only is not None and refused.feature == self._wish.only
        if refused.code == NotFound.code and only and self._connections == 1:
            raise NotFound(refused.text)

    async def _try_websocket(self, events: EventConnection) -> None:
        """Try the WebSocket now and then while events carry the stream; leave these once it passes."""
        now = asyncio.get_running_loop().time
        while (wait := self._choice.due_in(now())) is not None:
            await asyncio.sleep(wait)
            try:
                async with asyncio.timeout(self._open_timeout + STABLE_S):
                    async with open_websocket(self._calls, self._wish, open_timeout=self._open_timeout):
                        pass
            except (Lost, FeaturewatchError, TimeoutError):
                self._choice.blocked(now())
                continue
            self._choice.passed()
            self._why = "WebSocket passes again"
            events.leave()
            return

    async def _say(self, message: Message) -> None:
        with suppress(asyncio.QueueFull):
            # Nobody listens to 16 frames: what became of the connection meanwhile is no news to them.
            self._ahead.put_nowait([message])
