"""`featurewatch apply` and `featurewatch rules` against a running bridge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from bridge.running import API, serving
from featurewatch.cli import main

FILE = """\
features:
  summarize:
    name: Summaries
    thresholds: {error_rate: 5}
    slo: {objective: 99.5}
    rules:
      - {name: Errors, metric: error_rate, condition: greater_than, threshold: 20, severity: high, on_no_data: alert}
      - {name: Slow, metric: response_time_p95, condition: greater_than, threshold: 4000, severity: low}
      - {name: Lines, kind: logs, logs: {search: timeout}, condition: greater_than, threshold: 5, severity: low}
"""


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
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command against the bridge, which is emptied before."""
    monkeypatch.setenv("FEATUREWATCH_URL", url)
    monkeypatch.chdir(tmp_path)
    for feature in httpx.get(f"{url}{API}/features").json()["features"]:
        httpx.delete(f"{url}{API}/features/{feature['id']}")

    def call(*words: str) -> Said:
        code = main(list(words))
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "features.yml"
    path.write_text(FILE)
    return path


def rules_at(url: str) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in httpx.get(f"{url}{API}/alerts/rules").json()["rules"]}


# apply


def test_a_file_is_applied_and_again_changes_nothing(run: Run, file: Path, url: str) -> None:
    first = run("apply", str(file))
    assert first.code == 0, first.err
    assert first.out.splitlines()[-1] == "4 added"
    assert "+ rule summarize/Errors" in first.out
    rules = rules_at(url)
    assert {name: rule["origin"] for name, rule in rules.items() if rule["kind"] != "slo"} == {
        "Errors": "file", "Slow": "file", "Lines": "file"
    }  # fmt: skip
    assert len(rules) == 3 + 4
    feature = httpx.get(f"{url}{API}/features/summarize").json()
    assert (feature["name"], feature["thresholds"]["error_rate"], feature["slo"]["objective"]) == ("Summaries", 5, 99.5)
    again = run("apply", str(file))
    assert (again.code, again.out, again.err) == (0, "nothing to change\n", "")
    assert rules_at(url) == rules


def test_a_dry_run_shows_the_difference_and_changes_nothing(run: Run, file: Path, url: str) -> None:
    told = run("apply", str(file), "--dry-run")
    assert (told.code, told.out.splitlines()[-1]) == (3, "4 to add")
    assert rules_at(url) == {}
    run("apply", str(file))
    assert run("apply", str(file), "--dry-run")[:2] == (0, "nothing to change\n")
    before = rules_at(url)
    file.write_text(FILE.replace("threshold: 20,", "threshold: 10,").replace("Slow", "Slower"))
    told = run("apply", str(file), "--dry-run")
    assert told.code == 3
    assert told.out.splitlines() == [
        "~ rule summarize/Errors", "    threshold: 20 → 10",
        "+ rule summarize/Slower", "    rule: response_time_p95 greater_than 4000 ms, low",
        "- rule summarize/Slow",
        "1 to add, 1 to change, 1 to remove",
    ]  # fmt: skip
    assert rules_at(url) == before
    assert run("apply", str(file)).out.splitlines()[-1] == "1 added, 1 changed, 1 removed"
    assert {"Errors", "Slower", "Lines"} <= rules_at(url).keys()
    assert "Slow" not in rules_at(url)


def test_rules_that_people_made_stay_unless_they_are_pruned(run: Run, file: Path, url: str) -> None:
    run("apply", str(file))
    rule = {"name": "Mine", "metric": "uptime", "condition": "less_than", "threshold": 99, "severity": "low"}
    httpx.post(f"{url}{API}/features/summarize/alerts/rules", json=rule)
    assert run("apply", str(file)).out == "nothing to change\n"
    assert run("apply", str(file), "--prune").out == "- rule summarize/Mine\n1 removed\n"


def test_a_file_that_is_wrong_changes_nothing_and_says_everything(run: Run, file: Path, url: str) -> None:
    file.write_text(
        FILE.replace("error_rate, condition", "eror_rate, condition").replace("threshold: 4000", "threshold: x")
    )
    told = run("apply", str(file))
    assert told.code == 2
    assert (
        f"{file}:7: features.summarize.rules[0].metric: 'eror_rate' is no metric; did you mean error_rate?" in told.err
    )
    assert f"{file}:8: features.summarize.rules[1].threshold: expected a number, got 'x'" in told.err
    assert [line.split(":")[2] for line in told.err.splitlines()] == ["7", "8"]
    assert rules_at(url) == {}


def test_a_channel_that_nobody_has_is_told_before_anything_is_changed(run: Run, file: Path, url: str) -> None:
    file.write_text(FILE.replace("on_no_data: alert", "notification_channels: [nobody]"))
    told = run("apply", str(file))
    assert told.code == 2
    assert "channel 'nobody' is used, and neither the file declares it nor the bridge has it" in told.err
    assert httpx.get(f"{url}{API}/features").json()["features"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["apply"], "the following arguments are required: FILE"),
        (["apply", "missing.yml"], "missing.yml: No such file"),
        (["apply", "x.yml", "--dryrun"], "did you mean --dry-run?"),
        (["rules", "lsit"], "did you mean list?"),
        (["rules", "preview", "summarize"], "--metric, --condition and --threshold"),
        (["rules", "export", "--label", "x"], "expected NAME=VALUE"),
        (["rules", "import", "missing.yml"], "missing.yml: No such file"),
    ],
)
def test_a_command_that_is_wrong_says_what_was_meant(
    words: list[str], said: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        told = run(*words)
    except SystemExit as ended:
        told = Said(int(str(ended.code)), *capsys.readouterr())
    assert told.code == 2
    assert said in told.err
    assert len(told.err.splitlines()) == 1


def test_no_bridge_is_told(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_URL", "http://127.0.0.1:1")
    for words in (["apply", str(file)], ["rules", "list"]):
        told = run(*words)
        assert told.code == 1
        assert "no bridge answers at http://127.0.0.1:1" in told.err


CHANNELS = """\
features:
  summarize:
    slo: {objective: 99, notification_channels: [mail]}
    rules:
      - {name: Errors, metric: error_rate, condition: greater_than, threshold: 20, severity: high,
         notification_channels: [ops]}
channels:
  ops:
    kind: webhook
    settings: {url: "http://127.0.0.1:9/hook?key=${OPS_KEY}", bearer_token: "${OPS_TOKEN}"}
    severities: [critical, high]
  mail: {kind: email, settings: {to: a@example.com, from: b@example.com, smarthost: "127.0.0.1:25"}}
"""


def test_channels_come_with_secrets_of_the_environment_and_come_once(
    run: Run, file: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(CHANNELS)
    assert "channels.ops.settings.url: ${OPS_KEY} is not set" in run("apply", str(file)).err
    monkeypatch.setenv("OPS_KEY", "first")
    monkeypatch.setenv("OPS_TOKEN", "second")
    told = run("apply", str(file))
    assert (told.code, told.out.splitlines()[-1]) == (0, "4 added"), told
    shown = httpx.get(f"{url}{API}/channels/ops").json()
    assert shown["settings"] == {"url": "http://127.0.0.1:9/hook?…", "bearer_token": "set"}
    again = run("apply", str(file))
    assert (again.code, again.out) == (0, "nothing to change\n")
    assert httpx.get(f"{url}{API}/channels/ops").json()["revision"] == shown["revision"]
    dry = run("apply", str(file), "--dry-run")
    assert (dry.code, dry.out.splitlines()[-1]) == (0, "1 to send")
    monkeypatch.setenv("OPS_TOKEN", "third")
    assert run("apply", str(file)).out == "~ channel ops\n1 changed\n"
    file.write_text(CHANNELS.replace("a@example.com", "c@example.com"))
    told = run("apply", str(file), "--dry-run")
    assert "    settings.to: a@example.com → c@example.com" in told.out
    for said in (*told, *again):
        assert "second" not in str(said)


# rules


def test_rules_are_listed_with_how_far_they_got(run: Run, file: Path) -> None:
    run("apply", str(file))
    listed = run("rules", "list").out.splitlines()
    assert listed[0].split() == ["FEATURE", "NAME", "CONDITION", "SEVERITY", "STATE", "CHANNELS", "ID"]
    assert any(line.startswith("summarize  Errors") and "error_rate > 20 % over 5 min" in line for line in listed)
    assert len(listed) == 1 + 7
    status = run("rules", "status", "summarize")
    assert status.code == 0
    assert any(line.split()[1:4] == ["Slow", "1", "saved"] for line in status.out.splitlines())
    assert len(json.loads(run("rules", "list", "--json").out)) == 7
    assert json.loads(run("rules", "status", "--json").out)[0]["deployment"]["state"] == "saved"
    for name in ("list", "status"):
        misspelt = run("rules", name, "sumarize")
        assert (misspelt.code, misspelt.out) == (1, "")
        assert misspelt.err == "featurewatch: feature 'sumarize' is not known, did you mean summarize?\n"


def test_a_rule_is_previewed_as_it_is_or_changed_or_made_up(run: Run, file: Path, url: str) -> None:
    run("apply", str(file))
    httpx.post(f"{url}{API}/features/summarize/requests", json=[{"outcome": "error", "duration_ms": 5}] * 3)
    told = run("rules", "preview", "summarize", "Errors", "--for", "0")
    assert told.code == 0, told.err
    assert told.out.startswith("error_rate > 20 % over 5 min: would")
    assert (
        json.loads(run("rules", "preview", "summarize", "Errors", "--threshold", "99", "--json").out)["rule"][
            "threshold"
        ]
        == 99
    )
    words = ("--metric", "total_requests", "--condition", "greater_than", "--threshold", "1000")
    assert "would not have fired between" in run("rules", "preview", "summarize", *words).out
    gone = run("rules", "preview", "summarize", "Erors")
    assert (gone.code, "did you mean Errors?" in gone.err) == (1, True)
    wrong = run("rules", "preview", "summarize", "--metric", "eror_rate", *words[2:])
    assert (wrong.code, "did you mean error_rate?" in wrong.err) == (2, True)


def test_what_is_exported_is_imported_elsewhere(run: Run, file: Path, url: str, tmp_path: Path) -> None:
    run("apply", str(file))
    exported = run("rules", "export")
    assert exported.code == 0
    assert "summarize/Lines counts lines: " in exported.err
    groups = yaml.safe_load(exported.out)["groups"]
    assert len(groups) == 2 + 4
    before = rules_at(url)
    for name in ("Errors", "Slow"):
        httpx.delete(f"{url}{API}/features/summarize/alerts/rules/{before[name]['id']}")
    path = tmp_path / "exported.yml"
    path.write_text(exported.out)
    dry = run("rules", "import", str(path), "--dry-run")
    assert dry.out.splitlines()[-1] == "2 would be made, 0 there already, 4 not imported"
    assert "Errors" not in rules_at(url)
    told = run("rules", "import", str(path))
    assert told.out.splitlines()[-1] == "2 made, 0 there already, 4 not imported"
    assert "it is of a feature's objective" in told.out
    kept = ("name", "metric", "condition", "threshold", "severity", "on_no_data", "window_minutes", "for_minutes")
    after = rules_at(url)
    assert [after["Errors"][name] for name in kept] == [before["Errors"][name] for name in kept]
    assert after["Errors"]["origin"] == "import"
    assert run("rules", "import", str(path)).out.splitlines()[-1] == "0 made, 2 there already, 4 not imported"
    of_errors = f"{url}{API}/features/summarize/alerts/rules/{after['Errors']['id']}"
    assert httpx.put(of_errors, json={"cooldown_minutes": 5}).status_code == 200
    exported = run("rules", "export", "summarize")
    path.write_text(exported.out)
    assert run("rules", "import", str(path)).out.splitlines()[-1] == "0 made, 2 there already, 4 not imported"


def test_an_import_says_of_each_rule_what_became_of_it(run: Run, file: Path, tmp_path: Path) -> None:
    run("apply", str(file))
    path = tmp_path / "alerts.yml"
    path.write_text("""\
groups:
  - name: hand
    rules:
      - {record: "a:b", expr: up}
      - {alert: Down, expr: up == 0}
      - {alert: Errors, expr: 'feature:error_rate:over5m{feature="summarize"} > 50'}
      - {alert: Traffic, expr: 'sum(rate(feature_requests_total{feature="summarize"}[5m])) > 2'}
      - {alert: Elsewhere, expr: 'sum(rate(feature_requests_total{feature="unknown"}[5m])) > 2'}
""")
    assert "--channel: 'nobody' is no channel; there " in run("rules", "import", str(path), "--channel", "nobody").err
    told = run("rules", "import", str(path)).out.splitlines()
    assert told[0] == f"x {path}:4: a:b: it is a recording rule: those are not alerts"
    assert told[1].startswith(f"x {path}:5: Down: up is compared as it stands")
    assert told[2].startswith("x summarize/Errors: there is another rule of this name:")
    assert told[3] == "+ summarize/Traffic: requests_per_minute > 120 over 5 min"
    assert any(line.startswith("x unknown/Elsewhere: feature 'unknown' is not known") for line in told)
    assert told[-1] == "1 made, 0 there already, 4 not imported"


def test_manifests_and_files_are_written_for_each_feature(run: Run, file: Path, tmp_path: Path) -> None:
    run("apply", str(file))
    told = run("rules", "export", "--format", "manifest", "--label", "release=prometheus", "--namespace", "ai").out
    (manifest,) = yaml.safe_load_all(told)
    assert manifest["metadata"]["labels"]["release"] == "prometheus"
    assert run("rules", "export", "-o", str(tmp_path / "out"), "--recorded").code == 0
    text = (tmp_path / "out" / "summarize.yml").read_text()
    assert "feature:error_rate:over5m" in text
    gone = run("rules", "export", "sumarize")
    assert (gone.code, "did you mean summarize?" in gone.err) == (1, True)
