"""The kit on pages of other people: one connection, widgets, blocked WebSockets, tokens, a slow network."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from bridge.issuers import AUDIENCE, ISSUER, SECRET, claims, signed
from browser.npm_packages import AXE, package
from browser.standing import before, lines, own_page, until
from client.proxy import HANG, PASS, Proxy
from running import Running
from running import bridge as running_bridge

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser

API = "/api/v1"
WIDGETS = 'import "/kit/widgets.js";'
ALL = """
  <connection-status></connection-status>
  <feature-health feature="extract" reasons></feature-health>
  <feature-metrics feature="summarize" metrics="error_rate total_requests"></feature-metrics>
  <feature-alerts actions></feature-alerts>
  <feature-logs feature="search"></feature-logs>
"""
FOLLOW = """
  import { connect } from "/kit/index.js";
  const { client } = connect(window.options ?? { retryWebSocket: 1500 });
  window.client = client;
  window.heard = [];
  window.states = [];
  const begun = performance.now();
  client.subscribe("state", (state) => window.states.push([state, performance.now() - begun]));
  client.follow("search");
  const take = ({ lines = [] }) => window.heard.push(...lines.map(({ message }) => message));
  client.followLogs({ featureId: "search", environment: "", filters: {}, hear: take });
"""


@pytest.fixture
def proxied(console: Running) -> Iterator[Proxy]:
    with before(console.url) as standing:
        yield standing


def send(console: Running, first: int, end: int, **more: Any) -> None:
    httpx.post(f"{console.url}{API}/logs", json=lines(first, end, **more), timeout=30).raise_for_status()


def numbers(page: Page) -> list[int]:
    return [int(message.partition("#")[2]) for message in page.evaluate("window.heard") if message.startswith("line #")]


def test_all_widgets_share_one_connection_under_a_strict_policy(page: Page, console: Running, proxied: Proxy) -> None:
    own_page(page, proxied, ALL, WIDGETS)
    expect(page.locator("connection-status .badge-text")).to_have_text("Live")
    expect(page.locator("feature-health .health-word")).to_have_text("Error")
    expect(page.locator("feature-health .reasons li").first).to_be_visible()
    expect(page.locator("feature-metrics [data-metric=total_requests] .figure-value")).to_have_text("40")
    expect(page.locator("feature-metrics time")).to_contain_text("Updated")
    expect(page.locator("feature-alerts .alert-title")).to_contain_text("Alert")
    expect(page.locator("feature-logs .log-message").first).to_be_visible()
    send(console, 0, 1)
    expect(page.locator("feature-logs .log-message").last).to_have_text("line #0")
    assert (proxied.upgrades, proxied.streams) == (1, 0)

    page.evaluate("document.body.style.setProperty('--feature-surface', 'rgb(1, 2, 3)')")
    tile = page.locator("feature-metrics [part=tile]").first
    assert tile.evaluate("(tile) => getComputedStyle(tile).backgroundColor") == "rgb(1, 2, 3)"
    page.evaluate("document.querySelector('feature-metrics').setAttribute('metrics', 'eror_rate total_requests')")
    expect(page.locator("feature-metrics .failed")).to_have_text("There is no figure 'eror_rate'.")
    expect(page.locator("feature-metrics [part=tile]")).to_have_count(1)
    page.evaluate("document.querySelector('feature-health').setAttribute('feature', 'summarize')")
    expect(page.locator("feature-health .health-word")).to_have_text("Healthy")
    page.evaluate("addEventListener('alertaction', ({ detail }) => { window.done = detail.action; })")
    page.locator("feature-alerts").get_by_role("button", name="Acknowledge").click()
    expect(page.locator("feature-alerts .alert-about")).to_contain_text("acknowledged")
    assert page.evaluate("window.done") == "acknowledge"
    assert proxied.upgrades == 1
    # Parts that are taken out and put back, one of one feature first, go on over the same connection.
    page.evaluate(
        "const all = [...document.body.children]; all.map((one) => one.remove()); document.body.append(...all)"
    )
    expect(page.locator("feature-metrics [data-metric=total_requests] .figure-value")).to_have_text("40")
    send(console, 1, 2)
    expect(page.locator("feature-logs .log-message").last).to_have_text("line #1")
    assert proxied.upgrades == 1
    # Without a feature nothing is shown, least of all what was: a page that turns to another one has none for a while.
    page.evaluate("for (const one of document.querySelectorAll('[feature]')) one.removeAttribute('feature')")
    for name in ("feature-health", "feature-metrics", "feature-logs"):
        until(page, f"document.querySelector('{name}').shadowRoot.childElementCount === 0")
    page.evaluate("document.querySelector('feature-logs').setAttribute('feature', 'search')")
    expect(page.locator("feature-logs .log-message").last).to_have_text("line #1")
    # The last part that goes takes the connection with it, a moment later.
    page.evaluate("document.body.replaceChildren()")
    until(page, "globalThis[Symbol.for('featurewatch.connections.1')].size === 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_widgets_and_nothing_moves_for_who_wants_it_still(
    page: Page, console: Running, proxied: Proxy, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    script = WIDGETS + 'document.documentElement.style.cssText = "color-scheme: light dark; background: Canvas";'
    drawer = '<feature-logs feature="search" drawer open></feature-logs>'
    own_page(page, proxied, f"<main><h1>Mine</h1>{ALL}{drawer}</main>", script)
    expect(page.locator("feature-metrics time")).to_contain_text("Updated")
    expect(page.locator("[part=drawer] .log-message").first).to_be_visible()
    page.locator("[part=drawer] .log-toggle").first.click()
    send(console, 0, 1, message="M" * 50_000)
    page.locator("[part=drawer] .log-message", has_text="MMM").last.click()
    expect(page.locator("[part=drawer] .log-long")).to_be_visible()
    page.evaluate((package(*AXE) / "axe.min.js").read_text())
    for opened in (True, False):
        if not opened:
            page.keyboard.press("Escape")
            expect(page.locator("[part=drawer]")).to_be_hidden()
        found = page.evaluate(
            """async () => (await axe.run()).violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])"""
        )
        assert found == [], found
    moving = """() => [...document.querySelectorAll("*")]
      .flatMap(({ shadowRoot }) => [...(shadowRoot?.querySelectorAll("*") ?? [])])
      .filter((it) => getComputedStyle(it).animationName !== "none" || it.getAnimations().length > 0).length"""
    assert page.evaluate(moving) == 0


@pytest.mark.faults
@pytest.mark.parametrize("blocked", ["403 Forbidden", HANG])
def test_events_take_over_where_websocket_is_blocked_and_nothing_is_missing(
    page: Page, console: Running, proxied: Proxy, blocked: str
) -> None:
    start = {"403 Forbidden": 1_000, HANG: 2_000}[blocked]
    proxied.websockets = blocked
    over = threading.Event()
    last: list[int] = []

    def keep_sending() -> None:
        with httpx.Client(base_url=console.url) as client:
            number = start
            while not over.wait(0.02):
                client.post(f"{API}/logs", json=lines(number, number + 1)).raise_for_status()
                last[:] = [number]
                number += 1

    page.add_init_script("window.options = { retryWebSocket: 1500, environment: 'production' }")
    own_page(page, proxied, "", FOLLOW)
    until(page, "window.client?.state === 'live-sse'", 6)
    after_ms = next(at for state, at in page.evaluate("window.states") if state == "live-sse")
    assert after_ms < 5_000
    until(page, "[...window.client.lines.groups.values()].every(({ stream }) => stream?.isOpen)")
    sending = threading.Thread(target=keep_sending)
    sending.start()
    try:
        until(page, f"window.heard.includes('line #{start + 10}')")
        proxied.websockets = PASS
        until(page, "window.client.state === 'live'", 20)
    finally:
        over.set()
        sending.join()
    until(page, f"window.heard.includes('line #{last[0]}')")
    got = [number for number in numbers(page) if number >= start]
    assert sorted(set(got)) == list(range(start, last[0] + 1))
    assert page.evaluate("window.states.map(([state]) => state)")[-2:] == ["live-sse", "live"]
    assert proxied.upgrades >= 2


@pytest.mark.faults
def test_a_connection_that_is_cut_goes_on_where_it_was(page: Page, console: Running, proxied: Proxy) -> None:
    own_page(page, proxied, "", FOLLOW)
    until(page, "window.client?.state === 'live'")
    send(console, 3_000, 3_010)
    until(page, "window.heard.includes('line #3009')")
    proxied.websockets = "502 Bad Gateway"
    proxied.cut_all_from_afar()
    until(page, "window.client.state !== 'live'")
    send(console, 3_010, 3_200)
    proxied.websockets = PASS
    until(page, "window.client.state === 'live'")
    until(page, "window.heard.includes('line #3199')")
    assert sorted({number for number in numbers(page) if number >= 3_000}) == list(range(3_000, 3_200))


@pytest.mark.faults
def test_tokens_are_renewed_on_the_open_connection_and_open_event_streams_as_tickets(page: Page, tmp_path: Any) -> None:
    env = {
        "FEATUREWATCH_JWT_SECRET": SECRET, "FEATUREWATCH_JWT_AUDIENCE": AUDIENCE, "FEATUREWATCH_JWT_ISSUER": ISSUER,
        "FEATUREWATCH_METRICS_INTERVAL": "1",
    }  # fmt: skip

    def jwt(role: str, lasts_s: float) -> str:
        return signed(claims(time.time(), lasts_s=lasts_s, featurewatch={"role": role, "features": ["*"]}))

    given: list[bool] = []

    def give(_: Any, refresh: bool) -> str:
        given.append(refresh)
        # The bridge forgives 10 s: this one holds for two seconds.
        return jwt("viewer", -8)

    page.expose_binding("giveToken", give)
    page.add_init_script("window.options = { retryWebSocket: 60_000, getToken: ({ refresh }) => giveToken(refresh) }")
    with running_bridge(tmp_path, env=env) as console, before(console.url) as proxied:
        ingest = {"authorization": f"Bearer {jwt('ingest', 600)}"}

        def post(first: int, end: int) -> None:
            body = lines(first, end)
            httpx.post(f"{console.url}{API}/logs", json=body, headers=ingest, timeout=30).raise_for_status()

        post(0, 3)
        own_page(page, proxied, "", FOLLOW)
        until(page, "window.client?.state === 'live' && window.heard.length === 3")

        def renewed(holds: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 20
            while not holds():
                assert time.monotonic() < deadline, (given, proxied.streams)
                page.wait_for_timeout(20)

        asked = len(given)
        # The token that the connection was opened with ends meanwhile, and the next one.
        ended = time.monotonic() + 3
        renewed(lambda: len(given) >= asked + 3 and time.monotonic() > ended)
        post(3, 8)
        until(page, "window.heard.includes('line #7')")
        assert (proxied.upgrades, page.evaluate("window.client.state")) == (1, "live")
        assert any(given)
        proxied.websockets = "403 Forbidden"
        proxied.cut_all_from_afar()
        until(page, "window.client.state === 'live-sse'", 10)
        post(8, 9)
        until(page, "window.heard.includes('line #8')")
        # A stream ends with its ticket's token: another one goes on where it was.
        opened = proxied.streams
        renewed(lambda: proxied.streams >= opened + 2)
        post(9, 10)
        until(page, "window.heard.includes('line #9')")
        assert sorted(set(numbers(page))) == list(range(10))
        page.goto("about:blank")


@pytest.mark.faults
def test_without_a_token_the_page_is_told_that_it_is_signed_out(page: Page, tmp_path: Any) -> None:
    env = {"FEATUREWATCH_API_TOKENS_FILE": str(tmp_path / "tokens.json")}
    (tmp_path / "tokens.json").write_text('{"version": 1, "tokens": []}')
    with running_bridge(tmp_path / "data", env=env) as console, before(console.url) as proxied:
        own_page(page, proxied, "<connection-status></connection-status><feature-alerts></feature-alerts>", WIDGETS)
        expect(page.locator("connection-status .badge-text")).to_have_text("Signed out")
        expect(page.locator("feature-alerts [part=note]")).to_contain_text("oken")
        page.goto("about:blank")


def test_a_slow_network_shows_lines_as_they_come(page: Page, console: Running, proxied: Proxy) -> None:
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 400, "downloadThroughput": 60_000, "uploadThroughput": 30_000}
    network.send("Network.emulateNetworkConditions", slow)
    own_page(page, proxied, '<feature-logs feature="search"></feature-logs>', WIDGETS)
    expect(page.locator("feature-logs .badge-text")).to_have_text(re.compile("Live"), timeout=30_000)
    send(console, 5_000, 5_300)
    expect(page.locator("feature-logs .log-message").last).to_have_text("line #5299", timeout=30_000)
    until(
        page,
        """(() => {
      const rows = document.querySelector("feature-logs").shadowRoot.querySelectorAll(".log-row");
      return rows.length > 5 && [...rows].every((row) => !row.matches(".log-gap"));
    })()""",
    )


def test_a_button_beside_a_section_opens_that_sections_log_and_it_keeps_its_state(
    page: Page, console: Running, proxied: Proxy
) -> None:
    httpx.post(
        f"{console.url}{API}/logs",
        json=[*lines(6_000, 6_005, source="billing"), *lines(6_005, 6_010, source="mail")],
    ).raise_for_status()
    body = """
      <feature-logs feature="search" drawer source="billing">Billing's log</feature-logs>
      <feature-logs feature="search" drawer source="mail"></feature-logs>
      <div id="high">above</div>
    """
    page.add_init_script("document.addEventListener('logsopen', () => { window.opened = (window.opened ?? 0) + 1; })")
    own_page(page, proxied, body, WIDGETS)
    page.evaluate("""() => {
      const { style } = document.querySelector("#high");
      Object.assign(style, { position: "fixed", inset: 0, zIndex: 2147483647, pointerEvents: "none" });
    }""")
    button = page.get_by_role("button", name="Billing's log")
    button.click()
    drawer = page.locator("feature-logs [part=drawer].is-open")
    expect(drawer.locator(".log-status")).to_have_text("5 lines")
    expect(drawer.get_by_label("Source")).to_have_value("billing")
    expect(drawer.get_by_role("button", name="Close the log")).to_be_focused()
    top = "document.elementFromPoint(innerWidth - 200, 300)?.tagName"
    page.evaluate("document.querySelector('#high').style.pointerEvents = 'auto'")
    assert page.evaluate(top) == "FEATURE-LOGS"
    drawer.get_by_role("searchbox", name="Search the log").fill("#6003")
    expect(drawer.locator(".log-message mark")).to_have_text("#6003")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(button).to_be_focused()
    page.evaluate("document.querySelector('#high').style.pointerEvents = 'none'")
    page.get_by_role("button", name="View logs").click()
    expect(drawer.locator(".log-message").last).to_have_text("line #6009")
    page.keyboard.press("Escape")
    button.click()
    expect(drawer.locator(".log-message")).to_have_text(["line #6003"])
    assert page.evaluate("window.opened") == 3


HOSTILE = [
    "<img src=x onerror='window.hurt = 1'><script>window.hurt = 2</script>",
    "\x1b[31mred\x1b[0m and \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 and \x00 \x07",
    "user \u202eevil\u202c\u2066 admin \u200bzero",
    "x" * 1_000_000,
    "{{constructor.constructor('window.hurt = 3')()}} ${window.hurt = 4} javascript:window.hurt=5",
]


def test_hostile_lines_are_shown_and_nothing_of_them_runs(page: Page, tmp_path: Any) -> None:
    with (
        running_bridge(tmp_path, env={"FEATUREWATCH_MAX_LINE_BYTES": "2000000"}) as console,
        before(console.url) as proxied,
    ):
        body = [
            {"featureId": "search", "message": text, "source": text[:100], "trace_id": text[:60], "user_id": text[:60],
             "metadata": {text[:40]: text[:200], "lines": text[:80] + "\n" + text[:80]}}
            for text in HOSTILE
        ]  # fmt: skip
        for line in body:
            httpx.post(f"{console.url}{API}/logs", json=line, timeout=30).raise_for_status()
        own_page(page, proxied, '<feature-logs feature="search" search="hurt ="></feature-logs>', WIDGETS)
        rows = page.locator("feature-logs .log-row")
        expect(page.locator("feature-logs .log-status")).to_have_text("2 lines")
        page.get_by_role("searchbox", name="Search the log").fill("")
        expect(rows).to_have_count(5)
        shown = page.locator("feature-logs .log-message")
        expect(shown.nth(0)).to_have_text(HOSTILE[0])
        expect(shown.nth(1)).to_have_text("red and link and ␀ ␇")
        expect(shown.nth(2)).to_have_text("user ⟨U+202E⟩evil⟨U+202C⟩⟨U+2066⟩ admin ⟨U+200B⟩zero")
        inside = "document.querySelector('feature-logs').shadowRoot"
        for number in range(5):
            rows.nth(number).locator(".log-toggle").click()
            expect(page.locator("feature-logs .log-row.is-open .log-full")).to_have_count(1)
            if number == 3:
                page.get_by_role("button", name="Show all 1,000,000 characters").click()
                until(page, f"[...{inside}.querySelectorAll('.log-full')].some((it) => it.textContent.length === 1e6)")
            rows.nth(number).locator(".log-toggle").click()
        assert page.evaluate("window.hurt") is None
        width = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate(width)
        assert page.evaluate(f"{inside}.querySelectorAll('img, script, a').length") == 0
        page.goto("about:blank")
