"""axe over what a page shows: what would keep people out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser.npm_packages import AXE, package

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
FOUND = """(rules) => axe.run(document, rules).then(({ violations }) => violations.flatMap(({ id, nodes }) =>
  nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`)))"""


def violations(page: Page) -> list[str]:
    """Run axe, and tell each element that breaks a rule; the test is skipped where npm cannot bring axe."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(f"() => {{ {(package(*AXE) / 'axe.min.js').read_text()} }}")
    found: list[str] = page.evaluate(FOUND, RULES)
    return found
