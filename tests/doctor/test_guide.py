"""The guide describes every check, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from featurewatch.commands.doctor import _PARTS
from featurewatch.doctor.catalog import CHECKS
from featurewatch.doctor.examination import PARTS
from featurewatch.doctor.reasons import BY_DESIGN, TODO_OF_DROPS
from featurewatch.exporter.drops import REASONS

GUIDE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_every_check_is_in_the_guide() -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", GUIDE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([\w-]+)`", row) if not name.startswith("--")}
    assert told == set(CHECKS)


def test_every_part_is_in_the_guide_and_known_to_the_command() -> None:
    assert _PARTS == PARTS
    assert all(f"`{part}`" in GUIDE for part in PARTS)


def test_every_reason_for_a_drop_has_something_to_do() -> None:
    told = {(signal, reason) for signal, reasons in REASONS.items() for reason in reasons}
    assert all(("", reason) in TODO_OF_DROPS or (signal, reason) in TODO_OF_DROPS | dict.fromkeys(BY_DESIGN)
               for signal, reason in told)  # fmt: skip
