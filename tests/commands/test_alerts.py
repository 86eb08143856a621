"""`featurewatch alerts` against a running bridge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import pytest

from bridge.running import API, serving
from featurewatch.cli import main

HOOK = f"{API}/webhooks/alertmanager"


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("bridge")) as address:
        yield address


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("FEATUREWATCH_URL", url)

    def call(*words: str) -> Said:
        code = main(list(words))
        return Said(code, *capsys.readouterr())

    return call


def fire(url: str, feature: str) -> str:
    labels = {
        "alertname": "Errors", "feature": feature, "environment": "production", "rule_id": f"{feature}-errors",
        "metric": "error_rate", "severity": "high",
    }  # fmt: skip
    alert = {
        "status": "firing", "labels": labels, "startsAt": "2026-01-31T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "annotations": {"title": "Errors Alert", "message": "error_rate is 30"}, "fingerprint": feature,
    }  # fmt: skip
    httpx.post(f"{url}{HOOK}", json={"version": "4", "alerts": [alert]}).raise_for_status()
    found: list[dict[str, str]] = httpx.get(f"{url}{API}/features/{feature}/alerts").json()["alerts"]
    return found[0]["id"]


def test_an_alert_is_listed_taken_on_explained_and_closed(url: str, run: Run) -> None:
    assert run("alerts", "list").out == "no alerts: all clear\n"
    id_ = fire(url, "chat")
    listed = run("alerts", "list", "chat")
    assert listed.code == 0
    assert listed.out.splitlines()[1].split() == [
        "2026-01-31T12:00:00", "high", "active", "chat", "production", "error_rate", "is", "30", id_,
    ]  # fmt: skip
    taken = run("alerts", "ack", id_[-8:], "-m", "on it", "--for", "30")
    assert (taken.code, taken.out) == (0, "acknowledged: Errors Alert of chat (production)\n")
    why = run("alerts", "explain", id_)
    assert why.out.startswith("anonymous acknowledged it: nobody is notified while that lasts\n")
    assert run("alerts", "unack", id_).out.startswith("active: ")
    closed = run("alerts", "resolve", id_, "--json")
    assert json.loads(closed.out)["alerts"][0]["resolve_reason"] == "manual"
    assert run("alerts", "list", "chat").out == "no alerts: all clear\n"
    assert id_ in run("alerts", "list", "--status", "all").out
    assert run("alerts", "list", "--status", "resolved", "--json").out.startswith("[")


def test_what_is_refused_is_told_and_the_others_are_done(url: str, run: Run) -> None:
    id_ = fire(url, "search")
    told = run("alerts", "resolve", id_, "nothing")
    assert told.code == 1
    assert told.out == (
        "resolved: Errors Alert of search (production); its condition still holds: "
        "it stays silenced until that clears\n"
    )
    assert told.err == "featurewatch: alert 'nothing' does not exist\n"
    wrong = run("alerts", "list", "--status", "closed")
    assert wrong.code != 0
    assert "expected active, acknowledged, resolved or open" in wrong.err
    assert "--since: expected a duration such as 30s" in run("alerts", "list", "--since", "yesterday").err
    misspelt = run("alerts", "list", "serch")
    assert (misspelt.code, misspelt.out) == (1, ""), "which is not all clear"
    assert "did you mean search?" in misspelt.err


def test_an_acknowledgement_for_no_time_at_all_is_refused(url: str, run: Run) -> None:
    id_ = fire(url, "quiet")
    told = run("alerts", "ack", id_, "--for", "0")
    assert told.code == 2
    assert "expires_minutes: input should be greater than 0" in told.err
    assert httpx.get(f"{url}{API}/alerts/{id_}").json()["status"] == "active"
    with pytest.raises(SystemExit):
        run("alerts", "ack", id_, "--for", "nan")
