"""The demo's texts, read once for all its tests."""

from __future__ import annotations

import pytest

from featurewatch.demo.corpus import Corpus, open_corpus
from featurewatch.demo.library import Library, read_library


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return open_corpus()


@pytest.fixture(scope="session")
def library(corpus: Corpus) -> Library:
    return read_library(corpus)
