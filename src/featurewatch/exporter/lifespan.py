"""The end of an ASGI server, at which what waits is sent.

A server may end its process by the signal that it was told to end by, as uvicorn does: Python then runs nothing of what
`atexit` registered. What the server tells the app before is the last that there is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from .runtime import Runtime

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]


async def send_what_waits(runtime: Runtime) -> None:
    """Flush, for `exit_timeout` seconds at most; not again where that was in vain just now."""
    timeout = runtime.config.exit_timeout
    if (runtime.pusher is None and runtime.shipper is None) or time.monotonic() < runtime.in_vain_until:
        return
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # a loop that is none of asyncio
        done = runtime.flush(timeout)
    else:
        done = await asyncio.to_thread(runtime.flush, timeout)
    if not done:
        runtime.in_vain_until = time.monotonic() + timeout


def ending(runtime: Runtime, send: Send) -> Send:
    """Let the server hear of the app's end once everything is sent."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await send_what_waits(runtime)
        await send(message)

    return sent


def ending_with(runtime: Runtime, lifespan: Lifespan) -> Lifespan:
    """Do the same at the end of the lifespan of an app of Starlette."""

    @asynccontextmanager
    async def prolonged(app: Any) -> AsyncIterator[Any]:
        try:
            async with lifespan(app) as state:
                yield state
        finally:
            await send_what_waits(runtime)

    return prolonged
