from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from featurewatch.dashboard_queries import interpolate, load, queries_of, values_of

PROMETHEUS = {"type": "prometheus", "uid": "${prometheus_datasource}"}


def dashboard(**sections: Any) -> dict[str, Any]:
    return {"uid": "d", "panels": [], **sections}


def panel(title: str, *exprs: str, **more: Any) -> dict[str, Any]:
    targets = [{"refId": chr(65 + index), "expr": expr} for index, expr in enumerate(exprs)]
    return {"type": "stat", "title": title, "datasource": PROMETHEUS, "targets": targets, **more}


def test_every_query_of_a_panel_is_found_those_in_a_closed_row_too() -> None:
    row = {"type": "row", "title": "more", "panels": [panel("hidden", "c")]}
    found = queries_of(dashboard(panels=[panel("shown", "a", "b"), row]))
    assert found == [
        ("d", "shown", "A", "prometheus", "a"),
        ("d", "shown", "B", "prometheus", "b"),
        ("d", "hidden", "A", "prometheus", "c"),
    ]


def test_a_query_may_go_elsewhere_than_its_panel() -> None:
    mixed = panel("mixed", "a")
    mixed["targets"].append({"refId": "B", "expr": "{x=~`y`}", "datasource": {"type": "loki", "uid": "l"}})
    assert [query.kind for query in queries_of(dashboard(panels=[mixed]))] == ["prometheus", "loki"]


def test_annotations_and_variables_ask_too() -> None:
    annotation = {"name": "Deploys", "datasource": PROMETHEUS, "target": {"expr": "x > 0"}}
    listed = {
        "name": "feature",
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": "label_values(x{a=~'b'}, feature)"},
    }
    typed = {"name": "search", "type": "textbox", "query": "label_values(x, y)"}
    found = queries_of(dashboard(annotations={"list": [annotation]}, templating={"list": [listed, typed]}))
    assert [(query.panel, query.expr) for query in found] == [
        ("annotation: Deploys", "x > 0"),
        ("variable: feature", "group by (feature) (x{a=~'b'})"),
    ]


@pytest.mark.parametrize(
    ("expr", "filled"),
    [
        ('x{f=~"$feature"}', 'x{f=~"(chat|a\\\\.b)"}'),
        ('x{f=~"${feature}"}', 'x{f=~"(chat|a\\\\.b)"}'),
        ('x{f=~"[[feature]]"}', 'x{f=~"(chat|a\\\\.b)"}'),
        ('x{f=~"${feature:pipe}"}', 'x{f=~"chat|a.b"}'),
        ('x{e="$environment"}', 'x{e="production"}'),
        ("rate(x[$__rate_interval])", "rate(x[60s])"),
        ("increase(x[$__range])", "increase(x[3600s])"),
        ("count_over_time({a=`b`}[$__auto])", "count_over_time({a=`b`}[15s])"),
        ("x / $__range_s + $__interval_ms", "x / 3600 + 15000"),
        ("{a=~`b$`} |~ `c$|$1`", "{a=~`b$`} |~ `c$|$1`"),
    ],
)
def test_variables_are_filled_in_as_grafana_does(expr: str, filled: str) -> None:
    values = {"feature": ["chat", "a.b"], "environment": "production"}
    assert interpolate(expr, values, 3600, 15) == filled


def test_a_wide_step_widens_the_rate_interval() -> None:
    assert interpolate("$__rate_interval", {}, 86_400, 120, scrape_s=30) == "150s"


def test_a_variable_without_a_value_is_told() -> None:
    with pytest.raises(ValueError, match="value for the variable feature, got values for: environment"):
        interpolate("$feature", {"environment": "x"}, 60, 15)


def test_what_is_chosen_when_a_dashboard_opens() -> None:
    everything = {"text": ["All"], "value": ["$__all"]}
    told = [
        {"name": "feature", "type": "query", "includeAll": True, "allValue": ".+", "current": everything},
        {"name": "level", "type": "custom", "includeAll": True, "query": "info,error", "current": everything},
        {"name": "kind", "type": "custom", "query": "first,second"},
        {"name": "source", "type": "custom", "current": {"value": ["app", "worker"]}},
        {"name": "search", "type": "textbox", "query": "", "current": {"value": ""}},
        {"name": "datasource", "type": "datasource", "query": "loki", "current": {"value": "uid"}},
    ]
    assert values_of(dashboard(templating={"list": told})) == {
        "feature": ".+", "level": ".*", "kind": "first", "source": ["app", "worker"], "search": "", "datasource": "uid",
    }  # fmt: skip


def test_a_file_that_is_no_dashboard_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(dashboard()))
    assert [told["uid"] for told in load(tmp_path)] == ["d"]
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ValueError, match=r"b\.json: expected a dashboard with a list of panels"):
        load(tmp_path)


def test_the_dashboards_that_come_along_are_found() -> None:
    assert "featurewatch-overview" in {told["uid"] for told in load()}
