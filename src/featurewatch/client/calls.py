"""One request and its answer: the address, the token, and what went wrong as an error of `featurewatch.errors`."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from ..errors import SettingsError, Unauthenticated, Unavailable, UpstreamError
from .credential import Credential
from .refusals import Lost, one_line, refusal

__all__ = ["Address", "Calls", "given"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bridge is. `local`: on this machine, where no proxy leads to."""

    base: str
    prefix: str
    local: bool

    @classmethod
    def parse(cls, url: str, prefix: str) -> Self:
        """Read an address.

        Raises:
            SettingsError: it is none.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port  # a port that is none raises here
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("http", "https") or port == 0:
            raise SettingsError(f"expected the bridge's address such as http://127.0.0.1:8400, got {url!r}")
        return cls(url.rstrip("/"), "/" + prefix.strip("/"), _is_local(host))

    @property
    def websocket(self) -> str:
        """The address of the WebSocket endpoint."""
        return f"ws{self.base.removeprefix('http')}{self.prefix}/websocket"


class Calls:
    """Sends requests to one bridge. A 401 is answered by another token, where there is a source of them, once."""

    def __init__(
        self, address: Address, credential: Credential, *, timeout: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.address = address
        self.credential = credential
        self._http = httpx.AsyncClient(
            base_url=address.base + address.prefix,
            timeout=timeout,
            trust_env=not address.local,
            transport=transport,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the JSON of its answer; empty where it has none.

        Raises:
            FeaturewatchError: as the bridge said it, with `problems` for each wrong item of a list.
            Unavailable: it cannot be reached; UpstreamError: something else than a bridge answered.
        """
        async with self._open(method, path, query, headers, json=json) as answer:
            body = await answer.aread()
            if not body and answer.status_code == 204:
                return {}
            try:
                found = answer.json()
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise UpstreamError(
                    f"{self.address.base} answered something else than a bridge does: is the address right?"
                )
            return found

    async def read(self, path: str, *, query: Mapping[str, Any] | None = None) -> AsyncGenerator[bytes]:
        """Yield an answer in parts, as they come. Raises as `ask`; what came before an error is not the whole."""
        async with self._open("GET", path, query) as answer:
            async for part in answer.aiter_bytes():
                yield part

    @asynccontextmanager
    async def events(self, path: str, query: Mapping[str, Any], *, silence: float) -> AsyncGenerator[httpx.Response]:
        """Open a stream of events; `silence` is how long nothing may come. Raises as `ask`, at the first 401 too."""
        # Compressed events would wait in some proxy until a block is full.
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        async with self._open("GET", path, query, headers, renew=False, timeout=silence) as answer:
            yield answer

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None = None,
        *,
        renew: bool = True,
        **options: Any,
    ) -> AsyncGenerator[httpx.Response]:
        shown = {**(headers or {}), **await self._shown()}
        asked: dict[str, Any] = {"params": given(query or {}), "headers": shown, **options}
        with self._told():
            answer = await self._http.send(self._http.build_request(method, path, **asked), stream=True)
            if answer.status_code == 401 and renew and self.credential.renewable:
                await answer.aclose()
                await self._renew(shown.get("Authorization", "").removeprefix("Bearer "))
                asked["headers"] = {**(headers or {}), **await self._shown()}
                answer = await self._http.send(self._http.build_request(method, path, **asked), stream=True)
            try:
                if answer.is_error:
                    await answer.aread()
                    raise refusal(answer.status_code, answer.content, answer.headers.get("retry-after"))
                yield answer
            finally:
                await answer.aclose()

    async def _shown(self) -> Mapping[str, str]:
        try:
            return await self.credential.headers()
        except Lost as error:
            raise Unavailable(error.reason) from error.__cause__

    async def _renew(self, used: str) -> None:
        try:
            await self.credential.renew(used)
        except Lost as error:
            raise Unauthenticated(error.reason) from error.__cause__

    @contextmanager
    def _told(self) -> Iterator[None]:
        base = self.address.base
        try:
            yield
        except httpx.ConnectError:
            raise Unavailable(
                f"no bridge answers at {base}: 'featurewatch serve' starts one, FEATUREWATCH_URL names another"
            ) from None
        except httpx.ConnectTimeout:
            raise Unavailable(f"{base} cannot be reached: no connection came about in time") from None
        except httpx.TimeoutException:
            raise Unavailable(f"{base} did not answer in time") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{base} broke off: {one_line(error)}") from None


def given(query: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not set, and write times as ISO 8601 and lists as the API takes them.

    A time without a zone is this machine's own.
    """
    return {
        name: _written(value) for name, value in query.items() if value is not None and value not in ("", (), [], {})
    }


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone().isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))
    return value


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
