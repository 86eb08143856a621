"""Lines on disk: what a process leaves behind, damage, bounds, and disks that cannot be written."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.conftest import Receiver
from exporter.recorded import dropped
from exporter.test_shipper import NOWHERE, PUSH, put, shipped, shipper, soon
from featurewatch.exporter import segment
from featurewatch.exporter.drops import Drops
from featurewatch.exporter.frames import LOKI_JSON, Frame
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.spool import Spool, left_behind, measure


class Clock:
    """A monotonic clock that the test turns on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def spool(folder: Path, limit: int = 2**20, drops: Drops | None = None, clock: Clock | None = None) -> Spool:
    return Spool(folder, limit, drops or RUNTIME.drops, monotonic=clock or Clock())


def frame(number: int, size: int = 20) -> Frame:
    return Frame(LOKI_JSON, number, f"{number}".encode().ljust(size, b"."))


def deliver(of: Spool) -> Frame:
    """Take one frame, and be done with it."""
    taken = of.take()
    assert taken is not None
    of.done(taken)
    return taken.frame


def drain(of: Spool) -> list[int]:
    found = []
    while (taken := of.take()) is not None:
        found.append(taken.frame.lines)
        of.done(taken)
    return found


def test_frames_come_back_in_order_and_leave_nothing(tmp_path: Path) -> None:
    made = spool(tmp_path / "s")
    for number in range(2000):
        assert made.append(frame(number, 500 if number % 2 else 50))
        if number % 3 == 0:
            deliver(made)
    delivered = -(-2000 // 3)
    assert drain(made) == list(range(delivered, 2000))
    assert made.append(frame(7))
    assert drain(made) == [7]
    made.close()
    assert list((tmp_path / "s").iterdir()) == []


def test_the_next_process_takes_over_from_where_the_last_one_was(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(10):
        first.append(frame(number))
    for _ in range(4):
        deliver(first)
    clock = Clock()
    second = spool(tmp_path, clock=clock)
    assert second.take() is None, "its owner lives"
    first.close()
    second.append(frame(99))
    clock.now += 60
    assert drain(second) == [4, 5, 6, 7, 8, 9, 99]
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_takes_over_not_all(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.append(frame(1))
    first.close()
    one, other = spool(tmp_path), spool(tmp_path)
    assert deliver(one) == frame(1)
    assert other.take() is None
    one.close()


def test_frames_may_be_delivered_in_any_order_and_what_is_not_stays(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(6):
        first.append(frame(number))
    out = [first.take() for _ in range(4)]
    for place in (1, 2):
        taken = out[place]
        assert taken is not None
        first.done(taken)
    # As after a kill: the first is not delivered, so what came after it is sent again, by the same ids.
    copy = tmp_path.with_name("copy")
    shutil.copytree(tmp_path, copy)
    assert drain(spool(copy)) == [0, 1, 2, 3, 4, 5]
    for place in (0, 3):
        taken = out[place]
        assert taken is not None
        first.done(taken)
    assert drain(first) == [4, 5]
    first.close()
    assert list(tmp_path.iterdir()) == []


def test_segments_go_once_all_of_theirs_is_delivered(tmp_path: Path) -> None:
    made = spool(tmp_path, 2**20)
    for number in range(400):
        assert made.append(frame(number, 1000))
    assert len(segments(tmp_path)) > 3
    out = [made.take() for _ in range(400)]
    assert made.take() is None
    assert len(segments(tmp_path)) > 3, "nothing of it is delivered"
    for taken in reversed(out):
        assert taken is not None
        made.done(taken)
    assert len(segments(tmp_path)) == 1, "the one that is written to"
    made.append(frame(7))
    assert drain(made) == [7]
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_a_frame_whose_folder_was_let_go_of_is_left_to_who_has_it_now(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.append(frame(1))
    taken = first.take()
    assert taken is not None
    first.close()
    other = spool(tmp_path)
    again = other.take()
    assert again is not None
    first.done(taken)
    assert len(segments(tmp_path)) == 1
    other.done(again)
    assert drain(other) == []
    other.close()
    assert list(tmp_path.iterdir()) == []


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{segment.SUFFIX}"))


def test_a_torn_end_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = spool(tmp_path)
    for number in (3, 4, 5):
        first.append(frame(number))
    first.close()
    (file,) = segments(tmp_path)
    os.truncate(file, file.stat().st_size - 7)
    assert drain(spool(tmp_path)) == [3, 4]
    assert dropped("logs", "torn") == 5
    assert "damaged batch" in caplog.text


@settings(deadline=None, max_examples=60)
@given(at=st.integers(segment.START, 1200), garbage=st.binary(min_size=1, max_size=60))
def test_damage_costs_the_frames_that_it_touches_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, at: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    first = spool(folder, drops=Drops())
    for number in range(20):
        first.append(frame(number, 50))
    first.close()
    (file,) = segments(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:at] + garbage + whole[at + len(garbage) :])
    each = (len(whole) - segment.START) // 20
    touched = range((at - segment.START) // each, (at + len(garbage) - 1 - segment.START) // each + 1)
    found = drain(spool(folder, drops=Drops()))
    assert set(range(20)) - set(touched) <= set(found)
    assert found == sorted(found)


@pytest.mark.parametrize("content", [b"", b"FW", b"not a segment of a spool at all"])
def test_a_file_that_is_no_segment_is_removed(tmp_path: Path, content: bytes) -> None:
    (old := left_by_another(tmp_path)).mkdir()
    (old / "00000001.seg").write_bytes(content)
    made = spool(tmp_path)
    made.append(frame(1))
    assert drain(made) == [1]
    assert not old.exists()
    assert dropped("logs", "torn") == bool(content)


def test_what_else_lies_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    for file in (tmp_path / "file", tmp_path / "full" / "file", tmp_path / "full" / "00000001.seg"):
        file.write_bytes(b"." * 2**20)
    before = sorted(tmp_path.rglob("*"))
    made = spool(tmp_path)
    assert measure(tmp_path) == 0
    assert not left_behind(tmp_path)
    assert made.append(frame(1)), "it is none of what spool_bytes bounds"
    assert drain(made) == [1]
    made.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_that_cannot_be_read_or_removed_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    locked, stays, broken, good = (left_by_another(tmp_path, number) for number in range(4))
    (locked / "lock").mkdir(parents=True)
    (stays / "of the app").mkdir(parents=True)
    (broken / "00000001.seg").mkdir(parents=True)
    last = spool(tmp_path)
    last.append(frame(1))
    last.close()
    (made_by_last,) = (path for path in tmp_path.iterdir() if path not in (locked, stays, broken))
    made_by_last.rename(good)
    made = spool(tmp_path)
    made.append(frame(2))
    assert drain(made) == [1, 2]
    told = [record.getMessage() for record in caplog.records]
    assert [sum(path.name in line for line in told) for path in (locked, stays, broken, good)] == [1, 0, 1, 0]


def left_by_another(folder: Path, number: int = 1) -> Path:
    return folder / f"{number}-0123456789ab"


def test_a_position_that_cannot_be_is_taken_for_the_beginning(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.append(frame(1))
    first.close()
    (file,) = segments(tmp_path)
    file.write_bytes(segment.MAGIC + b"\xff" * 8 + file.read_bytes()[segment.START :])
    assert drain(spool(tmp_path)) == [1]


def test_the_bound_holds_for_all_processes_together_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    one, other = spool(tmp_path, clock=clock), spool(tmp_path, clock=clock)
    taken = 0
    for number in range(1000):
        clock.now += 2
        taken += (one, other)[number % 2].append(frame(number, 4000))
    assert 200 <= taken <= 262
    assert measure(tmp_path) <= 2**20 + 3 * 4100
    assert sum("spool_bytes" in record.getMessage() for record in caplog.records) == 1
    drain(one)
    clock.now += 2
    assert one.append(frame(1, 4000))


def test_a_folder_that_cannot_be_made_is_told_once_and_tried_again(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    clock = Clock()
    made = spool(tmp_path / "file" / "spool", clock=clock)
    for _ in range(3):
        assert not made.append(frame(1))
        clock.now += 10
    assert sum("cannot be used" in record.getMessage() for record in caplog.records) == 1
    (tmp_path / "file").unlink()
    assert made.append(frame(1))
    assert drain(made) == [1]
    to = shipper(receiver.url, spool_dir="/proc/nothing/can/be/made/here")
    put(to, "a")
    assert to.flush(soon())
    assert shipped(receiver) == ["a"]
    assert to.stop(soon())


def test_a_full_disk_is_told_once_and_memory_goes_on(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    to = shipper(receiver.url, spool_dir=str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        put(to, "a")
        assert to.flush(soon())
    assert shipped(receiver) == ["a"]
    assert sum("No space left on device" in record.getMessage() for record in caplog.records) == 1
    assert dropped("logs", "torn") == 0
    assert to.stop(soon())


def test_lines_are_on_disk_until_they_are_delivered(tmp_path: Path, receiver: Receiver) -> None:
    away = shipper(NOWHERE, spool_dir=str(tmp_path))
    put(away, *map(str, range(100)))
    assert not away.stop(soon(1))
    assert dropped("logs", "undeliverable") == 0
    assert segments(tmp_path)
    back = shipper(receiver.url, spool_dir=str(tmp_path))
    back.resume()
    receiver.wait_for(PUSH)
    assert back.flush(soon())
    assert shipped(receiver) == list(map(str, range(100)))
    assert back.stop(soon())
    assert list(tmp_path.iterdir()) == []


def test_what_there_was_no_time_to_deliver_is_on_disk(tmp_path: Path, receiver: Receiver) -> None:
    to = shipper(NOWHERE, spool_dir=str(tmp_path))
    put(to, *"abc")
    to.stop(soon(0))
    assert dropped("logs", "undeliverable") == 0
    after = shipper(receiver.url, spool_dir=str(tmp_path))
    after.resume()
    receiver.wait_for(PUSH)
    assert after.stop(soon())
    assert shipped(receiver) == ["a", "b", "c"]


def test_a_spool_keeps_the_memory_free(tmp_path: Path) -> None:
    to = shipper(NOWHERE, spool_dir=str(tmp_path), log_queue_bytes=256 * 1024)
    for _ in range(20):
        put(to, *["x" * 1000] * 100)
        to.worker.flush(soon())
    assert dropped("logs", "queue_full") == 0
    assert measure(tmp_path) > 0
    to.stop(soon(0.1))


def test_what_was_spooled_for_loki_goes_to_a_collector_too(tmp_path: Path, receiver: Receiver) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    away = shipper(NOWHERE, spool_dir=str(tmp_path))
    put(away, "a", "b")
    assert not away.stop(soon(0.5))
    to = shipper("", otlp_endpoint=receiver.url, spool_dir=str(tmp_path))
    to.resume()
    (request,) = receiver.wait_for("/v1/logs")
    message = ExportLogsServiceRequest()
    message.ParseFromString(request.body)
    records = message.resource_logs[0].scope_logs[0].log_records
    assert [record.body.string_value for record in records] == ["a", "b"]
    assert to.stop(soon())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_child_holds_no_lock_of_its_parents_spool(tmp_path: Path) -> None:
    made = spool(tmp_path)
    made.append(frame(1))
    child = os.fork()
    if child == 0:
        made.abandon()
        time.sleep(30)
        os._exit(0)
    try:
        time.sleep(0.3)
        made.close()
        other = spool(tmp_path)
        assert drain(other) == [1]
        other.close()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
