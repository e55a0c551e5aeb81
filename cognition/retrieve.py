"""Retrieve priors for a question: rank by words and by meaning, fuse, weight, and draw a few at random."""

from __future__ import annotations

import operator
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from cognition.embedders import STATIC_NAME, Embedder, EmbedderError
from cognition.finer import FinerIndex, changes_of
from cognition.meaning import MeaningIndex
from cognition.prior import Prior
from cognition.vectors import VectorStore
from cognition.words import WordIndex

__all__ = ["Hit", "Retriever"]

_MEANING = 0.6
"""The share of meaning in a score; words have the rest. It was chosen on half of the labelled set of tests/cognition as
the one that finds most paraphrases and loses nothing on the other questions; `evolve bench retrieval` measures the
other half."""
_CANDIDATES = 100
_LEAST_COSINE = 0.2
"""The least cosine at which a prior without a word of the question is taken."""
_WORDS_SHOWN = 5
_RETRY_SECONDS = 60.0
"""The pause after an embedder failed."""


@dataclass(frozen=True)
class Hit:
    """A chosen prior, and why it was chosen."""

    prior: Prior
    score: float
    """The fused score times the weight; without the weight, 1 for the best match. 0 if drawn."""
    why: str
    """The fields below in words, or `drawn`."""
    word_rank: int | None = None
    """Rank by BM25, from 1."""
    words: tuple[str, ...] = ()
    """Words of the question that the prior has in some form, the rarest first."""
    meaning_rank: int | None = None
    """Rank by cosine, from 1."""
    cosine: float | None = None


class Retriever:
    """Keeps the indexes of a set of priors and updates them by what changed.

    Several threads may call; a lock admits one at a time.

    Args:
        embedder: embeds texts; None to search by words only. It is closed with the retriever.
        store: keeps vectors between processes.
        problem: why there is no embedder although one was wanted.
        finer: a better embedder, whose index is used wherever it has all priors; the other one stands in for it.
        lacking: why there is none although one was wanted.
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        store: VectorStore | None = None,
        problem: str = "",
        finer: Embedder | None = None,
        lacking: str = "",
    ) -> None:
        self.problem = problem
        """Why the last search was by words only although an embedder was wanted; else empty."""
        self._lacking = lacking
        self._finer = FinerIndex(finer, store or VectorStore(None)) if finer is not None else None
        self._embedder = embedder
        self._words = WordIndex()
        self._meaning = MeaningIndex(embedder, store or VectorStore(None)) if embedder is not None else None
        self._given: list[Prior] = []
        """The priors of the last search."""
        self._usable: dict[str, Prior] = {}
        """Those of them that can be chosen, sorted by id."""
        self._row_of: dict[str, int] = {}
        self._weights = np.zeros(0)
        self._embedded: dict[str, Prior] = {}
        """The priors in the index of meaning."""
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return vectors of unit length [n, dim] by the static embedder; None if there is none now, or another one.

        May block for seconds while the embedder starts.
        """
        if self._embedder is None or self._embedder.name != STATIC_NAME or time.monotonic() < self._retry_at:
            return None
        try:
            return self._embedder.embed(texts)
        except EmbedderError:
            # The next search tells people why.
            return None

    @property
    def lacking(self) -> str:
        """Why the last search was without the finer embedder although one was wanted; else empty."""
        return self._lacking or (self._finer.problem if self._finer is not None else "")

    def close(self) -> None:
        """Close the embedders."""
        if self._finer is not None:
            self._finer.close()
        if self._embedder is not None:
            self._embedder.close()

    def search(
        self,
        priors: Sequence[Prior],
        texts: Sequence[str],
        top_k: int,
        drawn: int = 0,
        threshold: float = 0.0,
        rng: random.Random | None = None,
    ) -> list[Hit]:
        """Choose priors for some texts. May block for seconds while new texts are embedded.

        The same priors, texts and state of `rng` give the same hits, whatever was asked or edited before.

        Args:
            priors: the enabled priors; one of weight 0 is never chosen.
            texts: the question, such as the lessons of several nodes. The search by words takes all of them together,
                the search by meaning the nearest one. Nothing in them is syntax.
            top_k: the largest number of matches.
            drawn: how many more to draw from the rest, in proportion to weight, so that priors which no question
                finds are tried too.
            threshold: the least score of a match.
            rng: draws the rest.

        Returns:
            The matches, best first, ties by id, then the drawn ones; no prior twice.
        """
        asked = [text for text in dict.fromkeys(texts) if text.strip()]
        with self._lock:
            self._update(priors)
            matches = self._matches(asked, top_k, threshold) if asked and top_k > 0 else []
            return matches + self._draw({hit.prior.id for hit in matches}, drawn, rng or random.Random(0))

    def _update(self, priors: Sequence[Prior]) -> None:
        # Mostly they are the very same objects, and with 10,000 of them a comparison costs milliseconds.
        if len(priors) == len(self._given) and all(map(operator.is_, priors, self._given)):
            return
        usable = {prior.id: prior for prior in sorted(priors, key=lambda prior: prior.id) if prior.weight > 0}
        self._words.update(*changes_of(self._usable, usable))
        self._given, self._usable = list(priors), usable
        self._row_of = {prior_id: row for row, prior_id in enumerate(usable)}
        self._weights = np.array([prior.weight for prior in usable.values()])

    def _matches(self, asked: Sequence[str], top_k: int, threshold: float) -> list[Hit]:
        usable, question = self._usable, "\n".join(asked)
        by_words = self._words.search(question, _CANDIDATES)
        by_meaning = self._by_meaning(asked, [prior_id for prior_id, _ in by_words])
        word_ranks = {prior_id: rank for rank, (prior_id, _) in enumerate(by_words, 1)}
        meaning_ranks = {prior_id: rank for rank, (prior_id, _) in enumerate(by_meaning or (), 1)}
        cosines = dict(by_meaning or ())
        share = _MEANING if by_meaning is not None else 0.0
        bm25, bound = dict(by_words), self._words.most(question) or 1.0
        # By scores, not by ranks: the best by words always has rank 1, however few words of the question it has.
        fused = {
            prior_id: share * max(cosines.get(prior_id, 0.0), 0.0) + (1 - share) * bm25.get(prior_id, 0.0) / bound
            for prior_id in word_ranks | meaning_ranks
            if prior_id in word_ranks or cosines[prior_id] >= _LEAST_COSINE
        }
        top = max(fused.values(), default=0.0) or 1.0
        scores = {prior_id: round(usable[prior_id].weight * score / top, 6) for prior_id, score in fused.items()}
        best = sorted((-score, prior_id) for prior_id, score in scores.items() if score >= threshold)[:top_k]
        hits = []
        for score, prior_id in best:
            prior, word_rank, meaning_rank = usable[prior_id], word_ranks.get(prior_id), meaning_ranks.get(prior_id)
            words = tuple(self._words.shared(question, prior_id, _WORDS_SHOWN)) if word_rank is not None else ()
            cosine = round(cosines[prior_id], 4) if meaning_rank is not None else None
            why = _why(word_rank, words, meaning_rank, cosine, prior.weight, by_meaning is None)
            hits.append(Hit(prior, -score, why, word_rank, words, meaning_rank, cosine))
        return hits

    def _by_meaning(self, asked: Sequence[str], also: Sequence[str]) -> list[tuple[str, float]] | None:
        """Return the nearest priors and their nearness; None while there is no embedder."""
        found = self._finer.search(self._usable, asked, _CANDIDATES, also) if self._finer is not None else None
        if found is not None:
            self.problem = ""
            return found
        if self._meaning is None or time.monotonic() < self._retry_at:
            return None
        try:
            if self._embedded is not self._usable:
                self._meaning.update(*changes_of(self._embedded, self._usable))
                self._embedded = self._usable
            found = self._meaning.search(asked, _CANDIDATES, also)
        except EmbedderError as exc:
            self.problem = str(exc)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return None
        self.problem = ""
        return found

    def _draw(self, taken: Iterable[str], count: int, rng: random.Random) -> list[Hit]:
        """Draw by weight without replacement."""
        weights = self._weights.copy()
        weights[[self._row_of[prior_id] for prior_id in taken]] = 0
        found: list[Hit] = []
        while len(found) < count and weights.any():
            sums = np.cumsum(weights)
            row = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
            # If rounding makes the draw equal to the sum, it belongs to the last one.
            row = min(row, int(np.flatnonzero(weights)[-1]))
            weights[row] = 0
            found.append(Hit(next(islice(self._usable.values(), row, None)), 0.0, "drawn"))
        return found


def _why(
    word_rank: int | None,
    words: Sequence[str],
    meaning_rank: int | None,
    cosine: float | None,
    weight: float,
    words_only: bool,
) -> str:
    parts = []
    if word_rank is not None:
        parts.append(f"words #{word_rank} ({', '.join(words)})")
    if meaning_rank is not None:
        parts.append(f"meaning #{meaning_rank} (cosine {cosine:.2f})")
    if weight != 1:
        parts.append(f"weight {weight:g}")
    if words_only:
        parts.append("by words only")
    return ", ".join(parts)
