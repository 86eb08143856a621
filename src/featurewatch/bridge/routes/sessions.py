"""Who asks: a browser's session, a stream's ticket, and what a caller may do."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from ...access import ALLOWED
from ...errors import BadInput
from ...times import format_instant
from .. import schemas
from ..bodies import read_json
from ..endpoint import Call, endpoint
from ..http import plain

router = APIRouter(tags=["access"])


@endpoint(router, "POST", "/session", None, body=schemas.TokenIn, answer=schemas.SessionShape, guarded=True)
async def open_session(call: Call) -> Response:
    """Open a browser's session: an API token or a JWT in, an HttpOnly cookie out.

    The cookie stands for the token and ends with it. It is sent to this site's own pages only.
    """
    client = call.request.client.host if call.request.client else ""
    call.bridge.rates.spend(None, client)
    body = await read_json(call.request, 64 * 1024)
    try:
        token = schemas.TokenIn.model_validate(body).token
    except ValidationError:
        raise BadInput("expected {'token': '…'}: what 'featurewatch token create' printed, or a JWT") from None
    session = await call.bridge.authenticator.open_session(token, secure=_secure(call), client=client)
    return plain(
        {"success": True, "expires_at": format_instant(session.expires_ns)}, headers={"Set-Cookie": session.cookie}
    )


@endpoint(router, "DELETE", "/session", None, answer=schemas.SessionShape)
async def close_session(call: Call) -> Response:
    """Close the browser's session and remove its cookie. Harmless where there is none."""
    cookie = await call.bridge.authenticator.close_session(call.request.headers, secure=_secure(call))
    return plain({"success": True}, headers={"Set-Cookie": cookie})


@endpoint(router, "POST", "/tickets", "read", answer=schemas.TicketShape)
async def issue_ticket(call: Call) -> Response:
    """Issue a ticket that opens one stream without a header.

    For EventSource and WebSocket in browsers of other sites: good once, within 30 seconds, as `?ticket=`.
    """
    ticket = call.bridge.authenticator.issue_ticket(call.caller)
    return plain({"ticket": ticket.text, "expires_at": format_instant(ticket.expires_ns)})


@endpoint(router, "GET", "/me", "any", answer=schemas.MeShape)
async def show_me(call: Call) -> Response:
    """Show who asks: name, role, and the features that the credential may see."""
    caller = call.caller
    shown = {
        "name": caller.name,
        "role": caller.role,
        "features": list(caller.patterns),
        "actions": sorted(ALLOWED[caller.role]),
        "authentication": call.bridge.authenticator.enabled,
    }
    if caller.expires_ns is not None:
        shown["expires_at"] = format_instant(caller.expires_ns)
    return plain(shown)


def _secure(call: Call) -> bool:
    """Tell whether the browser came by https, though a proxy may have ended that.

    Whoever lies here makes a cookie that is sent less, and only their own.
    """
    headers = call.request.headers
    return (
        call.request.url.scheme == "https"
        or headers.get("origin", "").startswith("https://")
        or headers.get("x-forwarded-proto", "").lower() == "https"
    )
