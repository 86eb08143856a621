"""Features whose lines reach the store past the bridge become known, as many as there is room for."""

from __future__ import annotations

import pytest

from featurewatch.errors import Unavailable
from featurewatch.model import FeatureKey
from featurewatch.streams.log_discovery import LogDiscovery
from streams.fakes import KEY, entry
from streams.rig import running
from waiting import until

pytestmark = pytest.mark.anyio

CHAT = FeatureKey("chat", "staging")


async def test_a_feature_that_only_the_log_store_knows_is_listed() -> None:
    async with running() as rig:
        discovery = LogDiscovery(rig.logs, rig.hub, interval_s=0.01)
        discovery.start()
        rig.logs.commit([entry(1, CHAT)])
        await until(lambda: CHAT in rig.hub.directory.keys())  # noqa: SIM118 (not a mapping)
        await rig.tick()
        assert "chat" in rig.state.records, "it outlives the bridge"
        await discovery.stop()
        await discovery.stop()


async def test_no_more_are_listed_than_there_is_room_for() -> None:
    async with running() as rig:
        rig.hub.max_features = len(rig.hub.directory) + 2
        rig.logs.commit([entry(number, KEY._replace(feature=f"f{number}")) for number in range(5)])
        await LogDiscovery(rig.logs, rig.hub).look()
        assert len(rig.hub.directory) == rig.hub.max_features
        rig.logs.publish(entry(9, KEY._replace(feature="another")))
        assert len(rig.hub.directory) == rig.hub.max_features
        assert rig.hub.directory.choose("another") is None


async def test_a_store_that_cannot_answer_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as rig:
        discovery = LogDiscovery(rig.logs, rig.hub)
        rig.logs.failure = Unavailable("Loki is away")
        for _ in range(3):
            await discovery.look()
        assert caplog.text.count("Loki is away") == 1
        rig.logs.failure = None
        rig.logs.commit([entry(1, CHAT)])
        await discovery.look()
        assert rig.hub.directory.choose("chat") == "staging"
