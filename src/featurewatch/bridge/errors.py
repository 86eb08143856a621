"""How an exception becomes an answer: one table, used by every route and middleware."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from .. import wire
from ..errors import (
    FeaturewatchError,
    Problem,
    SlowBody,
    StoreFull,
    TooMany,
    Unauthenticated,
    Unavailable,
)  # fmt: skip

log = logging.getLogger("featurewatch.bridge")

RETRY_SECONDS: Final = 5
RETRY_FULL_SECONDS: Final = 60
"""A disk does not empty by itself: whoever retries may wait."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

MAX_DETAILS: Final = 100
"""A list of 10,000 wrong lines is told by its first hundred."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, as the caller is told: status, stable word, one line, per-item problems, extra headers."""

    status: int
    code: str
    message: str
    problems: tuple[Problem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        return {
            "error": self.message,
            "code": self.code,
            "details": [_detail(problem) for problem in self.problems[:MAX_DETAILS]],
        }

    def response(self) -> Response:
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(wire.dump(self.payload()), self.status, headers, "application/json")


def fault(error: BaseException, *, method: str = "", path: str = "") -> Fault:
    """Say what an exception means to the caller. What is not expected is `internal`, and shows nothing of itself."""
    match error:
        case FeaturewatchError():
            if error.status >= 500 and not isinstance(error, Unavailable) and error.status != 502:
                return _internal()
            return Fault(error.status, error.code, _one_line(error.message), error.problems, _headers(error))
        case HTTPException(status_code=404):
            return Fault(404, "not_found", f"nothing is found at {_shown(path)}: see the paths in openapi.json")
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            message = f"{method} is not a method of {_shown(path)}; it takes {allowed or 'another'}"
            return Fault(405, "method_not_allowed", message, headers=error.headers or {})
        case HTTPException():
            phrase = http.HTTPStatus(error.status_code).phrase
            code = phrase.lower().replace(" ", "_").replace("-", "_")
            return Fault(error.status_code, code, _one_line(error.detail), headers=error.headers or {})
        case _:
            return _internal()


def told(request: Request, error: Exception) -> Fault:
    """Say what an exception means; the log gets what the caller must not see."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        error = HTTPException(405, headers={"Allow": _allowed(request)})
    meant = fault(error, method=request.method, path=request.url.path)
    if meant.status == 500:
        log.error("%s %s failed", request.method, request.scope.get("path"), exc_info=error)
    return meant


async def answer(request: Request, error: Exception) -> Response:
    """Answer an exception that a route let through (an exception handler of the app)."""
    return told(request, error).response()


def _allowed(request: Request) -> str:
    """List the methods of all routes with the path of a request; the router tells those of the first one only."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.routes
    return ", ".join(
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    )


def _internal() -> Fault:
    return Fault(500, "internal", "the bridge made a mistake; its log says which")


def _headers(error: FeaturewatchError) -> dict[str, str]:
    match error:
        case TooMany():
            return {"Retry-After": str(error.retry_after)}
        case StoreFull():
            return {"Retry-After": str(RETRY_FULL_SECONDS)}
        case Unavailable():
            return {"Retry-After": str(RETRY_SECONDS)}
        case SlowBody():
            return {"Connection": "close"}
        case Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="featurewatch"'}
        case _:
            return {"Upgrade": "websocket"} if error.status == 426 else {}


def _detail(problem: Problem) -> dict[str, Any]:
    shown: dict[str, Any] = {} if problem.index is None else {"index": problem.index}
    return {**shown, "field": problem.field, "message": _one_line(problem.message)}


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _shown(path: str) -> str:
    return path if len(path) <= 120 else path[:120] + "…"
