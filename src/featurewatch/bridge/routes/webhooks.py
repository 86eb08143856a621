"""Where Alertmanager tells of alerts."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from ...alerts.signals import read_webhook
from ...errors import Forbidden, Unauthenticated
from ..bodies import off_loop, parse_json, read_body
from ..endpoint import Call, endpoint

router = APIRouter(tags=["alerts"])

BODY: Final = {
    "schema": {"type": "object", "properties": {"version": {"type": "string"}, "alerts": {"type": "array"}}},
    "example": {
        "version": "4",
        "status": "firing",
        "receiver": "featurewatch",
        "groupKey": '{}/{rule_id=~".+"}:{feature="summarize"}',
        "alerts": [
            {
                "status": "firing",
                "labels": {
                    "alertname": "Errors", "feature": "summarize", "environment": "production",
                    "rule_id": "summarize-errors", "metric": "error_rate", "severity": "high",
                },
                "annotations": {"title": "Errors Alert", "message": "error_rate is 32.1"},
                "startsAt": "2026-01-31T12:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": "c2a5f6e8b1d04793",
            }
        ],
    },
}  # fmt: skip


@endpoint(router, "POST", "/webhooks/alertmanager", None, body=BODY, status=204, loose=True, guarded=True)
async def receive_alertmanager(call: Call) -> Response:
    """Take Alertmanager's webhook: 204 once it is stored; sent again it changes nothing.

    Show the token of WEBHOOK_TOKEN_FILE as bearer; where that is not set and authentication is on, a token that may
    ingest for all features.
    """
    await admit_webhook(call)
    body = await read_body(call.request, call.bridge.settings.max_body_bytes)
    with call.bridge.meters.refusals("alerts", "webhook"):
        delivery = await off_loop(len(body), lambda: read_webhook(parse_json(body)))
    call.bridge.checkup.arrived(delivery.tests)
    await call.bridge.alerting.history.receive(delivery)
    keys = {signal.key for signal in delivery.signals}
    with call.bridge.catalog.room(keys) as excess:
        await call.bridge.catalog.see(keys - excess)
    call.bridge.meters.ingested.labels("alerts", "webhook").inc(len(delivery.signals))
    return Response(status_code=204)


async def admit_webhook(call: Call) -> None:
    """Let in whoever shows the webhooks' token; where the operator set none, also who may ingest for all features.

    Raises:
        Unauthenticated, Forbidden, TooMany. Unavailable: the operator's file cannot be read.
    """
    token = call.bridge.webhook_token
    if token.shown_by(call.request.headers):
        return
    if not token.own:
        raise Unauthenticated(
            "expected 'Authorization: Bearer <token>' with the token of FEATUREWATCH_WEBHOOK_TOKEN_FILE"
        )
    caller = await call.bridge.admit(call.request, "ingest")
    if "*" not in caller.patterns:
        raise Forbidden(f"{caller.name!r} may not write for all features, which a webhook does")
