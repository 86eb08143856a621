from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.model import FeatureKey, Sample
from featurewatch.stores.cumulative import Gain, Point, apportion, gain, pieces

NS = 10**9
START = 1_771_000_000 * NS
MINUTE = 60 * NS
HOUR = 3600 * NS


def counter(value: float, at_s: float, *, start_ns: int = START) -> Sample:
    key = FeatureKey("chat", "production")
    return Sample("feature_requests_total", key, ("success",), "one", start_ns, START + int(at_s * NS), value)


def observed(counts: tuple[int, ...], total: float, at_s: float) -> Sample:
    family = "feature_request_duration_seconds"
    return Sample(family, FeatureKey("chat", "production"), (), "one", START, START + int(at_s * NS), total, counts)


def test_a_series_first_seen_gained_its_whole_value_since_its_start() -> None:
    assert gain(None, counter(7, 30), 0) == Gain(START, START + 30 * NS, 7)


def test_a_series_that_appears_in_a_process_gained_since_the_process_was_heard_without_it() -> None:
    heard = START + 25 * NS
    assert gain(None, counter(7, 30), heard) == Gain(heard, START + 30 * NS, 7)


def test_a_first_sample_whose_start_nobody_knows_is_a_base_line() -> None:
    assert gain(None, counter(7, 30, start_ns=0), 0) == Gain(START + 30 * NS, START + 30 * NS, 0)


def test_a_later_sample_gained_the_difference() -> None:
    assert gain(Point(START + 30 * NS, 7), counter(9, 35), 0) == Gain(START + 30 * NS, START + 35 * NS, 2)


def test_a_value_that_fell_was_counted_anew() -> None:
    assert gain(Point(START + 30 * NS, 7), counter(3, 35), 0) == Gain(START + 30 * NS, START + 35 * NS, 3)


@pytest.mark.parametrize("at_s", [30, 29.999, 0])
@pytest.mark.parametrize("value", [0, 7, 8])
def test_what_is_not_later_tells_nothing(at_s: float, value: int) -> None:
    assert gain(Point(START + 30 * NS, 7), counter(value, at_s), 0) is None


def test_a_histogram_gains_by_bucket() -> None:
    last = Point(START + 30 * NS, 1.5, (1, 2, 0))
    assert gain(last, observed((1, 4, 1), 4.0, 35), 0) == Gain(last.time_ns, START + 35 * NS, 2.5, (0, 2, 1))


def test_a_histogram_one_of_whose_buckets_fell_was_counted_anew() -> None:
    last = Point(START + 30 * NS, 1.5, (1, 2, 0))
    assert gain(last, observed((0, 9, 1), 4.0, 35), 0) == Gain(last.time_ns, START + 35 * NS, 4.0, (0, 9, 1))


def test_a_gain_of_up_to_a_minute_is_one_piece_at_its_end() -> None:
    assert pieces(START, START + MINUTE) == [(START + MINUTE, MINUTE)]


def test_a_longer_gap_is_cut_at_the_minutes() -> None:
    start = START // MINUTE * MINUTE
    assert pieces(start + 50 * NS, start + 130 * NS) == [
        (start + MINUTE, 10 * NS),
        (start + 2 * MINUTE, MINUTE),
        (start + 130 * NS, 10 * NS),
    ]


def test_what_lies_far_back_is_cut_coarsely_and_beyond_a_month_it_ends() -> None:
    end = START // HOUR * HOUR + 30 * MINUTE
    lengths = [length for _, length in pieces(end - 90 * 24 * HOUR, end)]
    assert sum(lengths) == 30 * 24 * HOUR
    assert lengths == [30 * MINUTE, *[HOUR] * (29 * 24 - 1), *[15 * MINUTE] * (23 * 4 + 2), *[MINUTE] * 60]


instants = st.integers(START, START + 40 * 24 * HOUR)


@given(instants, instants)
def test_pieces_cover_the_gap_without_overlap(one: int, other: int) -> None:
    since, until = sorted((one, other))
    parts = pieces(since, until)
    assert parts[-1][0] == until
    for (end, _), (next_end, next_length) in itertools.pairwise(parts):
        assert end == next_end - next_length
        assert end % MINUTE == 0
    if until - since <= 30 * 24 * HOUR and until > since:
        assert sum(length for _, length in parts) == until - since


parts_of_any_size = st.lists(st.integers(1, 3600), min_size=1, max_size=40).map(
    lambda lengths: [(sum(lengths[: index + 1]), length) for index, length in enumerate(lengths)]
)


@given(st.integers(0, 10**6), parts_of_any_size)
def test_whole_numbers_are_shared_in_whole_numbers_that_add_up(total: int, parts: list[tuple[int, int]]) -> None:
    shares = apportion(total, parts)
    assert sum(share for _, share in shares) == total
    assert all(isinstance(share, int) and share > 0 for _, share in shares)
    assert len({end for end, _ in shares}) == len(shares)
    given = dict(shares)
    whole = sum(length for _, length in parts)
    for end, length in parts:
        assert abs(given.get(end, 0) - total * length / whole) < 1


@given(st.floats(0.001, 1e9), parts_of_any_size)
def test_amounts_are_shared_evenly(total: float, parts: list[tuple[int, int]]) -> None:
    shares = dict(apportion(total, parts))
    assert sum(shares.values()) == pytest.approx(total)
    whole = sum(length for _, length in parts)
    assert all(shares[end] == pytest.approx(total * length / whole) for end, length in parts)


@dataclass(frozen=True)
class Told:
    """A sample of one of several processes that follow each other."""

    process: int
    at: int
    value: int


@st.composite
def lives(draw: st.DrawFn) -> list[list[Told]]:
    """Draw what some processes told, each counting up from its own start."""
    told = []
    for process in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9)), min_size=1, max_size=8))
        at = value = 0
        life = []
        for seconds, calls in steps:
            at, value = at + seconds, value + calls
            life.append(Told(process, at, value))
        told.append(life)
    return told


@given(lives(), st.data())
def test_whatever_is_lost_repeated_or_reordered_the_last_delivered_samples_tell_the_total(
    told: list[list[Told]], data: st.DataObject
) -> None:
    sent = [sample for life in told for sample in life]
    delivered = data.draw(st.lists(st.sampled_from(sent), max_size=30))
    positions: dict[int, Point] = {}
    total = 0.0
    for one in delivered:
        start = START + one.process * 10_000 * NS
        sample = counter(one.value, one.process * 10_000 + one.at, start_ns=start)
        gained = gain(positions.get(one.process), sample, 0)
        if gained is not None:
            assert gained.value >= 0
            assert gained.since_ns < gained.until_ns == sample.time_ns
            positions[one.process] = Point(sample.time_ns, sample.value)
            total += sum(share for _, share in apportion(gained.value, pieces(gained.since_ns, gained.until_ns)))
    known = sum(max((one.value for one in delivered if one.process == life[0].process), default=0) for life in told)
    assert total == known
