"""Identifiers, access and how values look as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from featurewatch import wire
from featurewatch.access import ALLOWED, Principal
from featurewatch.families import FAMILIES
from featurewatch.ids import new_id
from featurewatch.model import FEATURE_ID, FeatureKey, LogEntry, MetricsSnapshot, choose_environment


def test_ids_are_unique_across_threads_and_sort_by_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [id for ids in pool.map(lambda _: [new_id() for _ in range(2000)], range(8)) for id in ids]
    assert len(set(made)) == len(made)
    assert new_id(1) < new_id(2) < new_id(10**18)


def test_ids_differ_after_a_fork() -> None:
    script = (
        "import os, sys\nfrom featurewatch.ids import new_id\nnew_id(1)\nread, write = os.pipe()\n"
        "if os.fork() == 0:\n    os.write(write, new_id(1).encode()); os._exit(0)\n"
        "os.wait(); other = os.read(read, 64).decode(); mine = new_id(1)\n"
        "sys.exit(other == mine or other[:24] == mine[:24])"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("good", ["a", "A.b-c_9", "9", "x" * 64])
def test_feature_ids(good: str) -> None:
    assert FEATURE_ID.fullmatch(good)


@pytest.mark.parametrize("bad", ["", "-a", ".a", "_a", "a b", "x" * 65, "a/b", "ü", "a\n"])
def test_what_is_no_feature_id(bad: str) -> None:
    assert not FEATURE_ID.fullmatch(bad)


@pytest.mark.parametrize(
    ("available", "chosen"),
    [({"a", "staging", "production"}, "production"), ({"dev", "staging"}, "staging"), ({"b", "a"}, "a"), (set(), None)],
)
def test_the_environment_that_an_unspecific_request_means(available: set[str], chosen: str | None) -> None:
    assert choose_environment(available) == chosen


def test_a_principal_sees_what_its_patterns_name_exactly() -> None:
    viewer = Principal("v", "viewer", ("sum*", "chat"))
    assert [viewer.sees(name) for name in ("summarize", "chat", "Chat", "chats")] == [True, True, False, False]
    assert viewer.may("read")
    assert not viewer.may("ingest")
    assert not Principal("i", "ingest").may("read")
    assert set().union(*ALLOWED.values()) == ALLOWED["admin"]


def test_a_line_on_the_wire_leaves_out_what_is_absent_and_keeps_metadata_as_it_came() -> None:
    bare = LogEntry("1", "f", "production", 1_000, "info", "hello")
    assert json.loads(wire.dump(wire.log_entry(bare))) == {
        "id": "1", "featureId": "f", "timestamp": "1970-01-01T00:00:00.000001Z", "level": "info", "message": "hello",
        "source": "app", "environment": "production",
    }  # fmt: skip
    rich = bare._replace(metadata='{"b": 1, "a-b": 1.50}', trace_id="t", user_id="u")
    assert b'"metadata":{"b": 1, "a-b": 1.50}' in wire.dump(wire.log_entry(rich, late=True))
    assert json.loads(wire.dump(wire.log_entry(rich, late=True)))["late"] is True


def test_lone_surrogates_are_replaced_not_refused() -> None:
    entry = LogEntry("1", "f", "production", 0, "info", "a\udce4b")
    assert json.loads(wire.dump(wire.log_entry(entry)))["message"] == "a?b"


def test_unknown_figures_are_null_and_zero_only_on_request() -> None:
    value = MetricsSnapshot(FeatureKey("f", "e"), 0, {"uptime": None, "total_requests": 3}, {}, "unknown")
    assert wire.snapshot(value)["metrics"] == {"uptime": None, "total_requests": 3}
    assert wire.snapshot(value, unknown_as_zero=True)["metrics"] == {"uptime": 0, "total_requests": 3}
    assert wire.snapshot(value, unknown_as_zero=True)["health_status"] == "unknown"


def test_families_are_named_as_prometheus_advises() -> None:
    for family in FAMILIES.values():
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.kind != "histogram" or family.name.endswith("_seconds"), family.name
