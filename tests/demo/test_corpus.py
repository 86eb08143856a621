from __future__ import annotations

import ast
from pathlib import Path

import pytest

from featurewatch.demo.corpus import Corpus, EmptyInput, open_corpus, passages


def test_the_standard_library_is_found_without_reading_it(corpus: Corpus) -> None:
    assert len(corpus.modules) > 150
    assert {"json.decoder", "json", "textwrap", "asyncio.queues", "http.client"} <= set(corpus.modules)
    assert not any(part.startswith("_") for name in corpus.modules for part in name.split("."))
    assert not any("packages" in name for name in corpus.modules)


def test_packages_have_three_modules_or_more(corpus: Corpus) -> None:
    packages = corpus.packages()
    assert {"json", "asyncio", "email"} <= set(packages)
    assert "textwrap" not in packages
    assert all(len(sources) >= 3 for sources in packages.values())


def test_odd_files_really_fail_in_each_of_the_ways_that_a_reader_meets(corpus: Corpus) -> None:
    failures = set()
    for source in corpus.odd:
        try:
            ast.parse(source.read())
        except (UnicodeDecodeError, EmptyInput, SyntaxError, ValueError) as error:
            failures.add(type(error).__name__)
    assert {"UnicodeDecodeError", "EmptyInput", "SyntaxError"} <= failures


def test_the_same_library_gives_the_same_corpus(corpus: Corpus) -> None:
    again = open_corpus(corpus.root)
    assert list(again.modules) == list(corpus.modules)
    assert again.odd == corpus.odd


def test_docstrings_are_found_with_names_and_signatures(corpus: Corpus) -> None:
    source = corpus.modules["textwrap"]
    found = {passage.name: passage for passage in passages(source, source.read())}
    assert found["textwrap"].text == "Text wrapping and filling."
    assert found["textwrap.dedent"].signature.startswith("textwrap.dedent(")
    assert found["textwrap.TextWrapper"].kind == "class"
    assert found["textwrap.TextWrapper.wrap"].module == "textwrap"
    assert not any("._" in name for name in found)


def test_the_first_sentence_ends_where_it_ends(corpus: Corpus) -> None:
    source = corpus.modules["textwrap"]
    found = {passage.name: passage for passage in passages(source, source.read())}
    assert found["textwrap.fill"].first_sentence == "Fill a single paragraph of text, returning a new string"


def test_a_foreign_folder_is_a_corpus_too(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "one.py").write_text('"""One."""\n')
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "thing.so").write_bytes(b"\x7fELF\xff\xfe")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "other.py").write_text("x = 1\n")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    corpus = open_corpus(tmp_path)
    assert list(corpus.modules) == ["pkg.one"]
    assert [source.name for source in corpus.odd] == ["thing.so", "empty.py"]
    with pytest.raises(UnicodeDecodeError):
        corpus.odd[0].read()
    with pytest.raises(EmptyInput, match=r"empty\.py is empty"):
        corpus.odd[1].read()
