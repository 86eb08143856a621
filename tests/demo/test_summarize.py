from __future__ import annotations

import itertools

import pytest

from featurewatch.demo.corpus import EmptyInput
from featurewatch.demo.deadline import Deadline
from featurewatch.demo.library import Library
from featurewatch.demo.summarize import split_sentences, summarize

_TEXT = """Dolphins
========

Dolphins are mammals that live in the sea. Many dolphins live in groups in the sea.
The price of tea rose by a penny on Tuesday. Groups of dolphins hunt fish in the sea together.

>>> swim("this example is no sentence of the text.")
"""


def test_the_sentences_that_share_most_with_the_others_are_chosen() -> None:
    summary = summarize(_TEXT, Deadline(10))
    assert summary.sentences == 4
    assert "tea" not in summary.text
    starts = [summary.text.index(start) for start in ("Dolphins are", "Many dolphins", "Groups of")]
    assert starts == sorted(starts)


def test_a_real_module_becomes_shorter_and_stays_in_its_own_words(library: Library) -> None:
    text = "\n\n".join(passage.text for passage in library.passages if passage.module == "textwrap")
    summary = summarize(text, Deadline(10))
    assert 0 < summary.words_after < summary.words_before
    flat = " ".join(text.split())
    assert all(" ".join(sentence.split()) in flat for sentence in split_sentences(summary.text))
    assert summary == summarize(text, Deadline(10))


def test_headings_and_examples_are_no_sentences() -> None:
    assert not any("example" in sentence or "====" in sentence for sentence in split_sentences(_TEXT))


@pytest.mark.parametrize("text", ["", "Heading\n=====", ">>> 1 + 1\n2", "too short."])
def test_a_text_without_a_sentence_is_refused(text: str) -> None:
    with pytest.raises(EmptyInput, match="no whole sentence"):
        summarize(text, Deadline(10))


def test_the_deadline_is_checked_within_the_work(library: Library) -> None:
    ticks = itertools.count()
    everything = "\n\n".join(passage.text for passage in library.passages)
    with pytest.raises(TimeoutError, match="not finished within 50 s"):
        summarize(everything, Deadline(50, clock=lambda: next(ticks)))
    assert next(ticks) == 52  # 0 at the start, 1 to 50 within the time, 51 ended it
