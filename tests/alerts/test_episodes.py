"""Signals come late, twice, in any order and from replicas: an episode stays one, with its true start and end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurewatch.alerts.episodes import close, hear, lost, place
from featurewatch.alerts.signals import Signal, Source
from featurewatch.episode_model import Episode, Step
from featurewatch.model import FeatureKey

KEY = FeatureKey("chat", "production")
RULE = "chat-errors"


def signal(
    start: int, end: int | None = None, *, name: str = "one", source: Source = "webhook", **labels: str
) -> Signal:
    told = {"alertname": "Errors", "severity": "high", "metric": "error_rate", **labels}
    notes = {"title": "Errors Alert", "message": "error_rate is 30", "value": "30", "threshold": "20"}
    return Signal(RULE, KEY, name, start, end, told, notes, source)


def heard(
    signals: Iterable[Signal], current: Episode | None = None, *, prefix: str = "id"
) -> tuple[list[Episode], list[str]]:
    """The episodes that came of signals, in the order of their first, and every change."""
    ids = itertools.count(1)
    episodes: dict[str, Episode] = {} if current is None else {current.alert.id: current}
    changes: list[str] = []
    for one in signals:
        step = hear(one, current, lambda: f"{prefix}{next(ids)}")
        if step is not None:
            current = step.episode
            episodes[current.alert.id] = current
            changes += step.changes
    return list(episodes.values()), changes


def only(signals: Iterable[Signal]) -> Episode:
    episodes, _ = heard(signals)
    assert len(episodes) == 1
    return episodes[0]


def test_it_fires_and_ends() -> None:
    episodes, changes = heard([signal(100), signal(100, 160)])
    alert = episodes[0].alert
    assert changes == ["triggered", "resolved"]
    assert (alert.triggered_ns, alert.resolved_ns, alert.status) == (100, 160, "resolved")
    assert (alert.title, alert.severity, alert.condition_active) == ("Errors Alert", "high", False)
    assert alert.metadata == {"metric": "error_rate", "trigger_value": 30.0, "threshold": 20.0}


def test_copies_change_nothing() -> None:
    story = [signal(100), signal(100, 160), signal(200), signal(200, 260)]
    once, changes = heard(story)
    thrice, again = heard([one for one in story for _ in range(3)])
    assert once == thrice
    assert changes == again == ["triggered", "resolved"] * 2


def test_a_late_copy_of_a_firing_does_not_open_what_ended() -> None:
    episodes, changes = heard([signal(100), signal(100, 160), signal(100)])
    assert [episode.open for episode in episodes] == [False]
    assert changes == ["triggered", "resolved"]


def test_what_the_list_says_fires_is_opened_again() -> None:
    episode = only([signal(100), signal(100, 160), signal(100, source="poll")])
    assert episode.open
    assert episode.alert.resolved_ns is None


def test_a_start_that_moves_to_an_earlier_instant_is_the_same_episode() -> None:
    episodes, changes = heard([signal(100), signal(90), signal(90, 160)])
    assert (len(episodes), episodes[0].alert.triggered_ns) == (1, 90)
    assert changes == ["triggered", "updated", "resolved"]


def test_a_firing_after_the_end_is_a_new_episode() -> None:
    episodes, _ = heard([signal(100), signal(100, 160), signal(170)])
    assert [(episode.alert.triggered_ns, episode.open) for episode in episodes] == [(100, False), (170, True)]


def test_two_replicas_are_one_episode_until_both_end() -> None:
    story = [signal(100, name="a"), signal(102, name="b"), signal(100, 160, name="a")]
    assert only(story).open
    done = only([*story, signal(102, 165, name="b")])
    assert (done.alert.triggered_ns, done.alert.resolved_ns) == (100, 165)


def test_a_label_that_changes_stays_in_the_acknowledged_episode() -> None:
    first = only([signal(100)])
    acknowledged = replace(first, alert=replace(first.alert, status="acknowledged"))
    episodes, changes = heard([signal(130, name="two", severity="critical")], acknowledged)
    assert len(episodes) == 1
    assert (episodes[0].alert.status, episodes[0].alert.severity) == ("acknowledged", "critical")
    assert changes == ["updated"]
    step = lost(episodes[0], frozenset({"two"}), 140)
    assert step is not None
    assert step.episode.open, "the other instance fires still"


def test_an_end_that_comes_first_is_a_whole_episode() -> None:
    episodes, changes = heard([signal(100, 160)])
    assert changes == ["triggered", "resolved"]
    assert (episodes[0].alert.triggered_ns, episodes[0].alert.resolved_ns) == (100, 160)


def test_closed_by_hand_it_stays_closed_until_the_condition_clears() -> None:
    closed = close(only([signal(100)]), 150, reason="manual", by="ann", condition_active=True)
    assert closed.held
    still, _ = heard([signal(100), signal(100, source="poll"), signal(140, name="two")], closed)
    assert [episode.held for episode in still] == [True]
    cleared, changes = heard([signal(100, 200), signal(140, 201, name="two")], still[0])
    assert changes == ["updated"]
    assert (cleared[0].alert.condition_active, cleared[0].alert.resolved_ns) == (False, 150)
    again, _ = heard([signal(300)], cleared[0], prefix="next")
    assert [episode.open for episode in again] == [False, True]


def test_absence_ends_it() -> None:
    fires = only([signal(100)])
    assert lost(fires, frozenset({"one"}), 150) is None
    step = lost(fires, frozenset(), 150)
    assert step is not None
    assert step.changes == ("resolved",)
    assert step.episode.alert.resolved_ns == 150
    assert lost(step.episode, frozenset(), 160) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=5), st.randoms())
def test_any_order_within_an_episode_and_any_copies_give_the_true_starts_and_ends(
    spans: list[tuple[int, int]], chance: random.Random
) -> None:
    at, story, truth = 0, [], []
    for pause, length in spans:
        start, end = at + pause, at + pause + length
        told = [signal(start), signal(start, end)]
        story += chance.choices(told, k=3) + told
        truth.append((start, end))
        at = end
    episodes, changes = heard(story)
    assert [(episode.alert.triggered_ns, episode.alert.resolved_ns) for episode in episodes] == truth
    assert changes.count("triggered") == changes.count("resolved") == len(truth)


def test_a_step_tells_its_place() -> None:
    episode = only([signal(100)])
    assert episode.place == place(signal(1))
    assert isinstance(hear(signal(100, 110), episode, str), Step)


@pytest.mark.parametrize("severity", ["", "page"])
def test_a_severity_that_is_none_of_ours_is_medium(severity: str) -> None:
    assert only([signal(100, severity=severity)]).alert.severity == "medium"
