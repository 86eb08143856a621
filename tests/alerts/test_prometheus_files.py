"""Rules reach a real Prometheus, all that are good and none that is not, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from featurewatch.alerts.prometheus_files import PrometheusFiles
from featurewatch.alerts.rulers import Report, RuleGroup
from prometheus import Prometheus, make

from .groups import by_id, group, target_on
from .promtool import needs_promtool
from .publish_and_die import NEW, OLD

pytestmark = [pytest.mark.anyio, pytest.mark.stack, needs_promtool]

BROKEN = "sum(vector(1)"


@pytest.fixture
def server(tmp_path: Path, own_prometheus: Prometheus) -> Prometheus:
    own_prometheus.configure(rule_files=[f"{tmp_path}/rules.d/*.yml"], evaluation_interval="1s")
    own_prometheus.start()
    return own_prometheus


class Progress(dict[str, list[str]]):
    """How far each rule came."""

    def __call__(self, rules: Collection[str], state: str) -> None:
        for rule in rules:
            self.setdefault(rule, []).append(state)


async def publish(target: PrometheusFiles, wanted: Mapping[str, RuleGroup], *changed: str) -> tuple[Report, Progress]:
    progress = Progress()
    return await target.publish(wanted, changed or list(wanted), progress), progress


async def live(target: PrometheusFiles) -> dict[str, str]:
    """What the first server evaluates: expression by rule."""
    seen = (await target.seen())[0]
    return {shown.rules[0].alert: shown.rules[0].expr for shown in seen.values()}


async def test_rules_are_written_loaded_and_proven(tmp_path: Path, server: Prometheus) -> None:
    async with target_on(tmp_path, server.url) as target:
        wanted = by_id([group("a"), group("b", file="search.yml")])
        report, progress = await publish(target, wanted)
        assert report == Report()
        assert progress == {"a": ["written", "loaded"], "b": ["written", "loaded"]}
        assert set(await live(target)) == {"a", "b"}
        wanted["a"] = group("a", "sum by(job)(vector( 2 ))>1", revision=2)
        report, progress = await publish(target, wanted, "a")
        assert (report, progress) == (Report(), {"a": ["written", "loaded"]})
        assert (await live(target))["a"] == "sum by (job) (vector(2)) > 1"
        del wanted["b"]
        assert (await publish(target, wanted, "b"))[0] == Report()
        assert set(await live(target)) == {"a"}
        assert [path.name for path in target.directory.glob("*.yml")] == ["chat.yml"]


async def test_a_bad_rule_is_named_and_the_others_go_live(tmp_path: Path, server: Prometheus) -> None:
    async with target_on(tmp_path, server.url) as target:
        wanted = by_id([group("a"), group("bad", BROKEN), group("c"), group("worse", "rate(up)", file="x.yml")])
        report, progress = await publish(target, wanted)
        assert set(report.refused) == {"bad", "worse"}
        assert "unclosed left parenthesis" in report.refused["bad"]
        assert "expected type range vector" in report.refused["worse"]
        assert set(progress) == set(await live(target)) == {"a", "c"}


async def test_of_a_rule_that_becomes_bad_the_last_good_edition_stays(tmp_path: Path, server: Prometheus) -> None:
    wanted = by_id([group("a", "vector(1) > 0"), group("b")])
    async with target_on(tmp_path, server.url) as target:
        await publish(target, wanted)
        bad = {**wanted, "a": group("a", BROKEN, revision=2)}
        assert set((await publish(target, bad, "a"))[0].refused) == {"a"}
        assert (await live(target))["a"] == "vector(1) > 0"
    # A bridge that is started anew finds the last good one in the file.
    async with target_on(tmp_path, server.url) as target:
        assert set((await publish(target, bad))[0].refused) == {"a"}
        assert (await live(target))["a"] == "vector(1) > 0"
        assert (await publish(target, {**wanted, "a": group("a", "vector(3) > 0", revision=3)}, "a"))[0] == Report()
        assert (await live(target))["a"] == "vector(3) > 0"


async def test_without_promtool_a_check_of_our_own_finds_what_has_no_shape(tmp_path: Path, server: Prometheus) -> None:
    async with target_on(tmp_path, server.url, promtool="no-such-program") as target:
        wanted = by_id([group("a"), group("bad", BROKEN), group("c")])
        report, _ = await publish(target, wanted)
        assert report.refused == {"bad": "could not parse expression: '(' is not closed"}
        assert set(await live(target)) == {"a", "c"}


async def test_what_only_prometheus_refuses_is_found_by_halves_and_put_back(tmp_path: Path, server: Prometheus) -> None:
    async with target_on(tmp_path, server.url, promtool="no-such-program") as target:
        good = by_id([group("a"), group("b")])
        await publish(target, good)
        # Well-formed to the eye, and no PromQL.
        wanted = {**good, **by_id([group("a", "vector(1) >> 0", revision=2), group("c"), group("d"), group("e")])}
        report, progress = await publish(target, wanted, "a", "c", "d", "e")
        assert set(report.refused) == {"a"}
        assert f"Prometheus at {server.url} refuses it" in report.refused["a"]
        assert await live(target) == {"a": "vector(1) > 0", **dict.fromkeys("bcde", "vector(1) > 0")}
        assert {rule for rule, states in progress.items() if "loaded" in states} == {"c", "d", "e"}


async def test_prometheus_that_refuses_everything_is_told_apart_from_a_bad_rule(
    tmp_path: Path, server: Prometheus
) -> None:
    async with target_on(tmp_path, server.url) as target:
        await publish(target, by_id([group("a")]))
        before = (target.directory / "chat.yml").read_bytes()
        (server.folder / "prometheus.yml").write_text("broken: [")
        with pytest.raises(Exception, match=r"refuses its configuration .* with our last good rules too"):
            await publish(target, by_id([group("a"), group("b")]), "b")
        assert (target.directory / "chat.yml").read_bytes() == before
        server.configure(rule_files=[f"{tmp_path}/rules.d/*.yml"], evaluation_interval="1s")
        assert (await publish(target, by_id([group("a"), group("b")]), "b"))[0] == Report()
        assert set(await live(target)) == {"a", "b"}


async def test_a_server_that_is_away_is_waited_for(tmp_path: Path, server: Prometheus) -> None:
    other = make(tmp_path / "other", rule_files=[f"{tmp_path}/rules.d/*.yml"])
    async with target_on(tmp_path, server.url, other.url) as target:
        wanted = by_id([group("a")])
        report, progress = await publish(target, wanted)
        assert f"Prometheus at {other.url} cannot be reached" in report.waiting
        assert progress == {"a": ["written"]}
        other.start()
        try:
            report, progress = await publish(target, wanted, "a")
            assert (report, progress) == (Report(), {"a": ["loaded"]})
        finally:
            other.stop()


async def test_a_server_that_reads_another_folder_is_told_of(tmp_path: Path, server: Prometheus) -> None:
    server.configure(rule_files=["/nowhere/*.yml"])
    async with target_on(tmp_path, server.url) as target:
        report, _ = await publish(target, by_id([group("a")]))
        assert f"add {tmp_path}/rules.d/*.yml to its rule_files" in report.waiting
        assert (target.directory / "chat.yml").exists()


async def test_a_server_without_the_lifecycle_api_is_told_of(tmp_path: Path, own_prometheus: Prometheus) -> None:
    own_prometheus.configure(rule_files=[f"{tmp_path}/rules.d/*.yml"])
    own_prometheus.arguments = [option for option in own_prometheus.arguments if "lifecycle" not in option]
    own_prometheus.start()
    async with target_on(tmp_path, own_prometheus.url) as target:
        wanted = by_id([group("a")])
        assert "--web.enable-lifecycle" in (await publish(target, wanted))[0].waiting
        assert own_prometheus.process is not None
        own_prometheus.process.send_signal(signal.SIGHUP)
        while (await publish(target, wanted, "a"))[0].waiting:
            pass
        assert set(await live(target)) == {"a"}


async def test_files_of_others_stay_and_one_in_the_way_is_named(tmp_path: Path, server: Prometheus) -> None:
    (tmp_path / "rules.d").mkdir()
    theirs = tmp_path / "rules.d" / "chat.yml"
    theirs.write_text("groups: []\n")
    async with target_on(tmp_path, server.url) as target:
        wanted = by_id([group("a"), group("b", file="search.yml")])
        report, _ = await publish(target, wanted)
        assert set(report.blocked) == {"a"}
        assert f"{theirs} is in the way" in report.blocked["a"]
        assert (set(await live(target)), theirs.read_text()) == ({"b"}, "groups: []\n")
        theirs.unlink()
        assert (await publish(target, wanted, "a"))[0] == Report()
        assert set(await live(target)) == {"a", "b"}


async def test_what_others_change_is_found_and_repaired(tmp_path: Path, server: Prometheus) -> None:
    async with target_on(tmp_path, server.url) as target:
        wanted = by_id([group("a"), group("b", file="search.yml")])
        await publish(target, wanted)
        assert await target.drifted() == ""
        (target.directory / "chat.yml").write_text("groups: []\n")
        (target.directory / "search.yml").unlink()
        server.reload()
        assert await live(target) == {}
        assert "chat.yml, search.yml" in await target.drifted()
        assert (await publish(target, wanted, *wanted))[0] == Report()
        assert set(await live(target)) == {"a", "b"}
        assert await target.drifted() == ""


async def test_a_bridge_that_is_started_again_removes_what_is_no_longer_wanted(
    tmp_path: Path, server: Prometheus
) -> None:
    async with target_on(tmp_path, server.url) as target:
        await publish(target, by_id([group("a"), group("b", file="search.yml")]))
    async with target_on(tmp_path, server.url) as target:
        assert (await publish(target, by_id([group("a")])))[0] == Report()
        assert set(await live(target)) == {"a"}


STEPS = ("stage", "keep", "announce", "rename chat.yml", "swapped", "commit", "committed")


@pytest.mark.parametrize("fatal", STEPS)
async def test_a_bridge_killed_at_any_step_is_put_right_by_the_next(
    prometheus_of_rules: Prometheus, fatal: str
) -> None:
    server, folder = prometheus_of_rules, prometheus_of_rules.folder
    async with target_on(folder, server.url) as target:
        assert (await publish(target, OLD))[0] == Report()
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, Path(__file__).parent / "publish_and_die.py", folder, server.url, fatal],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    server.reload()  # Prometheus may be started anew at any time: whatever lies there is taken
    async with target_on(folder, server.url) as target:
        assert (await publish(target, NEW))[0] == Report()
        assert await live(target) == {"a": "vector(2) > 0", "b": "vector(1) > 0"}
        assert (await publish(target, {}, "a", "b"))[0] == Report()


@pytest.fixture(scope="module")
def prometheus_of_rules(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("rules")
    made = make(folder, rule_files=[f"{folder}/rules.d/*.yml"], evaluation_interval="1s")
    made.start()
    yield made
    made.stop()
