"""On a healthy stack nothing is found; of upstreams, files, settings and queries each fault is, with what to do.

In one file, so that one process of the tests starts the stack once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import httpx
import pytest

import alertmanager as alertmanagers
import loki as lokis
from alertmanager import Alertmanager, Sink
from alertmanager import sink as sink
from bridge.running import serving
from contract.conftest import postgresql as postgresql
from featurewatch.cli import main
from featurewatch.commands.doctor import shown
from featurewatch.doctor import local
from featurewatch.doctor.catalog import CHECKS
from featurewatch.doctor.findings import Finding, Report
from loki import Loki
from running import command

from .conftest import Healthy, examine, wrong

NOWHERE = "http://127.0.0.1:9"


def test_nothing_is_found_on_a_healthy_idle_stack(healthy: Healthy) -> None:
    ran = command("doctor", "--json", env={**healthy.settings, "FEATUREWATCH_URL": healthy.url})
    told = json.loads(ran.stdout)
    assert [finding for finding in told["findings"] if "todo" in finding] == []
    assert (ran.returncode, told["healthy"], ran.stderr) == (0, True, "")
    found = {finding["check"] for finding in told["findings"] if finding["severity"] == "ok"}
    assert found >= {
        "settings", "data-dir", "disk", "webhook-token", "tools", "bridge", "publishing", "reachable", "version",
        "clock",
        "reload", "exemplars", "rule-files", "alerting", "receiver", "webhook", "target", "interval", "scraped-twice",
        "zero-series", "names", "type", "buckets", "resets", "dropped", "cardinality", "workers", "openmetrics", "rule",
        "recording-rule", "dashboard",
    }  # fmt: skip
    assert found <= CHECKS.keys()
    if healthy.loki is not None:
        assert found >= {"schema", "structured-metadata", "out-of-order", "shard-streams", "retention"}


def test_a_prometheus_that_was_just_reloaded_is_given_time_to_find_alertmanager(healthy: Healthy) -> None:
    assert httpx.post(f"{healthy.prometheus.url}/-/reload", timeout=30).status_code == 200
    assert "alerting" not in wrong(healthy.examine("upstreams"))


def test_of_the_test_alert_nothing_remains(healthy: Healthy) -> None:
    report = healthy.examine("webhook")
    assert [(finding.check, finding.severity) for finding in report.findings] == [("webhook", "ok")]
    assert httpx.get(f"{healthy.url}/api/v1/alerts").json()["alerts"] == []
    assert healthy.alertmanager.alerts() == []


@pytest.fixture
def late(healthy: Healthy) -> Iterator[str]:
    """The healthy Prometheus behind a proxy whose clock is ten minutes behind."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = {"Content-Type": self.headers.get("Content-Type", "")}
            told = httpx.request(self.command, f"{healthy.prometheus.url}{self.path}", content=body, headers=kind)
            self.send_response_only(told.status_code)
            self.send_header("Date", formatdate(time.time() - 600, usegmt=True))
            self.send_header("Content-Length", str(len(told.content)))
            self.end_headers()
            self.wfile.write(told.content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_clock_that_is_off(healthy: Healthy, late: str) -> None:
    changes = {"FEATUREWATCH_PROMETHEUS_URL": late, "FEATUREWATCH_LOKI_URL": ""}
    found = wrong(healthy.examine("upstreams", changes=changes))
    assert found.keys() == {"clock"}
    assert "its clock is 10 min behind this machine's" in found["clock"].found
    assert "NTP" in found["clock"].todo


class Misset(NamedTuple):
    """A setting that leads elsewhere, and what has to be found; `also`: by which other check."""

    name: str
    value: Callable[[Healthy], str]
    parts: str
    check: str
    found: str
    todo: str
    also: str = ""


MISSET = [
    Misset("PROMETHEUS_URL", lambda at: at.alertmanager.url, "upstreams", "reachable",
           "does not know the path", "set FEATUREWATCH_PROMETHEUS_URL"),
    Misset("PROMETHEUS_URL", lambda _: NOWHERE, "upstreams,exporters,rules", "reachable",
           "cannot be reached", "set FEATUREWATCH_PROMETHEUS_URL"),
    Misset("ALERTMANAGER_URLS", lambda at: at.prometheus.url, "upstreams", "reachable",
           "Alertmanager at .* (does|answered)", "set FEATUREWATCH_ALERTMANAGER_URLS", also="alerting"),
    Misset("LOKI_URL", lambda at: at.prometheus.url, "upstreams", "reachable", "does not know the path",
           "set FEATUREWATCH_LOKI_URL"),
    Misset("ALERTMANAGER_CONFIG", lambda at: str(at.folder / "nowhere.yml"), "upstreams", "receiver",
           "does not exist", "--config.file name it"),
    Misset("ALERTMANAGER_CONFIG", lambda at: str(at.folder / "token"), "upstreams", "receiver",
           "has loaded another configuration", "POST /-/reload"),
    Misset("UPTIME_THRESHOLD", lambda _: "30", "rules", "recording-rule", "threshold of 50 %.* is 30",
           "--uptime-threshold 30"),
    Misset("WEBHOOK_TOKEN_FILE", lambda at: str(at.folder / "nowhere"), "local", "webhook-token",
           "No such file", "readable"),
    Misset("API_TOKENS_FILE", lambda at: str(at.folder / "token"), "local", "token-file", "expected JSON",
           "token create --role admin"),
    Misset("DATA_DIR", lambda at: str(at.folder / "token"), "local", "data-dir", "no folder", "FEATUREWATCH_DATA_DIR"),
    Misset("PROMTOOL", lambda _: "no-such-tool", "local", "tools", "not installed", "Debian: prometheus"),
    Misset("LOKI_TENNANT", lambda _: "x", "local", "settings", "LOKI_TENANT", "correct its name"),
    Misset("LOKI_TLS_VERIFY", lambda _: "0", "local", "settings", "anybody on the way", "LOKI_CA_FILE"),
    Misset("OTLP_FORWARD_URL", lambda at: f"{at.prometheus.url}/api/v1/otlp/v1/metrics", "upstreams", "otlp",
           "no receiver of OTLP", "--web.enable-otlp-receiver"),
    Misset("DATABASE_URL", lambda _: "postgresql://ann:SECRET@127.0.0.1:9/fw", "upstreams", "database",
           "PostgreSQL|cannot be used|install", "FEATUREWATCH_DATABASE_URL"),
]  # fmt: skip


@pytest.mark.parametrize("case", MISSET, ids=lambda case: f"{case.name}-{case.check}")
def test_a_setting_that_is_wrong(healthy: Healthy, case: Misset) -> None:
    report = healthy.examine(case.parts, changes={f"FEATUREWATCH_{case.name}": case.value(healthy)})
    found = [one for one in report.findings if one.check == case.check and one.wrong]
    assert found, report.findings
    told = f"{found[0].subject} {found[0].found}"
    assert re.search(case.found, told), told
    assert case.todo in found[0].todo
    assert {one.check for one in report.findings if one.wrong} == {case.check, case.also or case.check}
    assert "SECRET" not in json.dumps(report.as_data())


def test_where_things_are_passed_on(tmp_path: Path) -> None:
    with serving(tmp_path) as embedded:
        environ = {
            "FEATUREWATCH_PROMETHEUS_URL": NOWHERE,
            "FEATUREWATCH_OTLP_FORWARD_URL": f"{embedded}/v1/metrics",
            "FEATUREWATCH_MIMIR_URL": NOWHERE,
            "FEATUREWATCH_WEBHOOK_URL": f"{NOWHERE}/x",
        }
        found = {one.check: one for one in examine(environ, NOWHERE, "upstreams").findings}
    assert (found["otlp"].severity, found["mimir"].severity) == ("ok", "error")
    assert "FEATUREWATCH_MIMIR_URL" in found["mimir"].todo


def test_a_postgresql(postgresql: str) -> None:
    found = examine({"FEATUREWATCH_DATABASE_URL": postgresql}, NOWHERE, "upstreams").findings
    assert {one.check: one.severity for one in found} == {"database": "ok", "version": "ok", "clock": "ok"}
    environ = {"FEATUREWATCH_DATABASE_URL": postgresql.replace("/postgres?", "/nowhere?")}
    (told,) = examine(environ, NOWHERE, "upstreams").findings
    assert (told.check, 'database "nowhere" does not exist' in told.found) == ("database", True)


def test_a_disk_that_is_nearly_full(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**11, 10**11, 10**7))
    found = wrong(healthy.examine("local"))
    assert found.keys() == {"disk"}
    assert (found["disk"].severity, found["disk"].found) == ("error", "10 MiB of 93.1 GiB are free")


def test_a_bridge_that_is_away_or_elsewhere(healthy: Healthy) -> None:
    found = wrong(healthy.examine("bridge", url=NOWHERE))
    assert "cannot be reached" in found["bridge"].found
    assert "featurewatch serve" in found["bridge"].todo
    found = wrong(healthy.examine("bridge", url=healthy.prometheus.url))
    assert "does not know the path" in found["bridge"].found


@pytest.fixture(scope="module")
def sick_manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    made = alertmanagers.make(tmp_path_factory.mktemp("sick-alertmanager"))
    made.start()
    yield made
    made.stop()


def routed(manager: Alertmanager, url: str, *, token: str = "open sesame", people: str = "") -> None:
    """Let an Alertmanager have a configuration by hand: the bridge, and people behind it."""
    authorization = {"http_config": {"authorization": {"credentials": token}}}
    receivers: list[dict[str, Any]] = [{"name": "nobody"}]
    routes: list[dict[str, Any]] = []
    if url:
        receivers.append({"name": "featurewatch", "webhook_configs": [{"url": url, **authorization}]})
        matchers = ['featurewatch_route=~".+"']
        routes.append(
            {
                "receiver": "featurewatch",
                "matchers": matchers,
                "continue": True,
                "group_wait": "0s",
                "group_by": ["..."],
            }
        )
    if people:
        receivers.append({"name": "people", "webhook_configs": [{"url": people}]})
        routes.append({"receiver": "people", "match_re": {"alertname": ".*"}, "group_wait": "0s"})
    told = {"route": {"receiver": "nobody", "routes": routes}, "receivers": receivers}
    manager.config.write_text(json.dumps(told))
    manager.reload()


def held_back(manager: Alertmanager) -> str:
    """Silence everything, as people do who type too little; returns the silence's id."""
    now = datetime.now(UTC)
    told = {
        "matchers": [{"name": "alertname", "value": ".+", "isRegex": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
        "createdBy": "ann",
        "comment": "deploy",
    }
    return str(httpx.post(f"{manager.url}/api/v2/silences", json=told).raise_for_status().json()["silenceID"])


def webhook(healthy: Healthy, manager: Alertmanager, address: str, within_s: float = 1.5) -> dict[str, Finding]:
    changes = {
        "FEATUREWATCH_ALERTMANAGER_URLS": manager.url,
        "FEATUREWATCH_ALERTMANAGER_CONFIG": "",
        "FEATUREWATCH_WEBHOOK_URL": address,
    }
    report = healthy.examine("upstreams,webhook", changes={**changes, "FEATUREWATCH_LOKI_URL": ""}, webhook_s=within_s)
    return {one.check: one for one in report.findings if one.check in ("webhook", "receiver")}


def test_the_way_of_a_webhook(healthy: Healthy, sick_manager: Alertmanager, sink: Sink) -> None:
    right, closed = f"{healthy.url}/api/v1/webhooks/alertmanager", f"{NOWHERE}/api/v1/webhooks/alertmanager"
    routed(sick_manager, "")
    found = webhook(healthy, sick_manager, right)
    assert "no route of its configuration leads to the bridge" in found["receiver"].found
    assert "no route leads a test alert to the bridge" in found["webhook"].found
    routed(sick_manager, closed)
    found = webhook(healthy, sick_manager, closed)
    assert found["receiver"].severity == "ok"
    assert f"no webhook reached the bridge: Alertmanager cannot reach {closed}" in found["webhook"].found
    assert "FEATUREWATCH_WEBHOOK_URL" in found["webhook"].todo
    routed(sick_manager, right, token="another")
    found = webhook(healthy, sick_manager, right)
    assert "refuses Alertmanager's webhooks (401), which show another token" in found["webhook"].found
    assert "FEATUREWATCH_WEBHOOK_TOKEN_FILE" in found["webhook"].todo
    routed(sick_manager, right, people=f"{sink.url}/people")
    found = webhook(healthy, sick_manager, right)
    assert (found["webhook"].severity, "would also tell people" in found["webhook"].found) == ("skipped", True)
    routed(sick_manager, right)
    silence = held_back(sick_manager)
    found = webhook(healthy, sick_manager, right, 20)
    assert "a silence of ann (deploy) on alertname .+ holds the test alert back" in found["webhook"].found
    assert f"amtool silence expire {silence}" in found["webhook"].todo
    httpx.delete(f"{sick_manager.url}/api/v2/silence/{silence}").raise_for_status()
    assert webhook(healthy, sick_manager, right, 20)["webhook"].severity == "ok"
    assert sink.at("/people") == [], "nobody was told of a test"


def test_a_loki_of_tenants_without_one(loki_of_tenants: Loki) -> None:
    found = wrong(examine({"FEATUREWATCH_LOKI_URL": loki_of_tenants.url}, NOWHERE, "upstreams"))
    assert "refuses the tenant or the credentials (401); no tenant is set" in found["reachable"].found
    assert "FEATUREWATCH_LOKI_TENANT" in found["reachable"].todo


def test_a_loki_that_keeps_no_metadata(tmp_path: Path) -> None:
    more = "compactor: {retention_enabled: true, delete_request_store: filesystem}"
    made = lokis.make(tmp_path, "allow_structured_metadata: false, retention_period: 24h", more=more)
    config = tmp_path / "loki.yaml"
    config.write_text(config.read_text().replace("schema: v13", "schema: v12"))
    made.start()
    try:
        found = wrong(examine({"FEATUREWATCH_LOKI_URL": made.url}, NOWHERE, "upstreams"))
    finally:
        made.stop()
    assert found.keys() == {"schema", "structured-metadata", "shard-streams", "retention"}
    assert "allow_structured_metadata: true" in found["structured-metadata"].todo
    assert "for 1 d, and they are looked for 14 d back" in found["retention"].found


def board(*queries: tuple[str, str, str]) -> str:
    """Write a dashboard of panels: title, kind of datasource, query."""
    panels = [
        {"type": "timeseries", "title": title, "targets": [{"refId": "A", "expr": expr, "datasource": {"type": kind}}]}
        for title, kind, expr in queries
    ]
    return json.dumps({"uid": "mine", "panels": panels})


def test_queries_of_dashboards_that_are_broken(healthy: Healthy, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(
        board(
            ("Open", "prometheus", "sum(rate(feature_requests_total[5m])"),
            ("Label", "prometheus", 'sum(rate(feature_requests_total{enviroment="production"}[5m]))'),
            ("Name", "prometheus", "rate(feature_requests[5m]) / rate(http_hits[5m])"),
            ("Recorded", "prometheus", "feature:eror_rate:over5m"),
            ("Bridge", "prometheus", "rate(featurewatch_no_such_thing_total[5m])"),
            ("Variable", "prometheus", 'up{job="$nothing"}'),
            ("Joined", "prometheus", "up{job='app'} * on (instance) up{job='featurewatch'}"),
            ("Idle", "prometheus", 'sum(rate(feature_requests_total{outcome="error"}[5m])) / '
             "sum(rate(feature_requests_total[5m]))"),
            ("Quiet", "prometheus", 'ALERTS{alertstate="firing"}'),
            ("Unused", "prometheus", "rate(featurewatch_ingested_total[5m])"),
            ("Elsewhere", "alertmanager", "{}"),
        )
    )  # fmt: skip
    report = healthy.examine("dashboards", dashboards=tmp_path)
    found = {one.subject: one for one in report.findings if one.wrong}
    assert {subject: one.severity for subject, one in found.items()} == {
        "mine / Open (A)": "error", "mine / Label (A)": "error", "mine / Name (A)": "warning",
        "mine / Recorded (A)": "error", "mine / Bridge (A)": "error", "mine / Variable (A)": "error",
    }  # fmt: skip
    assert "unclosed" in found["mine / Open (A)"].found or "parse error" in found["mine / Open (A)"].found
    assert "the label enviroment, which no series of feature_requests_total has" in found["mine / Label (A)"].found
    assert "reads http_hits" in found["mine / Name (A)"].found
    assert [one.subject for one in report.findings if one.severity == "skipped"] == ["alertmanager"]


def test_a_query_that_loses_its_series_though_there_is_traffic(healthy: Healthy, tmp_path: Path) -> None:
    """Told from an idle one by what its series did."""
    busy, other = "featurewatch_poll_ticks_total", "process_cpu_seconds_total{job='featurewatch'}"
    (tmp_path / "mine.json").write_text(board(("Lost", "prometheus", f"{busy} * on (nothing) ({other} offset 1h)")))
    healthy.prometheus.wait_for(f"changes({busy}[10m]) > 0 and on () changes({other}[10m]) > 0")
    found = wrong(healthy.examine("dashboards", dashboards=tmp_path))["dashboard"]
    assert (found.severity, found.subject) == ("warning", "mine / Lost (A)")
    assert found.found.startswith("is empty, although its series have data")


def test_queries_of_loki(healthy: Healthy, tmp_path: Path) -> None:
    if healthy.loki is None:
        pytest.skip("no Loki to test against")
    httpx.post(
        f"{healthy.url}/api/v1/logs", json={"featureId": "chat", "message": "hello", "environment": "production"}
    )
    (tmp_path / "mine.json").write_text(
        board(
            ("Lines", "loki", '{feature="chat"}'),
            ("Rate", "loki", 'sum(count_over_time({feature="chat"}[5m]))'),
            ("Idle", "loki", '{feature="nobody"} |= "x"'),
            ("Open", "loki", '{feature="chat" | json'),
            ("Label", "loki", 'sum(rate({featur="chat"}[5m]))'),
        )
    )
    report = healthy.examine("dashboards", dashboards=tmp_path)
    found = {one.subject: one for one in report.findings if one.wrong}
    assert found.keys() == {"mine / Open (A)", "mine / Label (A)"}
    assert "no stream in Loki has the label featur" in found["mine / Label (A)"].found


def test_the_command_tells_in_words_and_by_its_exit_code(
    healthy: Healthy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("FEATUREWATCH_")]:
        monkeypatch.delenv(name)
    changes = {"FEATUREWATCH_URL": healthy.url, "FEATUREWATCH_LOKI_URL": "http://ann:SECRET@127.0.0.1:9"}
    for name, value in {**healthy.settings, **changes}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--only", "upstreams"]) == 1
    told = capsys.readouterr()
    assert "SECRET" not in told.out + told.err
    head, found, *_, do = told.out.split("\n\n")[0].splitlines()
    assert head == "ERROR    reachable: Loki at http://127.0.0.1:9"
    assert found.startswith("         found  cannot be reached")
    assert do == "         do     start it, or set FEATUREWATCH_LOKI_URL to where it is"
    assert "1 error, 0 warnings;" in told.out
    assert "ok  " not in told.out
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--only", "nothing"])
    assert (ended.value.code, "expected some of local, bridge" in capsys.readouterr().err) == (2, True)
    assert main(["doctor", "--only", "local", "--dashboards", "/nowhere"]) == 2
    assert "--dashboards: expected a folder of dashboards' JSON, got '/nowhere'" in capsys.readouterr().err
    monkeypatch.setenv("FEATUREWATCH_PROT", "1")
    assert main(["doctor", "--only", "local"]) == 1
    assert main(["doctor", "--only", "local", "--fail-on", "error", "--all"]) == 0
    assert "did you mean FEATUREWATCH_PORT?" in capsys.readouterr().out
    monkeypatch.setenv("FEATUREWATCH_PORT", "x")
    assert main(["doctor", "--only", "local"]) == 2


def test_faults_that_differ_by_their_subject_alone_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = tuple(Finding("openmetrics", "warning", f"app/{number}", "it answers text", "x" * 90) for number in range(9))
    (head, *_), *rest = [text.splitlines() for text in "\n".join(shown(Report(told, 0, 1))).split("\n\n")]
    assert head == "WARNING  openmetrics: app/0, app/1, app/2 and 6 more"
    assert rest[0][0].startswith("0 errors, 9 warnings")
