"""Publish rules, and be killed before a step: `publish_and_die.py FOLDER URL STEP`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from alerts.groups import by_id, group, target_on

OLD = by_id([group("a", "vector(1) > 0")])
NEW = by_id([group("a", "vector(2) > 0", revision=2), group("b")])


async def run(folder: Path, url: str, fatal: str) -> None:
    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    async with target_on(folder, url, step=step) as target:
        await target.publish(NEW, list(NEW), lambda rules, state: None)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
