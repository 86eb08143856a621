"""Clients as nobody wishes them: they vanish, never read, send garbage or ten megabytes, and ask without an end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import random
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from featurewatch.model import Event
from featurewatch.streams.outbox import MAX_SLOTS
from streams.fakes import KEY, START_NS
from streams.served import Bridge, hear, lines, serving

pytestmark = pytest.mark.anyio


def frame(data: bytes, opcode: int = 1, *, fin: bool = True) -> bytes:
    """Make a client's frame; its mask is zero, so that the data stays as it is."""
    size = len(data)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = b"\xfe" + struct.pack(">H", size)
    else:
        length = b"\xff" + struct.pack(">Q", size)
    return bytes(((0x80 if fin else 0) | opcode,)) + length + bytes(4) + data


@contextlib.asynccontextmanager
async def raw_client(bridge: Bridge) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a WebSocket by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        "GET /websocket?featureId=summarize HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def closing(reader: asyncio.StreamReader) -> int:
    """Read frames up to the close and return its code."""
    async with asyncio.timeout(20):
        while True:
            first, second = await reader.readexactly(2)
            size = second & 127
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            body = await reader.readexactly(size)
            if first & 15 == 8:
                return int.from_bytes(body[:2], "big")


async def gone(bridge: Bridge) -> None:
    """Wait until nobody is connected any more, and nothing of them is left."""
    async with asyncio.timeout(20):
        while bridge.connections or bridge.hub.clients:  # noqa: ASYNC110 (a state)
            await asyncio.sleep(0.02)
    assert bridge.hub.routes == 0


GARBAGE: dict[str, tuple[bytes, int]] = {
    "ten megabytes": (frame(b"x" * 10_000_000), 1009),
    "ten megabytes in parts": (
        frame(b"a" * 60_000, fin=False) + b"".join(frame(b"a" * 60_000, 0, fin=False) for _ in range(160)), 1009,
    ),
    "a length of exabytes": (b"\x81\xff" + struct.pack(">Q", 2**62) + bytes(4) + b"x", 1009),
    "no text": (frame(b"\xff\xfe\x00"), 1007),
    "half a letter in parts": (frame(b"\xc3", fin=False) + frame(b"", 0), 1007),
    "no mask": (b"\x81\x02hi", 1002),
    "an unknown opcode": (frame(b"x", 5), 1002),
    "a part of nothing": (frame(b"x", 0), 1002),
    "a long ping": (frame(b"x" * 200, 9), 1002),
    "a close that is none": (frame(b"\x00", 8), 1002),
    "noise": (random.Random(7).randbytes(4_000), 1002),
}  # fmt: skip


@pytest.mark.parametrize("what", GARBAGE)
async def test_who_breaks_the_protocol_is_told_how_and_goes(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, code = GARBAGE[what]
    async with serving(tmp_path) as bridge, bridge.client() as other:
        await hear(other)
        with caplog.at_level(logging.WARNING):
            async with raw_client(bridge) as (reader, writer):
                writer.write(sent)
                assert await closing(reader) == code
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
        assert caplog.records == [], "what a client sends must not fill the log"
        await bridge.stores.logs.append(lines(0, 1))
        await other.send('{"type": "ping"}')
        assert (await hear(other, "pong"))["type"] == "pong"


async def test_who_sends_on_after_the_close_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.streams.server.ABORT_S", 0.3)
    async with serving(tmp_path) as bridge:
        async with raw_client(bridge) as (_, writer):
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(frame(b"x" * 1_000_000))
                        await writer.drain()
        await gone(bridge)


async def test_clients_that_vanish_leave_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge:
        await bridge.stores.logs.append(lines(0, 200))
        for _ in range(5):
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(40):
                    _, writer = await stack.enter_async_context(raw_client(bridge))
                    writer.write(frame(b'{"type":"subscribe_logs"}'))
        await gone(bridge)
        assert bridge.hub.stats.open["websocket"] == 0


async def test_a_client_that_does_not_answer_pings_is_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, ws_ping_interval=0.1, ws_ping_timeout=0.2) as bridge:
        async with raw_client(bridge) as (reader, _):
            assert await closing(reader) == 1011
        await gone(bridge)


async def test_garbage_is_answered_only_as_long_as_the_answers_are_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge, raw_client(bridge) as (reader, writer):
        transport: Any = writer.transport
        transport.pause_reading()
        sent = 0
        # Answers are longer than the questions: soon the bridge reads no more, and then no more can be sent.
        async with asyncio.timeout(60):
            while writer.transport.get_write_buffer_size() < 1_000_000:
                writer.write(frame(b"nonsense" * 20) * 1_000)
                sent += 1_000
                await asyncio.sleep(0.01)
        (client,) = bridge.hub.clients
        waiting = client.subscriber.outbox._items
        assert len(waiting) < 100
        transport.resume_reading()
        async with asyncio.timeout(60):
            answered = 0
            while answered < 1_000:
                answered += (await reader.read(65_536)).count(b'"error"')


async def test_histories_are_read_only_as_long_as_they_are_taken(tmp_path: Path) -> None:
    keys = [KEY._replace(feature=f"f{number}") for number in range(40)]
    async with serving(tmp_path) as bridge:
        await bridge.stores.state.see(keys, {})
        await bridge.poll.tick()
        async with bridge.client() as before:
            place = (await hear(before))["id"]
        for key in keys:
            batch = [line._replace(feature=key.feature, id=f"{key.feature}-{line.id}") for line in lines(0, 200, 2_000)]
            await bridge.stores.logs.append(batch)
        async with raw_client(bridge) as (reader, writer):
            transport: Any = writer.transport
            transport.pause_reading()
            for key in keys:
                asked = {"type": "subscribe_logs", "featureId": key.feature, "after": place}
                writer.write(frame(orjson.dumps(asked)))
            async with asyncio.timeout(30):
                while not bridge.hub.clients:  # noqa: ASYNC110 (a state)
                    await asyncio.sleep(0.02)
                (client,) = bridge.hub.clients
                while not client.subscriber.outbox.crowded:  # noqa: ASYNC110 (a state)
                    await asyncio.sleep(0.02)
            # However long it waits, it holds no more: 16 MB would be sent otherwise.
            await asyncio.sleep(0.5)
            assert client.subscriber.outbox._slots <= MAX_SLOTS + 1
            transport.resume_reading()
            histories = b""
            async with asyncio.timeout(60):
                while histories.count(b'"log_history"') < len(keys):
                    histories += await reader.read(2**20)
            assert histories.count(b'"gap"') == 0


async def test_who_is_told_more_than_it_reads_goes(tmp_path: Path) -> None:
    told = [
        Event(0, "", KEY, "test_result", START_NS, {"name": f"t{number}", "passed": True, "message": "x" * 16_000})
        for number in range(100)
    ]
    async with serving(tmp_path, queue_bytes=64 * 1024) as bridge, raw_client(bridge) as (reader, writer):
        transport: Any = writer.transport
        transport.pause_reading()
        async with asyncio.timeout(60):
            while bridge.hub.clients:
                await bridge.stores.state.record_events(told)
        assert bridge.hub.stats.closed == {"1013": 1}
        transport.resume_reading()
        assert await closing(reader) == 1013


async def test_thousands_of_wishes_that_change_leave_the_last_ones(tmp_path: Path) -> None:
    async with serving(tmp_path) as bridge:
        async with bridge.client() as connection:
            await hear(connection)

            async def change() -> None:
                for number in range(500):
                    filters = {"search": str(number % 50)}
                    await connection.send(orjson.dumps({"type": "subscribe", "featureId": f"f{number % 300}"}).decode())
                    await connection.send(
                        orjson.dumps(
                            {"type": "subscribe_logs", "featureId": "summarize", "filters": filters, "history": False}
                        ).decode()
                    )
                    await connection.send(
                        orjson.dumps({"type": "unsubscribe", "featureId": f"f{number % 300}"}).decode()
                    )
                await connection.send('{"type": "subscribe_logs", "filters": {"search": "99"}, "history": false}')
                await connection.send('{"type": "ping"}')

            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(change())
                await hear(connection, "pong")
            assert bridge.hub.routes == 2
            await bridge.stores.logs.append(lines(0, 100))
            assert (await hear(connection, "log_entry"))["data"]["id"] == "line-99"
        await gone(bridge)


@contextlib.asynccontextmanager
async def unread_socket(port: int) -> AsyncIterator[socket.socket]:
    """Open a WebSocket by hand whose small buffer nobody reads once it follows the lines."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        raw.sendall(
            f"GET /websocket?featureId=summarize HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await asyncio.to_thread(raw.recv, 4096)
        assert answer.startswith(b"HTTP/1.1 101")
        text = b'{"type":"subscribe_logs"}'
        raw.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        yield raw


async def _stuck(bridge: Bridge) -> None:
    """Send until the client's socket takes no more."""
    while not any(client.subscriber.following for client in bridge.hub.clients):  # noqa: ASYNC110 (a state)
        await asyncio.sleep(0.01)
    start = 0
    while all(client.subscriber.outbox.sending_since is None for client in bridge.hub.clients):
        await bridge.stores.logs.append(lines(start, 200, 10_000))
        start += 200
        await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_told_1013_once_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.3)
    async with serving(tmp_path) as bridge:
        async with unread_socket(bridge.port) as raw:
            await _stuck(bridge)
            while bridge.hub.clients:  # noqa: ASYNC110 (a state)
                await asyncio.sleep(0.05)
            received = await asyncio.to_thread(_until_closed, raw)
        # A close frame: opcode 8, its length, the code.
        assert received[-60:].find(b"\x88") >= 0
        close = received[received.rfind(b"\x88") :]
        assert int.from_bytes(close[2:4], "big") == 1013
        assert b"nothing was read" in close


def _until_closed(raw: socket.socket) -> bytes:
    received = b""
    while not (received[-2:] and b"nothing was read" in received[-100:]):
        part = raw.recv(65_536)
        if not part:
            break
        received = received[-200:] + part
    return received


async def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.streams.hub.STALLED_S", 0.3)
    monkeypatch.setattr("featurewatch.streams.server.ABORT_S", 0.3)
    async with serving(tmp_path) as bridge:
        async with unread_socket(bridge.port):
            await _stuck(bridge)
            async with asyncio.timeout(10):
                while bridge.connections:  # noqa: ASYNC110 (a state)
                    await asyncio.sleep(0.05)
        assert bridge.hub.stats.closed == {"1013": 1}
