"""The console's page of one feature."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from browser.fake_bridge import FakeBridge

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser


def tile(page: Page, metric: str) -> Locator:
    return page.locator(f".tile[data-metric={metric}] .figure")


def test_a_row_leads_to_the_feature_and_back(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    page.locator(".rows .row", has_text="Summaries").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Summaries")
    assert page.url.endswith("#/feature/summarize")
    page.go_back()
    expect(page.locator(".rows .row")).to_have_count(5)


def test_every_figure_has_a_tile_marked_by_its_status(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/extract")
    expect(page.locator(".tile")).to_have_count(13)
    expect(tile(page, "error_rate")).to_have_text("61.5%")
    expect(tile(page, "error_rate")).to_have_attribute("data-status", "error")
    expect(tile(page, "response_time_p99")).to_have_text("1.41s")
    expect(page.locator(".reasons li")).to_have_text(
        ["Error rate is 61.5 %, the threshold is 5 %", "Uptime is 71.2 %, the threshold is 99 %"]
    )


def test_what_is_unknown_is_a_dash(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/translate")
    expect(page.locator(".tile .figure")).to_have_text(["—"] * 13)
    expect(page.locator(".chart-empty").first).to_be_visible()


def test_charts_leave_holes_where_nothing_is_known_and_go_on_live(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/summarize")
    line = page.locator(".chart", has_text="Error rate").locator(".line")
    expect(line).to_have_attribute("d", re.compile("^M.+M.+"))
    expect(page.locator(".chart", has_text="Response time").locator(".line")).to_have_count(3)
    chart = page.locator(".chart", has_text="Requests")
    chart.locator(".chart-plot").focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".chart-when")).to_have_text(re.compile(r"^\d\d:\d\d:00$"))
    expect(page.locator(".cursor")).to_have_count(4)
    page.keyboard.press("Escape")
    bridge.update("summarize", requests_per_minute=999)
    expect(chart.locator(".chart-value")).to_have_text("999/min", timeout=15_000)
    expect(tile(page, "requests_per_minute")).to_have_text("999/min")


def test_figures_that_are_stale_say_so(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/summarize")
    expect(page.locator(".updated")).to_have_text(re.compile("^Live · Updated"))
    bridge.snapshots["summarize"]["stale"] = True
    bridge.update("summarize")
    expect(page.locator(".updated")).to_have_text(re.compile("^Stale · Updated"))
    expect(page.locator(".reasons")).to_contain_text("The store cannot be reached")


def test_costs_errors_and_events_are_told(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/summarize")
    rows = page.locator(".section-costs tbody tr")
    expect(rows.locator("th .model")).to_have_text(["gpt-5-mini", "claude-haiku-4-5", "house-model"])
    expect(rows.last).to_contain_text("14 calls without a known price")
    expect(rows.last.locator("td").last).to_have_text("—")
    expect(page.locator(".error-kinds li")).to_have_text(["UnicodeDecodeError 21", "TimeoutError 4", "refused 1"])
    expect(page.locator(".event-title")).to_have_text(
        ["Warning → Healthy", "Test answers in French failed", "Healthy → Warning"]
    )
    bridge.events.insert(0, {**bridge.events[0], "id": "e4", "data": {"from": "healthy", "to": "error", "reasons": []}})
    bridge.tell({"type": "status_change", "featureId": "summarize", "data": bridge.events[0]["data"]})
    expect(page.locator(".event-title").first).to_have_text("Healthy → Error")
    page.get_by_role("button", name="Show in the log").click()
    expect(page.locator(".log-row .log-level").first).to_have_text(re.compile("error|fatal"))
    assert "levels=error,fatal" in page.url


def test_a_feature_that_is_not_there_is_told(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + "#/feature/nothing")
    expect(page.get_by_role("heading", name="No such feature")).to_be_visible()
    page.get_by_role("link", name="All features", exact=True).click()
    expect(page.locator(".rows .row")).to_have_count(5)


@pytest.mark.faults
def test_a_part_that_fails_leaves_the_others_alone(page: Page, bridge: FakeBridge) -> None:
    bridge.failing = {"/costs"}
    page.goto(bridge.url + "#/feature/summarize")
    expect(page.locator(".section-costs")).to_contain_text("the store cannot be reached: try again")
    expect(page.locator(".event")).to_have_count(3)
    expect(tile(page, "uptime")).to_have_text("100%")
