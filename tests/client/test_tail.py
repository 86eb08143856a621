"""`featurewatch tail` where something between it and the bridge lets no WebSocket pass."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from client.listening import send
from client.proxy import CUT, PASS, proxy
from running import bridge, environment

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("blocked", ["403 Forbidden", "in mid-stream"])
async def test_tail_prints_each_line_once_where_websocket_is_blocked(tmp_path: Path, blocked: str) -> None:
    with bridge(tmp_path) as served:
        await send(served.url, "chat", "one", "two")
        async with asyncio.timeout(90), proxy(served.url) as between:
            between.websockets = blocked if blocked[:3].isdigit() else PASS
            tail = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "featurewatch.cli", "tail", "chat", "-n", "1",
                env=environment({"FEATUREWATCH_URL": between.url}),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert tail.stdout is not None
            assert tail.stderr is not None
            lines = [await tail.stdout.readline()]
            await send(served.url, "chat", "three")
            lines.append(await tail.stdout.readline())
            if between.websockets == PASS:
                between.websockets = CUT
                between.cut_all()
                await send(served.url, "chat", "four", "five")
                lines += [await tail.stdout.readline(), await tail.stdout.readline()]
            tail.send_signal(signal.SIGINT)
            notes = (await tail.stderr.read()).decode()
            assert await tail.wait() == 130
    told = [line.decode().strip().partition(": ")[2] for line in lines]
    assert told == ["two", "three", "four", "five"][: len(told)]
    assert "going on by server-sent events" in notes
    assert ("disconnected" in notes) == (len(told) == 4)
