"""The configuration of Loki that we ship: a real Loki starts with it and does what its comments say."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from featurewatch.model import FeatureKey, LogEntry
from featurewatch.stores.base import LogFilter, LogQuery
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS
from log_samples import line
from loki import Loki, binary, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.anyio]

SHIPPED: Final = Path(__file__).parents[2] / "loki" / "loki.yaml"
CHAT: Final = FeatureKey("chat", "production")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """Loki with the file as it is, but for the place of its data and its ports."""
    folder = tmp_path_factory.mktemp("shipped-loki")
    http, grpc = free_ports()
    config = SHIPPED.read_text(encoding="utf-8").replace("/loki", str(folder / "data"))
    config = config.replace("http_listen_port: 3100", f"http_listen_port: {http}\n  http_listen_address: 127.0.0.1")
    config = config.replace("grpc_listen_port: 9095", f"grpc_listen_port: {grpc}\n  grpc_listen_address: 127.0.0.1")
    config = config.replace("127.0.0.1:9095", f"127.0.0.1:{grpc}")
    (folder / "loki.yaml").write_text(config, encoding="utf-8")
    made = Loki(f"http://127.0.0.1:{http}", folder)
    binary()
    made.start()
    yield made
    made.stop()


@asynccontextmanager
async def opened(loki: Loki, folder: Path) -> AsyncIterator[LokiStore]:
    store = await LokiStore.open(
        Upstream(Target("Loki", "FEATUREWATCH_LOKI", loki.url, timeout_s=60.0)),
        folder,
        environment="production",
        lookback_s=13 * 86_400.0,
        queue_bytes=64 * 1024**2,
        journal_bytes=1024**3,
        clock=time.time_ns,
    )
    try:
        yield store
    finally:
        await store.close()


async def found(store: LokiStore, key: FeatureKey, **more: Any) -> list[LogEntry]:
    return [stored.entry for stored in (await store.query(LogQuery(key, **{"limit": 5000} | more))).entries]


def test_loki_takes_the_file() -> None:
    done = subprocess.run(
        [binary(), f"-config.file={SHIPPED}", "-verify-config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_lines_up_to_the_limits_are_taken_and_found(shipped: Loki, tmp_path: Path) -> None:
    """The longest message, the largest metadata, a late line, and a page of megabytes."""
    now = time.time_ns()
    long = "ü" * (128 * 1024)
    metadata = json.dumps({"a": "x" * 255_000})
    lines = [
        line("late", key=CHAT)._replace(timestamp_ns=now - 7 * 3600 * NS // 2),
        *(line(long, key=CHAT)._replace(timestamp_ns=now - 100 + number) for number in range(40)),
        line("x", key=CHAT, metadata=metadata)._replace(timestamp_ns=now),
    ]
    async with opened(shipped, tmp_path) as store:
        assert await store.append(lines[1:]) == 41
        assert await store.append(lines[:1]) == 1
        assert await found(store, CHAT) == lines
        assert await found(store, CHAT, filter=LogFilter(search="LATE")) == lines[:1]


async def test_a_burst_is_taken_and_sent_again_is_read_once(shipped: Loki, tmp_path: Path) -> None:
    key, now = FeatureKey("burst", "production"), time.time_ns()
    lines = [
        line("x" * 120, key=key)._replace(timestamp_ns=now - 60_000 + number, id=f"{number:05}")
        for number in range(60_000)
    ]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        async with opened(shipped, tmp_path / folder) as store:
            assert await store.append(lines) == 60_000
            assert [entry async for chunk in store.export(LogQuery(key)) for entry in chunk] == lines


async def test_otlp_sent_to_loki_itself_is_a_features(shipped: Loki, tmp_path: Path) -> None:
    now = time.time_ns()
    attributes = {"service.name": "app", "feature": "direct", "environment": "production"}
    body = {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in attributes.items()]
                },
                "scopeLogs": [
                    {"logRecords": [{"timeUnixNano": str(now), "severityNumber": 17, "body": {"stringValue": "boom"}}]}
                ],
            }
        ]
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{shipped.url}/otlp/v1/logs", json=body)
    assert answer.status_code == 204, answer.text
    async with opened(shipped, tmp_path) as store:
        (entry,) = await found(store, FeatureKey("direct", "production"))
        assert (entry.message, entry.level, entry.timestamp_ns) == ("boom", "error", now)
        assert FeatureKey("direct", "production") in await store.keys()
        assert await found(store, entry.key, filter=LogFilter(frozenset({"error"}))) == [entry]


def test_the_ruler_takes_rules_by_its_api(shipped: Loki) -> None:
    rule = "name: g\nrules:\n- {alert: A, expr: 'sum(count_over_time({feature=\"chat\"}[1m])) > 0'}\n"
    url = f"{shipped.url}/loki/api/v1/rules/featurewatch"
    answer = httpx.post(url, content=rule, headers={"Content-Type": "application/yaml"}, timeout=60)
    assert answer.status_code == 202, answer.text
    assert "alert: A" in httpx.get(url, timeout=60).text
