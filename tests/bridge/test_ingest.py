from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.bridge import schemas
from featurewatch.bridge.ingest import Told, allow_features, cut, parse_calls, parse_lines, parse_test_results
from featurewatch.errors import BadInput, Forbidden, Problem, TooLarge
from featurewatch.model import CallReport, FeatureKey, LogEntry

NOW = 1_769_860_800_000_000_000
TOLD = Told("development", NOW, max_line_bytes=1000, make_id=lambda: "made")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "id",
    "feature_id",
    "featureId",
    "environment",
    "timestamp",
    "level",
    "message",
    "source",
    "metadata",
    "trace_id",
    "user_id",
    "outcome",
    "duration_ms",
    "model",
    "tokens",
    "cost_usd",
    "error_type",
    "name",
    "passed",
    "ok",
    "status",
    "suite",
    "url",
]
ITEM = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8)


def problems(body: Any, parse: Any = parse_lines) -> list[tuple[int | None, str, str]]:
    with pytest.raises(BadInput) as caught:
        parse(body, TOLD)
    return [(problem.index, problem.field, problem.message) for problem in caught.value.problems]


def test_a_line_says_little_and_gets_the_rest() -> None:
    assert parse_lines({"featureId": "chat", "message": "hello"}, TOLD) == [
        LogEntry("made", "chat", "development", NOW, "info", "hello")
    ]


def test_a_line_that_says_everything_is_kept_as_it_is() -> None:
    line = {
        "id": "a", "feature_id": "chat", "environment": "staging", "timestamp": "2026-01-31T12:00:00.123456789Z",
        "level": "WARNING", "message": "m\0\n", "source": "worker", "metadata": {"z": 1, "a": {"b": [None]}},
        "trace_id": "t", "user_id": "u", "unknown": 1,
    }  # fmt: skip
    assert parse_lines([line], TOLD) == [
        LogEntry(
            "a", "chat", "staging", NOW + 123456789, "warn", "m\0\n", "worker", '{"z":1,"a":{"b":[null]}}', "t", "u"
        )
    ]


@pytest.mark.parametrize("wrap", [lambda line: line, lambda line: [line], lambda line: {"logs": [line]}])
def test_one_a_list_and_a_wrapped_list_are_alike(wrap: Any) -> None:
    assert len(parse_lines(wrap({"featureId": "chat", "message": "x"}), TOLD)) == 1


def test_an_empty_list_is_nothing_to_keep() -> None:
    assert parse_lines([], TOLD) == parse_lines({"logs": []}, TOLD) == []


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"message": None}, "message", "is missing"),
        ({"message": 7}, "message", "expected text, got 7"),
        ({"level": "loud"}, "level", "debug, info, warn, error, fatal, got 'loud'"),
        ({"level": 3}, "level", "got 3"),
        ({"timestamp": "yesterday"}, "timestamp", "expected ISO 8601"),
        ({"timestamp": 1769860800}, "timestamp", "expected ISO 8601"),
        ({"timestamp": "2026-02-30"}, "timestamp", "not a date that exists"),
        ({"timestamp": "9999-01-01"}, "timestamp", "expected an instant from 1970 to 2262"),
        ({"timestamp": "1900-01-01"}, "timestamp", "expected an instant from 1970 to 2262"),
        ({"featureId": None}, "feature_id", "is missing"),
        ({"featureId": "a b"}, "feature_id", "expected 1 to 64"),
        ({"featureId": "x" * 65}, "feature_id", "expected 1 to 64"),
        ({"feature_id": "other"}, "feature_id", "featureId says 'chat' and feature_id 'other'"),
        ({"environment": "a/b"}, "environment", "expected 1 to 32"),
        ({"metadata": [1]}, "metadata", "expected an object, got a list"),
        ({"metadata": "text"}, "metadata", "expected an object"),
        ({"metadata": {"a": "x" * 1000}}, "metadata", "expected at most 1000 bytes"),
        ({"source": "s" * 200}, "source", "expected at most 128 characters, got 200"),
        ({"user_id": 42}, "user_id", "expected text, got 42"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_by_index_and_field(change: Any, field: str, says: str) -> None:
    good = {"featureId": "chat", "message": "x"}
    ((index, named, message),) = problems([good, {**good, **change}])
    assert (index, named) == (1, field)
    assert says in message


def test_every_wrong_line_is_told_and_none_is_kept() -> None:
    good = {"featureId": "chat", "message": "x"}
    told = problems([good, {"message": 1}, 7, {**good, "level": "x", "environment": "-"}])
    assert sorted((index, field) for index, field, _ in told) == [
        (1, "feature_id"), (1, "message"), (2, ""), (3, "environment"), (3, "level"),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [None, 7, "text", True])
def test_a_body_that_is_no_line_is_refused(body: Any) -> None:
    with pytest.raises(BadInput, match="expected log lines as an object, a list"):
        parse_lines(body, TOLD)


@given(st.text(), st.integers(40, 400))
def test_a_cut_line_is_short_enough_and_begins_as_it_did(text: str, most: int) -> None:
    shown = cut(text, most)
    assert len(shown.encode("utf-8", "replace")) <= most
    if len(text.encode("utf-8", "replace")) > most:
        start, mark, _ = shown.rpartition("… [cut, ")
        assert mark
        assert text.encode("utf-8", "replace").startswith(start.encode())
    else:
        assert shown == text


def test_a_call_is_read_in_seconds_and_dollars() -> None:
    call = {
        "id": "a", "timestamp": "2026-01-31T12:00:00Z", "outcome": "error", "error_type": "timeout",
        "duration_ms": 1500, "time_to_first_token_ms": 250, "model": "m", "cost_usd": 0.5,
        "tokens": {"input": 3, "other": "x"},
    }  # fmt: skip
    assert parse_calls(call, TOLD) == [
        ("development", CallReport("a", NOW, "error", 1.5, "timeout", 0.25, "m", {"input": 3}, 0.5))
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"outcome": None}, "outcome"),
        ({"outcome": "failed"}, "outcome"),
        ({"outcome": ["success"]}, "outcome"),
        ({"duration_ms": None}, "duration_ms"),
        ({"duration_ms": -1}, "duration_ms"),
        ({"duration_ms": math.nan}, "duration_ms"),
        ({"duration_ms": math.inf}, "duration_ms"),
        ({"duration_ms": 10**400}, "duration_ms"),
        ({"duration_ms": "12"}, "duration_ms"),
        ({"duration_ms": True}, "duration_ms"),
        ({"time_to_first_token_ms": -1}, "time_to_first_token_ms"),
        ({"cost_usd": -0.1}, "cost_usd"),
        ({"cost_usd": 1e300}, "cost_usd"),
        ({"tokens": 5}, "tokens"),
        ({"tokens": {"input": -5}}, "tokens.input"),
        ({"tokens": {"output": 1.5}}, "tokens.output"),
        ({"model": 4}, "model"),
        ({"environment": "no way"}, "environment"),
    ],
)
def test_what_is_wrong_with_a_call_is_told(change: Any, field: str) -> None:
    told = problems([{"outcome": "success", "duration_ms": 1, **change}], parse_calls)
    assert [(index, named) for index, named, _ in told] == [(0, field)]


@pytest.mark.parametrize(
    ("said", "passed"),
    [({"passed": True}, True), ({"ok": False}, False), ({"status": "Passed"}, True), ({"status": "failure"}, False)],
)
def test_a_test_result_may_say_how_it_went_in_several_ways(said: Any, passed: bool) -> None:
    (result,) = parse_test_results({"name": "n", "message": "m", **said}, TOLD)
    assert result.data == {"name": "n", "passed": passed, "status": "passed" if passed else "failed", "message": "m"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "n"}, "passed"),
        ({"name": "n", "passed": "yes"}, "passed"),
        ({"name": "n", "status": "skipped"}, "status"),
        ({"passed": True}, "name"),
        ({"name": "n", "ok": True, "duration_ms": -1}, "duration_ms"),
        ({"name": "n", "ok": True, "metadata": 1}, "metadata"),
    ],
)
def test_what_is_wrong_with_a_test_result_is_told(body: Any, field: str) -> None:
    assert [(index, named) for index, named, _ in problems(body, parse_test_results)] == [(None, field)]


def test_more_test_results_than_one_transaction_should_hold_are_refused() -> None:
    with pytest.raises(TooLarge, match="at most 1000"):
        parse_test_results([{"name": "n", "ok": True}] * 1001, TOLD)


def told_problems(parse: Any, items: list[Any]) -> Sequence[Problem]:
    try:
        parse(items, TOLD)
    except BadInput as error:
        return error.problems
    return ()


@given(st.lists(ITEM | JSON, max_size=4))
def test_whatever_json_comes_is_read_or_refused_as_bad_input(items: list[Any]) -> None:
    for parse in (parse_lines, parse_calls, parse_test_results):
        for problem in told_problems(parse, items):
            assert problem.message
            assert 0 <= (problem.index or 0) < len(items)


@pytest.mark.parametrize(
    ("shape", "parse"),
    [(schemas.LogIn, parse_lines), (schemas.CallIn, parse_calls), (schemas.TestResultIn, parse_test_results)],
)
def test_the_documented_example_is_one_that_is_read(shape: Any, parse: Any) -> None:
    example = shape.model_config["json_schema_extra"]["example"]
    shape.model_validate(example)
    assert len(parse(example, TOLD)) == 1


@pytest.mark.parametrize(
    ("shape", "parse", "item"),
    [
        (schemas.LogIn, parse_lines, {"featureId": "chat", "message": 1}),
        (schemas.LogIn, parse_lines, {"featureId": "chat"}),
        (schemas.LogIn, parse_lines, {"featureId": "chat", "message": "x", "metadata": []}),
        (schemas.CallIn, parse_calls, {"outcome": "odd", "duration_ms": 1}),
        (schemas.CallIn, parse_calls, {"outcome": "success", "duration_ms": -1}),
        (schemas.TestResultIn, parse_test_results, {"passed": True}),
    ],
)
def test_what_the_documentation_forbids_is_refused(shape: Any, parse: Any, item: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        shape.model_validate(item)
    with pytest.raises(BadInput):
        parse(item, TOLD)


def test_a_token_writes_for_the_features_that_it_sees_alone() -> None:
    keys = [FeatureKey("chat", "production"), FeatureKey("search", "production")]
    allow_features(keys, lambda feature: True)
    with pytest.raises(Forbidden, match="may not write for feature 'search'"):
        allow_features(keys, lambda feature: feature == "chat")


def test_metadata_that_is_large_by_its_characters_is_measured_in_bytes() -> None:
    line = {"featureId": "chat", "message": "x", "metadata": {"a": "ä" * 600}}
    assert problems(line)[0][1] == "metadata"
    assert orjson.loads(parse_lines({**line, "metadata": {"a": "ä" * 400}}, TOLD)[0].metadata or "") == {"a": "ä" * 400}
