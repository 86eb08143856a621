"""How lines are shipped: batches, retries, refusals, bounded waiting, authentication, and the end of the process."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import featurewatch
import featurewatch.errors
from exporter.conftest import Receiver
from exporter.recorded import dropped
from featurewatch.exporter import sender
from featurewatch.exporter import shipper as shippers
from featurewatch.exporter.answers import Verdict, seconds_of
from featurewatch.exporter.config import Config
from featurewatch.exporter.frames import Frame, pack_lines
from featurewatch.exporter.lines import Line
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.shipper import BATCH_BYTES, OVERHEAD_BYTES, Shipper
from featurewatch.model import FeatureKey
from waiting import until

PUSH = "/loki/api/v1/push"
NOWHERE = "http://127.0.0.1:9"
KEY = FeatureKey("chat", "production")


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than an app would."""
    monkeypatch.setattr(sender, "RETRY_FIRST_S", 0.05)


def line(text: str) -> Line:
    return Line(time.time_ns(), KEY, 20, text, "app")


def shipper(url: str, **settings: Any) -> Shipper:
    return Shipper(Config(**{"loki_url": url, **settings}), RUNTIME.drops, jitter=lambda: 0.0)


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


def bodies(receiver: Receiver, status: int) -> list[list[Any]]:
    """The values of each push that was answered so, of one stream."""
    return [
        json.loads(request.body)["streams"][0]["values"] for request in receiver.of(PUSH) if request.status == status
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
    assert sorted(text[:4] for text in shipped(receiver)) == [f"{number:04d}" for number in range(300)]
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


@pytest.mark.parametrize(
    ("status", "settings", "hint"),
    [
        (401, {}, "set loki_user and loki_password, loki_token or loki_tenant"),
        (403, {"loki_url": "", "endpoint": "URL"}, "set token to one with the role ingest"),
        (404, {}, "is loki_url right?"),
        (302, {"loki_url": "", "endpoint": "URL"}, "is endpoint right?"),
        (200, {}, "is loki_url right?"),
        (260, {}, "ingestion is blocked"),
    ],
)
def test_what_the_settings_are_to_blame_for_is_told_once_and_kept(
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    settings: dict[str, str],
    hint: str,
) -> None:
    monkeypatch.setattr(sender, "DENIED_FIRST_S", 0.2)
    receiver.answers = [(status, {}, b"no org id")] * 2
    given = {name: value.replace("URL", receiver.url) for name, value in settings.items()}
    to = shipper(receiver.url, **given)
    put(to, "a", "b")
    receiver.wait_for(PUSH, 3)
    assert to.flush(soon())
    assert shipped(receiver)[-2:] == ["a", "b"]
    assert sum(RUNTIME.drops.snapshot().values()) == 0
    (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert hint in told
    assert str(status) in told
    assert to.stop(soon())


def picky(receiver: Receiver, wrong: set[str], *, tells: bool = False) -> None:
    """Have the receiver refuse what holds a wrong line, as Loki does: the others are stored all the same."""

    def judge(body: bytes) -> tuple[int, bytes]:
        lines = [value[1] for stream in json.loads(body)["streams"] for value in stream["values"]]
        count = sum(line in wrong for line in lines)
        text = f"{count} errors like: entry has timestamp too old" if tells else "entry out of order"
        return (400, text.encode()) if count else (204, b"")

    receiver.judge = judge


@pytest.mark.parametrize("tells", [False, True])
def test_a_wrong_line_is_found_and_its_neighbours_are_kept(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, tells: bool
) -> None:
    picky(receiver, {"7", "400"}, tells=tells)
    to = shipper(receiver.url)
    put(to, *map(str, range(500)))
    assert to.flush(soon())
    accepted = {
        value[1]
        for request in receiver.of(PUSH)
        if request.status == 204
        for stream in json.loads(request.body)["streams"]
        for value in stream["values"]
    }
    assert accepted == {str(number) for number in range(500)} - {"7", "400"}
    assert dropped("logs", "too_old") == 2
    assert RUNTIME.drops.snapshot()["logs", "too_old", KEY] == 2
    assert len(receiver.of(PUSH)) <= 50
    (told,) = (record.getMessage() for record in caplog.records)
    assert "refused 1 lines, which are lost (the others are not): 400" in told
    ids = {
        (value[1], value[2]["id"])
        for request in receiver.of(PUSH)
        for stream in json.loads(request.body)["streams"]
        for value in stream["values"]
    }
    assert len(ids) == 500, "a line keeps its id however often it is sent"
    put(to, "after")
    assert to.flush(soon())
    assert shipped(receiver)[-1] == "after"
    assert to.stop(soon())


def test_where_all_lines_of_a_batch_are_refused_and_it_is_said_nothing_is_searched(receiver: Receiver) -> None:
    picky(receiver, {str(number) for number in range(300)}, tells=True)
    to = shipper(receiver.url)
    put(to, *map(str, range(300)))
    assert to.flush(soon())
    assert len(receiver.of(PUSH)) <= 2
    assert dropped("logs", "too_old") == 300
    assert to.stop(soon())


def test_the_search_for_wrong_lines_ends(receiver: Receiver) -> None:
    picky(receiver, {str(number) for number in range(2000)})
    to = shipper(receiver.url)
    put(to, *map(str, range(2000)))
    assert to.flush(soon(60))
    assert len(receiver.of(PUSH)) <= 2 * sender.PARTS_AT_MOST + 2
    assert dropped("logs", "too_old") == 2000
    assert to.stop(soon())


def test_an_outage_amid_the_search_for_a_wrong_line_loses_nothing(receiver: Receiver) -> None:
    picky(receiver, {"7"})
    to = shipper(receiver.url)
    receiver.answers = [(400, {}, b"one is wrong"), (503, {}, b""), (503, {}, b"")]
    put(to, *map(str, range(50)))
    assert to.flush(soon())
    assert set(shipped(receiver)) == set(map(str, range(50)))
    assert sum(RUNTIME.drops.snapshot().values()) == 1
    assert to.stop(soon())


def test_what_is_too_large_is_sent_in_parts(receiver: Receiver) -> None:
    receiver.judge = lambda body: (413, b"too large") if len(body) > 3000 else (204, b"")
    to = shipper(receiver.url)
    put(to, *(f"{number:03d}" + "x" * 400 for number in range(40)), "y" * 4000)
    assert to.flush(soon())
    accepted = [
        value[1][:3]
        for request in receiver.of(PUSH)
        if request.status == 204
        for stream in json.loads(request.body)["streams"]
        for value in stream["values"]
    ]
    assert accepted == [f"{number:03d}" for number in range(40)]
    assert dropped("logs", "too_large") == 1
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
    to = shipper(NOWHERE)
    put(to, "a", "b")
    assert not to.flush(soon(0.3))
    assert not to.stop(soon(0.1))
    assert dropped("logs", "undeliverable") == 2
    first, last = (record.getMessage() for record in caplog.records)
    assert "could not be shipped to http://127.0.0.1:9/loki/api/v1/push (ConnectError" in first
    assert last.startswith("2 lines could not be shipped")


@pytest.mark.anyio
async def test_other_settings_that_are_wrong_are_told_too(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.logs_status = 401
    for told, wrong in enumerate((NOWHERE, receiver.url, receiver.url), 1):
        featurewatch.configure(loki_url=wrong, loki_token=f"of-{told}", exit_timeout=0)
        assert RUNTIME.shipper is not None
        put(RUNTIME.shipper, "a")
        await until(lambda told=told: caplog.text.count("they are kept and sent again") == told)


def test_what_is_being_packed_at_the_end_is_counted_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the first batch of a short process waits for what it has to import."""
    packing, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Frame:
        packing.set()
        go_on.wait(20)
        return pack_lines(*arguments)

    monkeypatch.setattr(shippers, "pack_lines", slow)
    to = shipper(NOWHERE)
    put(to, "a", "b")
    assert not to.flush(soon(0.3))
    assert packing.wait(20)
    put(to, "c")
    assert not to.stop(soon(0))
    assert dropped("logs", "undeliverable") == 3
    assert "3 lines could not be shipped" in caplog.text
    go_on.set()
    assert to.worker._thread is not None
    to.worker._thread.join(20)
    assert dropped("logs", "undeliverable") == 3


def test_waiting_lines_are_bounded_by_bytes(caplog: pytest.LogCaptureFixture) -> None:
    to = shipper(NOWHERE, log_queue_bytes=64 * 1024)
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
    stored = [value[1] for body in bodies(receiver, 204) for value in body]
    assert sorted(stored) == sorted(f"{number} {index}" for number in range(50) for index in range(1000))
    assert to.stop(soon())


def test_a_client_may_be_made_otherwise_and_is_closed_at_the_end() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(gzip.decompress(request.content))
        return httpx.Response(204)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    to = Shipper(Config(loki_url="http://loki"), RUNTIME.drops, new_client=lambda: client)
    put(to, "a")
    assert to.stop(soon())
    assert b'"a"' in seen[0]
    assert client.is_closed


def answering(answer: Callable[[], None], **settings: str) -> Shipper:
    """Make a shipper whose pushes are answered on the thread that sends them."""

    def handle(request: httpx.Request) -> httpx.Response:
        answer()
        return httpx.Response(204)

    return Shipper(
        Config(**settings),  # type: ignore[arg-type]  # text alone is given
        RUNTIME.drops,
        new_client=lambda: httpx.Client(transport=httpx.MockTransport(handle)),
    )


def test_two_batches_are_on_their_way_into_loki_at_a_time() -> None:
    together = threading.Barrier(2)
    first_two = iter(range(2))

    def answer() -> None:
        if next(first_two, None) is not None:
            together.wait(20)

    to = answering(answer, loki_url="http://loki")
    put(to, *["x" * 1000] * 2 * (BATCH_BYTES // 1000))
    assert to.flush(soon(60))
    assert not together.broken
    assert to.stop(soon())


def test_a_bridge_gets_one_batch_after_another(caplog: pytest.LogCaptureFixture) -> None:
    free = threading.Lock()
    collisions: list[bool] = []

    def answer() -> None:
        collisions.append(not free.acquire(blocking=False))
        time.sleep(0.02)
        free.release()

    to = answering(answer, endpoint="http://bridge")
    put(to, *["x" * 1000] * 5 * (BATCH_BYTES // 1000))
    assert to.flush(soon(60))
    assert len(collisions) >= 4
    assert not any(collisions)
    assert to.stop(soon())


def test_a_line_that_cannot_be_written_costs_no_other(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    to = shipper(receiver.url)
    put(to, "a")
    to.put((time.time(), KEY, "no number", "b", "app", None, 0), 1)  # type: ignore[arg-type]  # what is tested
    to.put((time.time(), KEY, 20, 7, "app", None, 0), 1)  # type: ignore[arg-type]  # what is tested
    put(to, "c")
    assert to.flush(soon())
    assert shipped(receiver) == ["a", "c"]
    assert dropped("logs", "unreadable") == 2
    (told,) = (record.getMessage() for record in caplog.records)
    assert "could not be read" in told
    assert to.stop(soon())


def test_failures_at_the_same_time_make_the_pause_grow_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "RETRY_FIRST_S", 0.5)
    pace = sender.Pace(lambda: 1.0)
    started = time.monotonic()
    pace.failed(Verdict("later"), started)
    pace.failed(Verdict("later"), started)
    assert 0.3 < pace.rest(hurried=False) <= 0.5
    pace.failed(Verdict("later"), time.monotonic())
    assert 0.7 < pace.rest(hurried=False) <= 1.0
    pace.failed(Verdict("later", wait=7), time.monotonic())
    assert pace.rest(hurried=False) > 6
    assert pace.rest(hurried=True) <= 1, "the end of a process waits less"
    assert pace.went_well()
    assert not pace.away
    assert pace.rest(hurried=False) <= 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loki_user": "u", "loki_password": "p ss"}, "Basic dTpwIHNz"),
        ({"loki_token": "t0ken", "loki_user": "u"}, "Bearer t0ken"),
        ({}, None),
    ],
)
def test_authentication(receiver: Receiver, settings: dict[str, str], expected: str | None) -> None:
    to = shipper(receiver.url, **settings, loki_tenant="team")
    put(to, "a")
    assert to.flush(soon())
    (request,) = receiver.of(PUSH)
    assert request.headers.get("authorization") == expected
    assert request.headers["x-scope-orgid"] == "team"
    assert to.stop(soon())


def test_credentials_in_the_url_are_used_and_never_shown(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    url = receiver.url.replace("://", "://me:p%40ss@")
    receiver.answers = [(401, {}, b"no"), (400, {}, b"wrong")]
    featurewatch.configure(loki_url=url)
    to = RUNTIME.shipper
    assert to is not None
    put(to, "a")
    assert featurewatch.flush(timeout=20)
    assert receiver.of(PUSH)[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    with pytest.raises(featurewatch.errors.SettingsError) as wrong:
        featurewatch.configure(loki_url="ftp://me:p%40ss@host")
    shown = " ".join(record.getMessage() for record in caplog.records) + repr(RUNTIME.config) + str(wrong.value)
    assert "could not be shipped" in shown
    assert "p%40ss" not in shown
    assert "p@ss" not in shown
    assert "bWU6" not in shown


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("", 0), ("soon", 0), ("99999", 300), ("Thu, 01 Jan 1970 00:01:40 GMT", 40), ("-3", 0)],
)
def test_retry_after_is_read(header: str, seconds: float) -> None:
    assert seconds_of(header, 60.0) == seconds


def test_a_clock_that_jumps_delays_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    to = shipper(receiver.url)
    put(to, "a")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86_400)
    put(to, "b")
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    put(to, "c")
    receiver.wait_for(PUSH)
    assert to.flush(soon())
    assert shipped(receiver) == ["a", "b", "c"]
    assert to.stop(soon())
