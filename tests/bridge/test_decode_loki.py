"""What a push to Loki becomes, by JSON and by protobuf."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterable
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.bridge.decode_loki import PushBatch, decode_push
from featurewatch.bridge.loki_protobuf import parse_labels
from featurewatch.errors import BadInput, TooLarge, Unsupported
from featurewatch.model import LogEntry

NOW = 1_795_375_839_494_195_051
MIB = 1024**2
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
LABELS = {"feature": "summarize", "environment": "staging"}


def decode(body: bytes, content_type: str = JSON, encoding: str = "", **limits: int) -> PushBatch:
    return decode_push(
        body, content_type, encoding, environment="production", now_ns=NOW,
        **{"max_bytes": MIB, "max_line_bytes": 1024} | limits,
    )  # fmt: skip


def push(*lines: Any, labels: Any = LABELS) -> PushBatch:
    return decode(json.dumps({"streams": [{"stream": labels, "values": lines}]}).encode())


def one(metadata: dict[str, str] | None = None, *, labels: Any = LABELS, text: str = "hello") -> LogEntry:
    batch = push([str(NOW), text] if metadata is None else [str(NOW), text, metadata], labels=labels)
    assert batch.rejected == []
    (entry,) = batch.entries
    return entry


def refusal(*line: Any, labels: Any = LABELS) -> str:
    batch = push(list(line) or [str(NOW), "hello"], labels=labels)
    assert batch.entries == []
    (problem,) = batch.rejected
    assert problem.index == 0
    assert "\n" not in problem.message
    assert len(problem.message) < 300
    return problem.message


# Protobuf is written here by hand, field by field, so that the decoder is not checked against its own description.


def varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def protobuf(labels: str, lines: Iterable[tuple[int, str | bytes, dict[str, str]]]) -> bytes:
    """A PushRequest as Loki's shippers send it, with the fields (hash, parsed) that are passed over."""
    stream = field(1, labels) + field(3, 12345)
    for timestamp_ns, text, metadata in lines:
        seconds, nanos = divmod(timestamp_ns, 10**9)
        entry = field(1, field(1, seconds) + field(2, nanos)) + field(2, text)
        for name, value in metadata.items():
            entry += field(3, field(1, name) + field(2, value))
        stream += field(2, entry + field(4, field(1, "parsed") + field(2, "x")))
    return bytes(cramjam.snappy.compress_raw(field(1, stream) + field(2, "loki")))


# Fields


def test_the_shape_that_a_real_loki_took() -> None:
    batch = decode(
        b"""{"streams": [{"stream": {"feature": "rec-summarize", "environment": "production", "level": "info",
        "source": "api"}, "values": [["1795375839494195051", "first line", {"trace_id": "t1", "id": "e1"}],
        ["1795375839494195051", "same timestamp", {"id": "e2"}], ["1795375839494195052",
        "quote \\" backslash \\\\ newline \\n tab \\t \\u00fcn\\u00efcode \\ud83d\\ude42", {"id": "e3"}]]}]}"""
    )
    first = LogEntry(
        "e1", "rec-summarize", "production", NOW, "info", "first line", "api", metadata=None, trace_id="t1"
    )  # fmt: skip
    assert batch == PushBatch(
        [
            first,
            first._replace(id="e2", message="same timestamp", trace_id=None),
            first._replace(
                id="e3",
                timestamp_ns=NOW + 1,
                trace_id=None,
                message='quote " backslash \\ newline \n tab \t ünïcode 🙂',
            ),
        ],
        [],
    )


def test_what_the_labels_leave_out_has_defaults() -> None:
    entry = one(labels={"feature": "summarize"})
    assert entry[1:] == ("summarize", "production", NOW, "info", "hello", "app", None, None, None)
    assert one(labels={"feature_id": "summarize", "environment": ""}).key == ("summarize", "production")


def test_a_lines_own_metadata_wins_over_the_labels() -> None:
    labels = LABELS | {"level": "info", "source": "api"}
    entry = one({"level": "error", "source": "worker", "user_id": "u1", "trace_id": "t1", "id": "x"}, labels=labels)
    assert entry == LogEntry(
        "x", "summarize", "staging", NOW, "error", "hello", "worker", trace_id="t1", user_id="u1"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "metadata", "level"),
    [
        ({"level": "WARNING"}, {}, "warn"), ({"level": "info"}, {"level": "critical"}, "fatal"),
        ({"detected_level": "err"}, {}, "error"), ({}, {"detected_level": "trace"}, "debug"),
        ({"severity": "notice"}, {}, "info"), ({"level": "debug"}, {"severity": "error"}, "debug"),
        ({"detected_level": "unknown"}, {}, "info"), ({"detected_level": "unknown", "severity": "FATAL"}, {}, "fatal"),
        ({"level": ""}, {"level": ""}, "info"),
    ],
)  # fmt: skip
def test_the_level_is_found_by_its_many_names(labels: dict[str, str], metadata: dict[str, str], level: str) -> None:
    entry = one(metadata, labels=LABELS | labels)
    assert entry.level == level
    assert entry.metadata is None


def test_metadata_of_our_own_exporter_stays_as_it_came() -> None:
    text = '{"b": 1,\t"a":1.50,  "user-id":"x"}'
    assert one({"metadata": text}, labels=LABELS | {"service_name": "shop"}).metadata == text


def test_other_labels_and_metadata_join_the_metadata() -> None:
    labels = LABELS | {"job": "web", "pod": "p1", "service_name": "shop"}
    assert json.loads(one(labels=labels).metadata or "") == {"job": "web", "pod": "p1"}
    assert json.loads(one({"pod": "p2", "k": "v", "level": "info"}, labels=labels).metadata or "") == {
        "job": "web", "pod": "p2", "k": "v",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        (' {"b":1.50, "job":"mine"} ', '{"pod":"p1","b":1.50, "job":"mine"}'), ("{}", '{"job":"web","pod":"p1"}'),
        ("{ }", '{"job":"web","pod":"p1"}'), ("[1]", '{"job":"web","metadata":"[1]","pod":"p1"}'),
        ("not json", '{"job":"web","metadata":"not json","pod":"p1"}'),
    ],
)  # fmt: skip
def test_extra_fields_stand_before_the_metadata_text(text: str, joined: str) -> None:
    assert (one({"metadata": text}, labels=LABELS | {"job": "web", "pod": "p1"}).metadata or "").strip() == joined


def test_a_line_without_an_id_gets_the_same_one_each_time() -> None:
    ids = [
        one().id, one(text="other").id, one({"k": "1"}).id, one({"k": "2"}).id, one(labels=LABELS | {"job": "a"}).id,
        push([str(NOW + 1), "hello"]).entries[0].id,
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert ids[0] == one().id == one(labels=dict(reversed(LABELS.items()))).id == one({}).id
    by_protobuf = decode(protobuf('{environment="staging", feature="summarize"}', [(NOW, "hello", {})]), PROTOBUF)
    assert ids[0] == by_protobuf.entries[0].id
    assert ids[2] == one({"k": "1"}).id
    assert ids[0].startswith(f"{NOW:016x}")  # ids grow with time, as those of ids.new_id
    assert {len(id) for id in ids} == {32}


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert one(text="x" * 1024).message == "x" * 1024
    cut = one(text="é" * 5000).message
    assert len(cut.encode()) <= 1024
    assert cut.endswith("… [cut, 10000 bytes]")


# Rejections


def test_a_bad_line_is_rejected_and_the_good_ones_kept() -> None:
    body = {
        "streams": [
            {"stream": {"job": "web"}, "values": [[str(NOW), "a"], [str(NOW), "b"]]},
            {"stream": LABELS, "values": [["yesterday", "c"], [str(NOW), "d"], [str(NOW), 5], [str(NOW), "e"]]},
            {"stream": LABELS, "values": []},
            {"stream": LABELS},
            {"stream": LABELS, "values": [[str(NOW), "f", {"level": "loud"}]]},
        ]
    }
    batch = decode(json.dumps(body).encode())
    assert [entry.message for entry in batch.entries] == ["d", "e"]
    assert [problem.index for problem in batch.rejected] == [0, 1, 2, 4, 6]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "labels: expected one named feature, which holds the feature's id, got none at all: add it in the"),
        ({"service_name": "shop", "job": "web"}, "got 'service_name, job': add it in the shipper"),
        ({"feature": "two words"}, "feature: expected 1 to 64 of letters"),
        ({"feature": "a" * 65}, "feature: expected 1 to 64 of letters"),
        ({"feature": "a", "environment": "pro duction"}, "environment: expected 1 to 32 of letters"),
        ({"feature": "a", "level": "loud"}, "level: expected one of debug, info, warn, error, fatal, got 'loud'"),
        ({"feature": 5}, "labels: expected a string for 'feature', got 5"),
        ([], "labels: expected an object of strings, got a list"),
        (None, "labels: expected an object of strings, got null"),
        ("{nonsense", "labels: expected text such as"),
    ],
)
def test_labels_that_do_not_do_are_named(labels: Any, said: str) -> None:
    assert said in refusal(labels=labels)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["yesterday", "x"], "timestamp: expected a string of nanoseconds since the epoch, got 'yesterday'"),
        (["", "x"], "timestamp: expected a string of nanoseconds"),
        (["-5", "x"], "timestamp: expected a string of nanoseconds"),
        (["1_795_375_839_494_195_051", "x"], "timestamp: expected a string of nanoseconds"),
        (["²" * 19, "x"], "timestamp: expected a string of nanoseconds"),
        ([None, "x"], "got null"),
        ([True, "x"], "got true"),
        ([1.5, "x"], "got 1.5"),
        (["1795375839", "x"], "got 1795375839, which is too few for them"),
        (["1795375839494", "x"], "which is too few for them"),
        ([str(NOW + 11 * 60 * 10**9), "x"], "timestamp: expected at most 10 minutes ahead of 2026-11-22T"),
        (["9" * 500, "x"], "set the sender's clock"),
        ([str(NOW)], 'expected ["<ns>", "line"]'),
        ([str(NOW), "x", {}, {}], 'expected ["<ns>", "line"]'),
        ([str(NOW), None], 'expected ["<ns>", "line"]'),
        ([str(NOW), "x", {"n": 1}], "structured metadata: expected a string for 'n', got 1"),
        ([str(NOW), "x", "meta"], "structured metadata: expected an object of strings, got 'meta'"),
        ([str(NOW), "x", {"id": "i" * 129}], "id: expected at most 128 characters, got 129"),
        ([str(NOW), "x", {"user_id": "i" * 257}], "user_id: expected at most 256 characters, got 257"),
    ],
)
def test_a_line_that_does_not_do_is_named(line: list[Any], said: str) -> None:
    assert said in refusal(*line)


@pytest.mark.parametrize("line", ["text", 5, None, {}, []])
def test_what_is_no_line_at_all_is_named(line: Any) -> None:
    (problem,) = push(line).rejected
    assert 'expected ["<ns>", "line"]' in problem.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"streams": [',
        b"[]",
        b"5",
        b"{}",
        b'{"streams": 5}',
        b'{"streams": [5]}',
        b'{"streams": [{"values": 5}]}',
    ],
)  # fmt: skip
def test_json_that_is_no_push_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        decode(body)
    assert refused.value.status == 400
    assert "expected" in refused.value.message or "not valid JSON" in refused.value.message


# Encodings


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("", bytes), ("identity", bytes)],
)
def test_json_may_be_compressed(encoding: str, compress: Any) -> None:
    body = json.dumps({"streams": [{"stream": LABELS, "values": [[str(NOW), "hello"]]}]}).encode()
    for content_type in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert decode(compress(body), content_type, encoding).entries == [one()]


@pytest.mark.parametrize("content_type", [PROTOBUF, "", "text/plain"])
def test_anything_but_json_is_protobuf(content_type: str) -> None:
    metadata = {"level": "error", "k": "v"}
    body = protobuf(r'{feature="summarize", environment="staging", job="a\"b\\c\n\u00e9"}', [(NOW, "hello", metadata)])
    for encoding in ("", "snappy"):
        assert decode(body, content_type, encoding).entries == [one(metadata, labels=LABELS | {"job": 'a"b\\c\né'})]


def test_bad_parts_of_protobuf_cost_only_themselves() -> None:
    body = protobuf('{feature="a"}', [(5, "x", {}), (NOW, b"caf\xe9", {})])
    batch = decode(body, PROTOBUF)
    assert [entry.message for entry in batch.entries] == ["caf\ufffd"]
    assert [problem.index for problem in batch.rejected] == [0]
    assert (
        "labels: expected text such as" in decode(protobuf("nonsense", [(NOW, "x", {})]), PROTOBUF).rejected[0].message
    )


@pytest.mark.parametrize("body", [b'{"streams": []}', b"", b"\xff" * 20, gzip.compress(b"x", mtime=0)])
def test_what_is_not_snappy_is_refused_with_a_hint(body: bytes) -> None:
    with pytest.raises(BadInput, match=r"not snappy-compressed protobuf .*needs Content-Type: application/json"):
        decode(body, PROTOBUF)


def test_snappy_that_is_no_push_is_refused() -> None:
    with pytest.raises(BadInput, match="not a Loki PushRequest"):
        decode(bytes(cramjam.snappy.compress_raw(b"\x0a\xff\xff\xff")), PROTOBUF)


def test_bombs_are_refused_before_they_are_unpacked() -> None:
    bomb = b'{"streams":[' + b" " * (50 * MIB)
    for body, content_type, encoding in (
        (gzip.compress(bomb), JSON, "gzip"),
        (zlib.compress(bomb), JSON, "deflate"),
        (bytes(cramjam.snappy.compress_raw(bomb)), PROTOBUF, ""),
        (varint(2**32 - 1) + b"x", PROTOBUF, "snappy"),
        (bomb[: MIB + 1], JSON, ""),
    ):
        with pytest.raises(TooLarge, match="larger than 1048576 bytes"):
            decode(body, content_type, encoding)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(Unsupported, match="expected gzip, deflate, snappy or none, got 'br'"):
        decode(b"{}", JSON, "br")


@given(st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,9}", fullmatch=True), st.text(max_size=20), max_size=4))
def test_labels_are_read_as_go_quotes_them(labels: dict[str, str]) -> None:
    quoted = ", ".join(f"{name}={json.dumps(text, ensure_ascii=False)}" for name, text in labels.items())
    # JSON's escapes are Go's, but for those of control characters, which both write as \uXXXX.
    assert parse_labels("{" + quoted + "}") == labels


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\x41\u00e9\U0001f642\101", "Aé🙂A"),
        (r"\a\v\f\b\\\"\'", "\a\v\f\b\\\"'"),
        (r"\ud800\U00110000", "\ufffd\ufffd"),
    ],
)
def test_every_escape_of_go_is_known(text: str, value: str) -> None:
    assert parse_labels(f'{{a="{text}"}}') == {"a": value}


@pytest.mark.parametrize(
    "text", ["", "{", "a", '{a="b}', "{a=b}", '{a="b" c="d"}', '{1a="b"}', '{a="b"}x', '{a-b="c"}']
)
def test_labels_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="labels: expected text such as"):
        parse_labels(text)


@given(st.binary(max_size=200), st.sampled_from([JSON, PROTOBUF]), st.sampled_from(["", "gzip", "deflate", "snappy"]))
def test_no_bytes_raise_anything_but_bad_input(body: bytes, content_type: str, encoding: str) -> None:
    for data in (body, bytes(cramjam.snappy.compress_raw(body))):
        try:
            decode(data, content_type, encoding)
        except BadInput as error:
            assert "\n" not in error.message  # noqa: PT017  # whether it is raised at all depends on the bytes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(str(NOW)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["streams", "stream", "values", "feature", "level", "metadata"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_json_raises_anything_but_bad_input(value: Any) -> None:
    for body in (
        value,
        {"streams": [{"stream": LABELS, "values": value}]},
        {"streams": [{"stream": LABELS, "values": [value]}]},
    ):
        try:
            batch = decode(json.dumps(body).encode())
        except BadInput:
            continue
        assert all(problem.message for problem in batch.rejected)


def test_80_000_lines_a_second_would_be_decoded() -> None:
    metadata = {"id": "i", "level": "info", "source": "api", "trace_id": "t" * 32, "metadata": '{"a":1}'}
    lines = [[str(NOW + number), "x" * 120, metadata | {"id": f"{number:032x}"}] for number in range(4000)]
    body = json.dumps({"streams": [{"stream": LABELS, "values": lines}]}).encode()
    started = time.perf_counter()
    assert len(decode(body, max_bytes=8 * MIB).entries) == 4000
    assert time.perf_counter() - started < 4000 / 80_000 * 20  # 20 times slack for a machine that is busy otherwise
