"""The label by which routes are told apart: the same for the same route, another for another, short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from featurewatch.alert_model import CHANNEL_NAME
from featurewatch.alerts.routes import NOBODY, Route, read_route, route_label, route_of

CHANNELS = st.lists(st.from_regex(CHANNEL_NAME, fullmatch=True), max_size=6)
COOLDOWNS = st.integers(1, 7200)


def test_a_label_names_channels_and_cooldown() -> None:
    assert route_label(["ops"], 60) == "ops@60m"
    assert route_label(["ops", "mail"], 5) == "mail+ops@5m"


def test_order_and_repetition_make_no_difference() -> None:
    assert route_label(["ops", "mail", "ops"], 60) == route_label(["mail", "ops"], 60)


def test_without_a_channel_the_cooldown_makes_no_difference() -> None:
    assert route_label([], 60) == route_label([], 5) == NOBODY
    assert read_route(NOBODY) == Route((), 0)


def test_a_channel_called_as_nobody_is_told_apart() -> None:
    assert route_label([NOBODY], 60) != NOBODY


def test_many_channels_become_a_digest_that_is_not_read_as_names() -> None:
    names = [f"channel-of-team-{n}" for n in range(40)]
    label = route_label(names, 60)
    assert len(label) <= 100
    assert label != route_label(names[1:], 60)
    assert read_route(label) is None


def test_other_texts_are_no_routes() -> None:
    for label in ("", "ops", "ops@60", "b+a@60m", "a+a@60m", "+@60m", "@60m", "ops@060m", "none@"):
        assert read_route(label) is None, label


@given(CHANNELS, COOLDOWNS)
def test_a_readable_label_is_read_back(channels: list[str], cooldown: int) -> None:
    label = route_label(channels, cooldown)
    assert len(label) <= 100
    assert read_route(label) == (None if label.startswith("#") else route_of(channels, cooldown))


@given(CHANNELS, COOLDOWNS, CHANNELS, COOLDOWNS)
def test_labels_are_alike_only_where_routes_are(one: list[str], first: int, other: list[str], second: int) -> None:
    alike = route_of(one, first) == route_of(other, second)
    assert (route_label(one, first) == route_label(other, second)) == alike
