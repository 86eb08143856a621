"""The features as featurewatch sees them, in a process of their own: declarations last as long as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

_SCRIPT = """
import asyncio, json, sys
import featurewatch
from featurewatch.demo import explain, features
from featurewatch.demo.app import serve
from featurewatch.demo.corpus import open_corpus
from featurewatch.demo.library import read_library
from featurewatch.demo.workload import RHYTHMS, Walk

async def no_wait(seconds):
    await asyncio.sleep(0)

features.tell = lambda reply: explain.tell(reply, no_wait)

async def walk_200_steps():
    corpus = open_corpus()
    library = read_library(corpus)
    handlers = features.declare(library, RHYTHMS)
    walk = Walk(corpus, library.passages, 1)
    for number in range(203):
        await serve(handlers, walk.next(list(RHYTHMS)[number % 7]))

featurewatch.configure(environment="production")
asyncio.run(walk_200_steps())
featurewatch.flush(10)
families = featurewatch.collector().collect()
json.dump([[sample.name, sample.labels, sample.value] for one in families for sample in one.samples], sys.stdout)
"""


@cache
def _samples() -> list[tuple[str, dict[str, str], float]]:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    return [(name, labels, value) for name, labels, value in json.loads(done.stdout)]


def _sum(name: str, **labels: str) -> float:
    return sum(v for n, have, v in _samples() if n == name and labels.items() <= have.items())


def test_the_walk_yields_every_outcome_and_each_request_is_counted_once() -> None:
    assert _sum("feature_requests_total") == 203
    for outcome in ("success", "error", "cancelled"):
        assert _sum("feature_requests_total", outcome=outcome) > 0
    assert _sum("feature_requests_in_progress") == 0


@pytest.mark.parametrize("feature", ["search", "classify", "summarize", "extract", "explain", "rewrite", "review"])
def test_each_feature_mostly_succeeds_and_counts_tokens(feature: str) -> None:
    requests = _sum("feature_requests_total", feature=feature)
    assert requests == 29
    assert _sum("feature_requests_total", feature=feature, outcome="success") > requests / 2
    assert _sum("feature_tokens_total", feature=feature, kind="input") > requests


def test_errors_are_named_by_what_was_wrong_with_the_text() -> None:
    types = {labels["error_type"] for name, labels, value in _samples() if name == "feature_errors_total" and value}
    assert {"UnicodeDecodeError", "SyntaxError", "EmptyInput", "TimeoutError", "refused"} <= types
    assert types <= {"UnicodeDecodeError", "SyntaxError", "EmptyInput", "TimeoutError", "refused"}


def test_extract_is_the_flaky_one() -> None:
    share = _sum("feature_requests_total", feature="extract", outcome="error") / 29
    assert 0.1 < share < 0.5


def test_a_reader_who_leaves_is_cancelled_not_failed() -> None:
    assert _sum("feature_requests_total", outcome="cancelled") == _sum(
        "feature_requests_total", outcome="cancelled", feature="explain"
    )


def test_the_first_word_of_a_stream_is_timed() -> None:
    answered = _sum("feature_requests_total", feature="explain", outcome="success") + _sum(
        "feature_requests_total", feature="explain", outcome="cancelled"
    )
    assert _sum("feature_time_to_first_token_seconds_count", feature="explain") == answered


def test_costs_are_estimated_reported_or_counted_as_unpriced() -> None:
    for feature in ("search", "classify", "summarize", "extract", "explain", "rewrite"):
        assert _sum("feature_cost_usd_total", feature=feature, source="estimated") > 0
        assert _sum("feature_cost_usd_total", feature=feature, source="reported") == 0
    assert _sum("feature_cost_usd_total", feature="review", source="reported") > 0
    assert _sum("feature_unpriced_requests_total", model="house-writer-2") > 0
    assert _sum("feature_unpriced_requests_total") == _sum("feature_unpriced_requests_total", model="house-writer-2")


def test_what_is_declared_is_told() -> None:
    about = {labels["feature"]: labels for name, labels, _ in _samples() if name == "feature_info"}
    assert about["summarize"]["name"] == "Summaries"
    assert about["summarize"]["version"] == "1.4"
    assert len(about) == 7
