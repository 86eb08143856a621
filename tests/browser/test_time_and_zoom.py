"""The time that is looked at: in the address, in the figures, in the charts, and in Grafana."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser


def test_the_time_chosen_is_shared_by_the_address_and_undone_by_back(page: Page, console: Running) -> None:
    page.goto(console.url)
    mark = page.locator(".overview .fresh-word")
    expect(mark).to_have_text("Live")
    page.get_by_role("button", name="24 h").click()
    assert page.url.endswith("#/?time=24h")
    expect(mark).to_have_text("Cached")
    expect(page.locator(".totals")).to_have_text(re.compile(r"requests/min · \$.+ in 24 h"))
    expect(page.locator(".row-head")).to_contain_text("Last 24 h")
    # What happened in the step that still runs is shown, not waited for.
    row = page.locator(".rows .row", has_text="Extraction")
    expect(row.locator(".spark-failed")).to_have_attribute("d", re.compile("^M"))
    page.locator(".rows .row", has_text="Extraction").click()
    assert page.url.endswith("#/feature/extract?time=24h")
    expect(page.locator(".tile-note")).to_have_text(["24 h"] * 5)
    expect(page.locator(".tile[data-metric=total_requests] .figure")).to_have_text("25")
    expect(page.locator(".section-costs")).to_contain_text("Last 24 h")
    page.reload()
    expect(page.locator(".updated")).to_have_text(re.compile("^Cached · Updated"))
    page.go_back()
    expect(page.locator(".rows .row")).to_have_count(3)
    page.go_back()
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    expect(mark).to_have_text("Live")


def test_an_environment_is_chosen_by_the_address(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/#/feature/extract?env=staging")
    expect(page.locator(".tile[data-metric=total_requests] .figure")).to_have_text("1")
    expect(page.locator(".feature-about")).to_contain_text("staging")
    page.get_by_label("Environment").select_option("production")
    expect(page.locator(".tile[data-metric=total_requests] .figure")).to_have_text("25")
    page.goto(f"{console.url}/#/feature/search?env=staging")
    expect(page.locator(".reasons")).to_contain_text("Nothing was seen of it in “staging”. It was seen in production")


def test_dragging_zooms_all_charts_and_leads_grafana_there(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/#/feature/extract?env=production")
    link = page.get_by_role("link", name="Open in Grafana")
    expect(link).to_have_attribute(
        "href",
        "https://grafana.example/d/featurewatch-feature?var-feature=extract&var-environment=production&from=now-1h&to=now",
    )
    plot = page.locator(".chart", has_text="Error rate").locator(".chart-plot")
    expect(page.locator(".threshold-text").first).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
    expect(page.locator(".selection")).to_have_count(4)
    page.mouse.up()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    found = re.search(r"time=custom&start=([^&]+)&end=([^&]+)", page.url)
    assert found is not None
    expect(link).to_have_attribute("href", re.compile(r"from=\d{13}&to=\d{13}$"))
    page.reload()
    expect(page.locator(".zoom-text")).to_have_text(re.compile(r"^\d\d:\d\d – \d\d:\d\d$"))
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.locator(".zoom-text")).to_be_hidden()
    assert "time" not in page.url
    page.go_back()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()


def test_the_keyboard_reads_values_and_zooms(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/#/feature/extract?env=production")
    chart = page.locator(".chart", has_text="Requests")
    expect(chart.locator(".chart-value")).to_have_text(re.compile(r"/min"))
    chart.locator(".chart-plot").focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator("[role=status]")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d, Requests "))
    for _ in range(6):
        page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".selection")).to_have_count(4)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.go_back()
    expect(page.locator(".zoom-text")).to_be_hidden()


def test_thresholds_and_alerts_are_drawn_into_the_chart_of_their_figure(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/#/feature/extract?env=production")
    chart = page.locator(".chart", has_text="Error rate")
    expect(chart.locator(".threshold-text")).to_have_text(["Healthy below 5 %", "Errors 20 %"])
    expect(chart.locator(".threshold")).to_have_count(2)
    band = chart.locator(".episode[data-severity=high] .episode-band")
    expect(band).to_have_count(1)
    expect(page.locator(".episode")).to_have_count(1)
    chart.locator(".chart-plot").focus()
    page.keyboard.press("ArrowRight")
    expect(chart.locator(".chart-alert")).to_have_text("Errors Alert (high)")
    expect(chart.locator(".chart-plot")).to_have_attribute(
        "aria-label", re.compile(r"Errors Alert \(high\)\. Healthy below")
    )


def test_tests_and_budget_stand_on_the_page(page: Page, console: Running) -> None:
    page.goto(f"{console.url}/#/feature/extract?env=production")
    expect(page.locator(".tests-sum")).to_have_text("1 of 2 failed when they last ran.")
    expect(page.locator(".test-name")).to_have_text(["in French", "smoke"])
    expect(page.locator(".section-errors .error-kinds")).to_contain_text("TimeoutError 15")
    expect(page.locator(".event-title", has_text="Errors Alert").first).to_be_visible()
