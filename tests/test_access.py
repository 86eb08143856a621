"""Who may do what, role by role."""

from __future__ import annotations

import re
from typing import Any, Final, get_args

import pytest

from featurewatch.access import ALLOWED, ANYONE, PATTERN, Action, Principal
from featurewatch.bridge.app import create_app
from featurewatch.model import Role
from featurewatch.settings import load

ACTIONS: Final = ("read", "act", "edit", "ingest", "administer")
MAY: Final[dict[Role, str]] = {
    "viewer": "x----",
    "operator": "xx---",
    "editor": "xxx--",
    "ingest": "---x-",
    "admin": "xxxxx",
}
"""By role, which of the actions, in their order."""

DOES: Final[list[tuple[str, str | None]]] = [
    (r"GET (/healthz|/readyz|/metrics|.*/websocket)", None),  # /metrics asks for itself; see test_access
    (r"(POST|DELETE) .*/session", None),
    (r"GET .*/me", "any"),
    (r"POST .*/tickets", "read"),
    (r"POST .*/webhooks/.*", None),  # Alertmanager shows a token of its own
    (r"POST .*/(logs|requests|test-results|push)", "ingest"),
    (r"POST /v1/.*", "ingest"),
    (r"POST .*/preview", "read"),
    (r"(POST|DELETE) .*/(acknowledge|resolve|comments|bulk|maintenance|silences?)(/.*)?", "act"),
    (r"(POST|PUT|PATCH|DELETE) .*/(rules|channels)(/.*)?", "edit"),
    (r"(PUT|PATCH|DELETE) .*/features/\{feature_id\}", "edit"),
    (r"GET .*", "read"),
]
"""What an endpoint needs, by the first line that its method and path match."""


def test_every_role_and_action_stands_in_the_table() -> None:
    assert tuple(get_args(Action)) == ACTIONS
    assert set(get_args(Role)) == set(MAY) == set(ALLOWED)


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_what_the_table_says_and_no_more(role: Role) -> None:
    caller = Principal("someone", role)
    assert "".join("x" if caller.may(action) else "-" for action in ACTIONS) == MAY[role]


def test_without_authentication_everyone_may_do_everything() -> None:
    assert all(ANYONE.may(action) for action in ACTIONS)
    assert ANYONE.sees("anything")


@pytest.mark.parametrize(
    ("patterns", "seen", "hidden"),
    [
        (("*",), ("a", "A.b-c_d"), ()),
        (("sum*",), ("sum", "summarize"), ("Summarize", "consume", "xsum")),
        (("chat", "sum?"), ("chat", "sums"), ("chats", "sum", "summs")),
        (("*-eu",), ("chat-eu",), ("chat-eu2", "eu")),
        (("a.c",), ("a.c",), ("abc",)),
        ((), (), ("a", "")),
    ],
)
def test_patterns_say_which_features_are_seen(
    patterns: tuple[str, ...], seen: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    caller = Principal("someone", "viewer", patterns)
    assert [caller.sees(feature) for feature in (*seen, *hidden)] == [True] * len(seen) + [False] * len(hidden)


@pytest.mark.parametrize("text", ["[a-z]*", "!chat", "a b", "a/b", "ü", "a" * 65, "a\n"])
def test_a_pattern_is_a_feature_id_with_two_wildcards(text: str) -> None:
    assert PATTERN.fullmatch(text) is None


def test_every_endpoint_needs_what_its_kind_needs() -> None:
    document: dict[str, Any] = create_app(load({})).openapi()
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            called = f"{method.upper()} {path}"
            needed = next(action for pattern, action in DOES if re.fullmatch(pattern, called))
            assert told.get("x-action") == needed, called
            assert (told.get("security") == []) == (needed is None), called
