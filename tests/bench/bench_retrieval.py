"""Retrieval: how good it is on the labelled set, how long it takes, and what it needs."""

from __future__ import annotations

import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import cognition.retrieve as fusion
from cognition.embedders import ChildEmbedder, make_embedder, make_finer
from cognition.prior import Prior, parse_prior
from cognition.retrieve import Retriever
from cognition.vectors import VectorStore
from tests.cognition.labelled_set import (
    AT,
    Question,
    load_paraphrases,
    load_priors,
    load_questions,
    ndcg,
    orders,
    recall,
)

_TRIED = [step / 20 for step in range(6, 20)]


def main(full: bool) -> list[dict[str, Any]]:
    """Measure; `full` asks more questions."""
    rows = _quality()
    with tempfile.TemporaryDirectory(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")) as folder:
        for count in (100, 10_000):
            rows += _speed(count, 1_000 if full else 300, Path(folder))
    return rows


def _row(name: str, value: float, unit: str, budget: str = "", note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


def _quality() -> list[dict[str, Any]]:
    priors, questions = load_priors(), load_questions()
    retriever = Retriever(_embedder())
    words = orders(Retriever(), priors, questions)
    fused = orders(retriever, priors, questions)
    assert retriever._meaning is not None
    dense = [[name for name, _ in retriever._meaning.search(question.texts, AT)] for question in questions]
    unseen = _chosen_elsewhere(retriever, priors, questions)
    asked_anew = load_paraphrases()
    paraphrased = orders(retriever, priors, asked_anew)
    retriever.close()
    values = [ndcg(order, question.relevant) for order, question in zip(paraphrased, asked_anew, strict=True)]
    low, high = _interval(values)
    note = f"95 % {low:.3f} to {high:.3f}; {len(values)} questions without a word of their prior"
    rows = [_row(f"ndcg@{AT}, fused, paraphrases", statistics.fmean(values), "", "", note)]
    for score in (ndcg, recall):
        for name, found in (("words", words), ("meaning", dense), ("fused", fused), ("fused, cross-validated", unseen)):
            values = [score(order, question.relevant) for order, question in zip(found, questions, strict=True)]
            low, high = _interval(values)
            gains = [v - score(w, q.relevant) for v, w, q in zip(values, words, questions, strict=True)]
            note = f"95 % {low:.3f} to {high:.3f}"
            if found is not words:
                note += f"; over words {statistics.fmean(gains):+.3f}, {'{:+.3f} to {:+.3f}'.format(*_interval(gains))}"
            rows.append(_row(f"{score.__name__}@{AT}, {name}", statistics.fmean(values), "", "", note))
    rows[1]["note"] += f"; {len(questions)} questions, {len(priors)} priors"
    return rows + _finer(priors, [(questions, fused, ""), (asked_anew, paraphrased, ", paraphrases")])


def _finer(
    priors: Sequence[Prior], asked: Sequence[tuple[Sequence[Question], list[list[str]], str]]
) -> list[dict[str, Any]]:
    """Return what MiniLM adds to the static vectors, on all questions and on every other one; nothing without it."""
    finer, _ = make_finer("minilm")
    if finer is None:
        return []
    # In two parts, since a search waits for a hundred new priors at most.
    retriever, rows = Retriever(_embedder(), finer=finer), []
    for part in (priors[:90], priors):
        retriever.search(part, ["circles"], 1)
    for questions, without, what in asked:
        found = orders(retriever, priors, questions)
        assert not retriever.lacking, retriever.lacking
        values = [ndcg(order, question.relevant) for order, question in zip(found, questions, strict=True)]
        gains = [v - ndcg(w, q.relevant) for v, w, q in zip(values, without, questions, strict=True)]
        told = [
            f"{statistics.fmean(some):+.3f}, {'{:+.3f} to {:+.3f}'.format(*_interval(some))}"
            for some in (gains, gains[1::2])
        ]
        note = f"over fused {told[0]}; on every other question {told[1]}"
        rows.append(_row(f"ndcg@{AT}, minilm{what}", statistics.fmean(values), "", "", note))
    retriever.close()
    return rows


def _chosen_elsewhere(retriever: Retriever, priors: Sequence[Prior], questions: Sequence[Question]) -> list[list[str]]:
    """Orders with the constant that is best on the other half of the questions."""
    usual = fusion._MEANING
    tried = []
    for fusion._MEANING in _TRIED:
        tried.append(orders(retriever, priors, questions))
    fusion._MEANING = usual

    def best(half: int) -> list[list[str]]:
        return max(
            tried, key=lambda found: sum(ndcg(found[n], questions[n].relevant) for n in range(half, len(questions), 2))
        )

    even, odd = best(0), best(1)
    return [odd[n] if n % 2 == 0 else even[n] for n in range(len(questions))]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean, 95 %, by the bootstrap."""
    rng = np.random.default_rng(0)
    means = np.array(values)[rng.integers(0, len(values), (10_000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _speed(count: int, asked: int, folder: Path) -> list[dict[str, Any]]:
    rng = random.Random(count)
    priors = _many(count, rng)
    questions = load_questions()
    store = VectorStore(folder / f"{count}.db")
    name = f"{count:,} priors"
    rows = []
    for what, embedder in (("words", None), ("fused", _embedder())):
        before = _rss_mb(os.getpid())
        retriever = Retriever(embedder, store)
        began = time.perf_counter()
        retriever.search(priors, ["circles"], 4)
        rows.append(_row(f"{what}: first search, {name}", time.perf_counter() - began, "s", "", "nothing kept yet"))
        taken, kept = [], []
        busy: list[float] = []
        for number in range(asked):
            texts = [rng.choice(rng.choice(questions).texts) for _ in range(3)]
            # New to the embedder, as the lesson of a new node is; the other two were asked before or are new as well.
            texts[0] += f" #{number}"
            for times in (taken, kept):
                began, spent = time.perf_counter(), time.process_time()
                retriever.search(priors, texts, 4, 2, rng=random.Random(number))
                times.append((time.perf_counter() - began) * 1e3)
                busy.append((time.process_time() - spent) * 1e3)
        for told, times in (("", taken), (", asked before", kept)):
            cuts = statistics.quantiles(times, n=20)
            note = f"p50 {statistics.median(times):.2f}, of this process's CPU {statistics.median(busy):.2f}"
            rows.append(_row(f"{what}: p95, {name}{told}", cuts[-1], "ms", "≤ 10", note))
        rows.append(
            _row(f"{what}: edit to found, {name}", _edit(retriever, priors, what, rng), "ms", "", "median of 20")
        )
        rows.append(_row(f"{what}: memory of the indexes, {name}", _rss_mb(os.getpid()) - before, "MB"))
        if isinstance(embedder, ChildEmbedder):
            assert embedder.pid is not None and not retriever.problem
            rows.append(_row(f"{what}: memory of the child, {name}", _rss_mb(embedder.pid), "MB"))
            retriever.close()
            again = Retriever(_embedder(), store)
            began = time.perf_counter()
            again.search(priors, ["circles"], 4)
            seconds = time.perf_counter() - began
            rows.append(_row(f"{what}: first search of a later process, {name}", seconds, "s", "", "vectors are kept"))
            again.close()
    return rows


def _edit(retriever: Retriever, priors: list[Prior], mark: str, rng: random.Random) -> float:
    taken = []
    for number in range(20):
        row = rng.randrange(len(priors))
        old = priors[row]
        priors[row] = parse_prior(old.id, old.text + f"\nRemember the zebrafish{mark}{number} here.\n")
        began = time.perf_counter()
        hits = retriever.search(priors, [f"zebrafish{mark}{number}"], 1)
        taken.append((time.perf_counter() - began) * 1e3)
        assert hits[0].prior.id == old.id
    return statistics.median(taken)


def _many(count: int, rng: random.Random) -> list[Prior]:
    """Priors of sentences of the labelled set, each with some words of its own."""
    seeds = load_priors()
    sentences = [s for prior in seeds for s in re.split(r"(?<=[.])\s+", prior.body) if 20 < len(s) < 300]
    made = []
    for number in range(count):
        own = " ".join(f"term{rng.randrange(5_000)}" for _ in range(5))
        body = " ".join(rng.sample(sentences, 4))
        tags = ", ".join(rng.choice(seeds).tags)
        text = f"---\ntags: {tags}\n---\n\n# {rng.choice(seeds).title} {own}\n\n{body}\n"
        made.append(parse_prior(f"prior-{number:05d}", text))
    return made


def _embedder() -> ChildEmbedder:
    embedder, problem = make_embedder("wordllama")
    if not isinstance(embedder, ChildEmbedder):
        raise RuntimeError(problem)
    return embedder


def _rss_mb(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
