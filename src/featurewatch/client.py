"""A bridge, asked from Python: figures, lines, and a stream that outlives restarts. Install featurewatch[client].

async with AsyncClient("http://127.0.0.1:8400") as client:
    async for message in client.stream("summarize"):
        print(message.type, message.data)
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from . import errors
from .errors import BadInput, FeaturewatchError, Forbidden, Problem, SettingsError, Unauthenticated, Unavailable

__all__ = ["AsyncClient", "Message"]

_BY_STATUS: Final[Mapping[int, type[FeaturewatchError]]] = {
    kind.status: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FeaturewatchError) and "status" in vars(kind)
}
_FINAL: Final = (BadInput, Unauthenticated, Forbidden, errors.NotFound)
"""Errors that trying again does not cure."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_STABLE_S: Final = 10.0
"""A connection that held so long makes the next pause short again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream.

    `type` is the bridge's (`metrics_update`, `log_history`, `log_entry`, `gap`, `error`, …), or this client's own
    `disconnected` (data: reason, retry_in_s). `id` is the position to resume from, where the message has one.
    """

    type: str
    feature: str | None
    data: Any
    timestamp: str
    id: str | None = None


class AsyncClient:
    """Asks one bridge. Errors are those of `featurewatch.errors`, as the bridge told them.

    Args:
        token: an API token; sent as a header, never in a URL.
        prefix: where the bridge's API lives (its setting API_PREFIX).
        timeout: seconds to wait for an answer to begin, and between two parts of a long one.
        transport: httpx's, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8400",
        token: str | None = None,
        prefix: str = "/api/v1",
        *,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"expected the bridge's address such as http://127.0.0.1:8400, got {base_url!r}")
        self._base = base_url.rstrip("/")
        self._prefix = "/" + prefix.strip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._local = _is_local(parts.hostname)
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            base_url=self._base + self._prefix,
            headers=self._headers,
            timeout=timeout,
            trust_env=not self._local,  # no proxy leads to this machine
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def features(self) -> list[dict[str, Any]]:
        """Return the features that the caller may see."""
        return list((await self._get("/features"))["features"])

    async def current(self, feature: str, *, environment: str | None = None) -> dict[str, Any]:
        """Return a feature's MetricsSnapshot."""
        answer = await self._get(f"/features/{feature}/metrics/current", environment=environment)
        return dict(answer["data"])

    async def logs(self, feature: str, **query: Any) -> dict[str, Any]:
        """Return one page of a feature's lines: `logs`, `next_cursor`. The query is that of `GET /logs`."""
        return await self._get("/logs", feature_id=feature, **query)

    async def export(self, feature: str, *, format: str = "json", **query: Any) -> AsyncGenerator[bytes]:
        """Yield a file of a feature's lines, oldest first, in parts; `format` is json or csv.

        Raises:
            Unavailable: the bridge cannot be reached or broke off; what was yielded is then not a whole file.
        """
        parameters = _given({"feature_id": feature, "format": format, **query})
        with self._told():
            async with self._http.stream("GET", "/logs/export", params=parameters) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refusal(answer.status_code, answer.content)
                async for part in answer.aiter_bytes():
                    yield part

    async def stream(
        self,
        feature: str,
        *,
        logs: bool = True,
        after: str | None = None,
        environment: str | None = None,
        filters: Mapping[str, Any] | None = None,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> AsyncGenerator[Message]:
        """Yield a feature's messages, for ever: after a lost connection it reconnects and resumes where it was.

        Between two attempts it waits twice as long as before, at random between half and all of it, at most 30 s,
        and yields a `disconnected` message first. What could not be resumed is told by the bridge's `gap`.

        Args:
            logs: whether to get lines, and the last 50 at first.
            after: the `id` of the last message of an earlier stream.
            filters: levels, source, search, as in `GET /logs`.

        Raises:
            Unauthenticated, Forbidden, NotFound, BadInput: the bridge refused; trying again would not help.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                async with self._connected(feature, environment, after) as socket:
                    if logs:
                        await socket.send(_subscription(feature, filters, environment, after))
                    async with aclosing(_messages(socket)) as messages:
                        async for message in messages:
                            after = message.id or after
                            yield message
            except FeaturewatchError as error:
                if isinstance(error, _FINAL):
                    raise
                reason = str(error)
            except ConnectionClosed as error:
                reason = _why(error)
            except InvalidStatus as error:
                refused = _refusal(error.response.status_code, bytes(error.response.body or b""))
                if isinstance(refused, _FINAL):
                    raise refused from None
                reason = str(refused)
            except (OSError, TimeoutError, InvalidHandshake) as error:
                reason = _line(error)
            failures = 1 if loop.time() - began >= _STABLE_S else failures + 1
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1))
            wait = longest * random.uniform(0.5, 1)
            yield Message("disconnected", feature, {"reason": reason, "retry_in_s": round(wait, 1)}, "")
            await pause(wait)

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        with self._told():
            answer = await self._http.get(path, params=_given(query))
        if answer.is_error:
            raise _refusal(answer.status_code, answer.content)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise errors.UpstreamError(
                f"{self._base} answered something else than a bridge does: is the address right?"
            )
        return found

    def _connected(self, feature: str, environment: str | None, after: str | None) -> connect:
        query = urlencode(_given({"featureId": feature, "environment": environment, "after": after, "batch": "true"}))
        address = f"ws{self._base.removeprefix('http')}{self._prefix}/websocket?{query}"
        return connect(
            address,
            additional_headers=self._headers,
            compression=None,
            max_size=16 * 1024**2,
            open_timeout=self._timeout,
            proxy=None if self._local else True,
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise Unavailable(
                f"no bridge answers at {self._base}: 'featurewatch serve' starts one, FEATUREWATCH_URL names another"
            ) from None
        except httpx.TimeoutException:
            raise Unavailable(f"{self._base} did not answer within {self._timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._base} broke off: {_line(error)}") from None


async def _messages(socket: ClientConnection) -> AsyncGenerator[Message]:
    async for frame in socket:
        told = json.loads(frame)
        for one in told if isinstance(told, list) else [told]:
            message = Message(
                one["type"], one.get("featureId"), one.get("data"), one.get("timestamp", ""), one.get("id")
            )
            if message.type == "error" and (kind := _named(message.data.get("code"))) in _FINAL:
                raise kind(message.data.get("message", "refused"))
            yield message


def _subscription(feature: str, filters: Mapping[str, Any] | None, environment: str | None, after: str | None) -> str:
    wanted = _given({**(filters or {}), "environment": environment})
    return json.dumps(_given({"type": "subscribe_logs", "featureId": feature, "filters": wanted, "after": after}))


def _why(error: ConnectionClosed) -> str:
    received = error.rcvd
    if received is None:
        return "the connection was lost"
    if received.code == 1008:
        raise Unauthenticated(received.reason or "the bridge closed the stream: a token is needed") from None
    if received.code == 1012:
        return "the bridge restarts"
    return received.reason or f"the bridge closed the stream ({received.code})"


def _refusal(status: int, body: bytes) -> FeaturewatchError:
    try:
        told = json.loads(body)
        message, code = str(told["error"]), told.get("code")
        problems = [
            Problem(str(one.get("field")), str(one.get("message")), one.get("index"))
            for one in told.get("details") or ()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        message, code, problems = f"the bridge answered {status}", None, []
    kind = _named(code) or _BY_STATUS.get(status, errors.UpstreamError)
    found = kind(message)
    found.problems = tuple(problems)
    return found


def _named(code: str | None) -> type[FeaturewatchError] | None:
    return next((kind for kind in _BY_STATUS.values() if kind.code == code), None)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in (None, "", (), [])}


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
