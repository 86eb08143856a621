"""Lines as a file: streamed, oldest first, at constant memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ... import wire
from ...model import LogEntry
from ...stores.base import LogQuery, LogStore
from ...times import format_instant
from ..endpoint import Call, endpoint
from ..parameters import Parameter
from .logs import PAGE, PAGING, log_query, paged

router = APIRouter(tags=["logs"])

CSV_HEADER: Final = ("timestamp", "level", "message", "source", "environment", "trace_id")
FORMAT: Final = Parameter(
    "format",
    "`json`: one array; `csv`: RFC 4180, as the lines are. A spreadsheet may take a message that begins with `=` "
    "for a formula: import the columns as text.",
    "json",
    {"type": "string", "enum": ["json", "csv"], "default": "json"},
)


@endpoint(
    router,
    "GET",
    "/logs/export",
    "read",
    parameters=(*PAGE, *PAGING, FORMAT),
    answer={"schema": {"type": "array", "items": {"$ref": "#/components/schemas/LogShape"}}},
    also={"text/csv": {"schema": {"type": "string"}}},
)
async def export_logs(call: Call) -> Response:
    """Download the lines of a feature, oldest first, as `logs-<feature>-<date>.<format>`.

    The file is sent while it is read, whatever its length; the query ends when the caller goes away. An export that
    breaks off is one that failed: the connection is closed without its end. With `limit`, `cursor` or `direction` the
    file has the one page that /logs shows.
    """
    format_ = call.query.choice("format", ("json", "csv"), "json")
    query = log_query(await call.key(), call.query, call.bridge.clock())
    logs = call.bridge.stores.logs
    one_page = any(call.query.text(parameter.name) for parameter in PAGING)
    chunks = _page(logs, paged(query, call.query)) if one_page else logs.export(query)
    # The first chunk is read before the answer begins, so that a store that cannot answer is told by its status.
    first: Sequence[LogEntry] = ()
    with suppress(StopAsyncIteration):  # anext's own default fails with SystemError on Python 3.11
        first = await anext(chunks)
    name = f"logs-{query.key.feature}-{format_instant(call.bridge.clock())[:10]}.{format_}"
    file = CsvFile() if format_ == "csv" else JsonFile()
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "X-Featurewatch-Environment": query.key.environment,
    }
    return Download(written(file, first, chunks), headers, file.media_type)


async def _page(logs: LogStore, query: LogQuery) -> AsyncGenerator[Sequence[LogEntry]]:
    yield [line.entry for line in (await logs.query(query)).entries]


class Download(StreamingResponse):
    """Sends what a generator makes and ends the generator when the caller goes away, not when it is collected."""

    def __init__(self, body: AsyncGenerator[bytes], headers: dict[str, str], media_type: str) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._body):
            if scope["method"] == "HEAD":
                await Response(None, self.status_code, dict(self.headers))(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


class JsonFile:
    """One array, valid when it is empty."""

    media_type = "application/json"
    beginning = b""

    def __init__(self) -> None:
        self._before = b"["

    def rows(self, entries: Sequence[LogEntry]) -> bytes:
        if not entries:
            return b""
        before, self._before = self._before, b",\n"
        return before + b",\n".join([wire.dump(wire.log_entry(entry)) for entry in entries])

    def ending(self) -> bytes:
        return b"[]" if self._before == b"[" else b"]"


class CsvFile:
    """RFC 4180: a header, CRLF, quotes where a field needs them, quotes within doubled."""

    media_type = "text/csv; charset=utf-8; header=present"
    beginning = (",".join(CSV_HEADER) + "\r\n").encode()

    def rows(self, entries: Sequence[LogEntry]) -> bytes:
        # Levels and environments are names that need no quotes.
        rows = [
            f"{format_instant(entry.timestamp_ns)},{entry.level},{_field(entry.message)},{_field(entry.source)},"
            f"{entry.environment},{_field(entry.trace_id or '')}\r\n"
            for entry in entries
        ]
        return "".join(rows).encode("utf-8", "replace")

    def ending(self) -> bytes:
        return b""


async def written(
    file: JsonFile | CsvFile, first: Sequence[LogEntry], chunks: AsyncIterator[Sequence[LogEntry]]
) -> AsyncGenerator[bytes]:
    """Write chunks of lines as a file; ends the query of `chunks` however this ends."""
    try:
        yield file.beginning + file.rows(first)
        async for chunk in chunks:
            # In a thread: a chunk takes some 15 ms, for which streams would wait.
            yield await asyncio.to_thread(file.rows, chunk)
        yield file.ending()
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _field(text: str) -> str:
    # Four searches of a text are faster than one walk over its characters.
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
