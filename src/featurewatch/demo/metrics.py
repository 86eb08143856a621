"""Serve the demo app's `/metrics` to Prometheus. A web app needs none of this: `featurewatch.metrics_route(app)`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import featurewatch


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """Seconds that somebody who connects may take to ask."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who scrapes counts itself."""


def serve_metrics(host: str, port: int) -> WSGIServer:
    """Serve `/metrics` from a thread of its own until `server_close`; port 0 takes a free one.

    Raises:
        OSError: the address cannot be listened on.
    """
    metrics = featurewatch.metrics_wsgi_app()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"/metrics is all that there is\n"]

    server = make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="featurewatch-demo-metrics", daemon=True).start()
    return server
