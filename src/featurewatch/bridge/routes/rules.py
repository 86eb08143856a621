"""Alert rules: kept, changed, and tried out on the last week; and who did what."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from ... import alert_wire
from ...alert_model import RULE_ID, AlertRule
from ...alerts.preview import DAYS, Preview, preview
from ...errors import BadInput, NotFound
from ...times import format_instant
from .. import parameters, schemas
from ..bodies import read_json
from ..endpoint import Call, endpoint
from ..http import answer, expected_revision, plain
from ..parameters import Parameter

router = APIRouter(tags=["rules"])

DEEDS_LIMIT: Final = Parameter(
    "limit",
    "How many deeds at most: 1 to 1000, 100 by default.",
    100,
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
)
DEEDS: Final = (
    parameters.FEATURES,
    Parameter("actor", "Only what this caller did.", "ada"),
    Parameter("action", "Only this, such as rule.change; rule means all that begins so.", "rule"),
    parameters.START,
    parameters.END,
    parameters.TIME_RANGE,
    DEEDS_LIMIT,
    parameters.CURSOR,
)
DRAWN: Final = Parameter(
    "chart", "Also answer what was compared over the last 1h, 24h, … up to 7d, thinned for a chart.", "24h"
)
_UNNAMED: Final = {"name": "preview", "severity": "medium"}
"""What a rule that is only tried out need not say."""


@endpoint(router, "GET", "/alerts/rules", "read", parameters=(parameters.FEATURES,), answer=schemas.RuleList)
async def list_all_rules(call: Call) -> Response:
    """List the rules of all features that the caller may see."""
    asked = call.query.texts("feature_id")
    visible = await call.bridge.catalog.visible(call.caller)
    wanted = set(asked) if asked else visible.keys()
    rules = [rule for rule in await call.bridge.rules.all() if rule.feature in visible and rule.feature in wanted]
    return answer(call.request, {"rules": [alert_wire.rule(rule) for rule in rules]})


@endpoint(router, "GET", "/features/{feature_id}/alerts/rules", "read", answer=schemas.RuleList)
async def list_rules(call: Call) -> Response:
    """List the rules of a feature, those that its objective stands for last."""
    rules = await call.bridge.rules.of(await call.feature())
    return answer(call.request, {"rules": [alert_wire.rule(rule) for rule in rules]})


@endpoint(
    router,
    "POST",
    "/features/{feature_id}/alerts/rules",
    "edit",
    body=schemas.AlertRuleIn,
    answer=schemas.RuleAnswer,
    status=201,
    conflicts=True,
)
async def create_rule(call: Call) -> Response:
    """Make a rule.

    What can never fire is refused with the reason. Kept once it is answered; `deployment` tells how far it got on its
    way to whoever evaluates it.
    """
    feature = await call.feature()
    rule = await call.bridge.rules.create(feature.id, await _body(call), call.caller.name)
    location = f"{call.request.url.path}/{rule.id}"
    return plain(_answered(rule), 201, {"ETag": _etag(rule), "Location": location})


@endpoint(
    router,
    "POST",
    "/features/{feature_id}/alerts/rules/preview",
    "read",
    parameters=(DRAWN,),
    body=schemas.AlertRuleIn,
    answer=schemas.PreviewShape,
)
async def preview_rule(call: Call) -> Response:
    """Tell how often and when a rule would have fired in the last 7 days; nothing is kept.

    Evaluated at each minute, with its window, `for_minutes`, `keep_firing_minutes` and cooldown. Name and severity may
    be left out; `id` names a rule of the feature that the body changes.
    """
    chart_s = call.query.seconds("chart", 0, at_most=DAYS * 86_400)
    bridge, feature = call.bridge, await call.feature()
    body = await _body(call)
    based = body.get("id") if isinstance(body, dict) else None
    if based is not None:
        base = await bridge.rules.rule(feature, _rule_id(based))
        rule = base if base.kind == "slo" else await bridge.rules.read(feature.id, body, base)
    else:
        rule = await bridge.rules.read(feature.id, {**_UNNAMED, **body} if isinstance(body, dict) else body)
    environments = feature.environments or {bridge.settings.environment}
    seen = await preview(rule, environments, bridge.stores.metrics, bridge.stores.logs, now_ns=bridge.clock())
    told = {**_previewed(seen), **_answered(rule)}
    if chart_s:
        told["chart"] = [
            {"environment": name, "points": [(at, _short(value)) for at, value in points]}
            for name, points in seen.drawn(rule, chart_s).items()
        ]
    return plain(told)


@endpoint(router, "GET", "/features/{feature_id}/alerts/rules/{rule_id}", "read", answer=schemas.RuleAnswer)
async def show_rule(call: Call) -> Response:
    """Show a rule. Its ETag, or its `revision`, is what If-Match of PUT and DELETE compares."""
    rule = await call.bridge.rules.rule(await call.feature(), _named(call))
    return answer(call.request, _answered(rule), revision=rule.revision)


@endpoint(
    router,
    "PUT",
    "/features/{feature_id}/alerts/rules/{rule_id}",
    "edit",
    body=schemas.AlertRuleIn,
    answer=schemas.RuleAnswer,
    conflicts=True,
)
async def change_rule(call: Call) -> Response:
    """Change a rule: what is left out stays as it is, null gives a field its default back.

    With If-Match, 412 where somebody else edited it in between. An edit that changes nothing is none. A rule of an
    objective changes with the feature's `slo`: 409.
    """
    feature = await call.feature()
    expected = expected_revision(call.request)
    rule = await call.bridge.rules.change(feature, _named(call), await _body(call), call.caller.name, expected=expected)
    return plain(_answered(rule), headers={"ETag": _etag(rule)})


@endpoint(router, "DELETE", "/features/{feature_id}/alerts/rules/{rule_id}", "edit", status=204, conflicts=True)
async def delete_rule(call: Call) -> Response:
    """Delete a rule. An alert of it that fires ends with the reason `rule_removed`."""
    feature = await call.feature()
    expected = expected_revision(call.request)
    await call.bridge.rules.delete(feature, _named(call), call.caller.name, expected=expected)
    return Response(status_code=204)


@endpoint(router, "GET", "/audit", "read", parameters=DEEDS, answer=schemas.DeedList)
async def list_deeds(call: Call) -> Response:
    """List who did what, newest first: to the features that the caller may see, and to what is no feature's.

    The latter only where the caller may see all features.
    """
    query = call.query
    start, end = query.span(call.bridge.clock())
    page = await call.bridge.stores.audit.page(
        sees=None if "*" in call.caller.patterns else call.caller.sees,
        features=query.texts("feature_id") or None,
        actor=query.text("actor"),
        action=query.text("action").strip(),
        start_ns=start,
        end_ns=end,
        limit=query.whole("limit", 100, 1, 1000),
        cursor=query.text("cursor"),
    )
    return answer(
        call.request, {"deeds": [alert_wire.deed(deed) for deed in page.deeds], "next_cursor": page.next_cursor}
    )


async def _body(call: Call) -> Any:
    return await read_json(call.request, call.bridge.settings.max_body_bytes)


def _named(call: Call) -> str:
    return _rule_id(call.request.path_params["rule_id"])


def _rule_id(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput("id: expected the id of a rule, got another value")
    if RULE_ID.fullmatch(value) is None:
        raise NotFound(f"rule {value[:60]!r} does not exist")
    return value


def _etag(rule: AlertRule) -> str:
    return f'"r{rule.revision}"'


def _answered(rule: AlertRule) -> dict[str, Any]:
    return {"rule": alert_wire.rule(rule)}


def _previewed(seen: Preview) -> dict[str, Any]:
    return {
        "count": len(seen.firings),
        "firings": [
            {
                "environment": one.environment,
                "start": format_instant(one.start_ms * 1_000_000),
                "end": None if one.end_ms is None else format_instant(one.end_ms * 1_000_000),
                "value": _short(one.value),
                "reason": one.reason,
            }
            for one in seen.firings
        ],
        "notifications": seen.notifications,
        "start": format_instant(seen.start_ms * 1_000_000),
        "end": format_instant(seen.end_ms * 1_000_000),
        "step_seconds": seen.step_s,
    }


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.7g}")
