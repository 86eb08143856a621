"""A feature's settings, and who may change them; signing in, and what is said where that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from browser.axe import violations
from browser.furnished import served
from running import Running, environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.faults]


@dataclass
class Guarded:
    """A bridge that asks for a token, and one of each role."""

    running: Running
    tokens: dict[str, str]

    @property
    def url(self) -> str:
        return self.running.url

    def client(self, role: str) -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"authorization": f"Bearer {self.tokens[role]}"}, timeout=30
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    env = {"FEATUREWATCH_API_TOKENS_FILE": str(folder / "tokens.json")}
    tokens = {role: token(role, env) for role in ("viewer", "editor", "ingest", "admin")}
    with served(folder / "data", env, authorization=f"Bearer {tokens['admin']}") as running:
        yield Guarded(running, tokens)


def token(role: str, env: dict[str, str]) -> str:
    command = [sys.executable, "-m", "featurewatch.cli", "token", "create", "--role", role]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment(env))
    return next(word for word in made.stdout.split() if word.startswith("fw_"))


def offer(page: Page, given: str) -> None:
    page.get_by_label("Token").fill(given)
    page.keyboard.press("Enter")


def sign_in(page: Page, given: str) -> None:
    """Sign in, and wait until what lies behind the box was made anew."""
    offer(page, given)
    expect(page.get_by_role("heading", name="Sign in to featurewatch")).to_be_hidden()


def test_a_wrong_token_is_explained_and_one_that_only_sends_too(page: Page, guarded: Guarded) -> None:
    page.goto(guarded.url)
    expect(page.get_by_role("heading", name="Sign in to featurewatch")).to_be_visible()
    expect(page).to_have_title("Sign in · featurewatch")
    assert violations(page) == []
    offer(page, "fw_wrong")
    expect(page.locator(".sign-in .problem")).to_contain_text("token")
    offer(page, guarded.tokens["ingest"])
    expect(page.locator(".sign-in .problem")).to_contain_text("it may send, not look")
    sign_in(page, guarded.tokens["viewer"])
    expect(page.locator(".rows .row")).to_have_count(3)
    expect(page.locator(".who")).to_contain_text("viewer")


def test_a_viewer_is_offered_nothing_that_it_may_not_do(page: Page, guarded: Guarded) -> None:
    page.goto(f"{guarded.url}/#/feature/extract/settings")
    sign_in(page, guarded.tokens["viewer"])
    expect(page.get_by_label("Owner", exact=True)).to_have_value("docs")
    expect(page.get_by_label("Owner", exact=True)).to_be_disabled()
    expect(page.get_by_text("Your role may look at these settings, not change them")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    page.get_by_role("button", name="View logs: Thresholds").click()
    expect(page.get_by_role("dialog", name="Log")).to_be_visible()
    assert "levels=warn,error,fatal" in page.url
    expect(page.locator(".log-message")).to_have_text("page 3: timed out")


def test_an_editor_changes_thresholds_and_is_told_what_is_wrong(page: Page, guarded: Guarded) -> None:
    page.goto(f"{guarded.url}/#/feature/search/settings")
    sign_in(page, guarded.tokens["editor"])
    section = page.get_by_role("region", name="Thresholds")
    rate = section.get_by_label("Error rate, below")
    expect(rate).to_have_value("5")
    rate.fill("many")
    page.keyboard.press("Enter")
    expect(section.get_by_role("alert")).to_have_text("Error rate, below: expected a number from 0 to 100, got “many”.")
    rate.fill("7.5")
    page.keyboard.press("Enter")
    expect(section.get_by_text("Saved", exact=True)).to_be_visible()
    objective = page.get_by_role("region", name="Objective")
    objective.get_by_label("Calls that succeed").fill("99.5")
    objective.get_by_label("Channels told").fill("nobody")
    page.keyboard.press("Enter")
    expect(objective.get_by_role("alert")).to_contain_text("nobody")
    objective.get_by_label("Channels told").fill("")
    page.keyboard.press("Enter")
    expect(objective.get_by_text("Saved", exact=True)).to_be_visible()
    with guarded.client("viewer") as client:
        kept = client.get("/features/search").json()
    assert kept["thresholds"] == {"uptime": 99, "error_rate": 7.5, "response_time_p95": 10_000}
    assert kept["slo"] == {"objective": 99.5, "window": "30d"}
    rate.fill("")
    page.keyboard.press("Enter")
    expect(rate).to_have_value("5")


def test_what_somebody_else_changed_meanwhile_is_not_lost(page: Page, guarded: Guarded) -> None:
    page.goto(f"{guarded.url}/#/feature/summarize/settings")
    sign_in(page, guarded.tokens["editor"])
    section = page.get_by_role("region", name="Name and owner")
    name, owner = section.get_by_label("Name", exact=True), section.get_by_label("Owner", exact=True)
    expect(name).to_have_value("summarize")
    with guarded.client("admin") as client:
        # Another field of another section is no conflict.
        client.patch("/features/summarize", json={"thresholds": {"uptime": 95}}).raise_for_status()
        owner.fill("docs")
        page.keyboard.press("Enter")
        expect(section.get_by_text("Saved", exact=True)).to_be_visible()
        client.patch("/features/summarize", json={"owner": "search"}).raise_for_status()
        owner.fill("platform")
        page.keyboard.press("Enter")
        conflict = section.get_by_role("alert").filter(has_text="while you were editing")
        expect(conflict).to_contain_text("Owner: was docs, is now search")
        assert client.get("/features/summarize").json()["owner"] == "search"
        conflict.get_by_role("button", name="Save mine over it").click()
        expect(section.get_by_text("Saved", exact=True)).to_be_visible()
        assert client.get("/features/summarize").json()["owner"] == "platform"
        client.patch("/features/summarize", json={"owner": "search"}).raise_for_status()
        owner.fill("nobody")
        page.keyboard.press("Enter")
        conflict.get_by_role("button", name="Take theirs").click()
        expect(owner).to_have_value("search")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".rows .row", has_text="summarize").locator(".row-reason")).to_contain_text("search")


def test_a_session_that_ended_asks_again_and_goes_on_where_it_was(page: Page, guarded: Guarded) -> None:
    page.goto(f"{guarded.url}/#/feature/extract?env=production")
    sign_in(page, guarded.tokens["viewer"])
    expect(page.get_by_role("heading", name="Extraction")).to_be_visible()
    page.context.clear_cookies()
    page.evaluate("location.hash = '#/feature/extract/settings'")
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    sign_in(page, guarded.tokens["viewer"])
    expect(page.get_by_label("Owner", exact=True)).to_have_value("docs")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator(".rows .row, .tile .figure-value:not(:empty)")).to_have_count(0)
