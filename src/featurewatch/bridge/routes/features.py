"""Features: what was declared of them, with their figures now and how they do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from ... import wire
from ...alert_model import Deed
from ...alerts.rules import read_channels
from ...alerts.slo import check_window
from ...errors import BadInput, NotFound, Problem, StaleEdit
from ...fields import Fields, refuse, shown
from ...model import ENVIRONMENT, ENVIRONMENT_RULE, FeatureRecord, MetricsSnapshot, Slo, Thresholds
from .. import parameters, schemas
from ..bodies import read_json
from ..edits import explained
from ..endpoint import Call, endpoint
from ..http import answer, expected_revision, plain

router = APIRouter(tags=["features"])

SHOWN = (parameters.ENVIRONMENT_PARAMETER, parameters.UNKNOWN)


@endpoint(router, "GET", "/features", "read", parameters=SHOWN, answer=schemas.FeatureList)
async def list_features(call: Call) -> Response:
    """List the features that the caller may see, with their figures now and how they do.

    A feature is listed once it was declared or has sent anything.
    """
    bridge, asked = call.bridge, call.query.environment()
    records = await bridge.catalog.visible(call.caller)
    keys = {record.id: await bridge.catalog.key_of(record, asked) for record in records.values()}
    found = await bridge.snapshots.known(frozenset(keys.values()), blank=True)
    snapshots = {snapshot.key: snapshot for snapshot in found}
    errors = await bridge.recent.last_errors(keys.values())
    features = [
        _shown(record, snapshots[keys[record.id]], errors[keys[record.id]], call.unknown_as_zero)
        for record in records.values()
    ]
    return answer(call.request, {"features": features})


@endpoint(router, "GET", "/features/{feature_id}", "read", parameters=SHOWN, answer=schemas.FeatureShape)
async def show_feature(call: Call) -> Response:
    """Show a feature. Its ETag, or its `revision`, is what If-Match of PUT, PATCH and DELETE compares."""
    record = await call.feature()
    return answer(call.request, await _with_figures(call, record), revision=record.revision)


@endpoint(router, "PUT", "/features/{feature_id}", "edit", body=schemas.FeatureEdit, answer=schemas.FeatureShape)
async def declare_feature(call: Call) -> Response:
    """Declare a feature: what is left out gets its default. Made where it does not exist.

    With If-Match, 412 where somebody else edited it in between.
    """
    return await _edit(call, None)


@endpoint(router, "PATCH", "/features/{feature_id}", "edit", body=schemas.FeatureEdit, answer=schemas.FeatureShape)
async def change_feature(call: Call) -> Response:
    """Change a feature: what is left out stays as it is; null gives a field its default back."""
    return await _edit(call, await call.feature())


@endpoint(router, "DELETE", "/features/{feature_id}", "edit", status=204)
async def forget_feature(call: Call) -> Response:
    """Forget a feature. Its figures and lines stay; while it sends it is listed again."""
    record = await call.feature()
    expected = expected_revision(call.request)
    if expected is not None and expected != record.revision:
        raise StaleEdit(
            f"feature {record.id!r} is at revision {record.revision}, If-Match says {expected}: read it again"
        )
    await call.bridge.rules.forget(record.id, call.caller.name)
    await call.bridge.stores.state.delete_feature(record.id)
    await _note(call, "feature.delete")
    call.bridge.catalog.forget(record.id)
    return Response(status_code=204)


async def _edit(call: Call, current: FeatureRecord | None) -> Response:
    feature = call.feature_id
    if not call.caller.sees(feature):
        raise NotFound(f"feature {feature!r} is none that this token may see")
    expected = expected_revision(call.request)
    edit, given = read_edit(await read_json(call.request, call.bridge.settings.max_body_bytes))
    if edit.slo is not None and edit.slo.notification_channels:
        _check_channels(edit.slo.notification_channels, await call.bridge.rules.channels())
    base = current or FeatureRecord(feature, feature)
    saved = await call.bridge.stores.state.save_feature(edited(base, edit, given), expected=expected)
    call.bridge.snapshots.expire()
    await _note(call, "feature.change", changes=sorted(given & schemas.FeatureEdit.model_fields.keys()))
    call.bridge.rules.note_change()
    payload = await _with_figures(call, saved)
    return plain(payload, headers={"ETag": f'"r{saved.revision}"'})


def read_edit(body: Any) -> tuple[schemas.FeatureEdit, frozenset[str]]:
    """Check what is declared of a feature; also returns the names of the fields that were given.

    Raises:
        BadInput, OutOfRange: with every problem in `problems`.
    """
    if not isinstance(body, dict):
        raise BadInput(f"expected an object such as {{'name': 'Summaries'}}, got {shown(body)}")
    try:
        edit = schemas.FeatureEdit.model_validate(body)
    except ValidationError as error:
        raise explained(error) from None
    for environment in edit.environments or ():
        if ENVIRONMENT.fullmatch(environment) is None:
            raise BadInput(f"environments: expected {ENVIRONMENT_RULE}, got {shown(environment)}")
    if edit.slo is not None:
        check_window(edit.slo.window)
    return edit, frozenset(edit.model_fields_set)


def edited(record: FeatureRecord, edit: schemas.FeatureEdit, given: frozenset[str]) -> FeatureRecord:
    """Apply what was given to a record; null gives a field its default back."""
    changes: dict[str, Any] = {
        name: getattr(edit, name) or "" for name in ("description", "owner", "version") if name in given
    }
    if "name" in given:
        changes["name"] = edit.name or record.id
    if "organization_id" in given:
        changes["organization_id"] = edit.organization_id
    if "environments" in given:
        changes["environments"] = frozenset(edit.environments or ())
    if "slo" in given:
        changes["slo"] = None if edit.slo is None else _slo(edit.slo)
    if "thresholds" in given:
        changes["thresholds"] = _thresholds(record.thresholds, edit.thresholds)
    return replace(record, **changes)


def _slo(edit: schemas.SloEdit) -> Slo:
    channels = tuple(dict.fromkeys(edit.notification_channels))
    return Slo(edit.objective, edit.window, channels, edit.cooldown_minutes)


def _check_channels(names: Sequence[str], known: Collection[str]) -> None:
    problems: list[Problem] = []
    read_channels(Fields({"slo.notification_channels": names}, None, problems), "slo.notification_channels", (), known)
    refuse(problems, "features", 1)


async def _note(call: Call, action: str, **details: Any) -> None:
    feature = call.feature_id
    await call.bridge.stores.audit.record(
        Deed(call.caller.name, action, feature, feature, call.bridge.clock(), details)
    )


def _thresholds(current: Thresholds, edit: schemas.ThresholdsEdit | None) -> Thresholds:
    if edit is None:
        return Thresholds()
    given = {name: getattr(edit, name) for name in edit.model_fields_set if hasattr(current, name)}
    default = Thresholds()
    return replace(
        current, **{name: getattr(default, name) if value is None else value for name, value in given.items()}
    )


async def _with_figures(call: Call, record: FeatureRecord) -> dict[str, Any]:
    key = await call.bridge.catalog.key_of(record, call.query.environment())
    snapshot = (await call.bridge.snapshots.known([key], blank=True))[0]
    errors = await call.bridge.recent.last_errors([key])
    return _shown(record, snapshot, errors[key], call.unknown_as_zero)


def _shown(
    record: FeatureRecord, snapshot: MetricsSnapshot, last_error: str | None, unknown_as_zero: bool
) -> dict[str, Any]:
    return {
        **wire.feature(record),
        "environment": snapshot.key.environment,
        "metrics": wire.figures(snapshot.metrics, unknown_as_zero=unknown_as_zero),
        "statuses": dict(snapshot.statuses),
        "health_indicators": {
            "status": snapshot.health,
            "alerts_count": len(snapshot.alerts),
            "last_error": last_error,
        },
    }
