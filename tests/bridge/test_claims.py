"""What claims say of a caller."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.bridge.claims import LEEWAY_S, principal_of
from featurewatch.errors import Forbidden, Unauthenticated
from featurewatch.times import NS, format_instant

from .issuers import claims

NOW_S = 1_800_000_000
NOW = NOW_S * NS
KEY = "key"


def refused(told: dict[str, Any], kind: type[Exception] = Forbidden) -> str:
    with pytest.raises(kind) as caught:
        principal_of(told, KEY, NOW)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_role_and_features_come_from_app_metadata() -> None:
    granted = {"role": "operator", "features": ["sum*", "chat"]}
    caller = principal_of(claims(NOW_S, app_metadata={"featurewatch": granted}), KEY, NOW)
    assert (caller.name, caller.role, caller.patterns) == ("ada@example.com", "operator", ("sum*", "chat"))
    assert caller.expires_ns == (NOW_S + 3600 + LEEWAY_S) * NS
    assert caller.issued_by == KEY


def test_a_claim_at_the_top_wins() -> None:
    caller = principal_of(claims(NOW_S, featurewatch={"role": "editor", "features": ["a?"], "more": 1}), KEY, NOW)
    assert (caller.role, caller.patterns) == ("editor", ("a?",))


def test_what_users_write_themselves_grants_nothing() -> None:
    told = claims(NOW_S, app_metadata={"provider": "email"})
    assert told["user_metadata"]["featurewatch"]["role"] == "admin"
    assert "says nothing of featurewatch" in refused(told)
    assert "ada@example.com" in refused(told)


def test_a_public_key_that_verifies_as_a_jwt_grants_nothing() -> None:
    anon = {"iss": "supabase", "ref": "project", "role": "anon", "exp": NOW_S + 10 * 365 * 86_400}
    assert 'has to add the claim "featurewatch": {"role": "viewer", "features": ["*"]}' in refused(anon)


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ("viewer", "expected an object"),
        ([], "expected an object"),
        ({}, "role: expected one of viewer, operator, editor, ingest, admin, got None"),
        ({"role": "root", "features": ["*"]}, "role: expected one of"),
        ({"role": ["viewer"], "features": ["*"]}, "role: expected one of"),
        ({"role": "viewer"}, "features: expected a list"),
        ({"role": "viewer", "features": []}, "features: expected a list"),
        ({"role": "viewer", "features": "*"}, "features: expected a list"),
        ({"role": "viewer", "features": ["*"] * 201}, "features: expected a list"),
        ({"role": "viewer", "features": ["chat", "[a-z]*"]}, "features: expected a feature id"),
        ({"role": "viewer", "features": ["a" * 65]}, "features: expected a feature id"),
        ({"role": "viewer", "features": [None]}, "features: expected a feature id"),
    ],
)
@pytest.mark.parametrize("at_the_top", [True, False])
def test_a_claim_that_cannot_be_understood_grants_nothing(granted: Any, expected: str, at_the_top: bool) -> None:
    place = {"featurewatch": granted} if at_the_top else {"app_metadata": {"featurewatch": granted}}
    assert expected in refused(claims(NOW_S, **place))


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({}, "ada@example.com"),
        ({"email": ""}, "0f3c8a52-6a0e-4b5f-9f0a-5b6f6c1f2a3d"),
        ({"email": 7}, "0f3c8a52-6a0e-4b5f-9f0a-5b6f6c1f2a3d"),
        ({"email": "a\r\nb\x1b[31m\u202e"}, "ab[31m"),
        ({"email": "x" * 500}, "x" * 100),
        ({"email": None, "sub": None}, "unnamed"),
    ],
)
def test_the_name_is_what_people_know_on_one_line(told: dict[str, Any], name: str) -> None:
    assert principal_of(claims(NOW_S, **told), KEY, NOW).name == name


def test_a_caller_keeps_its_id_from_one_jwt_to_the_next() -> None:
    def id_(**more: Any) -> str:
        return principal_of(claims(NOW_S, **more), KEY, NOW).credential

    assert id_() == id_(exp=NOW_S + 7200, email="ada@new.example.com")
    assert len({id_(), id_(sub="another"), id_(iss="another")}) == 3
    assert re.fullmatch(r"jwt:[0-9a-f]{24}", id_()), "an API token's id has no colon"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"exp": None}, "does not say until when"),
        ({"exp": NOW_S - LEEWAY_S}, "is over since 2027-01-15T07:59:50Z"),
        ({"exp": 0}, "is over since 1970-01-01T00:00:00Z"),
        ({"exp": -1e300}, "is over since"),
        ({"exp": "2999"}, "exp: expected seconds since 1970"),
        ({"exp": True}, "exp: expected seconds since 1970"),
        ({"exp": float("nan")}, "exp: expected seconds since 1970"),
        ({"exp": [1]}, "exp: expected seconds since 1970"),
        ({"nbf": NOW_S + LEEWAY_S + 1}, "not valid yet (nbf)"),
        ({"iat": NOW_S + LEEWAY_S + 1}, "not valid yet (iat)"),
        ({"nbf": "soon"}, "nbf: expected seconds"),
    ],
)
def test_a_jwt_that_is_not_valid_now_is_nobodys(told: dict[str, Any], expected: str) -> None:
    assert expected in refused(claims(NOW_S, **told), Unauthenticated)


@pytest.mark.parametrize(
    "told", [{"exp": NOW_S - LEEWAY_S + 1}, {"exp": NOW_S + 0.5}, {"nbf": NOW_S + LEEWAY_S}, {"iat": NOW_S + LEEWAY_S}]
)
def test_clocks_may_differ_a_little(told: dict[str, Any]) -> None:
    assert principal_of(claims(NOW_S, **told), KEY, NOW).role == "viewer"


@pytest.mark.parametrize("exp", [1e300, float("inf"), 10**400])
def test_a_jwt_without_an_end_in_sight_has_one_that_can_be_written(exp: float) -> None:
    ends_ns = principal_of(claims(NOW_S, exp=exp), KEY, NOW).expires_ns
    assert ends_ns is not None
    assert format_instant(ends_ns).startswith("2255")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("exp", "nbf", "iat", "sub", "email", "iss", "featurewatch", "app_metadata")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)), st.booleans())
def test_no_claims_whatever_raise_anything_else(told: dict[str, Any], valid: bool) -> None:
    if valid:
        told = {**told, "exp": NOW_S + 60}
    try:
        said = principal_of(told, KEY, NOW).name
    except (Forbidden, Unauthenticated) as error:
        said = error.message
    assert said
    assert "\n" not in said
