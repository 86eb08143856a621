"""Tables: their columns, and the transformations that make them of the answers of several queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from . import kit

_EMPTY: Final = "–"


def rows(
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    unit: str,
    width: int = 24,
    height: int = 8,
    **more: Any,
) -> table.Panel:
    """Show a table."""
    return (
        kit.dressed(table.Panel(), title, description, targets, unit=unit, width=width, height=height, **more)
        .filterable(True)
        .cell_height(common.TableCellHeight.SM)
    )


def arranged(names: Mapping[str, str], hidden: Sequence[str] = ()) -> DataTransformerConfig:
    """Name a table's columns and put them in this order; hide some."""
    return DataTransformerConfig(
        id_val="organize",
        options={
            "renameByName": dict(names),
            "indexByName": {name: index for index, name in enumerate(names)},
            "excludeByName": dict.fromkeys(hidden, True),
        },
    )


def merged() -> DataTransformerConfig:
    """Join the answers of several queries into one table by the labels that they share."""
    return DataTransformerConfig(id_val="merge", options={})


def without_none() -> DataTransformerConfig:
    """Leave out the series that `or vector(0)` adds: where there is no other, the panel shows its text for no data."""
    return DataTransformerConfig(id_val="filterFieldsByName", options={"exclude": {"pattern": kit.NONE}})


def above_zero(column: str) -> DataTransformerConfig:
    """Leave out the row that `or vector(0)` adds where there is nothing to list."""
    return _kept(column, "greater", 0)


def at_least(column: str, value: float) -> DataTransformerConfig:
    """Keep rows whose column has this value or a greater one."""
    return _kept(column, "greaterOrEqual", value)


def other_than(column: str, value: float) -> DataTransformerConfig:
    """Leave out rows whose column has this value."""
    return _kept(column, "notEqual", value)


def _kept(column: str, how: str, value: float) -> DataTransformerConfig:
    condition = {"fieldName": column, "config": {"id": how, "options": {"value": value}}}
    return DataTransformerConfig(
        id_val="filterByValue", options={"filters": [condition], "type": "include", "match": "all"}
    )


def column(unit: str = "", steps: kit.Steps = (), **properties: object) -> list[DynamicConfigValue]:
    """Write how one column of a table is shown: its unit, its colours, and further properties, `_` for `.`.

    An empty cell shows a dash: without one Grafana writes the panel's text for no data into it.
    """
    told = [DynamicConfigValue("noValue", _EMPTY)] + ([DynamicConfigValue("unit", unit)] if unit else [])
    if steps:
        told.append(
            DynamicConfigValue(
                "thresholds",
                {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]},
            )
        )
        told.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return told + [DynamicConfigValue(name.replace("_", "."), value) for name, value in properties.items()]


def mapped(texts: Mapping[int, tuple[str, str]], width: int = 130) -> list[DynamicConfigValue]:
    """Show a column's numbers as coloured words."""
    options = {str(value): {"text": text, "color": color, "index": value} for value, (text, color) in texts.items()}
    return [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
        DynamicConfigValue("custom.align", "center"),
        DynamicConfigValue("custom.width", width),
    ]


def worded(colors: Mapping[str, str], width: int = 130) -> list[DynamicConfigValue]:
    """Colour the words of a column."""
    options = {name: {"text": name, "color": color} for name, color in colors.items()}
    return [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        DynamicConfigValue("custom.width", width),
    ]


def worst_first(column: str, *, least: bool = False) -> common_builders.TableSortByFieldState:
    """Sort by a column, the greatest first; with `least` the smallest."""
    return common_builders.TableSortByFieldState().display_name(column).desc(not least)
