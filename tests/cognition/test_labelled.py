"""Retrieval on the labelled set: fusing words and meaning beats words alone."""

from __future__ import annotations

import statistics

from cognition.embedders import make_embedder
from cognition.retrieve import Retriever
from cognition.words import WordIndex
from tests.cognition.labelled_set import load_paraphrases, load_priors, load_questions, ndcg, orders, recall


def test_labelled_set_is_large_enough_and_names_existing_priors() -> None:
    priors, questions = load_priors(), load_questions()
    ids = {prior.id for prior in priors}
    assert len(ids) == len(priors) >= 120
    assert len(questions) >= 60
    assert len({question.texts for question in questions}) == len(questions)
    for question in questions:
        assert question.relevant.keys() <= ids, question.texts
        assert 2 in question.relevant.values(), question.texts


def test_paraphrases_share_no_word_with_their_prior() -> None:
    priors, questions = load_priors(), load_paraphrases()
    index = WordIndex()
    index.update(priors, ())
    assert len(questions) >= 60
    for question in questions:
        for name in question.relevant:
            assert not index.shared(question.texts[0], name, 9), question.texts


def test_words_and_meaning_find_more_than_words_alone() -> None:
    priors, questions = load_priors(), load_questions()
    words = orders(Retriever(), priors, questions)
    fused = Retriever(make_embedder("auto")[0])
    both = orders(fused, priors, questions)
    fused.close()
    pairs = list(zip(words, both, questions, strict=True))
    assert len({tuple(order) for order in both}) > 0.9 * len(questions)
    gains = [ndcg(b, question.relevant) - ndcg(w, question.relevant) for w, b, question in pairs]
    assert statistics.fmean(gains) > 0.02
    assert statistics.fmean(recall(b, q.relevant) - recall(w, q.relevant) for w, b, q in pairs) > 0.02
    assert statistics.fmean(ndcg(b, question.relevant) for _, b, question in pairs) > 0.7


def test_quality_metrics() -> None:
    relevant = {"a": 2, "b": 2, "c": 1}
    assert ndcg(["a", "b", "c", "x", "y"], relevant) == 1
    assert ndcg(["x", "y"], relevant) == 0
    assert 0 < ndcg(["c", "b", "a"], relevant) < ndcg(["b", "a", "c"], relevant) == 1
    assert recall(["a", "x", "y", "z", "w", "b"], relevant) == 0.5
    assert recall(["b", "a"], relevant) == 1
