"""How often callers may ask: buckets, and what they bound in a running bridge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from featurewatch import tokens
from featurewatch.access import ANYONE, Principal
from featurewatch.bridge.throttle import BURST_S, Buckets, Limit, Rates
from featurewatch.errors import TooMany
from featurewatch.times import NS

from .running import API, bridge, client_of, serving

pytestmark = pytest.mark.anyio

WALL = Principal("wall", "viewer", credential="wall")
LINE = {"featureId": "chat", "message": "x"}


class Clock:
    now = 1_800_000_000 * NS

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(take: Callable[[], int], times: int) -> int:
    """Count how many of so many attempts succeed."""
    return sum(take() == 0 for _ in range(times))


def test_a_bucket_holds_its_size_and_fills_at_its_rate(clock: Clock) -> None:
    buckets = Buckets(rate=2, size=6, limit=9, clock=clock)
    assert taken(lambda: buckets.take("a"), 20) == 6
    assert buckets.take("a") == 1, "the seconds until one is in it"
    assert taken(lambda: buckets.take("b"), 20) == 6
    clock.pass_(1.5)
    assert taken(lambda: buckets.take("a"), 20) == 3
    clock.pass_(3600)
    assert taken(lambda: buckets.take("a"), 20) == 6


def test_a_slow_bucket_says_how_long_it_takes(clock: Clock) -> None:
    buckets = Buckets(rate=1 / 60, size=1, limit=9, clock=clock)
    assert [buckets.take("a"), buckets.take("a")] == [0, 60]
    clock.pass_(20.5)
    assert buckets.take("a") == 40
    clock.pass_(39.5)
    assert buckets.take("a") == 0


@pytest.mark.parametrize("seconds", [-86_400, 86_400])
def test_a_clock_that_jumps_shuts_nobody_out_for_long(clock: Clock, seconds: float) -> None:
    buckets = Buckets(rate=1, size=5, limit=9, clock=clock)
    taken(lambda: buckets.take("a"), 9)
    clock.pass_(seconds)
    taken(lambda: buckets.take("a"), 9)
    clock.pass_(5)
    assert taken(lambda: buckets.take("a"), 9) == 5


def test_so_many_callers_are_kept_the_one_that_came_longest_ago_makes_room(clock: Clock) -> None:
    buckets = Buckets(rate=0.001, size=1, limit=3, clock=clock)
    for name in "abcabd":
        buckets.take(name)
    assert len(buckets) == 3
    assert [buckets.take(name) > 0 for name in "bcda"] == [True, True, True, False]


def test_a_caller_has_buckets_for_writing_for_streams_and_for_the_rest(clock: Clock) -> None:
    refused: list[str] = []
    rates = Rates(ingest=2, query=1, streams=100, clock=clock, refused=refused.append)

    def spent(caller: Principal | None, address: str, limit: Limit = "query") -> int:
        count = 0
        try:
            for _ in range(1000):
                rates.spend(caller, address, limit)
                count += 1
        except TooMany:
            return count
        return count

    ten = int(BURST_S)
    assert spent(WALL, "10.0.0.1", "ingest") == 2 * ten
    assert spent(WALL, "10.0.0.2") == ten, "wherever it calls from"
    assert spent(WALL, "10.0.0.1") == 0
    assert spent(None, "10.0.0.1") == ten
    assert spent(ANYONE, "10.0.0.1") == 0, "who is nobody in particular is its address"
    assert spent(ANYONE, "10.0.0.2") == ten
    assert spent(WALL, "10.0.0.1", "stream") == 200, "all that may be open, and those that they replace"
    clock.pass_(5)
    assert spent(WALL, "10.0.0.1", "stream") == 5
    assert refused == ["ingest", "query", "query", "query", "query", "query", "stream", "stream"]


def test_a_refusal_names_the_caller_the_setting_and_the_time(clock: Clock) -> None:
    rates = Rates(ingest=0.01, query=0, streams=9, clock=clock)
    rates.spend(WALL, "", "ingest")
    with pytest.raises(TooMany, match=r"'wall' asks more often than it may \(FEATUREWATCH_INGEST_RATE\)") as caught:
        rates.spend(WALL, "", "ingest")
    assert caught.value.retry_after == 100
    for _ in range(10_000):
        rates.spend(WALL, "")


def test_a_clock_that_is_put_back_shuts_nobody_out() -> None:
    now = 1_000_000 * NS
    buckets = Buckets(rate=1.0, size=3.0, limit=10, clock=lambda: now)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    now -= 6 * 3600 * NS
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == 1


async def test_a_caller_that_asks_too_often_is_refused_and_others_are_not(anyio_backend: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    secrets = {name: tokens.create(file, name=name, role="admin")[1] for name in ("busy", "calm")}
    async with bridge(tmp_path, api_tokens_file=file, query_rate=0.5, ingest_rate=0.2) as client:
        app = client.app  # type: ignore[attr-defined]  # see running
        busy, calm = (client_of(app, Authorization=f"Bearer {secret}") for secret in secrets.values())
        statuses = [(await busy.get(f"{API}/features")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        refused = await busy.get(f"{API}/features")
        assert refused.json()["code"] == "too_many"
        assert refused.headers["retry-after"] == "2"
        assert (await calm.get(f"{API}/features")).status_code == 200
        assert [(await busy.post(f"{API}/logs", json=LINE)).status_code for _ in range(3)] == [200, 200, 429]
        # Those who speak other protocols are told in theirs.
        otlp, loki = await busy.post("/v1/logs", json={}), await busy.post("/loki/api/v1/push", json={"streams": []})
        assert (otlp.status_code, otlp.json()["code"]) == (429, 8)
        assert (loki.status_code, loki.headers["retry-after"]) == (429, "5")
        # Probes are never refused, whoever else asks from the same address.
        assert [(await client.get(f"{API}/me")).status_code for _ in range(7)] == [401] * 5 + [429] * 2
        assert {(await client.get("/healthz")).status_code for _ in range(30)} == {200}
        shown = (await calm.get("/metrics")).text
        assert 'featurewatch_rate_limited_total{limit="query"} 5.0' in shown
        assert 'featurewatch_rate_limited_total{limit="ingest"} 3.0' in shown


async def test_a_rate_of_0_bounds_nobody(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, query_rate=0, ingest_rate=0) as client:
        assert {(await client.get(f"{API}/me")).status_code for _ in range(300)} == {200}


async def test_guessing_tokens_at_the_session_is_bounded(anyio_backend: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    tokens.create(file, role="admin")
    async with bridge(tmp_path, api_tokens_file=file, query_rate=0.3) as client:
        answers = [await client.post(f"{API}/session", json={"token": "fw_a_b"}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2


def test_what_a_socket_asks_of_the_stores_counts_too(tmp_path: Path) -> None:
    with serving(tmp_path, query_rate=0.5, max_streams=4) as url:
        httpx.post(f"{url}{API}/logs", json=LINE).raise_for_status()
        with connect(f"ws{url[4:]}{API}/websocket?featureId=chat", proxy=None) as socket:
            for _ in range(12):
                socket.send(json.dumps({"type": "subscribe_logs"}))
                socket.send(json.dumps({"type": "ping"}))
            told = [json.loads(socket.recv(10))]
            while sum(message["type"] == "pong" for message in told) < 12:
                told.append(json.loads(socket.recv(10)))
            errors = [message["data"]["code"] for message in told if message["type"] == "error"]
            assert errors == ["too_many"] * 3, "four come with the socket, five are its caller's"
        assert httpx.get(f"{url}{API}/me").status_code == 429
        # Without a feature each ends at once, so that the number of those that are open plays no part.
        closes = [_closed(f"ws{url[4:]}{API}/websocket") for _ in range(30)]
        assert closes[:5] == [(1008, "featureId: expected one or more (at most 1000), or * for all")] * 5
        assert (1013, True) in [(code, "more often than it may" in reason) for code, reason in closes]


def _closed(address: str) -> tuple[int, str]:
    with connect(address, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize(("trusted", "statuses"), [("127.0.0.1", [200, 200, 200]), ("10.0.0.0/8", [200, 200, 429])])
def test_behind_a_trusted_proxy_addresses_are_those_of_the_callers(
    tmp_path: Path, trusted: str, statuses: list[int]
) -> None:
    with serving(tmp_path, query_rate=0.2, trusted_proxies=trusted) as url:
        told = [
            httpx.get(f"{url}{API}/me", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
            for number in range(3)
        ]
        assert told == statuses
