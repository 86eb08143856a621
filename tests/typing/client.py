"""The client's interface as a program uses it: type-checked by mypy, never run.

`assert_type` says what each expression must be; a line that must not type-check says which error it gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, assert_type

from featurewatch.client import (
    Alert,
    AlertTriggered,
    AsyncClient,
    Client,
    Connected,
    Disconnected,
    Gap,
    LogEntry,
    LogHistory,
    LogLine,
    Message,
    MetricsUpdate,
    Refused,
    StatusChange,
    Stream,
    SyncStream,
    TestResult,
    TransportChanged,
)


def fresh() -> str:
    return "fw_…"


async def fresh_later() -> str:
    return "fw_…"


AsyncClient("http://127.0.0.1:8400", fresh)
AsyncClient(token=fresh_later, prefix="/api/platform")
Client(token=lambda: 7)  # type: ignore[arg-type, return-value]  # a token is a text
Client("http://127.0.0.1:8400", "fw_…", colour="red")  # type: ignore[call-arg]  # no such argument


def shown(message: Message) -> str:
    match message:
        case LogLine(entry=entry):
            assert_type(entry, LogEntry)
            assert_type(entry.metadata, Mapping[str, Any])
            assert_type(entry.time, datetime)
            return entry.message
        case LogHistory(lines=lines):
            assert_type(lines, tuple[LogEntry, ...])
        case MetricsUpdate(metrics=metrics, stale=stale):
            assert_type(metrics, Mapping[str, float | None])
            assert_type(stale, bool)
        case StatusChange(before=before, after=after):
            return f"{before} → {after}"
        case TestResult(name=name, passed=passed):
            assert_type(passed, bool)
            return name
        case AlertTriggered(alert=alert):
            assert_type(alert, Alert)
            return alert.title
        case Gap(count=count):
            assert_type(count, int | None)
        case Connected(features=features):
            assert_type(features, tuple[str, ...])
        case Disconnected(reason=reason, retry_in_s=seconds):
            return f"{reason}: {seconds:.1f} s"
        case TransportChanged(transport=transport):
            return transport
        case Refused(code=code, text=text):
            return f"{code}: {text}"
    assert_type(message.entries, tuple[LogEntry, ...])
    assert_type(message.id, str | None)
    return message.type


async def listen() -> None:
    async with AsyncClient() as client:
        async with client.stream(["summarize", "chat"], filters={"levels": ["error"]}, transport="auto") as stream:
            assert_type(stream, Stream)
            async for message in stream:
                assert_type(message, Message)
                await stream.follow(search="timeout", history=True)
                await stream.subscribe("search")
                assert_type(stream.position, str | None)
        client.stream("chat", transport="pigeon")  # type: ignore[arg-type]  # one of three
        assert_type(await client.features(), list[dict[str, Any]])
        assert_type(await client.post_logs({"featureId": "chat", "message": "hi"}), list[str])
        await client.history("chat", "error_rate", start_time=datetime.now(UTC))
        async for part in client.export("chat", format="csv"):
            assert_type(part, bytes)


def wait() -> None:
    with Client() as client:
        assert_type(client.current("chat"), dict[str, Any])
        with client.stream() as stream:
            assert_type(stream, SyncStream)
            for message in stream:
                shown(message)
            assert_type(stream.get(timeout=1), Message | None)
        for part in client.export("chat"):
            assert_type(part, bytes)
