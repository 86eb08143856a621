"""Whose a JWT is: signatures, algorithms, audience and issuer."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featurewatch.bridge import jwts
from featurewatch.bridge.claims import Forged
from featurewatch.bridge.jwks import RemoteKeys, fetch_from
from featurewatch.bridge.jwts import LONGEST, Verifier
from featurewatch.errors import FeaturewatchError, SettingsError, Unauthenticated, Unavailable
from featurewatch.settings import load
from featurewatch.times import NS

from .issuers import AUDIENCE, HS256, ISSUER, SECRET, Issuer, SigningKey, claims, encoded, issuer, signed

pytestmark = pytest.mark.anyio

NOW_S = 1_800_000_000
KEYS = {algorithm: SigningKey(algorithm, f"key-{algorithm}") for algorithm in ("RS256", "ES256", "EdDSA")}
CLAIMS = claims(NOW_S)


class Clock:
    now = NOW_S * NS

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[Issuer]:
    with issuer() as told:
        told.publish(*KEYS.values())
        yield told


@pytest.fixture
def verifier(server: Issuer, clock: Clock) -> Verifier:
    keys = RemoteKeys(fetch_from(server.url), clock=clock)
    return Verifier(SECRET.encode(), keys, audience=[AUDIENCE, "other"], issuer=[ISSUER], clock=clock)


async def refused(verifier: Verifier, text: str, kind: type[FeaturewatchError] = Forged) -> str:
    with pytest.raises(kind) as caught:
        await verifier.principal(text)
    assert type(caught.value) is kind
    assert "\n" not in caught.value.message
    assert SECRET not in caught.value.message
    return caught.value.message


async def test_each_algorithm_is_verified_by_its_own_key(verifier: Verifier) -> None:
    for text in (signed(CLAIMS), *(key.sign(CLAIMS) for key in KEYS.values())):
        caller = await verifier.principal(text)
        assert (caller.name, caller.role) == ("ada@example.com", "viewer")
        assert verifier.trusts(caller)


async def test_the_examples_of_the_standard_are_verified() -> None:
    """RFC 7515, appendix A.1: HS256 over claims with line breaks; audience and role are what it lacks."""
    text = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    secret = (
        b"\x03#5K+\x0f\xa5\xbc\x83~\x06ew{\xa6\x8fZ\xb3(\xe6\xf0T\xc9(\xa9\x0f\x84\xb2\xd2P.\xbf"
        b'\xd3\xfbZ\x92\xd2\x06G\xef\x96\x8a\xb4\xc3wb="=.!r\x05.O\x08\xc0\xcd\x9a\xf5g\xd0\x80\xa3'
    )
    standard = Verifier(secret, None, audience=["a"], issuer=["joe"], clock=Clock())
    assert "lacks the claim 'aud'" in await refused(standard, text, Unauthenticated)
    other = Verifier(secret[:-1] + b"\0", None, audience=["a"], issuer=["joe"], clock=Clock())
    assert "signature is wrong" in await refused(other, text)


def unsigned(header: dict[str, Any]) -> str:
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(CLAIMS).encode())}."


FORGERIES: dict[str, Callable[[], str]] = {
    "another secret": lambda: signed(CLAIMS, secret="x" * 40),
    "no signature": lambda: signed(CLAIMS).rpartition(".")[0] + ".",
    "none": lambda: unsigned({"alg": "none"}),
    "None": lambda: unsigned({"alg": "None"}),
    "no algorithm": lambda: unsigned({}) + "eA",
    "an algorithm that is no text": lambda: signed(CLAIMS, alg=["HS256"]),
    "HS256 by the public key": lambda: signed(CLAIMS, secret=json.dumps(KEYS["RS256"].public())),
    "HS256 by a public number": lambda: signed(CLAIMS, secret=KEYS["RS256"].public()["n"], kid="key-RS256"),
    "HS384 by the secret": lambda: signed(CLAIMS, alg="HS384"),
    "HS256 said to be RS256": lambda: signed(CLAIMS, alg="RS256", kid="key-RS256"),
    "RS256 said to be PS256": lambda: KEYS["RS256"].sign(CLAIMS, alg="PS256"),
    "RS256 said to be ES256": lambda: KEYS["RS256"].sign(CLAIMS, alg="ES256"),
    "a key in the header": lambda: SigningKey("ES256").sign(CLAIMS, jwk=KEYS["ES256"].public(), kid="key-ES256"),
    "an address in the header": lambda: SigningKey("ES256", "mine").sign(CLAIMS, jku="http://127.0.0.1:9/keys"),
    "another's key under a known name": lambda: SigningKey("ES256", "key-ES256").sign(CLAIMS),
    "a key that is not published": lambda: SigningKey("ES256", "key-unknown").sign(CLAIMS),
    "the name of another key": lambda: KEYS["ES256"].sign(CLAIMS, kid="key-EdDSA"),
    "a name that is no text": lambda: KEYS["ES256"].sign(CLAIMS, kid=7),
    "an empty name": lambda: KEYS["ES256"].sign(CLAIMS, kid=""),
    "critical": lambda: signed(CLAIMS, crit=["exp"]),
    "an unencoded payload": lambda: signed(CLAIMS, b64=False, crit=["b64"]),
    "claims that are no object": lambda: signed([CLAIMS]),
    "claims that are no JSON": lambda: signed(b"{"),
    "claims that are nested deeply": lambda: signed(b"[" * 5000),
    "five parts": lambda: f"{signed(CLAIMS)}.a.b",
    "changed claims": lambda: signed(CLAIMS).replace(".eyJ", ".eyK", 1),
    "a trailing byte": lambda: signed(CLAIMS) + "A",
    "too long": lambda: signed(claims(NOW_S, padding="x" * LONGEST)),
    "letters of elsewhere": lambda: signed(CLAIMS) + "é",
    "a lone surrogate": lambda: "\ud800" + signed(CLAIMS),
    "nothing": lambda: "",
    "dots": lambda: "..",
    "a header that is no object": lambda: f"{encoded(b'[]')}.{encoded(b'{}')}.eA",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_what_no_known_key_signed_as_it_is_is_a_forgery(verifier: Verifier, name: str) -> None:
    await refused(verifier, FORGERIES[name]())


async def test_any_changed_character_is_noticed(verifier: Verifier) -> None:
    seeded = random.Random(7)
    for whole in (signed(CLAIMS), KEYS["ES256"].sign(CLAIMS)):
        for _ in range(150):
            place = seeded.randrange(len(whole) - 2)  # the last characters hold bits that stand for nothing
            other = seeded.choice("ABCxyz019-_.")
            if whole[place] != other:
                await refused(verifier, whole[:place] + other + whole[place + 1 :])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"aud": None}, "lacks the claim 'aud'"),
        ({"aud": "anon"}, "another audience: expected aud 'authenticated' or 'other'"),
        ({"aud": []}, "lacks the claim 'aud'"),
        ({"aud": ["anon", 7]}, "another audience"),
        ({"aud": {"authenticated": 1}}, "another audience"),
        ({"aud": "authenticated "}, "another audience"),
        ({"iss": None}, "lacks the claim 'iss'"),
        ({"iss": ISSUER + "/"}, f"another issuer: expected iss '{ISSUER}'"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"exp": None}, "lacks the claim 'exp'"),
        ({"exp": NOW_S - 3600}, "is over since"),
    ],
)
async def test_a_jwt_for_others_is_no_guess_but_nobodys(
    verifier: Verifier, told: dict[str, Any], expected: str
) -> None:
    assert expected in await refused(verifier, signed(claims(NOW_S, **told)), Unauthenticated)


async def test_one_audience_of_several_suffices(verifier: Verifier) -> None:
    for audience in ("other", ["anon", AUDIENCE]):
        assert (await verifier.principal(signed(claims(NOW_S, aud=audience)))).role == "viewer"


async def test_a_header_may_say_what_nobody_asks(verifier: Verifier) -> None:
    """Clerk adds `cat`, others `x5t`, Supabase names its secret by `kid`; Keycloak leaves out `typ`."""
    for text in (
        signed(CLAIMS, cat="cl_B7d4PD111AAA", kid="legacy"),
        KEYS["RS256"].sign(CLAIMS, typ=None, x5t="abc"),
        KEYS["ES256"].sign(CLAIMS, typ="at+jwt"),
    ):
        assert (await verifier.principal(text)).role == "viewer"


async def test_each_kind_needs_its_setting(server: Issuer, clock: Clock) -> None:
    keys = RemoteKeys(fetch_from(server.url), clock=clock)
    by_secret = Verifier(SECRET.encode(), None, audience=[AUDIENCE], issuer=[ISSUER], clock=clock)
    by_keys = Verifier(None, keys, audience=[AUDIENCE], issuer=[ISSUER], clock=clock)
    assert "no JWT_JWKS_URL is set" in await refused(by_secret, KEYS["ES256"].sign(CLAIMS))
    assert "no JWT_SECRET is set" in await refused(by_keys, signed(CLAIMS))
    assert (await by_keys.principal(KEYS["ES256"].sign(CLAIMS))).role == "viewer"
    mine = await by_secret.principal(signed(CLAIMS))
    assert not by_keys.trusts(mine), "a caller is trusted by whoever let it in"


async def test_a_key_that_changes_under_its_name_is_followed(verifier: Verifier, server: Issuer, clock: Clock) -> None:
    one, other = SigningKey("ES256"), SigningKey("ES256")
    server.publish(one)
    caller = await verifier.principal(one.sign(CLAIMS))
    server.publish(other)
    clock.now += 30 * NS
    assert (await verifier.principal(other.sign(CLAIMS))).role == "viewer"
    assert not verifier.trusts(caller)
    await refused(verifier, one.sign(CLAIMS))


async def test_while_the_keys_cannot_be_had_nobody_is_called_a_forger(
    verifier: Verifier, server: Issuer, clock: Clock
) -> None:
    server.status = 500
    await refused(verifier, KEYS["ES256"].sign(CLAIMS), Unavailable)
    assert (await verifier.principal(signed(CLAIMS))).role == "viewer", "a secret needs no issuer"


async def test_a_caller_is_trusted_until_its_jwt_ends(verifier: Verifier, clock: Clock) -> None:
    caller = await verifier.principal(signed(claims(NOW_S, lasts_s=60)))
    clock.now += 69 * NS
    assert verifier.trusts(caller)
    clock.now += NS
    assert not verifier.trusts(caller)


async def test_what_was_verified_is_remembered_within_bounds_and_no_longer_than_it_holds(
    verifier: Verifier, server: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwts, "MOST_KNOWN", 3)
    texts = [KEYS["ES256"].sign(claims(NOW_S, sub=str(number), lasts_s=1000)) for number in range(5)]
    for text in texts:
        assert await verifier.principal(text) == await verifier.principal(text)
    assert len(verifier._known) == 3
    server.publish(KEYS["RS256"])
    clock.now += 700 * NS
    assert verifier.keys is not None
    await verifier.keys.refresh()
    await refused(verifier, texts[-1])
    server.publish(KEYS["ES256"])
    clock.now += 100 * NS
    await verifier.principal(texts[-1])
    clock.now += 300 * NS
    assert "is over since" in await refused(verifier, texts[-1], Unauthenticated)


def test_the_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    given = {**HS256, "jwt_secret": None, "jwt_secret_file": file}
    verifier = Verifier.of(load({}, **given), clock=time.time_ns)
    assert verifier is not None
    for content, said in ((SECRET[:20], "at least 32 bytes, got 20"), ("", "got 0"), (b"\xff" * 40, "is no text")):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(SettingsError, match=said) as caught:
            Verifier.of(load({}, **given), clock=time.time_ns)
        assert SECRET[:20] not in caught.value.message


def test_a_secret_given_as_the_path_of_its_file_is_not_shown() -> None:
    for mistaken in (SECRET, "/" + SECRET, "x" * 5000):
        with pytest.raises(SettingsError, match="JWT_SECRET_FILE: expected the path of a file") as caught:
            Verifier.of(
                load({}, **{**HS256, "jwt_secret": None, "jwt_secret_file": Path(mistaken)}), clock=time.time_ns
            )
        assert mistaken not in caught.value.message


@pytest.mark.parametrize(
    ("address", "warned"),
    [("http://keycloak:8080/keys", True), ("http://127.0.0.1/keys", False), ("https://x/k", False)],
)
def test_keys_that_come_by_plain_http_are_warned_about(
    address: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load({}, jwt_jwks_url=address, jwt_audience=AUDIENCE, jwt_issuer=ISSUER)
    assert Verifier.of(settings, clock=time.time_ns) is not None
    assert ("plain http" in caplog.text) == warned


def test_nothing_is_verified_where_nothing_is_set() -> None:
    assert Verifier.of(load({}), clock=time.time_ns) is None
