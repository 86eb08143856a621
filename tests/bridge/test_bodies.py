from __future__ import annotations

import gzip
import zlib

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurewatch.bridge.bodies import decompress, parse_exact, parse_json
from featurewatch.errors import BadInput, TooLarge


@given(st.binary(max_size=5000))
def test_what_was_compressed_comes_out_as_it_was(body: bytes) -> None:
    assert decompress(gzip.compress(body), "gzip", 5000) == body
    assert decompress(zlib.compress(body), "deflate", 5000) == body
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert decompress(raw.compress(body) + raw.flush(), "deflate", 5000) == body


def test_gzip_of_several_members_is_one_body() -> None:
    assert decompress(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0", "gzip", 100) == b"one two"


def test_a_bomb_is_refused_at_the_limit() -> None:
    with pytest.raises(TooLarge):
        decompress(gzip.compress(bytes(50_000_000)), "gzip", 1_000_000)


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(b"cut off", mtime=0)[:-9], gzip.compress(b"x", mtime=0) + b"rest"]
)
def test_damaged_data_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="not valid gzip"):
        decompress(body, "gzip", 1000)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": 1e999}', "not valid JSON"),
        (b"[" * 5000, "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8: byte 7 is 0xff"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
    ],
)
def test_what_is_no_json_is_told_in_one_line(body: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        parse_json(body)
    assert "\n" not in caught.value.message


def test_of_a_repeated_key_the_last_counts() -> None:
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
@example("1.50")
@example("-0")
@example("0.00001")
@example("123456789012345678901234567890")
def test_a_number_is_shown_in_the_digits_it_came_in(number: str) -> None:
    for text in (f'{{"a":{number}}}', f'{{"a":[{number},{number}],"b":{number}}}'):
        assert orjson.dumps(parse_exact(text.encode())).decode() == text
