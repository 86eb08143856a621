"""The kit in an app of one's own: installed by npm, bundled, with React from npm, on another origin than the bridge."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bridge.issuers import AUDIENCE, ISSUER, SECRET, claims, signed
from browser.standing import before, lines
from running import bridge as running_bridge

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

ROOT = Path(__file__).parents[2]
KIT = ROOT / "src/featurewatch/console/static/kit"
EXAMPLE = ROOT / "examples/react"
PACKAGES = (
    "react@19", "react-dom@19", "esbuild@0.28", "typescript@7", "@types/react@19", "@types/react-dom@19",
)  # fmt: skip
STRICT = (
    "--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2023",
    "--lib", "es2023,dom,dom.iterable",
)  # fmt: skip
API = "/api/v1"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An npm project with React, a bundler, TypeScript and the kit, as a front-end developer makes it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the kit is not tried with React")
    folder = tmp_path_factory.mktemp("app")
    (folder / "package.json").write_text('{"name": "app", "private": true, "type": "module"}')
    command = [npm, "install", "--install-links", "--no-audit", "--no-fund", "--silent", *PACKAGES, str(KIT)]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm could not install React, esbuild and TypeScript: {error}")
    return folder


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_hold_for_who_uses_the_kit_and_within_it(app: Path) -> None:
    compiler = str(app / "node_modules/.bin/tsc")
    shutil.copy(ROOT / "tests/typing/kit.tsx", app)
    run(app, compiler, *STRICT, "--jsx", "react-jsx", "kit.tsx")
    # What the modules say of themselves in JSDoc: looked at where no declaration hides them.
    inner = app / "inner"
    shutil.copytree(KIT, inner, ignore=shutil.ignore_patterns("*.d.ts"))
    run(app, compiler, *STRICT, "--allowJs", "--checkJs", "inner/index.js", "inner/widgets.js", "inner/react.js")
    # Both name the same things.
    names = "import * as kit from 'featurewatch-kit'; console.log(JSON.stringify(Object.keys(kit)))"
    told = subprocess.run(["node", "--input-type=module", "-e", names], cwd=app, capture_output=True, text=True)
    declared = (KIT / "index.d.ts").read_text()
    guide = (ROOT / "docs/kit.md").read_text()
    for name in re.findall(r"^export function (use\w+)", (KIT / "react.js").read_text(), re.MULTILINE):
        assert f"`{name}(" in guide, name
    for name in json.loads(told.stdout):
        assert any(f"export {kind} {name}" in declared for kind in ("class", "function", "const")), name


def test_everything_loads_where_there_is_no_browser(app: Path) -> None:
    """As on a server that renders pages: no window, no document, no HTMLElement."""
    script = """
        import "featurewatch-kit";
        import "featurewatch-kit/widgets";
        import { createElement } from "react";
        import { renderToString } from "react-dom/server";
        import * as kit from "featurewatch-kit/react";
        const { FeaturewatchProvider, useAlerts, useLogs, useRealTimeMetrics, useWebSocket } = kit;
        const Part = () => {
          const { isConnected } = useWebSocket("chat");
          const { metrics, isLoading } = useRealTimeMetrics("chat");
          return JSON.stringify([isConnected, metrics, isLoading, useLogs("chat").lines, useAlerts().alerts]);
        };
        console.log(renderToString(createElement(FeaturewatchProvider, {}, createElement(Part))));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], cwd=app, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.replace("&quot;", '"')) == [False, None, True, [], []]
    assert (KIT / "react.js").read_text().startswith('"use client";\n')


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(app: Path) -> Iterator[tuple[Path, str]]:
    """The example, bundled, on an origin of its own."""
    site = app / "site"
    site.mkdir(exist_ok=True)
    shutil.copy(EXAMPLE / "app.jsx", app)
    shutil.copy(EXAMPLE / "index.html", site)
    (app / "swap.jsx").write_text(SWAP)
    (site / "swap.html").write_text((EXAMPLE / "index.html").read_text().replace("app.js", "swap.js"))
    run(
        app, str(app / "node_modules/.bin/esbuild"), "app.jsx", "swap.jsx", "--bundle", "--format=esm",
        "--jsx=automatic", "--jsx-dev", "--define:process.env.NODE_ENV='development'", "--outdir=site",
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield site, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


SWAP = """
  import { useState } from "react";
  import { createRoot } from "react-dom/client";
  import { FeaturewatchProvider, useAlerts, useLogs, useServerSentEvents } from "featurewatch-kit/react";
  function Part() {
    const [id, setId] = useState("summarize");
    const { alerts } = useAlerts(id);
    const { data } = useServerSentEvents(id);
    const { lines } = useLogs(id === "other" ? "" : id);
    const shown = [data?.featureId ?? "no event", alerts[0]?.featureId ?? "no alert", lines[0]?.featureId ?? "no line"];
    return <button onClick={() => setId("other")}>{shown.join(", ")}</button>;
  }
  const about = { base: window.settings.base, getToken: window.getToken };
  createRoot(document.body).render(<FeaturewatchProvider {...about}><Part /></FeaturewatchProvider>);
"""
"""A page that turns to another feature."""


@pytest.mark.browser
@pytest.mark.faults
def test_hooks_show_figures_alerts_lines_and_events_over_one_connection(
    page: Page, served: tuple[Path, str], tmp_path: Path
) -> None:
    site, origin = served
    env = {
        "FEATUREWATCH_JWT_SECRET": SECRET, "FEATUREWATCH_JWT_AUDIENCE": AUDIENCE, "FEATUREWATCH_JWT_ISSUER": ISSUER,
        "FEATUREWATCH_METRICS_INTERVAL": "1", "FEATUREWATCH_EVALUATION_INTERVAL": "1",
        "FEATUREWATCH_ALLOWED_ORIGINS": origin,
    }  # fmt: skip
    admin = signed(claims(time.time(), featurewatch={"role": "admin", "features": ["*"]}))
    with (
        running_bridge(tmp_path, env=env) as bridge,
        before(bridge.url) as proxied,
        httpx.Client(base_url=bridge.url, headers={"authorization": f"Bearer {admin}"}, timeout=30) as client,
    ):

        def post(path: str, body: Any) -> None:
            client.post(f"{API}{path}", json=body).raise_for_status()

        calls = "/features/summarize/requests?environment=production"
        post(calls, [{"outcome": "success", "duration_ms": 5}] * 6 + [{"outcome": "error", "duration_ms": 5}] * 4)
        post("/logs", lines(0, 20, "summarize"))
        rule = {"name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20,
                "severity": "high", "for_minutes": 0}  # fmt: skip
        post("/features/summarize/alerts/rules", rule)
        settings = {"base": proxied.url, "feature": "summarize"}
        (site / "settings.js").write_text(
            f"window.settings = {json.dumps(settings)}; window.getToken = async () => {json.dumps(admin)};"
        )
        page.goto(f"{origin}/index.html")
        expect(page.locator("#error-rate")).to_have_text("40 %", timeout=15_000)
        expect(page.locator("#count")).to_have_text("20")
        expect(page.get_by_text("Figures live")).to_be_visible()
        post("/logs", lines(20, 25, "summarize"))
        expect(page.locator("#count")).to_have_text("25")
        expect(page.locator("#lines li").last).to_have_text("info line #24")
        page.get_by_label("Search").fill("#1")
        expect(page.locator("#count")).to_have_text("11")
        post(calls, [{"outcome": "success", "duration_ms": 5}] * 5)
        expect(page.locator("#requests")).to_have_text("15", timeout=15_000)
        expect(page.locator("#event")).to_have_text("metrics_update")
        post("/features/summarize/test-results?environment=production", {"name": "in French", "passed": True})
        expect(page.locator("#results")).to_have_text("1")
        expect(page.locator("#alerts li")).to_contain_text("(active)", timeout=15_000)
        page.locator("#alerts").get_by_role("button", name="Acknowledge").click()
        expect(page.locator("#alerts li")).to_contain_text("(acknowledged)")
        page.get_by_role("button", name="Billing's log").click()
        expect(page.locator("feature-logs .log-note")).to_have_text("No line matches these filters.")
        # StrictMode runs each effect twice, and the widget is a part of its own: one connection, one event stream.
        assert (proxied.upgrades, proxied.streams) == (1, 1)
        # The bridge's own copy may be loaded by a page of an allowed origin.
        assert page.evaluate(f"import('{proxied.url}/kit/widgets.js').then(({{ FeatureLogs }}) => FeatureLogs.name)")
        page.goto(f"{origin}/swap.html")
        expect(page.get_by_role("button")).to_have_text("summarize, summarize, summarize", timeout=15_000)
        # What the other feature has is not known yet: nothing is shown of the first one meanwhile.
        page.route(re.compile("/features/other/alerts|/stream.*featureId=other"), lambda _: None)
        page.get_by_role("button").click()
        expect(page.get_by_role("button")).to_have_text("no event, no alert, no line")
        page.goto("about:blank")
