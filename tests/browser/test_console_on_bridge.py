"""The console on a real bridge: its own process, embedded stores, the command that people run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bridge.issuers import AUDIENCE, ISSUER, SECRET, claims, encoded, signed

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.faults]
COMMAND = [sys.executable, "-m", "featurewatch.cli"]
PATIENCE = 30_000


class Served:
    """A bridge that can be killed and started again where it was."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.folder = folder
        self.environment = {**os.environ, "FEATUREWATCH_METRICS_INTERVAL": "1", **settings}

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        arguments = ["serve", "--port", str(self.port), "--data-dir", str(self.folder / "data")]
        process = subprocess.Popen(
            [*COMMAND, *arguments], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(600):
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{self.url}readyz").status_code == 200:
                        break
                assert process.poll() is None, "the bridge ended before it was ready"
                threading.Event().wait(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def post(self, path: str, body: Any, **headers: str) -> None:
        httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30).raise_for_status()


def line(message: str, **more: Any) -> dict[str, Any]:
    return {"featureId": "summarize", "message": message, "environment": "development", **more}


def test_the_snippet_brings_the_first_feature_and_lines_survive_a_kill(page: Page, tmp_path: Path) -> None:
    bridge = Served(tmp_path)
    with bridge.running() as process:
        page.goto(bridge.url)
        code = page.locator(".welcome code").inner_text()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, b"")
        row = page.locator(".rows .row", has_text="summarize")
        expect(row.locator("[data-metric=error_rate] .figure")).to_have_text("0%", timeout=PATIENCE)
        expect(row.locator("[data-metric=total_cost] .figure")).not_to_have_text("—")
        row.locator(".row-link").click()
        expect(page.locator(".tile[data-metric=tokens_per_request] .figure")).to_have_text("932")
        expect(page.locator(".section-costs .model")).to_have_text("gpt-5-mini")
        bridge.post(
            "api/v1/features/summarize/requests?environment=development",
            [{"outcome": "error", "error_type": "TimeoutError", "duration_ms": 900}] * 3,
        )
        expect(page.locator(".tile[data-metric=total_requests] .figure")).to_have_text("4", timeout=PATIENCE)
        bridge.post(
            "api/v1/features/summarize/test-results?environment=development", {"name": "in French", "passed": False}
        )
        expect(page.locator(".event-title").first).to_have_text("Test in French failed")

        bridge.post(
            "api/v1/logs", [line(f"before {number}", level="error", metadata={"n": number}) for number in range(60)]
        )
        page.get_by_role("button", name="Logs").click()
        expect(page.locator(".log-status")).to_have_text("60 lines")
        bridge.post("api/v1/logs", line("live, at last"))
        expect(page.locator(".log-message").last).to_have_text("live, at last")
        process.send_signal(signal.SIGKILL)
        expect(page.locator(".top .badge-text")).to_have_text("Disconnected", timeout=PATIENCE)
    with bridge.running():
        bridge.post("api/v1/logs", [line(f"meanwhile {number}") for number in range(70)])
        expect(page.locator(".top .badge-text")).to_have_text("Live", timeout=PATIENCE)
        expect(page.locator(".log-status")).to_have_text("131 lines", timeout=PATIENCE)
        bridge.post("api/v1/logs", line("after it all"))
        expect(page.locator(".log-status")).to_have_text("132 lines")
        page.get_by_role("searchbox", name="Search the log").fill("BEFORE 5")
        expect(page.locator(".log-status")).to_have_text("11 lines")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export as CSV").click()
        rows = download.value.path().read_text().splitlines()
        assert (rows[0], len(rows)) == ("timestamp,level,message,source,environment,trace_id", 12)
        page.goto("about:blank")


def test_a_viewer_signs_in_and_sees_its_features_alone(page: Page, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    bridge = Served(
        tmp_path, FEATUREWATCH_API_TOKENS_FILE=str(tokens), FEATUREWATCH_API_PREFIX="/api/platform/ai-management"
    )

    def token(role: str, features: str) -> str:
        made = subprocess.run(
            [*COMMAND, "token", "create", "--role", role, "--features", features],
            capture_output=True, text=True, timeout=60, check=True, env=bridge.environment,
        )  # fmt: skip
        return next(word for word in made.stdout.split() if word.startswith("fw_"))

    admin, viewer = token("admin", "*"), token("viewer", "sum*")
    with bridge.running():
        for feature in ("summarize", "search"):
            body = {"featureId": feature, "message": "hello"}
            bridge.post("api/platform/ai-management/logs", body, authorization=f"Bearer {admin}")
        page.goto(bridge.url)
        page.get_by_label("Token").fill("fw_wrong")
        page.keyboard.press("Enter")
        expect(page.locator(".problem")).not_to_be_empty()
        page.get_by_label("Token").fill(viewer)
        page.keyboard.press("Enter")
        expect(page.locator(".rows .row-link")).to_have_text(["summarize"], timeout=PATIENCE)
        expect(page.locator(".top .badge-text")).to_have_text("Live", timeout=PATIENCE)
        page.get_by_role("button", name="Open the log of summarize").click()
        expect(page.locator(".log-message")).to_have_text("hello")

        # Where a proxy lets no WebSocket pass, the same cookie opens server-sent events.
        page.add_init_script("window.WebSocket = class { constructor() { throw new Error('blocked'); } }")
        page.goto(bridge.url + "#/feature/summarize?logs=summarize")
        page.reload()
        expect(page.locator(".top .badge-text")).to_have_text("Live (SSE)", timeout=PATIENCE)
        expect(page.locator(".log-message")).to_have_text("hello")
        body = {"featureId": "summarize", "message": "by server-sent event"}
        bridge.post("api/platform/ai-management/logs", body, authorization=f"Bearer {admin}")
        expect(page.locator(".log-message").last).to_have_text("by server-sent event")
        page.get_by_role("button", name="Close the log").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.goto("about:blank")


def test_whoever_is_signed_in_at_another_app_of_the_site_needs_not_sign_in(page: Page, tmp_path: Path) -> None:
    """As Supabase keeps it: a session in JSON, in base64url, in two cookies."""
    bridge = Served(
        tmp_path, FEATUREWATCH_JWT_SECRET=SECRET, FEATUREWATCH_JWT_AUDIENCE=AUDIENCE, FEATUREWATCH_JWT_ISSUER=ISSUER,
        FEATUREWATCH_AUTH_COOKIE="sb-project-auth-token",
    )  # fmt: skip

    def jwt(role: str, features: list[str]) -> str:
        return signed(claims(time.time(), featurewatch={"role": role, "features": features}))

    session = json.dumps({"access_token": jwt("viewer", ["sum*"]), "user": {"id": "1"}}).encode()
    value = f"base64-{encoded(session)}"
    with bridge.running():
        for feature in ("summarize", "search"):
            bridge.post(
                "api/v1/logs", {"featureId": feature, "message": "hi"}, authorization=f"Bearer {jwt('ingest', ['*'])}"
            )
        page.goto(bridge.url)
        expect(page.get_by_label("Token")).to_be_visible()
        half = len(value) // 2
        page.context.add_cookies(
            [
                {"name": f"sb-project-auth-token.{number}", "value": part, "url": bridge.url}
                for number, part in enumerate((value[:half], value[half:]))
            ]
        )
        page.reload()
        expect(page.locator(".rows .row-link")).to_have_text(["summarize"], timeout=PATIENCE)
        expect(page.locator(".top .badge-text")).to_have_text("Live", timeout=PATIENCE)
        expect(page.locator(".who")).to_have_text("ada@example.com · viewer")
        page.goto("about:blank")
