from __future__ import annotations

import pytest

from featurewatch.demo.corpus import Corpus, EmptyInput, passages
from featurewatch.demo.rewrite import rewrite, to_markdown


def test_titles_examples_lists_and_references_become_markdown() -> None:
    text = """Wrap text
=========

Use :func:`~textwrap.fill` or `wrap' for this::

    wrap(text,
      width=70)

>>> fill("a b")
'a b'

Options:
  width
    the widest line
  tabs -- kept"""
    assert to_markdown(text).split("\n\n") == [
        "#### Wrap text",
        "Use `textwrap.fill` or `wrap` for this:",
        "```python\nwrap(text,\n  width=70)\n```",
        "```python\n>>> fill(\"a b\")\n'a b'\n```",
        "Options:",
        "- **width**\n  the widest line\n- **tabs**: kept",
    ]


def test_a_real_module_becomes_one_page(corpus: Corpus) -> None:
    source = corpus.modules["textwrap"]
    page = rewrite(passages(source, source.read()))
    assert page.startswith("# textwrap\n\nText wrapping and filling.\n")
    assert "## `textwrap.TextWrapper`" in page
    assert "### `textwrap.dedent(text)`" in page
    assert page.count("```") % 2 == 0


def test_a_module_that_documents_nothing_is_refused() -> None:
    with pytest.raises(EmptyInput, match="documents nothing"):
        rewrite([])
