"""What may stand between a client and a bridge: a proxy that lets HTTP pass and does to WebSockets as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

PASS: Final = "pass"
HANG: Final = "hang"
"""The upgrade is taken and never answered."""
CUT: Final = "cut"
"""The connection is cut as soon as the upgrade is seen."""
CUT_OPEN: Final = "cut open"
"""The upgrade is answered by the bridge, and the connection cut with it."""
SILENT: Final = "silent"
"""The upgrade is answered, and no frame passes."""
STRIP: Final = "strip"
"""The headers that upgrade are taken away, as proxies do that speak HTTP alone: the bridge answers 426."""


class Proxy:
    """Listens on a port of its own and passes on to `target`.

    Attributes:
        websockets: PASS, HANG, CUT, CUT_OPEN, SILENT, STRIP; or the answer to an upgrade, such as "403 Forbidden".
        cut_after: frames of a WebSocket that passes are cut after so many bytes; None: never.
        events: whether event streams pass; False: they are held back, as by a proxy that buffers.
        upgrades, streams: how many of each were asked for.
        own: whole answers by path, given without the target.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.websockets = PASS
        self.cut_after: int | None = None
        self.events = True
        self.upgrades = self.streams = 0
        self.url = ""
        self.own: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def cut_all_from_afar(self) -> None:
        """Cut every connection, called from another thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.cut_all)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if (answer := self.own.get(head.split(b" ", 2)[1].decode())) is not None:
            writer.write(answer)
            await writer.drain()
            return
        upgrade = b"upgrade: websocket" in head.lower()
        stream = not upgrade and b"/stream?" in head.partition(b"\r\n")[0]
        self.upgrades += upgrade
        self.streams += stream
        if upgrade and self.websockets == CUT:
            return
        if (upgrade and self.websockets == HANG) or (stream and not self.events):
            await asyncio.Event().wait()
        if upgrade and self.websockets[:3].isdigit():
            body = b"<html>not here</html>"
            writer.write(
                f"HTTP/1.1 {self.websockets}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            return
        if upgrade and self.websockets == STRIP:
            kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"upgrade:", b"connection:"))]
            head = b"\r\n".join(kept)
        # One request a connection: what follows on it would pass unseen.
        if not upgrade or self.websockets == STRIP:
            head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        host, _, port = self.target.removeprefix("http://").rpartition(":")
        try:
            inward, outward = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        self._open.add(outward)
        try:
            outward.write(head)
            forth = asyncio.create_task(_copy(reader, outward))
            back = asyncio.create_task(self._copy_back(inward, writer, upgrade))
            _, late = await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            # What the bridge still has to say is passed on; what the client says is not.
            if not back.done() and not upgrade:
                await back
            for task in late:
                task.cancel()
            await asyncio.wait((forth, back))
        finally:
            self._open.discard(outward)
            outward.transport.abort()

    async def _copy_back(self, inward: asyncio.StreamReader, writer: asyncio.StreamWriter, upgrade: bool) -> None:
        if not upgrade or (self.websockets == PASS and self.cut_after is None):
            await _copy(inward, writer)
            return
        writer.write(await inward.readuntil(b"\r\n\r\n"))
        await writer.drain()
        if self.websockets == CUT_OPEN:
            return
        if self.websockets == SILENT:
            await asyncio.Event().wait()
        left = self.cut_after if self.cut_after is not None else 2**40
        while left > 0 and (data := await inward.read(min(left, 65_536))):
            writer.write(data)
            await writer.drain()
            left -= len(data)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Run a proxy before a bridge."""
    standing = Proxy(target)
    standing._loop = asyncio.get_running_loop()
    server = await asyncio.start_server(standing.serve, "127.0.0.1", 0)
    standing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield standing
    finally:
        server.close()
        for task in tuple(standing._tasks):
            task.cancel()
        if standing._tasks:
            await asyncio.wait(standing._tasks)
