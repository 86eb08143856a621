"""Apps that are wrong in ways that apps are: each fault is found, named, and told with what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

import prometheus as prometheuses
from exporter.test_prefork import HERE
from featurewatch.doctor.findings import Finding, Report
from prometheus import Prometheus, free_port, wait_for
from remote_write import labels
from running import environment

from .apps import Pages, answers, app, exposition
from .conftest import examine

RULES = {
    "groups": [
        {
            "name": "theirs",
            "rules": [
                {"alert": "Broken", "expr": "feature_requests_total * on (feature) feature_requests_total > 5"},
                {"alert": "Typo", "expr": "sum(feature_requsts_total) > 5"},
                {"record": "feature:errors:rate", "expr": 'rate(feature_requests_total{outcom="error"}[1m])'},
                {"alert": "Unrecorded", "expr": "feature:error_rate:over5m > 5"},
            ],
        }
    ]
}

PAGES = {
    "/good": exposition("good"),
    "/zero": exposition("zero", outcomes=("success",)),
    "/buckets": exposition("buckets", bounds=(0.1, 1, 10)),
    "/otel": exposition("otel", bounds=(0, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 10000), seconds=350),
    "/millis": exposition("millis", seconds=350),
    "/names": exposition("named") + exposition("names", duration="feature_request_duration_milliseconds"),
    "/gauge": exposition("gauge", kind="gauge"),
    "/renamed": exposition("renamed"),
    "/drops": exposition("drops")
    + 'featurewatch_dropped_total{feature="drops",environment="production",signal="logs",reason="queue_full"} 7\n',
}


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus without lifecycle, exemplars and Alertmanager, which scrapes apps that are wrong."""
    folder, closed, forked = tmp_path_factory.mktemp("sick"), free_port(), free_port()
    with ExitStack() as opened:
        pages = Pages(PAGES)
        opened.callback(pages.close)
        overflow = opened.enter_context(app("overflow", errors=60))
        command = [sys.executable, "-m", "gunicorn", "prefork_app:wsgi", "-b", f"127.0.0.1:{forked}", "-w", "2"]
        with (folder / "gunicorn.log").open("wb") as log:
            workers = subprocess.Popen(command, cwd=HERE, env=environment(), stdout=log, stderr=log)
        opened.callback(workers.wait)
        opened.callback(workers.terminate)
        jobs = [
            {
                "job_name": path.strip("/"),
                "metrics_path": path,
                "static_configs": [{"targets": [pages.address], "labels": _labels_of(path)}],
            }
            for path in PAGES
        ]
        jobs.append({**jobs[0], "job_name": "good-again"})
        jobs.append({"job_name": "slow", "scrape_interval": "2m", "static_configs": [{"targets": ["127.0.0.1:9"]}]})
        server = prometheuses.make(
            folder / "prometheus",
            scrape_configs=jobs,
            targets={
                "overflow": [overflow],
                "workers": [f"127.0.0.1:{forked}"],
                "down": [overflow.replace("127.0.0.1", "localhost"), f"127.0.0.1:{closed}"],
            },
            rule_files=["rules.json"],
        )
        server.arguments = [one for one in server.arguments if one != "--web.enable-lifecycle"]
        (server.folder / "rules.json").write_text(json.dumps(RULES))
        opened.callback(server.stop)
        server.start()
        now, slow = int(time.time() * 1000), {"job": "slow", "instance": "127.0.0.1:9", "outcome": "success"}
        restarts = {"job": "restarts", "instance": "a:1", "outcome": "success"}
        named = {"feature": "other", "environment": "production"}
        server.write(
            {
                labels("feature_requests_total", {**slow, **named}): [(now - 60_000, 1.0)],
                labels("feature_requests_total", {**restarts, **named}): [
                    (now - 300_000 + 10_000 * at, float(at % 3)) for at in range(30)
                ],
            }
        )
        wait_for(lambda: answers(f"http://127.0.0.1:{forked}/metrics"), what="gunicorn")
        httpx.get(f"http://127.0.0.1:{forked}/call")
        wait_for(lambda: len(server.query("group by (job) (feature_requests_total)")) == 15, what="all jobs")
        wait_for(
            lambda: [
                rule
                for group in httpx.get(f"{server.url}/api/v1/rules").json()["data"]["groups"]
                for rule in group["rules"]
                if rule["health"] == "err"
            ],
            what="a rule to fail",
        )
        yield server


def _labels_of(path: str) -> dict[str, str]:
    return {"environment": "staging"} if path == "/renamed" else {}


@pytest.fixture(scope="module")
def report(sick: Prometheus) -> Report:
    return examine({"FEATUREWATCH_PROMETHEUS_URL": sick.url}, "http://127.0.0.1:9", "exporters,rules")


FAULTS = [
    ("target", "error", "down/127.0.0.1:", r"down: .*connection refused", "see that the app runs"),
    ("interval", "warning", "slow/", "every 120 s", "scrape_interval"),
    ("scraped-twice", "error", "good/", "scraped 2 times, by good, good-again", "all jobs but one"),
    ("labels", "error", "renamed/", "exported_environment", "honor_labels: true"),
    ("zero-series", "warning", "zero/", "zero exports no outcome cancelled, error", "at 0 from the start"),
    ("unit", "error", "names/", "feature_request_duration_milliseconds_bucket", "record seconds"),
    ("unit", "error", "otel/", "bounds up to 10000: milliseconds", "record seconds"),
    ("unit", "warning", "millis/", "calls of millis take 350 s on average", "record seconds"),
    ("buckets", "warning", "buckets/", "bounds 0.1, 1, 10 instead of", "explicit buckets"),
    ("type", "error", "gauge/", "as a gauge", "TEMPORALITY_PREFERENCE=cumulative"),
    ("resets", "warning", "restarts/a:1", "started anew 9 times", "FEATUREWATCH_MULTIPROCESS_DIR"),
    ("cardinality", "warning", "overflow/", "calls/label_limit", "few and stable"),
    ("dropped", "warning", "drops/", "7 × logs/queue_full", "spool_dir"),
    ("workers", "error", "workers/", "several workers answer", "FEATUREWATCH_MULTIPROCESS_DIR"),
    ("openmetrics", "warning", "good/", "answers text/plain", "metrics_route"),
    ("rule", "error", "Broken in theirs", "fails to evaluate it: .*duplicate series", "part by part"),
    ("rule", "warning", "Typo in theirs", "reads feature_requsts_total, which nothing", "correct the name"),
    ("rule", "warning", "Unrecorded in theirs", "recording rules record, and they are not loaded", "rule_files"),
    ("recording-rule", "error", "feature:errors:rate in", "label outcom, which no series", "there are .*outcome"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "severity", "subject", "found", "todo"), FAULTS, ids=lambda value: value if " " not in str(value) else ""
)
def test_each_fault_is_found(report: Report, check: str, severity: str, subject: str, found: str, todo: str) -> None:
    told = [one for one in report.findings if one.check == check and one.wrong and subject in one.subject]
    assert told, [one for one in report.findings if one.wrong]
    assert [
        one for one in told if one.severity == severity and re.search(found, one.found) and re.search(todo, one.todo)
    ]


def test_what_is_well_is_not_told_as_a_fault(report: Report) -> None:
    """Each page has one fault, and is named for that alone."""
    by_job: dict[str, set[str]] = {}
    for one in report.findings:
        if one.wrong and "/" in one.subject and one.check not in ("openmetrics", "scraped-twice"):
            by_job.setdefault(one.subject.partition("/")[0], set()).add(one.check)
    assert by_job.pop("otel") <= {"unit", "buckets"}
    assert by_job.pop("restarts") == {"resets", "zero-series"}
    assert by_job.pop("slow") <= {"interval", "zero-series", "target"}
    assert by_job == {
        "zero": {"zero-series"}, "buckets": {"buckets"}, "millis": {"unit"}, "names": {"unit"}, "gauge": {"type"},
        "renamed": {"labels"}, "overflow": {"cardinality"}, "workers": {"workers"}, "down": {"target", "cardinality"},
        "drops": {"dropped"},
    }  # fmt: skip


def test_a_prometheus_that_cannot_be_published_to(sick: Prometheus, tmp_path: Path) -> None:
    rules = tmp_path / "rules.d"
    rules.mkdir()
    environ = {
        "FEATUREWATCH_PROMETHEUS_URL": sick.url,
        "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(rules),
        "FEATUREWATCH_ALERTMANAGER_URLS": "http://127.0.0.1:9",
    }

    def found() -> dict[str, Finding]:
        report = examine(environ, "http://127.0.0.1:9", "upstreams")
        return {one.check: one for one in report.findings if one.wrong and sick.url in one.subject}

    told = found()
    assert told.keys() == {"reload", "exemplars", "rule-files", "alerting"}
    assert told["reload"].todo == "start it with --web.enable-lifecycle"
    assert "exemplar-storage" in told["exemplars"].todo
    assert f"add {rules}/*.yml to rule_files" in told["rule-files"].todo
    assert "alerting.alertmanagers" in told["alerting"].todo
    (rules / "chat.yml").write_text("groups: [{name: featurewatch-x, rules: []}]")
    assert "1 of 1 rule groups that the bridge wrote are not loaded" in found()["rule-files"].found
