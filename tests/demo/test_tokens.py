from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from featurewatch.demo.corpus import Corpus
from featurewatch.demo.tokens import count_tokens, terms


def test_english_prose_has_four_to_five_and_a_half_characters_a_token(corpus: Corpus) -> None:
    prose = (corpus.root / "LICENSE.txt").read_text("utf-8") if (corpus.root / "LICENSE.txt").exists() else ""
    for text in filter(None, (prose, corpus.topics.get("execmodel", ""), corpus.topics.get("import", ""))):
        assert 3.5 < len(text) / count_tokens(text) < 5.5


def test_code_has_more_tokens_a_character_than_prose() -> None:
    assert count_tokens("for i in range(10): x[i] += 1") > count_tokens("for each of ten, add one more")


def test_nothing_has_no_tokens() -> None:
    assert count_tokens("") == 0
    assert count_tokens(" \n\t") == 0


@given(st.text(), st.text())
def test_tokens_of_two_texts_add_up(one: str, two: str) -> None:
    assert count_tokens(f"{one} {two}") == count_tokens(one) + count_tokens(two)


def test_names_are_split_at_capitals_and_underscores() -> None:
    assert terms("JSONDecoder.raw_decode HTTPServer") == ["json", "decoder", "raw", "decode", "http", "server"]


def test_common_words_and_plurals_do_not_separate_texts() -> None:
    assert terms("How do I read the files?") == terms("read file")
