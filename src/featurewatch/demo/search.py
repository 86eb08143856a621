"""Find passages by words: an inverted index ranked by BM25."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .corpus import EmptyInput, Passage
from .tokens import terms

_SATURATION: Final = 1.2
_LENGTH: Final = 0.75
_NAME_WEIGHT: Final = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found.

    Attributes:
        score: BM25; greater is better, comparable only within one query.
        coverage: how much of the query, weighted by the words' rarity, occurs in the passage: 0 to 1.
    """

    passage: Passage
    score: float
    coverage: float


class Index:
    """An inverted index over passages; a passage's name counts as if it were said three times.

    The ranking is Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, equation 3.15)
    with k1 = 1.2 and b = 0.75.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = tuple(passages)
        self._postings: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for number, passage in enumerate(self.passages):
            counts = Counter(terms(passage.name) * _NAME_WEIGHT + terms(passage.text))
            lengths.append(counts.total())
            for term, count in counts.items():
                self._postings.setdefault(term, []).append((number, count))
        average = sum(lengths) / len(lengths) if lengths else 1.0
        self._norms = [_SATURATION * (1 - _LENGTH + _LENGTH * length / average) for length in lengths]

    def search(self, query: str, limit: int = 5) -> list[Hit]:
        """Find the passages that fit a query best, the best first; equal ones in the order of the corpus.

        Raises:
            EmptyInput: the query has no word to search by.
        """
        wanted = dict.fromkeys(terms(query))
        if not wanted:
            raise EmptyInput(f"no word to search by in {query[:40]!r}")
        scores: dict[int, float] = {}
        covered: dict[int, float] = {}
        total = 0.0
        for term in wanted:
            rarity = self._rarity(term)
            total += rarity
            for number, count in self._postings.get(term, ()):
                gain = rarity * count * (_SATURATION + 1) / (count + self._norms[number])
                scores[number] = scores.get(number, 0.0) + gain
                covered[number] = covered.get(number, 0.0) + rarity
        best = sorted(scores, key=lambda number: (-scores[number], number))[:limit]
        return [Hit(self.passages[number], scores[number], covered[number] / total) for number in best]

    def _rarity(self, term: str) -> float:
        """Weigh a word by its inverse document frequency; one that occurs nowhere weighs most."""
        occurs = len(self._postings.get(term, ()))
        return math.log(1 + (len(self.passages) - occurs + 0.5) / (occurs + 0.5))
