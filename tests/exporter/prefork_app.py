"""The app that the tests run under servers with several workers: ASGI for uvicorn, WSGI for gunicorn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse

import featurewatch

featurewatch.configure(environment="production")
CHAT = featurewatch.Feature("chat", models=["gpt-5-mini"])


def work() -> str:
    with CHAT.call() as call:
        call.tokens(input=3, output=1)
        call.cost(0.5)
    return str(os.getpid())


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(work())


app = Starlette()
app.add_route("/call", answer)
featurewatch.metrics_route(app)

_metrics = featurewatch.metrics_wsgi_app()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/metrics":
        body: Iterable[bytes] = _metrics(environ, start_response)
        return body
    if environ["PATH_INFO"] == "/slow":
        with CHAT.call():
            time.sleep(2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [work().encode()]
