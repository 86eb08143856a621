"""Clients that follow a bridge's lines and take account of each: what came, how often, how late, what was told as lost.

Lines are told apart by a number at the end of their message, `… #17`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

RETRY_S = 0.2


@dataclass
class Listener:
    """One client, which comes back with its position when its stream ends. `wants`: the numbers it is to be told."""

    name: str
    url: str
    feature: str
    transport: Literal["websocket", "sse"] = "websocket"
    batch: bool = False
    filters: dict[str, Any] = field(default_factory=dict)
    wants: Callable[[int], bool] = lambda _: True
    heard: Counter[int] = field(default_factory=Counter)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    late: int = 0
    connects: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _after: str = ""
    _task: asyncio.Task[None] | None = None
    _paused: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self._paused.set()
        self._task = asyncio.create_task(self._run())

    async def pause(self, seconds: float) -> None:
        """Go away without a word, and come back."""
        self._paused.clear()
        await self.stop()
        await asyncio.sleep(seconds)
        self.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def missing(self, numbers: range) -> list[int]:
        """Return which of the lines it should have been told did not come."""
        return [number for number in numbers if self.wants(number) and number not in self.heard]

    def open(self, numbers: range) -> int:
        """Return how many lines neither came nor were told as lost."""
        missing, told = len(self.missing(numbers)), self.told_lost
        return 0 if told is None else max(0, missing - told)

    @property
    def twice(self) -> list[int]:
        return [number for number, times in self.heard.items() if times > 1]

    @property
    def told_lost(self) -> int | None:
        """How many lines gaps told of; None where one of them did not know."""
        counts = [gap["count"] for gap in self.gaps]
        return None if None in counts else sum(counts)

    async def _run(self) -> None:
        while True:
            try:
                async for message in self._websocket() if self.transport == "websocket" else self._sse():
                    self._hear(message)
            except (OSError, WebSocketException, httpx.HTTPError, TimeoutError):
                pass
            await asyncio.sleep(RETRY_S)

    async def _websocket(self) -> AsyncIterator[Any]:
        query = {"featureId": self.feature, "batch": str(self.batch).lower()}
        if self._after:
            query["after"] = self._after
        address = f"{self.url.replace('http', 'ws', 1)}/api/v1/websocket?{urlencode(query)}"
        async with connect(address, max_size=None, compression=None, proxy=None, ping_interval=None) as socket:
            self.connects += 1
            await socket.send(orjson.dumps({"type": "subscribe_logs", "filters": self.filters}).decode())
            async for text in socket:
                told = orjson.loads(text)
                for message in told if self.batch else (told,):
                    yield message

    async def _sse(self) -> AsyncIterator[Any]:
        headers = {"Last-Event-ID": self._after} if self._after else {}
        path = f"{self.url}/api/v1/features/{self.feature}/logs/stream"
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(30, read=60), trust_env=False) as client,
            client.stream("GET", path, params=self.filters, headers=headers) as answer,
        ):
            answer.raise_for_status()
            self.connects += 1
            self.ready.set()
            rest = b""
            async for part in answer.aiter_raw():
                *events, rest = (rest + part).split(b"\n\n")
                for event in events:
                    data = [line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")]
                    if data:
                        yield orjson.loads(b"\n".join(data))

    def _hear(self, message: Any) -> None:
        self._after = message.get("id", self._after)
        match message["type"]:
            case "log_history":
                self.ready.set()
                for entry in message["data"]:
                    self._count(entry)
            case "log_entry":
                self._count(message["data"])
            case "gap":
                self.gaps.append(message["data"])

    def _count(self, entry: Any) -> None:
        self.heard[int(entry["message"].rpartition("#")[2])] += 1
        self.late += bool(entry.get("late"))
        self.delays.append(time.time() - datetime.fromisoformat(entry["timestamp"]).timestamp())
