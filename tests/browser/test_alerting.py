"""The console's alerting on a real bridge that evaluates rules itself and tells a real webhook."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from alertmanager import Sink
from browser.axe import violations
from featurewatch.model import Role
from featurewatch.tokens import create
from prometheus import wait_for
from running import bridge

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser
ROLES: Final[tuple[Role, ...]] = ("admin", "operator", "viewer")
FAILING = {"outcome": "error", "error_type": "TimeoutError", "duration_ms": 900}
RULE = {
    "name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high",
    "for_minutes": 0,
}  # fmt: skip


class Alerting:
    """A bridge with tokens of three roles; `api` speaks to it as an admin."""

    def __init__(self, url: str, tokens: dict[str, str], sink: Sink) -> None:
        self.url = url.rstrip("/") + "/"
        self.tokens = tokens
        self.sink = sink
        self.api = httpx.Client(
            base_url=f"{self.url}api/v1", headers={"authorization": f"Bearer {tokens['admin']}"}, timeout=30
        )

    def put(self, path: str, body: Any) -> None:
        self.api.put(path, json=body).raise_for_status()

    def post(self, path: str, body: Any) -> Any:
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def fail(self, feature: str, calls: int = 20, environment: str = "production") -> None:
        """Let calls of a feature fail, so long ago that a preview, which looks at whole minutes, sees them too."""
        at = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
        self.post(f"/features/{feature}/requests?environment={environment}", [{**FAILING, "timestamp": at}] * calls)

    def rule(self, feature: str, **more: Any) -> str:
        """Make a rule."""
        return str(self.post(f"/features/{feature}/alerts/rules", {**RULE, **more})["rule"]["id"])

    def open(self, feature: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many alerts of a feature are open."""

        def found() -> list[dict[str, Any]]:
            alerts: list[dict[str, Any]] = self.api.get(f"/features/{feature}/alerts?status=open").json()["alerts"]
            return alerts if len(alerts) >= count else []

        return wait_for(found, within_s=30, what=f"{count} alerts of {feature}")


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    folder = tmp_path_factory.mktemp("alerting")
    settings = {
        "FEATUREWATCH_API_TOKENS_FILE": str(folder / "tokens.json"),
        "FEATUREWATCH_EVALUATION_INTERVAL": "1",
        "FEATUREWATCH_METRICS_INTERVAL": "1",
    }
    tokens = {role: create(folder / "tokens.json", name=role, role=role)[1] for role in ROLES}
    sink = Sink()
    try:
        with bridge(folder / "bridge", env=settings) as running:
            yield Alerting(running.url, tokens, sink)
    finally:
        sink.close()


@pytest.fixture
def console(browser: Browser, alerting: Alerting) -> Iterator[Callable[..., Page]]:
    """Opens the console at an address, signed in with a role; no page may end with an error in its console."""
    contexts, troubles = [], []

    def heard(said: Any) -> None:
        # What a form is refused with, Chromium itself tells as an error.
        if said.type in ("error", "warning") and "Failed to load resource" not in said.text:
            troubles.append(said.text)

    def opened(address: str, role: str = "admin", *, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 860}, locale="en-US", timezone_id="Europe/Berlin",
            color_scheme="dark" if dark else "light", reduced_motion="reduce",
        )  # fmt: skip
        contexts.append(context)
        signed_in = context.request.post(f"{alerting.url}api/v1/session", data={"token": alerting.tokens[role]})
        assert signed_in.ok, signed_in.text()
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", heard)
        page.goto(alerting.url + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def card(page: Page, title: str) -> Any:
    return page.locator(".section-alerts .alert", has=page.get_by_role("link", name=title, exact=True))


def test_from_a_channel_and_a_rule_to_an_alert_that_is_taken_on_and_closed(
    alerting: Alerting, console: Callable[..., Page]
) -> None:
    alerting.put("/features/chat", {"name": "Chat"})
    page = console("#/channels")
    page.get_by_role("button", name="New channel").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("pager")
    page.get_by_label("URL").fill("not a URL")
    page.get_by_role("button", name="Make the channel").click()
    expect(page.locator("[data-field='settings.url'] .entry-problem")).to_contain_text("xpected a URL")
    expect(page.get_by_label("URL")).to_be_focused()
    page.get_by_label("URL").fill(f"{alerting.sink.url}/pager")
    page.get_by_label("Bearer token").fill("SECRET-1")
    page.get_by_role("button", name="Make the channel").click()
    channel = page.locator("[data-channel=pager]")
    expect(channel).to_contain_text("1 secret kept")
    alerting.sink.said = "taken, thanks"
    channel.get_by_role("button", name="Test").click()
    expect(channel.locator(".channel-said")).to_contain_text(
        "Delivered. Channel 'pager': 127.0.0.1 answered 200: taken"
    )
    # A secret is never shown again; saved as it was read it stays.
    channel.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Bearer token")).to_have_value("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(channel.get_by_role("button", name="Edit")).to_be_focused()
    channel.get_by_role("button", name="Test").click()
    posts = alerting.sink.wait("/pager", 2)
    assert [post["headers"]["Authorization"] for post in posts] == ["Bearer SECRET-1"] * 2
    assert "SECRET-1" not in page.content()

    page.goto(alerting.url + "#/feature/chat/settings")
    alerting.fail("chat", 5)
    page.get_by_role("button", name="New rule").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Threshold").fill("120")
    expect(dialog.locator("[data-field=threshold] .entry-problem")).to_contain_text("can never fire")
    # Nobody was at the name yet: it is not found fault with before they are done.
    expect(dialog.locator("[data-field=name] .entry-problem")).to_be_hidden()
    dialog.get_by_label("Has to hold for").fill("0")
    dialog.get_by_label("Threshold").fill("30")
    expect(dialog.locator(".preview-title")).to_have_text("It would have fired once in the last 7 days")
    expect(dialog.locator(".rule-band")).to_have_count(1)
    expect(dialog.locator(".rule-threshold")).to_have_count(1)
    dialog.get_by_label("pager").check()
    dialog.get_by_role("button", name="Make the rule").click()
    expect(dialog.locator("[data-field=name] .entry-problem")).to_contain_text("xpected what people call the rule")
    expect(dialog.get_by_label("Name")).to_be_focused()
    for threshold in ("31", "30"):
        with page.expect_response(lambda answer: "/preview" in answer.url):
            dialog.get_by_label("Threshold").fill(threshold)
    expect(dialog.locator("[data-field=name] .entry-problem"), "a preview clears no refusal").to_be_visible()
    dialog.get_by_label("Name").fill("Too many errors")
    dialog.get_by_role("button", name="Make the rule").click()
    rule = page.locator(".rule", has_text="Too many errors")
    expect(rule.locator(".deployment")).to_have_attribute("data-state", "evaluated")
    expect(rule).to_contain_text("Error rate above 30 % over 5 min, at once · tells pager")

    toast = page.locator(".toast", has_text="Too many errors Alert")
    expect(toast).to_contain_text("Chat · production")
    expect(rule.locator(".status-chip")).to_have_text("Firing")
    toast.get_by_role("link").click()
    details = page.get_by_role("dialog", name="Too many errors Alert")
    expect(details.locator(".answer")).to_contain_text(re.compile(r"Yes\. pager took it at \d\d:\d\d:\d\d\."))
    assert any(
        post["body"]["alerts"][0]["labels"]["alertname"] == "Too many errors" for post in alerting.sink.at("/pager")
    )
    expect(page.locator(".toast")).to_have_count(0)
    details.get_by_label("Say something").fill("The provider times out.")
    details.get_by_role("button", name="Add comment").click()
    expect(details.locator(".story-text")).to_have_text("The provider times out.")
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("alert="))
    expect(rule).to_be_visible()
    page.go_back()
    details.get_by_role("button", name="View logs").click()
    expect(page).to_have_url(re.compile("logs=chat&range=custom&from="))
    expect(details).to_have_count(0)
    page.get_by_role("button", name="Close the log").click()

    page.goto(alerting.url + "#/alerts")
    alert = card(page, "Too many errors Alert")
    expect(alert.locator(".alert-facts")).to_contain_text("Error rate 100 % · threshold above 30 % · now 100 %")
    expect(alert.locator(".alert-when")).to_contain_text("1 comment")
    alert.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Comment").fill("on it")
    page.get_by_label("Keep it quiet").select_option("For 1 hour")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    taken = page.locator(".alert-group[data-status=acknowledged] .alert", has_text="Too many errors")
    expect(taken).to_contain_text(re.compile(r"acknowledged by admin .+ until .*\d\d:\d\d"))
    expect(taken).to_be_focused()
    deeds = alerting.api.get("/audit?action=alert.acknowledge").json()["deeds"]
    assert (deeds[0]["details"]["comment"], deeds[0]["details"]["expires_minutes"]) == ("on it", 60)
    taken.get_by_role("link", name="Too many errors Alert").click()
    expect(page.locator(".answer")).to_contain_text("Nothing more is sent: admin acknowledged it")
    page.keyboard.press("Escape")
    taken.get_by_role("button", name="Un-acknowledge").click()
    page.get_by_role("dialog").get_by_role("button", name="Un-acknowledge").click()
    expect(page.locator(".alert-group[data-status=active]")).to_contain_text("Too many errors")

    card(page, "Too many errors Alert").get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its condition still holds")
    page.get_by_label("Comment").fill("provider recovered")
    page.get_by_role("button", name="Resolve all the same").click()
    expect(card(page, "Too many errors Alert")).to_have_count(0)
    past = page.locator(".section-alert-history .alert", has_text="Too many errors")
    expect(past).to_contain_text("closed by admin")
    expect(past).to_contain_text("its condition still holds")

    page.goto(alerting.url + "#/channels")
    channel.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Rules use it: Chat / Too many errors")
    page.get_by_role("button", name="Delete the channel").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("chat/Too many errors")
    page.keyboard.press("Escape")
    expect(channel).to_be_visible()


def test_a_rule_is_changed_switched_off_and_deleted_and_lines_can_be_watched(
    alerting: Alerting, console: Callable[..., Page]
) -> None:
    alerting.put("/features/rules", {"name": "Rules"})
    at = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    lines = [
        {
            "featureId": "rules",
            "message": f"Timeout {n}",
            "level": "error",
            "environment": "production",
            "timestamp": at,
        }
        for n in range(4)
    ]
    alerting.post("/logs", lines)
    page = console("#/feature/rules/settings")
    expect(page.locator(".rules .none")).to_contain_text("No rule watches this feature yet")
    page.get_by_role("button", name="New rule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Timeouts")
    dialog.get_by_label("Log lines").check(force=True)
    expect(dialog.get_by_label("Figure", exact=True)).to_be_hidden()
    dialog.get_by_label("That contain").fill("timeout")
    dialog.get_by_label("Threshold").fill("2")
    dialog.get_by_label("Has to hold for").fill("0")
    expect(dialog.locator(".preview-title")).to_have_text("It would have fired once in the last 7 days")
    dialog.get_by_label("Low").check(force=True)
    dialog.get_by_role("button", name="Make the rule").click()
    rule = page.locator(".rule", has_text="Timeouts")
    expect(rule).to_contain_text("Log lines above 2")
    kept = alerting.api.get("/features/rules/alerts/rules").json()["rules"][0]
    assert (kept["kind"], kept["logs"]["search"], kept["severity"]) == ("logs", "timeout", "low")

    rule.get_by_role("button", name="Timeouts", exact=True).click()
    dialog.get_by_label("Threshold").fill("50")
    expect(dialog.locator(".preview-title")).to_have_text("It would not have fired in the last 7 days")
    # What is not saved is not thrown away by one slip of a finger.
    page.keyboard.press("Escape")
    expect(dialog.get_by_role("alert")).to_contain_text("not saved")
    alerting.put(f"/features/rules/alerts/rules/{kept['id']}", {"for_minutes": 2})
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Somebody else changed this rule meanwhile")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(rule).to_contain_text("for 2 min")
    rule.get_by_role("button", name="Timeouts", exact=True).click()
    dialog.get_by_label("Threshold").fill("50")
    dialog.get_by_role("button", name="Save").click()
    expect(rule).to_contain_text("Log lines above 50")
    expect(rule.get_by_role("button", name="Timeouts", exact=True)).to_be_focused()
    rule.get_by_role("switch").click()
    expect(rule.locator(".deployment")).to_have_text("Off")
    assert alerting.api.get("/features/rules/alerts/rules").json()["rules"][0]["enabled"] is False
    rule.get_by_role("button", name="Timeouts", exact=True).click()
    dialog.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the rule").click()
    expect(page.locator(".rule")).to_have_count(0)


def test_what_a_role_may_not_do_is_not_offered(alerting: Alerting, console: Callable[..., Page]) -> None:
    alerting.put("/channels/roles", {"kind": "webhook", "settings": {"url": f"{alerting.sink.url}/roles"}})
    alerting.fail("roles")
    alerting.rule("roles", name="Roles")
    alerting.open("roles")
    page = console("#/feature/roles", "viewer")
    alert = card(page, "Roles Alert")
    expect(alert).to_contain_text("threshold above 20 %")
    expect(alert.get_by_role("button")).to_have_count(0)
    expect(alert.get_by_role("checkbox")).to_have_count(0)
    alert.get_by_role("link").first.click()
    expect(page.locator(".answer")).to_contain_text("Its rule names no notification channel")
    expect(page.get_by_label("Say something")).to_be_hidden()
    page.keyboard.press("Escape")
    page.goto(alerting.url + "#/feature/roles/settings")
    rule = page.locator(".rule", has_text="Roles")
    expect(rule.get_by_role("switch")).to_have_count(0)
    expect(page.get_by_role("button", name="New rule")).to_be_hidden()
    expect(page.get_by_role("button", name="New window")).to_be_hidden()
    rule.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("Your role may look at this rule")
    expect(page.locator(".rule-band")).to_have_count(1)
    page.keyboard.press("Escape")
    page.goto(alerting.url + "#/channels")
    expect(page.locator("[data-channel=roles]")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Test|Edit|Delete|New channel"))).to_have_count(0)

    page = console("#/feature/roles", "operator")
    expect(card(page, "Roles Alert").get_by_role("button", name="Acknowledge")).to_be_visible()
    page.goto(alerting.url + "#/feature/roles/settings")
    expect(page.get_by_role("button", name="New window")).to_be_visible()
    expect(page.get_by_role("button", name="New rule")).to_be_hidden()


def test_many_at_once_and_a_history_by_pages_and_filters(alerting: Alerting, console: Callable[..., Page]) -> None:
    alerting.fail("many")
    made = [
        alerting.rule("many", name=f"Rule {n:02}", severity="critical" if n < 2 else "low", threshold=20 + n)
        for n in range(28)
    ]
    alerting.open("many", 28)
    page = console("#/feature/many")
    expect(page.locator(".group-number").first).to_have_text("28")
    for title in ("Rule 00 Alert", "Rule 01 Alert"):
        card(page, title).get_by_role("checkbox").check()
    bulk = page.locator(".bulk")
    expect(bulk).to_contain_text("2 selected")
    bulk.get_by_role("button", name="Acknowledge", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    taken = page.locator(".alert-group[data-status=acknowledged] .alert")
    expect(taken).to_have_count(2)
    bulk.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("dialog")).to_contain_text("The conditions of all of these still hold")
    page.get_by_role("button", name="Resolve all the same").click()
    expect(taken).to_have_count(0)
    for rule in made:
        alerting.api.delete(f"/features/many/alerts/rules/{rule}").raise_for_status()
    expect(page.locator(".all-clear")).to_contain_text("All clear")

    page.get_by_role("button", name="History").click()
    past = page.locator(".section-alert-history .alert")
    expect(past).to_have_count(25)
    page.get_by_role("button", name="Show older").click()
    expect(past).to_have_count(28)
    expect(past.nth(25)).to_be_focused()
    expect(page.get_by_role("button", name="Show older")).to_be_hidden()
    page.get_by_label("Severity").select_option("Critical")
    expect(past).to_have_count(2)
    expect(past.first).to_contain_text("closed by admin")
    page.get_by_label("State").select_option("Open")
    expect(past).to_have_count(0)
    expect(page.locator(".section-alert-history .none")).to_contain_text("No alert matches these filters")
    page.get_by_label("State").select_option("Any state")
    history = page.locator(".section-alert-history")
    history.get_by_label("Time", exact=True).select_option("custom")
    history.get_by_label("To", exact=True).fill("2020-01-01T00:00")
    expect(past).to_have_count(0)


def test_a_maintenance_window_answers_why_nobody_was_told(alerting: Alerting, console: Callable[..., Page]) -> None:
    alerting.put("/channels/upkeep", {"kind": "webhook", "settings": {"url": f"{alerting.sink.url}/upkeep"}})
    alerting.put("/features/upkeep", {})
    page = console("#/feature/upkeep/settings")
    page.get_by_role("button", name="New window").click()
    page.get_by_label("Why").fill("moving the index")
    page.get_by_label("Lasts").select_option("2 hours")
    page.get_by_role("button", name="Set the window").click()
    window = page.locator(".window")
    expect(window).to_contain_text("1 h 59 min left")
    expect(window).to_contain_text("admin: moving the index")
    alerting.fail("upkeep")
    alerting.rule("upkeep", notification_channels=["upkeep"])
    alerting.open("upkeep")
    page.goto(alerting.url + "#/feature/upkeep")
    card(page, "Errors Alert").get_by_role("link").first.click()
    expect(page.locator(".answer")).to_contain_text(re.compile(r"No\. Upkeep is under maintenance until .*\d\d:\d\d"))
    page.keyboard.press("Escape")
    expect(card(page, "Errors Alert").get_by_role("link").first).to_be_focused()
    page.goto(alerting.url + "#/feature/upkeep/settings")
    window.get_by_role("button", name="End").click()
    page.get_by_role("button", name="End it now").click()
    expect(window).to_have_count(0)
    alerting.sink.wait_told(1, "/upkeep")


def test_toasts_are_few_are_read_aloud_once_and_go(alerting: Alerting, console: Callable[..., Page]) -> None:
    alerting.fail("toasts")
    page = console("")
    expect(page.locator(".top .badge-text")).to_have_text("Live")
    for number in range(5):
        alerting.rule("toasts", name=f"Toast {number}", threshold=30 + number)
    expect(page.locator(".toast-more")).to_have_text("2 more")
    expect(page.locator(".toast:visible")).to_have_count(3)
    said = page.locator(".toasts [role=status]")
    expect(said).to_contain_text(
        re.compile(r"New alert, high: Toast \d Alert, toasts\. Error rate 100 %, threshold above")
    )
    first = page.locator(".toast:visible").first
    title = first.get_by_role("link").inner_text()
    first.get_by_role("button", name=f"Dismiss {title}").click()
    expect(page.locator(".toast:visible").first.get_by_role("button")).to_be_focused()
    expect(page.locator(".toast-more")).to_have_text("1 more")
    # What somebody takes on elsewhere is no news here.
    gone = page.locator(".toast:visible").first.get_by_role("link").inner_text()
    alert = next(one for one in alerting.open("toasts", 5) if one["title"] == gone)
    alerting.post(f"/alerts/{alert['id']}/acknowledge", {})
    expect(page.locator(".toast", has_text=gone)).to_have_count(0)
    page.get_by_role("button", name="Dismiss all").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".toast")).to_have_count(0)
    expect(page.locator(".nav-count")).to_be_visible()
    # The stream tells of production alone, where a feature has it.
    alerting.fail("toasts", environment="staging")
    alerting.rule("toasts", name="Elsewhere", environment="staging")
    expect(page.locator(".toast", has_text="Elsewhere Alert")).to_contain_text("toasts · staging", timeout=30_000)


def test_the_keyboard_alone_reaches_all_and_the_focus_comes_back(
    alerting: Alerting, console: Callable[..., Page]
) -> None:
    alerting.fail("keys")
    alerting.rule("keys", name="Keys")
    alerting.open("keys")
    page = console("#/feature/keys")
    alert = card(page, "Keys Alert")
    alert.get_by_role("checkbox").focus()
    page.keyboard.press("Tab")
    expect(alert.get_by_role("link", name="Keys Alert")).to_be_focused()
    page.keyboard.press("Enter")
    details = page.get_by_role("dialog", name="Keys Alert")
    expect(details.get_by_role("heading", name="Keys Alert")).to_be_focused()
    for _ in range(14):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
    page.keyboard.press("Escape")
    expect(alert.get_by_role("link", name="Keys Alert")).to_be_focused()
    page.keyboard.press("Tab")
    expect(alert.get_by_role("button", name="Acknowledge")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Comment")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".alert-group[data-status=acknowledged] .alert")).to_be_focused()


def test_what_fails_is_told_and_what_to_do(alerting: Alerting, console: Callable[..., Page]) -> None:
    alerting.put("/channels/dead", {"kind": "webhook", "settings": {"url": f"{alerting.url}nothing-here"}})
    alerting.fail("broken")
    alerting.rule("broken", name="Broken", notification_channels=["dead"])
    alert = alerting.open("broken")[0]["id"]

    def broken(route: Any) -> None:
        told = route.fetch().json()
        for rule in told["rules"]:
            rule["deployment"] = {**rule["deployment"], "state": "failed", "error": "many-to-many matching not allowed"}
        route.fulfill(json=told)

    page = console("#/feature/broken/settings")
    page.route("**/features/broken/alerts/rules", broken)
    page.reload()
    rule = page.locator(".rule", has_text="Broken")
    expect(rule.locator(".deployment")).to_contain_text("Failed")
    expect(rule.locator(".rule-error")).to_have_text("many-to-many matching not allowed")
    page.goto(f"{alerting.url}#/alerts?alert={alert}")
    expect(page.locator(".answer")).to_contain_text(
        re.compile(r"No\. dead could not be told at .*\d\d: .+ answered 40\d")
    )
    page.keyboard.press("Escape")
    page.route("**/alerts?*", lambda route: route.abort())
    page.goto(alerting.url + "#/alerts")
    page.reload()
    expect(page.locator(".section-alerts .none")).to_have_text(
        "The bridge cannot be reached. It is tried again by itself."
    )
    expect(page.locator(".section-alert-history .none")).to_contain_text("The bridge cannot be reached.")
    page.unroute("**/alerts?*")
    expect(page.locator(".section-alerts .none")).to_be_hidden(timeout=30_000)
    expect(page.locator(".section-alert-history .none")).not_to_contain_text("reached")
    page.goto(alerting.url + "#/alerts?alert=nothing")
    expect(page.get_by_role("dialog")).to_contain_text("This alert does not exist")


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 375)], ids=["light", "dark, phone"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    alerting: Alerting, console: Callable[..., Page], dark: bool, width: int
) -> None:
    alerting.put(
        "/channels/seen", {"kind": "webhook", "settings": {"url": f"{alerting.sink.url}/seen", "bearer_token": "S"}}
    )
    long = {"name": "Seen" * 40, "slo": {"objective": 99.5, "notification_channels": ["seen"]}}
    alerting.put("/features/seen", long)
    alerting.fail("seen")
    if not alerting.api.get("/features/seen/alerts/rules?").json()["rules"][:-4]:
        for severity in ("low", "medium", "high", "critical"):
            alerting.rule("seen", name=f"Seen {severity}", severity=severity, notification_channels=["seen"])
        alerts = alerting.open("seen", 4)
        medium = next(one for one in alerts if one["severity"] == "medium")
        alerting.post(f"/alerts/{medium['id']}/acknowledge", {"comment": "on it"})
        alerting.post("/features/seen/maintenance", {"duration_minutes": 90})
    page = console("#/feature/seen", dark=dark, width=width)
    alert = card(page, "Seen critical Alert")
    expect(alert).to_be_visible()
    wrong: dict[str, list[str]] = {}

    def look(name: str) -> None:
        found = violations(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if found or wide > width:
            wrong[name] = [*found, *([f"{wide} px wide"] if wide > width else [])]

    page.get_by_role("button", name="History").click()
    look("the feature")
    # Four rules with one threshold: their names stand side by side.
    names = page.locator(".threshold-text")
    boxes = sorted(
        names.evaluate_all("(all) => all.map((it) => it.getBBox()).map(({x, y, width}) => [y, x, x + width])")
    )
    apart = [one[2] <= other[1] for one, other in itertools.pairwise(boxes) if other[0] - one[0] < 12]
    assert len(boxes) > 2
    assert all(apart)
    page.goto(alerting.url + "#/alerts")
    expect(alert).to_be_visible()
    alert.get_by_role("checkbox").check()
    look("all alerts")
    alert.get_by_role("link", name="Seen critical Alert").click()
    expect(page.locator(".answer")).to_be_visible()
    look("an alert whole")
    assert page.locator(".detail").evaluate("(it) => it.scrollWidth <= it.clientWidth")
    page.keyboard.press("Escape")
    alert.get_by_role("button", name="Resolve").click()
    look("the box that asks")
    page.keyboard.press("Escape")
    page.goto(alerting.url + "#/feature/seen/settings")
    expect(page.locator(".rule", has_text="of the objective")).to_have_count(4)
    expect(page.locator(".window").first).to_be_visible()
    look("the settings")
    page.get_by_role("button", name="Seen high", exact=True).click()
    expect(page.locator(".rule-band").first).to_be_attached()
    page.get_by_label("Threshold", exact=True).fill("x")
    expect(page.locator(".entry-problem:visible")).to_have_count(1)
    look("the editor of a rule")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New rule").click()
    expect(page.locator(".preview-title")).to_contain_text("Complete the rule")
    look("the editor of a new rule")
    page.keyboard.press("Escape")
    page.goto(alerting.url + "#/channels")
    page.locator("[data-channel=seen]").get_by_role("button", name="Test").click()
    expect(page.locator(".channel-said:visible")).to_have_count(1)
    look("the channels")
    page.locator("[data-channel=seen]").get_by_role("button", name="Edit").click()
    look("the editor of a channel")
    page.keyboard.press("Escape")
    alerting.rule("seen", name=f"New {dark}", threshold=40)
    # Rules of the objective may fire only now, too.
    expect(page.locator(".toast", has_text=f"New {dark} Alert")).to_have_count(1)
    look("a toast")
    assert wrong == {}
