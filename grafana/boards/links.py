"""Where one goes from here: to the lines of the same feature and time, to its dashboard, to the console."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

TAG: Final = "featurewatch"

OVERVIEW: Final = "featurewatch-overview"
FEATURE: Final = "featurewatch-feature"
LOGS: Final = "featurewatch-logs"
ALERTS: Final = "featurewatch-alerts"
BRIDGE: Final = "featurewatch-bridge"

NAME: Final = "{{feature}} · {{environment}}"
"""How a series of a feature is called in a legend."""

_AROUND_MS: Final = 300_000
"""So much time around a point is shown where one goes to the lines of that point."""


def _link(title: str, url: str, *, blank: bool = False) -> DashboardLink:
    return DashboardLink(title).url(url).target_blank(blank)


def _places(feature: str, environment: str) -> str:
    return f"var-feature=${{{feature}}}&var-environment=${{{environment}}}"


_OF_SERIES: Final = _places("__field.labels.feature", "__field.labels.environment")
_OF_ROW: Final = _places("__data.fields.feature", "__data.fields.environment")

SERIES: Final = (
    _link(
        "Lines of this feature at this time", f"/d/{LOGS}?{_OF_SERIES}&time=${{__value.time}}&time.window={_AROUND_MS}"
    ),
    _link("Dashboard of this feature", f"/d/{FEATURE}?{_OF_SERIES}&${{__url_time_range}}"),
    _link(
        "Feature in the console",
        "${console}/#/feature/${__field.labels.feature}?env=${__field.labels.environment}",
        blank=True,
    ),
)
"""Links of a point of a series that is of one feature and environment."""

ROW: Final = (
    _link("Dashboard of this feature", f"/d/{FEATURE}?{_OF_ROW}&${{__url_time_range}}"),
    _link("Lines of this feature", f"/d/{LOGS}?{_OF_ROW}&${{__url_time_range}}"),
    _link(
        "Feature in the console",
        "${console}/#/feature/${__data.fields.feature}?env=${__data.fields.environment}",
        blank=True,
    ),
)
"""Links of a table's row that is of one feature and environment."""

CHOSEN: Final = (
    _link(
        "Lines of these features at this time",
        f"/d/{LOGS}?${{feature:queryparam}}&${{environment:queryparam}}&time=${{__value.time}}&time.window={_AROUND_MS}",
    ),
)
"""Links of a point that is of all features that are chosen."""

CONSOLE: Final = (_link("Console", "${console}/", blank=True),)


def of_dashboard() -> list[DashboardLink]:
    """Make the links at the head of a dashboard: the others, with the same variables and time, and the console."""
    others = (
        DashboardLink("featurewatch")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
    console = (
        DashboardLink("Console")
        .type(DashboardLinkType.LINK)
        .url("${console}/")
        .icon("external link")
        .target_blank(True)
    )
    return [others, console]
