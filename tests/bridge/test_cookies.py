"""The JWT in a cookie of another app."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.bridge.cookies import cookie, jwt_in_cookie

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
NAME = "sb-project-auth-token"
SESSION = json.dumps({"access_token": JWT, "refresh_token": "r", "user": {"name": "Zoë", "bio": "x" * 4000}})
BASE64 = "base64-" + urlsafe_b64encode(SESSION.encode()).decode().rstrip("=")


def chunked(value: str, size: int = 3180) -> str:
    """Write a value as Supabase does: in chunks of 3,180 characters, each a cookie, in any order."""
    chunks = [value[start : start + size] for start in range(0, len(value), size)]
    return "; ".join(f"{NAME}.{number}={quote(chunk)}" for number, chunk in reversed(list(enumerate(chunks))))


@pytest.mark.parametrize(
    "header",
    [
        f"{NAME}={JWT}",
        f'theme=dark; {NAME}="{JWT}"; other=1',
        f"{NAME}={BASE64}",
        f"{NAME}=base64-{b64encode(SESSION.encode()).decode()}",
        f"{NAME}={quote(SESSION)}",
        f"{NAME}={quote(json.dumps([JWT, 'refresh', None]))}",
        chunked(BASE64),
        chunked(SESSION),
        f"{chunked(BASE64)}; {NAME}.9=stray; {NAME}.x=stray; {NAME}-code-verifier=v",
        f"{NAME}={JWT}; {NAME}={JWT.replace('1', '2')}",
    ],
    ids=["plain", "quoted", "base64", "base64 padded", "json", "list", "chunks", "json chunks", "strays", "twice"],
)
def test_the_jwt_is_found_however_it_is_kept(header: str) -> None:
    assert jwt_in_cookie(header, NAME) == JWT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "other=1",
        f"x{NAME}={JWT}",
        f"{NAME}.1={JWT}",
        f"{NAME}=",
        f"{NAME}=base64-%%%",
        f"{NAME}=base64-{urlsafe_b64encode(b'{').decode()}",
        f"{NAME}=base64-/w==",
        f"{NAME}={quote('{}')}",
        f"{NAME}=[]",
        f"{NAME}={quote(json.dumps({'access_token': 7}))}",
        f"{NAME}={'[' * 30_000}",
        f"{NAME}={'a' * 70_000}",
    ],
)
def test_a_cookie_without_a_jwt_carries_none(header: str) -> None:
    assert jwt_in_cookie(header, NAME) == ""


def test_a_cookie_is_found_by_its_whole_name() -> None:
    assert cookie("ab=1; a=2; a=3; b", "a") == "2"
    assert cookie("a=b=c", "a") == "b=c"
    assert cookie("a", "a") == cookie("", "a") == ""


@given(st.text(alphabet=st.sampled_from(f'{NAME}.0123456789=;%{{}}[]"base64-eyJ é\x00'), max_size=200))
def test_no_header_whatever_breaks_the_reading(header: str) -> None:
    assert isinstance(jwt_in_cookie(header, NAME), str)
    assert isinstance(jwt_in_cookie(f"{NAME}={header}", NAME), str)
    assert isinstance(jwt_in_cookie(f"{NAME}.0=base64-; {NAME}.1={header}", NAME), str)
