"""The client without asyncio, against a real bridge."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from featurewatch.client import AsyncClient, Client, Connected, LogLine, MetricsUpdate, Stream, SyncStream, TestResult
from featurewatch.errors import BadInput, FeaturewatchError, NotFound, StaleEdit, Unavailable
from running import Running


@pytest.fixture
def client(served: Running) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client


def line(feature: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"featureId": feature, "message": message, **fields}


def heard(stream: SyncStream, *wanted: str) -> list[str]:
    """Read lines until the wanted ones came."""
    found: list[str] = []
    deadline = time.monotonic() + 60
    while not set(wanted) <= set(found):
        assert time.monotonic() < deadline, found
        message = stream.get(timeout=1)
        found += [entry.message for entry in message.entries] if message is not None else []
    return found


@pytest.mark.parametrize(("asynchronous", "synchronous"), [(AsyncClient, Client), (Stream, SyncStream)])
def test_both_clients_offer_the_same(asynchronous: type, synchronous: type) -> None:
    own = {"get"}  # waits for so long: asyncio has time-outs of its own
    theirs = {"aclose": "close", "batch": None}

    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(synchronous) - own == {theirs.get(name, name) for name in public(asynchronous)} - {None}
    for name in public(asynchronous) & public(synchronous):
        if callable(getattr(asynchronous, name)):
            ours, other = (inspect.signature(getattr(kind, name)).parameters for kind in (synchronous, asynchronous))
            assert [p.replace(annotation=None) for p in ours.values()] == [
                p.replace(annotation=None) for p in other.values() if p.name != "pause"
            ], name


def test_a_feature_is_declared_told_of_and_asked_about(client: Client) -> None:
    assert client.me()["authentication"] is False
    made = client.declare("summarize", name="Summaries", owner="docs", environments=["production"])
    assert (made["name"], made["owner"]) == ("Summaries", "docs")
    changed = client.change("summarize", revision=made["revision"], owner="search")
    assert (changed["name"], changed["owner"]) == ("Summaries", "search")
    with pytest.raises(StaleEdit):
        client.change("summarize", revision=made["revision"], owner="late")
    calls = [{"id": f"c{n}", "outcome": "success", "duration_ms": 100, "cost_usd": 0.01} for n in range(12)]
    assert client.post_requests("summarize", calls, environment="production")["accepted"] == 12
    assert client.post_requests("summarize", calls[0], environment="production") == {
        "success": True, "accepted": 0, "duplicates": 1,
    }  # fmt: skip
    assert "summarize" in [feature["id"] for feature in client.features()]
    assert client.feature("summarize")["metrics"]["total_requests"] == 12
    assert client.metrics("summarize", time_range="5m")["total_requests"] == 12
    assert client.performance("summarize")["error_rate"] == 0
    assert client.costs("summarize")["total_cost"] == pytest.approx(0.12)
    assert client.health("summarize", time_range="5m")["status"] in ("healthy", "unknown", "warning")
    assert client.current("summarize")["metrics"]["total_requests"] == 12
    assert {one["featureId"] for one in client.snapshots(["summarize"])} == {"summarize"}
    now = datetime.now(UTC)
    history = client.history("summarize", "total_requests", start_time=now - timedelta(minutes=5), end_time=now)
    assert history["metric"] == "total_requests"
    assert history["points"]
    client.forget("summarize")


def test_lines_and_results_are_told_and_asked_about(client: Client) -> None:
    ids = client.post_logs([line("chat", f"line {n}", level="error" if n % 2 else "info") for n in range(10)])
    assert len(ids) == 10
    page = client.logs("chat", levels=["error"], limit=2)
    assert [entry["message"] for entry in page["logs"]] == ["line 7", "line 9"]
    around = client.log(ids[5], around=1)
    assert [entry["message"] for entry in around["logs"]] == ["line 4", "line 5", "line 6"]
    assert len(json.loads(b"".join(client.export("chat", levels="error")))) == 5
    part = client.export("chat", format="csv")
    assert next(part).startswith(b"timestamp,level")
    part.close()  # type: ignore[attr-defined]  # a generator
    (result,) = client.post_test_results("chat", {"name": "smoke", "passed": True}, environment="production")
    assert [event["id"] for event in client.test_results("chat")["test_results"]] == [result]
    assert [event["type"] for event in client.events("chat", kinds="test_result", limit=1)["events"]] == ["test_result"]
    assert client.request("GET", "/features/chat/health")["status"]


def test_what_the_bridge_refuses_is_raised_with_what_is_wrong(client: Client) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        client.current("nosuch")
    with pytest.raises(BadInput) as refused:
        client.post_logs([line("chat", "good"), {"featureId": "chat"}, {"message": "whose?"}])
    assert [(problem.index, problem.field) for problem in refused.value.problems] == [
        (1, "message"), (2, "feature_id"),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        list(client.export("nosuch"))


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_a_stream_is_a_loop(client: Client, transport: Any) -> None:
    feature = f"loop-{transport}"
    client.post_logs(line(feature, "before"))
    kinds: list[type] = []
    with client.stream(feature, transport=transport) as stream:
        for message in stream:
            kinds.append(type(message))
            if "before" in [entry.message for entry in message.entries]:
                client.post_logs(line(feature, "after", metadata={"n": 1}))
                client.post_test_results(feature, {"name": "smoke", "passed": True, "environment": "development"})
            if isinstance(message, LogLine):
                assert message.entry.metadata == {"n": 1}
            if {LogLine, TestResult} <= set(kinds):
                break
    assert Connected in kinds
    assert MetricsUpdate in kinds


def test_a_stream_is_asked_for_so_long_and_loses_nothing(client: Client) -> None:
    client.post_logs(line("patient", "0"))
    with client.stream("patient") as stream:
        heard(stream, "0")
        before = time.monotonic()
        while (message := stream.get(timeout=0.05)) is not None:
            assert time.monotonic() - before < 30, message
        client.post_logs([line("patient", str(n)) for n in range(1, 100)])
        assert heard(stream, "99") == [str(n) for n in range(1, 100)]


def test_a_later_stream_goes_on_where_an_earlier_one_was(client: Client) -> None:
    client.post_logs(line("later", "0"))
    with client.stream("later") as stream:
        heard(stream, "0")
        place = stream.position
    client.post_logs([line("later", "1"), line("later", "2")])
    with client.stream("later", after=place, transport="sse") as stream:
        assert heard(stream, "2") == ["1", "2"]


def test_other_threads_change_and_end_a_stream(client: Client) -> None:
    client.post_logs([line("one", "a"), line("two", "b")])
    stream = client.stream("one", history=False)
    found: list[str] = []
    done = threading.Event()

    def read() -> None:
        for message in stream:
            found.extend(entry.message for entry in message.entries)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + 60
    stream.subscribe("two")
    stream.follow(search="HEAR")
    while not {"hear one", "hear two"} <= set(found):
        assert time.monotonic() < deadline, found
        client.post_logs([line("one", "hear one"), line("two", "hear two"), line("two", "miss")])
        time.sleep(0.1)
    stream.close()
    assert done.wait(60)
    assert set(found) == {"hear one", "hear two"}
    with pytest.raises(FeaturewatchError, match="closed"):
        stream.get(timeout=1)


def test_a_wrong_wish_is_refused_at_once(client: Client) -> None:
    with pytest.raises(BadInput, match="level"):
        client.stream("chat", filters={"levels": "loud"})
    with pytest.raises(BadInput, match="filters"):
        client.stream("chat", filters={"text": "x"})
    with pytest.raises(BadInput, match="feature"):
        client.stream("no such id")
    with pytest.raises(BadInput, match="several"):
        client.stream([])
    with client.stream("chat") as stream:
        with pytest.raises(NotFound, match="chat"):
            stream.unsubscribe("other")
        with pytest.raises(BadInput, match="close"):
            stream.unsubscribe("chat")


def test_a_closed_client_says_so_and_no_bridge_too() -> None:
    client = Client("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="featurewatch serve"):
        client.features()
    client.close()
    client.close()
    with pytest.raises(FeaturewatchError, match="closed"):
        client.features()


def test_closing_the_client_ends_its_streams_and_its_thread(served: Running) -> None:
    before = threading.active_count()
    client = Client(served.url)
    client.post_logs(line("ended", "x"))
    stream = client.stream("ended")
    heard(stream, "x")
    client.close()
    assert threading.active_count() <= before
