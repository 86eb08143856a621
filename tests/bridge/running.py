"""A bridge for tests: the real app on real embedded stores, called in process or over real HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from featurewatch.bridge.app import create_app
from featurewatch.bridge.server import options
from featurewatch.settings import Settings, load

API = "/api/v1"


def settings_in(folder: Path, **given: Any) -> Settings:
    return load({}, data_dir=folder / "data", metrics_interval=0.5, **given)


@asynccontextmanager
async def bridge(folder: Path, **given: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Start a bridge in this event loop; the client speaks to it without a network. `client.app` is the app."""
    app = create_app(settings_in(folder, **given))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
    client.app = app  # type: ignore[attr-defined]  # the tests look inside
    return client


@contextmanager
def serving(folder: Path, *, clock: Callable[[], int] = time.time_ns, **given: Any) -> Iterator[str]:
    """Serve a bridge over HTTP as `featurewatch serve` does, on a free port of loopback, and give its address."""
    settings = settings_in(folder, **given)
    app = create_app(settings, clock=clock)
    how = {**options(settings.trusted_proxies), "timeout_graceful_shutdown": 2}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", **how))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
