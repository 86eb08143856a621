"""How lines are shipped: batches, retries, refusals, bounded waiting, and the end of the process."""

from __future__ import annotations

import gzip
import json
import time

import httpx
import pytest

from exporter.conftest import Receiver
from exporter.recorded import dropped
from featurewatch.exporter.config import Config
from featurewatch.exporter.lines import Line
from featurewatch.exporter.shipper import BATCH_BYTES, OVERHEAD_BYTES, Shipper
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.model import FeatureKey

PUSH = "/loki/api/v1/push"
KEY = FeatureKey("chat", "production")


def line(text: str) -> Line:
    return Line(time.time_ns(), KEY, 20, text, "app")


def shipper(url: str, **settings: int) -> Shipper:
    return Shipper(Config(loki_url=url, **settings), RUNTIME.drops, jitter=lambda: 0.0)  # type: ignore[arg-type]


def put(to: Shipper, *texts: str) -> None:
    for text in texts:
        to.put(line(text), len(text))


def shipped(receiver: Receiver) -> list[str]:
    return [
        value[1]
        for request in receiver.of(PUSH)
        for stream in json.loads(request.body)["streams"]
        for value in stream["values"]
    ]


def soon(seconds: float = 20) -> float:
    return time.monotonic() + seconds


def test_lines_are_shipped_without_being_asked(receiver: Receiver) -> None:
    to = shipper(receiver.url)
    put(to, "a", "b")
    receiver.wait_for(PUSH)
    assert shipped(receiver) == ["a", "b"]
    assert to.stop(soon())


def test_batches_are_bounded_in_bytes(receiver: Receiver) -> None:
    to = shipper(receiver.url)
    put(to, *(f"{number:04d}" + "x" * 10_000 for number in range(300)))
    assert to.flush(soon())
    sizes = [len(request.body) for request in receiver.of(PUSH)]
    assert len(sizes) >= 3
    assert max(sizes) <= BATCH_BYTES * 1.1
    assert [text[:4] for text in shipped(receiver)] == [f"{number:04d}" for number in range(300)]
    assert to.stop(soon())


def test_a_line_larger_than_a_batch_is_shipped_alone(receiver: Receiver) -> None:
    to = shipper(receiver.url)
    to.put(line("x"), 2 * BATCH_BYTES)
    put(to, "y")
    assert to.flush(soon())
    assert len(receiver.of(PUSH)) == 2
    assert to.stop(soon())


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_later_is_sent_again_until_it_does(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "featurewatch")
    receiver.answers = [(status, {}, b"busy"), (status, {}, b"busy")]
    to = shipper(receiver.url)
    put(to, "a")
    requests = receiver.wait_for(PUSH, 3)
    assert to.flush(soon())
    assert len({request.body for request in requests}) == 1, "the same batch, ids included, so that no line is doubled"
    assert dropped("logs", "rejected") == 0
    told, recovered = (record.getMessage() for record in caplog.records)
    assert "could not be shipped" in told
    assert str(status) in told
    assert "again" in recovered
    assert to.stop(soon())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 260, 200])
def test_what_is_refused_is_dropped_counted_and_told(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [(status, {}, b"entry too far behind\nsecond line")]
    to = shipper(receiver.url)
    put(to, "a", "b")
    assert to.flush(soon())
    put(to, "c")
    assert to.flush(soon())
    assert dropped("logs", "rejected") == 2
    (told,) = (record.getMessage() for record in caplog.records)
    assert f"refused 2 lines, which are lost: {status} entry too far behind second line" in told
    assert shipped(receiver)[-1] == "c"
    assert to.stop(soon())


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "1"}, b"")]
    to = shipper(receiver.url)
    started = time.monotonic()
    put(to, "a")
    receiver.wait_for(PUSH, 2)
    assert time.monotonic() - started >= 1
    assert to.stop(soon())


def test_nobody_there_is_told_once_and_what_is_left_at_the_end_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    to = shipper("http://127.0.0.1:9")
    put(to, "a", "b")
    assert not to.flush(soon(0.3))
    assert not to.stop(soon(0.1))
    assert dropped("logs", "undeliverable") == 2
    first, last = (record.getMessage() for record in caplog.records)
    assert "could not be shipped to http://127.0.0.1:9/loki/api/v1/push (ConnectError" in first
    assert last.startswith("2 lines could not be shipped")


def test_waiting_lines_are_bounded_by_bytes(caplog: pytest.LogCaptureFixture) -> None:
    to = shipper("http://127.0.0.1:9", log_queue_bytes=64 * 1024)
    fitting = 64 * 1024 // (1000 + OVERHEAD_BYTES)
    put(to, *["x" * 1000] * (fitting + 200))
    left = fitting + 200 - dropped("logs", "queue_full")
    # The first may be on its way already while the others wait.
    assert fitting <= left <= 2 * fitting
    assert sum("queue is full" in record.getMessage() for record in caplog.records) == 1
    to.stop(soon(0))


def test_an_outage_loses_nothing_that_fits(receiver: Receiver) -> None:
    receiver.answers = [(503, {}, b"")] * 3
    to = shipper(receiver.url)
    for number in range(50):
        put(to, *(f"{number} {index}" for index in range(1000)))
    assert to.flush(soon(60))
    lines = [
        value[1]
        for request in receiver.of(PUSH)[3:]
        for stream in json.loads(request.body)["streams"]
        for value in stream["values"]
    ]
    assert lines == [f"{number} {index}" for number in range(50) for index in range(1000)]
    assert to.stop(soon())


def test_a_client_of_ones_own_may_be_given() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(gzip.decompress(request.content))
        return httpx.Response(204)

    to = Shipper(
        Config(loki_url="http://loki"),
        RUNTIME.drops,
        new_client=lambda: httpx.Client(transport=httpx.MockTransport(answer)),
    )
    put(to, "a")
    assert to.stop(soon())
    assert b'"a"' in seen[0]
