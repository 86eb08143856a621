from __future__ import annotations

import gzip
import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from featurewatch import errors
from featurewatch.bridge.errors import MAX_DETAILS, fault
from featurewatch.bridge.http import answer, expected_revision, tagged
from featurewatch.errors import BadInput, FeaturewatchError, Problem


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b""})


@pytest.mark.parametrize("prefix", ["", "W/", '"other", '])
def test_a_tag_that_is_held_is_answered_304(prefix: str) -> None:
    etag = answer(request(), {"a": 1}).headers["etag"]
    again = answer(request(if_none_match=prefix + etag), {"a": 1})
    assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", etag)
    assert answer(request(if_none_match=prefix + etag), {"a": 2}).status_code == 200


def test_a_tag_tells_revisions_apart_though_the_rest_is_equal() -> None:
    tags = {tagged(request(), b"x", "text/plain", revision=revision).headers["etag"] for revision in (None, 1, 2)}
    assert len(tags) == 3


@pytest.mark.parametrize(
    ("takes", "length", "packed"),
    [("br, gzip", 2_000, True), ("gzip;q=0", 2_000, False), ("", 2_000, False), ("gzip", 10, False),
     ("gzip", 300_000, False)],
)  # fmt: skip
def test_what_is_neither_short_nor_huge_is_packed_for_who_takes_it(takes: str, length: int, packed: bool) -> None:
    value = {"text": "x" * length}
    found = answer(request(accept_encoding=takes), value)
    assert (found.headers.get("content-encoding") == "gzip") is packed
    assert json.loads(gzip.decompress(found.body) if packed else found.body) == value
    again = answer(request(accept_encoding=takes, if_none_match=found.headers["etag"]), value)
    assert (again.status_code, found.headers["vary"]) == (304, "Accept-Encoding")


@pytest.mark.parametrize(
    ("header", "revision"), [("", None), ("*", None), ('"r3-0af1"', 3), ('W/"r3-0af1"', 3), ('"r12"', 12), ("7", 7)]
)
def test_if_match_names_a_revision(header: str, revision: int | None) -> None:
    assert expected_revision(request(if_match=header)) == revision


@pytest.mark.parametrize("header", ['"x"', "-1", '"r"', "r1, r2", "9" * 30])
def test_an_if_match_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(BadInput, match="If-Match"):
        expected_revision(request(if_match=header))


def raised(kind: type[FeaturewatchError]) -> FeaturewatchError:
    return kind("a\nmessage")


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FeaturewatchError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_its_answer_in_one_line(kind: type[FeaturewatchError]) -> None:
    told = fault(raised(kind))
    if kind.status == 500:
        assert (told.status, told.code) == (500, "internal")
        assert "message" not in told.message
    else:
        assert (told.status, told.code, told.message) == (kind.status, kind.code, "a message")


def test_what_is_not_expected_shows_nothing_of_itself() -> None:
    told = fault(RuntimeError("password=1234"))
    assert (told.status, told.code) == (500, "internal")
    assert "1234" not in str(told.payload())


def test_a_thousand_problems_are_told_by_their_first() -> None:
    problems = [Problem("level", "wrong", index) for index in range(1000)]
    assert len(fault(BadInput("many", problems=problems)).payload()["details"]) == MAX_DETAILS


def test_what_the_framework_refuses_looks_the_same() -> None:
    told = fault(HTTPException(405, headers={"Allow": "GET"}), method="POST", path="/x")
    assert (told.status, told.message) == (405, "POST is not a method of /x; it takes GET")
    assert fault(HTTPException(431, "too much")).code == "request_header_fields_too_large"
