"""Lines into a real Loki: what was sent is stored, each once, through bursts, outages, kills and poison."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

import featurewatch
from exporter.recorded import dropped
from featurewatch import Feature
from featurewatch.exporter.lines import Line
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.model import FeatureKey
from loki import Loki, Stored

pytestmark = pytest.mark.stack


@pytest.fixture
def feature() -> str:
    """A feature's name that no other test or run has."""
    return f"f-{uuid.uuid4().hex[:12]}"


def logger() -> logging.Logger:
    made = logging.Logger("app", logging.DEBUG)
    made.addHandler(featurewatch.LogHandler())
    return made


def all_of(loki: Loki, feature: str, count: int) -> list[Stored]:
    """Read a feature's lines, waiting a moment for the last to be seen; more than `count` would be seen too."""
    deadline = time.monotonic() + 20
    while True:
        found = loki.stored(f'{{feature="{feature}"}}')
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def test_a_line_and_what_is_known_of_it(loki: Loki, feature: str) -> None:
    featurewatch.configure(loki_url=loki.url, environment="production", service_name="reader")
    before = time.time_ns()
    with Feature(feature).call():
        logger().error("took %d", 3, extra={"user_id": "u-1", "trace_id": "abc", "pages": 2, "user-agent": "x"})
    assert featurewatch.flush(timeout=30)
    (one,) = all_of(loki, feature, 1)
    assert before - 1000 <= one.timestamp <= time.time_ns()
    assert one.line == "took 3"
    fields = one.fields
    assert len(fields["id"]) == 32
    expected = {"service_name": "reader", "environment": "production", "level": "error", "source": "app",
                "user_id": "u-1", "trace_id": "abc"}  # fmt: skip
    assert {name: fields[name] for name in expected} == expected
    assert json.loads(fields["metadata"]) == {"pages": 2, "user-agent": "x"}


def test_a_burst_is_stored_whole_and_each_line_once(loki: Loki, feature: str) -> None:
    featurewatch.configure(loki_url=loki.url)
    log = logger()
    with Feature(feature).call():
        for number in range(50_000):
            log.info("line %d of a burst", number)
    assert featurewatch.flush(timeout=120)
    found = Counter(one.line for one in all_of(loki, feature, 50_000))
    assert len(found) == 50_000
    assert set(found.values()) == {1}
    assert dropped("logs", "queue_full") == 0


def test_equal_lines_of_one_moment_are_told_apart(loki: Loki, feature: str) -> None:
    featurewatch.configure(loki_url=loki.url)
    log = logger()
    with Feature(feature).call():
        for _ in range(2):
            record = log.makeRecord("app", 20, "f", 1, "same", (), None)
            record.created = time.time() // 1
            log.handle(record)
    assert featurewatch.flush(timeout=30)
    assert [one.line for one in all_of(loki, feature, 2)] == ["same", "same"]


def test_poison_lines_do_not_take_their_neighbours_with_them(
    loki: Loki, feature: str, caplog: pytest.LogCaptureFixture
) -> None:
    featurewatch.configure(loki_url=loki.url)
    now = time.time_ns()
    shipper = RUNTIME.shipper
    assert shipper is not None
    key = FeatureKey(feature, "development")
    for number in range(600):
        moment, text = now + number, f"good {number}"
        if number in (77, 300):
            moment, text = now - 30 * 86_400 * 10**9 + number, "from last month"
        elif number == 200:
            moment, text = now + 3600 * 10**9, "from the future"
        elif number == 400:
            text = "ä" * 300_000
        shipper.put(Line(moment, key, 20, text, "app"), len(text))
    # The label's value is no valid feature, as nothing of ours would let through.
    shipper.put(Line(now, FeatureKey("x" * 5000, "development"), 20, "bad label", "app"), 10)
    assert featurewatch.flush(timeout=60)
    found = Counter(one.line for one in all_of(loki, feature, 597))
    assert sum(count for line, count in found.items() if line.startswith("good")) == 596
    assert set(found.values()) == {1}
    (long,) = (line for line in found if line.startswith("ä"))
    assert long.endswith("… [cut, 600000 bytes]")
    assert len(long.encode()) <= 256 * 1024
    assert dropped("logs", "too_old") == 2
    assert dropped("logs", "rejected") == 2
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert any("too old" in text for text in told)


def test_an_outage_without_a_spool_loses_nothing_that_fits_in_memory(own_loki: Loki, feature: str) -> None:
    featurewatch.configure(loki_url=own_loki.url)
    log = logger()
    with Feature(feature).call():
        log.info("before")
        assert featurewatch.flush(timeout=30)
        own_loki.stop()
        for number in range(20_000):
            log.info("during %d", number)
        assert not featurewatch.flush(timeout=1)
        own_loki.start()
        log.info("after")
    assert featurewatch.flush(timeout=90)
    found = Counter(one.line for one in all_of(own_loki, feature, 20_002))
    assert len(found) == 20_002
    assert set(found.values()) == {1}


SCRIPT = """
import logging, sys, time, featurewatch
featurewatch.configure(loki_url=sys.argv[1], spool_dir=sys.argv[2])
log = logging.Logger("app")
log.addHandler(featurewatch.LogHandler())
with featurewatch.Feature(sys.argv[3]).call():
    for number in range(3000):
        log.info("%d", number)
time.sleep(1.5)  # they are in the spool after a quarter of a second
print("spooled", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("reachable", [False, True], ids=["during an outage", "while it delivers"])
def test_what_a_killed_process_spooled_the_next_one_delivers(
    loki: Loki, feature: str, tmp_path: Path, reachable: bool
) -> None:
    spool = tmp_path / "spool"
    url = loki.url if reachable else "http://127.0.0.1:9"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), url, str(spool), feature], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"spooled\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    featurewatch.configure(loki_url=loki.url, spool_dir=spool)
    with Feature(feature).call():
        logger().info("of the next process")
    assert featurewatch.flush(timeout=60)
    found = Counter(one.line for one in all_of(loki, feature, 3001))
    assert len(found) == 3001
    assert set(found.values()) == {1}
    assert featurewatch.shutdown(timeout=30)
    assert list(spool.iterdir()) == []


def test_a_batch_sent_again_is_stored_once(loki: Loki, feature: str, tmp_path: Path) -> None:
    """As it happens when a process dies between Loki's answer and writing it down."""
    import shutil

    spool, copy = tmp_path / "spool", tmp_path / "copy"
    featurewatch.configure(loki_url="http://127.0.0.1:9", spool_dir=spool)
    with Feature(feature).call():
        for number in range(500):
            logger().info("%d", number)
    assert not featurewatch.shutdown(timeout=1)
    shutil.copytree(spool, copy)
    for folder in (spool, copy):
        featurewatch.configure(loki_url=loki.url, spool_dir=folder)
        assert featurewatch.flush(timeout=60)
        assert featurewatch.shutdown(timeout=30)
        assert list(folder.iterdir()) == []
    found = Counter(one.line for one in all_of(loki, feature, 500))
    assert len(found) == 500
    assert set(found.values()) == {1}


def test_by_otlp(loki: Loki, feature: str) -> None:
    featurewatch.configure(otlp_endpoint=f"{loki.url}/otlp", service_name=feature, environment="production")
    with Feature(feature).call():
        logger().error("x", extra={"user_id": "u-1", "pages": 2})
    assert RUNTIME.shipper is not None
    assert RUNTIME.shipper.flush(time.monotonic() + 30)  # not all of it: Loki takes no metrics
    deadline = time.monotonic() + 20
    while not (found := loki.stored(f'{{service_name="{feature}"}}')) and time.monotonic() < deadline:
        time.sleep(0.3)
    (one,) = found
    assert one.line == "x"
    assert one.fields["feature"] == feature
    assert one.fields["pages"] == "2"
    assert one.fields["user_id"] == "u-1"
    assert one.fields["severity_text"] == "ERROR"
