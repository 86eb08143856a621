"""Whether the bridge lives, whether it can work, and what it counts of itself. No prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from ...errors import FeaturewatchError, Forbidden
from .. import schemas
from ..endpoint import Call, endpoint
from ..http import plain

router = APIRouter(tags=["operations"])

PATIENCE_S: Final = 2.0
"""A store that takes longer to answer is not ready."""
SHOWN: Final = ("ok", "required")
"""What anybody may know of a store."""


@endpoint(
    router, "GET", "/healthz", None, loose=True, answer={"schema": {"type": "object"}, "example": {"status": "ok"}}
)
async def alive(call: Call) -> Response:
    """Tell that the process answers."""
    return plain({"status": "ok"})


@endpoint(router, "GET", "/readyz", None, loose=True, answer=schemas.ReadyShape, unready="A store does not answer.")
async def ready(call: Call) -> Response:
    """Tell whether the stores answer, each by itself: 200 where all do, else 503.

    With authentication on anyone sees which of them is not `ok`; the reasons are for those who see all features. Where
    JWTs are verified by an issuer's keys, `jwt_keys` tells whether there are some; 503 where nobody could be let in
    without them. `?verbose` adds `doctor`: what the last look at the installation found, and what to do; that
    happens in the background, so the first answer may only say that it runs.
    """
    stores = call.bridge.stores
    asked = {"logs": stores.logs.ping, "metrics": stores.metrics.ping, "state": stores.state.ping}
    if stores.calls is not None:
        asked["calls"] = stores.calls.ping
    states = await asyncio.gather(*map(_state, asked.values()))
    checks: dict[str, dict[str, Any]] = {
        name: {"ok": not said, **({"error": said} if said else {})} for name, said in zip(asked, states, strict=True)
    }
    if notice := getattr(stores.metrics, "notice", ""):
        checks["metrics"]["notice"] = notice
    authenticator = call.bridge.authenticator
    if authenticator.verifier is not None and authenticator.verifier.keys is not None:
        said = authenticator.failure
        checks["jwt_keys"] = {"ok": not said, **({"error": said} if said else {})}
    api = call.bridge.alerting.api
    if api is not None:
        said = await _state(api.ping)
        # Told and not required: figures, lines and alerts are served without it.
        checks["alertmanager"] = {"ok": not said, "required": False, **({"error": said} if said else {})}
    for kind, said in call.bridge.publishing.problems.items():
        checks[f"publishing_{kind}"] = {"ok": False, "required": False, "error": said}
    good = not any(states) and not authenticator.shut
    more: dict[str, Any] = {}
    if not await _sees_all(call):
        checks = {name: {key: check[key] for key in check if key in SHOWN} for name, check in checks.items()}
    elif call.request.query_params.get("verbose", "0") not in ("0", "false"):
        more = {"doctor": call.bridge.checkup.shown()}
    return plain(
        {"status": "ready" if good else "unready", "checks": checks, **more},
        200 if good else 503,
        headers={} if good else {"Retry-After": "5"},
    )


@endpoint(
    router,
    "GET",
    "/metrics",
    None,
    loose=True,
    guarded=True,
    answer={"schema": {"type": "string"}, "example": 'featurewatch_ingested_total{protocol="json",signal="logs"} 12.0'},
    media_type="text/plain",
)
async def expose_metrics(call: Call) -> Response:
    """Expose the bridge's own metrics, and those of the calls that were told to it, for Prometheus.

    With authentication on, a token of role viewer or above that sees all features is needed.
    """
    caller = await call.bridge.admit(call.request, "read")
    if "*" not in caller.patterns:
        raise Forbidden(f"{caller.name!r} may not see all features, which /metrics shows")
    encode, media_type = choose_encoder(call.request.headers.get("accept", ""))
    call.bridge.meters.freeze()
    body = await asyncio.to_thread(encode, call.bridge.meters.registry)
    return Response(body, headers={"Cache-Control": "no-store", "Content-Type": media_type})


async def _sees_all(call: Call) -> bool:
    """Tell whether the reasons may be shown: they name addresses, and how much there is."""
    authenticator, request = call.bridge.authenticator, call.request
    if not authenticator.enabled:
        return True
    try:
        caller = await authenticator.from_headers(request.headers, method=request.method)
    except FeaturewatchError:
        return False
    return caller is not None and caller.may("read") and "*" in caller.patterns


async def _state(ping: Callable[[], Awaitable[None]]) -> str:
    """Return what is wrong with a store, "" where nothing is."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ping()
    except FeaturewatchError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} s"
    return ""
