"""The frame of a dashboard: name, time, refresh, links, variables; and its JSON, with ids that stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


def with_rows(made: Dashboard, rows: Mapping[str, Sequence[Builder[models.Panel]]]) -> Dashboard:
    """Put panels below the titles of their rows, from left to right."""
    for title, panels in rows.items():
        made = made.with_row(Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def written(made: Dashboard) -> str:
    """Write a dashboard's JSON; panels are numbered in their order."""
    built = made.build()
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


def _all(built: models.Dashboard) -> Sequence[models.Panel | models.RowPanel]:
    found: list[models.Panel | models.RowPanel] = []
    for panel in built.panels or ():
        found.append(panel)
        if isinstance(panel, models.RowPanel):
            found.extend(panel.panels or ())
    return found
