"""What a rule would have done in the last week, over the embedded stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from featurewatch.alert_model import AlertRule, LogSelection
from featurewatch.alerts.preview import Preview, WouldFire, preview
from featurewatch.alerts.slo import slo_rules
from featurewatch.model import CallReport, FeatureKey, FeatureRecord, LogEntry, Outcome, Slo
from featurewatch.stores.embedded_logs import EmbeddedLogs
from featurewatch.stores.embedded_metrics import EmbeddedMetrics
from metric_samples import App

pytestmark = pytest.mark.anyio

MINUTE: Final = 60_000
NOW_NS: Final = 1_800_000_000_000_000_000 + 17_000_000_000
NOW_MS: Final = 1_800_000_000_000
"""The last whole minute."""

CHAT: Final = FeatureKey("chat", "production")
STAGED: Final = FeatureKey("chat", "staging")
RULE: Final = AlertRule(
    "r", "chat", "Errors", "error_rate", "greater_than", 50.0, "high", window_minutes=1, for_minutes=0,
    cooldown_minutes=10,
)  # fmt: skip


def at(minutes_ago: float) -> int:
    return NOW_MS - int(minutes_ago * MINUTE)


def calls(outcome: Outcome, *minutes_ago: int) -> list[CallReport]:
    """One call in the middle of each minute that ended so long ago."""
    return [CallReport(None, (at(ago) - MINUTE // 2) * 1_000_000, outcome, 0.5) for ago in minutes_ago]


@asynccontextmanager
async def stores(folder: Path, clock: Sequence[int] = (NOW_NS,)) -> AsyncIterator[tuple[EmbeddedMetrics, EmbeddedLogs]]:
    metrics = await EmbeddedMetrics.open(
        folder / "metrics.db", uptime_threshold=50, retention_s=400 * 86_400, clock=lambda: clock[0]
    )
    logs = await EmbeddedLogs.open(
        folder / "logs.db", retention_s=86_400 * 30, max_bytes=1024**3, queue_bytes=1024**2 * 64
    )
    yield metrics, logs
    await logs.close()
    await metrics.close()


async def seen(
    folder: Path,
    rule: AlertRule,
    told: dict[FeatureKey, list[CallReport]],
    lines: Sequence[LogEntry] = (),
    environments: Sequence[str] = ("production",),
) -> Preview:
    async with stores(folder) as (metrics, logs):
        await metrics.record(told)
        await logs.append(lines)
        return await preview(rule, environments, metrics, logs, now_ns=NOW_NS)


async def test_an_alert_begins_and_ends_with_its_condition(tmp_path: Path) -> None:
    story = calls("success", *range(100, 200)) + calls("error", *range(60, 100)) + calls("success", *range(60))
    found = await seen(tmp_path, RULE, {CHAT: story})
    assert found.firings == (WouldFire("production", at(99), at(59), 100.0),)
    assert found.notifications == 4, "at once, and after 10, 20 and 30 minutes"
    assert (found.start_ms, found.end_ms) == (at(7 * 1440), NOW_MS)


async def test_what_fires_still_has_no_end(tmp_path: Path) -> None:
    found = await seen(tmp_path, RULE, {CHAT: calls("error", 0, 1, 2)})
    assert found.firings == (WouldFire("production", at(2), None, 100.0),)
    assert found.notifications == 1


async def test_a_window_holds_what_ended_within_it(tmp_path: Path) -> None:
    story = calls("error", 50)
    found = await seen(tmp_path, replace(RULE, window_minutes=5), {CHAT: story})
    assert found.firings == (WouldFire("production", at(50), at(45), 100.0),)


async def test_for_lets_short_troubles_pass(tmp_path: Path) -> None:
    story = calls("error", 90, 50, 49, 48, 47) + calls("success", 89, 46)
    found = await seen(tmp_path, replace(RULE, for_minutes=2), {CHAT: story})
    assert found.firings == (WouldFire("production", at(48), at(46), 100.0),)


async def test_keep_firing_joins_what_flaps(tmp_path: Path) -> None:
    story = calls("error", 50, 47, 44) + calls("success", 49, 48, 46, 45, *range(44))
    assert len((await seen(tmp_path / "a", RULE, {CHAT: story})).firings) == 3
    found = await seen(tmp_path / "b", replace(RULE, keep_firing_minutes=5), {CHAT: story})
    assert found.firings == (WouldFire("production", at(50), at(38), 100.0),)


async def test_environments_are_looked_at_each_by_itself(tmp_path: Path) -> None:
    story = {CHAT: calls("error", 50), STAGED: calls("error", 30)}
    both = await seen(tmp_path / "a", RULE, story, environments=("staging", "production"))
    assert [(one.environment, one.start_ms) for one in both.firings] == [("production", at(50)), ("staging", at(30))]
    one = await seen(tmp_path / "b", replace(RULE, environment="staging"), story)
    assert [one.environment for one in one.firings] == ["staging"]


async def test_idleness_is_no_trouble_and_silence_is_where_it_is_asked_for(tmp_path: Path) -> None:
    app = App(CHAT, start_ns=at(300) * 1_000_000)
    heard = [(at(300 - n) + 1) * 1_000_000 for n in range(200)]
    async with stores(tmp_path, clock := [NOW_NS]) as (metrics, logs):
        for clock[0] in heard:
            await metrics.write(app.samples(clock[0]))
        clock[0] = NOW_NS
        ignoring = await preview(RULE, ["production"], metrics, logs, now_ns=NOW_NS)
        asking = await preview(replace(RULE, on_no_data="alert"), ["production"], metrics, logs, now_ns=NOW_NS)
    assert ignoring.firings == ()
    assert asking.firings == (
        WouldFire("production", at(7 * 1440), at(300), None, "no_data"),
        WouldFire("production", at(95), None, None, "no_data"),
    )


async def test_the_worst_value_is_the_one_that_is_furthest_from_fine(tmp_path: Path) -> None:
    story = calls("success", *[50] * 3, *[49] * 1, *[48] * 2)
    rule = replace(RULE, metric="total_requests", threshold=0.0)
    assert (await seen(tmp_path / "a", rule, {CHAT: story})).firings[0].value == 3
    fewer = replace(rule, condition="less_than", threshold=4.0)
    assert (await seen(tmp_path / "b", fewer, {CHAT: story})).firings[0].value == 0


async def test_an_objective_is_previewed_over_both_windows(tmp_path: Path) -> None:
    fast = slo_rules(FeatureRecord("chat", "Chat", slo=Slo(99.5)))[0]
    story = calls("success", *[ago for ago in range(400) for _ in range(9)]) + calls("error", *range(100, 150))
    found = await seen(tmp_path, fast, {CHAT: story})
    (one,) = found.firings
    assert one.end_ms is not None
    assert at(111) <= one.start_ms <= at(106), "10 % fail, and 43 of 60 minutes make 7.2 %"
    assert at(99) <= one.end_ms <= at(97), "two of the last five minutes are fine"


async def test_lines_are_counted_as_the_rule_selects_them(tmp_path: Path) -> None:
    def entry(n: int, ago: float, message: str = "Timeout upstream", level: str = "error") -> LogEntry:
        return LogEntry(f"{n:032x}", "chat", "production", at(ago) * 1_000_000, level, message)  # type: ignore[arg-type]  # a level

    lines = [entry(1, 50.5), entry(2, 49.5), entry(3, 49.4, "fine"), entry(4, 49.3, level="info"), entry(5, 20.5)]
    rule = replace(
        RULE, kind="logs", metric="log_entries", condition="greater_than", threshold=1.0, window_minutes=5,
        logs=LogSelection(("error",), "timeout"),
    )  # fmt: skip
    found = await seen(tmp_path / "a", rule, {}, lines)
    assert found.firings == (WouldFire("production", at(49), at(45), 2),)
    silent = replace(rule, condition="less_than", threshold=1.0)
    found = await seen(tmp_path / "b", silent, {}, lines)
    assert [(one.start_ms, one.end_ms) for one in found.firings] == [
        (at(7 * 1440), at(50)), (at(44), at(20)), (at(15), None)
    ]  # fmt: skip


class Sparing:
    """A store that tells the longer of two windows at each fifth minute alone."""

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> list[tuple[int, float | None]]:
        step = 5 * MINUTE if window_s > 600 else MINUTE
        return [(at, 90.0 if at >= end_ms - 20 * MINUTE else 0.0) for at in range(start_ms, end_ms + 1, step)]


async def test_windows_that_are_told_at_different_instants_are_compared_where_both_are(anyio_backend: str) -> None:
    fast = slo_rules(FeatureRecord("chat", "Chat", slo=Slo(99.5)))[0]
    found = await preview(fast, ["production"], Sparing(), Sparing(), now_ns=NOW_NS)  # type: ignore[arg-type]  # asked for series alone
    assert found.firings == (WouldFire("production", at(20), None, 90.0),)
    assert found.step_s == 300
