from __future__ import annotations

import pytest

from featurewatch.errors import BadInput
from featurewatch.levels import parse_level, severity_level
from featurewatch.model import LEVELS


@pytest.mark.parametrize(
    ("text", "level"),
    [
        *((level, level) for level in LEVELS),
        ("WARNING", "warn"), ("Critical", "fatal"), ("err", "error"), ("TRACE", "debug"), ("notice", "info"),
        ("SUCCESS", "info"), (" warn ", "warn"), ("WARN2", "warn"), ("Error4", "error"), ("emerg", "fatal"),
    ],
)  # fmt: skip
def test_levels_are_known_by_their_usual_names(text: str, level: str) -> None:
    assert parse_level(text) == level


@pytest.mark.parametrize("text", ["", "loud", "5", "warn5", "x" * 500])
def test_an_unknown_level_is_refused_by_naming_the_five(text: str) -> None:
    with pytest.raises(BadInput, match="expected one of debug, info, warn, error, fatal") as refused:
        parse_level(text)
    assert len(str(refused.value)) < 150


def test_severity_numbers_follow_opentelemetry() -> None:
    ranges = {"debug": range(1, 9), "info": range(9, 13), "warn": range(13, 17), "error": range(17, 21)}
    assert {n: severity_level(n) for n in range(-1, 27)} == {
        -1: None, 0: None, 25: None, 26: None,
        **{n: level for level, numbers in ranges.items() for n in numbers},
        **dict.fromkeys(range(21, 25), "fatal"),
    }  # fmt: skip
