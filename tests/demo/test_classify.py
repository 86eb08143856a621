from __future__ import annotations

from collections import Counter

import pytest

from featurewatch.demo.classify import SUBJECTS, Classifier, split, subject_of
from featurewatch.demo.corpus import EmptyInput, Passage
from featurewatch.demo.library import Library


def test_held_out_docstrings_are_told_far_better_than_by_always_guessing_the_commonest_subject(
    library: Library,
) -> None:
    _, held_out = split(library.passages)
    commonest = Counter(subject for _, subject in held_out).most_common(1)[0][1] / len(held_out)
    assert len(held_out) > 200
    assert library.accuracy > commonest + 0.25


def test_training_and_measuring_never_share_a_docstring(library: Library) -> None:
    training, held_out = split(library.passages)
    names = {passage.name for passage, _ in training}
    assert not names & {passage.name for passage, _ in held_out if passage.kind != "function"}
    assert len(training) == pytest.approx(3 * len(held_out), abs=3)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Connect to a host and send the HTTP request headers over the socket", "networking"),
        ("Acquire the lock, blocking the thread until the event loop has released the semaphore", "concurrency"),
        ("Add a test case to the suite and report the traceback of each failure", "development"),
    ],
)
def test_a_text_of_ones_own_is_told(library: Library, text: str, subject: str) -> None:
    label = library.classifier.classify(text)
    assert label is not None
    assert label.subject == subject
    assert 1 / len(SUBJECTS) < label.confidence <= 1
    assert label.known_terms >= 3


def test_too_few_known_words_give_no_label(library: Library) -> None:
    assert library.classifier.classify("qwertz uiop asdfgh") is None
    with pytest.raises(EmptyInput):
        library.classifier.classify(">>> ()")


def test_every_subject_is_seen_in_training_and_no_package_has_two(library: Library) -> None:
    training, _ = split(library.passages)
    assert {subject for _, subject in training} == set(SUBJECTS)
    packages = [name for names in SUBJECTS.values() for name in names.split()]
    assert len(packages) == len(set(packages))
    assert subject_of("asyncio.queues") == "concurrency"
    assert subject_of("antigravity") is None


def test_confidence_is_the_bayes_probability() -> None:
    def passage(text: str) -> Passage:
        return Passage("m", "m", "module", "m", text)

    classifier = Classifier([(passage("red green blue"), "colour"), (passage("one two three"), "number")])
    label = classifier.classify("red green one")
    assert label is not None
    # each subject: prior 1/2, 3 words of its own at (1+1)/(3+6), words unseen there at 1/9
    assert label.confidence == pytest.approx((2 * 2 * 1) / (2 * 2 * 1 + 1 * 1 * 2))
