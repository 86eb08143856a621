from __future__ import annotations

import pytest

from featurewatch.demo.corpus import EmptyInput
from featurewatch.demo.library import Library
from featurewatch.demo.search import Index


@pytest.mark.parametrize(
    ("query", "module"),
    [
        ("json decoder", "json.decoder"),
        ("How do I copy a directory tree?", "shutil"),
        ("text wrapping and filling", "textwrap"),
        ("median of numeric data", "statistics"),
        ("smtp client", "smtplib"),
    ],
)
def test_a_query_finds_the_module_that_is_about_it_first(library: Library, query: str, module: str) -> None:
    assert library.index.search(query)[0].passage.module == module


def test_hits_come_best_first_and_no_more_than_asked_for(library: Library) -> None:
    hits = library.index.search("open file for reading", limit=7)
    assert len(hits) == 7
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 < hit.coverage <= 1.000001 for hit in hits)


def test_words_that_occur_nowhere_lower_the_coverage(library: Library) -> None:
    known, half = library.index.search("json decoder")[0], library.index.search("json qwertzuiop")[0]
    assert known.coverage == pytest.approx(1.0)
    assert half.coverage < 0.6


def test_what_occurs_nowhere_is_not_found(library: Library) -> None:
    assert library.index.search("qwertzuiop") == []
    assert Index([]).search("json") == []


@pytest.mark.parametrize("query", ["", "  ", "how do I", "-> ()"])
def test_a_query_without_words_is_refused(library: Library, query: str) -> None:
    with pytest.raises(EmptyInput, match="no word to search by"):
        library.index.search(query)
