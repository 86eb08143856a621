"""Channels and cooldowns become routes and receivers; one small file a case, checked by amtool where it can.

A case holds what is given, and after `---` what comes of it. Alertmanager's own configuration is strict, so each of
version 0.25 is also given to `amtool check-config`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alert_model import Channel
from featurewatch.alerts.alertmanager import BRIDGE, HEADER, Bridge, Rendered, intervals, render
from featurewatch.alerts.alertmanager_base import Base, default_base, read_base
from featurewatch.alerts.alertmanager_channels import Abilities, Secrets
from featurewatch.alerts.routes import Route
from featurewatch.errors import SettingsError

CASES = sorted((Path(__file__).parent / "alertmanager").glob("*.yml"))
AMTOOL = shutil.which("amtool")


def rendered(case: dict[str, Any]) -> Rendered:
    base = read_base(case["base"], PurePath("/etc/alertmanager"), "base.yml") if "base" in case else default_base()
    channels = {
        name: Channel(
            name,
            told["kind"],
            told.get("settings", {}),
            {secret: f"{name}.{secret}" for secret in told.get("secrets", {})},
            told.get("send_resolved", True),
            tuple(told.get("severities", ())),
        )
        for name, told in case.get("channels", {}).items()
    }
    texts = {
        f"{name}.{secret}": text
        for name, told in case.get("channels", {}).items()
        for secret, text in told.get("secrets", {}).items()
    }
    bridge = Bridge("http://bridge:8400/api/v1/webhooks/alertmanager", "/secrets/webhook-token")
    return render(
        base,
        [Route(tuple(names), minutes) for names, minutes in case.get("routes", [])],
        channels,
        abilities=Abilities.of(case.get("version", "0.25.0")),
        bridge=bridge if case.get("bridge", True) else None,
        secrets=Secrets("/secrets", texts),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, tmp_path: Path) -> None:
    given_, _, expected = path.read_text(encoding="utf-8").partition("\n---\n")
    case = yaml.safe_load(given_)
    came = rendered(case)
    assert came.text == HEADER + expected, f"{path.name} becomes:\n{came.text.removeprefix(HEADER)}"
    assert sorted(came.bridged) == case.get("bridged", [])
    assert dict(came.unfit) == case.get("unfit", {})
    if AMTOOL is not None and case.get("version", "0.25.0") == "0.25.0":
        (tmp_path / "alertmanager.yml").write_text(came.text)
        ran = subprocess.run(
            [AMTOOL, "check-config", tmp_path / "alertmanager.yml"], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def base(text: str) -> Base:
    return read_base(text, PurePath("/etc"), "ALERTMANAGER_BASE_CONFIG base.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("route: {receiver: a\nreceivers", "not valid YAML: .* at line 2"),
        ("route: {receiver: a}\nreceivers: [{name: a}]\n---\nmore: 1\n", "not valid YAML"),
        ("route: &a\n  receiver: a\n  routes: [*a]\nreceivers: [{name: a}]", "nested too deep, or within itself"),
        ("[" * 5000, "nested too deep"),
        ("", "expected a mapping with route and receivers"),
        ("- a", "expected a mapping"),
        ("receivers: [{name: a}]", "expected route"),
        ("route: {}\nreceivers: [{name: a}]", "expected route.receiver"),
        ("route: {receiver: b}\nreceivers: [{name: a}]", "'b', which is none of its receivers"),
        ("route: {receiver: a, routes: {}}\nreceivers: [{name: a}]", "expected routes as a list"),
        ("route: {receiver: a}\nreceivers: [{name: a}, {}]", "each receiver with a name"),
        ("route: {receiver: a}\nroute: {receiver: a}\nreceivers: [{name: a}]", "route is there twice"),
        ("route: {receiver: featurewatch/x}\nreceivers: [{name: featurewatch/x}]", "a name that we use"),
        ("route: {receiver: a}\nreceivers: [{name: a}]\nx: \x00", "not valid YAML"),
    ],
)
def test_a_base_that_cannot_be_added_to_is_named_with_its_defect(text: str, said: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"ALERTMANAGER_BASE_CONFIG base.yml is .*{said}.*; the last good"
    ) as caught:
        base(text)
    assert "\n" not in caught.value.message


def test_aliases_and_merges_of_theirs_still_mean_the_same() -> None:
    text = """
x-shared: &shared {group_wait: 1s, group_by: [a]}
route: {receiver: a, routes: [{<<: *shared, receiver: a}, {<<: *shared, receiver: b}]}
receivers: [{name: a}, {name: b}]
"""
    merged = yaml.safe_load(base(text).add(routes=[], receivers=[], inhibit_rules=[], header=""))
    assert merged["route"] == yaml.safe_load(text)["route"]


SCALARS = st.sampled_from(
    [
        "yes", "'yes'", "0123", "1e3", "17:00", "09:00", "~", "'~'", "2020-01-01", '"a\\tb"', "'a: b'", "'{{ x }}'",
        "!!str 5", "é", "|-\n        two\n        lines", "1_000", ".5", "null",
    ]
)  # fmt: skip


@given(st.lists(SCALARS, min_size=1, max_size=4), st.booleans())
def test_every_scalar_of_theirs_is_written_as_it_was_read(scalars: list[str], flow: bool) -> None:
    """Compared as nodes: their tag and text are all that a reader of any language sees."""
    if flow and not any("|" in scalar for scalar in scalars):
        listed = "[" + ", ".join(scalars) + "]"
    else:
        listed = "".join(f"\n      - {scalar}" for scalar in scalars)
    text = f"route:\n  receiver: a\nreceivers:\n  - name: a\n    x: {listed}\n"
    came = base(text).add(routes=[{"receiver": "a"}], receivers=[], inhibit_rules=[], header="")

    def nodes(source: str) -> list[tuple[str, str]]:
        root = yaml.compose(source, Loader=yaml.SafeLoader)
        receivers = next(value for key, value in root.value if key.value == "receivers")
        return [(node.tag, node.value) for node in receivers.value[0].value[1][1].value]

    assert nodes(came) == nodes(text)
    assert "!!" not in came.replace("!!str 5", "")


@given(st.integers(1, 7200))
def test_a_group_is_looked_at_in_parts_of_the_cooldown(cooldown: int) -> None:
    told = intervals(cooldown)
    unit = {"h": 3600, "m": 60, "s": 1}
    group, repeat = (int(text[:-1]) * unit[text[-1]] for text in (told["group_interval"], told["repeat_interval"]))
    assert repeat == cooldown * 60
    assert repeat % group == 0


def test_the_base_that_is_shipped_can_be_added_to() -> None:
    text = (Path(__file__).parents[2] / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    merged = base(text).add(routes=[{"receiver": "nobody"}], receivers=[], inhibit_rules=[], header="")
    assert yaml.safe_load(merged)["route"]["receiver"] == "nobody"


def test_the_bridge_hears_of_everything_first_and_goes_on() -> None:
    tests, first = yaml.safe_load(rendered({}).text)["route"]["routes"]
    assert (first["receiver"], first["continue"]) == (BRIDGE, True)
    assert tests["matchers"] == ['featurewatch_route="doctor"']
    assert "continue" not in tests, "people are not told of a test"


def test_nothing_shows_a_secret_by_mistake() -> None:
    slack = {"kind": "slack", "secrets": {"webhook_url": "https://x/TOKEN"}}
    came = rendered({"channels": {"s": slack}, "routes": [[["s"], 5]]})
    assert "TOKEN" not in came.text
    assert "TOKEN" not in repr(Secrets("/s", {"s.webhook_url": "TOKEN"})) + repr(Bridge("http://b", token="TOKEN"))


@pytest.mark.parametrize(
    ("text", "minor"), [("0.25.0", 25), ("v0.34.0-rc.0", 34), ("0.27.0+ds", 27), ("", 25), ("x", 25)]
)
def test_a_version_that_cannot_be_read_counts_as_the_oldest(text: str, minor: int) -> None:
    assert Abilities.of(text).minor == minor
