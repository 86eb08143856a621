"""A healthy stack for all tests of the doctor, and what is needed to examine it or a part of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import alertmanager as alertmanagers
import loki as lokis
import prometheus as prometheuses
from alertmanager import Alertmanager
from featurewatch.doctor import examination
from featurewatch.doctor.bridge import BridgeLine
from featurewatch.doctor.examination import Wishes
from featurewatch.doctor.findings import Finding, Report
from featurewatch.settings import load
from loki import Loki
from prometheus import Prometheus, free_port, wait_for
from running import bridge

from .apps import app

RULE = {
    "name": "Failing", "metric": "error_rate", "condition": "greater_than", "threshold": 50, "severity": "high",
    "for_minutes": 0, "cooldown_minutes": 60,
}  # fmt: skip


@dataclass
class Healthy:
    """A bridge that publishes to a Prometheus and an Alertmanager, an app, and a Loki where there is one."""

    folder: Path
    url: str
    prometheus: Prometheus
    alertmanager: Alertmanager
    loki: Loki | None
    settings: Mapping[str, str]
    app: str

    def examine(
        self,
        parts: str = "local,bridge,upstreams,exporters,rules,dashboards,webhook",
        *,
        changes: Mapping[str, str] | None = None,
        url: str = "",
        **wishes: Any,
    ) -> Report:
        """Examine it, with other settings where that is wanted."""
        environ = {name: value for name, value in {**self.settings, **(changes or {})}.items() if value}
        return examine(environ, url or self.url, parts, **wishes)


def examine(environ: Mapping[str, str], url: str, parts: str, **wishes: Any) -> Report:
    """Examine what settings name."""

    async def run() -> Report:
        line = BridgeLine(url, None, "/api/v1")
        async with line.upstream:
            wanted = Wishes(frozenset(parts.split(",")), **wishes)
            return await examination.examine(load(environ), line, wanted, environ=environ)

    return asyncio.run(run())


def wrong(report: Report) -> dict[str, Finding]:
    """Return what was found, by check; the first of each."""
    found: dict[str, Finding] = {}
    for finding in report.findings:
        if finding.wrong:
            found.setdefault(finding.check, finding)
    return found


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    folder, port = tmp_path_factory.mktemp("doctor"), free_port()
    manager = alertmanagers.make(folder / "alertmanager")
    with ExitStack() as opened:
        address = opened.enter_context(app("chat"))
        recording = Path(__file__).parents[2] / "prometheus" / "rules" / "featurewatch.yml"
        server = prometheuses.make(
            folder / "prometheus",
            options=["--enable-feature=exemplar-storage"],
            targets={"app": [address], "featurewatch": [f"127.0.0.1:{port}"]},
            rule_files=[f"{folder}/rules.d/*.yml", str(recording)],
            alertmanagers=[f"127.0.0.1:{manager.port}"],
        )
        opened.callback(server.stop)
        server.start()
        opened.callback(manager.stop)
        manager.start()
        lines = None
        if shutil.which("loki"):
            (folder / "loki").mkdir()
            lines = lokis.make(folder / "loki")
            opened.callback(lines.stop)
            lines.start()
        (folder / "token").write_text("open sesame")
        (folder / "token").chmod(0o600)
        settings = {
            "FEATUREWATCH_DATA_DIR": str(folder / "bridge"),
            "FEATUREWATCH_PORT": str(port),
            "FEATUREWATCH_PROMETHEUS_URL": server.url,
            "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(folder / "rules.d"),
            "FEATUREWATCH_ALERTMANAGER_URLS": manager.url,
            "FEATUREWATCH_ALERTMANAGER_CONFIG": str(manager.config),
            "FEATUREWATCH_WEBHOOK_TOKEN_FILE": str(folder / "token"),
            **({"FEATUREWATCH_LOKI_URL": lines.url} if lines is not None else {}),
        }
        running = opened.enter_context(bridge(folder / "bridge", port=port, env=settings))
        with httpx.Client(base_url=f"{running.url}/api/v1", timeout=30) as api:
            wait_for(lambda: api.get("/features/chat").status_code == 200, what="the bridge to see the app")
            # A feature that the bridge counts itself, and exports.
            told = {"outcome": "success", "duration_ms": 20, "environment": "production"}
            assert api.post("/features/told/requests", json=told).status_code == 200
            rule = api.post("/features/chat/alerts/rules", json=RULE).json()["rule"]["id"]
            path = f"/features/chat/alerts/rules/{rule}"
            loaded = ("loaded", "evaluated")
            wait_for(
                lambda: api.get(path).json()["rule"]["deployment"]["state"] in loaded, what="the rule to be loaded"
            )
        # Prometheus looks for Alertmanagers every five seconds.
        wait_for(
            lambda: httpx.get(f"{server.url}/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"],
            what="Prometheus to find Alertmanager",
        )
        server.wait_for('feature_requests_total{job="featurewatch", feature="told", outcome="success"} == 1')
        yield Healthy(folder, running.url, server, manager, lines, settings, address)
