from __future__ import annotations

import pytest

from featurewatch.demo.corpus import Corpus
from featurewatch.demo.extract import extract

_SOURCE = '''
"""See https://docs.example.org/a/b. Also (http://example.org/c)."""
LIMIT = 10
_hidden = lower = 3
NAME = OTHER = "x"
COMPUTED = LIMIT + 1

class Shape:
    class Corner: ...
    def area(self, *, unit: str = "cm") -> float: ...  # XXX: what of holes?
    async def draw(self, canvas, /): ...

def circle(r): # FIXME negative radius
    def inner(): ...
'''


def test_all_kinds_of_facts_are_found() -> None:
    facts = extract(_SOURCE)
    assert facts.functions == (
        "Shape.area(self, *, unit: str='cm') -> float",
        "Shape.draw(self, canvas, /)",
        "circle(r)",
    )
    assert facts.classes == ("Shape", "Shape.Corner")
    assert facts.constants == {"LIMIT": "10", "NAME": "'x'", "OTHER": "'x'"}
    assert facts.urls == ("https://docs.example.org/a/b", "http://example.org/c")
    assert facts.notes == ("what of holes?", "negative radius")
    assert len(facts) == 3 + 2 + 3 + 2 + 2


def test_known_signatures_of_the_standard_library_are_found(corpus: Corpus) -> None:
    wrap = extract(corpus.modules["textwrap"].read())
    assert "dedent(text)" in wrap.functions
    assert "indent(text, prefix, predicate=None)" in wrap.functions
    assert "TextWrapper" in wrap.classes
    assert "Cmd.cmdloop(self, intro=None)" in extract(corpus.modules["cmd"].read()).functions
    assert extract(corpus.modules["http.client"].read()).constants["HTTPS_PORT"] == "443"


def test_what_is_not_python_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        extract("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n")
