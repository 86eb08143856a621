"""What pages of other people need: a proxy before a bridge, and pages of one's own on its origin."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from client.proxy import Proxy, proxy
from featurewatch.bridge.routes.console import POLICY

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLACE = "/my/page.html"


@contextmanager
def before(url: str) -> Iterator[Proxy]:
    """Run a proxy before a bridge, in a thread of its own. What is set on it holds for the next connection."""
    ready, over = threading.Event(), threading.Event()
    found: list[Proxy] = []

    async def stand() -> None:
        async with proxy(url.rstrip("/")) as standing:
            found.append(standing)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        over.set()
        thread.join()


def own_page(page: Page, standing: Proxy, body: str, script: str) -> None:
    """Open a page of somebody's own on the bridge's origin, under the console's strict policy: no code within it."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mine</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="/icon.svg">'
        f'<script type="module" src="{PLACE}.js"></script></head><body>{body}</body></html>'
    )
    standing.own = {PLACE: _answer("text/html", html), f"{PLACE}.js": _answer("text/javascript", script)}
    page.goto(standing.url + PLACE)


def until(page: Page, holds: str, seconds: float = 15) -> None:
    """Wait until an expression holds; the page's policy forbids what playwright itself would evaluate there."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(f"() => Boolean({holds})"):
        assert time.monotonic() < deadline, f"it did not come about: {holds}"
        page.wait_for_timeout(20)


def _answer(media_type: str, text: str) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}; charset=utf-8\r\nContent-Security-Policy: {POLICY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def lines(first: int, end: int, feature: str = "search", **more: Any) -> list[dict[str, Any]]:
    """Make lines that carry their number."""
    return [
        {"featureId": feature, "environment": "production", "message": f"line #{number}", "source": "app", **more}
        for number in range(first, end)
    ]
