"""Instants and durations as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.errors import BadInput, OutOfRange
from featurewatch.times import format_instant, parse_duration, parse_instant


@given(st.integers(min_value=-(10**18), max_value=4 * 10**18))
def test_an_instant_survives_being_written_and_read(ns: int) -> None:
    assert parse_instant(format_instant(ns)) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-01T00:01", 60 * 10**9),
        ("1970-01-01t00:00:01z", 10**9),
        ("1970-01-01 00:00:01.5", 1_500_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T01:00:00+01", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("1970-01-01T00:00:00,000000001999Z", 1),
    ],
)
def test_every_usual_form_of_iso_8601_is_read(text: str, ns: int) -> None:
    assert parse_instant(text) == ns


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "1700000000", "2026-01-01T25:00:00Z", "0000-01-01"]
)
def test_what_is_no_instant_is_named_with_what_was_expected(text: str) -> None:
    with pytest.raises(BadInput, match=r"^start_time: .*") as caught:
        parse_instant(text, name="start_time")
    assert "\n" not in caught.value.message


def test_microseconds_are_always_shown_and_nanoseconds_where_there_are_some() -> None:
    assert format_instant(0) == "1970-01-01T00:00:00.000000Z"
    assert format_instant(1) == "1970-01-01T00:00:00.000000001Z"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5400), (" 5M ", 300)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 minutes", "1.5h", "5y"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="expected a duration such as 30s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "401d", "99999999999w"])
def test_a_duration_out_of_range_is_told_apart_from_a_malformed_one(text: str) -> None:
    with pytest.raises(OutOfRange):
        parse_duration(text)
