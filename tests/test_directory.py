"""Which features there are, and where."""

from __future__ import annotations

from featurewatch.directory import Directory
from featurewatch.model import FeatureKey

PRODUCTION, STAGING = FeatureKey("a", "production"), FeatureKey("a", "staging")


def test_only_what_is_new_counts_as_a_change() -> None:
    directory = Directory()
    assert directory.note([STAGING, PRODUCTION]) == [STAGING, PRODUCTION]
    revision = directory.revision
    assert directory.note([PRODUCTION]) == []
    assert directory.revision == revision


def test_the_choice_follows_what_there_is() -> None:
    directory = Directory()
    assert directory.choose("a") is None
    directory.note([STAGING])
    assert directory.choose("a") == "staging"
    directory.note([PRODUCTION])
    assert directory.choose("a") == "production"
    directory.forget([STAGING])
    assert directory.choose("a") == "staging"
    directory.forget([])
    assert directory.choose("a") is None
    assert directory.features() == []
