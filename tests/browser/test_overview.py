"""The console's overview, its themes and its ways in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pytest

from browser.fake_bridge import FakeBridge

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser

NAMES = ["Extraction from scanned documents", "Search", "Translate", "Classify", "Summaries"]


def test_features_stand_in_order_of_trouble_with_their_figures(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    expect(page.locator(".rows .row-link")).to_have_text(NAMES)
    expect(page.locator(".rows .health")).to_have_text(["Error", "Warning", "Unknown", "Healthy", "Healthy"])
    first = page.locator(".rows .row").first
    expect(first.locator(".row-reason")).to_have_text("Error rate is 61.5 %, the threshold is 5 % (+1)")
    expect(first.locator(".row-figure .figure")).to_have_text(["247/min", "61.5%", "874ms", "71.2%", "$2.63"])
    unknown = page.locator(".rows .row", has_text="Translate")
    expect(unknown.locator(".row-figure .figure")).to_have_text(["—"] * 5)
    expect(first.locator(".spark-calls")).to_have_attribute("d", re.compile("^M"))
    expect(page.locator(".top .badge-text")).to_have_text("Live")


def test_figures_change_as_they_come_and_new_features_appear(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    row = page.locator(".rows .row", has_text="Summaries")
    expect(row.locator("[data-metric=requests_per_minute] .figure")).to_have_text("247/min")
    bridge.snapshots["summarize"]["health_status"] = "error"
    bridge.snapshots["summarize"]["alerts"] = [{"type": "a", "message": "m", "severity": "high", "timestamp": "t"}]
    bridge.update("summarize", requests_per_minute=3.25, error_rate=None)
    expect(row.locator("[data-metric=requests_per_minute] .figure")).to_have_text("3.25/min")
    expect(row.locator("[data-metric=error_rate] .figure")).to_have_text("—")
    expect(page.locator(".rows .row-link").first).to_have_text("Summaries")
    bridge.add("chat", name="Chat")
    bridge.update("chat")
    expect(page.locator(".rows .row", has_text="Chat")).to_have_count(1)


def test_filters_live_in_the_address(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    expect(page.locator(".rows .row")).to_have_count(5)
    page.keyboard.press("/")
    page.keyboard.type("sum")
    expect(page.locator(".rows .row-link")).to_have_text(["Summaries"])
    page.reload()
    expect(page.locator(".rows .row-link")).to_have_text(["Summaries"])
    page.get_by_role("searchbox", name="Filter features").fill("")
    page.get_by_role("group", name="Show only").get_by_role("button", name="Error").click()
    expect(page.locator(".rows .row-link")).to_have_text(NAMES[:1])
    page.get_by_label("Environment").select_option("staging")
    assert "env=staging" in page.url
    assert "health=error" in page.url
    live = page.locator(".top .badge-text")
    expect(live).to_have_text("Live")
    page.get_by_role("searchbox", name="Filter features").fill("nothing of that name")
    page.get_by_role("button", name="Show all features").click()
    expect(page.locator(".rows .row")).to_have_count(5)
    expect(live).to_have_text("Live")
    page.go_back()
    expect(page.get_by_text("No feature matches the filter.")).to_be_visible()
    expect(live).to_have_text("Live")


@pytest.mark.faults
def test_without_features_the_first_call_is_explained(page: Page) -> None:
    with FakeBridge().running() as empty:
        page.goto(empty.url)
        expect(page.get_by_role("heading", name="No feature has been seen yet")).to_be_visible()
        assert len(page.locator(".welcome code").inner_text().splitlines()) == 5
        assert empty.url.rstrip("/") in page.locator(".welcome code").inner_text()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator(".welcome button").click()
        expect(page.locator(".welcome button")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith("import featurewatch\n")


@pytest.mark.faults
def test_features_that_cannot_be_loaded_say_why(page: Page, bridge: FakeBridge) -> None:
    bridge.failing = {"/features"}
    bridge.websockets_pass = False
    page.goto(bridge.url)
    expect(page.get_by_role("alert").filter(has_text="the store cannot be reached")).to_be_visible()


@pytest.mark.faults
def test_a_token_is_asked_for_once_and_lets_in(page: Page, bridge: FakeBridge) -> None:
    bridge.token = "right"
    page.goto(bridge.url)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("token: this one is not known")
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Token").fill("right")
    page.keyboard.press("Enter")
    expect(page.locator(".rows .row")).to_have_count(5)
    expect(page.locator(".who")).to_have_text("ada · viewer")
    assert "right" not in page.evaluate("JSON.stringify([document.cookie, {...localStorage}])")


def test_the_theme_follows_the_system_until_the_reader_chooses(page: Page, bridge: FakeBridge) -> None:
    root = page.locator("html")
    page.emulate_media(color_scheme="dark")
    page.goto(bridge.url)
    expect(root).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Use the dark theme").click()
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(page: Page, bridge: FakeBridge, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for path in ("", "#/feature/extract", "#/?logs=summarize"):
        page.goto(bridge.url + path)
        expect(page.locator(".rows .row, .table, .log-row").first).to_be_visible()
        assert page.evaluate(FAINT) == []


FAINT = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const seen = element.checkVisibility({ visibilityProperty: true }) && !element.closest("[inert], option");
    if (!own || !seen) continue;
    const style = getComputedStyle(element);
    const text = light(numbers(element instanceof SVGElement ? style.fill : style.color));
    const [one, other] = [text, light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.push(`${element.className} ${element.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return [...new Set(faint)];
}"""


PHONE_PAGES = ("", "#/feature/extract", "#/?logs=summarize", "#/feature/none", "#/?logs=summarize&range=custom")
CUT = """() => [...document.querySelectorAll("button, select, input, a.button")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("[inert]"))
  .filter((element) => element.getBoundingClientRect().left < 0 || element.getBoundingClientRect().right > 375)
  .map((element) => element.outerHTML.slice(0, 80))"""


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, bridge: FakeBridge) -> None:
    bridge.line("word" * 500, quiet=True)
    bridge.add("long", "warning", name="Verylongname" * 8, reasons=["a" * 200])
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    page = context.new_page()
    for path in PHONE_PAGES:
        page.goto(bridge.url + path)
        expect(page.locator(".rows .row, .table, .log-row, .welcome").first).to_be_visible()
        assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, 375)
        assert (path, page.evaluate(CUT)) == (path, [])
    context.close()


def test_everything_is_reached_and_left_by_keyboard(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    expect(page.locator(".rows .row")).to_have_count(5)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.get_by_role("button", name="Open the log of Summaries").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Log")).to_be_visible()
    expect(page.get_by_role("button", name="Close the log")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Open the log of Summaries")).to_be_focused()
    expect(page.locator(".drawer")).to_be_hidden()
