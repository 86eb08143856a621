"""The console's files: a fixed set, known when the app is made, so that no path can lead elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import html
import mimetypes
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import cramjam
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ... import wire
from ...settings import Settings
from ..endpoint import ROUTE
from ..http import tagged, taken_encodings

FILES: Final = Path(__file__).parents[2] / "console" / "static"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".ts": "text/plain",
    ".webmanifest": "application/manifest+json",
}


CONFIG: Final = b"__FEATUREWATCH_CONFIG__"
"""Stands in index.html where the page reads what the bridge tells it."""


MODULES: Final = b"<!-- modules -->"
"""Stands in index.html where the bridge names the modules that the first view needs: a browser that finds them one by
one, each in the one before, waits once for each step of the way."""

ENTRY: Final = "main.js"
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^"\n]*\bfrom "(\.[^"]+)";|^import "(\.[^"]+)";', re.MULTILINE)


def routes(settings: Settings, folder: Path = FILES) -> list[Route]:
    """Make a route for each file below `folder`; index.html is `/`."""
    config = html.escape(
        wire.dump(
            {"prefix": settings.api_prefix, "grafana": settings.grafana_url, "window": settings.metrics_window}
        ).decode()
    ).encode()
    filled = {CONFIG: config, MODULES: preloads(folder)}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [_route(_address(path.relative_to(folder)), path, filled) for path in files]


def preloads(folder: Path) -> bytes:
    """Make a link for each module that the entry imports, or what it imports; what is imported later is left out."""
    found: dict[Path, None] = {}
    waiting = [folder / ENTRY]
    while waiting:
        module = waiting.pop(0).resolve()
        if module in found or not module.is_file():
            continue
        found[module] = None
        waiting += [module.parent / (one or other) for one, other in _IMPORT.findall(module.read_text())]
    names = [module.relative_to(folder.resolve()).as_posix() for module in list(found)[1:]]
    return "".join(f'<link rel="modulepreload" href="{name}">\n  ' for name in names).encode()


def _address(name: Path) -> str:
    return "/" if name.as_posix() == "index.html" else f"/{name.as_posix()}"


def _route(address: str, path: Path, filled: Mapping[bytes, bytes]) -> Route:
    return Route(address, _serve(path, filled), methods=["GET"], name=f"console:{address}")


def _serve(path: Path, filled: Mapping[bytes, bytes]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media_type.startswith("text/") or media_type in ("application/json", "image/svg+xml"):
        media_type += "; charset=utf-8"
    held = _File(path, filled)

    async def serve(request: Request) -> Response:
        request.scope[ROUTE] = "console"
        encoding = chosen_encoding(request.headers.get("accept-encoding", ""))
        body = held.packed(encoding)
        if body is None:
            body = await asyncio.to_thread(held.read, encoding)
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        # What a page may load is said by the page: on each of its many files it would only weigh.
        if path.suffix in (".html", ".svg"):
            headers["Content-Security-Policy"] = POLICY
        if encoding:
            headers["Content-Encoding"] = encoding
        return tagged(request, body, media_type, headers=headers)

    return serve


def chosen_encoding(header: str) -> str:
    """Choose what a browser takes (Accept-Encoding, RFC 9110 section 12.5.3): br, else gzip, else "" for neither."""
    taken = taken_encodings(header)
    return next((name for name in _ENCODERS if name in taken), "")


class _File:
    """A file in each encoding that was asked for, packed once for each of its states."""

    def __init__(self, path: Path, filled: Mapping[bytes, bytes]) -> None:
        self._path = path
        self._filled = filled
        self._seen = 0
        self._packed: dict[str, bytes] = {}

    def packed(self, encoding: str) -> bytes | None:
        """Return the file in an encoding where it is held so and has not changed since; does not block."""
        return self._packed.get(encoding) if self._path.stat().st_mtime_ns == self._seen else None

    def read(self, encoding: str) -> bytes:
        """Return the file in an encoding, "" for none. Blocks for the disk and the packing."""
        seen = self._path.stat().st_mtime_ns
        if seen != self._seen:
            self._seen, self._packed = seen, {}
        packed = self._packed.get(encoding)
        if packed is None:
            body = self._path.read_bytes()
            if self._path.suffix == ".html":
                for placeholder, text in self._filled.items():
                    body = body.replace(placeholder, text)
            packed = self._packed[encoding] = _ENCODERS[encoding](body) if encoding else body
        return packed


def _brotli(body: bytes) -> bytes:
    return bytes(cramjam.brotli.compress(body, level=9))


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)


_ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"br": _brotli, "gzip": _gzip}
"""The smaller one first. Brotli at 9 takes a millisecond for a file of ours, at 11 twenty."""
