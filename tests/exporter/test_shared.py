"""The folder that workers share: rows that add up, ledgers that are never torn, ended processes counted once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featurewatch
from exporter.recorded import dropped
from featurewatch import Feature
from featurewatch.exporter import call as calls
from featurewatch.exporter import ledger
from featurewatch.exporter.drops import Drops
from featurewatch.exporter.ledger import Ledger, Slot, rows
from featurewatch.exporter.records import LABEL_LIMIT, Layout, Record, bounded, decode, encode, merge
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.shared import SharedFolder, Totals, added
from featurewatch.exporter.snapshot import OTHER, Snapshot
from featurewatch.model import FeatureKey
from running import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no flock")

KEY = FeatureKey("chat", "production")
LABELS = st.lists(st.text("abc", min_size=1, max_size=2), unique=True, max_size=3).map(tuple)


@st.composite
def records(draw: st.DrawFn) -> Record:
    layout = Layout(KEY, "Chat", errors=draw(LABELS), models=draw(LABELS))
    count = st.integers(0, 1000)
    fixed = [draw(st.integers(1, 10**18)), float(draw(count)), draw(st.sampled_from((-1, 0, 1)))]
    fixed += [draw(count) for _ in range(3 + 15)] + [float(draw(count))]
    fixed += [draw(count) for _ in range(15)] + [float(draw(count))] + [draw(count) for _ in layout.errors]
    for _ in layout.models:
        fixed += [draw(count) for _ in range(5)] + [float(draw(count)), float(draw(count)), draw(count)]
    return Record(layout, fixed, draw(count))


def sums(snapshot: Snapshot) -> dict[object, float]:
    added = {"feature_probe_success", "feature_info", "feature_budget_usd_per_day"}
    found: dict[object, float] = {
        (name, labels): value
        for name, series in snapshot.numbers.items()
        for labels, value in series.items()
        if name not in added and value
    }
    for name, distribution in snapshot.distributions.items():
        found[name, "sum"] = distribution.sum
        found.update({(name, bucket): count for bucket, count in enumerate(distribution.counts)})
    return found


@given(st.lists(records(), min_size=1, max_size=4))
def test_rows_add_up_series_by_series(given_records: list[Record]) -> None:
    expected: dict[object, float] = {}
    for record in given_records:
        for place, value in sums(record.snapshot()).items():
            expected[place] = expected.get(place, 0) + value
    merged = merge(given_records)
    assert sums(merged.snapshot()) == expected
    assert merged.snapshot().start_ns == min(record.values[0] for record in given_records)
    assert (merged.values[1], merged.values[2]) == max((record.values[1], record.values[2]) for record in given_records)


@given(records())
def test_a_row_survives_being_written_down(record: Record) -> None:
    layout = decode(encode(record.layout))
    assert layout == record.layout
    assert list(layout.struct.unpack(layout.struct.pack(*record.values))) == record.values


def test_what_is_added_up_for_ever_has_bounded_labels() -> None:
    names = tuple(f"e{number}" for number in range(LABEL_LIMIT + 20))
    record = Record(Layout(KEY, errors=names), [1, 0.0, -1] + [0] * 18 + [0.0] + [0] * 15 + [0.0] + [1] * len(names))
    errors = bounded(record, LABEL_LIMIT).snapshot().numbers["feature_errors_total"]
    assert len(errors) == LABEL_LIMIT + 1
    assert errors[OTHER,] == 20


def test_a_ledger_is_whole_at_every_moment(tmp_path: Path) -> None:
    """Read it byte for byte while it is written, as another process does."""
    path = tmp_path / "ledger"
    mine = Ledger(str(path))
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        slots = [Slot(mine) for _ in range(3)]
        while not stop.is_set():
            written += 1
            # A new label now and then: the row outgrows its slot and moves.
            layout = Layout(KEY, errors=tuple(f"error{number}" for number in range(written // 200 % 60)))
            for slot in slots:
                slot.write(layout, [written, 0.0, -1] + [written] * 18 + [0.0] + [written] * 15 + [0.0]
                           + [written] * len(layout.errors), written)  # fmt: skip

    thread = threading.Thread(target=write)
    thread.start()
    try:
        latest = 0
        for _ in range(300):
            found = [row for row in rows(path.read_bytes()) if row is not None]
            for row in found:
                values = decode(row.layout).struct.unpack(row.numbers)
                assert len({value for value in values if value not in (0.0, -1)}) == 1, "a torn row"
            if found:
                now = decode(found[-1].layout).struct.unpack(found[-1].numbers)[0]
                assert now >= latest
                latest = now
    finally:
        stop.set()
        thread.join()
        mine.close()
    assert latest > 0


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_buffer_leaves_the_one_before(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    mine = Ledger(str(path))
    slot, layout = Slot(mine), Layout(KEY)
    for number in (1, 2, 3):
        slot.write(layout, [number, 0.0, -1] + [number] * 18 + [0.0] + [number] * 15 + [0.0], 0)
    data = bytearray(path.read_bytes())
    mine.close()
    start = len(ledger.MAGIC) + 16
    data[start + at % (len(data) - start)] = byte
    found = [row for row in rows(bytes(data)) if row is not None]
    for row in found:
        assert decode(row.layout).struct.unpack(row.numbers)[0] in (1, 2, 3)


SCRIPT = """
    import os, signal, sys, time, featurewatch
    from featurewatch.exporter.runtime import RUNTIME
    featurewatch.configure(environment="production", multiprocess_dir=sys.argv[1])
    chat = featurewatch.Feature("chat", version=sys.argv[3])
    for _ in range(int(sys.argv[2])):
        with chat.call() as call:
            call.fail("refused")
    chat.probe(ok=True)
"""


def worker(folder: Path, calls: int, more: str = "", version: str = "1", code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT) + textwrap.dedent(more), str(folder), str(calls), version],
        env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def others_of(folder: Path) -> list[Record]:
    """What another process sees of this one and all others."""
    return added(SharedFolder(str(folder), Drops()).others()).records


def errors() -> float:
    (snapshot,) = RUNTIME.exposed()[0]
    return snapshot.numbers["feature_requests_total"]["error",]


KILL = "running = chat.call().__enter__(); os.kill(os.getpid(), signal.SIGKILL)"


def test_what_killed_processes_counted_stays_and_the_folder_stays_small(tmp_path: Path) -> None:
    for number in range(4):
        worker(tmp_path, 10, KILL, version=str(number), code=-signal.SIGKILL)
    assert len(list(tmp_path.glob("worker-*"))) == 4
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    (snapshot,) = RUNTIME.exposed()[0]
    assert snapshot.numbers["feature_requests_total"]["error",] == 40
    assert snapshot.numbers["feature_requests_in_progress"] == {(): 0}, "what runs in no living process does not run"
    assert snapshot.numbers["feature_info"] == {("chat", "", "3"): 1}, "the latest declaration alone"
    assert snapshot.numbers["feature_probe_success"] == {(): 1}
    with Feature("chat").call() as call:
        call.fail()
    assert errors() == 41
    assert len(list(tmp_path.glob("worker-*"))) == 1, "this process's own"


def test_a_process_killed_while_it_adds_up_counts_nothing_twice(tmp_path: Path) -> None:
    for cut in ("unlink", "replace", "fsync"):
        worker(tmp_path, 10)
        worker(tmp_path, 0, f"os.{cut} = lambda *_: os._exit(9)\nRUNTIME.exposed()", code=9)
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    assert errors() == 30
    assert errors() == 30
    content = json.loads((tmp_path / "retired.1").read_text())
    assert not {path.name for path in tmp_path.glob("worker-*")} & set(content["merged"])


def test_what_is_added_up_while_it_is_read_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(tmp_path, 10)
    reader, other = SharedFolder(str(tmp_path), Drops()), SharedFolder(str(tmp_path), Drops())
    names, added_up = reader._names, []

    def names_after_another_added_up() -> list[str]:
        if not added_up:
            added_up.append(other.retire())
        return names()

    monkeypatch.setattr(reader, "_names", names_after_another_added_up)
    (record,) = added(reader.others()).records
    assert record.snapshot().numbers["feature_requests_total"]["error",] == 10
    assert not list(tmp_path.glob("worker-*"))


@pytest.mark.parametrize("how", ["write", "note"])
def test_a_call_that_ends_while_another_is_written_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    feature = Feature("chat")
    original: Callable[..., bool] = getattr(Slot, how)
    ended = []

    def call() -> None:
        with feature.call() as call:
            call.fail("of a type that needs a new row" if how == "write" and not ended else "")

    def while_another_ends(*args: Any) -> bool:
        if not ended:
            ended.append(True)
            thread = threading.Thread(target=call)
            thread.start()
            thread.join(30)
            assert not thread.is_alive(), "a call does not wait for another thread"
        return original(*args)

    monkeypatch.setattr(Slot, how, while_another_ends)
    call()
    if how == "note":
        call()
    (record,) = others_of(tmp_path)
    assert ended
    assert record.snapshot().numbers["feature_requests_total"]["error",] == (3 if how == "note" else 2)
    assert record.running == 0


AMOUNTS = st.floats(0, 1e6, allow_nan=False) | st.sampled_from((0.1, 0.2, 0.3, 1e-9, 1e15))


@given(parts=st.lists(AMOUNTS, min_size=2, max_size=6), more=AMOUNTS, data=st.data())
def test_sums_never_go_back_whoever_adds_them_up(parts: list[float], more: float, data: st.DataObject) -> None:
    """To Prometheus a counter that is less by its last digit has begun anew, and all of it counts once more."""

    def totals(usd: float) -> Totals:
        row = [1, 0.0, -1] + [0] * 18 + [usd] + [0] * 15 + [usd] + [0] * 5 + [usd, usd, 0]
        return Totals([Record(Layout(KEY, models=("m",)), row)], {})

    def seen(folder: Sequence[Totals]) -> float:
        (record,) = added(data.draw(st.permutations(folder))).records
        snapshot = record.snapshot()
        assert snapshot.numbers["feature_cost_usd_total"]["m", "reported"] == record.values[21]
        assert snapshot.distributions["feature_request_duration_seconds"].sum == record.values[21]
        return record.values[21]

    folder = [totals(part) for part in parts]
    shown = [seen(folder), seen(folder)]
    assert shown[0] == shown[1]
    while len(folder) > 1:
        retired = added([folder.pop(), folder.pop()], up=True)
        folder.append(retired)
        shown.append(seen(folder))
        folder[0] = added([folder[0], totals(more)])
        shown.append(seen(folder))
    assert shown == sorted(shown)


def test_a_sum_too_large_for_a_number_is_infinite_not_an_error() -> None:
    row = [1, 0.0, -1] + [0] * 18 + [1e308] + [0] * 15 + [0.0]
    record = Record(Layout(KEY), row)
    assert merge([record] * 3, up=True).values[21] == float("inf")


@settings(deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(("ok", "fail", "cancel")),
            st.sampled_from((None, "m", "n", "x")),
            st.sampled_from((None, "refused", "late")),
            AMOUNTS.filter(lambda usd: usd < 1e9),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_what_others_read_is_what_the_process_counts(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str | None, str | None, float, bool]]
) -> None:
    """Notes behind a row, rows that are written anew: another process reads the same numbers at every moment."""
    RUNTIME.forget()
    folder = tmp_path_factory.mktemp("shared")
    featurewatch.configure(environment="production", multiprocess_dir=folder)
    feature = Feature("chat", models=["m", "n"])
    before = 0.0
    for place, (how, model, error, usd, streams) in enumerate(calls):
        with feature.call(model=model) as call:
            if streams:
                call.first_token()
            if usd > 1:
                call.tokens(input=place, output=1, cache_read=place % 3)
                call.cost(usd)
            if how == "fail":
                call.fail(error or "error")
            elif how == "cancel":
                call.cancel()
        if place % 7 == 0:
            (read,) = others_of(folder)
            assert read.running == 0
            assert read.values[21] >= before
            before = read.values[21]
    (read,) = others_of(folder)
    aggregate = feature._aggregate
    assert aggregate is not None
    own = aggregate.record()
    assert read.snapshot() == own.snapshot()


def test_many_ended_processes_are_added_up_without_a_scrape(tmp_path: Path) -> None:
    for _ in range(18):
        worker(tmp_path, 1)
    assert len(list(tmp_path.glob("worker-*"))) < 10


def test_workers_that_begin_and_end_while_others_are_read_are_counted_once(tmp_path: Path) -> None:
    """A scraper adds up files while children come and go; what it shows never goes back."""
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    Feature("chat")
    children = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), "200", "1"], env=environment())
        for _ in range(4)
    ]
    seen = [errors()]
    while any(child.poll() is None for child in children):
        seen.append(errors())
    assert [child.wait() for child in children] == [0] * 4
    seen.append(errors())
    assert seen == sorted(seen)
    assert seen[-1] == 800


BUSY = """
    import threading
    def run(number):
        for round in range(10_000):
            with chat.call(model="m") as call:
                call.tokens(input=1)
                call.cost(0.5)
                if round % 3000 == number:
                    call.fail(f"error-{round}-{number}")
    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_what_is_read_while_calls_are_noted_belongs_together(tmp_path: Path) -> None:
    """Whole calls at every moment, from a process that is killed in the middle too."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT) + textwrap.dedent(BUSY), str(tmp_path), "0", "1"],
            env=environment(),
        )
        for _ in range(2)
    ]
    before = reads = 0
    while any(child.poll() is None for child in children):
        if before > 1000 and children[0].poll() is None:
            children[0].kill()
        for record in others_of(tmp_path):
            snapshot = record.snapshot()
            calls = int(sum(snapshot.numbers["feature_requests_total"].values()))
            assert sum(snapshot.distributions["feature_request_duration_seconds"].counts) == calls
            assert snapshot.numbers["feature_tokens_total"].get(("m", "input"), 0) == calls
            assert snapshot.numbers["feature_cost_usd_total"].get(("m", "reported"), 0) == 0.5 * calls
            assert calls >= before
            before, reads = calls, reads + 1
    assert reads > 5
    assert children[1].wait() == 0
    (record,) = others_of(tmp_path)
    assert 20_000 <= sum(record.snapshot().numbers["feature_requests_total"].values()) <= 40_000
    assert record.running == 0


def test_drops_of_all_processes_are_shown(tmp_path: Path) -> None:
    worker(tmp_path, 1, "with chat.call() as call: call.cost('much')")
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    with Feature("chat").call() as call:
        call.cost(-1)
    _, counts = RUNTIME.exposed()
    assert counts["calls", "invalid_value", KEY] == 2


def test_a_folder_that_cannot_be_used_is_told_once_and_each_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path / "file" / "folder")
    for _ in range(3):
        with Feature("chat").call() as call:
            call.fail()
        assert errors() > 0
    assert errors() == 3
    assert len([record for record in caplog.records if "multiprocess_dir" in record.getMessage()]) == 1


def test_a_full_disk_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    full = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))
        for number in range(200):
            with featurewatch.Feature(f"f{number}").call():
                pass
        print(sum(s.numbers["feature_requests_total"]["success",] for s in RUNTIME.exposed()[0]))
    """
    said = worker(tmp_path, 1, full)
    assert "200" in said.split()
    assert said.count("does not reach the others") == 1
    assert worker(tmp_path, 0, "print(len(RUNTIME.exposed()[0]) > 10)").strip() == "True"


def test_a_folder_emptied_while_workers_run_is_filled_again(tmp_path: Path) -> None:
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    with Feature("chat").call() as call:
        call.fail()
    for path in tmp_path.iterdir():
        path.unlink()
    assert errors() == 1
    assert "5" in worker(tmp_path, 4, "print(RUNTIME.exposed()[0][0].numbers['feature_requests_total']['error',])")


def test_a_file_that_is_not_ours_in_the_place_of_the_totals_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "retired.1").write_text('{"records": 7}')
    (tmp_path / f"worker-{'0' * 32}.1").write_bytes(b"")
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    with Feature("chat").call() as call:
        call.fail()
    assert errors() == 1
    assert (tmp_path / "retired.1.broken").exists()
    assert "set aside" in caplog.text


def test_replacing_the_environment_leaves_no_empty_series_to_others(tmp_path: Path) -> None:
    featurewatch.configure(multiprocess_dir=tmp_path)
    Feature("chat")
    featurewatch.configure(multiprocess_dir=tmp_path, environment="production")
    assert [record.layout.key for record in others_of(tmp_path)] == [KEY]


def test_leaving_a_folder_and_coming_back_counts_once(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", "", tmp_path / "b", tmp_path / "a"):
        featurewatch.configure(environment="production", multiprocess_dir=folder)
        with Feature("chat").call() as call:
            call.fail()
    assert errors() == 4
    (record,) = others_of(tmp_path / "a")
    assert record.snapshot().numbers["feature_requests_total"]["error",] == 4


def test_threads_that_end_calls_at_once_leave_nothing_unwritten(tmp_path: Path) -> None:
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    feature = Feature("chat", models=["m"])

    def run() -> None:
        for _ in range(500):
            with feature.call() as call:
                call.cost(1)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (record,) = others_of(tmp_path)
    snapshot = record.snapshot()
    assert snapshot.numbers["feature_requests_total"]["success",] == 4000
    assert snapshot.numbers["feature_cost_usd_total"]["m", "reported"] == 4000
    assert record.running == 0


def test_a_total_too_large_for_the_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_TOKENS", 2**80)
    featurewatch.configure(environment="production", multiprocess_dir=tmp_path)
    with Feature("chat").call() as call:
        call.tokens(input=2**70)
    RUNTIME.exposed()
    assert "too large" in caplog.text
    assert dropped("calls", "invalid_value") == 0
