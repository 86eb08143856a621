from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from featurewatch.bridge.routes.export import CSV_HEADER, CsvFile, JsonFile, written
from featurewatch.model import LogEntry

from .running import API

pytestmark = pytest.mark.anyio


def line(number: int, **given: Any) -> dict[str, Any]:
    at = f"2026-01-31T12:{number // 60:02d}:{number % 60:02d}.000000001Z"
    return {"id": f"n{number:04d}", "featureId": "chat", "message": f"line {number}", "timestamp": at, **given}


async def keep(client: httpx.AsyncClient, *lines: dict[str, Any]) -> list[str]:
    answer = await client.post(f"{API}/logs", json=list(lines))
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["ids"]
    return ids


async def found(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"{API}/logs", params={"feature_id": "chat", **params})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in page["logs"]]


async def test_a_line_comes_back_as_it_was_told(client: httpx.AsyncClient) -> None:
    told = {
        "id": "a", "featureId": "chat", "timestamp": "2026-01-31T12:00:00.123456789Z", "level": "fatal",
        "message": "ä\0\n\"'%_", "source": "worker", "environment": "production",
        "metadata": {"user-id": 1, "é": [None]}, "trace_id": "t", "user_id": "u",
    }  # fmt: skip
    assert await keep(client, told) == ["a"]
    assert (await found(client))["logs"] == [told]


async def test_what_is_absent_is_left_out_and_what_must_exist_is_filled_in(client: httpx.AsyncClient) -> None:
    (made,) = await keep(client, {"feature_id": "chat", "message": "x"})
    (shown,) = (await found(client))["logs"]
    assert set(shown) == {"id", "featureId", "timestamp", "level", "message", "source", "environment"}
    assert (shown["id"], shown["level"], shown["source"], shown["environment"]) == (made, "info", "app", "development")


async def test_a_line_sent_twice_is_kept_once(client: httpx.AsyncClient) -> None:
    await keep(client, line(1))
    await keep(client, line(1), line(2))
    assert ids(await found(client)) == ["n0001", "n0002"]


async def test_a_long_message_is_cut_with_a_mark(client: httpx.AsyncClient) -> None:
    await keep(client, line(1, message="é" * 200_000))
    message = (await found(client))["logs"][0]["message"]
    assert message.endswith("… [cut, 400000 bytes]")
    assert len(message.encode()) <= 256 * 1024


async def test_without_a_direction_the_newest_come_oldest_first(client: httpx.AsyncClient) -> None:
    await keep(client, *map(line, range(10)))
    page = await found(client, limit=3)
    assert ids(page) == ["n0007", "n0008", "n0009"]
    older = await found(client, limit=3, cursor=page["next_cursor"])
    assert ids(older) == ["n0004", "n0005", "n0006"]


@pytest.mark.parametrize("direction", ["forward", "backward"])
async def test_pages_lead_through_all_lines(client: httpx.AsyncClient, direction: str) -> None:
    await keep(client, *map(line, range(25)))
    seen: list[str] = []
    page = await found(client, limit=10, direction=direction)
    seen += ids(page)
    while page["next_cursor"]:
        page = await found(client, limit=10, direction=direction, cursor=page["next_cursor"])
        seen += ids(page)
    expected = [f"n{number:04d}" for number in range(25)]
    assert seen == (expected if direction == "forward" else expected[::-1])


async def test_filters_hold_together(client: httpx.AsyncClient) -> None:
    await keep(
        client,
        line(1, level="error", source="api", message="Time-Out of GPT"),
        line(2, level="error", source="api", metadata={"why": "TIME-OUT"}),
        line(3, level="warn", source="api", message="time-out"),
        line(4, level="error", source="db", message="time-out"),
    )
    assert ids(await found(client, levels="error,fatal", source="api", search="time-out")) == ["n0001", "n0002"]
    assert ids(await found(client, start_time="2026-01-31T12:00:02Z", end_time="2026-01-31T12:00:04Z")) == [
        "n0002", "n0003",
    ]  # fmt: skip


async def test_environments_are_never_mixed(client: httpx.AsyncClient) -> None:
    await keep(client, line(1, environment="staging"), line(2, environment="production"))
    page = await found(client)
    assert (page["environment"], ids(page)) == ("production", ["n0002"])
    assert ids(await found(client, environment="staging")) == ["n0001"]


async def test_a_line_is_found_between_its_neighbours(client: httpx.AsyncClient) -> None:
    await keep(client, *map(line, range(10)), line(5, id="other", featureId="search"))
    shown = (await client.get(f"{API}/logs/n0005", params={"around": 2})).json()
    assert shown["log"]["message"] == "line 5"
    assert [entry["id"] for entry in shown["logs"]] == ["n0003", "n0004", "n0005", "n0006", "n0007"]


async def test_nobody_gets_an_answer_from_before_a_line_that_they_sent(client: httpx.AsyncClient) -> None:
    await keep(client, line(0))
    for number in range(1, 20):
        await keep(client, line(number))
        assert len((await found(client))["logs"]) == number + 1


async def test_an_export_as_json_is_the_lines_oldest_first(client: httpx.AsyncClient) -> None:
    await keep(client, *(line(number) for number in reversed(range(30))))
    answer = await client.get(f"{API}/logs/export", params={"feature_id": "chat"})
    assert [entry["id"] for entry in answer.json()] == [f"n{number:04d}" for number in range(30)]
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="logs-chat-20')
    assert disposition.endswith('.json"')


async def test_an_export_as_csv_reads_back(client: httpx.AsyncClient) -> None:
    told = 'a "quoted", =SUM(A1)\r\nsecond line'
    await keep(client, line(1, message=told, level="error", trace_id="t"), line(2))
    answer = await client.get(f"{API}/logs/export", params={"feature_id": "chat", "format": "csv", "levels": "error"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.startswith("timestamp,level,message,source,environment,trace_id\r\n")
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert rows[1:] == [["2026-01-31T12:00:01.000000001Z", "error", told, "app", "development", "t"]]


async def test_an_empty_export_is_valid(client: httpx.AsyncClient) -> None:
    await keep(client, line(1))
    params = {"feature_id": "chat", "search": "nothing"}
    assert (await client.get(f"{API}/logs/export", params=params)).json() == []
    empty = await client.get(f"{API}/logs/export", params={**params, "format": "csv"})
    assert empty.text == ",".join(CSV_HEADER) + "\r\n"


def entry(message: str) -> LogEntry:
    return LogEntry("i", "chat", "production", 0, "info", message)


def test_a_file_is_the_same_however_its_lines_were_chunked() -> None:
    async def as_file(make: type[JsonFile] | type[CsvFile], chunks: Sequence[Sequence[LogEntry]]) -> bytes:
        async def rest() -> AsyncIterator[Sequence[LogEntry]]:
            for chunk in chunks[1:]:
                yield chunk

        return b"".join([part async for part in written(make(), chunks[0], rest())])

    async def scenario() -> None:
        a, b, c = entry("a"), entry('b"\n'), entry("ü,")
        for make in (JsonFile, CsvFile):
            files = {await as_file(make, chunks) for chunks in ([[a, b, c]], [[], [a], [], [b, c]], [[a, b], [c], []])}
            assert len(files) == 1
        assert [row["message"] for row in json.loads(await as_file(JsonFile, [[], [a], [b, c]]))] == ["a", 'b"\n', "ü,"]
        assert json.loads(await as_file(JsonFile, [[], []])) == []

    asyncio.run(scenario())


def test_an_export_ends_its_query_when_the_caller_goes_away() -> None:
    ended = []

    async def endless() -> AsyncIterator[Sequence[LogEntry]]:
        try:
            while True:
                yield [entry("again")]
        finally:
            ended.append(True)

    async def scenario() -> None:
        parts = written(JsonFile(), [], endless())
        for _ in range(5):
            await anext(parts)
        await parts.aclose()
        assert ended == [True]

    asyncio.run(scenario())


async def test_metadata_keeps_its_digits_its_order_and_its_emptiness(client: httpx.AsyncClient) -> None:
    metadata = '{"z":1.50,"a":123456789012345678901234567890,"e":1e5,"n":{"t":[-0,0.10]}}'
    line_with, line_without = (f'{{"featureId":"chat","message":"m","metadata":{told}}}' for told in (metadata, "{}"))
    body = f"[{line_with},{line_without}]"
    answer = await client.post(f"{API}/logs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    shown = await client.get(f"{API}/logs?feature_id=chat")
    assert f'"metadata":{metadata}' in shown.text
    assert shown.json()["logs"][1]["metadata"] == {}
    assert len((await found(client, search="1.50"))["logs"]) == 1


async def test_levels_are_filtered_by_their_usual_names(client: httpx.AsyncClient) -> None:
    await keep(client, *(line(at, level=level) for at, level in enumerate(("info", "warn", "fatal"))))
    assert ids(await found(client, levels="WARNING,critical")) == ["n0001", "n0002"]


@pytest.mark.parametrize("paging", [{"limit": 2}, {"limit": 2, "direction": "forward"}, {"direction": "backward"}])
async def test_an_export_with_a_limit_has_the_page_that_logs_shows(
    client: httpx.AsyncClient, paging: dict[str, Any]
) -> None:
    await keep(client, *(line(at) for at in range(5)))
    file = await client.get(f"{API}/logs/export", params={"feature_id": "chat", "format": "JSON", **paging})
    assert file.json() == (await found(client, **paging))["logs"]


async def test_the_headers_of_an_export_are_told_without_it(client: httpx.AsyncClient) -> None:
    await keep(client, line(1))
    told = await client.head(f"{API}/logs/export?feature_id=chat&format=csv")
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers["content-type"].startswith("text/csv")
