"""The one live tail of a bridge: it follows a selector, outlives Loki's hour, and is opened anew when it breaks.

A tail loses lines where they come faster than about 2,000 a second, and all that come while it is not open: what makes
the lines complete is `loki_reconcile`. This makes them quick.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..errors import FeaturewatchError, Unavailable, UpstreamError
from .loki_entries import CATEGORIZED, Frame, read_frame
from .upstream import Target, credentials_of, ssl_context

__all__ = ["LokiTail", "TailStats"]

ROTATE_S: Final = 50 * 60.0
"""Loki closes a tail after an hour by default."""
OVERLAP_S: Final = 1.0
"""How long an old tail stays beside its successor: Loki hands lines on every half second."""
PING_S: Final = 10.0
STEADY_S: Final = 5.0
"""A tail that lived so long worked; one that is over the limit is accepted first and closed then."""
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 10.0
MAX_FRAME: Final = 64 * 1024**2
"""A frame holds at most 100 lines, each of up to 256 KB by default."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TailStats:
    """Counts since the start, `open` excepted."""

    open: int = 0
    opened: int = 0
    failed: int = 0
    """Attempts to open one that failed, and tails that ended by themselves."""
    garbage: int = 0
    dropped: int = 0
    """Lines that Loki said it dropped; it does not say all."""


class _Tail:
    """One connection and the task that reads it."""

    def __init__(self, socket: ClientConnection, selector: str, until: float) -> None:
        self.socket = socket
        self.selector = selector
        self.until = until
        self.reading: asyncio.Task[None]
        self.steady = asyncio.get_running_loop().time() + STEADY_S

    async def close(self) -> None:
        self.reading.cancel()
        await asyncio.wait([self.reading])
        with suppress(OSError, ConnectionClosed, TimeoutError):
            async with asyncio.timeout(2):
                await self.socket.close()
        # Where Loki hangs, a close handshake would not end.
        self.socket.transport.abort()


class LokiTail:
    """Keeps one tail open for the selector that is wanted, two for a moment where it changes.

    Args:
        take: takes what a frame holds; until it returns, no further frame is read. Loki drops what waits too long.
        opened: called when a tail is open, with whether it takes over from one that still was.
        clock: nanoseconds since the epoch.
        environment: of lines whose labels name none.
    """

    def __init__(
        self,
        target: Target,
        environment: str,
        take: Callable[[Frame], Awaitable[None]],
        opened: Callable[[bool], None],
        *,
        clock: Callable[[], int],
        rotate_s: float = ROTATE_S,
    ) -> None:
        self.stats = TailStats()
        self.problem: str | None = None
        """Why no tail is open, where one should be."""
        self._target = target
        self._environment = environment
        self._take = take
        self._opened = opened
        self._clock = clock
        self._rotate_s = rotate_s
        self._ssl = ssl_context(target)
        self._wanted: str | None = None
        self._tail: _Tail | None = None
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._running = asyncio.create_task(self._run(), name="featurewatch-tail")

    @property
    def selector(self) -> str | None:
        """What the open tail follows; None while none is open."""
        tail = self._tail
        return None if tail is None or tail.reading.done() else tail.selector

    def follow(self, selector: str | None) -> None:
        """Have a tail follow another selector, or none be open."""
        if selector != self._wanted:
            self._wanted = selector
            self._changed.set()

    def doubt(self) -> None:
        """Open a tail anew: this one seems to be silent while there are lines."""
        if self._tail is not None:
            self._tail.until = 0.0
            self._changed.set()

    async def close(self) -> None:
        """Close the connection. Harmless when repeated."""
        self._running.cancel()
        await asyncio.wait([self._running])
        if self._closing is not None:
            await asyncio.wait([self._closing])
        if self._tail is not None:
            await self._tail.close()
            self._tail, self.stats.open = None, 0

    async def _run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            tail = self._tail
            if tail is not None and tail.reading.done():
                failures = 0 if loop.time() > tail.steady else failures + 1
                self._tail = None
                await self._retire(tail)
                if failures:
                    await asyncio.sleep(_wait(failures))
                continue
            if self._wanted is None:
                if tail is not None:
                    self._tail = None
                    await self._retire(tail)
                self.problem = None
                await self._changed.wait()
                continue
            if tail is None or tail.selector != self._wanted or loop.time() >= tail.until:
                try:
                    await self._replace(tail, self._wanted)
                    continue
                except FeaturewatchError as error:
                    failures += 1
                    self._failed(error.message)
                    await asyncio.sleep(_wait(failures))
                    continue
            await self._pause(tail, tail.until - loop.time())

    async def _replace(self, old: _Tail | None, selector: str) -> None:
        """Open a tail, and close the old one once what it still holds has come."""
        if self._closing is not None:
            await asyncio.wait([self._closing])
        self._tail = new = await self._open(selector)
        self.problem = None
        self.stats.opened += 1
        taken_over = old is not None and not old.reading.done()
        self.stats.open = 1
        if old is not None:
            self.stats.open = 2
            self._closing = asyncio.create_task(self._close_later(old))
        new.reading.add_done_callback(lambda _: self._changed.set())
        self._opened(taken_over)

    async def _open(self, selector: str) -> _Tail:
        """Connect.

        Raises:
            Unavailable: Loki cannot be reached, or does not take it now. UpstreamError: it refuses.
        """
        target = self._target
        # What came before is the reconciliation's: one line is the least that can be asked for.
        query = urlencode({"query": selector, "limit": 1, "start": self._clock()})
        address = f"{target.bare.replace('http', 'ws', 1)}/loki/api/v1/tail?{query}"
        try:
            socket = await connect(
                address,
                additional_headers={**credentials_of(target), **CATEGORIZED},
                ssl=self._ssl,
                compression=None,
                max_size=MAX_FRAME,
                max_queue=4,
                open_timeout=target.timeout_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=2,
                proxy=None,
                user_agent_header="featurewatch",
            )
        except InvalidStatus as error:
            raise _refused(target, error) from None
        except (InvalidHandshake, InvalidURI, ValueError) as error:
            raise UpstreamError(
                f"{target.shown} does not tail ({_line(error)}): is {target.setting}_URL right?"
            ) from None
        except TimeoutError:
            raise Unavailable(f"{target.shown} did not open a tail within {target.timeout_s:g} s") from None
        except OSError as error:
            raise Unavailable(f"{target.shown} cannot be reached ({_line(error)}): is it running?") from None
        loop = asyncio.get_running_loop()
        tail = _Tail(socket, selector, loop.time() + self._rotate_s * random.uniform(0.95, 1.05))
        tail.reading = asyncio.create_task(self._read(tail))
        return tail

    async def _read(self, tail: _Tail) -> None:
        try:
            async for message in tail.socket:
                frame = read_frame(message, self._environment)
                self.stats.dropped += len(frame.dropped)
                await self._take(frame)
            self._failed("the tail was closed")
        except ConnectionClosed as error:
            self._failed(_closed(error))
        except UpstreamError as error:
            self.stats.garbage += 1
            self._failed(error.message)
        except Exception:
            _log.exception("reading Loki's tail failed")
            self._failed("the tail could not be read")

    async def _pause(self, tail: _Tail, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._changed.wait()

    async def _retire(self, tail: _Tail) -> None:
        await tail.close()
        self.stats.open = 0 if self._tail is None else 1

    async def _close_later(self, tail: _Tail) -> None:
        try:
            await asyncio.wait([tail.reading], timeout=OVERLAP_S)
        finally:
            await self._retire(tail)

    def _failed(self, why: str) -> None:
        self.stats.failed += 1
        if self.problem is None:
            _log.warning("Loki's tail is not open, lines come later meanwhile: %s", why)
        self.problem = why


def _wait(failures: int) -> float:
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)


def _refused(target: Target, error: InvalidStatus) -> FeaturewatchError:
    status = error.response.status_code
    said = bytes(error.response.body or b"")[:300].decode("utf-8", "replace").strip()
    if status in (401, 403):
        setting = target.setting
        return UpstreamError(
            f"{target.shown} refused the credentials of the tail ({status}): see {setting}_TOKEN_FILE, "
            f"{setting}_USER and {setting}_PASSWORD_FILE, {setting}_TENANT"
        )
    kind = Unavailable if status >= 500 or status == 429 else UpstreamError
    return kind(f"{target.shown} answered a tail with {status}{f': {_line(said)}' if said else ''}")


def _closed(error: ConnectionClosed) -> str:
    received = error.rcvd
    if received is None:
        return "the connection broke off"
    hint = ""
    if "max concurrent tail" in received.reason:
        hint = " (raise max_concurrent_tail_requests_per_user, or close other tails)"
    return f"Loki closed the tail with {received.code}{f': {received.reason}' if received.reason else ''}{hint}"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
