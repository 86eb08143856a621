"""The console for everyone: axe finds nothing, the keyboard reaches all, nothing moves for who wants it still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import httpx
import pytest

from browser.axe import violations
from browser.fake_bridge import FakeBridge
from running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser

PAGES = {
    "#/": ".rows .row-alerts",
    "#/?time=24h&q=e": ".rows .row",
    "#/feature/extract": ".episode",
    "#/feature/extract/settings": ".form .input",
    "#/feature/nothing": ".welcome",
    "#/?logs=extract": ".log-row",
}
"""Each page and what is seen when it is there."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(page: Page, console: Running, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for path, seen in PAGES.items():
        page.goto(f"{console.url}/{path}")
        expect(page.locator(seen).first).to_be_visible()
        assert (path, violations(page)) == (path, [])


def test_a_phone_shows_every_page_without_scrolling_sideways(page: Page, console: Running) -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    for path, seen in PAGES.items():
        page.goto(f"{console.url}/{path}")
        expect(page.locator(seen).first).to_be_visible()
        assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, 375)
        assert (path, violations(page)) == (path, [])


@pytest.mark.faults
def test_axe_finds_nothing_where_there_is_nothing_or_where_it_fails(page: Page) -> None:
    with FakeBridge().running() as empty:
        page.goto(empty.url)
        expect(page.get_by_role("heading", name="No feature has been seen yet")).to_be_visible()
        assert violations(page) == []
        empty.failing = {"/features"}
        page.reload()
        expect(page.locator(".outage")).to_be_visible()
        assert violations(page) == []
        page.goto("about:blank")


def test_nothing_moves_for_who_wants_it_still(page: Page, console: Running) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{console.url}/#/feature/extract")
    expect(page.locator(".top .badge-text")).to_have_text("Live")
    assert page.evaluate("document.getAnimations().length") == 0


def test_what_is_on_can_be_told_where_the_system_chooses_the_colours(page: Page, console: Running) -> None:
    page.emulate_media(forced_colors="active")
    page.goto(f"{console.url}/#/?logs=search")
    live = page.get_by_role("switch", name="Live")
    expect(live).to_have_attribute("aria-checked", "true")
    on = page.locator(".switch-knob").screenshot(animations="disabled")
    live.click()
    expect(live).to_have_attribute("aria-checked", "false")
    assert page.locator(".switch-knob").screenshot(animations="disabled") != on


def test_the_policy_allows_no_code_or_style_within_the_page(page: Page, console: Running) -> None:
    answer = httpx.get(console.url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.blockedURI))"
    )
    page.goto(f"{console.url}/#/feature/extract")
    expect(page.locator(".share").first).to_be_visible()
    assert page.evaluate("refused") == []
    assert page.locator("script:not([src]), style, [onclick]").count() == 0


def test_all_is_done_by_keyboard_from_the_overview_to_a_saved_setting(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/")
    expect(page.locator(".rows .row")).to_have_count(3)
    tab_to(page, "Extraction")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Extraction")
    expect(page.locator("#page")).to_be_focused()
    # Going back up, what gets the focus is not left under the header.
    plots = page.locator(".chart-plot")
    expect(plots).to_have_count(4)
    page.set_viewport_size({"width": 1280, "height": 400})
    plots.nth(2).focus()
    page.keyboard.press("Shift+Tab")
    expect(plots.nth(1)).to_be_focused()
    top, header = (one.bounding_box() for one in (plots.nth(1), page.locator(".top")))
    assert top is not None
    assert header is not None
    assert top["y"] >= header["y"] + header["height"]
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#page").focus()
    tab_to(page, "Settings")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    field = page.get_by_label("Description")
    expect(field).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if field.evaluate("(element) => element === document.activeElement"):
            break
    page.keyboard.type("Reads tables out of scans")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert httpx.get(f"{console.url}/api/v1/features/extract").json()["description"] == "Reads tables out of scans"
    expect(page.locator(".foot")).to_contain_text("Times: Europe/Berlin, UTC+0")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until a link or button of that name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"Tab does not reach {name!r}")
