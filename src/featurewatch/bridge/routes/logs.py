"""Lines: kept, found, and one among its neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from fastapi import APIRouter
from starlette.responses import Response

from ... import wire
from ...errors import NotFound
from ...model import FeatureKey
from ...stores.base import Direction, LogQuery
from .. import parameters, schemas
from ..bodies import off_loop, parse_exact, read_body
from ..endpoint import Call, endpoint
from ..http import answer, plain
from ..ingest import Told, parse_lines
from ..parameters import Parameter, Query

router = APIRouter(tags=["logs"])

PAGE: Final = (
    parameters.FEATURE,
    parameters.START,
    parameters.END,
    parameters.TIME_RANGE,
    parameters.ENVIRONMENT_PARAMETER,
    *parameters.LOG_FILTER,
)
PAGING: Final = (parameters.LIMIT, parameters.CURSOR, parameters.DIRECTION)
AROUND: Final = Parameter(
    "around",
    "How many neighbours on either side: 0 to 500, 10 by default.",
    10,
    {"type": "integer", "minimum": 0, "maximum": 500, "default": 10},
)
PAGE_LIMIT: Final = 1000
LARGEST_PAGE: Final = 5000


@endpoint(
    router,
    "GET",
    "/logs",
    "read",
    parameters=(*PAGE, *PAGING),
    answer=schemas.LogPageShape,
)
async def list_logs(call: Call) -> Response:
    """Find lines of a feature.

    Without `direction`: the newest `limit` lines of the range, oldest first; `next_cursor` leads to older ones.
    """
    query = paged(log_query(await call.key(), call.query, call.bridge.clock()), call.query)
    # The count of arrivals is part of the key: nobody gets an answer from before a line that they sent.
    page = await call.bridge.flights.run(
        ("logs", call.bridge.recent.lines, query), lambda: call.bridge.stores.logs.query(query), keep=False
    )
    return answer(
        call.request,
        {
            "logs": [wire.log_entry(line.entry) for line in page.entries],
            "next_cursor": page.next_cursor,
            "environment": query.key.environment,
        },
    )


@endpoint(
    router,
    "POST",
    "/logs",
    "ingest",
    body=schemas.one_or_many(schemas.LogIn, "logs"),
    answer=schemas.LogsKept,
)
async def keep_logs(call: Call) -> Response:
    """Keep lines: one, a list, or `{"logs": [...]}`.

    Answered once they are safe, on disk or in Loki; all are kept, or none (of lines that Loki refuses for their age or
    size, the others of the request may be kept). A message longer than FEATUREWATCH_MAX_LINE_BYTES is cut with a mark.
    Metadata keeps its numbers as they are written, and the order of its keys. An `id` that the feature has already is
    not kept twice. What is wrong with which line is told in `details`.
    """
    settings = call.bridge.settings
    with call.bridge.meters.refusals("logs", "json"):
        told = Told(settings.environment, call.bridge.clock(), settings.max_line_bytes)
        body = await read_body(call.request, settings.max_body_bytes)
        entries = await off_loop(len(body), lambda: parse_lines(parse_exact(body), told))
        await call.bridge.intake.lines(entries, call.caller, "json")
    return plain({"success": True, "ids": [entry.id for entry in entries]})


@endpoint(
    router,
    "GET",
    "/logs/{log_id}",
    "read",
    parameters=(AROUND,),
    answer=schemas.LogAroundShape,
)
async def show_log(call: Call) -> Response:
    """Show a line and its neighbours.

    The neighbours are those of its own feature and environment, oldest first, the line itself among them.
    """
    log_id = call.request.path_params["log_id"]
    count = call.query.whole("around", 10, 0, 500)
    features = await call.bridge.catalog.visible(call.caller)
    keys = {FeatureKey(record.id, environment) for record in features.values() for environment in record.environments}
    page = await call.bridge.stores.logs.around(log_id, keys, count)
    found = next((line for line in page.entries if line.entry.id == log_id), None) if page is not None else None
    if page is None or found is None:
        raise NotFound(f"line {log_id[:80]!r} is not known: it may be older than what is kept")
    return answer(
        call.request,
        {"log": wire.log_entry(found.entry), "logs": [wire.log_entry(line.entry) for line in page.entries]},
    )


def log_query(key: FeatureKey, query: Query, now_ns: int) -> LogQuery:
    """Read which lines are asked for: range and filter."""
    start, end = query.span(now_ns)
    return LogQuery(key, query.log_filter(), start, end)


def paged(lines: LogQuery, query: Query) -> LogQuery:
    """Read which page of the lines is asked for."""
    return replace(
        lines,
        limit=query.whole("limit", PAGE_LIMIT, 1, LARGEST_PAGE),
        cursor=query.text("cursor"),
        direction=cast(Direction | None, query.choice("direction", ("forward", "backward"), "") or None),
    )
