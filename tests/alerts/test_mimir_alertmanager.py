"""Channels reach Mimir's Alertmanager by its API; it reads no files, so secrets stand in the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from featurewatch.alerts.alertmanager import Bridge
from featurewatch.alerts.channel_publisher import ChannelPublisher
from featurewatch.alerts.mimir_alertmanager import MimirAlertmanager
from featurewatch.alerts.routes import Route
from featurewatch.stores.secret_files import SecretFiles
from featurewatch.stores.upstream import Target, Upstream

from .fake_mimir import FakeMimir
from .test_channel_publisher import Source

pytestmark = pytest.mark.anyio

OPS = Route(("ops",), 60)


@pytest.fixture
def mimir() -> Iterator[FakeMimir]:
    made = FakeMimir()
    yield made
    made.close()


def publisher_on(folder: Path, mimir: FakeMimir, base: Path | None = None) -> tuple[ChannelPublisher, Source]:
    secrets = SecretFiles(folder / "kept")
    target = MimirAlertmanager(
        Upstream(Target("Mimir", "FEATUREWATCH_MIMIR", mimir.url, tenant="a")), folder / "before.yml"
    )
    source = Source(secrets)
    bridge = Bridge("http://bridge/webhook", token="TOKEN")
    return ChannelPublisher(source, secrets, target, base=base, bridge=bridge, secrets_folder=""), source


@pytest.fixture
async def publishing(
    anyio_backend: str, tmp_path: Path, mimir: FakeMimir
) -> AsyncIterator[tuple[ChannelPublisher, Source]]:
    publisher, source = publisher_on(tmp_path, mimir)
    yield publisher, source
    await publisher.stop()


async def test_channels_are_published_with_their_secrets_within(
    publishing: tuple[ChannelPublisher, Source], mimir: FakeMimir
) -> None:
    publisher, source = publishing
    source.add("ops", "slack", {}, webhook_url="https://hooks.slack.com/SECRET")
    source.add("teams", "msteams", {}, webhook_url="https://x.logic.azure.com/SECRET")
    await publisher.ensure("test", [OPS, Route(("teams",), 5)])
    assert publisher.problem == ""
    receivers = {each["name"]: each for each in yaml.safe_load(mimir.config or "")["receivers"]}
    assert receivers["featurewatch/ops@60m"]["slack_configs"][0]["api_url"] == "https://hooks.slack.com/SECRET"
    assert "msteamsv2_configs" in receivers["featurewatch/teams@5m"]
    webhook = receivers["featurewatch/bridge"]["webhook_configs"][0]
    assert webhook["http_config"]["authorization"] == {"credentials": "TOKEN"}
    assert mimir.tenants == {"a"}
    assert publisher.state("teams").teller == "alertmanager"


async def test_what_was_there_before_becomes_the_base_and_outlasts_a_restart(tmp_path: Path, mimir: FakeMimir) -> None:
    mimir.config = "route: {receiver: theirs}\nreceivers: [{name: theirs}]\n"
    for cooldown in (5, 10):
        publisher, source = publisher_on(tmp_path, mimir)
        source.add("ops", "webhook", {"url": "http://x/"})
        await publisher.ensure("test", [Route(("ops",), cooldown)])
        assert yaml.safe_load(mimir.config)["route"]["receiver"] == "theirs"
        await publisher.stop()
    assert (tmp_path / "before.yml").stat().st_mode & 0o777 == 0o600


async def test_what_mimir_refuses_leaves_the_last_good_one(tmp_path: Path, mimir: FakeMimir) -> None:
    base = tmp_path / "base.yml"
    base.write_text("route: {receiver: theirs}\nreceivers: [{name: theirs}]\n")
    publisher, source = publisher_on(tmp_path, mimir, base)
    source.add("ops", "webhook", {"url": "http://x/"})
    await publisher.ensure("test", [OPS])
    good = mimir.config
    base.write_text("route: {receiver: theirs}\nreceivers: [{name: theirs, webhook_configs: [{urll: x}]}]\n")
    await publisher.ensure("test", [Route(("ops",), 5)])
    assert "field urll not found" in publisher.problem
    assert mimir.config == good
    mimir.config = "route: {receiver: another}\nreceivers: [{name: another}]\n"
    base.write_text("route: {receiver: theirs}\nreceivers: [{name: theirs}]\n")
    await publisher.sync()
    assert (publisher.problem, "featurewatch/ops@5m" in mimir.config) == ("", True)
    await publisher.stop()
