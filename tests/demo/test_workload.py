from __future__ import annotations

from featurewatch.demo.corpus import Corpus
from featurewatch.demo.library import Library
from featurewatch.demo.workload import RHYTHMS, Rhythm, Walk, how_do_i


def test_the_same_seed_walks_the_same_way_and_another_does_not(corpus: Corpus, library: Library) -> None:
    one, two, other = (Walk(corpus, library.passages, seed) for seed in (1, 1, 2))
    for feature in RHYTHMS:
        steps = [one.next(feature) for _ in range(20)]
        assert steps == [two.next(feature) for _ in range(20)]
        assert steps != [other.next(feature) for _ in range(20)]


def test_one_features_walk_does_not_depend_on_how_often_others_are_asked(corpus: Corpus, library: Library) -> None:
    alone, among = (Walk(corpus, library.passages, 1) for _ in range(2))
    for _ in range(5):
        among.next("search")
    assert alone.next("explain") == among.next("explain")


def test_features_that_work_on_files_walk_without_docstrings(corpus: Corpus) -> None:
    walk = Walk(corpus, (), 1)
    for feature in ("extract", "rewrite", "review"):
        assert walk.next(feature).wish.sources


def test_questions_and_texts_come_from_the_corpus(corpus: Corpus, library: Library) -> None:
    walk = Walk(corpus, library.passages, 3)
    texts = {passage.text for passage in library.passages}
    assert {walk.next("classify").wish.text for _ in range(50)} <= texts
    assert all(len(walk.next("search").wish.text.split()) <= 6 for _ in range(50))
    questions = [walk.next("explain").wish for _ in range(100)]
    assert all(wish.text.startswith("How do I ") and wish.text.endswith("?") for wish in questions)
    assert 0 < sum(wish.patience is not None for wish in questions) < 50


def test_some_but_not_most_files_are_odd(corpus: Corpus, library: Library) -> None:
    walk = Walk(corpus, library.passages, 3)
    odd = sum(walk.next("extract").wish.sources[0] in corpus.odd for _ in range(200))
    assert 30 < odd < 100


def test_readers_have_traces_of_their_own(corpus: Corpus, library: Library) -> None:
    walk = Walk(corpus, library.passages, 1)
    steps = [walk.next("search") for _ in range(50)]
    assert len({step.trace_id for step in steps}) == 50
    assert all(len(step.trace_id) == 32 and int(step.trace_id, 16) for step in steps)
    assert len({step.reader for step in steps}) > 3


def test_a_rhythm_goes_from_quiet_to_busy_and_back() -> None:
    rhythm = Rhythm(quiet=6, busy=60, period=100)
    assert rhythm.per_second(0) == 6 / 60
    assert rhythm.per_second(50) == 1.0
    assert abs(rhythm.per_second(100) - 6 / 60) < 1e-9
    assert 6 / 60 < rhythm.per_second(25) < 1.0


def test_pauses_follow_the_rhythm(corpus: Corpus) -> None:
    walk = Walk(corpus, (), 1)
    rhythm = RHYTHMS["extract"]
    pauses = [walk.pause("extract", 0.0) for _ in range(500)]
    mean = sum(pauses) / len(pauses)
    assert 0.8 < mean * rhythm.per_second(0.0) < 1.25


def test_a_docstrings_first_sentence_becomes_a_question() -> None:
    assert how_do_i("Copy a file") == "How do I copy a file?"
    assert how_do_i("URL of it") == "How do I URL of it?"
