from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from featurewatch.demo.corpus import Corpus, EmptyInput, Source
from featurewatch.demo.deadline import Deadline
from featurewatch.demo.review import review


def _source(folder: Path, text: str) -> Source:
    path = folder / f"m{len(list(folder.iterdir()))}.py"
    path.write_text(text)
    return Source(path.stem, path, path.stat().st_size)


def test_public_definitions_are_counted_and_the_longest_without_a_docstring_is_named(tmp_path: Path) -> None:
    sources = [
        _source(
            tmp_path,
            'class A:\n    """Doc."""\n    def f(self):\n        x = 1\n        return x\n    def _g(self): ...\n',
        ),
        _source(tmp_path, 'def h():\n    """Doc."""\nasync def k(): ...\n'),
    ]
    found = review(sources, Deadline(10))
    assert (found.modules, found.public, found.documented) == (2, 4, 2)
    assert found.coverage == 50.0
    assert found.longest_undocumented == ("m0.A.f", 3)
    assert found.tokens_read > 20


def test_a_real_package_is_reviewed(corpus: Corpus) -> None:
    found = review(corpus.packages()["json"], Deadline(30))
    assert found.modules == len(corpus.packages()["json"])
    assert 0 < found.documented < found.public
    assert found.longest_undocumented is not None
    assert found.longest_undocumented[0].startswith("json.")


def test_nothing_public_is_fully_documented(tmp_path: Path) -> None:
    found = review([_source(tmp_path, "x = 1\n")], Deadline(10))
    assert found.coverage == 100.0
    assert found.longest_undocumented is None


def test_an_empty_module_and_a_passed_deadline_end_it(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput):
        review([_source(tmp_path, "\n")], Deadline(10))
    ticks = itertools.count(0, 10)
    with pytest.raises(TimeoutError):
        review([_source(tmp_path, "x = 1\n")] * 3, Deadline(15, clock=lambda: next(ticks)))
