"""OTLP and Loki's push: what existing exporters and shippers send, answered in their own protocols. No prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...errors import Unsupported
from .. import decode_otlp, otlp_forward
from ..bodies import off_loop, read_raw
from ..decode_loki import decode_push
from ..decode_otlp import MetricBatch
from ..endpoint import Call, endpoint
from ..errors import Fault
from ..ingest import cut_line
from ..intake import Left
from ..otlp_forward import ForwardBatch

T = TypeVar("T")

router = APIRouter(tags=["receivers"])

_RPC: Final = {400: 3, 401: 16, 403: 7, 404: 5, 413: 8, 415: 3, 422: 3, 429: 8, 500: 13, 502: 14, 503: 14}
"""google.rpc.Code by HTTP status."""

_OTLP: Final = {"schema": {"type": "object"}, "example": {"partialSuccess": {}}}
_OTLP_BODY: Final = {
    "schema": {"type": "object", "description": "An export request of OTLP/HTTP; application/x-protobuf as well."},
    "example": {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "body": {"stringValue": "no answer within 30 s"},
                                "severityText": "ERROR",
                                "attributes": [{"key": "feature", "value": {"stringValue": "summarize"}}],
                            }
                        ]
                    }
                ]
            }
        ]
    },
}
_METRICS_BODY: Final = {
    "schema": {
        "type": "object",
        "description": "An export request of OTLP/HTTP; application/x-protobuf as well. Points without a time are "
        "of now; older than two days they are refused.",
    },
    "example": {
        "resourceMetrics": [
            {
                "resource": {"attributes": [{"key": "service.instance.id", "value": {"stringValue": "app-1"}}]},
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "feature_requests_total",
                                "sum": {
                                    "aggregationTemporality": 2,
                                    "isMonotonic": True,
                                    "dataPoints": [
                                        {
                                            "asInt": "12",
                                            "attributes": [
                                                {"key": "feature", "value": {"stringValue": "summarize"}},
                                                {"key": "outcome", "value": {"stringValue": "success"}},
                                            ],
                                        }
                                    ],
                                },
                            }
                        ]
                    }
                ],
            }
        ]
    },
}
_PUSH_BODY: Final = {
    "schema": {
        "type": "object",
        "description": "A push of Loki; protobuf in snappy as well. A value is the time in nanoseconds, the line, and "
        "its metadata. The example's time is past: a Loki refuses lines of more than a week ago.",
    },
    "example": {
        "streams": [
            {
                "stream": {"feature": "summarize", "environment": "production"},
                "values": [["1769860800000000000", "no answer within 30 s", {"level": "error"}]],
            }
        ]
    },
}


def answer_otlp(request: Request, fault: Fault) -> Response:
    """Answer a failure as google.rpc.Status, in the encoding of the request."""
    media_type, status = _encoding(request), _status(fault)
    body = decode_otlp.failure(media_type, _RPC.get(status, 2), fault.message)
    return Response(body, status, dict(fault.headers), media_type)


def answer_loki(request: Request, fault: Fault) -> Response:
    """Answer a failure as Loki does: a line of text."""
    return Response(fault.message + "\n", _status(fault), dict(fault.headers), "text/plain; charset=utf-8")


def _status(fault: Fault) -> int:
    """Return the status that makes exporters and shippers send again what may be sent again: 408 makes them drop it."""
    return 503 if fault.status == 408 else fault.status


@endpoint(router, "POST", "/v1/metrics", "ingest", loose=True, body=_METRICS_BODY, answer=_OTLP, failure=answer_otlp)
async def receive_otlp_metrics(call: Call) -> Response:
    """Receive metrics by OTLP/HTTP, protobuf or JSON, gzip.

    `feature` and `environment` are attributes of the points, or of the resource. Points are cumulative; delta ones
    and unknown `feature_*` metrics are refused by partialSuccess. Errors are google.rpc.Status. Where figures are read
    from Prometheus they are passed on to OTLP_FORWARD_URL; without one it is 503 that says where to send them.
    """
    intake = call.bridge.intake
    batch: ForwardBatch | MetricBatch
    with call.bridge.meters.refusals("metrics", "otlp"):
        if call.bridge.stores.calls is not None:  # figures are read from elsewhere
            batch = await _decoded(call, otlp_forward.decode)
            left = await intake.forwarded(batch, call.caller) if batch.points else Left()
        else:
            batch = await _decoded(call, decode_otlp.decode_metrics)
            left = await intake.fitting_samples(batch.samples, call.caller) if batch.samples else Left()
    return _partly(call, "metrics", batch.rejected + left.items, batch.message or left.message)


@endpoint(router, "POST", "/v1/logs", "ingest", loose=True, body=_OTLP_BODY, answer=_OTLP, failure=answer_otlp)
async def receive_otlp_logs(call: Call) -> Response:
    """Receive lines by OTLP/HTTP, protobuf or JSON, gzip.

    `feature` and `environment` are attributes of the records, or of the resource. Records that name no feature are
    refused by partialSuccess; the others are kept.
    """
    with call.bridge.meters.refusals("logs", "otlp"):
        batch = await _decoded(call, decode_otlp.decode_logs)
        entries = [cut_line(entry, call.bridge.settings.max_line_bytes) for entry in batch.entries]
        left = await call.bridge.intake.fitting_lines(entries, call.caller, "otlp") if entries else Left()
    return _partly(call, "logs", batch.rejected + left.items, batch.message or left.message)


@endpoint(router, "POST", "/loki/api/v1/push", "ingest", loose=True, body=_PUSH_BODY, status=204, failure=answer_loki)
async def receive_loki_push(call: Call) -> Response:
    """Receive lines as Loki's push API: JSON, or protobuf in snappy; gzip and deflate.

    204 once they are safe. 400 where some lines are wrong, said of the first; the others are kept all the same, as Loki
    does. Streams need the label `feature`.
    """
    with call.bridge.meters.refusals("logs", "loki"):
        body, settings = await _body(call), call.bridge.settings
        headers = call.request.headers
        batch = await off_loop(
            len(body),
            lambda: decode_push(
                body,
                headers.get("content-type", ""),
                headers.get("content-encoding", ""),
                environment=settings.environment,
                now_ns=call.bridge.clock(),
                max_bytes=settings.max_body_bytes,
                max_line_bytes=settings.max_line_bytes,
            ),
        )
        intake, entries = call.bridge.intake, batch.entries
        left = await intake.fitting_lines(entries, call.caller, "loki") if entries else Left()
    rejected = len(batch.rejected) + left.items
    call.bridge.meters.refused.labels("logs", "loki", "partial").inc(rejected)
    if rejected:
        why = f"line {batch.rejected[0].index}: {batch.rejected[0].message}" if batch.rejected else left.message
        of = len(batch.rejected) + len(entries)
        message = f"{rejected} of {of} lines were refused, the others are kept; {why}"
        return answer_loki(call.request, Fault(400, "bad_request", message))
    return Response(status_code=204)


def _partly(call: Call, signal: Literal["metrics", "logs"], rejected: int, message: str) -> Response:
    call.bridge.meters.refused.labels(signal, "otlp", "partial").inc(rejected)
    media_type = _encoding(call.request)
    return Response(decode_otlp.success(media_type, rejected, message, signal), 200, None, media_type)


async def _decoded(call: Call, decode: Callable[..., T]) -> T:
    """Decode an OTLP request by one of `decode_otlp`'s functions, a large one beside the event loop."""
    body, settings, headers = await _body(call), call.bridge.settings, call.request.headers
    return await off_loop(
        len(body),
        lambda: decode(
            body,
            headers.get("content-type", ""),
            headers.get("content-encoding", ""),
            environment=settings.environment,
            now_ns=call.bridge.clock(),
            max_bytes=settings.max_body_bytes,
        ),
    )


async def _body(call: Call) -> bytes:
    return await read_raw(call.request, call.bridge.settings.max_body_bytes)


def _encoding(request: Request) -> str:
    """Return the encoding that answers this request; JSON where its own is unknown, since people can read it."""
    try:
        return decode_otlp.media_type(request.headers.get("content-type", ""))
    except Unsupported:
        return "application/json"
