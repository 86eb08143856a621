"""Routes of a WSGI app as features: each request is a call, to the last byte of its response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeAlias

from .call import NO_CALL, Call, _current
from .feature import Feature
from .routes import Routes, StatusClassifier

WSGIApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class FeatureWSGIMiddleware:
    """Count the requests of a WSGI app's routes (Flask, Django) as calls of features.

        app.wsgi_app = FeatureWSGIMiddleware(app.wsgi_app, routes={"/api/summarize": "summarize"})

    As `FeatureMiddleware` does. A response that the server closes before its end, since the client left, is
    cancelled; one without Content-Length is taken for a stream, and its first byte for the first token.
    """

    def __init__(
        self,
        app: WSGIApp,
        routes: Mapping[str, Feature | str],
        *,
        classify_status: StatusClassifier | None = None,
    ) -> None:
        self._app = app
        self._routes = Routes(routes, classify_status)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on, watched where its route is a feature's."""
        path, root = environ.get("PATH_INFO", "") or "/", environ.get("SCRIPT_NAME", "").rstrip("/")
        feature = self._routes.find(environ["REQUEST_METHOD"], path, root + path)
        call = NO_CALL if feature is None else feature.call()
        if not call:
            return self._app(environ, start_response)
        response = _Response(call, self._routes)

        def starting(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            response.status = int(status[:3])
            response.streams = all(name.lower() != "content-length" for name, _ in headers)
            return start_response(status, headers, *rest)

        response.begin(lambda: self._app(environ, starting))
        return response


class _Response:
    """An app's response as the server iterates it; the call is the running one while the app's code runs, only then."""

    def __init__(self, call: Call, routes: Routes) -> None:
        self._call = call
        self._routes = routes
        self._body: Iterable[bytes] = ()
        self._parts: Iterator[bytes] = iter(())
        self.status = 0
        self.streams = False

    def begin(self, app: Callable[[], Iterable[bytes]]) -> None:
        self._call._begin()
        self._body = self._running(app)
        self._parts = iter(self._body)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        part: bytes = self._running(lambda: next(self._parts))
        if part and self.streams:
            self._call.first_token()
        return part

    def close(self) -> None:
        """Close the app's response; what was not read to its end was cancelled."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._running(close)
        finally:
            self._leave()

    def __del__(self) -> None:
        """End what nobody closed, as a middleware around may forget to."""
        self._leave()

    def _leave(self) -> None:
        if self._call._open and self._call._outcome is None:
            self._call.cancel()
        self._call._end()

    def _running(self, step: Callable[[], Any]) -> Any:
        outer = _current.get()
        _current.set(self._call)
        try:
            return step()
        except StopIteration:
            if self._call._open and self._call._outcome is None:
                self._routes.judge(self._call, self.status)
            self._call._end()
            raise
        except BaseException as error:
            self._call._end(error)
            raise
        finally:
            _current.set(outer)
