"""The exporter's guide says what the code says."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

import featurewatch
from featurewatch.exporter import events, records, spans
from featurewatch.exporter.drops import REASONS
from featurewatch.exporter.runtime import RUNTIME

GUIDE = (Path(__file__).parents[1] / "docs" / "exporter.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
NOT_SHOWN = {"Call", "Stream", "shutdown"}
"""Types that a reader meets without naming them, and what happens by itself."""


def test_every_reason_for_a_drop_is_in_its_table() -> None:
    told = {
        (signal, reason)
        for signal, reasons in re.findall(r"^\| (\w+) \| ((?:`\w+`(?:, )?)+) \|", GUIDE, re.MULTILINE)
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    assert told == {(signal, reason) for signal, reasons in REASONS.items() for reason in reasons}


@pytest.mark.parametrize("name", sorted(set(featurewatch.__all__) - NOT_SHOWN))
def test_every_public_name_is_shown(name: str) -> None:
    assert re.search(rf"\b{name}\b", GUIDE)


def test_its_limits_are_the_codes() -> None:
    for limit in (f"{events.QUEUE_CALLS:,} calls", f"{spans.FEATURE_LIMIT} at most", f"because {spans.SPAN_LIMIT:,}"):
        assert limit in GUIDE
    assert f"at most {records.LABEL_LIMIT} of them" in GUIDE


def test_its_examples_run_in_their_order() -> None:
    RUNTIME.forget()
    names: dict[str, Any] = {}
    try:
        for block in BLOCKS:
            exec(block, names)
        names["test_a_summary_is_one_call"]()
        (snapshot,) = RUNTIME.snapshots()
        assert snapshot.numbers["feature_requests_total"]["success",] == 1
    finally:
        for handler in list(logging.getLogger().handlers):
            if isinstance(handler, featurewatch.LogHandler):
                logging.getLogger().removeHandler(handler)
        RUNTIME.forget()
    assert len(BLOCKS) == 4


def test_what_it_links_to_exists() -> None:
    folder = Path(__file__).parents[1] / "docs"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", GUIDE):
        assert (folder / link).exists(), link
