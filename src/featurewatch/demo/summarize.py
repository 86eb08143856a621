"""Summarise a text by its own sentences: those that the others have most in common with."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from .corpus import EmptyInput
from .deadline import Deadline
from .tokens import terms

_DAMPING: Final = 0.85
_ROUNDS: Final = 20
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`\"'(])")
_FEWEST_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """The chosen sentences in the order of the text, and how many there were to choose from."""

    text: str
    sentences: int
    words_before: int
    words_after: int


def summarize(text: str, deadline: Deadline, length: int = 3) -> Summary:
    """Choose the `length` most central sentences.

    TextRank (Mihalcea and Tarau, "TextRank: Bringing Order into Texts", 2004): sentences are the nodes of a graph, the
    words two of them share weigh its edges, and PageRank over it tells which are central. Every sentence is compared
    with every other, so the work grows with the square of the text: long texts run into the deadline.

    Raises:
        EmptyInput: the text has no whole sentence.
        TimeoutError: the deadline passed.
    """
    sentences = split_sentences(text)
    if not sentences:
        raise EmptyInput("no whole sentence to summarise")
    scores = _rank([frozenset(terms(sentence)) for sentence in sentences], deadline)
    best = sorted(range(len(sentences)), key=lambda n: (-scores[n], n))[:length]
    chosen = " ".join(sentences[n] for n in sorted(best))
    return Summary(chosen, len(sentences), len(text.split()), len(chosen.split()))


def split_sentences(text: str) -> list[str]:
    """Split prose into sentences; headings, examples and fragments of fewer than four words are left out."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines()]
        if any(line.startswith((">>>", "...", "+-", "|", "==", "--")) for line in lines):
            continue
        found += [
            sentence
            for sentence in _SENTENCE_END.split(" ".join(lines).strip())
            if len(sentence.split()) >= _FEWEST_WORDS and sentence[-1] in ".!?:"
        ]
    return found


def _rank(bags: list[frozenset[str]], deadline: Deadline) -> list[float]:
    edges: list[list[tuple[int, float]]] = [[] for _ in bags]
    for here, bag in enumerate(bags):
        deadline.check()
        for there in range(here):
            shared = len(bag & bags[there])
            if shared:
                weight = shared / (1 + math.log(len(bag)) + math.log(len(bags[there])))
                edges[here].append((there, weight))
                edges[there].append((here, weight))
    totals = [sum(weight for _, weight in row) or 1.0 for row in edges]
    scores = [1.0] * len(bags)
    for _ in range(_ROUNDS):
        deadline.check()
        shares = [score / total for score, total in zip(scores, totals, strict=True)]
        scores = [(1 - _DAMPING) + _DAMPING * sum(weight * shares[other] for other, weight in row) for row in edges]
    return scores
