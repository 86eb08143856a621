"""How a log line looks in a terminal."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from featurewatch.commands.lines import Printer, plain


def test_what_moves_cursors_colours_text_or_reorders_it_is_written_out() -> None:
    shown = plain({"level": "info", "source": "a\x07", "message": "\x1b]0;title\x07 \u202egpj.exe \x9b2J \r over"})
    assert shown.endswith(r"INFO  a\x07: \x1b]0;title\x07 \x202egpj.exe \x9b2J \x0d over")


def test_lines_of_a_message_are_told_from_lines_of_the_log() -> None:
    assert plain({"level": "error", "source": "app", "message": "a\r\nb\nc"}).endswith("app: a\n    b\n    c")


def test_metadata_stays_on_its_line() -> None:
    entry = {
        "level": "info",
        "source": "app",
        "message": "m",
        "metadata": {"a": "x\ny", "b": {"c": [1]}},
        "user_id": "u",
    }
    assert plain(entry).endswith('m  a=x\\ny b={"c": [1]} user_id=u')


def test_a_timestamp_that_cannot_be_read_is_shown_as_it_is() -> None:
    assert plain({"timestamp": "sometime", "level": "info"}).startswith("sometime INFO")


@given(
    st.dictionaries(
        st.sampled_from(["timestamp", "level", "message", "source", "metadata", "trace_id"]),
        st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text() | st.integers()),
    )
)
def test_no_entry_whatever_breaks_the_printer(entry: dict[str, object]) -> None:
    for as_json in (False, True):
        out = io.StringIO()
        Printer(out, io.StringIO(), as_json=as_json).line(entry)
        assert out.getvalue().endswith("\n")
        out.getvalue().encode()
        if not as_json:
            assert not set(out.getvalue()) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
        else:
            assert json.loads(out.getvalue()).keys() == entry.keys()
