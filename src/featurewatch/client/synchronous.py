"""The client without asyncio: the same calls and streams, run by a loop in a thread of their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..errors import FeaturewatchError
from .asynchronous import AsyncClient
from .choice import Transport, Wanted
from .credential import TokenSource
from .loop_thread import LoopThread
from .messages import Message
from .stream import Stream

__all__ = ["Client", "SyncStream"]


class Client:
    """Asks one bridge, and waits. Everything is as in `AsyncClient`, where it is described; safe in many threads.

    with Client("http://127.0.0.1:8400") as client:
        for message in client.stream("summarize"):
            print(message.type)
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8400",
        token: str | TokenSource | None = None,
        prefix: str = "/api/v1",
        *,
        timeout: float = 30.0,
    ) -> None:
        self._client = AsyncClient(base_url, token, prefix, timeout=timeout)
        self._loop = LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the streams that are still open, the connections and the thread. Harmless when repeated."""
        if not self._loop.closed:
            self._loop.run(self._client.close())
            self._loop.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call any endpoint of the API by its path below the prefix."""
        return self._loop.run(self._client.request(method, path, query=query, json=json, headers=headers))

    def me(self) -> dict[str, Any]:
        """Return who asks."""
        return self._loop.run(self._client.me())

    def features(self, *, environment: str | None = None) -> list[dict[str, Any]]:
        """Return the features that the caller may see."""
        return self._loop.run(self._client.features(environment=environment))

    def feature(self, feature: str, *, environment: str | None = None) -> dict[str, Any]:
        """Return what is declared of a feature, with its figures now."""
        return self._loop.run(self._client.feature(feature, environment=environment))

    def declare(self, feature: str, *, revision: int | None = None, **fields: Any) -> dict[str, Any]:
        """Declare a feature."""
        return self._loop.run(self._client.declare(feature, revision=revision, **fields))

    def change(self, feature: str, *, revision: int | None = None, **fields: Any) -> dict[str, Any]:
        """Change a feature."""
        return self._loop.run(self._client.change(feature, revision=revision, **fields))

    def forget(self, feature: str) -> None:
        """Forget what is declared of a feature."""
        self._loop.run(self._client.forget(feature))

    def metrics(self, feature: str, *, time_range: str | None = None, environment: str | None = None) -> dict[str, Any]:
        """Return how much a feature is used, and its uptime."""
        return self._loop.run(self._client.metrics(feature, time_range=time_range, environment=environment))

    def performance(
        self, feature: str, *, time_range: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return how fast a feature is and how often it fails."""
        return self._loop.run(self._client.performance(feature, time_range=time_range, environment=environment))

    def costs(self, feature: str, *, time_range: str | None = None, environment: str | None = None) -> dict[str, Any]:
        """Return what a feature costs, by model."""
        return self._loop.run(self._client.costs(feature, time_range=time_range, environment=environment))

    def health(self, feature: str, *, time_range: str | None = None, environment: str | None = None) -> dict[str, Any]:
        """Return how a feature does, with the reasons."""
        return self._loop.run(self._client.health(feature, time_range=time_range, environment=environment))

    def current(self, feature: str, *, environment: str | None = None) -> dict[str, Any]:
        """Return a feature's MetricsSnapshot."""
        return self._loop.run(self._client.current(feature, environment=environment))

    def snapshots(self, features: Iterable[str] = (), *, environment: str | None = None) -> list[dict[str, Any]]:
        """Return the MetricsSnapshots of the features, or of all that the caller may see."""
        return self._loop.run(self._client.snapshots(features, environment=environment))

    def history(self, feature: str, metric: str, **query: Any) -> dict[str, Any]:
        """Return a figure over time."""
        return self._loop.run(self._client.history(feature, metric, **query))

    def logs(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of a feature's lines."""
        return self._loop.run(self._client.logs(feature, **query))

    def log(self, log_id: str, *, around: int | None = None) -> dict[str, Any]:
        """Return a line and its neighbours."""
        return self._loop.run(self._client.log(log_id, around=around))

    def export(self, feature: str, *, format: str = "json", **query: Any) -> Iterator[bytes]:
        """Yield a file of a feature's lines in parts."""
        parts = self._client.export(feature, format=format, **query)

        async def part() -> bytes | None:
            return await anext(parts, None)

        try:
            while (found := self._loop.run(part())) is not None:
                yield found
        finally:
            self._loop.run(parts.aclose())

    def events(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of what happened to a feature."""
        return self._loop.run(self._client.events(feature, **query))

    def test_results(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of a feature's test results."""
        return self._loop.run(self._client.test_results(feature, **query))

    def post_logs(self, lines: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
        """Keep lines and return their ids once they are safe."""
        return self._loop.run(self._client.post_logs(lines))

    def post_requests(
        self,
        feature: str,
        requests: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        environment: str | None = None,
    ) -> dict[str, Any]:
        """Count finished calls."""
        return self._loop.run(self._client.post_requests(feature, requests, environment=environment))

    def post_test_results(
        self,
        feature: str,
        results: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        environment: str | None = None,
    ) -> list[str]:
        """Publish test results and return their ids."""
        return self._loop.run(self._client.post_test_results(feature, results, environment=environment))

    def stream(
        self,
        features: str | Iterable[str] = "*",
        *,
        logs: bool = True,
        history: bool = True,
        after: str | None = None,
        environment: str | None = None,
        filters: Mapping[str, Any] | None = None,
        unknown_as_zero: bool = False,
        transport: Wanted = "auto",
        open_timeout: float = 10.0,
    ) -> SyncStream:
        """Open a stream of features: figures, events and lines, for ever."""
        stream = self._client.stream(
            features,
            logs=logs,
            history=history,
            after=after,
            environment=environment,
            filters=filters,
            unknown_as_zero=unknown_as_zero,
            transport=transport,
            open_timeout=open_timeout,
        )
        return SyncStream(stream, self._loop)


class SyncStream:
    """Messages as they come, for ever; one thread iterates, others may change what it brings, or close it."""

    def __init__(self, stream: Stream, loop: LoopThread) -> None:
        self._stream = stream
        self._loop = loop
        self._ready: deque[Message] = deque()
        self._position = stream.position

    @property
    def position(self) -> str | None:
        """The position of the last message that was handed out."""
        return self._position

    @property
    def transport(self) -> Transport | None:
        """What carries the stream now: `websocket`, `sse`, or None where nothing does."""
        return self._stream.transport

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """Wait for the next message. Raises as iterating `Stream` does."""
        while not self._ready:
            try:
                self._ready.extend(self._loop.run(self._stream.batch()))
            except StopAsyncIteration:
                raise StopIteration from None
        message = self._ready.popleft()
        self._position = message.id or self._position
        return message

    def get(self, timeout: float) -> Message | None:
        """Return the next message, None where none comes within so many seconds; the stream goes on either way."""

        async def within() -> Sequence[Message]:
            async with asyncio.timeout(timeout):
                return await self._stream.batch()

        if not self._ready:
            try:
                self._ready.extend(self._loop.run(within()))
            except TimeoutError:
                return None
            except StopAsyncIteration:
                raise FeaturewatchError("the stream is closed") from None
        return next(self) if self._ready else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; a thread that waits for a message stops. Harmless when repeated."""
        if not self._loop.closed:
            self._loop.run(self._stream.aclose())

    def follow(self, *, history: bool = False, **asked: Any) -> None:
        """Bring lines from now on, or other ones: `levels`, `source` and `search` choose."""
        self._loop.run(self._stream.follow(history=history, **asked))

    def unfollow(self) -> None:
        """Bring no more lines."""
        self._loop.run(self._stream.unfollow())

    def subscribe(self, feature: str) -> None:
        """Bring another feature too."""
        self._loop.run(self._stream.subscribe(feature))

    def unsubscribe(self, feature: str) -> None:
        """Bring a feature no more."""
        self._loop.run(self._stream.unsubscribe(feature))
