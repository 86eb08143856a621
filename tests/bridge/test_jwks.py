"""Keys of an issuer: read, fetched over real HTTP, followed through rotations and outages."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from featurewatch.bridge.claims import Forged
from featurewatch.bridge.jwks import MAX_BYTES, MAX_KEYS, MOST_TRIED, RemoteKeys, fetch_from, read_keys
from featurewatch.errors import Unavailable
from featurewatch.times import NS

from .issuers import Issuer, SigningKey, issuer

pytestmark = pytest.mark.anyio

OLD, NEW = SigningKey("ES256", "old"), SigningKey("ES256", "new")
RSA = SigningKey("RS256", "rsa")
NAMELESS = SigningKey("EdDSA")


class Clock:
    now = 1_800_000_000 * NS

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[Issuer]:
    with issuer() as told:
        told.publish(OLD)
        yield told


@pytest.fixture
def keys(server: Issuer, clock: Clock) -> RemoteKeys:
    return RemoteKeys(fetch_from(server.url), clock=clock)


async def known(keys: RemoteKeys, key: SigningKey) -> bool:
    try:
        return bool(await keys.find(key.id, key.algorithm))
    except Forged:
        return False


# reading


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA.public(), "RS256"),
        (RSA.public(alg=None), "RS256"),
        (RSA.public(alg="PS512"), "PS512"),
        (RSA.public(use=None), None),
        (OLD.public(), "ES256"),
        (OLD.public(alg=None, key_ops=["verify"]), "ES256"),
        (NAMELESS.public(), "EdDSA"),
        (OLD.public(kid=7), "ES256"),
        (RSA.public(alg="HS256"), None),
        (RSA.public(alg="none"), None),
        (RSA.public(alg="ES256"), None),
        (RSA.public(alg=["RS256"]), None),
        (RSA.public(use="enc"), None),
        (OLD.public(key_ops=["sign"]), None),
        (SigningKey("RS256", bits=1024).public(), None),
        ({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, None),
        ({**OLD.public(), "crv": "secp256k1", "alg": None}, None),
        ({**OLD.public(), "x": "AAAA"}, None),
        ({**RSA.public(), "n": 7}, None),
        ({**RSA.public(), "n": None}, None),
        ({"kty": "RSA"}, None),
        ({"kty": ["RSA"]}, None),
        ({}, None),
        ("key", None),
        (None, None),
    ],
)
def test_a_key_is_for_one_algorithm_or_is_left_out_with_its_reason(key: Any, algorithm: str | None) -> None:
    found, problems = read_keys({"keys": [key, NEW.public()]})
    assert [key.algorithm for key in found] == ([algorithm] if algorithm else []) + ["ES256"]
    assert len(problems) == (algorithm is None)
    assert all(problem.startswith("key 1: ") and "\n" not in problem for problem in problems)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}, "keys"])
def test_what_is_no_set_of_keys_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_keys(document)


def test_a_set_has_so_many_keys_at_most() -> None:
    found, problems = read_keys({"keys": [OLD.public(kid=str(number)) for number in range(MAX_KEYS + 1)]})
    assert len(found) == MAX_KEYS
    assert problems == [f"of {MAX_KEYS + 1} keys the first {MAX_KEYS} are read"]


def test_a_key_that_takes_anothers_name_is_another_key() -> None:
    (one,), _ = read_keys({"keys": [OLD.public()]})
    (other,), _ = read_keys({"keys": [NEW.public(kid="old")]})
    (same,), _ = read_keys({"keys": [OLD.public(x5t="more")]})
    assert one.mark != other.mark
    assert one.mark == same.mark


# finding


async def test_keys_are_fetched_once_for_all_who_ask(server: Issuer, keys: RemoteKeys) -> None:
    assert await asyncio.gather(*(known(keys, OLD) for _ in range(20))) == [True] * 20
    assert server.asked == 1


async def test_a_key_that_is_not_known_makes_the_set_be_fetched_anew(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    assert await known(keys, OLD)
    server.publish(OLD, NEW)
    clock.pass_(30)
    assert await known(keys, NEW)
    assert await known(keys, OLD)
    assert server.asked == 2


async def test_guesses_do_not_make_the_issuer_be_asked_more_often(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    assert await known(keys, OLD)
    for _ in range(50):
        assert not await known(keys, NEW)
    assert server.asked == 1
    clock.pass_(29)
    assert not await known(keys, NEW)
    assert server.asked == 1
    clock.pass_(1)
    for _ in range(50):
        assert not await known(keys, NEW)
    assert server.asked == 2


async def test_a_key_that_is_withdrawn_is_dropped_within_ten_minutes(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    (old,) = await keys.find("old", "ES256")
    server.publish(NEW)
    clock.pass_(601)
    assert keys.trusts(old.mark), "the fetch runs in the background"
    await keys.refresh()
    assert server.asked == 2
    assert not keys.trusts(old.mark)
    assert not await known(keys, OLD)


async def test_while_the_issuer_is_down_its_keys_hold_for_a_day(
    server: Issuer, keys: RemoteKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (old,) = await keys.find("old", "ES256")
    server.status = 503
    for _ in range(20):
        clock.pass_(3600)
        assert await known(keys, OLD)
        assert keys.trusts(old.mark)
        await keys.refresh()
    assert keys.fetches == {"ok": 1, "failed": 20}
    assert caplog.text.count("the 1 keys known hold on") == 1, "told once, not each time"
    assert keys.failure == ""
    with pytest.raises(Unavailable, match="answered 503"):
        await keys.find("new", "ES256")
    clock.pass_(5 * 3600)
    assert "cannot be fetched" in keys.failure
    assert not keys.trusts(old.mark)
    with pytest.raises(Unavailable):
        await keys.find("old", "ES256")
    server.status = 200
    clock.pass_(30)
    await keys.refresh()
    assert keys.failure == ""
    assert await known(keys, OLD)


async def test_an_issuer_that_is_down_at_the_start_is_tried_again(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    server.status = 500
    for _ in range(10):
        with pytest.raises(Unavailable, match="answered 500"):
            await keys.find("old", "ES256")
    assert server.asked == 1
    server.status = 200
    clock.pass_(5)
    assert await known(keys, OLD)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "Expecting value"),
        (b'{"error": "x"}', "expected"),
        (b"\xff", "decode"),
        (b"[" * 100_000, "recursion"),
        (b" " * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
    ],
)
async def test_an_issuer_that_answers_garbage_changes_nothing(
    server: Issuer, keys: RemoteKeys, clock: Clock, body: bytes, reason: str
) -> None:
    assert await known(keys, OLD)
    server.body = body
    clock.pass_(601)
    await keys.refresh()
    assert keys.fetches["failed"] == 1
    assert await known(keys, OLD)
    with pytest.raises(Unavailable, match=reason):
        await keys.find("new", "ES256")


async def test_an_issuer_that_withdraws_all_its_keys_is_believed(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    assert await known(keys, OLD)
    server.publish()
    clock.pass_(601)
    await keys.refresh()
    assert not await known(keys, OLD)
    assert keys.failure == ""


async def test_an_address_where_nobody_answers_is_told_without_credentials(clock: Clock) -> None:
    keys = RemoteKeys(fetch_from("http://127.0.0.1:9/keys?code=hunter2"), clock=clock)
    with pytest.raises(Unavailable) as caught:
        await keys.find("a", "ES256")
    assert "JWT_JWKS_URL: the keys that verify JWTs cannot be fetched" in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_an_issuer_that_hangs_is_given_up(clock: Clock) -> None:
    async def hang() -> bytes:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
        return b""

    keys = RemoteKeys(hang, clock=clock)
    with pytest.raises(Unavailable, match="TimeoutError"):
        await keys.find("a", "ES256")


async def test_closing_ends_a_fetch(clock: Clock) -> None:
    async def hang() -> bytes:
        await asyncio.sleep(60)
        return b""

    keys = RemoteKeys(hang, clock=clock)
    keys.refresh_soon()
    await asyncio.sleep(0)
    await keys.close()
    await keys.close()
    assert keys.fetches == {"ok": 0, "failed": 0}


async def test_a_clock_that_is_put_back_asks_anew_and_locks_nobody_out(
    server: Issuer, keys: RemoteKeys, clock: Clock
) -> None:
    assert await known(keys, OLD)
    server.publish(NEW)
    clock.pass_(-86_400)
    assert await known(keys, NEW)
    assert not await known(keys, OLD)


async def test_a_jwt_that_names_no_key_means_those_of_its_algorithm(server: Issuer, keys: RemoteKeys) -> None:
    more = [SigningKey("ES256", str(number)) for number in range(5)]
    server.publish(*more, RSA, NAMELESS)
    assert len(await keys.find(None, "ES256")) == MOST_TRIED
    assert [key.algorithm for key in await keys.find(None, "EdDSA")] == ["EdDSA"]
    with pytest.raises(Forged, match="algorithm is not the one"):
        await keys.find(None, "PS256")
    with pytest.raises(Forged, match="algorithm is not the one"):
        await keys.find("rsa", "ES256")


async def test_a_document_that_grows_is_logged_with_what_is_left_out(
    server: Issuer, keys: RemoteKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.body = json.dumps({"keys": [OLD.public(), {"kty": "oct", "k": "c2VjcmV0"}]}).encode()
    assert await known(keys, OLD)
    assert "key 2: expected RSA, EC or Ed25519, got oct" in caplog.text
    assert "1 keys: old" in caplog.text
    assert "c2VjcmV0" not in caplog.text
