"""A stream by server-sent events: plain HTTP, which passes where WebSocket does not. What changes opens another."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from ..errors import FeaturewatchError, TooMany, Unauthenticated
from .calls import Calls
from .messages import Message, Refused
from .reading import parse
from .refusals import FINAL, Lost, one_line
from .wish import Wish

__all__ = ["EventConnection", "Events", "Reopen", "open_events"]

SILENCE_S: Final = 45.0
"""A bridge sends a comment every 15 s: a connection that is silent for so long is dead."""
MAX_EVENT_BYTES: Final = 16 * 1024**2


class Reopen(Exception):
    """The wish changed, or a WebSocket passes again: this connection is to be left for another."""


class Events:
    """Reads server-sent events from parts of any size. https://html.spec.whatwg.org/#parsing-an-event-stream

    Lines end with CR, LF or CRLF; comments and fields other than `data` are passed over, since the position stands
    in the JSON too.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, part: bytes) -> list[bytes]:
        """Return the data of the events that are whole now.

        Raises:
            Lost: an event is larger than any that a bridge sends.
        """
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise Lost("something else than a bridge speaks: an event has no end")
        text = self._rest + part
        if not self._begun and text:
            if len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return []
            self._begun = True
            text = text.removeprefix(b"\xef\xbb\xbf")
        # A CR at the end may be the first half of a CRLF.
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        found = []
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return found


class EventConnection:
    """An open event stream that the bridge has begun."""

    transport: Final = "sse"

    def __init__(self, parts: AsyncIterator[bytes], calls: Calls) -> None:
        self._parts = parts
        self._calls = calls
        self._events = Events()
        self._ready: deque[Message] = deque()
        self._left = asyncio.Event()

    async def begin(self) -> None:
        """Wait for the first messages, which `receive` then returns."""
        while not self._ready:
            self._take(await anext(self._parts, b""))

    async def receive(self) -> Sequence[Message]:
        """Return the next messages.

        Raises:
            Reopen: this connection is to be left; what it brought was returned before.
            Lost: it ended.
        """
        leaving = asyncio.ensure_future(self._left.wait())
        try:
            while not self._ready:
                reading = asyncio.ensure_future(anext(self._parts, b""))
                try:
                    await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not reading.done():
                        reading.cancel()
                        await asyncio.wait((reading,))
                if reading.cancelled():
                    raise Reopen
                self._take(reading.result())
        except FeaturewatchError as error:
            raise _meant(error) from None
        finally:
            leaving.cancel()
        found, self._ready = list(self._ready), deque()
        return found

    async def tell(self, commands: Sequence[Mapping[str, Any] | str]) -> None:
        """Leave this connection: events have no way back, so another asks for what changed."""
        self.leave()

    def leave(self) -> None:
        """Make `receive` raise Reopen."""
        self._left.set()

    def _take(self, part: bytes) -> None:
        if not part:
            raise Lost("the bridge ended the stream")
        for data in filter(None, self._events.feed(part)):
            try:
                told = json.loads(data)
            except ValueError:
                raise Lost("something else than a bridge speaks: an event is no JSON") from None
            if not isinstance(told, dict):
                continue
            message = parse(told)
            if isinstance(message, Refused) and message.code == Unauthenticated.code:
                # The bridge ends the stream now; the next one asks with another token, where there is a source.
                if not self._calls.credential.renewable:
                    raise Unauthenticated(message.text)
                continue
            self._ready.append(message)


@asynccontextmanager
async def open_events(calls: Calls, wish: Wish, *, open_timeout: float) -> AsyncGenerator[EventConnection]:
    """Open an event stream and wait for its first event.

    Raises:
        Lost: the bridge cannot be reached, or said that it cannot now, or something holds the events back.
        Unauthenticated, Forbidden, NotFound, BadInput: the bridge refused.
    """
    try:
        await calls.credential.token()  # may take longer than the opening
        async with AsyncExitStack() as opened:
            try:
                async with asyncio.timeout(open_timeout):
                    answer = await opened.enter_async_context(
                        calls.events("/stream", wish.event_query(), silence=SILENCE_S)
                    )
                    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
                    if kind != "text/event-stream":
                        raise Lost(f"something else than a bridge answers: {answer.status_code} {kind}")
                    connection = EventConnection(answer.aiter_bytes(), calls)
                    await connection.begin()
            except TimeoutError:
                raise Lost(f"no event came within {open_timeout:g} s") from None
            yield connection
    except FeaturewatchError as error:
        raise _meant(error) from None


def _meant(error: FeaturewatchError) -> Exception:
    """Tell what trying again may cure from what it does not."""
    if isinstance(error, FINAL):
        return error
    return Lost(one_line(error), retry_after=error.retry_after if isinstance(error, TooMany) else 0.0)
