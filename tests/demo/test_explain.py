from __future__ import annotations

import asyncio

import pytest

from featurewatch.demo.corpus import EmptyInput
from featurewatch.demo.explain import answer, tell
from featurewatch.demo.library import Library
from featurewatch.demo.tokens import count_tokens


def test_a_question_is_answered_from_the_docstring_of_the_function_for_it(library: Library) -> None:
    reply = answer(library.index, "How do I recursively copy a directory tree?")
    assert reply is not None
    assert reply.text.startswith("Use shutil.copytree(src, dst, ")
    assert "Recursively copy a directory tree and return the destination directory." in reply.text
    assert reply.sources[0].startswith("shutil")
    assert reply.prompt_tokens > count_tokens("How do I recursively copy a directory tree?")


@pytest.mark.parametrize(
    "question",
    [
        "How do I exclude liability for consequential damages under Dutch jurisdiction?",
        "How do I qwertz uiop?",
    ],
)
def test_a_question_outside_the_corpus_gets_no_answer(library: Library, question: str) -> None:
    assert answer(library.index, question) is None


def test_a_question_without_a_word_is_refused(library: Library) -> None:
    with pytest.raises(EmptyInput):
        answer(library.index, "How do I ---?")


def test_an_answer_is_told_word_by_word_each_as_long_as_its_tokens_take(library: Library) -> None:
    reply = answer(library.index, "How do I recursively copy a directory tree?")
    assert reply is not None
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def listen() -> list[str]:
        return [word async for word in tell(reply, sleep)]

    words = asyncio.run(listen())
    assert "".join(words).rstrip() == reply.text
    assert len(words) > 50
    assert waits[0] == pytest.approx(reply.prompt_tokens * 0.0004)
    assert sum(waits[1:]) == pytest.approx(count_tokens(reply.text) * 0.022, rel=0.05)
