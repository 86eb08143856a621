"""axe-core, which finds what keeps people out: brought by npm into a folder of the machine's own, never kept here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

VERSION = "4.10.3"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def source() -> str:
    """Return axe-core's script; the test is skipped, with the reason, where npm cannot bring it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: axe-core cannot be brought (Debian: apt install npm)")
    place = Path(tempfile.gettempdir()) / f"featurewatch-axe-core-{VERSION}-{os.getuid()}"
    script = place / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        # Two runs at a time: each brings its own, and the first to be done is kept.
        folder = Path(tempfile.mkdtemp(prefix="featurewatch-axe-"))
        done = subprocess.run(
            [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-save", f"axe-core@{VERSION}"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"npm cannot bring axe-core {VERSION}: {done.stderr.strip()[-200:]}")
        try:
            folder.rename(place)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
    return script.read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """Run axe over what is shown, and tell each violation with the elements that it is about."""
    page.evaluate(source())
    found: list[dict[str, Any]] = page.evaluate(
        "rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] }).then(({ violations }) => violations)",
        RULES,
    )
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:4]} "
        f"{[check['message'] for node in one['nodes'][:2] for check in (*node['any'], *node['all'])]}"
        for one in found
    ]
