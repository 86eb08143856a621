"""Which hosts and origins are the bridge's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurewatch.bridge.origin import host_allowed, origin_allowed
from featurewatch.settings import Settings

LOCAL = Settings()
PUBLIC = Settings(
    host="fw.example.com",
    api_tokens_file=Path("tokens.json"),
    allowed_hosts=("Watch.Example.com", "*.internal", "[2001:DB8::1]", "proxy:9000"),
    allowed_origins=("https://app.example.com", "http://localhost:5173/"),
)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8400", "localhost", "LOCALHOST:8400", "localhost.", "localhost.:80", "[::1]", "[::1]:8400",
     "127.1.2.3:1", "console.localhost:8400", "192.168.1.7:8400", "[2001:db8::7]", "[0:0:0:0:0:0:0:1]:8400"],
)  # fmt: skip
def test_loopback_and_addresses_are_allowed(host: str) -> None:
    assert host_allowed(host, LOCAL)


@pytest.mark.parametrize(
    "host",
    [None, "", " ", "evil.example", "evil.example:8400", "localhost.evil.example", "127.0.0.1.evil.example",
     "xlocalhost", "localhost:99999", "localhost:x", "localhost:", "[::1", "::1", "user@localhost", "localhost/x",
     "a b", "[evil]", "127.0.0.1:8400:1", "*"],
)  # fmt: skip
def test_a_name_that_was_rebound_or_is_malformed_is_refused(host: str | None) -> None:
    assert not host_allowed(host, LOCAL)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("fw.example.com", True),
        ("FW.example.com.:443", True),
        ("watch.example.com:1234", True),
        ("a.internal", True),
        ("a.b.internal:80", True),
        ("internal", False),
        ("xinternal", False),
        ("proxy", True),
        ("proxy:1", True),
        ("[2001:db8:0::1]:8400", True),
        ("example.com", False),
        ("evil.fw.example.com", False),
    ],
)
def test_named_hosts_are_allowed(host: str, allowed: bool) -> None:
    assert host_allowed(host, PUBLIC) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "127.0.0.1:8400", True),
        ("http://127.0.0.1:8400", "127.0.0.1:8400", True),
        ("HTTP://LocalHost:8400", "localhost:8400", True),
        ("http://localhost", "localhost", True),
        ("http://localhost:80", "localhost", True),
        ("https://fw.example.com", "fw.example.com:443", True),
        ("https://fw.example.com:443", "fw.example.com", True),
        ("http://[::1]:8400", "[::1]:8400", True),
        ("http://[0:0::1]:8400", "[::1]:8400", True),
        ("http://localhost:3000", "localhost:8400", False),
        ("http://localhost:8400", "127.0.0.1:8400", False),
        ("http://evil.example", "127.0.0.1:8400", False),
        ("http://127.0.0.1:8400.evil.example", "127.0.0.1:8400", False),
        ("http://127.0.0.1:8400@evil.example", "127.0.0.1:8400", False),
        ("http://127.0.0.1:8400/path", "127.0.0.1:8400", False),
        ("null", "127.0.0.1:8400", False),
        ("", "127.0.0.1:8400", False),
        ("file://", "127.0.0.1:8400", False),
        ("http://[::1", "[::1]", False),
        ("chrome-extension://abc", "abc", False),
        ("http://localhost:8400", None, False),
    ],
)
def test_an_origin_is_the_hosts_own_or_refused(origin: str | None, host: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, host, LOCAL) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("https://APP.example.com:443", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://x.app.example.com", False),
        ("http://localhost:5173", True),
        ("null", False),
    ],
)
def test_an_origin_is_allowed_by_name_with_its_scheme_and_port(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, "fw.example.com", PUBLIC) is allowed
