"""The walk: which reader asks which feature for what, and when.

A seeded walk over the real files and over questions made of the corpus's own sentences. The lot decides what is asked
next and when; what comes of it, how long it takes and whether it fails is decided by the text alone.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .corpus import Corpus, Passage, Source

_READERS: Final = ("ada", "barbara", "edsger", "grace", "guido", "katherine", "margaret", "tim")
_DOABLE: Final = re.compile(
    r"(?:add|build|call|check|close|compare|compute|connect|convert|copy|create|decode|delete|encode|find|format|get|"
    r"load|make|open|parse|print|read|register|remove|replace|run|search|send|set|sort|split|start|stop|wait|write)\b",
    re.IGNORECASE,
)


class Wish(NamedTuple):
    """What a request is about.

    Attributes:
        subject: what it is about, in a few words, for the log.
        text: the question or the text to work on, where the request carries it.
        sources: the files to work on, where it names them.
        patience: after how many words of a streamed answer the reader leaves; None stays to the end.
    """

    subject: str
    text: str = ""
    sources: tuple[Source, ...] = ()
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One request: the wish of a reader to a feature. `trace_id` is 32 hexadecimal digits."""

    feature: str
    reader: str
    trace_id: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a feature is asked: between `quiet` and `busy` times a minute, back and forth each `period` seconds."""

    quiet: float
    busy: float
    period: float
    phase: float = 0.0

    def per_second(self, at: float) -> float:
        """Give the rate, in requests a second, `at` seconds from the start."""
        swing = (1 - math.cos(2 * math.pi * (at / self.period + self.phase))) / 2
        return (self.quiet + (self.busy - self.quiet) * swing**2) / 60


RHYTHMS: Final = {
    "search": Rhythm(quiet=40, busy=180, period=180, phase=0.3),
    "classify": Rhythm(quiet=20, busy=70, period=120, phase=0.5),
    "summarize": Rhythm(quiet=15, busy=50, period=240, phase=0.4),
    "extract": Rhythm(quiet=15, busy=50, period=150, phase=0.4),
    "explain": Rhythm(quiet=12, busy=40, period=210, phase=0.5),
    "rewrite": Rhythm(quiet=8, busy=30, period=300, phase=0.6),
    "review": Rhythm(quiet=1.5, busy=3, period=600, phase=0.4),
}


class Walk:
    """Choose each feature's next request; the same corpus and seed give the same walk, feature by feature.

    Args:
        passages: the docstrings that questions are made of. Without any, only the features that work on files
            (extract, rewrite, review) can be asked.
    """

    def __init__(self, corpus: Corpus, passages: Sequence[Passage], seed: int) -> None:
        self._corpus = corpus
        self._passages = tuple(passages)
        self._modules = tuple(corpus.modules.values())
        self._packages = tuple(corpus.packages().items())
        self._topics = tuple(corpus.topics.items())
        self._doable = tuple(passage for passage in passages if _DOABLE.match(passage.first_sentence))
        self._odd_texts = tuple(source for source in corpus.odd if source.path.suffix in ("", ".txt", ".rst"))
        self._lots = {feature: random.Random(f"{seed}/{feature}") for feature in RHYTHMS}
        self._choices = {
            "search": self._search,
            "classify": self._classify,
            "summarize": self._summarize,
            "extract": self._extract,
            "explain": self._explain,
            "rewrite": self._rewrite,
            "review": self._review,
        }

    def next(self, feature: str) -> Step:
        """Choose the next request to a feature."""
        lot = self._lots[feature]
        reader, trace_id = lot.choice(_READERS), f"{lot.getrandbits(128):032x}"
        return Step(feature, reader, trace_id, self._choices[feature](lot))

    def pause(self, feature: str, at: float) -> float:
        """Choose how many seconds pass until the next request, `at` seconds from the start: readers come singly."""
        return self._lots[feature].expovariate(RHYTHMS[feature].per_second(at))

    def _search(self, lot: random.Random) -> Wish:
        """Ask with a few words of a docstring's first line, as it stands: some have none."""
        line = lot.choice(self._passages).text.strip().partition("\n")[0]
        words = line.split()
        start = lot.randrange(max(1, len(words) - 3))
        query = " ".join(words[start : start + lot.randint(3, 6)])
        return Wish(query, query)

    def _classify(self, lot: random.Random) -> Wish:
        passage = lot.choice(self._passages)
        return Wish(passage.name, passage.text)

    def _summarize(self, lot: random.Random) -> Wish:
        """Mostly a topic or a module's docstrings, now and then a package's, rarely all that the library says."""
        draw = lot.random()
        if draw < 0.03:
            return Wish("the whole library", "\n\n".join(passage.text for passage in self._passages))
        if draw < 0.1:
            package = lot.choice(self._packages)[0]
            texts = [passage.text for passage in self._passages if passage.module.partition(".")[0] == package]
            return Wish(f"package {package}", "\n\n".join(texts))
        if draw < 0.6 and self._topics:
            topic, text = lot.choice(self._topics)
            return Wish(f"topic {topic}", text)
        module = lot.choice(self._passages).module
        return Wish(module, "\n\n".join(passage.text for passage in self._passages if passage.module == module))

    def _extract(self, lot: random.Random) -> Wish:
        """One file in four was uploaded by mistake: it is no Python source, or an empty one."""
        source = lot.choice(self._corpus.odd if self._corpus.odd and lot.random() < 0.25 else self._modules)
        return Wish(source.name, sources=(source,))

    def _explain(self, lot: random.Random) -> Wish:
        """Ask how to do what some function does; one question in ten comes from a text that is not about Python."""
        patience = lot.randint(3, 40) if lot.random() < 0.15 else None
        if self._odd_texts and lot.random() < 0.1:
            question = _foreign_question(lot, lot.choice(self._odd_texts))
        else:
            question = how_do_i(lot.choice(self._doable).first_sentence)
        return Wish(question, question, patience=patience)

    def _rewrite(self, lot: random.Random) -> Wish:
        source = lot.choice(self._modules)
        return Wish(source.name, sources=(source,))

    def _review(self, lot: random.Random) -> Wish:
        """Mostly a package, one time in eight everything, which takes longer than a reader waits."""
        if lot.random() < 0.125:
            return Wish("the whole library", sources=self._modules)
        package, sources = lot.choice(self._packages)
        return Wish(f"package {package}", sources=tuple(sources))


def how_do_i(sentence: str) -> str:
    """Turn what a docstring says that a function does into the question of someone who wants it done."""
    shouted = sentence[1:2].isupper()
    return f"How do I {sentence if shouted else sentence[:1].lower() + sentence[1:]}?"


def _foreign_question(lot: random.Random, source: Source) -> str:
    """Make a question of eight words of a licence, a table or a build file."""
    words = source.path.read_text(encoding="utf-8", errors="replace").split() or [source.name]
    start = lot.randrange(max(1, len(words) - 8))
    return how_do_i(" ".join(words[start : start + 8]))
