"""A real Loki of one process, for the tests that talk to one, and what it holds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

CONFIG = """\
auth_enabled: {tenants}
server:
  http_listen_address: 127.0.0.1
  http_listen_port: {http}
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: {grpc}
  http_server_write_timeout: 5m
  log_level: warn
common:
  path_prefix: {data}
  instance_addr: 127.0.0.1
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}, instance_addr: 127.0.0.1}}
  storage: {{filesystem: {{chunks_directory: {data}/chunks, rules_directory: {data}/rules}}}}
schema_config:
  configs:
    - {{from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}
ingester: {{lifecycler: {{min_ready_duration: 0s}}, query_store_max_look_back_period: -1ns}}
analytics: {{reporting_enabled: false}}
# Otherwise the parts of the one process find each other by a ring that is looked at every 10 s.
frontend: {{scheduler_address: "127.0.0.1:{grpc}", scheduler_dns_lookup_period: 300ms}}
frontend_worker: {{scheduler_address: "127.0.0.1:{grpc}", dns_lookup_duration: 300ms}}
query_scheduler: {{use_scheduler_ring: false}}
{more}
limits_config: {{{limits}}}
"""

PAGE = 5000
"""Lines in an answer: Loki's default limit. Larger ones pass its limit for messages inside, and hang."""

LIMITS = (
    "ingestion_rate_mb: 64, ingestion_burst_size_mb: 128, per_stream_rate_limit: 64MB, "
    "per_stream_rate_limit_burst: 128MB, shard_streams: {enabled: false}"
)
"""Rates that a test's burst does not reach, and no sharding, which may store a batch twice that was sent twice."""

ANY_TIME = f"{LIMITS}, reject_old_samples: false"
"""The same, and lines of any age: those of the samples are of 2023."""


class Stored(NamedTuple):
    """One stored line: nanoseconds, the text, and labels and structured metadata together."""

    timestamp: int
    line: str
    fields: dict[str, str]


@dataclass
class Loki:
    """Loki at a URL; `stop` and `start` where it is our own process."""

    url: str
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.folder is not None
        with (self.folder / "loki.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), f"-config.file={self.folder / 'loki.yaml'}"], stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + 90
        while True:
            assert self.process.poll() is None, (self.folder / "loki.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Loki is not ready after 90 s"
            try:
                if httpx.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None

    def stored(self, selector: str, *, since_s: float = 3600, tenant: str = "") -> list[Stored]:
        """Read all lines of a selector."""
        return list(self.each(selector, since_s=since_s, tenant=tenant))

    def each(self, selector: str, *, since_s: float = 3600, tenant: str = "", window_s: float = 0) -> Iterator[Stored]:
        """Read the lines of a selector one by one; a line that is stored twice comes twice.

        `window_s`: ask for so many seconds at a time, so that a query over millions of lines ends in its time.
        """
        start, end = time.time_ns() - int(since_s * 1e9), time.time_ns() + 60 * 10**9
        step = int(window_s * 1e9) or end - start
        headers = {"X-Scope-OrgID": tenant} if tenant else {}
        with httpx.Client(timeout=300, headers=headers) as client:
            for begin in range(start, end, step):
                yield from self._paged(client, selector, begin, min(begin + step, end))

    def _paged(self, client: httpx.Client, selector: str, start: int, end: int) -> Iterator[Stored]:
        """Page by overlap: a page starts at the last timestamp seen, and what was seen of that is left out."""
        seen: Counter[tuple[str, str]] = Counter()
        while True:
            answer = client.get(
                f"{self.url}/loki/api/v1/query_range",
                params={"query": selector, "start": start, "end": end, "limit": PAGE, "direction": "forward"},
            )
            answer.raise_for_status()
            page = sorted(
                (
                    Stored(int(moment), line, stream["stream"])
                    for stream in answer.json()["data"]["result"]
                    for moment, line in stream["values"]
                ),
                key=lambda one: one.timestamp,
            )
            left, last = seen, page[-1].timestamp if page else start
            seen = Counter()
            for one in page:
                key = one.line, one.fields.get("id", "")
                if one.timestamp == last:
                    seen[key] += 1
                if one.timestamp == start and left[key] > 0:
                    left[key] -= 1
                else:
                    yield one
            if len(page) < PAGE:
                return
            assert last > start, "a page holds one timestamp alone"
            start = last


def binary() -> str:
    found = shutil.which("loki")
    if found is None:
        pytest.skip("no Loki to test against: put the program 'loki' on PATH, or set FEATUREWATCH_TEST_LOKI_URL")
    return found


def free_ports() -> tuple[int, int]:
    """Two ports of the loopback that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def make(folder: Path, limits: str = LIMITS, *, tenants: bool = False, more: str = "") -> Loki:
    """Prepare a Loki of its own in a folder, on free ports of the loopback; `start` it.

    Args:
        tenants: each tenant (X-Scope-OrgID) has lines of its own, and there is none without; a new one is empty.
        more: further configuration, such as `querier: {tail_max_duration: 5s}`.
    """
    binary()
    http, grpc = free_ports()
    config = CONFIG.format(
        http=http, grpc=grpc, data=folder / "data", limits=limits, tenants=str(tenants).lower(), more=more
    )
    (folder / "loki.yaml").write_text(config)
    return Loki(f"http://127.0.0.1:{http}", folder)


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """Loki for all tests of a run: each uses features of its own. Not to be stopped."""
    url = os.environ.get("FEATUREWATCH_TEST_LOKI_URL", "")
    if url:
        yield Loki(url.rstrip("/"))
        return
    made = make(tmp_path_factory.mktemp("loki"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def loki_of_tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """Loki for all tests that want an empty one: each takes a tenant of its own. Not to be stopped."""
    made = make(tmp_path_factory.mktemp("loki-of-tenants"), ANY_TIME, tenants=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def own_loki(tmp_path: Path) -> Iterator[Loki]:
    """Loki for one test alone, which may stop and start it."""
    folder = tmp_path / "loki"
    folder.mkdir()
    made = make(folder)
    made.start()
    yield made
    made.stop()
