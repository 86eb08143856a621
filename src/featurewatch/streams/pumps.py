"""From a client's outbox into its WebSocket: message by message, or in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.websockets import WebSocket

from .outbox import Outbox
from .server import FRAMES
from .stats import Stats
from .turns import Turns

FLUSH_S: Final = 0.1
FRAME_BYTES: Final = 64 * 1024
"""A batched frame is flushed so often, and is about so large, at most."""


async def pump_messages(
    websocket: WebSocket, outbox: Outbox, stats: Stats, turns: Turns, going: Callable[[], bool]
) -> None:
    """Send each message as a frame, until the outbox is closed and empty or `going` says no."""
    send, time = websocket.send, asyncio.get_running_loop().time
    ready_made = websocket.scope.get("extensions", {}).get(FRAMES)
    write: Callable[[bytes], bool] | None = ready_made["write"] if ready_made else None
    while going():
        if not turns.free:
            await turns.wait()
        parcel = outbox.take()
        if parcel is None:
            if outbox.closed:
                return
            await outbox.arrival()
            continue
        turns.spend(parcel.size)
        if write is not None and write(parcel.frames):
            stats.messages += len(parcel.messages)
            continue
        outbox.sending_since = time()
        if write is not None:
            await send({"type": "websocket.send", FRAMES: parcel.frames})
        else:
            for message in parcel.messages:
                await send({"type": "websocket.send", "text": message.text})
        outbox.sending_since = None
        stats.messages += len(parcel.messages)


async def pump_batches(
    websocket: WebSocket, outbox: Outbox, stats: Stats, turns: Turns, going: Callable[[], bool]
) -> None:
    """Send frames that are arrays of messages, at most one each 100 ms while little waits; ends as `pump_messages`."""
    send, time = websocket.send, asyncio.get_running_loop().time
    flushed, full = 0.0, False
    while going():
        if not outbox.ready():
            await outbox.wait()
        delay = flushed + FLUSH_S - time()
        if delay > 0 and not full and not outbox.closed:
            await asyncio.sleep(delay)
        if not turns.free:
            await turns.wait()
        flushed = time()
        parcels, size = [], 0
        while size < FRAME_BYTES and (parcel := outbox.take()) is not None:
            parcels.append(parcel)
            size += parcel.size
        if not parcels:
            if outbox.closed:
                return
            continue
        # More waits than fits into a frame: what was cut does not wait for another turn.
        full = size >= FRAME_BYTES
        turns.spend(size)
        outbox.sending_since = flushed
        array = ",".join([parcel.array for parcel in parcels])
        await send({"type": "websocket.send", "text": f"[{array}]"})
        outbox.sending_since = None
        stats.messages += sum(len(parcel.messages) for parcel in parcels)
