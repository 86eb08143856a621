"""Which transport is next, and after which pause; without a network, without waiting."""

from __future__ import annotations

import pytest

from featurewatch.client.choice import FIRST_RETRY_S, LONGEST_RETRY_S, STABLE_S, Backoff, Choice
from featurewatch.errors import BadInput


def test_the_websocket_comes_first_and_stays_while_it_passes() -> None:
    choice = Choice("auto")
    assert choice.next(0) == "websocket"
    for number in range(10):
        assert not choice.ended(number, 60.0, cut=True)
        assert choice.next(number) == "websocket"


def test_one_that_is_blocked_gives_way_and_is_tried_again_ever_later() -> None:
    choice = Choice("auto")
    now, waits = 0.0, []
    for _ in range(6):
        choice.blocked(now)
        assert choice.next(now) == "sse"
        wait = choice.due_in(now)
        assert wait is not None
        waits.append(wait)
        assert choice.next(now + wait - 0.01) == "sse"
        now += wait
        assert choice.next(now) == "websocket"
    assert waits == [FIRST_RETRY_S, 120, 240, 480, LONGEST_RETRY_S, LONGEST_RETRY_S]


def test_two_cuts_in_a_row_count_as_blocked() -> None:
    choice = Choice("auto")
    assert not choice.ended(0, 1.0, cut=True)
    assert choice.next(0) == "websocket"
    assert choice.ended(1, 1.0, cut=True)
    assert choice.next(1) == "sse"


def test_a_bridge_that_says_why_it_closes_is_no_cut() -> None:
    choice = Choice("auto")
    for _ in range(5):
        assert not choice.ended(0, 1.0, cut=True)
        assert not choice.ended(0, 1.0, cut=False)


def test_a_websocket_that_opens_and_passes_nothing_is_cut_however_long_it_stood() -> None:
    choice = Choice("auto")
    assert not choice.ended(0, 45.0, cut=True, dead=True)
    assert choice.ended(50, 45.0, cut=True, dead=True)


def test_one_that_held_makes_the_next_try_early_again() -> None:
    choice = Choice("auto")
    for _ in range(4):
        choice.blocked(0)
    choice.ended(0, STABLE_S, cut=True)
    choice.blocked(0)
    assert choice.due_in(0) == FIRST_RETRY_S


def test_events_that_do_not_come_either_clear_the_websocket() -> None:
    choice = Choice("auto")
    choice.blocked(0)
    choice.silent()
    assert choice.next(0) == "websocket"


@pytest.mark.parametrize("wanted", ["websocket", "sse"])
def test_the_one_that_is_wanted_alone_is_taken_always(wanted: str) -> None:
    choice = Choice(wanted)  # type: ignore[arg-type]  # one of two words
    choice.blocked(0)
    assert choice.next(0) == wanted
    assert choice.next(1e9) == wanted
    assert not choice.falls_back
    assert choice.due_in(0) is None


def test_a_transport_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadInput, match="transport: expected one of auto, websocket, sse, got 'http'"):
        Choice("http")  # type: ignore[arg-type]  # what a caller without types may write


def test_pauses_double_at_random_between_half_and_all() -> None:
    shortest, longest = Backoff(draw=lambda low, high: low), Backoff(draw=lambda low, high: high)
    assert [shortest.pause() for _ in range(8)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert [longest.pause() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_connection_that_held_makes_the_pause_short_again_and_a_short_one_does_not() -> None:
    backoff = Backoff(draw=lambda low, high: high)
    for _ in range(5):
        backoff.pause()
    backoff.held(STABLE_S - 1)
    assert backoff.pause() == 16
    backoff.held(STABLE_S)
    assert backoff.pause() == 0.5


def test_what_the_bridge_asks_to_wait_is_waited_within_reason() -> None:
    backoff = Backoff(draw=lambda low, high: low)
    assert backoff.pause(5) == 5
    assert backoff.pause(3600) == 30
