"""The console's log drawer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from browser.fake_bridge import FakeBridge

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser

OPEN = "#/?logs=summarize"
SHADOW = "document.querySelector('feature-logs').shadowRoot"


def status(page: Page) -> Locator:
    return page.locator(".log-status")


def test_history_is_shown_and_lines_follow_live(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    bridge.line("a line that was just written", level="warn")
    last = page.locator(".log-row").last
    expect(last.locator(".log-message")).to_have_text("a line that was just written")
    expect(last).to_have_attribute("data-level", "warn")
    expect(last).to_be_in_viewport()
    expect(page.locator(".drawer .badge-text")).to_have_text("Live")


def test_markup_in_a_line_stays_text(page: Page, bridge: FakeBridge) -> None:
    nasty = '<img src=x onerror="window.hurt = 1"><script>window.hurt = 2</script>&lt;b&gt; javascript:alert(1)'
    bridge.add("xss", "error", name=nasty, reasons=[nasty])
    bridge.line(nasty, feature="xss", source=nasty, trace_id=nasty, metadata={nasty: nasty})
    bridge.events[0]["data"] = {"from": nasty, "to": nasty, "reasons": [nasty]}
    bridge.costs[0]["model"] = nasty
    page.goto(bridge.url + "#/feature/xss?logs=xss&search=img")
    expect(page.locator(".log-row .log-message")).to_have_text(nasty)
    page.locator(".log-toggle").click()
    expect(page.locator(".log-full")).to_have_text(nasty)
    expect(page.locator(".log-metadata pre")).to_contain_text("onerror")
    expect(page.locator("h1")).to_have_text(nasty)
    page.get_by_role("button", name="Close the log").click()
    page.goto(bridge.url + "#/")
    expect(page.locator(".rows .row-link").first).to_be_visible()
    assert page.evaluate("window.hurt") is None
    assert page.locator("img, main script, .drawer script").count() == 0


def test_search_runs_on_the_server_and_marks_what_it_found(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    page.get_by_role("searchbox", name="Search the log").fill("LIBRARY/7.rst")
    expect(status(page)).to_have_text("1 line")
    page.locator(".log-toggle").click()
    expect(page.locator(".log-metadata mark")).to_have_text("library/7.rst")
    page.get_by_role("searchbox", name="Search the log").fill("nowhere")
    expect(page.locator(".log-note")).to_have_text("No line matches these filters.")
    bridge.line("nowhere to be seen, until now")
    expect(page.locator(".log-message mark")).to_have_text("nowhere")
    bridge.line("this one does not match")
    bridge.line("nowhere again")
    expect(status(page)).to_have_text("2 lines")
    assert "search=nowhere" in page.url


def test_levels_filter_history_live_and_export_alike(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    levels = page.get_by_role("group", name="Levels")
    levels.get_by_role("button", name="error").click()
    levels.get_by_role("button", name="fatal").click()
    expect(status(page)).to_have_text("11 lines")
    bridge.line("of no interest", level="info")
    bridge.line("one more", level="error")
    expect(status(page)).to_have_text("12 lines")
    assert "levels=error,fatal" in page.url
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    assert download.value.suggested_filename.startswith("logs-summarize-")
    assert len(json.loads(download.value.path().read_text())) == 12
    expect(page.locator(".log-progress")).to_contain_text("Exported 12 lines")


def test_a_line_opens_to_everything_it_carries(page: Page, bridge: FakeBridge) -> None:
    bridge.line("first\nsecond", metadata={"a": {"b": [1, 2]}}, trace_id="f" * 32, user_id="u-1", late=True)
    page.goto(bridge.url + OPEN)
    row = page.locator(".log-row").last
    expect(row.locator(".log-message")).to_have_text("first ⏎")
    expect(row.locator(".chip")).to_have_text("late")
    row.locator(".log-message").click()
    expect(row.locator(".log-toggle")).to_have_attribute("aria-expanded", "true")
    expect(row.locator(".log-full")).to_have_text("first\nsecond")
    expect(row.locator(".log-facts")).to_contain_text("u-1")
    assert json.loads(row.locator(".log-metadata pre").inner_text()) == {"a": {"b": [1, 2]}}
    # No permission is given, as there is none without a secure context: it is copied all the same.
    page.context.grant_permissions([])
    row.get_by_role("button", name="Copy the trace id").click()
    expect(row.locator(".log-copied")).to_have_text("Copied")
    expect(row.get_by_role("button", name="Copy the trace id")).to_be_focused()
    page.get_by_role("combobox", name="Source").focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_role("combobox", name="Source")).to_have_value("f" * 32)


def test_scrolling_up_stops_following_and_counts_what_comes(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    expect(page.locator(".log-row").last).to_be_in_viewport()  # the list has come to its end
    page.locator(".vlist").hover()
    page.mouse.wheel(0, -400)
    expect(page.locator(".log-jump")).to_be_visible()
    page.wait_for_timeout(300)
    top = page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop")
    for number in range(3):
        bridge.line(f"unseen {number}")
    expect(page.locator(".log-jump")).to_have_text("3 new lines")
    assert page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop") == top
    page.locator(".log-jump").click()
    expect(page.locator(".log-message", has_text="unseen 2")).to_be_in_viewport()
    expect(page.locator(".log-jump")).to_be_hidden()


def test_the_live_toggle_holds_and_then_catches_up(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    bridge.line("before")
    expect(status(page)).to_have_text("121 lines")
    page.get_by_role("switch", name="Live").click()
    expect(page.get_by_role("switch", name="Live")).not_to_be_checked()
    page.wait_for_timeout(200)
    bridge.line("while held")
    page.wait_for_timeout(300)
    expect(status(page)).to_have_text("121 lines")
    page.get_by_role("switch", name="Live").click()
    expect(page.locator(".log-message", has_text="while held")).to_be_visible()
    expect(status(page)).to_have_text("122 lines")


def test_a_closed_drawer_comes_back_as_it_was_with_what_it_missed(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url)
    page.get_by_role("button", name="Open the log of Summaries").click()
    page.get_by_role("searchbox", name="Search the log").fill("retries")
    expect(page.locator(".log-message mark").first).to_be_visible()
    bridge.line("retries: seen")
    expect(page.locator(".log-message", has_text="seen")).to_be_visible()
    held = status(page).inner_text()
    page.keyboard.press("Escape")
    expect(page.locator(".drawer")).to_be_hidden()
    assert "logs=" not in page.url
    page.wait_for_timeout(200)
    bridge.line("retries: missed")
    page.get_by_role("button", name="Open the log of Summaries").click()
    expect(page.get_by_role("searchbox", name="Search the log")).to_have_value("retries")
    expect(page.locator(".log-message", has_text="missed")).to_be_visible()
    assert int(status(page).inner_text().split()[0]) == int(held.split()[0]) + 1


def test_a_gap_is_shown_where_it_is_and_can_be_filled(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    page.wait_for_timeout(200)
    bridge.line("before the gap")
    bridge.line("dropped, but kept", quiet=True)
    span = {"from": bridge.lines[-1]["timestamp"], "to": bridge.lines[-1]["timestamp"]}
    gap = {"reason": "slow_consumer", "count": 1234, **span}
    bridge.tell({"type": "gap", "featureId": "summarize", "data": gap})
    bridge.line("after the gap")
    expect(page.locator(".log-message", has_text="after the gap")).to_be_visible()
    texts = page.locator(".log-row").all_inner_texts()
    assert ["before the gap" in texts[-3], "1,234 lines were not delivered" in texts[-2]] == [True, True]
    page.get_by_role("button", name="Load them").click()
    expect(page.locator(".log-gap")).to_have_count(0)
    held = page.locator(".log-message").all_inner_texts()
    assert held[-3:] == ["before the gap", "dropped, but kept", "after the gap"]


def test_older_lines_are_loaded_at_the_top_and_the_place_is_kept(page: Page, bridge: FakeBridge) -> None:
    bridge.lines.clear()
    for number in range(1700):
        bridge.line(f"number {number}", quiet=True)
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("500 lines, older ones above")
    # Before the list has come to its end, that scrolls away whatever was scrolled to.
    expect(page.locator(".log-message", has_text=re.compile("^number 1699$"))).to_be_in_viewport()
    page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop = 26 * 5 + 3")
    expect(status(page)).to_have_text("1,000 lines, older ones above")
    expect(page.locator(".log-message", has_text=re.compile("^number 1205$"))).to_be_in_viewport()
    for text in ("1,500 lines, older ones above", "1,700 lines"):
        page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop = 0")
        expect(status(page)).to_have_text(text)


@pytest.mark.faults
def test_an_error_is_told_where_the_lines_would_be(page: Page, bridge: FakeBridge) -> None:
    bridge.failing = {"/logs"}
    bridge.websockets_pass = False
    page.goto(bridge.url + OPEN)
    expect(page.locator(".log-note")).to_have_text("the store cannot be reached: try again")


def test_a_hundred_thousand_lines_scroll_smoothly(page: Page, bridge: FakeBridge) -> None:
    bridge.lines.clear()
    page.goto(bridge.url + OPEN)
    expect(page.locator(".log-note")).to_contain_text("No line yet")
    stamp = "2026-01-31T12:00:00.000000Z"
    for chunk in range(20):
        lines = [
            {"id": f"{chunk}-{number}", "featureId": "summarize", "timestamp": stamp, "level": "info", "source": "app",
             "message": f"line {chunk * 5000 + number}", "environment": "production"}
            for number in range(5000)
        ]  # fmt: skip
        bridge.tell({"type": "log_entry", "featureId": "summarize", "data": lines[0]})
        bridge.tell({"type": "log_history", "featureId": "summarize", "data": lines[1:]})
    expect(status(page)).to_have_text("100,000 lines", timeout=60_000)
    expect(page.locator(".log-message").last).to_have_text("line 99999")
    median = page.evaluate(SCROLL)
    assert page.locator(".log-row").count() < 120
    # A step takes a few milliseconds; drawing all lines anew would take many seconds, on any machine.
    assert median < 2000


SCROLL = """async () => {
  const list = document.querySelector("feature-logs").shadowRoot.querySelector(".vlist");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const times = [];
  for (let step = 0; step < 40; step += 1) {
    list.scrollTop = (list.scrollHeight * (step % 20)) / 20 + step * 300;
    const start = performance.now();
    await frame();
    await frame();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}"""


def test_a_line_has_an_address_and_is_shown_among_its_neighbours(page: Page, bridge: FakeBridge) -> None:
    bridge.lines.clear()
    for number in range(1500):
        level = "error" if number == 700 else "info"
        bridge.line(f"number {number}", level=level, quiet=True, source=("web", "mail")[number % 2])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(bridge.url + OPEN + "&levels=error")
    expect(status(page)).to_have_text("1 line")
    page.locator(".log-toggle").click()
    page.get_by_role("button", name="Copy link").click()
    address = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Show around").click()
    here = page.locator(".log-row[aria-current=true]")
    expect(here).to_contain_text("number 700")
    expect(here).to_be_in_viewport()
    expect(page.locator(".vlist")).to_be_focused()  # the button that had the focus went with its line
    expect(status(page)).to_have_text("401 lines, older ones above")
    page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop = 0")
    expect(status(page)).to_have_text(re.compile("^[5-9][0-9]{2} lines"))
    page.evaluate(f"{SHADOW}.querySelector('.vlist').scrollTop = 1e9")
    expect(page.locator(".log-message").last).not_to_have_text("number 900")
    page.go_back()
    expect(status(page)).to_have_text("1 line")

    page.goto("about:blank")
    page.goto(address)
    expect(here).to_contain_text("number 700")
    bridge.line("not here")
    page.get_by_role("button", name="Back to the log").click()
    expect(page.locator(".log-message").last).to_have_text("not here")
    assert "line=" not in page.url
    page.keyboard.press("Escape")  # and that button is gone too
    expect(page.locator("[part=drawer]")).to_be_hidden()


def test_source_and_environment_filter_and_stand_in_the_address(page: Page, bridge: FakeBridge) -> None:
    bridge.line("from the biller", source="billing")
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("121 lines")
    page.get_by_label("Source").fill("billing")
    expect(status(page)).to_have_text("1 line")
    bridge.line("of no interest")
    bridge.line("the next bill", source="billing")
    expect(status(page)).to_have_text("2 lines")
    assert "source=billing" in page.url
    page.locator("feature-logs").get_by_label("Environment").select_option("staging")
    expect(page.locator("feature-logs").get_by_label("Environment")).to_have_value("staging")
    assert "logsEnv=staging" in page.url
    expect(page.locator(".log-zone")).to_have_text("Europe/Berlin")


def test_an_export_can_be_stopped(page: Page, bridge: FakeBridge) -> None:
    page.goto(bridge.url + OPEN)
    expect(status(page)).to_have_text("120 lines")
    bridge.delay_s = 30
    page.get_by_role("button", name="Export as CSV").click()
    expect(page.locator(".log-progress")).to_contain_text("Exporting…")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".log-progress")).to_contain_text("Export stopped")
    bridge.delay_s = 0
    expect(page.get_by_role("button", name="Export as CSV")).to_be_enabled()
