from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from featurewatch.demo.corpus import Corpus
from featurewatch.demo.driver import drive, until_told
from featurewatch.demo.library import Library
from featurewatch.demo.workload import Step, Walk


class _Hurried(Walk):
    def pause(self, feature: str, at: float) -> float:
        return 0.0


def test_features_are_asked_until_told_to_stop_and_what_runs_then_is_cancelled(
    corpus: Corpus, library: Library
) -> None:
    served: Counter[str] = Counter()
    cancelled: list[str] = []
    busy = asyncio.Event()

    async def serve(step: Step) -> None:
        served[step.feature] += 1
        if served["search"] >= 50 and served["explain"] >= 8:
            busy.set()
        if step.feature == "explain":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(step.trace_id)
                raise

    async def scene() -> None:
        stop = asyncio.Event()
        driving = asyncio.create_task(drive(_Hurried(corpus, library.passages, 1), serve, ("search", "explain"), stop))
        await asyncio.wait_for(busy.wait(), 30)
        stop.set()
        await asyncio.wait_for(driving, 30)

    asyncio.run(scene())
    assert set(served) == {"search", "explain"}
    assert served["explain"] == 8, "a feature serves at most eight at once"
    assert len(cancelled) == 8


def test_a_broken_server_ends_the_drive_instead_of_being_hidden(corpus: Corpus, library: Library) -> None:
    async def serve(step: Step) -> None:
        raise LookupError(step.feature)

    async def scene() -> None:
        await asyncio.wait_for(drive(_Hurried(corpus, library.passages, 1), serve, ("search",), asyncio.Event()), 30)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(scene())
    assert caught.value.subgroup(LookupError) is not None


def test_it_stops_after_the_seconds_that_it_was_given() -> None:
    async def scene() -> float:
        stop = asyncio.Event()
        started = time.monotonic()
        await asyncio.wait_for(until_told(stop, 0.2), 30)
        assert stop.is_set()
        return time.monotonic() - started

    assert asyncio.run(scene()) >= 0.2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(number: int) -> None:
    async def scene() -> None:
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), number)
        await asyncio.wait_for(until_told(asyncio.Event()), 30)

    asyncio.run(scene())


_CHILD = """
import asyncio, sys
from featurewatch.demo.driver import until_told
print("ready", flush=True)
asyncio.run(until_told(asyncio.Event(), parent=int(sys.argv[1])))
print("left", flush=True)
"""
_PARENT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
sys.stdin.read()
"""


def test_an_attached_app_leaves_when_its_parent_was_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert parent.stdout.read() == "left\n"
    parent.communicate()
