"""Streams over a real Loki: each client is told each line once, or told what was lost, whatever befalls Loki."""

from __future__ import annotations

import asyncio
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from listeners import Listener
from loki import LIMITS, Loki, make
from running import Running, bridge
from waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.anyio]

PAD = "answer of 212 tokens from gpt-5-mini in 842 ms, cached 0, cost 0.0021 USD"
PATIENCE_S = 120


@pytest.fixture
def feature() -> str:
    """A feature's name that no other test or run has."""
    return f"f-{uuid.uuid4().hex[:12]}"


async def produce(loki: Loki, feature: str, numbers: range, rate: float, *, size: int = 100) -> None:
    """Push lines at a steady rate; what Loki does not take is pushed again until it does, as the exporter does."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        started = time.perf_counter()
        for begin in range(0, len(numbers), size):
            part = numbers[begin : begin + size]
            now = time.time_ns()
            stream = {"service_name": "app", "feature": feature, "environment": "production"}
            values = [
                [
                    str(now + at),
                    f"{PAD}{' the seventh' if number % 7 == 0 else ''} #{number}",
                    {"id": f"{number:032x}", "level": "error" if number % 10 == 0 else "info", "source": "app"},
                ]
                for at, number in enumerate(part)
            ]
            while True:
                try:
                    answer = await client.post(
                        f"{loki.url}/loki/api/v1/push", json={"streams": [{"stream": stream, "values": values}]}
                    )
                    if answer.status_code == 204:
                        break
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)
            await asyncio.sleep(max(0.0, started + (begin + len(part)) / rate - time.perf_counter()))


async def known(served: Running, feature: str) -> None:
    """Make a feature known, and wait until a line of it can be followed."""
    async with httpx.AsyncClient(base_url=served.url, timeout=10, trust_env=False) as client:
        line = {"featureId": feature, "environment": "production", "message": "the first #0"}
        deadline = time.monotonic() + PATIENCE_S
        while (await client.post("/api/v1/logs", json=line)).status_code != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


@asynccontextmanager
async def following(*listeners: Listener) -> AsyncIterator[None]:
    for listener in listeners:
        listener.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for listener in listeners:
                await listener.ready.wait()
        yield
    finally:
        for listener in listeners:
            await listener.stop()


def account(numbers: range, *listeners: Listener) -> None:
    """Check that each line came once, or was told as lost."""
    for listener in listeners:
        assert listener.twice == [], listener.name
        assert listener.open(numbers) == 0, (listener.name, listener.missing(numbers)[:10], listener.gaps)


async def metrics(served: Running) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
        text = (await client.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(featurewatch_\S+) (\S+)$", text, re.MULTILINE)}


async def test_under_load_while_loki_is_killed_every_line_comes_once_or_is_told_as_lost(
    own_loki: Loki, feature: str, tmp_path: Path
) -> None:
    numbers = range(1, 30_001)
    with bridge(tmp_path / "bridge", env={"FEATUREWATCH_LOKI_URL": own_loki.url}) as served:
        await known(served, feature)
        away = Listener("away for 2 s", served.url, feature, batch=True)
        listeners = [
            Listener("one by one", served.url, feature),
            Listener("batched", served.url, feature, batch=True),
            Listener("events", served.url, feature, "sse"),
            Listener("errors", served.url, feature, "sse", filters={"levels": "error"}, wants=lambda n: n % 10 == 0),
            Listener(
                "search", served.url, feature, batch=True, filters={"search": "SEVENTH"}, wants=lambda n: n % 7 == 0
            ),
            Listener("all features", served.url, "*", batch=True),
            away,
        ]
        async with following(*listeners):
            producing = asyncio.create_task(produce(own_loki, feature, numbers, 4_000, size=500))
            await until(lambda: len(listeners[0].heard) > 8_000, PATIENCE_S)
            pausing = asyncio.create_task(away.pause(2))
            await until(lambda: len(listeners[0].heard) > 12_000, PATIENCE_S)
            assert own_loki.process is not None
            own_loki.process.kill()
            await asyncio.to_thread(own_loki.process.wait)
            await asyncio.sleep(2)
            await asyncio.to_thread(own_loki.start)
            await producing
            await pausing
            await until(lambda: not any(listener.open(numbers) for listener in listeners), PATIENCE_S)
            await asyncio.sleep(6)  # nothing comes twice afterwards either
            account(numbers, *listeners)
            assert len(listeners[1].heard) > 0.9 * len(numbers), "most are told, not told as lost"
            told = await metrics(served)
        assert told["featurewatch_loki_tails_open"] == 1
        assert told["featurewatch_loki_tails_opened_total"] >= 2
        assert told['featurewatch_loki_lines_total{by="reconciliation"}'] > 0
        assert told["featurewatch_loki_comparison_failures_total"] > 0


async def test_a_client_resumes_across_a_restart_of_the_bridge(loki: Loki, feature: str, tmp_path: Path) -> None:
    numbers = range(1, 1_201)
    env = {"FEATUREWATCH_LOKI_URL": loki.url}
    with bridge(tmp_path / "bridge", env=env) as served:
        await known(served, feature)
        port = int(served.url.rpartition(":")[2])
        listeners = [
            Listener("one by one", served.url, feature),
            Listener("events", served.url, feature, "sse"),
            Listener("errors", served.url, feature, batch=True, filters={"levels": ["error"]},
                     wants=lambda n: n % 10 == 0),
        ]  # fmt: skip
        for listener in listeners:
            listener.start()
        await until(lambda: all(listener.ready.is_set() for listener in listeners), PATIENCE_S)
        producing = asyncio.create_task(produce(loki, feature, numbers, 100, size=10))
        await until(lambda: all(len(listener.heard) > 10 for listener in listeners), PATIENCE_S)
        served.process.kill()
        served.process.wait()
    await asyncio.sleep(2)  # lines of which no bridge hears
    with bridge(tmp_path / "bridge", env=env, port=port) as served:
        await producing
        await until(lambda: not any(listener.missing(numbers) for listener in listeners), PATIENCE_S)
        for listener in listeners:
            await listener.stop()
            assert listener.twice == [], listener.name
            assert listener.gaps == [], listener.name
            assert listener.connects == 2, listener.name


async def test_lines_whose_fields_are_named_like_labels_come_once(loki: Loki, feature: str, tmp_path: Path) -> None:
    """Loki's tail tells such a field in place of the label; the last one names no feature there, and is fetched."""
    fields: list[dict[str, str]] = [
        {},
        {"pod": "b"},
        {"environment": "staging"},
        {"service_name": "other"},
        {"feature": "x"},
    ]
    with bridge(tmp_path / "bridge", env={"FEATUREWATCH_LOKI_URL": loki.url}) as served:
        await known(served, feature)
        listener = Listener("all", served.url, feature)
        async with following(listener), httpx.AsyncClient(trust_env=False) as client:
            now = time.time_ns()
            labels = {"service_name": "app", "feature": feature, "environment": "production", "pod": "a"}
            values = [[str(now + at), f"line #{at + 1}", own] for at, own in enumerate(fields)]
            pushed = {"streams": [{"stream": labels, "values": values}]}
            assert (await client.post(f"{loki.url}/loki/api/v1/push", json=pushed)).status_code == 204
            await until(lambda: not listener.missing(range(1, len(fields) + 1)), PATIENCE_S)
        assert listener.twice == []
        assert listener.gaps == []


async def test_what_loki_is_asked_does_not_grow_with_the_clients(loki: Loki, feature: str, tmp_path: Path) -> None:
    async def asked() -> dict[str, float]:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            text = (await client.get(f"{loki.url}/metrics")).text
        counts: dict[str, float] = {}
        for route, value in re.findall(r'loki_request_duration_seconds_count\{.*?route="([^"]+)".*?\} (\S+)', text):
            counts[route] = counts.get(route, 0) + float(value)
        counts["tails"] = float(re.findall(r"^loki_querier_tail_active (\S+)$", text, re.MULTILINE)[0])
        return counts

    def queries(before: dict[str, float], after: dict[str, float]) -> float:
        route = "loki_api_v1_query_range"
        return after.get(route, 0) - before.get(route, 0)

    with bridge(tmp_path / "bridge", env={"FEATUREWATCH_LOKI_URL": loki.url}) as served:
        await known(served, feature)
        one = Listener("one", served.url, feature)
        async with following(one):
            before = await asked()
            await produce(loki, feature, range(1, 201), 25, size=5)
            of_one = queries(before, await asked())
            more = [
                Listener(f"more {number}", served.url, feature, "websocket" if number % 4 else "sse")
                for number in range(199)
            ]
            beginning = await asked()
            async with following(*more):
                began = queries(beginning, await asked())
                before = await asked()
                assert before["tails"] == 1
                await produce(loki, feature, range(201, 401), 25, size=5)
                after = await asked()
                await until(lambda: not any(one.missing(range(201, 401)) for one in (one, *more)), PATIENCE_S)
        assert after["tails"] == 1
        # One comparison by seconds each 5 s, one by minutes each minute, in 8 s and on a busy machine a little more.
        assert of_one <= 8
        assert queries(before, after) <= 8
        assert began < 100, "those who begin alike at the same time share their questions"


async def test_it_starts_before_loki_survives_its_freezing_and_outlives_loki_s_own_limits(
    feature: str, tmp_path: Path
) -> None:
    (tmp_path / "loki").mkdir()
    loki = make(
        tmp_path / "loki",
        LIMITS + ", max_concurrent_tail_requests: 1",
        more="querier: {tail_max_duration: 4s}",
    )
    env = {"FEATUREWATCH_LOKI_URL": loki.url, "FEATUREWATCH_LOKI_TIMEOUT": "3"}
    with bridge(tmp_path / "bridge", env=env) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert "Loki" in answer.text
            await asyncio.to_thread(loki.start)
            try:
                await known(served, feature)
                assert (await client.get("/readyz")).status_code == 200
                listener = Listener("one", served.url, feature)
                async with following(listener):
                    # Loki ends each tail after 4 s, and takes no second one beside it.
                    await produce(loki, feature, range(1, 1_001), 100)
                    assert loki.process is not None
                    loki.process.send_signal(signal.SIGSTOP)
                    producing = asyncio.create_task(produce(loki, feature, range(1_001, 1_501), 100))
                    deadline = time.monotonic() + PATIENCE_S
                    while (await client.get("/readyz")).status_code != 503:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.5)
                    loki.process.send_signal(signal.SIGCONT)
                    await producing
                    await until(lambda: not listener.missing(range(1, 1_501)), PATIENCE_S)
                    account(range(1, 1_501), listener)
                    assert listener.gaps == []
                    told = await metrics(served)
                    assert told["featurewatch_loki_tail_failures_total"] >= 3
                    while (await client.get("/readyz")).status_code != 200:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.5)
            finally:
                await asyncio.to_thread(loki.stop)
