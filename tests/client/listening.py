"""A stream that is read by a task of its own, and lines for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from featurewatch.client import Message, Stream


class Heard:
    """What a stream brought, read by a task of its own."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.messages: list[Message] = []
        self.lines: list[str] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.stream:
            self.messages.append(message)
            self.lines += [entry.message for entry in message.entries]

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> Heard:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stream.aclose()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def drain(stream: Stream) -> list[Message]:
    """Read a stream to its end."""
    return [message async for message in stream]


async def at_once(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.05))


async def send(url: str, feature: str, *messages: str, **fields: Any) -> None:
    """Post lines by other means than the client that is tested."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        lines = [{"featureId": feature, "message": message} | fields for message in messages]
        (await http.post(f"{url}/api/v1/logs", json=lines)).raise_for_status()
