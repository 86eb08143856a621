"""Live: WebSocket and server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ...access import Principal
from ...errors import BadInput, FeaturewatchError, TooMany, Unavailable, UpgradeRequired
from ...settings import Settings
from ...streams.feed import MAX_FEATURES
from ...streams.routes import EVERY
from ...streams.sse import EventStream, features_stream, logs_stream, metrics_stream
from ...streams.websocket import serve_websocket
from .. import parameters, schemas
from ..context import Bridge
from ..endpoint import Call, bridge_of, endpoint
from ..parameters import Parameter, Query

router = APIRouter(tags=["streams"])

AFTER: Final = Parameter(
    "after", "The `id` of the last message received: what came since is sent first. Last-Event-ID means the same.",
    aliases=("last_event_id", "lastEventId"),
)  # fmt: skip
BATCH: Final = Parameter(
    "batch",
    "`true`: a frame is an array of messages, sent at most every 100 ms.",
    "true",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
)
FEATURES: Final = Parameter(
    "featureId",
    "The feature, repeated for several; `*` for all that the caller may see.",
    "summarize",
    aliases=("feature_id",),
    required=True,
)
_YES_OR_NO: Final = {"type": "string", "enum": ["true", "false"]}
LOGS: Final = Parameter("logs", "`true`: lines too, as after `subscribe_logs`.", "true", _YES_OR_NO)
HISTORY: Final = Parameter(
    "history",
    "Begin with the last 50 lines (`true`) or with none (`false`), whatever `after` says. Without it: with what came "
    "since `after`, else with the last 50.",
    "true",
    _YES_OR_NO,
)
STREAM: Final = (parameters.ENVIRONMENT_PARAMETER, AFTER, parameters.TICKET)
SOCKET: Final = (FEATURES, parameters.UNKNOWN, BATCH, *STREAM)
EVENTS: Final = {
    "schema": {"type": "string"},
    "example": 'data: {"type":"connected","featureId":"summarize","environment":"production","recovered":false}\n\n',
}
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/metrics/stream",
    "read",
    parameters=(parameters.UNKNOWN, *STREAM),
    answer=EVENTS,
    media_type="text/event-stream",
    ticket=True,
)
async def stream_metrics(call: Call) -> Response:
    """Stream the snapshots of a feature, its status changes, test results and alerts, as server-sent events.

    First `{"type":"connected"}`, then at once the latest snapshot. All events are unnamed, so that `onmessage` sees
    them; `id:` is the position from which Last-Event-ID resumes. A comment comes every 15 seconds.
    """
    key = await call.key()
    zero = call.unknown_as_zero
    _room(call.bridge)
    return EventStream(
        metrics_stream(
            call.bridge.hub,
            call.bridge.snapshots,
            feature=key.feature,
            environment=key.environment,
            principal=call.caller,
            unknown_as_zero=zero,
            after=_after(call),
            holds=call.bridge.authenticator.holds,
        )
    )


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/logs/stream",
    "read",
    parameters=(*parameters.LOG_FILTER, parameters.UNKNOWN, *STREAM),
    answer=EVENTS,
    media_type="text/event-stream",
    ticket=True,
)
async def stream_logs(call: Call) -> Response:
    """Stream the lines of a feature as server-sent events, filtered as /logs.

    First the last 50 lines, or with Last-Event-ID those that came since; then new ones as they arrive.
    """
    key = await call.key()
    chosen = call.query.log_filter()
    _room(call.bridge)
    return EventStream(
        logs_stream(
            call.bridge.hub,
            call.bridge.snapshots,
            feature=key.feature,
            environment=key.environment,
            filter=chosen,
            principal=call.caller,
            after=_after(call),
            holds=call.bridge.authenticator.holds,
        )
    )


@endpoint(
    router,
    "GET",
    "/stream",
    "read",
    parameters=(FEATURES, LOGS, *parameters.LOG_FILTER, HISTORY, parameters.UNKNOWN, *STREAM),
    answer=EVENTS,
    media_type="text/event-stream",
    ticket=True,
)
async def stream_features(call: Call) -> Response:
    """Stream what a WebSocket of the same features gets, as server-sent events, where WebSocket is blocked.

    One stream for many features, with their lines where `logs=true`. Positions are the WebSocket's: `after` or
    Last-Event-ID resumes from either.
    """
    features = call.query.texts("featureId")
    if not features or len(features) > MAX_FEATURES:
        raise BadInput(f"featureId: expected one or more (at most {MAX_FEATURES}), or * for all")
    for feature in features:
        if feature != EVERY:
            parameters.feature_id(feature)
    history = call.query.choice("history", ("true", "false"), "")
    chosen = call.query.log_filter()
    _room(call.bridge)
    return EventStream(
        features_stream(
            call.bridge.hub,
            call.bridge.snapshots,
            features=features,
            environment=call.query.environment() or None,
            filter=chosen if call.query.choice("logs", ("true", "false"), "false") == "true" else None,
            history=None if not history else history == "true",
            principal=call.caller,
            unknown_as_zero=call.unknown_as_zero,
            after=_after(call),
            holds=call.bridge.authenticator.holds,
        )
    )


@endpoint(router, "GET", "/websocket", None, parameters=SOCKET, answer=schemas.Error, status=426)
async def refuse_plain_get(call: Call) -> Response:
    """Open a WebSocket: figures, events and lines of features as they come.

    A plain GET without the upgrade is answered 426. Messages are `{"type","featureId","data","timestamp","id"}`.
    """
    raise UpgradeRequired(
        "this endpoint speaks WebSocket: send Upgrade: websocket, or use the streams of /features/{id}"
    )


class _Socket:
    """The WebSocket as an ASGI app of its own: what FastAPI wraps around a function costs each socket 4 KB."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return open_websocket(WebSocket(scope, receive, send))


def sockets(settings: Settings) -> list[BaseRoute]:
    """Make the routes that are no HTTP."""
    return [WebSocketRoute(f"{settings.api_prefix}/websocket", _Socket(), name="open_websocket")]


async def open_websocket(websocket: WebSocket) -> None:
    """Serve one WebSocket; what is wrong with its URL or credential closes it with 1008 and says so.

    What may be better later (a rate, an issuer of JWTs that cannot be reached) closes it with 1013.
    """
    client = websocket.client.host if websocket.client else ""
    try:
        bridge = bridge_of(websocket)
        query = Query(websocket.query_params.multi_items(), SOCKET)
        environment = query.environment() or None
        batch = query.choice("batch", ("true", "false"), "false") == "true"
        zero = query.choice("unknown", ("null", "zero"), bridge.settings.unknown_metrics) == "zero"
        principal = await bridge.authenticator.from_scope(websocket.scope)
        bridge.rates.spend(principal, client, "stream")
    except FeaturewatchError as error:
        await websocket.accept()
        code = TRY_AGAIN_LATER if isinstance(error, (TooMany, Unavailable)) else POLICY_VIOLATION
        await websocket.close(code, error.message.encode()[:120].decode(errors="ignore"))
        return

    async def authenticate(token: str) -> Principal:
        return await bridge.authenticator.from_token(token, client=client)

    await serve_websocket(
        websocket,
        bridge.hub,
        bridge.snapshots,
        features=query.texts("featureId"),
        environment=environment,
        batch=batch,
        unknown_as_zero=zero,
        principal=principal,
        authenticate=authenticate,
        holds=bridge.authenticator.holds,
        spend=lambda caller: bridge.rates.spend(caller, client),
        after=query.text("after"),
    )


def _room(bridge: Bridge) -> None:
    """Refuse before the answer has begun, where a status can still say so."""
    if bridge.hub.stopping:
        raise Unavailable("the bridge stops: come back in a few seconds")
    if bridge.hub.full:
        raise TooMany(f"{bridge.settings.max_streams} streams are open, which is the limit", retry_after=5)


def _after(call: Call) -> str:
    after = call.request.headers.get("last-event-id", "").strip() or call.query.text("after")
    if len(after) > 256:
        raise BadInput("Last-Event-ID: expected the id of a message")
    return after
