"""Messages as dataclasses: what the bridge's own encoder writes is read back, and nothing unexpected is lost."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.client import (
    AlertResolved,
    Connected,
    Gap,
    LogHistory,
    LogLine,
    Message,
    MetricsUpdate,
    Refused,
    StatusChange,
    TestResult,
)
from featurewatch.client.reading import disconnected, parse, transport_changed
from featurewatch.model import Event, FeatureKey, LogEntry, MetricsSnapshot
from featurewatch.streams import messages
from featurewatch.streams.messages import Gap as ToldGap
from featurewatch.streams.positions import Position

KEY = FeatureKey("chat", "staging")
AT_NS = 1_790_000_000_123_456_789
PLACE = Position(7, 3, AT_NS // 10**9)
ENTRY = LogEntry("id-1", "chat", "staging", AT_NS, "warn", "slow", "worker", '{"a": [1, "b"]}', "trace", "user")


def read(message: messages.Message) -> Message:
    return parse(json.loads(message.text))


def test_a_line_is_read_with_everything_it_says() -> None:
    line = read(messages.log_line(ENTRY, PLACE, now_ns=AT_NS + 60 * 10**9))
    assert isinstance(line, LogLine)
    (entry,) = line.entries
    assert entry is line.entry
    assert (entry.id, entry.feature, entry.level, entry.message) == ("id-1", "chat", "warn", "slow")
    assert (entry.source, entry.environment) == ("worker", "staging")
    assert (entry.metadata, entry.trace_id, entry.user_id, entry.late) == ({"a": [1, "b"]}, "trace", "user", True)
    assert entry.timestamp.endswith(".123456789Z")
    assert entry.time == datetime.fromtimestamp(1_790_000_000, UTC).replace(microsecond=123_456)
    assert (line.type, line.feature, line.id) == ("log_entry", "chat", PLACE.encode())
    assert line.time == entry.time


def test_what_a_line_leaves_out_has_its_default() -> None:
    bare = read(messages.log_line(LogEntry("id", "chat", "staging", AT_NS, "info", "m"), None))
    assert isinstance(bare, LogLine)
    assert (bare.entry.metadata, bare.entry.trace_id, bare.entry.user_id, bare.entry.late) == ({}, None, None, False)
    assert bare.id is None


def test_a_history_brings_all_its_lines() -> None:
    (told,) = messages.histories("chat", [], PLACE, False)
    assert isinstance(read(told), LogHistory)
    assert read(told).entries == ()
    from featurewatch.model import StoredLog

    (told,) = messages.history([StoredLog(n, ENTRY._replace(id=str(n))) for n in range(3)], PLACE, resumed=True)
    assert [entry.id for entry in read(told).entries] == ["0", "1", "2"]


def test_figures_are_read_with_what_is_unknown() -> None:
    snapshot = MetricsSnapshot(
        KEY, AT_NS, {"uptime": None, "total_requests": 3}, {"uptime": "unknown"}, "warning", ("slow",), (), True
    )
    update = read(messages.metrics_update(snapshot, PLACE, unknown_as_zero=False))
    assert isinstance(update, MetricsUpdate)
    assert update.metrics == {"uptime": None, "total_requests": 3}
    assert (update.environment, update.health, update.reasons, update.stale) == ("staging", "warning", ("slow",), True)
    assert update.statuses == {"uptime": "unknown"}


def test_events_are_read_each_as_its_own() -> None:
    change = read(
        messages.happened(
            Event(1, "e", KEY, "status_change", AT_NS, {"from": "healthy", "to": "error", "reasons": ["x"]}), PLACE
        )
    )
    assert isinstance(change, StatusChange)
    assert (change.before, change.after, change.reasons, change.environment) == ("healthy", "error", ("x",), "staging")
    result = read(
        messages.happened(
            Event(1, "e", KEY, "test_result", AT_NS, {"name": "smoke", "passed": False, "duration_ms": 9.5}), PLACE
        )
    )
    assert isinstance(result, TestResult)
    assert (result.name, result.passed, result.duration_ms, result.message) == ("smoke", False, 9.5, None)
    alert = {
        "id": "a1", "ruleId": "r1", "featureId": "chat", "title": "Errors Alert", "message": "m", "severity": "high",
        "status": "resolved", "triggered_at": "2026-01-31T12:00:00Z", "resolve_reason": "recovered",
        "environment": "staging", "condition_active": False, "metadata": {"trigger_value": 4.5},
    }  # fmt: skip
    over = read(messages.happened(Event(1, "e", KEY, "alert", AT_NS, {"change": "resolved", "alert": alert}), PLACE))
    assert isinstance(over, AlertResolved)
    assert (over.alert.id, over.alert.rule_id, over.alert.severity) == ("a1", "r1", "high")
    assert (over.alert.resolve_reason, over.alert.condition_active) == ("recovered", False)
    assert over.alert.metadata == {"trigger_value": 4.5}
    assert over.alert.acknowledged_by is None


def test_gaps_and_refusals_are_read() -> None:
    gap = read(ToldGap("slow_consumer", "chat", None, AT_NS, AT_NS).message(PLACE))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.count, gap.start) == ("slow_consumer", None, gap.end)
    refused = parse({"type": "error", "data": {"code": "not_found", "message": "no such feature"}, "timestamp": "t"})
    assert isinstance(refused, Refused)
    assert (refused.code, refused.text) == ("not_found", "no such feature")


def test_either_transport_begins_alike() -> None:
    by_events = parse({"type": "connected", "featureIds": ["chat"], "environments": {"chat": "staging"},
                       "recovered": True, "id": "p"})  # fmt: skip
    by_websocket = parse({"type": "connection_confirmed", "timestamp": "2026-01-31T12:00:00Z", "id": "p",
                          "data": {"connected": True, "featureIds": ["chat"], "environments": {"chat": "staging"},
                                   "recovered": True}})  # fmt: skip
    for told in (by_events, by_websocket):
        assert isinstance(told, Connected)
        assert (told.type, told.recovered, told.features) == ("connection_confirmed", True, ("chat",))
        assert told.environments == {"chat": "staging"}
        assert told.data["recovered"] is True
    of_one = parse({"type": "connected", "featureId": "chat", "environment": "production", "recovered": False})
    assert isinstance(of_one, Connected)
    assert (of_one.feature, of_one.recovered, of_one.time) == ("chat", False, None)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "brand_new", "featureId": "chat", "data": {"x": 1}, "timestamp": "t", "id": "p"},
        {"type": "log_entry", "featureId": "chat", "data": {"unexpected": 1}, "timestamp": "t", "id": "p"},
        {"type": "log_history", "featureId": "chat", "data": None, "timestamp": "t", "id": "p"},
        {"type": "metrics_update", "featureId": "chat", "data": [], "timestamp": "t", "id": "p"},
        {"type": "alert_triggered", "featureId": "chat", "data": {"id": 1}, "timestamp": "t", "id": "p"},
    ],
)
def test_what_is_unknown_or_unexpected_is_delivered_all_the_same(raw: dict[str, Any]) -> None:
    assert parse(raw) == Message(raw["type"], "chat", raw["data"], "t", "p")
    assert parse(raw).entries == ()


def test_messages_are_values() -> None:
    message = disconnected("chat", "lost", 1.26)
    assert message == disconnected("chat", "lost", 1.3)
    assert message.data == {"reason": "lost", "retry_in_s": 1.3}
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.reason = "other"  # type: ignore[misc]  # what must not work
    assert transport_changed(None, "sse", "why").transport == "sse"


@given(
    st.dictionaries(
        st.sampled_from(["type", "featureId", "data", "timestamp", "id", "recovered"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        ),
    ),
    st.sampled_from(
        ["connected", "connection_confirmed", "metrics_update", "log_entry", "log_history", "status_change",
         "test_result", "alert_updated", "gap", "error", "x"]
    ),
)  # fmt: skip
def test_no_message_whatever_it_is_raises(raw: dict[str, Any], type_: str) -> None:
    message = parse({**raw, "type": type_})
    assert message.type in (type_, "connection_confirmed")
    assert isinstance(message.entries, tuple)
