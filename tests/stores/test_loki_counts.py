"""Our counts beside Loki's: what is missing, where to look for it, and what is there twice for good."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.model import FeatureKey
from featurewatch.stores.loki_counts import (
    SPAN_LINES,
    Counts,
    Knowledge,
    Missing,
    Span,
    Tally,
    Verdict,
    judge,
    spans,
    within,
)  # fmt: skip
from log_samples import BASE_NS, CHAT, SEARCH, line

S = 10**9
FIRST = BASE_NS // S + 1
"""The bucket that begins just after BASE_NS."""


def tally(*at: int, key: FeatureKey = CHAT) -> Tally:
    made = Tally(S)
    made.add(line(key=key, at=moment) for moment in at)
    return made


def compare(ours: Tally, theirs: Counts, known: Knowledge = "all") -> Verdict:
    return judge(ours, theirs, lambda key, start_ns: known)


def test_a_bucket_ends_with_its_last_nanosecond() -> None:
    ours = tally(0, 1, S, S + 1)
    assert [ours.ours(CHAT, FIRST + at) for at in (-1, 0, 1)] == [1, 2, 1]
    assert ours.ours(SEARCH, FIRST) == 0
    assert ours.bucket(BASE_NS + S) == FIRST


def test_where_loki_has_more_it_is_to_be_fetched() -> None:
    verdict = compare(tally(1, 2, S + 1), {(CHAT, FIRST): 5, (CHAT, FIRST + 1): 1, (SEARCH, FIRST): 2})
    assert sorted(verdict.fetch) == [Missing(CHAT, FIRST, 3, 5), Missing(SEARCH, FIRST, 2, 2)]
    assert verdict.lost == []


def test_where_loki_has_fewer_nothing_is_missing() -> None:
    # Its retention, or a line of ours that it does not show yet.
    assert compare(tally(1, 2), {(CHAT, FIRST): 1}) == Verdict([], [])


def test_what_loki_holds_twice_is_not_fetched_again_but_what_comes_on_top_is() -> None:
    ours = tally(1, 2)
    assert [missing.lines for missing in compare(ours, {(CHAT, FIRST): 3}).fetch] == [1]
    ours.settle(CHAT, FIRST, 3)
    assert compare(ours, {(CHAT, FIRST): 3}).fetch == []
    assert [missing.lines for missing in compare(ours, {(CHAT, FIRST): 5}).fetch] == [2]
    ours.add([line(at=3), line(at=4)])
    assert compare(ours, {(CHAT, FIRST): 5}).fetch == []


def test_lines_that_came_between_count_and_fetch_hide_no_later_loss() -> None:
    ours = tally(1, 2)
    ours.add([line(at=3)])  # the fetch found one more than was counted
    ours.settle(CHAT, FIRST, 2)
    assert ours.surplus(CHAT, FIRST) == 0
    assert [missing.lines for missing in compare(ours, {(CHAT, FIRST): 4}).fetch] == [1]


def test_of_what_was_never_looked_at_the_first_count_is_what_was_there_before() -> None:
    ours = tally()
    assert compare(ours, {(CHAT, FIRST): 7}, "unknown") == Verdict([], [])
    assert compare(ours, {(CHAT, FIRST): 7}, "unknown") == Verdict([], [])
    ours.add([line(at=1)])  # one came late, by the tail
    assert compare(ours, {(CHAT, FIRST): 8}, "unknown") == Verdict([], [])
    assert compare(ours, {(CHAT, FIRST): 10}, "unknown") == Verdict([], [Missing(CHAT, FIRST, 2, 10)])


def test_what_is_counted_and_not_known_by_ids_cannot_be_fetched() -> None:
    assert compare(tally(1), {(CHAT, FIRST): 3}, "counted") == Verdict([], [Missing(CHAT, FIRST, 2, 3)])


def test_what_is_written_off_is_told_once() -> None:
    ours = tally(1)
    ours.write_off(CHAT, FIRST, 2)
    assert compare(ours, {(CHAT, FIRST): 3}, "counted") == Verdict([], [])
    ours.write_off(CHAT, FIRST, 1)
    assert compare(ours, {(CHAT, FIRST): 5}, "counted").lost == [Missing(CHAT, FIRST, 1, 5)]


def test_counts_of_before_are_filled_in_and_old_ones_forgotten() -> None:
    ours = Tally(S)
    ours.fill({(CHAT, FIRST): 2, (CHAT, FIRST + 10): 3})
    ours.settle(CHAT, FIRST, 5)
    assert (ours.ours(CHAT, FIRST), ours.surplus(CHAT, FIRST), len(ours)) == (2, 3, 3)
    ours.forget(BASE_NS + 5 * S, BASE_NS + 20 * S)
    assert (ours.ours(CHAT, FIRST), ours.surplus(CHAT, FIRST), len(ours)) == (0, None, 1)
    ours.forget(BASE_NS, BASE_NS + 5 * S)
    assert len(ours) == 0


buckets = st.integers(0, 30)
counts = st.dictionaries(st.tuples(st.sampled_from([CHAT, SEARCH]), buckets), st.integers(0, 40), max_size=40)


@given(st.lists(st.tuples(st.sampled_from([CHAT, SEARCH]), buckets), max_size=60), counts)
def test_comparing_and_fetching_ends_with_nothing_missing(
    have: list[tuple[FeatureKey, int]], theirs: dict[tuple[FeatureKey, int], int]
) -> None:
    ours = Tally(S)
    ours.add(line(key=key, at=at * S) for key, at in have)
    told = {(key, BASE_NS // S + at): count for (key, at), count in theirs.items()}
    fetched: Counter[tuple[FeatureKey, int]] = Counter()
    for span in spans(compare(ours, told).fetch, S):
        for missing in span.missing:
            ours.add(line(key=missing.key, at=missing.bucket * S - BASE_NS) for _ in range(missing.lines))
            fetched[missing.key, missing.bucket] += missing.lines
    for (key, at), count in theirs.items():
        place = key, BASE_NS // S + at
        assert fetched[place] == max(0, count - have.count((key, at)))
    assert compare(ours, told) == Verdict([], [])


@given(st.lists(st.builds(Missing, st.sampled_from([CHAT, SEARCH]), buckets, st.integers(1, 9), st.integers(1, 5_000))))
def test_ranges_hold_every_bucket_once_in_order_and_few_lines(missing: list[Missing]) -> None:
    found = spans(missing, S)
    assert sorted(one for span in found for one in span.missing) == sorted(missing)
    for span in found:
        held = {one.bucket for one in span.missing}
        assert span.start_ns == (min(held) - 1) * S
        assert span.end_ns == max(held) * S
        assert span.lines <= SPAN_LINES or len(held) == 1
        assert span.features == {one.key.feature for one in span.missing}
    assert all(before.end_ns <= after.start_ns for before, after in itertools.pairwise(found))


def test_buckets_that_lie_apart_are_fetched_apart() -> None:
    missing = [Missing(CHAT, at, 1, 10) for at in (1, 2, 4, 20)]
    assert [(span.start_ns // S, span.end_ns // S) for span in spans(missing, S)] == [(0, 4), (19, 20)]


@pytest.mark.parametrize(
    ("most", "newest"),
    [(1_000, [2, 3, 4]), (5, [4]), (25, [3, 4]), (30, [2, 3, 4]), (10**9, [1, 2, 3, 4])],
)
def test_of_too_many_lines_the_newest_are_fetched(most: int, newest: list[int]) -> None:
    size = {1: 10**6, 2: 10, 3: 10, 4: 10}
    found = [Span((at - 1) * S, at * S, (Missing(CHAT, at, 1, size[at]),)) for at in (1, 2, 3, 4)]
    fetch, left = within(found, most)
    assert [span.end_ns // S for span in fetch] == newest
    assert left + fetch == found
