"""Rules that every dashboard keeps: what Grafana's own dashboard linter asks for, and some more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from featurewatch.dashboard_queries import interpolate, load, panels_of, queries_of, values_of
from featurewatch.families import FAMILIES
from featurewatch.formulas import METRICS
from featurewatch.stores.recording import FIGURES

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
FILES: Final = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS: Final = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
PANELS: Final = [
    pytest.param(name, panel, id=f"{name.removeprefix('featurewatch-')}-{panel['id']}-{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in panels_of(dashboard)
]
WITH_LINES: Final = {"featurewatch-feature", "featurewatch-logs"}
SOURCES: Final = {"prometheus": "${prometheus_datasource}", "loki": "${loki_datasource}"}

pytestmark = pytest.mark.filterwarnings("ignore:Prefer using:DeprecationWarning")

every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)
every_panel = pytest.mark.parametrize(("name", "panel"), PANELS)


def variables(name: str) -> dict[str, Any]:
    return {variable["name"]: variable for variable in DASHBOARDS[name]["templating"]["list"]}


def texts(value: Any) -> Iterator[str]:
    """Yield every text of a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def datasources(value: Any) -> Iterator[dict[str, str]]:
    """Yield every datasource that something in a JSON document names."""
    if isinstance(value, list):
        for inner in value:
            yield from datasources(inner)
    elif isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        for inner in value.values():
            yield from datasources(inner)


def test_all_five_are_there() -> None:
    assert [dashboard["title"] for dashboard in DASHBOARDS.values()] == [
        "Alerts", "featurewatch itself", "Feature", "Logs", "Features overview",
    ]  # fmt: skip
    assert list(DASHBOARDS) == [dashboard["uid"] for dashboard in load()]


def test_they_are_what_their_python_makes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="the dependency group dashboards is not installed")
    from generate import main

    assert (main(["--check"]), capsys.readouterr().err) == (0, "")


@every_dashboard
def test_they_are_what_the_types_of_grafana_allow(name: str) -> None:
    """Reading the JSON by the SDK's types and writing it again loses nothing: no field is one that Grafana lacks."""
    pytest.importorskip("grafana_foundation_sdk", reason="the dependency group dashboards is not installed")
    from boards.shape import visible
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again = visible(json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[name]), cls=JSONEncoder)))
    assert again == DASHBOARDS[name]
    assert "inControlsMenu" not in json.dumps(DASHBOARDS[name]), "links and marks are seen without opening a menu"


@every_dashboard
def test_a_dashboard_is_named_found_by_its_tag_and_not_edited_in_place(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == name
    assert dashboard["description"].endswith(".")
    assert (dashboard["editable"], dashboard["tags"]) == (False, ["featurewatch"])
    assert dashboard["refresh"] == "30s"
    others, console = dashboard["links"]
    assert (others["type"], others["tags"], others["keepTime"], others["includeVars"]) == (
        "dashboards", ["featurewatch"], True, True,
    )  # fmt: skip
    assert console["url"] == "${console}/"


@every_dashboard
def test_datasources_are_chosen_and_the_provisioned_ones_stand_first(name: str) -> None:
    provisioned = {source["type"]: source["uid"] for source in provisioning("datasources")["datasources"]}
    for kind in SOURCES:
        if kind == "loki" and name not in WITH_LINES:
            continue
        chosen = variables(name)[f"{kind}_datasource"]
        assert (chosen["type"], chosen["query"], chosen["current"]["value"]) == ("datasource", kind, provisioned[kind])
    named = list(datasources(DASHBOARDS[name]))
    assert {source["type"] for source in named} == (set(SOURCES) if name in WITH_LINES else {"prometheus"})
    for source in named:
        assert source["uid"] == SOURCES[source["type"]]


@every_dashboard
def test_what_is_asked_of_a_datasource_may_be_several_or_all(name: str) -> None:
    asked = {key: variable for key, variable in variables(name).items() if variable["type"] == "query"}
    assert asked.keys() == ({"job", "instance"} if name == "featurewatch-bridge" else {"environment", "feature"})
    for variable in asked.values():
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["refresh"] == 2, "found anew with the time range"
    for variable in variables(name).values():
        assert variable["label"], variable["name"]
        assert variable["description"].endswith("."), variable["name"]


@every_dashboard
def test_every_variable_that_a_text_names_exists(name: str) -> None:
    known = set(variables(name))
    named = {
        found[1] or found[2]
        for text in texts([DASHBOARDS[name].get(part, []) for part in ("panels", "annotations", "templating", "links")])
        for found in re.finditer(r"\$(?:\{(\w+)[^}]*\}|([a-zA-Z_]\w*))", text)
    }
    assert {variable for variable in named if not variable.startswith("__")} == known


@every_dashboard
def test_panels_have_numbers_and_places_of_their_own(name: str) -> None:
    top = DASHBOARDS[name]["panels"]
    everything = [one for panel in top for one in (panel, *panel.get("panels", []))]
    assert [panel["id"] for panel in everything] == list(range(1, len(everything) + 1))
    for together in (top, *(panel["panels"] for panel in top if panel.get("panels"))):
        taken: set[tuple[int, int]] = set()
        for panel in together:
            at = panel["gridPos"]
            x, y = at.get("x", 0), at.get("y", 0)
            assert x + at["w"] <= 24
            cells = {(column, row) for column in range(x, x + at["w"]) for row in range(y, y + at["h"])}
            assert not cells & taken, panel["title"]
            taken |= cells
    rows = [panel for panel in top if panel["type"] == "row"]
    assert len(rows) >= 2
    for row in rows:
        assert row["collapsed"] is bool(row["panels"]), "Grafana drops the panels of a row that is open"
        assert all(panel["gridPos"]["y"] > row["gridPos"]["y"] for panel in row["panels"])
    titles = [panel["title"] for panel in panels_of(DASHBOARDS[name])]
    assert len(titles) == len(set(titles)), "a title names one panel"


@every_panel
def test_a_panel_says_what_it_shows_and_what_nothing_means(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"][-1] in ".?"
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"]
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert all(step["color"] for step in steps)
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(values)
    assert panel["datasource"]["uid"] in SOURCES.values()
    if panel["type"] == "timeseries":
        legend = panel["options"]["legend"]
        assert (legend["showLegend"], legend["calcs"]) == (True, ["mean", "max", "lastNotNull"])


@every_panel
def test_a_panel_s_queries_are_told_apart(name: str, panel: dict[str, Any]) -> None:
    targets = panel["targets"]
    assert targets
    assert len({target["refId"] for target in targets}) == len(targets)
    for target in targets:
        assert target["datasource"]["uid"] == SOURCES[target["datasource"]["type"]]
        drawn = panel["type"] in ("timeseries", "stat", "state-timeline") and target.get("range")
        if drawn:
            assert target["legendFormat"], target["expr"]
        if target["datasource"]["type"] == "prometheus" and target.get("range"):
            assert target["exemplar"] is True


SINGLE: Final = {"Features", "Recording rules"}
"""Panels of the bridge that count what is in Prometheus, whichever bridge it came from."""


@every_dashboard
def test_every_query_keeps_to_what_is_chosen(name: str) -> None:
    for query in queries_of(DASHBOARDS[name]):
        for selected in re.findall(r"\{([^{}]*)\}", query.expr.replace("{{", "").replace("}}", "")):
            if "=" in selected and query.panel not in SINGLE and "variable" not in query.panel:
                assert "$feature" in selected or "$job" in selected, (query.panel, query.expr)


_INSIDE: Final = re.compile(r"(rate|increase)\((\w+)(?:\{[^}]*\})?\[([^\]]+)\]\)")


@every_dashboard
def test_counters_are_read_by_how_they_grow(name: str) -> None:
    for query in queries_of(DASHBOARDS[name]):
        if query.kind != "prometheus" or query.panel.startswith("variable"):
            continue
        for how, _, window in _INSIDE.findall(query.expr):
            allowed = {"$__rate_interval"} if how == "rate" else {
                "$__rate_interval", "$__interval", "$__range", "24h", "5m", "1h", "6h", "$slo_window",
            }  # fmt: skip
            assert window in allowed, (query.panel, query.expr)
        assert "irate(" not in query.expr
        rest = _INSIDE.sub("", query.expr)
        if " offset $__" in rest:  # what was gained by a counter that is born with its first count
            rest = re.sub(r"\w+_total\{[^}]*\}( offset \$__\w+| \* 0| - )", "", rest)
        rest = rest.replace(
            'and on (job, instance) featurewatch_poll_ticks_total{job=~"$job", instance=~"$instance"}', ""
        )
        bare = re.findall(r"\w+_total\b", rest)
        assert bare in ([], ["featurewatch_poll_ticks_total"] if query.panel == "Bridges" else []), (query.panel, rest)


def test_figures_are_read_as_they_are_recorded_in_the_units_of_the_table() -> None:
    units = {"percent": "percent", "ms": "ms", "requests": "short", "requests/min": "reqpm", "USD": "currencyUSD",
             "tokens": "short"}  # fmt: skip
    by_name = {recorded: METRICS[name] for name, recorded in FIGURES.items()}
    seen = set()
    for panel in panels_of(DASHBOARDS["featurewatch-feature"]):
        for target in panel["targets"]:
            read = target["expr"].removeprefix("max by (feature, environment) (").partition("{")[0]
            if row := by_name.get(read):
                assert unit_of(panel, target["refId"]) == units[row.unit], (panel["title"], row.name)
                seen.add(row.name)
    assert seen == METRICS.keys(), "every figure is shown"


def unit_of(panel: dict[str, Any], ref: str) -> str:
    """Return the unit of a query's values: in a table that of its column."""
    if panel["type"] != "table":
        return str(panel["fieldConfig"]["defaults"]["unit"])
    (names,) = (one["options"]["renameByName"] for one in panel["transformations"] if one["id"] == "organize")
    column = names[f"Value #{ref}"]
    (properties,) = (
        one["properties"] for one in panel["fieldConfig"]["overrides"] if one["matcher"]["options"] == column
    )
    (unit,) = (one["value"] for one in properties if one["id"] == "unit")
    return str(unit)


def test_every_family_of_an_app_is_shown() -> None:
    asked = " ".join(query.expr for dashboard in DASHBOARDS.values() for query in queries_of(dashboard))
    # Seen by its figure alone: what a probe says decides the uptime.
    assert {name for name in FAMILIES if name not in asked} == {"feature_probe_success"}


@every_dashboard
def test_what_happened_is_marked(name: str) -> None:
    marks = {mark["name"]: mark for mark in DASHBOARDS[name].get("annotations", {}).get("list", [])}
    assert marks.keys() == (set() if name == "featurewatch-bridge" else {"Deploys", "Test results", "Alerts"})
    for mark in marks.values():
        assert (mark["enable"], mark["target"]["expr"]) == (True, mark["expr"])
        assert mark["expr"].endswith("or on () vector(0)"), "nothing happened is an answer"


def links() -> Iterator[tuple[str, str, str]]:
    for name, dashboard in DASHBOARDS.items():
        for panel in panels_of(dashboard):
            for link in panel["fieldConfig"]["defaults"].get("links", []):
                yield name, panel["title"], link["url"]


def test_links_lead_to_dashboards_and_variables_that_exist() -> None:
    seen = set()
    for name, title, url in links():
        if found := re.match(r"/d/([\w-]+)\?", url):
            seen.add(found[1])
            assert found[1] in DASHBOARDS, (name, title)
            assert set(re.findall(r"var-(\w+)=", url)) <= set(variables(found[1])), (name, title)
        else:
            assert url.startswith("${console}/"), (name, title, url)
    assert seen == {"featurewatch-feature", "featurewatch-logs"}


@every_panel
def test_a_panel_of_a_feature_leads_to_its_lines_at_that_time(name: str, panel: dict[str, Any]) -> None:
    exprs = " ".join(target["expr"] for target in panel["targets"])
    to_lines = [url for where, title, url in links() if (where, title) == (name, panel["title"]) and "-logs?" in url]
    if panel["type"] in ("timeseries", "heatmap", "state-timeline") and "$feature" in exprs:
        assert to_lines, "from a point to the lines of that point"
        assert all("time=${__value.time}&time.window=" in url for url in to_lines)


@every_dashboard
def test_what_several_are_chosen_of_is_asked_for_as_one_of_them(name: str) -> None:
    values = {**values_of(DASHBOARDS[name]), "feature": ["chat", "se.arch"], "environment": ["production", "x"]}
    for query in queries_of(DASHBOARDS[name]):
        expr = interpolate(query.expr, values, 3600, 15)
        assert "$" not in re.sub(r"`[^`]*`", "", expr), expr
        if "$feature" in query.expr:
            assert 'feature=~"(chat|se\\\\.arch)"' in expr


def provisioning(what: str) -> dict[str, Any]:
    (path,) = (GRAFANA / "provisioning" / what).glob("*.yml")
    told: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return told


def test_datasources_have_uids_that_stay_and_lead_from_a_trace_to_its_lines() -> None:
    told = provisioning("datasources")
    assert (told["apiVersion"], told["prune"]) == (1, True)
    sources = {source["type"]: source for source in told["datasources"]}
    assert {kind: source["uid"] for kind, source in sources.items()} == {
        kind: f"featurewatch-{kind}" for kind in ("prometheus", "loki", "alertmanager")
    }
    assert [source["isDefault"] for source in told["datasources"] if "isDefault" in source] == [True]
    prometheus, loki = sources["prometheus"]["jsonData"], sources["loki"]["jsonData"]
    assert prometheus["alertmanagerUid"] == sources["alertmanager"]["uid"]
    (exemplar,) = prometheus["exemplarTraceIdDestinations"]
    (derived,) = loki["derivedFields"]
    assert (exemplar["name"], derived["matcherType"], derived["matcherRegex"]) == ("trace_id", "label", "trace_id")
    for link in (exemplar, derived):
        # `$$` is how Grafana's provisioning writes a `$` that is not a variable of the environment.
        assert link["url"] == "/d/featurewatch-logs?var-trace=$${__value.raw}"
    assert "trace" in variables("featurewatch-logs")


def test_dashboards_are_provisioned_from_the_folder_that_is_mounted() -> None:
    (provider,) = provisioning("dashboards")["providers"]
    compose = yaml.safe_load((GRAFANA.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    mounted = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    assert ["./grafana/dashboards", provider["options"]["path"], "ro"] in mounted
    assert (provider["folder"], provider["folderUid"], provider["allowUiUpdates"]) == (
        "featurewatch", "featurewatch", False,
    )  # fmt: skip


def test_the_interval_that_rates_assume_is_that_of_the_scrapes() -> None:
    prometheus = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    source = provisioning("datasources")["datasources"][0]
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
