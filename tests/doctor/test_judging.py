"""Checks that judge facts alone: selectors, routes, old versions, silence."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from featurewatch.doctor import alertmanager, bridge, dashboards, exporters, loki, prometheus
from featurewatch.doctor.asking import Got
from featurewatch.doctor.catalog import CHECKS
from featurewatch.doctor.emptiness import Seen, judge_empty
from featurewatch.doctor.examination import PARTS
from featurewatch.doctor.findings import Finding, Report
from featurewatch.doctor.routing import apart, receivers_of, webhooks_of
from featurewatch.doctor.selectors import Selector, filters, selectors_of, streams_of
from featurewatch.doctor.targets import ExporterFacts, Place, Scraped
from featurewatch.doctor.upstreams import clock
from featurewatch.stores import recording

from .apps import Pages
from .conftest import examine


@pytest.mark.parametrize(
    ("expression", "selectors"),
    [
        ('sum by (a, b) (rate(x{l="1",m=~"2|3"}[5m])) / ignoring (c) group_left (d) y', ["x", "y"]),
        ("histogram_quantile(0.9, sum(rate(h_bucket[5m])) by (le)) > bool 3", ["h_bucket"]),
        ("up offset 5m and on () vector(1) or absent(z) unless NaN", ["up", "z"]),
        ("feature:error_rate:over5m @ 1600000000 # x{", ["feature:error_rate:over5m"]),
        ('label_replace(a, "to", "$1", "from", "(b)") == 1e3', ["a"]),
        ('{__name__=~"feature_.+"}[5m:1m]', [""]),
        ("topk(5, x) + time() * 60", ["x"]),
    ],
)
def test_selectors_are_found(expression: str, selectors: list[str]) -> None:
    assert [selector.name for selector in selectors_of(expression)] == selectors


def test_a_selector_is_read_with_its_matchers_and_written_back() -> None:
    (found,) = selectors_of(r'rate(x{a="b\"c",d!="",e=~".*",f=~".+",}[1m])')
    assert found.matchers == (("a", "=", 'b"c'), ("d", "!=", ""), ("e", "=~", ".*"), ("f", "=~", ".+"))
    assert found.required == ("a", "f")
    assert selectors_of(str(found)) == [found]
    assert streams_of('sum(rate({a="b"} |= "{x}" | json [5m]))') == [Selector("", (("a", "=", "b"),))]


def test_every_selector_of_the_recording_rules_is_a_series_that_is_known() -> None:
    rules = [rule for group in recording.groups(50) for rule in group.rules]
    known = {rule.record for rule in rules}
    names = {selector.name for rule in rules for selector in selectors_of(rule.expr)}
    assert all(name in known or name.startswith("feature_") or name == "up" for name in names), names


@pytest.mark.parametrize(
    ("text", "told"), [("a > 0", False), ("a / (b > 0)", False), ("a > 5", True), ("a == 1", True)]
)
def test_comparisons_are_seen(text: str, told: bool) -> None:
    assert filters(text) is told


def seen(name: str = "x", *, named: float = 1, chosen: float = 1, changed: float = 1, **more: Any) -> Seen:
    selector = Selector(name, (("a", "=", "b"),))
    labels, known = frozenset(more.pop("labels", ("a",))), more.pop("known", True)
    return Seen(selector, named, chosen, labels, changed if chosen else 0, known, **more)


@pytest.mark.parametrize(
    ("one", "severity"),
    [
        (seen(changed=0), "ok"),
        (seen(chosen=0, changed=0), "ok"),
        (seen(), "warning"),
        (seen(chosen=0, changed=0, labels=["c"]), "error"),
        (seen("feature_requests_total", named=0, chosen=0, known=False), "ok"),
        (seen("feature:error_rate:over5m", named=0, chosen=0, known=False), "warning"),
        (seen("feature:error_rate:over5m", named=0, chosen=0, known=True), "ok"),
        (seen("level:metric:op", named=0, chosen=0, known=False), "error"),
        (seen("featurewatch_x_total", named=0, chosen=0, known=False, declared=frozenset({"y"})), "error"),
        (seen("featurewatch_loki_x", named=0, chosen=0, known=False, declared=frozenset({"y"})), "ok"),
        (seen("featurewatch_x_total", named=0, chosen=0, known=False, declared=frozenset({"featurewatch_x"}),
              scraped=True), "ok"),
        (seen("featurewatch_x_total", named=0, chosen=0, known=False, declared=None, scraped=False), "warning"),
        (seen("http_hits", named=0, chosen=0, known=False), "warning"),
    ],
)  # fmt: skip
def test_silence_is_judged_by_what_the_series_say(one: Seen, severity: str) -> None:
    verdict = judge_empty("rate(x[5m])", "is empty", [one])
    assert verdict.severity == severity
    assert bool(verdict.todo) is (severity != "ok")


ROUTES = {
    "route": {
        "receiver": "root",
        "routes": [
            {"receiver": "one", "matchers": ['team="a"'], "continue": True, "group_by": ["x"]},
            {"receiver": "two", "matchers": ['team=~"a|b"', "env!=dev"], "routes": [{"match": {"sev": "high"}}]},
            {"receiver": "three", "match_re": {"team": "a.*"}},
        ],
    },
    "receivers": [
        {"name": "one", "webhook_configs": [{"url": "http://b/"}]},
        {"name": "two", "email_configs": [{"to": "x"}], "webhook_configs": []},
        {"name": "root"},
    ],
}


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"team": "a"}, ["one", "two"]),
        ({"team": "a", "env": "dev"}, ["one", "three"]),
        ({"team": "b", "sev": "high"}, ["two"]),
        ({"team": "c"}, ["root"]),
    ],
)
def test_routes_lead_where_alertmanager_leads(labels: dict[str, str], receivers: list[str]) -> None:
    assert receivers_of(ROUTES, labels) == receivers


@pytest.mark.parametrize(
    ("receiver", "url", "bridge", "others"),
    [
        ("mine", "http://bridge/", True, []),
        ("mine", "http://people/", False, ["mine"]),
        ("mine", "<secret>", None, ["mine"]),
        ("featurewatch", "<secret>", True, []),
    ],
)
def test_the_bridge_is_known_by_its_address_or_where_that_is_hidden_by_its_name(
    receiver: str, url: str, bridge: bool | None, others: list[str]
) -> None:
    """Newer Alertmanagers show the addresses of webhooks as <secret>."""
    config = {"route": {"receiver": receiver}, "receivers": [{"name": receiver, "webhook_configs": [{"url": url}]}]}
    assert alertmanager.leads(config, {"a": "b"}, "http://bridge/") == (bridge, others)
    facts = alertmanager.AlertmanagerFacts("AM", "ALERTMANAGER_URLS", Got({}, ahead_s=0.0), "0.30.0", config)
    (told,) = (one for one in alertmanager.judge(facts, file=None, address="http://bridge/") if one.check == "receiver")
    assert told.severity == {True: "ok", False: "error", None: "skipped"}[bridge]


def test_receivers_that_tell_people_are_told_apart() -> None:
    assert webhooks_of(ROUTES, "one") == ["http://b/"]
    assert webhooks_of(ROUTES, "two") is None
    assert webhooks_of(ROUTES, "root") == []
    assert not apart(ROUTES, {"team": "a"}, "x")
    assert apart(ROUTES, {"team": "a", "env": "x"}, "x") is False


@pytest.mark.parametrize(("ahead", "severity"), [(0.4, "ok"), (-7, "warning"), (4000, "error"), (None, "skipped")])
def test_clocks(ahead: float | None, severity: str) -> None:
    assert clock("x", ahead).severity == severity


def test_an_old_loki() -> None:
    config = {
        "schema_config": {
            "configs": [
                {"from": "2020-01-01", "store": "boltdb-shipper", "schema": "v11"},
                {"from": "2999-01-01", "store": "tsdb", "schema": "v13"},
            ]
        },
        "limits_config": {"unordered_writes": False, "allow_structured_metadata": True},
    }
    facts = loki.LokiFacts("Loki", "LOKI_URL", Got("ready"), Got({}, ahead_s=0.0), "2.8.2", config)
    found = {
        one.check: one for one in loki.judge(facts, tenant="", lookback_s=60, now=datetime(2026, 1, 1, tzinfo=UTC))
    }
    assert {check for check, one in found.items() if one.severity == "error"} == {"version", "schema", "out-of-order"}
    assert "schema v11 on boltdb-shipper" in found["schema"].found


FLAGS = {"web.enable-lifecycle": "true", "enable-feature": "exemplar-storage"}


def test_an_old_prometheus_whose_last_reload_failed() -> None:
    facts = prometheus.PrometheusFacts(
        "Prometheus",
        "PROMETHEUS_URL",
        Got({}, ahead_s=0.0),
        "2.30.1",
        FLAGS,
        {},
        {"reloadConfigSuccess": False},
        [],
        ["x"],
    )
    need = prometheus.Need(True, True, ["http://alertmanager:9093"])
    found = {one.check: one.severity for one in prometheus.judge(facts, need, None)}
    assert found == {
        "reachable": "ok", "clock": "ok", "version": "error", "exemplars": "ok", "reload": "error", "alerting": "ok",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "severity"),
    [
        (["http://127.0.0.1:9093/api/v2/alerts"], "ok"),
        (["http://[::1]:9094/api/v2/alerts", "http://localhost:9093/prefix/api/v2/alerts"], "ok"),
        (["http://alertmanager:9094/api/v2/alerts"], "ok"),  # perhaps the same one by its name among containers
        (["http://localhost:9094/api/v2/alerts"], "warning"),
        ([], "error"),
    ],
)
def test_alerts_go_to_the_alertmanager_that_the_bridge_asks(sent: list[str], severity: str) -> None:
    facts = prometheus.PrometheusFacts(
        "Prometheus", "PROMETHEUS_URL", Got({}, ahead_s=0.0), "2.42.0", FLAGS, {}, {}, [], sent
    )
    need = prometheus.Need(True, True, ["http://127.0.0.1:9093"])
    (found,) = (one for one in prometheus.judge(facts, need, None) if one.check == "alerting")
    assert found.severity == severity
    if severity == "warning":
        assert "127.0.0.1:9094" in found.found
        assert "127.0.0.1:9093" in found.found


@pytest.mark.parametrize(
    ("matcher", "severity"),
    [
        (("outcome", "=", "failure"), "error"),
        (("outcome", "=~", "fail.*|timeout"), "error"),
        (("outcome", "=", "error"), "ok"),
        (("outcome", "=~", "err.*"), "ok"),
        (("outcome", "!=", "failure"), "ok"),
        (("outcome", "=~", "(("), "ok"),
        (("feature", "=", "not-yet"), "ok"),
    ],
)
def test_a_value_that_a_label_never_has_is_found(matcher: tuple[str, str, str], severity: str) -> None:
    selector = Selector("feature_requests_total", (matcher,))
    verdict = judge_empty("x", "is empty", [Seen(selector, 3, 0, frozenset({"feature", "outcome"}), 0, True)])
    assert verdict.severity == severity
    assert ("success, error, cancelled" in verdict.todo) is (severity == "error")


def test_dashboards_are_asked_at_the_pace_of_the_scrapes_and_grafana_has_to_know_it() -> None:
    usual, nothing = dashboards.read(None, 15.0)
    slow, (told,) = dashboards.read(None, 60.0)
    assert nothing == []
    assert any("[60s]" in one.expr for one in usual)
    assert any("[240s]" in one.expr for one in slow)
    assert not any("[60s]" in one.expr for one in slow)
    assert (told.severity, told.subject) == ("skipped", "Grafana")
    assert "timeInterval" in told.found
    assert "60 s" in told.found


@pytest.mark.parametrize(("app_s", "bridge_s", "severity"), [(15, 60, "ok"), (15, 120, "warning"), (61, 15, "warning")])
def test_apps_and_bridges_are_scraped_often_enough(app_s: float, bridge_s: float, severity: str) -> None:
    app, itself = Place("app", "a:1"), Place("featurewatch", "b:1")
    facts = ExporterFacts(
        targets=(
            Scraped(app, "app", "http://a:1/metrics", True, "", app_s),
            Scraped(itself, "featurewatch", "http://b:1/metrics", True, "", bridge_s),
            Scraped(Place("node", "c:1"), "node", "http://c:1/metrics", True, "", 600),
        ),
        known=frozenset({app}),
        bridges=frozenset({itself}),
    )
    assert {one.severity for one in exporters.judge(facts) if one.check == "interval"} == {severity}
    assert exporters.slowest_scrape_s(facts) == max(app_s, bridge_s)


def test_a_bridge_that_is_asked_under_another_name_says_so_itself() -> None:
    said = "Host 'x' is no name of this bridge: add it to FEATUREWATCH_ALLOWED_HOSTS if it should be"
    refused = Got(None, "the bridge refused the credentials (403)", 403, 0.0, said)
    (told,) = bridge.judge(bridge.BridgeFacts("the bridge", refused, refused, refused, refused))
    assert told.found == said


def test_a_finding_without_anything_to_do_is_none() -> None:
    with pytest.raises(ValueError, match="what to do"):
        Finding("clock", "error", "x", "y")


def test_the_worst_is_told_first() -> None:
    told = [
        Finding("dashboard", "error", "a", "b", "c"),
        Finding("bridge", "error", "a", "b", "c"),
        Finding("disk", "ok", "", ""),
    ]
    report = Report(tuple(told), 0, 1.0)
    assert [one["check"] for one in report.as_data()["findings"]] == ["bridge", "dashboard", "disk"]
    assert report.as_data()["counts"] == {"error": 2, "warning": 0, "skipped": 0, "ok": 1}
    assert set(CHECKS) >= {one.check for one in told}


GARBAGE = [
    "", "[]", "null", '"x"', "<html>welcome</html>", '{"status": "success"}',
    '{"status": "success", "data": {"resultType": "vector", "result": [7]}, "versionInfo": 7, "schema_config": 7}',
    '{"data": {"resultType": "vector", "result": [], "yaml": "- x", "groups": [7, {}], "activeTargets": 7},'
    ' "versionInfo": {"version": "0.27"}, "config": {"original": "route: {routes: [7], matchers: 7}"},'
    ' "schema_config": {"configs": 7}, "limits_config": 7, "compactor": 7, "status": "ok", "checks": {"logs": 7}}',
    '{"data": {"resultType": "vector", "result": [], "web.enable-lifecycle": "true", "activeAlertmanagers": [7]},'
    ' "versionInfo": {"version": 7}, "config": {"original": "receivers: 7"}, "limits_config": {"retention_period": 7},'
    ' "schema_config": {"configs": [{"from": {"Time": 7}, "schema": 7}]}, "status": "ok", "checks": 7,'
    ' "rules": [7, {"enabled": true, "deployment": 7}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", GARBAGE)
def test_whatever_an_upstream_answers_no_check_fails(body: str, tmp_path: Path) -> None:
    pages = Pages(defaultdict(lambda: body))
    panels = [
        {"title": kind, "targets": [{"expr": "up", "datasource": {"type": kind}}]} for kind in ("prometheus", "loki")
    ]
    (tmp_path / "mine.json").write_text(json.dumps({"uid": "mine", "panels": panels}))
    url = f"http://{pages.address}"
    environ = {
        "FEATUREWATCH_DATA_DIR": str(tmp_path),
        "FEATUREWATCH_PROMETHEUS_URL": url,
        "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(tmp_path),
        "FEATUREWATCH_ALERTMANAGER_URLS": url,
        "FEATUREWATCH_LOKI_URL": url,
        "FEATUREWATCH_WEBHOOK_URL": f"{url}/x",
        "FEATUREWATCH_OTLP_FORWARD_URL": url,
    }
    try:
        report = examine(environ, url, ",".join(PARTS), webhook_s=0.2, dashboards=tmp_path)
    finally:
        pages.close()
    assert [one for one in report.findings if one.check == "doctor"] == []
    assert [one for one in report.findings if one.severity == "error"]


def test_a_check_that_fails_itself_is_told_and_hides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("surprise")

    monkeypatch.setattr(loki, "gather", fail)
    environ = {"FEATUREWATCH_DATA_DIR": str(tmp_path), "FEATUREWATCH_LOKI_URL": "http://127.0.0.1:9"}
    report = examine(environ, "http://127.0.0.1:9", "local,upstreams")
    (told,) = [one for one in report.findings if one.wrong]
    assert (told.check, told.subject, "surprise" in told.found) == ("doctor", "Loki", True)
    assert [one for one in report.findings if one.check == "disk"]
