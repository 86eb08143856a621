"""What the pages say and keep while something is slow, fails, or is away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from browser.fake_bridge import FakeBridge, furnished

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.faults]


def test_a_slow_bridge_is_waited_for_with_its_place_held(page: Page, bridge: FakeBridge) -> None:
    bridge.delay_s = 1.5
    page.goto(bridge.url)
    expect(page.get_by_role("status", name="Loading features")).to_be_visible()
    expect(page.locator(".rows .row")).to_have_count(5)
    bridge.delay_s = 3.0
    page.locator(".rows .row", has_text="Summaries").click()
    expect(page.locator(".tile[data-metric=error_rate] .figure")).to_have_text("0.31%")
    expect(page.locator(".chart-empty").first).to_have_text("Loading…")
    expect(page.locator(".section-costs")).to_contain_text("Loading…")
    bridge.delay_s = 0
    expect(page.locator(".section-costs tbody tr")).to_have_count(3)


def test_a_bridge_that_goes_away_leaves_what_was_known_and_comes_back(page: Page) -> None:
    bridge = furnished()
    with bridge.running():
        page.goto(bridge.url + "#/feature/summarize")
        expect(page.locator(".updated")).to_have_text(re.compile("^Live"))
    expect(page.get_by_role("alert").filter(has_text="The bridge cannot be reached")).to_be_visible()
    expect(page.locator(".updated")).to_have_text(re.compile("^Cached"))
    expect(page.locator(".tile[data-metric=error_rate] .figure")).to_have_text("0.31%")
    with bridge.running():
        page.locator(".outage").get_by_role("button", name="Try again").click()
        expect(page.locator(".updated")).to_have_text(re.compile("^Live"))
        expect(page.locator(".outage")).to_be_hidden()
        page.goto("about:blank")


def test_features_that_fail_to_load_are_tried_again(page: Page, bridge: FakeBridge) -> None:
    bridge.failing = {"/features"}
    page.goto(bridge.url)
    told = page.get_by_role("alert").filter(has_text="The features could not be loaded")
    expect(told).to_contain_text("the store cannot be reached: try again")
    bridge.failing = set()
    expect(page.locator(".rows .row")).to_have_count(5, timeout=10_000)
    expect(told).to_be_hidden()


def test_a_time_that_is_nonsense_shows_the_live_hour(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/summarize?time=custom&start=tomorrow&end=%20")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".chart .line").first).to_have_attribute("d", re.compile("^M"))
