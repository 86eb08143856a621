"""Channels reach a real Alertmanager, and people by it; what is theirs stays, and what is bad stays out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager import MINIMAL, Alertmanager, Sink, make
from featurewatch.alert_model import Channel
from featurewatch.alerts.alertmanager import BRIDGE, HEADER, Bridge
from featurewatch.alerts.alertmanager_api import Alertmanager as Api
from featurewatch.alerts.alertmanager_api import config_hash
from featurewatch.alerts.alertmanager_files import SECRETS, AlertmanagerFiles
from featurewatch.alerts.channel_publisher import ChannelPublisher
from featurewatch.alerts.routes import ROUTE_LABEL, Route, route_label
from featurewatch.alerts.tools import Tool
from featurewatch.errors import StoreLocked
from featurewatch.stores.secret_files import SecretFiles
from featurewatch.stores.upstream import Target, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.stack]

OPS = Route(("ops",), 60)


class Source:
    """Channels that a test edits."""

    def __init__(self, secrets: SecretFiles) -> None:
        self.made: dict[str, Channel] = {}
        self._secrets = secrets

    async def channels(self) -> Mapping[str, Channel]:
        return self.made

    def add(self, name: str, kind: Any, settings: Mapping[str, Any], **secrets: str) -> None:
        kept = {setting: self._secrets.keep(f"{name}.{setting}", text) for setting, text in secrets.items()}
        self.made[name] = Channel(name, kind, settings, kept)


def upstream(url: str) -> Upstream:
    return Upstream(Target("Alertmanager", "FEATUREWATCH_ALERTMANAGER", url, timeout_s=5))


@asynccontextmanager
async def publishing(
    folder: Path,
    *servers: Alertmanager,
    base: Path | None = None,
    bridge: Bridge | None = None,
    amtool: str = "amtool",
    path: Path | None = None,
    step: Callable[[str], None] = lambda name: None,
) -> AsyncIterator[tuple[ChannelPublisher, Source]]:
    """Take possession of the first server's configuration; nothing runs in the background."""
    at = path or servers[0].config
    secrets = SecretFiles(folder / "kept")
    source = Source(secrets)
    target = AlertmanagerFiles(at, [Api(upstream(each.url)) for each in servers], Tool(amtool, "AMTOOL"), step=step)
    publisher = ChannelPublisher(
        source, secrets, target, base=base, bridge=bridge, secrets_folder=str(at.parent / SECRETS)
    )
    await publisher._open()
    try:
        yield publisher, source
    finally:
        await publisher.stop()


def labels(route: Route, **more: str) -> dict[str, str]:
    told = {"alertname": "Errors", "feature": "chat", "environment": "production", "metric": "error_rate"}
    return {**told, "rule_id": "r1", "severity": "high", ROUTE_LABEL: route_label(*route), **more}


async def test_an_alert_reaches_its_channel_and_the_bridge(
    tmp_path: Path, own_alertmanager: Alertmanager, sink: Sink
) -> None:
    own_alertmanager.start()
    chats = Route(("teams", "tg"), 60)
    async with publishing(tmp_path, own_alertmanager, bridge=Bridge(f"{sink.url}/bridge", token="TOKEN")) as (
        publisher,
        source,
    ):
        source.add("ops", "webhook", {"url": f"{sink.url}/ops"}, bearer_token="SECRET")
        source.add("teams", "msteams", {}, webhook_url="https://x.logic.azure.com/y")
        source.add("tg", "telegram", {"chat_id": 5}, bot_token="1:x")
        await publisher.ensure("test", [OPS, chats])
        assert publisher.problem == ""
        assert publisher.state("ops").published
        await asyncio.to_thread(
            own_alertmanager.post,
            labels(OPS, severity="critical"),
            labels(OPS, severity="low"),
            labels(chats, metric="uptime"),
        )
        (told,) = await asyncio.to_thread(sink.wait, "/bridge")
        assert told["headers"]["Authorization"] == "Bearer TOKEN"
        (told,) = await asyncio.to_thread(sink.wait, "/ops")
        assert told["headers"]["Authorization"] == "Bearer SECRET"
        assert told["body"]["groupLabels"] == {"feature": "chat", "environment": "production"}
        # A lower severity of the same feature, environment and metric is silent.
        assert [alert["labels"]["severity"] for alert in told["body"]["alerts"]] == ["critical"]
        if publisher.state("tg").teller == "bridge":  # Alertmanager before 0.26
            for name in ("teams", "tg"):
                (told,) = await asyncio.to_thread(sink.wait, f"/bridge/channels/{name}")
                assert [alert["labels"]["metric"] for alert in told["body"]["alerts"]] == ["uptime"]
        written = own_alertmanager.config.read_text()
        assert "SECRET" not in written
        assert own_alertmanager.config.stat().st_mode & 0o777 == 0o600
        secret = next((own_alertmanager.folder / SECRETS).glob("ops.*"))
        assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("SECRET", 0o600)
        assert own_alertmanager.metric("alertmanager_config_hash") == config_hash(written.encode())


async def test_a_rule_touches_the_file_only_with_a_new_combination(
    tmp_path: Path, own_alertmanager: Alertmanager
) -> None:
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        first = own_alertmanager.config.stat()
        await publisher.ensure("test", [OPS])
        await publisher.ensure("other", [OPS])
        await publisher.ensure("test", [])
        await publisher.sync()
        assert own_alertmanager.config.stat().st_ino == first.st_ino
        await publisher.ensure("test", [Route(("ops",), 5)])
        assert own_alertmanager.config.stat().st_ino != first.st_ino
        receivers = {each["name"] for each in yaml.safe_load(own_alertmanager.config.read_text())["receivers"]}
        # Alerts that carry the label of before still find their way.
        assert receivers >= {"featurewatch/ops@60m", "featurewatch/ops@5m"}
    async with publishing(tmp_path, own_alertmanager) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.sync()
        again = own_alertmanager.config.stat()
        await publisher.ensure("test", [OPS])
        assert own_alertmanager.config.stat().st_ino == again.st_ino
        source.made.clear()
        await publisher.ensure("test", [])
        await publisher.publish()
        assert "ops" not in own_alertmanager.config.read_text()


async def test_an_operators_base_that_breaks_keeps_the_last_good_one(
    tmp_path: Path, own_alertmanager: Alertmanager
) -> None:
    base = tmp_path / "base.yml"
    base.write_text("route: {receiver: theirs}\nreceivers: [{name: theirs}]\n")
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager, base=base) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        good = own_alertmanager.config.read_bytes()
        for text, said in (
            ("route: {receiver: [", "is not valid YAML"),
            ("route: {receiver: theirs, group_wait: 5 parsecs}\nreceivers: [{name: theirs}]\n", "refused by amtool"),
            ("route: {receiver: theirs}\nreceivers: [{name: theirs, webhook_configs: [{urll: x}]}]\n", "urll"),
            (f"global: {{http_config: {{basic_auth: hunter2}}}}\n{MINIMAL}", "cannot unmarshal !!str `…`"),
            (f"global: {{slack_api_url: 'http://hooks:x/hunter2'}}\n{MINIMAL}", 'parse "…": invalid port'),
        ):
            base.write_text(text)
            await publisher.ensure("test", [Route(("ops",), 5)])
            assert said in publisher.problem
            assert "hunter2" not in publisher.problem
            assert f"ALERTMANAGER_BASE_CONFIG {base}" in publisher.problem
            assert own_alertmanager.config.read_bytes() == good
        base.unlink()
        await publisher.ensure("test", [Route(("ops",), 5)])
        assert "cannot be read (No such file or directory); the last good" in publisher.problem
        base.write_text("route: {receiver: new}\nreceivers: [{name: new}]\n")
        await publisher.publish()
        assert publisher.problem == ""
        assert yaml.safe_load(own_alertmanager.config.read_text())["route"]["receiver"] == "new"


async def test_without_amtool_alertmanagers_own_refusal_puts_the_last_good_one_back(
    tmp_path: Path, own_alertmanager: Alertmanager
) -> None:
    base = tmp_path / "base.yml"
    base.write_text(MINIMAL)
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager, base=base, amtool="no-such-program") as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        good = own_alertmanager.config.read_bytes()
        base.write_text("route: {receiver: a, group_wait: 5 parsecs}\nreceivers: [{name: a}]\n")
        await publisher.ensure("test", [Route(("ops",), 5)])
        assert "refuses it: " in publisher.problem
        assert "parsecs" in publisher.problem
        assert own_alertmanager.config.read_bytes() == good
        assert own_alertmanager.metric("alertmanager_config_last_reload_successful") == 1


async def test_a_channel_that_amtool_refuses_is_left_out_and_named(
    tmp_path: Path, own_alertmanager: Alertmanager
) -> None:
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager) as (publisher, source):
        for name in ("a", "b", "c"):
            source.add(name, "webhook", {"url": "http://127.0.0.1:9/"})
        # What validation would not let through.
        source.made["bad"] = Channel("bad", "webhook", {"url": "ftp://nowhere"})
        source.made["lost"] = Channel("lost", "slack", {}, {"webhook_url": "lost.webhook_url~000000000000"})
        await publisher.ensure("test", [Route(("a", "b", "bad", "c", "lost"), 60)])
        assert publisher.problem == ""
        assert "unsupported scheme" in publisher.state("bad").error
        assert "lost.webhook_url~000000000000 cannot be read" in publisher.state("lost").error
        assert [publisher.state(name).published for name in ("a", "b", "c", "bad", "lost")] == [True] * 3 + [False] * 2


async def test_an_alertmanager_that_is_away_is_waited_for(tmp_path: Path, own_alertmanager: Alertmanager) -> None:
    other = make(tmp_path / "other")
    other.arguments = [*other.arguments, f"--config.file={own_alertmanager.config}"]
    other.arguments = [each for each in other.arguments if each != f"--config.file={other.config}"]
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager, other) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        assert f"Alertmanager at {other.url} cannot be reached" in publisher.problem
        assert own_alertmanager.config.read_text().startswith(HEADER)
        other.start()
        try:
            await publisher.publish()
            assert publisher.problem == ""
        finally:
            other.stop()


async def test_an_alertmanager_that_reads_another_file_is_told_of(
    tmp_path: Path, own_alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurewatch.alerts.alertmanager_files._SHOW_S", 0.5)
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager, path=tmp_path / "elsewhere.yml") as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        assert f"does its --config.file name {tmp_path}/elsewhere.yml?" in publisher.problem


async def test_what_was_there_before_becomes_the_base(tmp_path: Path, own_alertmanager: Alertmanager) -> None:
    theirs = "route: {receiver: theirs, routes: [{match: {team: x}, receiver: theirs}]}\nreceivers: [{name: theirs}]\n"
    own_alertmanager.config.write_text(theirs)
    own_alertmanager.start()
    for cooldown in (5, 10):
        async with publishing(tmp_path, own_alertmanager) as (publisher, source):
            source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
            await publisher.ensure("test", [Route(("ops",), cooldown)])
            told = yaml.safe_load(own_alertmanager.config.read_text())
            assert told["route"]["routes"][-1] == {"match": {"team": "x"}, "receiver": "theirs"}
    assert own_alertmanager.config.with_name("alertmanager.yml.before-featurewatch").read_text() == theirs


async def test_what_others_change_is_put_right_and_a_new_secret_takes_effect(
    tmp_path: Path, own_alertmanager: Alertmanager
) -> None:
    own_alertmanager.start()
    async with publishing(tmp_path, own_alertmanager) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"}, bearer_token="ONE")
        await publisher.ensure("test", [OPS])
        good = own_alertmanager.config.read_bytes()
        own_alertmanager.config.write_bytes(good.replace(b"1h", b"2h"))
        await publisher.sync()
        assert (own_alertmanager.config.read_bytes(), publisher.repairs) == (good, 1)
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"}, bearer_token="TWO")
        await publisher.publish()
        assert [path.read_text() for path in (own_alertmanager.folder / SECRETS).iterdir()] == ["TWO"]


async def test_two_bridges_on_one_file_are_refused(tmp_path: Path, own_alertmanager: Alertmanager) -> None:
    async with publishing(tmp_path, own_alertmanager):
        with pytest.raises(StoreLocked, match=r"ALERTMANAGER_CONFIG .* is in use by another bridge"):
            async with publishing(tmp_path, own_alertmanager):
                pass


STEPS = ("announce", "rename alertmanager.yml", "commit")
"""Those between which people see a difference; `test_fileset` takes all of them."""


@pytest.mark.parametrize("fatal", STEPS)
async def test_a_bridge_killed_at_any_step_is_put_right_by_the_next(
    tmp_path: Path, own_alertmanager: Alertmanager, fatal: str
) -> None:
    own_alertmanager.start()
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, __file__, tmp_path, own_alertmanager.url, own_alertmanager.config, fatal],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    own_alertmanager.reload()
    async with publishing(tmp_path, own_alertmanager) as (publisher, source):
        source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"})
        await publisher.ensure("test", [OPS])
        assert publisher.problem == ""
        assert own_alertmanager.metric("alertmanager_config_hash") == config_hash(own_alertmanager.config.read_bytes())
        assert "featurewatch/ops@60m" in own_alertmanager.config.read_text()


async def _publish_and_die(folder: Path, url: str, config: Path, fatal: str) -> None:
    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    secrets = SecretFiles(folder / "kept")
    source = Source(secrets)
    source.add("ops", "webhook", {"url": "http://127.0.0.1:9/"}, bearer_token="X")
    target = AlertmanagerFiles(config, [Api(upstream(url))], Tool("amtool", "AMTOOL"), step=step)
    publisher = ChannelPublisher(
        source, secrets, target, base=None, bridge=None, secrets_folder=str(config.parent / SECRETS)
    )
    await publisher.ensure("test", [OPS])


def test_the_bridges_receiver_has_a_name_of_ours() -> None:
    assert BRIDGE.startswith("featurewatch/")


if __name__ == "__main__":
    asyncio.run(_publish_and_die(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
