"""Messages as text, frames and events; positions."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from featurewatch.model import Event
from featurewatch.streams.messages import PARCEL_BYTES, Gap, Parcel, happened, log_line, message, pack, server_sent
from featurewatch.streams.messages import text_frame as framed
from featurewatch.streams.positions import Position, parse
from streams.fakes import KEY, START_NS, entry

positions = st.builds(Position, *[st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 10**11)])


@given(positions)
def test_a_position_is_read_as_it_was_written_and_is_safe_in_a_url(position: Position) -> None:
    text = position.encode()
    assert parse(text) == position
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_other_text_is_no_position_and_harms_nothing(text: str) -> None:
    found = parse(text)
    assert found is None or found.encode().rstrip("=") == text.strip().rstrip("=")


@given(positions, st.none() | positions, st.text())
def test_another_id_changes_nothing_else(first: Position, second: Position | None, text: str) -> None:
    before = message("log_entry", "summarize", {"message": text, "id": "x"}, START_NS, first)
    after = before.at(second)
    changed = orjson.loads(after.text)
    assert changed.pop("id", None) == (second.encode() if second else None)
    expected = orjson.loads(before.text)
    del expected["id"]
    assert changed == expected
    assert after.size == len(after.text.encode())
    assert after.at(first).text == before.text


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_frames_are_those_of_the_websockets_library(size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    assert framed(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def test_a_parcel_makes_each_of_its_forms_once() -> None:
    parcel = Parcel([log_line(entry(number), Position(number, 0, 0)) for number in range(3)])
    assert parcel.frames is parcel.frames
    assert parcel.events is parcel.events
    assert parcel.array is parcel.array
    assert [line["data"]["id"] for line in orjson.loads(f"[{parcel.array}]")] == ["line-0", "line-1", "line-2"]
    assert parcel.frames == b"".join(framed(line.text) for line in parcel.messages)


@pytest.mark.parametrize("broken", ["\n", "\r", "\r\n"])
def test_line_breaks_start_another_data_line(broken: str) -> None:
    spaced = entry(1)._replace(metadata=f'{{{broken}"a":{broken} 1}}')
    event = server_sent(log_line(spaced, Position(1, 0, 0))).decode()
    assert event.endswith("\n\n")
    assert "\r" not in event
    lines = event.rstrip("\n").split("\n")
    assert lines[0] == f"id: {Position(1, 0, 0).encode()}"
    assert all(line.startswith("data: ") for line in lines[1:])
    data = orjson.loads("\n".join(line.removeprefix("data: ") for line in lines[1:]))
    assert data["data"]["metadata"] == {"a": 1}


def test_line_breaks_within_a_message_stay_escaped() -> None:
    event = server_sent(log_line(entry(1, message="a\r\nb\nc\rd"), None)).decode()
    assert event.count("\n") == 2
    assert orjson.loads(event.removeprefix("data: "))["data"]["message"] == "a\r\nb\nc\rd"


@given(st.lists(st.integers(0, PARCEL_BYTES * 2), max_size=30))
def test_parcels_hold_all_lines_in_order_and_stay_small(sizes: list[int]) -> None:
    lines = [log_line(entry(number, message="x" * size), None) for number, size in enumerate(sizes)]
    parcels = pack(lines)
    assert [line for parcel in parcels for line in parcel.messages] == lines
    assert all(parcel.size <= PARCEL_BYTES or len(parcel.messages) == 1 for parcel in parcels)
    assert all(parcel.messages for parcel in parcels)


@pytest.mark.parametrize("change", ["triggered", "updated", "resolved"])
def test_an_alert_is_named_by_what_changed(change: str) -> None:
    event = Event(3, "e", KEY, "alert", START_NS, {"change": change, "alert": {"id": "a"}})
    shown = orjson.loads(happened(event, Position(0, 3, 0)).text)
    assert (shown["type"], shown["data"]) == (f"alert_{change}", {"id": "a"})


def test_a_gap_that_nobody_counted_says_null() -> None:
    shown = orjson.loads(Gap("too_old", None, None, START_NS, START_NS + 10**9).message(None).text)
    assert shown == {
        "type": "gap",
        "data": {
            "reason": "too_old",
            "count": None,
            "from": "2026-09-21T14:13:20.000000Z",
            "to": "2026-09-21T14:13:21.000000Z",
        },
        "timestamp": "2026-09-21T14:13:21.000000Z",
    }
