"""Routes of an ASGI app as features: each request is a call, to the last byte of its response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from .call import NO_CALL, Call
from .feature import Feature
from .lifespan import ending
from .routes import Routes, StatusClassifier
from .runtime import RUNTIME

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLOSED_WELL: Final = frozenset({1000, 1001, 1005})
"""Done, going away (a page was left), no code given."""


class FeatureMiddleware:
    """Count the requests of an ASGI app's routes as calls of features.

        app = FeatureMiddleware(app, routes={"/api/summarize": "summarize", "POST /chat/{id}": chat})
        app.add_middleware(FeatureMiddleware, routes={...})          # Starlette, FastAPI

    A call lasts to the last byte of the response; the first byte of a streamed one is its first token. 5xx and 429
    are errors, named `http_503`; other statuses are successes, unless `classify_status` says "error", "cancelled",
    "success" or an error type for them. A client that leaves before the end cancels. Exceptions are counted and raised
    on. A WebSocket is a call from its acceptance to its close. In the handler `current_call()` is the call.
    At the server's end what waits is sent.

    Paths match whole or relative to what the app is mounted at (root_path).

    Raises:
        SettingsError: a route is no path, or its feature none.
    """

    def __init__(
        self,
        app: App,
        routes: Mapping[str, Feature | str],
        *,
        classify_status: StatusClassifier | None = None,
    ) -> None:
        self._app = app
        self._routes = Routes(routes, classify_status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, watched where its route is a feature's."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, ending(RUNTIME, send))
            return
        feature = None
        if kind in ("http", "websocket"):
            path, root = scope["path"], scope.get("root_path", "").rstrip("/")
            inside = path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else path
            feature = self._routes.find(scope.get("method", "WEBSOCKET"), path, inside or "/")
        call = NO_CALL if feature is None else feature.call()
        if not call:
            await self._app(scope, receive, send)
            return
        watched = _Http(call, self._routes) if kind == "http" else _WebSocket(call)
        try:
            watched.begin()
            await self._app(scope, watched.receiving(receive), watched.sending(send))
        except BaseException as error:
            watched.ended(error)
            raise
        watched.ended(None)


class _Http:
    """A request and its response, told by what passes between the app and the server."""

    def __init__(self, call: Call, routes: Routes) -> None:
        self._call = call
        self._routes = routes
        self._status = 0
        self._complete = False
        self._gone = False

    def begin(self) -> None:
        self._call.__enter__()

    def receiving(self, receive: Receive) -> Receive:
        async def received() -> Message:
            message = await receive()
            # After the response there is nothing else to be received.
            if message["type"] == "http.disconnect" and not self._complete:
                self._gone = True
            return message

        return received

    def sending(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.start":
                self._status = message["status"]
            try:
                await send(message)
            except OSError:
                self._gone = True
                raise
            if kind == "http.response.body":
                more = message.get("more_body", False)
                if more and message.get("body"):
                    self._call.first_token()
                self._complete = self._complete or not more
            elif kind == "http.response.pathsend":
                self._complete = True
            # What runs on after the response is no part of the call. A failed one waits for its exception, which
            # an app's outermost layer raises after it has answered 500.
            if self._complete and self._status < 500:
                self._finish(None)

        return sent

    def ended(self, error: BaseException | None) -> None:
        if self._complete or self._gone:
            self._finish(error)
        elif error is None and self._call._open and self._call._outcome is None:
            self._call.fail("incomplete_response")
        self._call.__exit__(None, error, None)

    def _finish(self, error: BaseException | None) -> None:
        """Decide the outcome, unless the handler did, and end the call."""
        call = self._call
        if call._open and call._outcome is None:
            if self._gone:
                call.cancel()
            elif error is None:
                self._routes.judge(call, self._status)
        call._end(error)


class _WebSocket:
    """A WebSocket from its acceptance to its close, by whomever."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def begin(self) -> None:
        """Wait for the acceptance: what is refused was no call."""

    def receiving(self, receive: Receive) -> Receive:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                if message.get("code", 1005) not in _CLOSED_WELL and self._call._outcome is None:
                    self._call.cancel()
                self._call._end()
            return message

        return received

    def sending(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            kind = message["type"]
            await send(message)
            if kind == "websocket.accept":
                self._call.__enter__()
            elif kind == "websocket.send":
                self._call.first_token()
            elif kind == "websocket.close":
                code = message.get("code", 1000) or 1000
                if code not in _CLOSED_WELL and 1011 <= code <= 1014 and self._call._outcome is None:
                    self._call.fail(f"websocket_{code}")
                self._call._end()

        return sent

    def ended(self, error: BaseException | None) -> None:
        """End what was accepted and is still open; a handler that just returns closes it normally."""
        if self._call._open is not None:
            self._call.__exit__(None, error, None)
