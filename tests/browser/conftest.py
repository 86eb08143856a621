"""One Chromium for all tests of a file, a fresh profile for each.

Playwright's synchronous interface keeps an event loop running in this thread: it ends with the file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser.fake_bridge import FakeBridge, furnished

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
EXPECTED = ("Failed to load resource", "WebSocket connection to", "net::ERR_")
"""What Chromium itself says of refused connections, where a test refuses them."""


def chromium() -> str | None:
    """Find a Chromium: the one named by FEATUREWATCH_TEST_CHROMIUM, else one on the path."""
    named = os.environ.get("FEATUREWATCH_TEST_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright  # absent where the tests of the browser are left out

    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    with furnished().running() as running:
        yield running


@pytest.fixture
def troubles() -> list[str]:
    """What the page complained of; tests of faults take out what they cause."""
    return []


@pytest.fixture
def page(browser: Browser, bridge: FakeBridge, troubles: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of 1280 × 800, closed before the bridge stops; it must end without an error in its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="Europe/Berlin")
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
    yield opened
    context.close()
    faults = request.node.get_closest_marker("faults") is not None
    told = [text for text in troubles if not (faults and any(part in text for part in EXPECTED))]
    assert told == []
