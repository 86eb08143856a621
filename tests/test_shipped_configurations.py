"""The configuration files that are shipped, as the servers' own programs see them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from compose import Stack

ROOT: Final = Path(__file__).parents[1]
RULES: Final = ROOT / "prometheus/rules/featurewatch.yml"
CASES: Final = ROOT / "prometheus/tests/featurewatch.yml"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} (tests/install-system-packages installs it)")
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_takes_its_configuration_with_the_rules_and_the_credential(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    assert stack.init().returncode == 0
    config = next(option for option in stack.command("prometheus") if option.startswith("--config.file="))
    done = run("promtool", "check", "config", "--lint=all", "--lint-fatal", config.partition("=")[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_the_cases_of_the_recording_rules_hold() -> None:
    done = run("promtool", "test", "rules", str(CASES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("100 * (sum by (feature, environment) (feature:requests:gain5m{outcome=\"error\"})", "101 * (sum by (feature, "
         "environment) (feature:requests:gain5m{outcome=\"error\"})"),
        ('kind=~"input|output"', 'kind=~"input|output|cache_read"'),
        ('{outcome=~"error|success"}) > 0', '{outcome=~"error|success|cancelled"}) > 0'),
        ("histogram_quantile(0.95, feature:request_duration", "histogram_quantile(0.9, feature:request_duration"),
        ("> bool 0)", ">= bool 0)"),
        ("> bool 0)", "> bool 1000)"),
    ],
)  # fmt: skip
def test_the_cases_notice_a_rule_that_says_something_else(right: str, wrong: str, tmp_path: Path) -> None:
    rules, cases = RULES.read_text(encoding="utf-8"), CASES.read_text(encoding="utf-8")
    assert right in rules
    (tmp_path / "rules.yml").write_text(rules.replace(right, wrong))
    (tmp_path / "cases.yml").write_text(cases.replace("../rules/featurewatch.yml", "rules.yml"))
    assert run("promtool", "test", "rules", str(tmp_path / "cases.yml")).returncode == 1


def test_every_figure_that_is_recorded_has_a_case() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    told = CASES.read_text(encoding="utf-8")
    figures = {rule["record"] for group in groups for rule in group["rules"] if ":over" in rule["record"]}
    assert {name for name in figures if name not in told} <= {"feature:response_time_p99:over5m"}, "p99 is as p95"


def test_alertmanager_takes_its_base_configuration() -> None:
    done = run("amtool", "check-config", str(ROOT / "alertmanager/alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_yaml_line_that_a_comment_offers_is_valid() -> None:
    """What alertmanager.yml shows as comments is valid once they are taken away, templates and files aside."""
    text = (ROOT / "alertmanager/alertmanager.yml").read_text(encoding="utf-8")
    kept = [re.sub(r"^(\s*)# (?=(\s*)(- |\w+:|#))", r"\1", line) for line in text.splitlines()]
    offered = yaml.safe_load("\n".join(line for line in kept if not line.startswith("#")))
    assert offered["route"]["routes"] == [{"matchers": ['team="platform"'], "receiver": "platform"}]
    assert {receiver["name"] for receiver in offered["receivers"]} == {"nobody", "platform"}
    assert offered["global"]["smtp_auth_password_file"].startswith("/")


def test_make_check_looks_at_the_same_files() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in (
        "promtool check config --syntax-only prometheus/prometheus.yml",
        "promtool check rules prometheus/rules/*.yml",
        "promtool test rules prometheus/tests/*.yml",
        "amtool check-config alertmanager/alertmanager.yml",
    ):
        assert command in makefile
