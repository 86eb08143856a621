"""The console's files: a fixed set, known when the app is made, so that no path can lead elsewhere."""

from __future__ import annotations

import asyncio
import html
import mimetypes
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ... import wire
from ...settings import Settings
from ..endpoint import ROUTE
from ..http import tagged

FILES: Final = Path(__file__).parents[2] / "console" / "static"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


CONFIG: Final = b"__FEATUREWATCH_CONFIG__"
"""Stands in index.html where the page reads what the bridge tells it."""


def routes(settings: Settings, folder: Path = FILES) -> list[Route]:
    """Make a route for each file below `folder`; index.html is `/`."""
    config = html.escape(
        wire.dump(
            {"prefix": settings.api_prefix, "grafana": settings.grafana_url, "window": settings.metrics_window}
        ).decode()
    ).encode()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [_route(_address(path.relative_to(folder)), path, config) for path in files]


def _address(name: Path) -> str:
    return "/" if name.as_posix() == "index.html" else f"/{name.as_posix()}"


def _route(address: str, path: Path, config: bytes) -> Route:
    return Route(address, _serve(path, config), methods=["GET"], name=f"console:{address}")


def _serve(path: Path, config: bytes) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media_type.startswith("text/") or media_type in ("application/json", "image/svg+xml"):
        media_type += "; charset=utf-8"

    async def serve(request: Request) -> Response:
        request.scope[ROUTE] = "console"
        body = await asyncio.to_thread(path.read_bytes)
        if path.suffix == ".html":
            body = body.replace(CONFIG, config)
        return tagged(
            request, body, media_type, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        )

    return serve
