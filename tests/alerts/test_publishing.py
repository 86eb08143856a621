"""The settings decide what is published where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featurewatch.alert_model import DEPLOYMENT_STATES
from featurewatch.alerts.publishing import Publishing, mail_server, secret_files
from featurewatch.errors import SettingsError, StoreLocked
from featurewatch.settings import Settings, load
from featurewatch.stores.state import State
from featurewatch.stores.state_channels import ChannelStore
from featurewatch.stores.state_rules import Rules

pytestmark = pytest.mark.anyio

LOCAL = {"alertmanager_urls": "http://127.0.0.1:9"}


async def made(folder: Path, **given: Any) -> tuple[Publishing, State]:
    settings = load({}, data_dir=folder, **given)
    state = await State.open(f"sqlite:///{folder}/state.db")
    return Publishing(settings, Rules(state.database), state, ChannelStore(state.database)), state


@pytest.mark.parametrize(
    ("given", "rules", "channels"),
    [
        ({}, set(), False),
        (LOCAL, set(), False),
        ({"prometheus_url": "http://127.0.0.1:9", "prometheus_rules_dir": "{}/rules.d"}, {"figures"}, False),
        (LOCAL | {"alertmanager_config": "{}/am.yml"}, set(), True),
        ({"mimir_url": "http://127.0.0.1:9", "webhook_url": "http://b/"}, {"figures"}, True),
        ({"loki_url": "http://127.0.0.1:9", "loki_ruler": "1"}, {"lines"}, False),
    ],
)
async def test_what_is_published_where(tmp_path: Path, given: dict[str, str], rules: set[str], channels: bool) -> None:
    publishing, state = await made(tmp_path, **{name: text.format(tmp_path) for name, text in given.items()})
    try:
        assert publishing.evaluates == rules
        assert (publishing.channel_state("ops") is not None) == channels
        await publishing.start()
        told = {name for name, *_ in publishing.readings()}
        assert ("featurewatch_publisher_rules" in told) == bool(rules)
        states = {
            dict(labels)["state"]
            for name, _, _, values in publishing.readings()
            for labels in values
            if "deployments" in name
        }
        assert states == (set(DEPLOYMENT_STATES) if rules else set())
        assert ("featurewatch_channels_repairs_total" in told) == channels
    finally:
        await publishing.stop()
        await state.close()


async def test_a_folder_that_cannot_be_written_is_told_of_and_the_bridge_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    publishing, state = await made(
        tmp_path, prometheus_url="http://127.0.0.1:9", prometheus_rules_dir=tmp_path / "file" / "rules.d"
    )
    await publishing.start()
    try:
        assert "PROMETHEUS_RULES_DIR" in publishing.problems["figures"]
    finally:
        await publishing.stop()
        await state.close()


async def test_a_folder_that_another_bridge_has_keeps_the_bridge_from_starting(tmp_path: Path) -> None:
    given = {"prometheus_url": "http://127.0.0.1:9", "prometheus_rules_dir": tmp_path / "rules.d"}
    first, state = await made(tmp_path, **given)
    await first.start()
    second, other = await made(tmp_path, **given)
    with pytest.raises(StoreLocked, match="is in use by another bridge"):
        await second.start()
    for each in (first, second, state, other):
        await (each.stop() if isinstance(each, Publishing) else each.close())


async def test_a_token_file_that_is_missing_is_told_of_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_TOKEN_FILE"):
        await made(tmp_path, **LOCAL, alertmanager_config=tmp_path / "am.yml", webhook_token_file=tmp_path / "nowhere")


def settings_with(folder: Path, base: str) -> Settings:
    path = folder / "base.yml"
    path.write_text(base)
    return load({}, data_dir=folder, **LOCAL, alertmanager_config=folder / "am.yml", alertmanager_base_config=path)


def test_mail_is_sent_as_the_operators_own_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("PASSWORD\n")
    told = mail_server(
        settings_with(
            tmp_path,
            f"global: {{smtp_smarthost: 'mx:25', smtp_from: a@b.c, smtp_auth_username: u, "
            f"smtp_auth_password_file: {tmp_path}/pw, smtp_require_tls: false}}\n"
            "route: {receiver: a}\nreceivers: [{name: a}]\n",
        )
    )
    assert (told.smarthost, told.sender, told.username, told.password) == ("mx:25", "a@b.c", "u", "PASSWORD")
    assert not told.require_tls
    assert "PASSWORD" not in repr(told)
    assert mail_server(settings_with(tmp_path, "broken: [")).smarthost == ""
    assert mail_server(load({})).smarthost == ""


def test_secrets_lie_in_the_data_directory_unless_told_otherwise(tmp_path: Path) -> None:
    assert secret_files(load({}, data_dir=tmp_path)).folder == tmp_path / "secrets"
    assert secret_files(load({}, secrets_dir=tmp_path / "x")).folder == tmp_path / "x"
