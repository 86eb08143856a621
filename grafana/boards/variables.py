"""The variables of the dashboards: datasources, environments, features, and the console's address."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import (
    CustomVariable,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from featurewatch.families import REQUESTS

from .kit import PROMETHEUS

PROMETHEUS_UID: Final = "featurewatch-prometheus"
LOKI_UID: Final = "featurewatch-loki"
"""As `grafana/provisioning/datasources` has them."""

CONSOLE: Final = "http://127.0.0.1:8400"
_ALL: Final = VariableOption(selected=True, text=["All"], value=["$__all"])


def datasource(kind: str, uid: str) -> DatasourceVariable:
    """Choose a datasource; the provisioned one to begin with."""
    return (
        DatasourceVariable(f"{kind}_datasource")
        .label(kind.capitalize())
        .description(f"Where the queries for {kind.capitalize()} go.")
        .type(kind)
        .current(VariableOption(selected=True, text=kind.capitalize(), value=uid))
    )


def listed(name: str, label: str, description: str, query: str) -> QueryVariable:
    """Choose some or all values of a label."""
    return (
        QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(PROMETHEUS)
        .query({"qryType": 1, "query": query, "refId": f"variable-{name}"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_ALL)
    )


def prometheus() -> DatasourceVariable:
    return datasource("prometheus", PROMETHEUS_UID)


def loki() -> DatasourceVariable:
    return datasource("loki", LOKI_UID)


def places() -> list[QueryVariable]:
    """Choose environments, and features that are in one of them."""
    return [
        listed("environment", "Environment", "Where the feature runs.", f"label_values({REQUESTS.name}, environment)"),
        listed(
            "feature",
            "Feature",
            "Features that send figures from these environments.",
            f'label_values({REQUESTS.name}{{environment=~"$environment"}}, feature)',
        ),
    ]


def processes() -> list[QueryVariable]:
    """Choose bridges."""
    ticks = "featurewatch_poll_ticks_total"
    return [
        listed("job", "Job", "The job that scrapes the bridge.", f"label_values({ticks}, job)"),
        listed("instance", "Instance", "Bridges of this job.", f'label_values({ticks}{{job=~"$job"}}, instance)'),
    ]


def window(values: tuple[str, ...]) -> CustomVariable:
    """Choose the time of an objective; the first to begin with."""
    return (
        CustomVariable("slo_window")
        .label("Objective over")
        .description("The time of the objective: features whose objective is over another are left out of its row.")
        .values(",".join(values))
        .options([VariableOption(selected=value == values[0], text=value, value=value) for value in values])
        .allow_custom_value(True)
        .current(VariableOption(selected=True, text=values[0], value=values[0]))
    )


def console() -> TextBoxVariable:
    """Say where the console is, for links."""
    return (
        TextBoxVariable("console")
        .label("Console")
        .description("The console's address, as your browser reaches it.")
        .default_value(CONSOLE)
        .current(VariableOption(selected=True, text=CONSOLE, value=CONSOLE))
    )


def chosen(name: str, label: str, description: str, values: tuple[str, ...], all_value: str) -> CustomVariable:
    """Choose some or all of values that are known, or type another."""
    return (
        CustomVariable(name)
        .label(label)
        .description(description)
        .values(",".join(values))
        .options([VariableOption(selected=False, text=value, value=value) for value in values])
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .allow_custom_value(True)
        .current(_ALL)
    )


def typed(name: str, label: str, description: str) -> TextBoxVariable:
    """Type a text; nothing is the beginning."""
    return (
        TextBoxVariable(name)
        .label(label)
        .description(description)
        .default_value("")
        .current(VariableOption(selected=True, text="", value=""))
    )
