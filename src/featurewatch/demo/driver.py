"""Run the walk: ask each feature in its rhythm, from many readers at once, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, TypeAlias

from .workload import Step, Walk

Serve: TypeAlias = Callable[[Step], Coroutine[Any, Any, None]]

_MOST_AT_ONCE: Final = 8
_ORPHAN_CHECK_SECONDS: Final = 1.0


async def drive(
    walk: Walk,
    serve: Serve,
    features: Collection[str],
    stop: asyncio.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask `features` until `stop` is set; requests still running then are cancelled.

    Each feature serves at most eight requests at once; while it does, its next reader waits. The first comes at
    once.

    Raises:
        ExceptionGroup: `serve` failed; nothing more is asked.
    """
    start = clock()
    asking = asyncio.create_task(_ask_all(walk, serve, features, lambda: clock() - start))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def _ask_all(walk: Walk, serve: Serve, features: Collection[str], elapsed: Callable[[], float]) -> None:
    async with asyncio.TaskGroup() as requests:
        for feature in features:
            requests.create_task(_ask(walk, serve, feature, elapsed, requests))


async def _ask(
    walk: Walk, serve: Serve, feature: str, elapsed: Callable[[], float], requests: asyncio.TaskGroup
) -> None:
    places = asyncio.Semaphore(_MOST_AT_ONCE)
    while True:
        await places.acquire()
        request = requests.create_task(serve(walk.next(feature)))
        request.add_done_callback(lambda _: places.release())
        await asyncio.sleep(walk.pause(feature, elapsed()))


async def until_told(stop: asyncio.Event, seconds: float | None = None, parent: int | None = None) -> None:
    """Set `stop` on SIGINT or SIGTERM, after `seconds`, or once `parent`, the process that started this, is gone."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    end = None if seconds is None else loop.time() + seconds
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            rest = _ORPHAN_CHECK_SECONDS if end is None else min(_ORPHAN_CHECK_SECONDS, end - loop.time())
            await asyncio.wait_for(stop.wait(), max(0.0, rest))
        if (end is not None and loop.time() >= end) or (parent is not None and os.getppid() != parent):
            stop.set()
