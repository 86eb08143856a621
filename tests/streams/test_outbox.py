"""The queue of one client: order, bounds, conflation, and what it says of its losses."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from featurewatch.model import FeatureKey
from featurewatch.streams.messages import Message, Parcel, log_line, message, pack
from featurewatch.streams.outbox import MAX_REPLIES, MAX_SLOTS, Outbox
from featurewatch.streams.positions import Position, parse
from featurewatch.streams.stats import Stats
from streams.fakes import KEY, START_NS, entry

CHAT = FeatureKey("chat", "production")


def line(number: int, key: FeatureKey = KEY, *, text: str = "x" * 100) -> Message:
    return log_line(entry(number, key, message=text), Position(number, 0, 0))


def figures(total: int, at: int) -> Parcel:
    return Parcel([message("metrics_update", "summarize", {"total": total}, START_NS, Position(at, 0, 0))])


def drain(outbox: Outbox) -> list[dict[str, object]]:
    found = []
    while (parcel := outbox.take()) is not None:
        found += [orjson.loads(each.text) for each in parcel.messages]
    return found


def shown(found: list[dict[str, object]]) -> list[object]:
    return [each["data"]["id"] if each["type"] == "log_entry" else each["type"] for each in found]  # type: ignore[index]  # data of a line


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(2_000, Stats())


def test_everything_leaves_in_the_order_in_which_it_came(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(1)]))
    outbox.put(Parcel([message("status_change", "summarize", {}, START_NS)]))
    outbox.put_figures(KEY, figures(1, 1), Position(1, 0, 0))
    outbox.put_lines(pack([line(2)]))
    assert shown(drain(outbox)) == ["line-1", "status_change", "metrics_update", "line-2"]
    assert outbox.idle


def test_newer_figures_take_the_place_and_the_position_of_older_ones(outbox: Outbox) -> None:
    outbox.put_figures(KEY, figures(1, 1), Position(1, 0, 0))
    outbox.put_lines(pack([line(2)]))
    outbox.put_figures(KEY, figures(3, 2), Position(2, 0, 0))
    found = drain(outbox)
    assert shown(found) == ["metrics_update", "line-2"]
    assert found[0]["data"] == {"total": 3}
    assert parse(str(found[0]["id"])) == Position(1, 0, 0), "line 2 has not been sent yet"


def test_figures_that_were_taken_are_not_replaced(outbox: Outbox) -> None:
    outbox.put_figures(KEY, figures(1, 1), Position(1, 0, 0))
    drain(outbox)
    outbox.put_figures(KEY, figures(2, 1), Position(1, 0, 0))
    assert [each["data"] for each in drain(outbox)] == [{"total": 2}]


def test_a_snapshot_that_was_not_conflated_stays_shared(outbox: Outbox) -> None:
    parcel = figures(1, 1)
    outbox.put_figures(KEY, parcel, Position(1, 0, 0))
    assert outbox.take() is parcel


def test_above_the_bound_the_oldest_lines_become_a_gap_in_their_place(outbox: Outbox) -> None:
    outbox.put(Parcel([message("status_change", "summarize", {}, START_NS)]))
    for number in range(1, 21):
        outbox.put_lines(pack([line(number)]))
        assert outbox.line_bytes <= 2_000
    outbox.put(Parcel([message("test_result", "summarize", {}, START_NS)]))
    found = drain(outbox)
    gap = found[1]["data"]
    assert isinstance(gap, dict)
    kept = shown(found)[2:-1]
    assert shown(found)[0] == "status_change"
    assert shown(found)[-1] == "test_result"
    assert kept == [f"line-{number}" for number in range(21 - len(kept), 21)]
    assert gap["count"] == 20 - len(kept)
    assert gap["reason"] == "slow_consumer"
    assert gap["from"] == "2026-09-21T14:13:20.000000001Z"
    assert parse(str(found[1]["id"])) == Position(20 - len(kept), 0, 0)


def test_losses_on_both_sides_of_an_event_are_told_on_both_sides(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(1)]))
    outbox.put(Parcel([message("status_change", "summarize", {}, START_NS)]))
    for number in range(2, 12):
        outbox.put_lines(pack([line(number)]))
    assert shown(drain(outbox))[:3] == ["gap", "status_change", "gap"]


def test_losses_are_told_for_each_feature_and_only_the_last_has_an_id(outbox: Outbox) -> None:
    for number in range(1, 20):
        outbox.put_lines(pack([line(number, (KEY, CHAT)[number % 2])]))
    gaps = [each for each in drain(outbox) if each["type"] == "gap"]
    assert {gap["featureId"] for gap in gaps} == {"summarize", "chat"}
    assert ["id" in gap for gap in gaps] == [False, True]


def test_a_client_that_had_caught_up_gets_a_whole_commit(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(number) for number in range(100)]))
    assert shown(drain(outbox)) == [f"line-{number}" for number in range(100)]


def test_one_line_above_the_bound_is_kept_rather_than_nothing(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(1), line(2, text="x" * 5_000)]))
    outbox.put_lines(pack([line(3, text="x" * 5_000)]))
    assert shown(drain(outbox)) == ["gap", "line-3"]


def test_nothing_overtakes_a_reserved_place(outbox: Outbox) -> None:
    slot = outbox.reserve()
    outbox.put_lines(pack([line(2)]))
    assert outbox.take() is None
    assert not outbox.ready()
    outbox.fill(slot, pack([line(1)]))
    outbox.fill(slot, pack([line(9)]))
    assert shown(drain(outbox)) == ["line-1", "line-2"]


def test_a_reserved_place_that_nothing_fills_is_passed(outbox: Outbox) -> None:
    slot = outbox.reserve()
    outbox.put_lines(pack([line(2)]))
    outbox.fill(slot)
    assert shown(drain(outbox)) == ["line-2"]


def test_positions_are_held_until_the_place_that_releases_them(outbox: Outbox) -> None:
    outbox.hold = 5
    outbox.put_figures(KEY, figures(1, 9), Position(9, 0, 0))
    outbox.fill(outbox.reserve(releases=True))
    outbox.put_figures(CHAT, figures(2, 9), Position(9, 0, 0))
    assert [parse(str(each["id"])) for each in drain(outbox)] == [Position(5, 0, 0), Position(9, 0, 0)]


def test_many_answers_make_it_crowded(outbox: Outbox) -> None:
    for _ in range(MAX_REPLIES):
        assert not outbox.crowded
        outbox.put(Parcel([message("pong", None, {}, START_NS)]))
    assert outbox.crowded
    outbox.take()
    assert not outbox.crowded


def test_histories_that_are_not_taken_make_it_crowded(outbox: Outbox) -> None:
    for _ in range(MAX_SLOTS):
        assert not outbox.crowded
        outbox.fill(outbox.reserve(), pack([line(1)]))
    assert outbox.crowded
    while outbox.crowded:
        assert outbox.take() is not None
    drain(outbox)
    assert outbox.idle


def test_events_that_nobody_takes_overfill_it_and_lines_do_not(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(number) for number in range(200)]))
    outbox.put_lines(pack([line(number) for number in range(200, 400)]))
    assert not outbox.overfull
    told = Parcel([message("test_result", "summarize", {"message": "x" * 900}, START_NS)])
    count = 0
    while not outbox.overfull:
        outbox.put(told)
        count += 1
    assert 4 * 2_000 < count * told.size < 6 * 2_000
    drain(outbox)
    assert not outbox.overfull


def test_a_closed_queue_takes_no_lines_and_keeps_what_waits_unless_that_is_discarded(outbox: Outbox) -> None:
    outbox.put_lines(pack([line(1)]))
    outbox.close()
    outbox.put_lines(pack([line(2)]))
    outbox.put_figures(KEY, figures(1, 1), Position(1, 0, 0))
    outbox.put(Parcel([message("error", None, {}, START_NS)]))
    assert shown(drain(outbox)) == ["line-1", "error"], "why it was closed may still be said"
    outbox.put(Parcel([message("error", None, {}, START_NS)]))
    outbox.close(discard=True)
    outbox.put(Parcel([message("error", None, {}, START_NS)]))
    assert outbox.take() is None


def test_snapshots_of_features_no_longer_wanted_are_dropped(outbox: Outbox) -> None:
    outbox.put_figures(KEY, figures(1, 1), Position(1, 0, 0))
    outbox.put_figures(CHAT, figures(2, 1), Position(1, 0, 0))
    outbox.forget_figures(lambda key: key == CHAT)
    assert [each["data"] for each in drain(outbox)] == [{"total": 2}]


@pytest.mark.anyio
async def test_waiting_ends_when_something_comes_or_the_stream_ends(outbox: Outbox) -> None:
    waiting = asyncio.create_task(outbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put_lines(pack([line(1)]))
    await asyncio.wait_for(waiting, 5)
    drain(outbox)
    waiting = asyncio.create_task(outbox.wait())
    await asyncio.sleep(0)
    outbox.close()
    await asyncio.wait_for(waiting, 5)


def test_the_slices_of_one_commit_are_taken_whole_by_a_client_that_had_taken_all(outbox: Outbox) -> None:
    for first in range(0, 60, 10):
        outbox.put_lines(pack([line(number) for number in range(first, first + 10)]), commit=59)
    assert outbox.line_bytes > 2_000
    assert len(drain(outbox)) == 60
    outbox.put_lines(pack([line(60)]), commit=60)
    for first in range(61, 121, 10):
        outbox.put_lines(pack([line(number) for number in range(first, first + 10)]), commit=120)
    found = shown(drain(outbox))
    assert "gap" in found, "a client that had not taken the commit before is bounded"
    assert found[-1] == "line-120"
