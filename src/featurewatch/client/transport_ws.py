"""A stream by WebSocket: frames of many messages, and a way back for what changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..errors import BadInput, Unauthenticated, UpgradeRequired
from .calls import Calls
from .messages import Message, Refused
from .reading import parse
from .refusals import FINAL, Blocked, Lost, one_line, refusal, said_by_a_bridge
from .wish import Wish

__all__ = ["WebSocketConnection", "open_websocket"]

MAX_FRAME_BYTES: Final = 16 * 1024**2
"""Largest frame taken. A batch is some 64 KB, one line of a log may be larger."""
UNREACHABLE: Final = (ConnectionRefusedError, ConnectionAbortedError)
SILENT_S: Final = 1.0
"""A WebSocket without a token that is silent for so long may be one that wants a token."""
RENEWALS: Final = 3
RENEWALS_S: Final = 60.0
"""A token that ends more often within so many seconds is not worth another."""


class WebSocketConnection:
    """An open WebSocket that the bridge has confirmed."""

    transport: Final = "websocket"

    def __init__(self, socket: ClientConnection, calls: Calls, token: str | None, first: str | bytes) -> None:
        self._socket = socket
        self._calls = calls
        self._token = token
        self._first: str | bytes | None = first
        self._renewals: list[float] = []

    async def receive(self) -> Sequence[Message]:
        """Return the next messages. Cancelling it loses none.

        Raises:
            Lost: the connection ended; Blocked where nobody said why.
            Unauthenticated, Forbidden, BadInput: the bridge closed it, and why.
        """
        if self._first is not None:
            frame, self._first = self._first, None
        else:
            try:
                frame = await self._socket.recv()
            except ConnectionClosed as error:
                raise await _closed(error, self._calls, self._token) from None
        messages = decode(frame)
        if not any(isinstance(message, Refused) for message in messages):
            return messages
        return [message for message in messages if not await self._renewed(message)]

    async def tell(self, commands: Sequence[Mapping[str, Any] | str]) -> None:
        """Send what changes. Where that fails, the next connection asks for it."""
        try:
            for command in commands:
                await self._socket.send(command if isinstance(command, str) else json.dumps(command))
        except ConnectionClosed:
            pass

    async def _renewed(self, message: Message) -> bool:
        """Send another token where the bridge says that the one it has ended."""
        if not (isinstance(message, Refused) and message.code == Unauthenticated.code):
            return False
        if not self._calls.credential.renewable:
            raise Unauthenticated(message.text)
        now = asyncio.get_running_loop().time()
        self._renewals = [*(at for at in self._renewals if now - at < RENEWALS_S), now]
        if len(self._renewals) > RENEWALS:
            raise Unauthenticated(message.text)
        self._token = await self._calls.credential.renew(self._token)
        await self.tell([{"type": "auth", "token": self._token}])
        return True


@asynccontextmanager
async def open_websocket(calls: Calls, wish: Wish, *, open_timeout: float) -> AsyncGenerator[WebSocketConnection]:
    """Open a WebSocket and wait until the bridge has confirmed it. The lines are yet to be asked for.

    Raises:
        Blocked: something answers, but lets no WebSocket pass, or cuts it at once.
        Lost: the bridge cannot be reached, or said that it cannot now.
        Unauthenticated, Forbidden, NotFound, BadInput: the bridge refused.
    """
    token = await calls.credential.token()
    address = f"{calls.address.websocket}?{urlencode([*_pairs(wish.query()), ('batch', 'true')])}"
    try:
        socket = await connect(
            address,
            additional_headers=await calls.credential.headers(),
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=open_timeout,
            close_timeout=2,
            proxy=None if calls.address.local else True,
        )
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
        # A bridge that sees no upgrade was sent one: something on the way took it.
        if said_by_a_bridge(body) and status != UpgradeRequired.status:
            told = refusal(status, body)
            raise told if isinstance(told, FINAL) else Lost(told.message) from None
        raise Blocked(f"the WebSocket's upgrade was answered {status}") from None
    except UNREACHABLE:
        raise Lost(f"no bridge answers at {calls.address.base}") from None
    except TimeoutError:
        raise Blocked(f"the WebSocket's upgrade was not answered within {open_timeout:g} s") from None
    except (InvalidHandshake, InvalidURI, EOFError) as error:
        raise Blocked(f"no WebSocket came about: {one_line(error)}") from None
    except OSError as error:
        kind = Blocked if isinstance(error, (ConnectionResetError, BrokenPipeError)) else Lost
        raise kind(one_line(error)) from None
    try:
        try:
            async with asyncio.timeout(open_timeout):
                first = await _first(socket, calls, token)
        except TimeoutError:
            raise Blocked(f"the WebSocket opened, and nothing came within {open_timeout:g} s") from None
        except ConnectionClosed as error:
            told_why = await _closed(error, calls, token)
            raise Blocked("the WebSocket was cut at once") if isinstance(told_why, Blocked) else told_why from None
        yield WebSocketConnection(socket, calls, token, first)
    finally:
        await socket.close()


async def _first(socket: ClientConnection, calls: Calls, token: str | None) -> str | bytes:
    """Wait for the first frame; a bridge that waits for a token, which there is none of, is asked what it wants."""
    if token is None:
        try:
            async with asyncio.timeout(SILENT_S):
                return await socket.recv()
        except TimeoutError:
            await calls.ask("GET", "/me")
    return await socket.recv()


def decode(frame: str | bytes) -> list[Message]:
    """Read a frame: one message, or an array of them.

    Raises:
        Lost: it is neither.
    """
    try:
        told = json.loads(frame)
    except ValueError:
        raise Lost("something else than a bridge speaks: a frame is no JSON") from None
    return [parse(one) for one in (told if isinstance(told, list) else [told]) if isinstance(one, dict)]


async def _closed(error: ConnectionClosed, calls: Calls, token: str | None) -> Exception:
    """Say what the end of a WebSocket means."""
    told = error.rcvd
    if told is None or (error.sent is not None and not error.rcvd_then_sent):
        # What this side said first is that no pong came.
        return Blocked("the connection was lost", dead=error.sent is not None)
    if told.code == 1008:
        # Either the credential or the address is wrong, and only one of them is cured by another token.
        await calls.ask("GET", "/me")
        if calls.credential.renewable and await calls.credential.token() != token:
            return Lost("the token ended; another was got")
        return BadInput(told.reason or "the bridge closed the stream: what it was asked for cannot be")
    if told.code == 1012:
        return Lost(told.reason or "the bridge restarts")
    if told.code == 1013:
        return Lost(told.reason or "the bridge has no room", retry_after=1.0)
    if told.code in (1000, 1009):
        return Lost(told.reason or f"the bridge closed the stream ({told.code})")
    return Blocked(told.reason or f"the stream was closed ({told.code})")


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in query.items()]
