"""What is at hand of the open alerts follows every commit, whatever is read from the store meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import pytest

from featurewatch.alert_model import AlertRule
from featurewatch.alerts.history import History
from featurewatch.alerts.signals import Signal
from featurewatch.episode_model import Episode
from featurewatch.model import FeatureKey
from featurewatch.stores.state import State
from featurewatch.stores.state_alerts import Alerts
from featurewatch.times import NS

KEY = FeatureKey("chat", "production")
NOW_NS = 1_790_000_000 * NS

pytestmark = pytest.mark.anyio


class Slow(Alerts):
    """Hands over what it read only when it is told to."""

    read: asyncio.Event
    go_on: asyncio.Event

    async def unsettled(self) -> list[Episode]:
        found = await super().unsettled()
        self.read.set()
        await self.go_on.wait()
        return found


class NoFigures:
    async def measure(self, keys: Collection[FeatureKey], window_s: float) -> Mapping[FeatureKey, object]:
        return {}


@pytest.fixture
async def state(tmp_path: Path, anyio_backend: str) -> AsyncIterator[State]:
    opened = await State.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    await opened.close()


def signal(*, ends_ns: int | None = None) -> Signal:
    return Signal("r1", KEY, "f1", NOW_NS, ends_ns, {"severity": "high"})


async def test_what_is_noted_while_the_open_alerts_are_read_is_not_lost(state: State) -> None:
    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {}

    alerts = Slow(state, clock=time.time_ns)
    alerts.read, alerts.go_on = asyncio.Event(), asyncio.Event()
    history = History(alerts, NoFigures(), find, lambda _: None, clock=lambda: NOW_NS)  # type: ignore[arg-type]  # measure is all that is asked
    loading = asyncio.create_task(history.load())
    await alerts.read.wait()
    assert await history.take([signal()]) == 1
    alerts.go_on.set()
    await loading
    assert [alert.severity for alert in history.open_alerts(KEY)] == ["high"], "it fired after the read"

    alerts.read.clear()
    alerts.go_on.clear()
    loading = asyncio.create_task(history.load())
    await alerts.read.wait()
    assert await history.take([signal(ends_ns=NOW_NS + 1)]) == 1
    alerts.go_on.set()
    await loading
    assert not history.open_alerts(KEY), "it ended after the read"
    assert not history.unsettled
