"""What the console does when the connection fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browser.fake_bridge import FakeBridge, furnished

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.faults]


def test_the_badge_tells_a_stop_and_the_log_resumes_without_losing_lines(page: Page) -> None:
    bridge = furnished()
    badge = page.locator(".top .badge-text")
    with bridge.running():
        page.goto(bridge.url + "#/feature/summarize?logs=summarize")
        expect(badge).to_have_text("Live")
        expect(page.locator(".log-status")).to_have_text("120 lines")
        bridge.line("the last before the stop")
        expect(page.locator(".log-status")).to_have_text("121 lines")
    expect(badge).to_have_text("Disconnected")
    expect(page.locator(".log-status")).to_have_text("121 lines")
    for number in range(80):
        bridge.line(f"meanwhile {number}", quiet=True)
    with bridge.running():
        expect(badge).to_have_text("Live", timeout=30_000)
        expect(page.locator(".log-status")).to_have_text("201 lines")
        bridge.line("the first after")
        expect(page.locator(".log-message", has_text="the first after")).to_be_visible()
        expect(page.locator(".log-status")).to_have_text("202 lines")
        page.goto("about:blank")


def test_sse_carries_figures_and_lines_where_websockets_are_refused(page: Page, bridge: FakeBridge) -> None:
    bridge.websockets_pass = False
    page.goto(bridge.url + "#/feature/summarize?logs=summarize")
    expect(page.locator(".top .badge-text")).to_have_text("Live (SSE)")
    bridge.line("by server-sent event")
    expect(page.locator(".log-message", has_text="by server-sent event")).to_be_visible()
    bridge.update("summarize", requests_per_minute=77)
    expect(page.locator(".tile[data-metric=requests_per_minute] .figure")).to_have_text("77/min")
