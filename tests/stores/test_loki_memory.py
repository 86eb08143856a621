"""Whose lines are gone after and since when, what is history, what was lost: and all of it across a restart."""

from __future__ import annotations

import json

import pytest

from featurewatch.model import LogGap
from featurewatch.stores.loki_memory import EVERY, LINGER_S, MOST_NAMED, Coverage, Memory, selector_of
from featurewatch.times import NS
from log_samples import BASE_NS, CHAT, SEARCH, STAGED, line

MINUTE = 60 * NS


def test_who_is_wanted_anew_is_told_once() -> None:
    memory = Memory()
    assert memory.want({"chat"}, BASE_NS, 5)
    assert not memory.want({"chat"}, BASE_NS + 1, 9)
    assert memory.want({"chat", "search"}, BASE_NS + 2, 9)
    assert memory.covered["chat"] == Coverage(BASE_NS, 5, BASE_NS + 2, None)
    assert memory.wants("chat")
    assert not memory.wants("other")
    assert memory.pending() == ["chat", "search"]
    assert memory.selector() == '{feature=~"chat|search"}'
    assert memory.want(None, BASE_NS, 5)
    assert memory.wants("other")
    assert memory.selector() == '{feature=~".+"}'


def test_nobody_wants_what_is_no_feature() -> None:
    memory = Memory()
    assert not memory.want({'a"}', "", "a b", "x|y"}, BASE_NS, 0)
    assert memory.selector() is None


def test_what_nobody_wants_any_more_stays_for_those_who_come_back() -> None:
    memory = Memory()
    memory.want({"chat", "search"}, BASE_NS, 0)
    assert not memory.expire(BASE_NS + 15 * MINUTE)
    memory.want({"search"}, BASE_NS + 15 * MINUTE, 0)
    assert memory.expire(BASE_NS + int(LINGER_S * NS) + 1)
    assert list(memory.covered) == ["search"]


def test_a_clock_that_is_set_lets_nobody_go() -> None:
    memory = Memory()
    memory.want({"chat"}, BASE_NS, 0)
    memory.shift(3600 * NS)
    assert not memory.expire(BASE_NS + 3600 * NS + MINUTE)


def test_a_feature_is_complete_from_what_was_read_or_from_when_it_was_asked_for() -> None:
    memory = Memory()
    memory.want({"chat", "search"}, BASE_NS, 0)
    assert memory.complete_from("chat") is None
    memory.take_up(["chat"], BASE_NS - 15 * MINUTE)
    assert memory.complete_from("chat") == BASE_NS - 15 * MINUTE
    # So many lines since that the page does not reach back: what came since is for the comparison to find.
    memory.take_up(["search", "gone"], BASE_NS + MINUTE)
    assert memory.complete_from("search") == BASE_NS
    memory.take_up(["chat"], BASE_NS)
    assert memory.complete_from("chat") == BASE_NS - 15 * MINUTE, "once taken up"


def test_of_a_feature_that_is_part_of_all_what_is_known_of_all_is_known() -> None:
    memory = Memory()
    memory.want(None, BASE_NS, 3)
    memory.take_up([EVERY], BASE_NS - MINUTE)
    assert memory.complete_from("chat") == BASE_NS - MINUTE
    assert not memory.want({"chat"}, BASE_NS + MINUTE, 9)
    memory.covered.pop(EVERY)
    assert memory.covered["chat"] == Coverage(BASE_NS, 3, BASE_NS + MINUTE, BASE_NS - MINUTE)


def test_until_a_feature_is_taken_up_older_lines_are_history_and_newer_ones_news() -> None:
    memory = Memory()
    memory.want({"chat"}, BASE_NS + 10, 0)
    assert not memory.is_news(line(at=9))
    assert memory.is_news(line(at=10))
    memory.take_up(["chat"], BASE_NS)
    assert memory.is_news(line(at=9)), "one that arrives late"


def test_positions_from_before_a_feature_was_followed_cannot_be_resumed_from() -> None:
    memory = Memory()
    memory.want({"chat"}, BASE_NS, 5)
    memory.want({"search"}, BASE_NS, 7)
    assert memory.lost(5, {"chat"}) is None
    assert memory.lost(4, {"chat"}) == "not_followed"
    assert memory.lost(6, {"chat", "search"}) == "not_followed"
    assert memory.lost(6, {"never"}) == "not_followed"
    assert memory.lost(9, None) == "not_followed"
    memory.want(None, BASE_NS, 8)
    assert memory.lost(9, None) is None
    assert memory.lost(9, {"never"}) is None


def test_gaps_are_told_again_to_those_who_were_away() -> None:
    memory = Memory()
    memory.gaps = [
        LogGap(3, "chat", "production", "late", 2, 0, 1),
        LogGap(5, "chat", None, "unavailable", None, 0, 1),
        LogGap(7, None, None, "unavailable", None, 0, 1),
    ]
    assert [gap.position for gap in memory.told_after(0, None)] == [3, 5, 7]
    assert [gap.position for gap in memory.told_after(0, {CHAT})] == [3, 5, 7]
    assert [gap.position for gap in memory.told_after(0, {STAGED})] == [5, 7]
    assert [gap.position for gap in memory.told_after(0, {SEARCH})] == [7]
    assert [gap.position for gap in memory.told_after(5, {CHAT})] == [5, 7], "rather twice than never"
    memory.forget(6)
    assert [gap.position for gap in memory.gaps] == [7]


def test_silent_positions_are_kept_as_ranges() -> None:
    memory = Memory()
    memory.silence([1, 2, 3, 7])
    memory.silence([8, 20])
    assert memory.silent == [(1, 3), (7, 8), (20, 20)]
    assert [at for at in range(25) if memory.is_silent(at)] == [1, 2, 3, 7, 8, 20]
    memory.forget(8)
    assert memory.silent == [(7, 8), (20, 20)]


def test_all_of_it_is_read_as_it_was_written() -> None:
    memory = Memory(reconciled_ns=5, began=2)
    memory.want({"chat"}, BASE_NS, 5)
    memory.want(None, BASE_NS, 6)
    memory.take_up(["chat"], BASE_NS - 1)
    memory.gaps = [LogGap(3, "chat", None, "late", None, 0, 1), LogGap(4, None, None, "late", 2, 0, 1)]
    memory.silence([1, 2])
    assert Memory.load(json.loads(json.dumps(memory.dump()))) == memory


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        "x",
        {"version": 2},
        Memory().dump() | {"covered": [1]},
        Memory().dump() | {"covered": {"a": [1]}},
        Memory().dump() | {"gaps": [{}]},
        Memory().dump() | {"silent": [1]},
        Memory().dump() | {"reconciled_ns": "x"},
    ],
)
def test_what_is_none_of_ours_is_refused(told: object) -> None:
    with pytest.raises(ValueError):
        Memory.load(told)  # type: ignore[arg-type]  # whatever the file holds


def test_a_journal_that_begins_anew_keeps_who_is_wanted_and_nothing_else() -> None:
    memory = Memory(reconciled_ns=5)
    memory.want({"chat"}, BASE_NS, 5)
    memory.take_up(["chat"], BASE_NS)
    memory.silence([1])
    assert memory.anew(BASE_NS + 1, 99) == Memory({"chat": Coverage(BASE_NS + 1, 99, BASE_NS)}, began=99)


def test_a_selector_means_what_it_names() -> None:
    assert selector_of({"a.b", "c-d"}) == '{feature=~"a[.]b|c-d"}'
    assert selector_of({EVERY, "a"}) == '{feature=~".+"}'
    assert selector_of({f"f{number}" for number in range(MOST_NAMED)}) != '{feature=~".+"}'
    assert selector_of({f"f{number}" for number in range(MOST_NAMED + 1)}) == '{feature=~".+"}'
    assert selector_of({f"{number:064}" for number in range(100)}) == '{feature=~".+"}'
