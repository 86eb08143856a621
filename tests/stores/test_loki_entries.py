"""Loki's streams as log entries: our own lines, those of other shippers, and what is no stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from featurewatch.errors import UpstreamError
from featurewatch.model import FeatureKey, LogEntry
from featurewatch.stores.loki_entries import read_frame, read_streams

RECORDED = Path(__file__).parent.parent / "recorded" / "loki"
NOW = 1_795_375_839_494_195_051
LABELS = {"service_name": "shop", "feature": "chat", "environment": "staging"}


def one(metadata: dict[str, str] | None = None, *, text: str = "hello", **labels: str) -> LogEntry:
    value: list[Any] = [str(NOW), text]
    if metadata is not None:
        value.append({"structuredMetadata": metadata})
    (entry,) = read_streams([{"stream": LABELS | labels, "values": [value]}], "production")
    return entry


def test_what_the_exporter_sends_comes_back() -> None:
    entry = one(
        {"id": "e1", "level": "warn", "detected_level": "warn", "source": "api", "trace_id": "t1", "user_id": "u1",
         "metadata": '{"b": 1,\t"a":1.50}'}
    )  # fmt: skip
    assert entry == LogEntry(
        "e1", "chat", "staging", NOW, "warn", "hello", "api", '{"b": 1,\t"a":1.50}', trace_id="t1", user_id="u1"
    )


def test_what_is_left_out_has_defaults() -> None:
    (entry,) = read_streams([{"stream": {"feature": "chat"}, "values": [[str(NOW), ""]]}], "production")
    assert entry[1:] == ("chat", "production", NOW, "info", "", "app", None, None, None)


@pytest.mark.parametrize(
    ("labels", "metadata", "level"),
    [
        ({"level": "WARNING"}, {}, "warn"), ({"level": "info"}, {"level": "critical"}, "fatal"),
        ({"detected_level": "err"}, {}, "error"), ({}, {"detected_level": "trace"}, "debug"),
        ({"severity": "notice"}, {}, "info"), ({"level": "debug"}, {"severity": "error"}, "debug"),
        ({"detected_level": "unknown"}, {"severity": "FATAL"}, "fatal"), ({}, {"detected_level": "unknown"}, "info"),
        ({}, {"level": "loud"}, "info"), ({}, {"level": "loud", "detected_level": "error"}, "info"),
    ],
)  # fmt: skip
def test_the_level_is_found_by_its_many_names(labels: dict[str, str], metadata: dict[str, str], level: str) -> None:
    entry = one(metadata, **labels)
    assert entry.level == level
    assert entry.metadata is None


def test_other_labels_and_metadata_join_the_metadata() -> None:
    entry = one({"pod": "x-1", "id": "e1", "metadata": '{"a": 1}'}, job="shop/web")
    assert entry.metadata == '{"job":"shop/web","pod":"x-1","a": 1}'
    assert one({"id": "e1"}).metadata is None
    assert one({"a": "2", "metadata": '{"a": 1}'}).metadata == '{"a": 1}'
    assert json.loads(one({"a": 'quote " é'}).metadata or "") == {"a": 'quote " é'}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", '{"metadata":"hello"}'), ("[1]", '{"metadata":"[1]"}'),
        ('{"a": NaN}', '{"metadata":"{\\"a\\": NaN}"}'),
        ('{"a":"\\ud83d"}', '{"a":"\\ud83d"}'), ("{} ", "{} "), ('{"a":' * 3000, None),
    ],
)  # fmt: skip
def test_metadata_that_is_no_object_becomes_one(text: str, shown: str | None) -> None:
    metadata = one({"metadata": text}).metadata
    assert metadata is not None
    assert metadata == shown if shown else json.loads(metadata) == {"metadata": text}


def test_a_line_without_an_id_has_the_same_wherever_it_is_read() -> None:
    entry = one({"pod": "x", "zone": "y"})
    assert entry.id == one({"zone": "y", "pod": "x"}).id
    assert entry.id.startswith(f"{NOW:016x}")
    assert len(entry.id) == 32
    frame = json.dumps(
        {"streams": [{"stream": dict(reversed(LABELS.items())),
                      "values": [[str(NOW), "hello", {"structuredMetadata": {"zone": "y", "pod": "x"}}]]}]}
    )  # fmt: skip
    assert read_frame(frame, "production").entries == [entry]
    others = {one({"pod": "z", "zone": "y"}).id, one(text="hi").id, one(job="x").id, one().id}
    assert len(others | {entry.id}) == 5


def test_a_field_with_the_name_of_a_label_leaves_a_line_its_id_and_its_place() -> None:
    """Queries call it `…_extracted`; a tail tells it in place of the label."""
    found = one({"pod_extracted": "y"}, pod="x")
    assert found.metadata is not None
    hidden = json.dumps(
        {"streams": [{"stream": LABELS, "values": [[str(NOW), "hello", {"structuredMetadata": {"pod": "y"}}]]}]}
    )
    assert [entry.id for entry in read_frame(hidden, "production").entries] == [found.id]
    compared = one({"pod_extracted": "y", "pod": "x"})
    assert compared.id == found.id, "Loki tells a label that it compared among the line's own"
    for name in ("feature", "environment"):
        whose = json.dumps(
            {"streams": [{"stream": LABELS, "values": [[str(NOW), "hello", {"structuredMetadata": {name: "other"}}]]}]}
        )
        assert read_frame(whose, "production").entries == []


def test_a_recorded_answer_and_a_recorded_tail_tell_the_same_lines() -> None:
    exchange = json.loads((RECORDED / "query_range_categorized.json").read_text())
    found = read_streams(json.loads(exchange["response"]["body"])["data"]["result"], "production")
    frames = json.loads((RECORDED / "tail_frames.json").read_text())["response"]["frames"]
    told = [entry for frame in frames for entry in read_frame(frame, "production").entries]
    assert {entry.id for entry in found} >= {"e1", "e2", "e3", "e4"}
    assert set(found) <= set(told)
    assert len(told) == len(set(told)) == len(found) + 2
    (boom,) = (entry for entry in found if entry.id == "e4")
    assert boom == LogEntry(
        "e4", "rec-summarize", "production", NOW + 2, "error", "boom", "api", user_id="u1"
    )  # fmt: skip


def test_what_a_tail_dropped_is_told() -> None:
    frame = read_frame(
        '{"streams":null,"dropped_entries":[{"timestamp":"7","labels":{"feature":"chat","environment":"staging"}},'
        '{"timestamp":"8"}]}',
        "production",
    )
    assert frame.entries == []
    assert frame.dropped == [(FeatureKey("chat", "staging"), 7), (FeatureKey("", "production"), 8)]


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "1",
     '{"streams": 5}', '{"streams": ["x"]}', '{"streams": [{"stream": {}, "values": [["x"]]}]}',
     '{"streams": [{"stream": null, "values": [["1", "x"]]}]}', '{"streams": [{"stream": {}, "values": [["1", 2]]}]}',
     '{"streams": [{"stream": {}, "values": [["1", "x", "y"]]}]}', '{"dropped_entries": [{}]}'],
)  # fmt: skip
def test_what_is_no_frame_is_told_in_one_line(text: str) -> None:
    with pytest.raises(UpstreamError, match="expected streams of Loki") as told:
        read_frame(text, "production")
    assert "\n" not in told.value.message
    assert len(told.value.message) < 200
