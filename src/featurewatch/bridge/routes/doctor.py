"""Whether a test alert of `featurewatch doctor` arrived."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from ...errors import NotFound
from ...times import format_instant
from ..endpoint import Call, endpoint
from ..http import plain

router = APIRouter(tags=["operations"])

ANSWER: Final = {
    "schema": {"type": "object", "properties": {"id": {"type": "string"}, "received_at": {"type": "string"}}},
    "example": {"id": "9f86d081884c7d65", "received_at": "2026-01-31T12:00:00.000000Z"},
}


@endpoint(router, "GET", "/doctor/alerts/{test_id}", "read", answer=ANSWER)
async def test_alert(call: Call) -> Response:
    """Tell when a test alert arrived by Alertmanager's webhook; 404 while it did not.

    `featurewatch doctor` sends one: no feature's, and nobody else is told of it.
    """
    test = call.request.path_params["test_id"]
    arrived = call.bridge.checkup.arrival(test)
    if arrived is None:
        raise NotFound("no such test alert arrived")
    return plain({"id": test, "received_at": format_instant(arrived)})
