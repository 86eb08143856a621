"""`/metrics` for ASGI, WSGI and Starlette: one answer to a request, carried by thin adapters."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..families import FAMILIES, PRICE_TABLE, WAITING
from .exposition import EOF, Exposition, State
from .lifespan import ending, ending_with
from .negotiation import OPENMETRICS, accepts_gzip, choose
from .prices import known_table_version
from .runtime import RUNTIME, Runtime

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

INLINE_FEATURES: Final = 20
"""Up to so many features of one process are rendered on the event loop: about a millisecond."""

GZIP_LEVEL: Final = 1
"""The fastest: exposition is repetitive enough to shrink to a twentieth all the same."""

_METHODS: Final = "GET, HEAD, OPTIONS"
_OURS: Final = frozenset(
    name
    for family in (*FAMILIES.values(), PRICE_TABLE, WAITING)
    for name in (family.name, family.name.removesuffix("_total"))
)


class Answer(NamedTuple):
    """An HTTP response."""

    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes


class Endpoint:
    """Answers scrapes with a runtime's figures, followed by what else is in `registry` if one is given."""

    def __init__(self, runtime: Runtime, registry: Collector | None = None) -> None:
        self._runtime = runtime
        self._registry = registry
        self._exposition = Exposition()
        runtime.check_prefork()
        known_table_version()  # which a first scrape would wait for: it reads what is installed

    @property
    def quick(self) -> bool:
        """Whether an answer takes so little that an event loop may wait for it."""
        runtime = self._runtime
        return self._registry is None and not runtime.joined and len(runtime.features) <= INLINE_FEATURES

    def answer(self, method: str, accept: str, accept_encoding: str) -> Answer:
        """Answer a request."""
        if method == "OPTIONS":
            return Answer(HTTPStatus.OK, [("Allow", _METHODS)], b"")
        if method not in ("GET", "HEAD"):
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", _METHODS)], b"")
        self._runtime.check_prefork()
        format = choose(accept)
        body = self._text(format is OPENMETRICS).encode("utf-8", "replace")
        headers = [("Content-Type", format.content_type), ("Vary", "Accept, Accept-Encoding")]
        if accepts_gzip(accept_encoding):
            body = gzip.compress(body, GZIP_LEVEL)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        return Answer(HTTPStatus.OK, headers, b"" if method == "HEAD" else body)

    def _text(self, openmetrics: bool) -> str:
        runtime = self._runtime
        waiting = {} if (shipper := runtime.shipper) is None else shipper.waiting()
        state = State(*runtime.exposed(), known_table_version(), waiting)
        text = self._exposition.render(state, openmetrics=openmetrics, created=runtime.config.created)
        if self._registry is None:
            return text
        return text.removesuffix(EOF) + _rendered(_Rest(self._registry), openmetrics)


class _Rest:
    """What a registry holds beside our own families, which may be in it by `collector()`."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._registry.collect() if family.name not in _OURS)


def _rendered(rest: Any, openmetrics: bool) -> str:
    from prometheus_client import generate_latest
    from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

    rendered: bytes = (generate_openmetrics if openmetrics else generate_latest)(rest)
    return rendered.decode()


def metrics_app(registry: Collector | None = None) -> Callable[..., Any]:
    """Return an ASGI app that answers with the features' metrics, OpenMetrics where it is asked for.

    `registry` is a prometheus_client registry whose metrics follow ours.
    """
    endpoint = Endpoint(RUNTIME, registry)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await ending(RUNTIME, send)({"type": "lifespan.shutdown.complete"})
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        asked = scope["method"], headers.get(b"accept", ""), headers.get(b"accept-encoding", "")
        answer = endpoint.answer(*asked) if endpoint.quick else await _aside(endpoint, *asked)
        head = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": int(answer.status), "headers": head})
        await send({"type": "http.response.body", "body": answer.body})

    return app


def metrics_wsgi_app(registry: Collector | None = None) -> Callable[..., Any]:
    """Return a WSGI app that answers with the features' metrics, OpenMetrics where it is asked for.

    `registry` is a prometheus_client registry whose metrics follow ours.
    """
    endpoint = Endpoint(RUNTIME, registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = endpoint.answer(
            environ["REQUEST_METHOD"], environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
        )
        start_response(f"{answer.status.value} {answer.status.phrase}", answer.headers)
        return [answer.body]

    return app


def metrics_route(app: Any, path: str = "/metrics", registry: Collector | None = None) -> None:
    """Add `GET /metrics` to a Starlette or FastAPI app, at whose end what waits is sent."""
    from starlette.routing import Route

    route = Route(path, _Object(metrics_app(registry)), methods=["GET"], include_in_schema=False)
    app.router.routes.append(route)
    app.router.lifespan_context = ending_with(RUNTIME, app.router.lifespan_context)


class _Object:
    """An ASGI app as an object: Starlette takes a plain function for one of a request."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


async def _aside(endpoint: Endpoint, method: str, accept: str, accept_encoding: str) -> Answer:
    """Answer on a thread, so that the event loop goes on; on the loop itself where it is none of asyncio."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return endpoint.answer(method, accept, accept_encoding)
    return await asyncio.to_thread(endpoint.answer, method, accept, accept_encoding)
