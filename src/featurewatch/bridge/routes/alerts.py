"""Alerts: what fires and fired, and what people do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from ... import alert_wire
from ...alert_model import ALERT_STATUSES, SEVERITIES, Alert, AlertStatus
from ...alerts.actions import unknown_alert
from ...episode_model import Episode
from ...errors import BadInput, FeaturewatchError, Forbidden
from ...model import Severity
from ...stores.state_alerts import AlertFilter
from .. import parameters, schemas
from ..bodies import parse_json, read_body
from ..edits import explained
from ..endpoint import Call, endpoint
from ..http import answer, plain
from ..parameters import Parameter

router = APIRouter(tags=["alerts"])

Shape = TypeVar("Shape", bound=BaseModel)

STATUS: Final = Parameter(
    "status", f"Only these, separated by commas: {', '.join(ALERT_STATUSES)}; `open` is the first two.", "open"
)
SEVERITY: Final = Parameter("severity", f"Only these, separated by commas: {', '.join(SEVERITIES)}.", "high,critical")
RULE: Final = Parameter("rule_id", "Only alerts of this rule.", aliases=("ruleId",))
LIMIT: Final = Parameter(
    "limit",
    "How many alerts at most: 1 to 1000, 100 by default.",
    100,
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
)
ENVIRONMENT: Final = Parameter("environment", "Only alerts of this environment; without it those of all.", "production")
LISTED: Final = (
    STATUS,
    SEVERITY,
    RULE,
    ENVIRONMENT,
    parameters.START,
    parameters.END,
    parameters.TIME_RANGE,
    LIMIT,
    parameters.CURSOR,
)


@endpoint(router, "GET", "/alerts", "read", parameters=(parameters.FEATURES, *LISTED), answer=schemas.AlertListShape)
async def list_alerts(call: Call) -> Response:
    """List alerts of all features that the caller may see, the one that fired last first; history included."""
    asked = call.query.texts("feature_id")
    visible = await call.bridge.catalog.visible(call.caller)
    everything = "*" in call.caller.patterns and not asked
    chosen = frozenset(feature for feature in asked or visible if call.caller.sees(feature))
    return await _listed(call, None if everything else chosen)


@endpoint(router, "GET", "/features/{feature_id}/alerts", "read", parameters=LISTED, answer=schemas.AlertListShape)
async def list_feature_alerts(call: Call) -> Response:
    """List a feature's alerts, the one that fired last first; history included."""
    feature = await call.feature()
    return await _listed(call, frozenset((feature.id,)))


@endpoint(router, "GET", "/alerts/{alert_id}", "read", answer=schemas.AlertDetailShape)
async def show_alert(call: Call) -> Response:
    """Show an alert with everything that was told of it: comments, deliveries, actions."""
    episode = await _episode(call)
    remarks = await call.bridge.alerting.history.alerts.remarks(episode.alert.id)
    return answer(
        call.request, {**alert_wire.alert(episode.alert), "remarks": [alert_wire.remark(one) for one in remarks]}
    )


@endpoint(router, "GET", "/alerts/{alert_id}/explain", "read", answer=schemas.ExplainShape)
async def explain_alert(call: Call) -> Response:
    """Tell why somebody was, or was not, notified: route, receivers, silences, inhibition, cooldown, deliveries."""
    return plain(await call.bridge.alerting.explain(await _episode(call)))


@endpoint(
    router,
    "POST",
    "/alerts/{alert_id}/acknowledge",
    "act",
    body=schemas.ActionIn,
    answer=schemas.AlertShape,
    conflicts=True,
)
async def acknowledge_alert(call: Call) -> Response:
    """Take an alert on: nobody is notified of it until it resolves or the acknowledgement expires."""
    episode, told = await _episode(call), await _told(call, schemas.ActionIn)
    actions = call.bridge.alerting.actions
    return await _done(
        actions.acknowledge(
            episode.alert.id, call.caller.name, comment=told.comment or "", expires_minutes=told.expires_minutes
        )
    )


@endpoint(router, "DELETE", "/alerts/{alert_id}/acknowledge", "act", answer=schemas.AlertShape, conflicts=True)
async def unacknowledge_alert(call: Call) -> Response:
    """Take an acknowledgement back: people are notified again."""
    episode = await _episode(call)
    return await _done(call.bridge.alerting.actions.unacknowledge(episode.alert.id, call.caller.name))


@endpoint(
    router,
    "POST",
    "/alerts/{alert_id}/resolve",
    "act",
    body=schemas.ActionIn,
    answer=schemas.AlertShape,
    conflicts=True,
)
async def resolve_alert(call: Call) -> Response:
    """Close an alert by hand.

    Where its condition still holds, `condition_active` says so: it stays silenced until that clears, and fires as a
    new alert after that.
    """
    episode, told = await _episode(call), await _told(call, schemas.ActionIn)
    actions = call.bridge.alerting.actions
    return await _done(actions.resolve(episode.alert.id, call.caller.name, comment=told.comment or ""))


@endpoint(router, "POST", "/alerts/{alert_id}/comments", "act", body=schemas.CommentIn, answer=schemas.AlertShape)
async def comment_alert(call: Call) -> Response:
    """Say something about an alert, whatever its state."""
    episode, told = await _episode(call), await _told(call, schemas.CommentIn)
    return await _done(call.bridge.alerting.actions.comment(episode.alert.id, call.caller.name, told.comment))


@endpoint(router, "POST", "/alerts/bulk", "act", body=schemas.BulkIn, answer=schemas.BulkShape)
async def act_on_alerts(call: Call) -> Response:
    """Do one thing to many alerts; those that are refused are listed with the reason, the others are done."""
    told = await _told(call, schemas.BulkIn)
    actions, actor, text = call.bridge.alerting.actions, call.caller.name, told.comment or ""
    if told.action == "comment" and not text:
        raise BadInput("comment is missing: the action 'comment' says something")
    work: dict[str, Callable[[str], Awaitable[Alert]]] = {
        "acknowledge": lambda id_: actions.acknowledge(id_, actor, comment=text, expires_minutes=told.expires_minutes),
        "unacknowledge": lambda id_: actions.unacknowledge(id_, actor, comment=text),
        "resolve": lambda id_: actions.resolve(id_, actor, comment=text),
        "comment": lambda id_: actions.comment(id_, actor, text),
    }
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for id_ in dict.fromkeys(told.ids):
        try:
            await _seen(call, id_)
            done.append(alert_wire.alert(await work[told.action](id_)))
        except FeaturewatchError as error:
            if isinstance(error, Forbidden):
                raise
            failed.append({"id": id_, "error": error.message, "code": error.code})
    return plain({"alerts": done, "failed": failed})


async def _listed(call: Call, features: frozenset[str] | None) -> Response:
    start, end = call.query.span(call.bridge.clock())
    wanted = AlertFilter(
        features,
        call.query.environment() or None,
        _statuses(call),
        call.query.text("rule_id") or None,
        start,
        end,
        _severities(call),
    )
    page = await call.bridge.alerting.history.alerts.page(
        wanted, limit=call.query.whole("limit", 100, 1, 1000), cursor=call.query.text("cursor")
    )
    shown = [alert_wire.alert(episode.alert) for episode in page.episodes]
    return answer(call.request, {"alerts": shown, "next_cursor": page.next_cursor})


def _statuses(call: Call) -> frozenset[AlertStatus]:
    chosen: set[AlertStatus] = set()
    for text in call.query.texts("status"):
        match text.lower():
            case "open":
                chosen |= {"active", "acknowledged"}
            case "active" | "acknowledged" | "resolved" as status:
                chosen.add(status)
            case _:
                near = parameters.nearest(text.lower(), (*ALERT_STATUSES, "open"))
                hint = f"; did you mean {near}?" if near else ""
                raise BadInput(f"status: expected {', '.join(ALERT_STATUSES)} or open, got {text[:40]!r}{hint}")
    return frozenset(chosen)


def _severities(call: Call) -> frozenset[Severity]:
    chosen = {text.lower() for text in call.query.texts("severity")}
    for text in sorted(chosen.difference(SEVERITIES)):
        near = parameters.nearest(text, SEVERITIES)
        hint = f"; did you mean {near}?" if near else ""
        raise BadInput(f"severity: expected {', '.join(SEVERITIES)}, got {text[:40]!r}{hint}")
    return frozenset(one for one in SEVERITIES if one in chosen)


async def _episode(call: Call) -> Episode:
    return await _seen(call, call.request.path_params["alert_id"])


async def _seen(call: Call, alert_id: str) -> Episode:
    episode = await call.bridge.alerting.history.alerts.one(alert_id) if len(alert_id) <= 128 else None
    if episode is None or not call.caller.sees(episode.alert.key.feature):
        raise unknown_alert(alert_id)
    return episode


async def _told(call: Call, shape: type[Shape]) -> Shape:
    body = await read_body(call.request, call.bridge.settings.max_body_bytes)
    told = parse_json(body) if body.strip() else {}
    try:
        return shape.model_validate(told)
    except ValidationError as error:
        raise explained(error) from None


async def _done(work: Awaitable[Alert]) -> Response:
    return plain(alert_wire.alert(await work))
