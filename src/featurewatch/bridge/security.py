"""What every request must show before a route sees it: Host, Origin, content type. Pure ASGI.

Without authentication the bridge is safe on loopback only because of these: a page of another site can make a
browser send requests to 127.0.0.1 (cross-site requests), or give its own name that address (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import FeaturewatchError, Forbidden, Unsupported
from ..settings import Settings
from .errors import fault, told
from .origin import host_allowed, origin_allowed

OWN_PROTOCOLS: Final = ("/v1/metrics", "/v1/logs", "/loki/api/v1/push")
"""Paths with media types of their own."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Set on every answer that does not set its own."""

_WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")


class SecurityHeaders:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # A coroutine that only waits for another would cost each open WebSocket its memory; so below.
        return self._with_headers(scope, receive, send) if scope["type"] == "http" else self.app(scope, receive, send)

    async def _with_headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class LastResort:
    """Answers what no route expected, the innermost of all: its answer then gets the headers of every other.

    Starlette's own last resort stands outside of them all, so what it says would carry none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            if started:
                raise
            await told(Request(scope, receive), error).response()(scope, receive, send)


class Gate:
    """Refuses a request or WebSocket whose Host, Origin or content type is not allowed."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope, Headers(scope=scope))
            except FeaturewatchError as error:
                return _refuse(error, scope, receive, send)
        return self.app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host, origin = headers.get("host"), headers.get("origin")
        if not host_allowed(host, self._settings):
            raise Forbidden(
                f"Host {_shown(host)} is no name of this bridge: add it to FEATUREWATCH_ALLOWED_HOSTS if it should be"
            )
        if not origin_allowed(origin, host, self._settings):
            raise Forbidden(
                f"Origin {_shown(origin)} may not call this bridge: add it to FEATUREWATCH_ALLOWED_ORIGINS if it should"
            )
        if scope["type"] != "http" or scope["method"] not in _WRITES or scope["path"] in OWN_PROTOCOLS:
            return
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = headers.get("content-length", "0").strip("0") != "" or "transfer-encoding" in headers
        if (media_type or has_body) and not _is_json(media_type):
            got = repr(media_type[:60]) if media_type else "none"
            raise Unsupported(f"Content-Type: expected application/json, got {got}")


async def _refuse(error: FeaturewatchError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:120]})
    else:
        await fault(error).response()(scope, receive, send)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _shown(header: str | None) -> str:
    return repr((header or "")[:80])
