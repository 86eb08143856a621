"""Server-sent events, read from parts of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.client.refusals import Lost
from featurewatch.client.transport_sse import MAX_EVENT_BYTES, Events


def test_events_comments_and_other_fields_are_told_apart() -> None:
    events = Events()
    text = b": a comment\n\nid: 7\ndata: one\n\nevent: x\ndata:two\ndata: lines\nretry: 5\n\ndata\n\n: still here\n\n"
    assert events.feed(text) == [b"one", b"two\nlines", b""]


def test_a_byte_order_mark_is_no_text() -> None:
    assert Events().feed(b"\xef\xbb\xbfdata: one\n\n") == [b"one"]
    events = Events()
    assert events.feed(b"\xef") == []
    assert events.feed(b"\xbb\xbfdata: one\n\n") == [b"one"]


def test_an_event_that_is_not_whole_waits() -> None:
    events = Events()
    assert events.feed(b"data: on") == []
    assert events.feed(b"e\n") == []
    assert events.feed(b"\n") == [b"one"]


def test_an_event_without_end_is_given_up() -> None:
    events = Events()
    for _ in range(MAX_EVENT_BYTES // 1024**2 + 1):
        assert events.feed(b"x" * 1024**2) == []
    with pytest.raises(Lost, match="no end"):
        events.feed(b"x")


@given(
    st.lists(st.lists(st.text("aß{}:, ", max_size=8), min_size=1, max_size=3), max_size=5),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_how_the_text_is_cut_makes_no_difference(told: list[list[str]], end: str, sizes: list[int]) -> None:
    text = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in told).encode()
    # A CR alone at the end of all waits for what may follow it.
    text += b": over\n\n"
    events, found, at, turn = Events(), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += events.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    assert found == ["\n".join(lines).encode() for lines in told]
