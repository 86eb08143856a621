from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.bridge import parameters
from featurewatch.bridge.parameters import Query, feature_id
from featurewatch.errors import BadInput, OutOfRange
from featurewatch.times import NS, parse_instant

LOGS = (
    parameters.FEATURE,
    parameters.START,
    parameters.END,
    parameters.TIME_RANGE,
    parameters.ENVIRONMENT_PARAMETER,
    *parameters.LOG_FILTER,
    parameters.LIMIT,
    parameters.DIRECTION,
)


def query(**given: str) -> Query:
    return Query(given.items(), LOGS)


def test_an_unknown_name_is_refused_with_the_nearest_that_is_known() -> None:
    with pytest.raises(BadInput, match=r"'serach' is not a parameter here; did you mean search\?"):
        query(serach="x")


def test_an_unknown_name_that_resembles_none_is_refused_with_all_that_are() -> None:
    with pytest.raises(BadInput, match="known are feature_id, start_time, end_time"):
        query(zzz="x")


@pytest.mark.parametrize("name", ["_", "utm_source"])
def test_names_that_caches_and_campaigns_append_pass(name: str) -> None:
    assert query(**{name: "1", "limit": "5"}).whole("limit", 1000, 1, 5000) == 5


@pytest.mark.parametrize("name", ["feature_id", "featureId"])
def test_a_feature_may_be_spelt_either_way(name: str) -> None:
    assert query(**{name: "chat"}).feature() == "chat"


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_parameter_equals_an_absent_one(blank: str) -> None:
    empty = query(limit=blank, levels=blank, environment=blank, start_time=blank, search=blank, direction=blank)
    assert empty.whole("limit", 7, 1, 9) == 7
    assert empty.levels() == frozenset()
    assert empty.environment() == ""
    assert empty.span(0) == (None, None)
    assert empty.choice("direction", ("forward",), "") == ""


@pytest.mark.parametrize("text", ["0", "5001", "-1", "9" * 400])
def test_a_number_outside_its_range_is_out_of_range(text: str) -> None:
    with pytest.raises(OutOfRange):
        query(limit=text).whole("limit", 1, 1, 5000)


@pytest.mark.parametrize("text", ["many", "1.5", "1e3", "NaN", "²", "٣", "--1", "0x10"])
def test_what_is_no_number_is_malformed(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        query(limit=text).whole("limit", 1, 1, 5000)
    assert caught.value.status == 400


def test_levels_are_separated_by_commas_or_repeated_in_any_case() -> None:
    chosen = Query([("levels", "WARN, error"), ("level", "fatal")], LOGS).levels()
    assert chosen == {"warn", "error", "fatal"}


def test_a_wrong_level_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"got 'eror'; did you mean error\?"):
        query(levels="eror").levels()


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(BadInput, match="start_time is later than end_time"):
        query(start_time="2026-01-02", end_time="2026-01-01").span(0)


def test_a_time_range_ends_at_the_end_or_now() -> None:
    now = parse_instant("2026-01-31T12:00:00Z")
    assert query(time_range="5m").span(now) == (now - 300 * NS, None)
    end = parse_instant("2026-01-30")
    assert query(time_range="5m", end_time="2026-01-30").span(now) == (end - 300 * NS, end)


def test_a_plus_sign_that_arrived_as_a_space_still_means_a_zone() -> None:
    assert query(start_time="2026-01-31T12:00:00 02:00").instant("start_time") == parse_instant("2026-01-31T10:00:00Z")


@pytest.mark.parametrize(("text", "bound"), [("0001-01-01", 0), ("9999-12-31", 2**63 - 1)])
def test_instants_that_no_store_can_hold_become_the_nearest_that_it_can(text: str, bound: int) -> None:
    assert query(start_time=text).instant("start_time") == bound


@pytest.mark.parametrize("text", ["", "-a", "a b", "a/b", "ä", "a" * 65, "a\0", "../x"])
def test_what_cannot_be_a_feature_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected 1 to 64"):
        feature_id(text)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadInput, match="at most 4096 characters"):
        query(search="x" * 5000)


def refusal(given: dict[str, str]) -> str:
    try:
        read = Query(given.items(), LOGS)
        read.feature(), read.span(0), read.environment(), read.log_filter()
        read.whole("limit", 1, 1, 5000), read.choice("direction", ("forward", "backward"), "")
    except BadInput as error:
        return error.message
    return ""


@given(st.dictionaries(st.sampled_from([parameter.name for parameter in LOGS]), st.text()))
def test_whatever_comes_is_read_or_refused_in_one_line(given: dict[str, str]) -> None:
    assert "\n" not in refusal(given)
