"""The frame of a dashboard: name, time, refresh, links, variables; and its JSON, with ids that stay."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from . import links as to


def dashboard(uid: str, title: str, description: str, variables: Sequence[Builder[models.VariableModel]]) -> Dashboard:
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
    return made


def written(made: Dashboard) -> str:
    """Write a dashboard's JSON; panels are numbered in their order."""
    built = made.build()
    for number, panel in enumerate(_all(built), 1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _all(built: models.Dashboard) -> Sequence[models.Panel | models.RowPanel]:
    found: list[models.Panel | models.RowPanel] = []
    for panel in built.panels or ():
        found.append(panel)
        if isinstance(panel, models.RowPanel):
            found.extend(panel.panels or ())
    return found
