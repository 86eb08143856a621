"""Maintenance windows: times in which nobody is notified of a feature's alerts."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from ... import alert_wire
from ...alert_model import Deed
from ...episode_model import Maintenance
from ...errors import BadInput, NotFound, OutOfRange
from ...ids import new_id
from ...model import ENVIRONMENT, ENVIRONMENT_RULE
from ...times import NS, parse_instant
from .. import schemas
from ..bodies import read_json
from ..edits import explained
from ..endpoint import Call, endpoint
from ..http import answer, plain

router = APIRouter(tags=["alerts"])

LONGEST_S: Final = 366 * 86_400


@endpoint(router, "GET", "/features/{feature_id}/maintenance", "read", answer=schemas.MaintenanceListShape)
async def list_maintenance(call: Call) -> Response:
    """List the feature's maintenance windows that are on or to come."""
    feature, now = await call.feature(), call.bridge.clock()
    windows = await call.bridge.alerting.windows.listed({feature.id}, ending_after_ns=now)
    return answer(call.request, {"maintenance": [alert_wire.maintenance(window, now) for window in windows]})


@endpoint(
    router,
    "POST",
    "/features/{feature_id}/maintenance",
    "act",
    body=schemas.MaintenanceIn,
    answer=schemas.MaintenanceShape,
)
async def begin_maintenance(call: Call) -> Response:
    """Set a maintenance window: nobody is notified of the feature's alerts in it; they are kept all the same."""
    feature, now = await call.feature(), call.bridge.clock()
    try:
        told = schemas.MaintenanceIn.model_validate(await read_json(call.request, call.bridge.settings.max_body_bytes))
    except ValidationError as error:
        raise explained(error) from None
    starts_ns = now if not told.start_time else parse_instant(told.start_time, name="start_time")
    if told.environment and ENVIRONMENT.fullmatch(told.environment) is None:
        raise BadInput(f"environment: expected {ENVIRONMENT_RULE}, got {told.environment[:60]!r}")
    if told.end_time and told.duration_minutes:
        raise BadInput("end_time: expected it or duration_minutes, got both")
    if told.end_time:
        ends_ns = parse_instant(told.end_time, name="end_time")
    elif told.duration_minutes:
        ends_ns = starts_ns + int(told.duration_minutes * 60 * NS)
    else:
        raise BadInput("end_time is missing: say when it ends, or duration_minutes")
    if ends_ns <= max(starts_ns, now):
        raise OutOfRange("end_time: expected an instant after start_time, and still to come")
    if starts_ns - now > LONGEST_S * NS:
        raise OutOfRange("start_time: expected an instant within 366 days")
    if ends_ns - starts_ns > LONGEST_S * NS:
        raise OutOfRange("end_time: expected at most 366 days after start_time")
    window = Maintenance(
        new_id(now), feature.id, told.environment or None, starts_ns, ends_ns, told.comment or "", call.caller.name
    )
    shown = alert_wire.maintenance(window, now)
    deed = Deed(call.caller.name, "maintenance.create", feature.id, window.id, now, shown)
    return plain(alert_wire.maintenance(await call.bridge.alerting.add_window(window, deed), now))


@endpoint(router, "DELETE", "/features/{feature_id}/maintenance/{window_id}", "act", status=204)
async def end_maintenance(call: Call) -> Response:
    """End a maintenance window, or call off one that is to come."""
    feature, now = await call.feature(), call.bridge.clock()
    window = await call.bridge.alerting.windows.one(call.request.path_params["window_id"][:128])
    if window is None or window.feature != feature.id:
        raise NotFound(f"feature {feature.id!r} has no such maintenance window")
    deed = Deed(call.caller.name, "maintenance.delete", feature.id, window.id, now, alert_wire.maintenance(window, now))
    await call.bridge.alerting.end_window(window, deed)
    return Response(status_code=204)
