"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx

from .calls import Address, Calls
from .choice import Wanted
from .credential import Credential, TokenSource
from .stream import Stream
from .wish import Wish, chosen, filters

__all__ = ["AsyncClient"]


class AsyncClient:
    """Asks one bridge. Errors are those of `featurewatch.errors`, as the bridge told them.

    Values are the API's JSON (openapi.json); the messages of a stream are dataclasses. Times are ISO 8601 or datetime.

    Args:
        token: an API token or JWT; or a function, or coroutine function, that gives one that holds now: it is asked
            again when the bridge says that the token ended. Sent as a header, never in a URL.
        prefix: where the bridge's API lives (its setting API_PREFIX).
        timeout: seconds to wait for an answer to begin, and between two parts of a long one.
        transport: httpx's, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8400",
        token: str | TokenSource | None = None,
        prefix: str = "/api/v1",
        *,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address = Address.parse(base_url, prefix)
        self._calls = Calls(address, Credential(token), timeout=timeout, transport=transport)
        self._streams: set[Stream] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the streams that are still open, and the connections."""
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._calls.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call any endpoint of the API, such as `GET /features/{id}/alerts`, by its path below the prefix."""
        return await self._calls.ask(method, path, query=query, json=json, headers=headers)

    async def me(self) -> dict[str, Any]:
        """Return who asks: name, role, and the features that may be seen."""
        return await self._get("/me")

    # Features

    async def features(self, *, environment: str | None = None) -> list[dict[str, Any]]:
        """Return the features that the caller may see, each with its figures now."""
        return list((await self._get("/features", environment=environment))["features"])

    async def feature(self, feature: str, *, environment: str | None = None) -> dict[str, Any]:
        """Return what is declared of a feature, with its figures now."""
        return await self._get(_of(feature), environment=environment)

    async def declare(self, feature: str, *, revision: int | None = None, **fields: Any) -> dict[str, Any]:
        """Declare a feature: `name`, `owner`, `thresholds`, `slo`, …; what is left out gets its default.

        Raises:
            StaleEdit: `revision` is given and is not the current one.
        """
        return await self._edit("PUT", feature, revision, fields)

    async def change(self, feature: str, *, revision: int | None = None, **fields: Any) -> dict[str, Any]:
        """Change a feature: what is left out stays, None gives a field its default back. Raises as `declare`."""
        return await self._edit("PATCH", feature, revision, fields)

    async def forget(self, feature: str) -> None:
        """Forget what is declared of a feature. Its figures and lines stay."""
        await self._calls.ask("DELETE", _of(feature))

    # Figures

    async def metrics(
        self, feature: str, *, time_range: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return how much a feature is used, and its uptime."""
        return await self._get(_of(feature, "metrics"), time_range=time_range, environment=environment)

    async def performance(
        self, feature: str, *, time_range: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return how fast a feature is and how often it fails."""
        return await self._get(_of(feature, "performance"), time_range=time_range, environment=environment)

    async def costs(
        self, feature: str, *, time_range: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return what a feature costs, by model."""
        return await self._get(_of(feature, "costs"), time_range=time_range, environment=environment)

    async def health(
        self, feature: str, *, time_range: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return how a feature does, with the reasons."""
        return await self._get(_of(feature, "health"), time_range=time_range, environment=environment)

    async def current(self, feature: str, *, environment: str | None = None) -> dict[str, Any]:
        """Return a feature's MetricsSnapshot."""
        answer = await self._get(_of(feature, "metrics", "current"), environment=environment)
        return dict(answer["data"])

    async def snapshots(self, features: Iterable[str] = (), *, environment: str | None = None) -> list[dict[str, Any]]:
        """Return the MetricsSnapshots of the features, or of all that the caller may see."""
        answer = await self._get("/metrics/current", feature_id=list(features), environment=environment)
        return list(answer["data"])

    async def history(self, feature: str, metric: str, **query: Any) -> dict[str, Any]:
        """Return a figure over time: `points` of epoch milliseconds and value.

        The query is that of the API: `time_range`, or `start_time` and `end_time`; `step`, `environment`.
        """
        return await self._get(_of(feature, "metrics", "history"), metric=metric, **query)

    # Lines

    async def logs(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of a feature's lines: `logs`, `next_cursor`. The query is that of `GET /logs`."""
        return await self._get("/logs", feature_id=feature, **query)

    async def log(self, log_id: str, *, around: int | None = None) -> dict[str, Any]:
        """Return a line (`log`) and its neighbours (`logs`)."""
        return await self._get(f"/logs/{quote(log_id, safe='')}", around=around)

    async def export(self, feature: str, *, format: str = "json", **query: Any) -> AsyncGenerator[bytes]:
        """Yield a file of a feature's lines, oldest first, in parts; `format` is json or csv.

        Raises:
            Unavailable: the bridge cannot be reached or broke off; what was yielded is then not a whole file.
        """
        parts = self._calls.read("/logs/export", query={"feature_id": feature, "format": format, **query})
        try:
            async for part in parts:
                yield part
        finally:
            await parts.aclose()

    # What happened

    async def events(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of what happened to a feature, newest first: `events`, `next_cursor`."""
        return await self._get(_of(feature, "events"), **query)

    async def test_results(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of a feature's test results, newest first: `test_results`, `next_cursor`."""
        return await self._get(_of(feature, "test-results"), **query)

    # Telling the bridge

    async def post_logs(self, lines: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
        """Keep lines (`featureId`, `message`, `level`, …), all or none, and return their ids once they are safe."""
        answer = await self._calls.ask("POST", "/logs", json=lines)
        return list(answer["ids"])

    async def post_requests(
        self,
        feature: str,
        requests: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        environment: str | None = None,
    ) -> dict[str, Any]:
        """Count finished calls (`outcome`, `duration_ms`, `model`, …), all or none: `accepted`, `duplicates`."""
        path = _of(feature, "requests")
        return await self._calls.ask("POST", path, query={"environment": environment}, json=requests)

    async def post_test_results(
        self,
        feature: str,
        results: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        environment: str | None = None,
    ) -> list[str]:
        """Publish test results (`name`, `passed`, …), which every open stream is told, and return their ids."""
        path = _of(feature, "test-results")
        answer = await self._calls.ask("POST", path, query={"environment": environment}, json=results)
        return list(answer["ids"])

    # Live

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
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> Stream:
        """Open a stream of features: figures, events and lines, for ever.

        After a lost connection it reconnects and resumes where it was: nothing is lost or comes twice, or a `Gap`
        tells of it. Between two attempts it waits twice as long as before, at random between half and all of it, at
        most 30 s, and says so by `Disconnected`. Where WebSocket is blocked, server-sent events carry it, and WebSocket
        is tried again now and then; `TransportChanged` tells of both.

        Args:
            features: one, several, or `*` for all that the caller may see, also those that appear later.
            logs: whether to bring lines.
            history: begin with the last 50 lines; False: with none.
            after: the position (`Stream.position`, or a message's `id`) that an earlier stream came to.
            environment: of every feature; None: each feature's own choice.
            filters: levels, source, search, as in `GET /logs`.
            transport: `auto`; or `websocket` or `sse` for that one alone.
            open_timeout: seconds that a connection may take to open and to bring its first message.
            pause: sleeps between two attempts, for tests.

        Raises:
            BadInput: there is no such filter or transport, or no feature.
        """
        wish = Wish(
            chosen(features),
            environment,
            unknown_as_zero,
            _filters(filters) if logs else None,
            after or None,
            "position" if after else "history" if history else "now",
        )
        stream = Stream(
            self._calls,
            wish,
            transport=transport,
            open_timeout=open_timeout,
            pause=pause,
            on_close=self._streams.discard,
        )
        self._streams.add(stream)
        return stream

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        return await self._calls.ask("GET", path, query=query)

    async def _edit(self, method: str, feature: str, revision: int | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        headers = {} if revision is None else {"If-Match": f'"r{revision}"'}
        return await self._calls.ask(method, _of(feature), json=dict(fields), headers=headers)


def _filters(asked: Mapping[str, Any] | None) -> dict[str, str]:
    return filters(asked or {})


def _of(feature: str, *below: str) -> str:
    return "/".join(("/features", quote(feature, safe=""), *below))
