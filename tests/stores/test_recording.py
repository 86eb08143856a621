"""The recording rules: what Prometheus makes of them, and how others know that they run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from featurewatch.commands import recording as command
from featurewatch.formulas import METRICS
from featurewatch.stores import recording

SHIPPED = Path(__file__).parents[2] / "prometheus" / "rules" / "featurewatch.yml"

KEY = 'feature="chat", environment="production"'
APP = f'job="app", instance="a:1", {KEY}'


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool to check rules with (Debian: apt-get install prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


def evaluated(folder: Path, series: dict[str, str], expected: dict[str, tuple[str, float | None]]) -> None:
    """Let promtool evaluate the rules over series; `expected` is expression to (instant, value), None for no series."""
    (folder / "rules.yml").write_text(recording.document(), encoding="utf-8")
    tests = [
        {
            "expr": expr,
            "eval_time": at,
            "exp_samples": [] if value is None else [{"labels": f"{{{KEY}}}", "value": value}],
        }
        for expr, (at, value) in expected.items()
    ]
    told: dict[str, Any] = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": tests,
            }
        ],
    }
    (folder / "tests.yml").write_text(json.dumps(told), encoding="utf-8")  # which is YAML
    ran = promtool("test", "rules", str(folder / "tests.yml"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def bare(name: str) -> str:
    """Read a recorded figure without its name."""
    return f"sum by (feature, environment) ({name})"


def test_the_shipped_file_is_valid() -> None:
    ran = promtool("check", "rules", str(SHIPPED))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("rules found")


def test_every_figure_is_recorded_once_under_its_name() -> None:
    names = [rule.record for group in recording.groups(50) for rule in group.rules]
    assert set(recording.FIGURES) == set(METRICS)
    assert all(names.count(name) == 1 for name in recording.FIGURES.values())
    assert recording.FIGURES["error_rate"] == "feature:error_rate:over5m"
    assert recording.FIGURES["uptime"] == "feature:uptime:over24h"


def test_figures_of_a_busy_feature(tmp_path: Path) -> None:
    evaluated(
        tmp_path,
        {
            f'feature_requests_total{{{APP}, outcome="success"}}': "0+8x240",
            f'feature_requests_total{{{APP}, outcome="error"}}': "0+2x240",
            f'feature_requests_total{{{APP}, outcome="cancelled"}}': "0+1x240",
            f"feature_request_duration_seconds_sum{{{APP}}}": "0+5.5x240",
            f"feature_request_duration_seconds_count{{{APP}}}": "0+11x240",
            f'feature_request_duration_seconds_bucket{{{APP}, le="0.64"}}': "0+11x240",
            f'feature_request_duration_seconds_bucket{{{APP}, le="+Inf"}}': "0+11x240",
            f'feature_time_to_first_token_seconds_bucket{{{APP}, le="0.04"}}': "0+11x240",
            f'feature_time_to_first_token_seconds_bucket{{{APP}, le="+Inf"}}': "0+11x240",
            f'feature_cost_usd_total{{{APP}, model="m", source="reported"}}': "0+0.5x240",
            f'feature_tokens_total{{{APP}, model="m", kind="input"}}': "0+33x240",
            f'feature_tokens_total{{{APP}, model="m", kind="reasoning"}}': "0+1000x240",
        },
        {
            bare(recording.FIGURES[name]): ("30m", value)
            for name, value in {
                "error_rate": 20, "success_rate": 80, "total_requests": 220, "requests_per_minute": 44,
                "response_time": 500, "response_time_p50": 320, "response_time_p95": 608,
                "time_to_first_token_p95": 38, "total_cost": 10, "tokens_per_request": 3, "uptime": 100,
            }.items()
        },
    )  # fmt: skip


def test_idle_is_zero_and_absent_is_nothing(tmp_path: Path) -> None:
    evaluated(
        tmp_path,
        {
            f'feature_requests_total{{{APP}, outcome="success"}}': "5x80 stale",
            f'feature_requests_total{{{APP}, outcome="error"}}': "1x80 stale",
        },
        {
            bare(recording.FIGURES["total_requests"]): ("15m", 0),
            bare(recording.FIGURES["error_rate"]): ("15m", None),
            bare(recording.FIGURES["total_cost"]): ("15m", None),
            bare("feature:minute_up:bool"): ("15m", None),
            f"max by (feature, environment) ({recording.FIGURES['total_requests']})": ("30m", None),
        },
    )


def test_half_of_the_minutes_with_traffic_were_down(tmp_path: Path) -> None:
    # 10 minutes of success, 10 of errors, 20 idle
    evaluated(
        tmp_path,
        {
            f'feature_requests_total{{{APP}, outcome="success"}}': "0+1x40 40x120",
            f'feature_requests_total{{{APP}, outcome="error"}}': "0x40 0+1x40 40x80",
        },
        {bare(recording.FIGURES["uptime"]): ("40m", 50), bare("feature:minute_up:bool"): ("15m", 0)},
    )


def test_the_marker_says_that_all_groups_run_and_with_which_threshold() -> None:
    markers = [rule.labels for group in recording.groups(30) for rule in group.rules if rule.record == recording.MARKER]
    assert recording.threshold_of(markers) == 30
    assert recording.threshold_of(markers[:2]) is None
    assert recording.threshold_of([]) is None
    assert recording.threshold_of([{**labels, "version": "2"} for labels in markers]) is None
    assert recording.threshold_of([{**labels, "threshold": "many"} for labels in markers]) is None


def test_a_recorded_figure_is_written_as_its_selector() -> None:
    chat = {"feature": "chat", "environment": "production"}
    assert recording.expression("error_rate", 300, chat) == (
        'feature:error_rate:over5m{feature="chat",environment="production"}'
    )
    assert recording.expression("error_rate", 600, chat) is None
    assert recording.expression("uptime", 86_400, {}) == "feature:uptime:over24h"
    assert recording.expression("uptime", 3600, {}) == "100 * avg_over_time(feature:minute_up:bool[1h])"
    assert "[1m]" in str(recording.expression("uptime", 10, {}))


def test_rules_for_another_threshold_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--uptime-threshold", "30"]) == 0
    printed = capsys.readouterr().out
    assert 'threshold: "30"' in printed
    assert printed == recording.document(30)
    for wrong in ("0", "101", "half"):
        with pytest.raises(SystemExit):
            command.main(["--uptime-threshold", wrong])
    assert "expected a percentage" in capsys.readouterr().err
