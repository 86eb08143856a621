"""Notification channels: made, changed, tested, and told in Alertmanager's place."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from ...alert_model import Channel
from ...alerts.channels import channel_name, show
from ...alerts.notifications import read_group
from ...errors import BadInput, FeaturewatchError, Forbidden, NotFound
from .. import schemas
from ..bodies import read_json
from ..endpoint import Call, endpoint
from ..http import answer, expected_revision, plain
from .webhooks import admit_webhook

router = APIRouter(tags=["channels"])

GROUP: Final = {
    "schema": {"type": "object", "properties": {"version": {"type": "string"}, "alerts": {"type": "array"}}},
    "example": {
        "version": "4",
        "status": "firing",
        "groupKey": '{}/{featurewatch_route="teams@60m"}:{environment="production", feature="summarize"}',
        "groupLabels": {"feature": "summarize", "environment": "production"},
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "Errors", "feature": "summarize", "severity": "high"},
                "annotations": {"title": "Errors Alert", "message": "error_rate is 32.1"},
                "startsAt": "2026-01-31T12:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
            }
        ],
    },
}


@endpoint(router, "GET", "/channels", "read", answer=schemas.ChannelList)
async def list_channels(call: Call) -> Response:
    """List the channels by name; secrets are shown as `set`."""
    channels = await call.bridge.channels.channels()
    problem = call.bridge.publishing.problems.get("channels")
    told = {"channels": [_shown(call, channel) for channel in channels.values()]}
    return answer(call.request, told | ({"problem": problem} if problem else {}))


@endpoint(router, "GET", "/channels/{channel_name}", "read", answer=schemas.ChannelShape)
async def show_channel(call: Call) -> Response:
    """Show a channel; secrets are shown as `set`. Its ETag is what If-Match of PUT and DELETE compares."""
    channel = await call.bridge.channels.channel(_named(call))
    return answer(call.request, _shown(call, channel), revision=channel.revision)


@endpoint(router, "PUT", "/channels/{channel_name}", "edit", body=schemas.ChannelIn, answer=schemas.ChannelShape)
async def put_channel(call: Call) -> Response:
    """Make a channel, or replace what it is: what is left out gets its default.

    A secret that is sent as `set`, as answers show it, stays as it is. With If-Match, 412 where somebody else edited it
    in between. An edit that changes nothing is none.
    """
    _all_features(call)
    name, expected = _named(call), expected_revision(call.request)
    body = await read_json(call.request, call.bridge.settings.max_body_bytes)
    saved = await call.bridge.channels.put(name, body, call.caller.name, expected=expected)
    return plain(_shown(call, saved), headers={"ETag": f'"r{saved.revision}"'})


@endpoint(router, "DELETE", "/channels/{channel_name}", "edit", status=204, conflicts=True)
async def delete_channel(call: Call) -> Response:
    """Delete a channel and its secrets. One that rules use stays: 409, which names them."""
    _all_features(call)
    await call.bridge.channels.delete(_named(call), call.caller.name, expected=expected_revision(call.request))
    return Response(status_code=204)


@endpoint(router, "POST", "/channels/{channel_name}/test", "edit", answer=schemas.ChannelTested)
async def test_channel(call: Call) -> Response:
    """Send a test notification from the bridge, and tell what the provider said.

    The answer is 200 either way: `delivered` tells whether it was taken, `detail` why not.
    """
    _all_features(call)
    name = _named(call)
    await call.bridge.channels.channel(name)
    try:
        said = await call.bridge.channels.test(name, call.caller.name)
    except FeaturewatchError as error:
        return plain({"delivered": False, "detail": error.message})
    return plain({"delivered": True, "detail": said})


@endpoint(
    router,
    "POST",
    "/webhooks/alertmanager/channels/{channel_name}",
    None,
    body=GROUP,
    status=204,
    loose=True,
    guarded=True,
)
async def tell_channel(call: Call) -> Response:
    """Tell a channel of a group of alerts, for an Alertmanager that cannot: 204 once its provider took it.

    Shows the same token as the webhook. What fails is 5xx, so that Alertmanager tries again.
    """
    await admit_webhook(call)
    body = await read_json(call.request, call.bridge.settings.max_body_bytes)
    await call.bridge.channels.tell(_named(call), read_group(body))
    return Response(status_code=204)


def _named(call: Call) -> str:
    name: str = call.request.path_params["channel_name"]
    try:
        return channel_name(name)
    except BadInput:
        if call.request.method == "PUT":
            raise
        raise NotFound(f"channel {name[:80]!r} is not known") from None


def _all_features(call: Call) -> None:
    """Refuse an edit by somebody who sees some features only: channels are of all."""
    if "*" not in call.caller.patterns:
        raise Forbidden(f"{call.caller.name!r} sees some features only, and channels are of all")


def _shown(call: Call, channel: Channel) -> dict[str, Any]:
    state = call.bridge.publishing.channel_state(channel.name)
    delivery: dict[str, Any] = {"by": "bridge", "published": True}
    if state is not None:
        delivery = {"by": state.teller, "published": state.published}
        if state.error:
            delivery["error"] = state.error
    told = show(channel)
    return {**told, "delivery": delivery}
