"""What is read once, at the start: every docstring of the corpus, indexed and learned from."""

from __future__ import annotations

from dataclasses import dataclass

from .classify import Classifier, accuracy, split
from .corpus import Corpus, EmptyInput, Passage, passages
from .search import Index


@dataclass(frozen=True)
class Library:
    """The docstrings of a corpus and what was made of them.

    Attributes:
        unread: modules that could not be read, with the reason.
        accuracy: share of the held-out docstrings that the classifier tells right, 0 to 1.
    """

    passages: tuple[Passage, ...]
    unread: tuple[tuple[str, str], ...]
    index: Index
    classifier: Classifier
    accuracy: float


def read_library(corpus: Corpus) -> Library:
    """Read all modules of a corpus; takes about a second."""
    found: list[Passage] = []
    unread: list[tuple[str, str]] = []
    for source in corpus.modules.values():
        try:
            found.extend(passages(source, source.read()))
        except (OSError, UnicodeDecodeError, SyntaxError, EmptyInput) as error:
            unread.append((source.name, str(error)))
    training, held_out = split(found)
    classifier = Classifier(training)
    return Library(tuple(found), tuple(unread), Index(found), classifier, accuracy(classifier, held_out))
