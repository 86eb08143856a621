"""The parts of panels: a title, what it tells, a unit, colours, a legend, links, and a text for no data.

Every panel goes through `dressed`, so that none lacks one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, loki, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from featurewatch.formulas import Mark

GREEN: Final = "green"
YELLOW: Final = "yellow"
ORANGE: Final = "orange"
RED: Final = "red"
BLUE: Final = "blue"
GREY: Final = "text"

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI: Final = common.DataSourceRef(type_val="loki", uid="${loki_datasource}")

UNITS: Final = {
    "percent": "percent", "ms": "ms", "requests": "short", "requests/min": "reqpm", "USD": "currencyUSD",
    "tokens": "short",
}  # fmt: skip
"""Grafana's units for those of the table of figures."""

NO_DATA: Final = "No data in this time"

COUNTS: Final = frozenset({"short", "reqpm"})
"""Units of what is counted: a graph of nothing but 0 has an axis to 1, not the 100 that Grafana makes up."""

NONE: Final = r"/^[ ·]*none[ ·]*$/"
"""What the legend makes of the 0 that stands for no series at all: its other labels are empty."""

Steps = Sequence[tuple[float | None, str]]
"""From which value on a colour holds; the first is for all below the second."""

NEUTRAL: Final[Steps] = ((None, BLUE),)
ZERO_IS_GOOD: Final[Steps] = ((None, GREEN), (1, RED))

HEALTH: Final = {0: ("healthy", GREEN), 1: ("warning", YELLOW), 2: ("unknown", "purple"), 3: ("error", RED)}
"""`featurewatch_feature_health`: the worse, the higher."""

ALERT_STATES: Final = {
    -1: ("unknown", "purple"),
    0: ("no alert", GREEN),
    1: ("active", RED),
    2: ("acknowledged", ORANGE),
    3: ("closed by hand", BLUE),
}
"""`featurewatch_alert_state`; below 0 where no bridge is scraped, which would tell."""

SEVERITIES: Final = {"low": BLUE, "medium": YELLOW, "high": ORANGE, "critical": RED}


class Panel(Protocol):
    """What the builders of all panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def thresholds(self, thresholds: Builder[dashboard.ThresholdsConfig]) -> Self: ...
    def mappings(self, mappings: list[dashboard.ValueMapping]) -> Self: ...
    def data_links(self, links: list[Builder[dashboard.DashboardLink]]) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...
    def build(self) -> dashboard.Panel: ...


P = TypeVar("P", bound=Panel)

Built: TypeAlias = Builder[dashboard.Panel]
"""What a dashboard takes as a panel."""


def dressed(
    panel: P,
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    unit: str,
    width: int,
    height: int,
    steps: Steps = NEUTRAL,
    no_data: str = NO_DATA,
    mappings: Mapping[int, tuple[str, str]] | None = None,
    links: Sequence[Builder[dashboard.DashboardLink]] = (),
    source: common.DataSourceRef = PROMETHEUS,
) -> P:
    """Give a panel what every panel must have."""
    panel = (
        panel.title(title)
        .description(description)
        .datasource(source)
        .unit(unit)
        .span(width)
        .height(height)
        .no_value(no_data)
        .thresholds(thresholds(steps))
        .data_links(list(links))
    )
    if mappings:
        panel = panel.mappings([value_map(mappings)])
    for target in targets:
        panel = panel.with_target(target)
    return panel


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def marked(mark: Mark | None) -> Steps:
    """Colour a figure as the table marks it: good, warning, error."""
    if mark is None:
        return NEUTRAL
    if mark.above:
        return (None, RED), (mark.error, YELLOW), (mark.good, GREEN)
    return (None, GREEN), (mark.good, YELLOW), (mark.error, RED)


def value_map(texts: Mapping[int, tuple[str, str]]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {
            str(value): dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(texts.items())
        }
    )


def unknown(text: str) -> dashboard.SpecialValueMap:
    """Show the text for no data in grey: else it has the colour of the lowest threshold, which says good or bad."""
    result = dashboard.ValueMappingResult(text=text, color=GREY)
    match = dashboard.SpecialValueMatch.NULL_AND_NAN
    return dashboard.SpecialValueMap(dashboard.DashboardSpecialValueMapOptions(match=match, result=result))


def query(expr: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    """Ask for a graph; exemplars are shown wherever the series have some."""
    return (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(expr)
        .legend_format(legend)
        .range()
        .exemplar(True)
        .ref_id(ref)
    )


def instant(expr: str, ref: str = "A", legend: str = "") -> prometheus.Dataquery:
    """Ask for the values of now, as a table."""
    asked = prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).instant().ref_id(ref).legend_format(legend)
    return asked.format(PromQueryFormat.TABLE)


def lines(expr: str, ref: str = "A", limit: int = 500) -> loki.Dataquery:
    """Ask Loki for lines."""
    return loki.Dataquery().datasource(LOKI).expr(expr).query_type("range").max_lines(limit).ref_id(ref)


def counted(expr: str, legend: str, ref: str = "A") -> loki.Dataquery:
    """Ask Loki for a graph."""
    return loki.Dataquery().datasource(LOKI).expr(expr).query_type("range").legend_format(legend).ref_id(ref)


def counted_now(expr: str, ref: str = "A") -> loki.Dataquery:
    """Ask Loki for the values of now."""
    return loki.Dataquery().datasource(LOKI).expr(expr).query_type("instant").ref_id(ref)


def annotated(expr: str) -> prometheus.Dataquery:
    """Ask for what an annotation marks."""
    return prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).range().ref_id("Anno")


def buckets(expr: str, ref: str = "A") -> prometheus.Dataquery:
    """Ask for a histogram's buckets."""
    return query(expr, "{{le}}", ref).format(PromQueryFormat.HEATMAP)


def big(
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    unit: str,
    width: int,
    height: int = 4,
    course: bool = True,
    named: bool = False,
    grey: bool = True,
    no_data: str = NO_DATA,
    mappings: Mapping[int, tuple[str, str]] | None = None,
    **more: Any,
) -> stat.Panel:
    """Show the last value of a series, large.

    Args:
        course: draw its curve behind it.
        named: tell whose it is.
        grey: the text for no data is grey; else it has the colour of the lowest threshold, where it says that much.
    """
    maps: list[dashboard.ValueMapping] = [value_map(mappings)] if mappings else []
    if grey:
        maps.append(unknown(no_data))
    panel = (
        dressed(
            stat.Panel(),
            title,
            description,
            targets,
            unit=unit,
            width=width,
            height=height,
            no_data=no_data,
            **more,
        )
        .mappings(maps)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.AUTO)
        .graph_mode(common.BigValueGraphMode.AREA if course else common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    # Else the curve begins at its least value, and a step from 4 to 5 looks like one from nothing.
    return panel.min(0) if unit in COUNTS else panel


def graph(
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    shown: bool = False,
    bars: bool = False,
    every: str = "",
    **more: Any,
) -> timeseries.Panel:
    """Draw series over time, with a legend that tells their mean, maximum and last value.

    The legend shows three or four series at once, so the greatest of now stand first.

    Args:
        shown: draw the thresholds as dashed lines.
        every: no two points are closer than that, such as "1m": bars of seconds are too thin to be seen.
    """
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["mean", "max", "lastNotNull"])
        .sort_by("Last *")
        .sort_desc(True)
    )
    tooltip = (
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    panel = (
        dressed(timeseries.Panel(), title, description, targets, unit=unit, width=width, height=height, **more)
        .legend(legend)
        .tooltip(tooltip)
        .line_width(1)
        .fill_opacity(20 if stacked else 8)
        .show_points(common.VisibilityMode.AUTO)
        .min(0)
        .override_by_regexp(NONE, [DynamicConfigValue("displayName", "none"), fixed(GREY)])
    )
    if unit in COUNTS:
        panel = panel.axis_soft_max(1)
    if every:
        panel = panel.interval(every)
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if bars:
        panel = panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80)
    if shown:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds_style(style)
    return panel


def states(
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    mappings: Mapping[int, tuple[str, str]],
    width: int = 24,
    height: int = 8,
    **more: Any,
) -> statetimeline.Panel:
    """Draw states over time as coloured bars, one a series."""
    return (
        dressed(
            statetimeline.Panel(),
            title,
            description,
            targets,
            unit="none",
            width=width,
            height=height,
            mappings=mappings,
            **more,
        )
        .merge_values(True)
        .override_by_regexp(NONE, [DynamicConfigValue("displayName", "none"), fixed(GREY)])
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.85)
        .fill_opacity(75)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )


def coloured(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """Give series of these names colours of their own."""
    for name, color in colors.items():
        panel = panel.override_by_name(name, [fixed(color)])
    return panel


def fixed(color: str) -> DynamicConfigValue:
    """Give a series or a column a colour of its own."""
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})


def heat(
    title: str,
    description: str,
    targets: Sequence[Builder[Dataquery]],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    **more: Any,
) -> heatmap.Panel:
    """Draw a histogram's buckets over time."""
    return (
        dressed(heatmap.Panel(), title, description, targets, unit=unit, width=width, height=height, **more)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common.AxisPlacement.LEFT))
        .cell_gap(1)
        .show_legend()
    )
