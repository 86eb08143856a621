"""From a rule and a channel typed over REST to a notification: a bridge, a Prometheus, an Alertmanager, all real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

import alertmanager as alertmanagers
import prometheus as prometheuses
from alertmanager import Alertmanager, Sink
from browser.conftest import browser  # noqa: F401 (a fixture)
from prometheus import Prometheus, free_port, wait_for
from running import bridge

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.stack

RULE = {
    "name": "Busy", "metric": "total_requests", "condition": "greater_than", "threshold": 3, "severity": "high",
    "for_minutes": 0, "cooldown_minutes": 1, "notification_channels": ["ops"],
}  # fmt: skip


class Stack:
    """A bridge that publishes to a Prometheus and an Alertmanager; `api` speaks to it."""

    def __init__(self, folder: Path, api: httpx.Client, prometheus: Prometheus, alertmanager: Alertmanager) -> None:
        self.folder = folder
        self.api = api
        self.prometheus = prometheus
        self.alertmanager = alertmanager

    def deployment(self, feature: str, rule: str) -> dict[str, Any]:
        told: dict[str, Any] = self.api.get(f"/features/{feature}/alerts/rules/{rule}").json()["rule"]["deployment"]
        return told

    def until(self, read: Callable[[], Any], what: str) -> Any:
        return wait_for(read, within_s=90, what=what)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder, port = tmp_path_factory.mktemp("publishing"), free_port()
    alertmanager = alertmanagers.make(folder / "alertmanager")
    prometheus = prometheuses.make(
        folder / "prometheus",
        # A reload makes it forget its Alertmanagers for seconds: what fires then is told again after this.
        options=["--rules.alert.resend-delay=2s"],
        targets={"bridge": [f"127.0.0.1:{port}"]},
        rule_files=[f"{folder}/rules.d/*.yml"],
        alertmanagers=[f"127.0.0.1:{alertmanager.port}"],
    )
    token = folder / "token"
    token.write_text("open sesame")
    environment = {
        "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(folder / "rules.d"),
        "FEATUREWATCH_PROMETHEUS_RULER_URLS": prometheus.url,
        "FEATUREWATCH_ALERTMANAGER_URLS": alertmanager.url,
        "FEATUREWATCH_ALERTMANAGER_CONFIG": str(alertmanager.config),
        "FEATUREWATCH_WEBHOOK_TOKEN_FILE": str(token),
        "FEATUREWATCH_WEBHOOK_URL": f"http://127.0.0.1:{port}/api/v1/webhooks/alertmanager",
    }
    try:
        alertmanager.start()
        prometheus.start()
        with (
            bridge(folder / "bridge", port=port, env=environment) as running,
            httpx.Client(base_url=f"{running.url}/api/v1", timeout=30) as api,
        ):
            yield Stack(folder, api, prometheus, alertmanager)
    finally:
        prometheus.stop()
        alertmanager.stop()


def test_a_rule_and_a_channel_become_a_notification(stack: Stack, sink: Sink) -> None:
    api = stack.api
    channel = {"kind": "webhook", "settings": {"url": f"{sink.url}/ops", "bearer_token": "SECRET"}}
    assert api.put("/channels/ops", json=channel).status_code == 200
    calls = [{"outcome": "success", "duration_ms": 5} for _ in range(10)]
    assert api.post("/features/chat/requests", json=calls).status_code == 200
    made = api.post("/features/chat/alerts/rules", json=RULE)
    assert made.status_code == 201, made.text
    rule = made.json()["rule"]["id"]
    stack.until(lambda: stack.deployment("chat", rule)["state"] == "evaluated", "the rule to be evaluated")
    written = yaml.safe_load(stack.alertmanager.config.read_text())
    _, first, second = written["route"]["routes"]
    assert (first["continue"], second["matchers"]) == (True, ['featurewatch_route="ops@1m"'])
    assert api.get("/channels/ops").json()["delivery"] == {"by": "alertmanager", "published": True}
    # The counter was born above zero: once it was scraped, more calls are an increase that Prometheus sees.
    stack.prometheus.wait_for('feature_requests_total{feature="chat", outcome="success"} == 10')
    api.post("/features/chat/requests", json=calls)
    (told, *_) = sink.wait("/ops", within_s=90)
    assert told["headers"]["Authorization"] == "Bearer SECRET"
    assert told["body"]["alerts"][0]["labels"]["rule_id"] == rule
    alerts = stack.until(lambda: api.get("/alerts?status=active").json()["alerts"], "the history to hear of it")
    assert (alerts[0]["ruleId"], alerts[0]["severity"]) == (rule, "high")
    refused = api.delete("/channels/ops")
    assert (refused.status_code, "chat/Busy" in refused.json()["error"]) == (409, True)


@pytest.mark.browser
def test_the_console_shows_how_far_a_rule_got_and_who_tells_people(stack: Stack, browser: Browser) -> None:  # noqa: F811
    """Goes on from the test before: its rule fires."""
    from playwright.sync_api import expect  # the fixture skips where it is absent

    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    try:
        console = str(stack.api.base_url).partition("/api/")[0]
        page.goto(f"{console}/#/feature/chat/settings")
        page.get_by_role("button", name="New rule").click()
        box = page.get_by_role("dialog", name="New rule")  # the page behind it has a name to fill in too
        box.get_by_label("Name", exact=True).fill("Slow")
        box.get_by_label("Figure", exact=True).select_option("Response time p95")
        box.get_by_label("Threshold", exact=True).fill("70000")
        box.get_by_role("button", name="Make the rule").click()
        slow = page.locator(".rule", has_text="Slow").locator(".deployment")
        expect(slow).to_have_attribute("data-state", re.compile("saved|written|loaded|evaluated"))
        expect(slow).to_have_attribute("data-state", "evaluated", timeout=60_000)
        expect(page.locator(".rule", has_text="Busy").locator(".status-chip")).to_have_text("Firing")
        page.goto(f"{console}/#/channels")
        expect(page.locator("[data-channel=ops] .delivery")).to_have_text("told by Alertmanager")
        page.goto(f"{console}/#/alerts")
        page.get_by_role("link", name="Busy Alert").click()
        expect(page.locator(".answer")).to_have_text("Yes. Alertmanager tells ops.")
        expect(page.locator(".explained")).to_contain_text("it fires there")
    finally:
        page.context.close()


def test_an_edit_of_a_rule_leaves_alertmanagers_file_alone(stack: Stack) -> None:
    api = stack.api
    api.put("/channels/quiet", json={"kind": "webhook", "settings": {"url": "http://127.0.0.1:9/"}})
    api.put("/features/search", json={"name": "Search"})
    body = {**RULE, "threshold": 500, "notification_channels": ["quiet"]}
    rule = api.post("/features/search/alerts/rules", json=body).json()["rule"]
    path = f"/features/search/alerts/rules/{rule['id']}"
    stack.until(lambda: stack.deployment("search", rule["id"])["state"] == "evaluated", "the rule to be evaluated")
    before = stack.alertmanager.config.stat()
    edited = api.put(path, json={"threshold": 600}).json()["rule"]

    def evaluated() -> bool:
        told = stack.deployment("search", rule["id"])
        return bool(told["state"] == "evaluated" and told["revision"] == edited["revision"])

    stack.until(evaluated, "the edit to be evaluated")
    assert stack.alertmanager.config.stat().st_ino == before.st_ino
    answer = httpx.get(f"{stack.prometheus.url}/api/v1/rules", timeout=30).json()
    shown = {group["name"]: group["rules"][0] for group in answer["data"]["groups"]}
    assert "> 600" in shown[f"featurewatch-{rule['id']}"]["query"]


def test_a_second_bridge_on_the_same_rules_is_refused(stack: Stack) -> None:
    environment = {
        "FEATUREWATCH_PROMETHEUS_RULES_DIR": str(stack.folder / "rules.d"),
        "FEATUREWATCH_PROMETHEUS_RULER_URLS": stack.prometheus.url,
    }
    with (
        pytest.raises(AssertionError, match=r"PROMETHEUS_RULES_DIR .* is in use by another bridge"),
        bridge(stack.folder / "second", env=environment),
    ):
        pass
