"""What others tell of a feature: finished calls and test results; and what happened to it."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from ... import wire
from ...errors import BadInput
from ...model import CallReport, EventKind, FeatureKey
from .. import parameters, schemas
from ..bodies import off_loop, parse_json, read_body, read_json
from ..endpoint import Call, endpoint
from ..http import answer, plain
from ..ingest import Told, parse_calls, parse_test_results
from ..parameters import Parameter

router = APIRouter(tags=["recorded"])

KINDS: Final[tuple[EventKind, ...]] = ("status_change", "test_result", "alert")
KIND: Final = Parameter("kinds", f"Only these kinds, separated by commas: {', '.join(KINDS)}.", "test_result")
EVENTS_LIMIT: Final = Parameter(
    "limit",
    "How many events at most: 1 to 1000, 100 by default.",
    100,
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
)
EVENTS: Final = (
    Parameter("environment", "Only events of this environment; without it those of all.", "production"),
    parameters.START,
    parameters.END,
    parameters.TIME_RANGE,
    EVENTS_LIMIT,
    parameters.CURSOR,
)
IN_ENVIRONMENT: Final = Parameter("environment", "The environment of items that name none.", "production")


@endpoint(
    router,
    "POST",
    "/features/{feature_id}/requests",
    "ingest",
    parameters=(IN_ENVIRONMENT,),
    body=schemas.one_or_many(schemas.CallIn, "requests"),
    answer=schemas.CallsKept,
)
async def record_requests(call: Call) -> Response:
    """Count finished calls: one, a list, or `{"requests": [...]}`, from any language.

    Answered once they are safe; all are counted, or none. A call whose `id` the feature counted before is a
    duplicate and harmless, so a request that was not answered can be sent again. Cost is estimated from model and
    tokens where `cost_usd` is left out.
    """
    settings = call.bridge.settings
    with call.bridge.meters.refusals("calls", "json"):
        feature = call.feature_id
        told = Told(call.query.environment() or settings.environment, call.bridge.clock())
        body = await read_body(call.request, settings.max_body_bytes)
        calls = await off_loop(len(body), lambda: parse_calls(parse_json(body), told))
        by_key: dict[FeatureKey, list[CallReport]] = {}
        for environment, report in calls:
            by_key.setdefault(FeatureKey(feature, environment), []).append(report)
        accepted = await call.bridge.intake.calls(by_key, call.caller)
    return plain({"success": True, "accepted": accepted, "duplicates": len(calls) - accepted})


@endpoint(
    router,
    "POST",
    "/features/{feature_id}/test-results",
    "ingest",
    parameters=(IN_ENVIRONMENT,),
    body=schemas.one_or_many(schemas.TestResultIn, "results"),
    answer=schemas.TestResultsKept,
)
async def publish_test_results(call: Call) -> Response:
    """Publish test results: one, a list, or `{"results": [...]}`.

    Kept, and told to streams as `test_result`. Say `passed` (or `ok`, or `status`), and an `id` where the job may
    be repeated.
    """
    settings = call.bridge.settings
    with call.bridge.meters.refusals("test_results", "json"):
        feature = call.feature_id
        told = Told(call.query.environment() or settings.environment, call.bridge.clock())
        results = parse_test_results(await read_json(call.request, settings.max_body_bytes), told)
        events = await call.bridge.intake.test_results(feature, results, call.caller)
    return plain({"success": True, "ids": [event.id for event in events]})


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/test-results",
    "read",
    parameters=EVENTS,
    answer=schemas.TestResultList,
)
async def list_test_results(call: Call) -> Response:
    """List test results, newest first."""
    events, next_cursor = await _events(call, ("test_result",))
    return answer(call.request, {"test_results": events, "next_cursor": next_cursor})


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/events",
    "read",
    parameters=(*EVENTS, KIND),
    answer=schemas.EventList,
)
async def list_events(call: Call) -> Response:
    """List what happened to a feature, newest first: status changes, test results, alert episodes."""
    kinds = call.query.texts("kinds")
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"kinds: expected {', '.join(KINDS)}, got {kind[:60]!r}")
    events, next_cursor = await _events(call, tuple(kind for kind in KINDS if kind in kinds))
    return answer(call.request, {"events": events, "next_cursor": next_cursor})


async def _events(call: Call, kinds: tuple[EventKind, ...]) -> tuple[list[dict[str, object]], str | None]:
    feature = await call.feature()
    start, end = call.query.span(call.bridge.clock())
    page = await call.bridge.stores.state.events(
        feature.id,
        call.query.environment() or None,
        kinds=kinds,
        start_ns=start,
        end_ns=end,
        limit=call.query.whole("limit", 100, 1, 1000),
        cursor=call.query.text("cursor"),
    )
    return [wire.event(event) for event in page.events], page.next_cursor
