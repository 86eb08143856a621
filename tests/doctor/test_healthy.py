"""On a stack where nothing is wrong, nothing is found, though nobody uses it; and the command says so."""

from __future__ import annotations

import json

import httpx

from featurewatch.doctor.catalog import CHECKS
from running import command

from .conftest import Healthy


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


def test_of_the_test_alert_nothing_remains(healthy: Healthy) -> None:
    report = healthy.examine("webhook")
    assert [(finding.check, finding.severity) for finding in report.findings] == [("webhook", "ok")]
    assert httpx.get(f"{healthy.url}/api/v1/alerts").json()["alerts"] == []
    assert healthy.alertmanager.alerts() == []
