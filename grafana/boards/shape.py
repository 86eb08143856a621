"""The frame of a dashboard: name, time, refresh, links, variables; and its JSON, with ids that stay."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from . import links as to


def dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Builder[models.VariableModel]],
    annotations: Sequence[Builder[models.AnnotationQuery]] = (),
) -> Dashboard:
    """Begin a dashboard. Provisioned dashboards are edited here, so the JSON says that it is not editable."""
    made = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([to.TAG])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("30s")
        .links(list(to.of_dashboard()))
    )
    for variable in variables:
        made = made.with_variable(variable)
    for annotation in annotations:
        made = made.annotation(annotation)
    return made


def with_rows(
    made: Dashboard, rows: Mapping[str, Sequence[Builder[models.Panel]]], *, folded: Collection[str] = ()
) -> Dashboard:
    """Put panels below the titles of their rows, from left to right; folded rows ask nothing until they are opened."""
    for title, panels in rows.items():
        row = Row(title)
        if title in folded:
            for panel in panels:
                row = row.with_panel(panel)
            made = made.with_row(row)
            continue
        made = made.with_row(row)
        for panel in panels:
            made = made.with_panel(panel)
    return made


def written(made: Dashboard) -> str:
    """Write a dashboard's JSON; panels are numbered in their order."""
    built = made.build()
    _close(built)
    for number, panel in enumerate(_all(built), 1):
        panel.id_val = number
    told = visible(json.loads(json.dumps(built, cls=JSONEncoder)))
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def visible(value: Any) -> Any:
    """Leave out that links and annotations stand in a menu, where the SDK puts all of them: they are to be seen."""
    if isinstance(value, list):
        return [visible(inner) for inner in value]
    if isinstance(value, dict):
        return {
            name: visible(inner) for name, inner in value.items() if (name, inner) != ("placement", "inControlsMenu")
        }
    return value


def _close(built: models.Dashboard) -> None:
    """Let what follows a folded row stand directly below it, as Grafana does: the SDK leaves room for its panels."""
    up = 0
    for panel in built.panels or ():
        at = _place(panel)
        at.y -= up
        inner = [_place(one) for one in panel.panels or ()] if isinstance(panel, models.RowPanel) else []
        for place in inner:
            place.y -= up
        up += max((place.y + place.h for place in inner), default=at.y + 1) - (at.y + 1) if inner else 0


def _place(panel: models.Panel | models.RowPanel) -> models.GridPos:
    assert panel.grid_pos is not None, "the SDK places every panel"
    return panel.grid_pos


def _all(built: models.Dashboard) -> Sequence[models.Panel | models.RowPanel]:
    found: list[models.Panel | models.RowPanel] = []
    for panel in built.panels or ():
        found.append(panel)
        if isinstance(panel, models.RowPanel):
            found.extend(panel.panels or ())
    return found
