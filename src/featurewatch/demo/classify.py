"""Tell what a text is about: multinomial naive Bayes, trained on docstrings whose package says their subject."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .corpus import EmptyInput, Passage
from .tokens import terms

SUBJECTS: Final = {
    "networking": "asyncore asynchat email ftplib html http imaplib mailbox nntplib poplib smtplib smtpd socket "
    "socketserver ssl telnetlib urllib webbrowser wsgiref xmlrpc",
    "concurrency": "asyncio concurrent contextvars multiprocessing queue sched selectors subprocess threading",
    "data": "bz2 configparser csv dbm gzip json lzma netrc pickle plistlib shelve sqlite3 tarfile tomllib xml zipfile",
    "files": "fileinput filecmp fnmatch genericpath glob mimetypes ntpath os pathlib posixpath shutil tempfile zipapp",
    "numbers": "bisect calendar colorsys datetime decimal fractions graphlib heapq numbers random secrets statistics",
    "development": "ast bdb cProfile code codeop compileall dis doctest importlib inspect modulefinder pdb pickletools "
    "pkgutil profile pstats pyclbr runpy symtable timeit tokenize trace traceback unittest venv",
    "interface": "argparse cmd curses getopt getpass gettext locale logging optparse pprint reprlib shlex string "
    "textwrap tkinter turtle",
}
"""The packages that belong to each subject; one that a Python does not have is not missed."""

_SUBJECT_OF: Final = {package: subject for subject, names in SUBJECTS.items() for package in names.split()}
_FEWEST_TERMS: Final = 3


def subject_of(module: str) -> str | None:
    """Look up the subject that a module's package belongs to."""
    return _SUBJECT_OF.get(module.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Label:
    """A text's subject, its probability by the model (0 to 1) and how many of the text's words the model knows."""

    subject: str
    confidence: float
    known_terms: int


class Classifier:
    """Multinomial naive Bayes with Laplace smoothing over the words of labelled passages.

    Manning, Raghavan and Schütze, "Introduction to Information Retrieval", section 13.2.
    """

    def __init__(self, labelled: Iterable[tuple[Passage, str]]) -> None:
        counts: dict[str, Counter[str]] = {}
        passages: Counter[str] = Counter()
        for passage, subject in labelled:
            counts.setdefault(subject, Counter()).update(terms(passage.text))
            passages[subject] += 1
        self._known = frozenset().union(*counts.values())
        self._priors = {subject: math.log(n / passages.total()) for subject, n in passages.items()}
        self._logs: dict[str, dict[str, float]] = {}
        self._unseen: dict[str, float] = {}
        for subject, words in counts.items():
            total = words.total() + len(self._known)
            self._logs[subject] = {word: math.log((count + 1) / total) for word, count in words.items()}
            self._unseen[subject] = math.log(1 / total)

    def classify(self, text: str) -> Label | None:
        """Name a text's subject; None where too few of its words are known to tell.

        Raises:
            EmptyInput: the text has no words at all.
        """
        words = terms(text)
        if not words:
            raise EmptyInput("no word to classify by")
        known = [word for word in words if word in self._known]
        if len(known) < _FEWEST_TERMS:
            return None
        scores = {
            subject: prior + sum(self._logs[subject].get(word, self._unseen[subject]) for word in known)
            for subject, prior in self._priors.items()
        }
        best = max(scores, key=lambda subject: scores[subject])
        evidence = sum(math.exp(score - scores[best]) for score in scores.values())
        return Label(best, 1 / evidence, len(known))


def split(passages: Sequence[Passage]) -> tuple[list[tuple[Passage, str]], list[tuple[Passage, str]]]:
    """Part the passages that have a subject: three quarters to train with, every fourth held out to measure with."""
    labelled = [(passage, subject) for passage in passages if (subject := subject_of(passage.module)) is not None]
    return [pair for n, pair in enumerate(labelled) if n % 4], labelled[::4]


def accuracy(classifier: Classifier, held_out: Iterable[tuple[Passage, str]]) -> float:
    """Measure the share of held-out passages told right, of those that the classifier dares to label."""
    told = [(label, subject) for passage, subject in held_out if (label := classifier.classify(passage.text))]
    return sum(label.subject == subject for label, subject in told) / len(told) if told else 0.0
