"""Find the priors that are near a text in meaning: cosine of embeddings, of a whole prior and of its sentences.

Vectors are rounded to multiples of 1/2048. Every product and every sum of a cosine is then a whole number below 2^24,
which float32 holds exactly: the figures are the same in whatever order they are added, on every machine and whatever
else the index holds. The rounding changes a cosine by about 0.0002.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cognition.embedders import Embedder, EmbedderError
from cognition.prior import Prior
from cognition.prose import passages
from cognition.vectors import Vectors, VectorStore, key_of

__all__ = ["MeaningIndex"]

_SCALE = 2048
_QUESTIONS_KEPT = 1_000
_EMBEDDED_AT_ONCE = 500
_BLOCK = 1 << 18
"""Multiplications in one matrix product; from here on OpenBLAS takes all cores, which are the evaluations', and spins
while it waits for them: a search over 10,000 priors took 37 ms of CPU in place of 15."""
_LOOKED_INTO = 200
"""Priors whose sentences are compared: those nearest as a whole, and those that the caller names."""

Numbers = NDArray[np.float32]


class MeaningIndex:
    """Holds the vectors of the priors, all of one embedder.

    Args:
        embedder: embeds priors and questions.
        store: keeps vectors between processes.
    """

    def __init__(self, embedder: Embedder, store: VectorStore) -> None:
        self._embedder = embedder
        self._store = store
        self._vectors: dict[str, Vectors] = {}
        """By prior: the vector of its whole, then those of its sentences."""
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._wholes: Numbers = np.zeros((0, 0), np.float32)
        self._questions: OrderedDict[str, Numbers] = OrderedDict()

    def update(self, priors: Sequence[Prior], removed: Iterable[str]) -> None:
        """Add new priors and new revisions, and drop the priors with the ids in `removed`.

        Raises:
            EmbedderError: they cannot be embedded now; those that were added before the error stay.
        """
        gone = [prior_id for prior_id in removed if self._vectors.pop(prior_id, None) is not None]
        for start in range(0, len(priors), _EMBEDDED_AT_ONCE):
            self._vectors.update(self._of(priors[start : start + _EMBEDDED_AT_ONCE]))
        if len({vectors.shape[1] for vectors in self._vectors.values()}) > 1:
            self._vectors.clear()
            raise EmbedderError(f"{self._embedder.name} gave vectors of different lengths")
        if gone or any(prior.id not in self._row_of for prior in priors):
            self._ids = sorted(self._vectors)
            self._row_of = {prior_id: row for row, prior_id in enumerate(self._ids)}
            self._wholes = np.array([self._vectors[prior_id][0] for prior_id in self._ids], np.float32)
        else:
            for prior in priors:
                self._wholes[self._row_of[prior.id]] = self._vectors[prior.id][0]

    def search(self, texts: Sequence[str], most: int, also: Iterable[str] = ()) -> list[tuple[str, float]]:
        """Return ids and nearness of the `most` priors that are nearest to any of the texts, ties by id.

        Nearness is the mean of two cosines: of the text with the whole prior, and with the prior's nearest sentence.

        Args:
            texts: several questions; each prior gets its nearness to the nearest one.
            most: how many to return.
            also: priors whose sentences are compared in any case.

        Raises:
            EmbedderError: a text cannot be embedded now.
        """
        if not self._ids or not texts:
            return []
        asked = self._asked(texts)
        if asked.shape[1] != self._wholes.shape[1]:
            raise EmbedderError(f"{self._embedder.name} gave vectors of different lengths")
        wholes = _cosines(self._wholes, asked)
        rows: NDArray[np.intp] = np.arange(len(self._ids))
        if len(rows) > _LOOKED_INTO:
            nearest = wholes.max(axis=1)
            near_enough = nearest >= np.partition(nearest, -_LOOKED_INTO)[-_LOOKED_INTO]
            near_enough[[self._row_of[prior_id] for prior_id in also]] = True
            rows = np.flatnonzero(near_enough)
        parts = [self._vectors[self._ids[row]] for row in rows]
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        cosines = _cosines(np.concatenate(parts).astype(np.float32), asked)
        near = ((wholes[rows] + np.maximum.reduceat(cosines, starts, axis=0)) / 2).max(axis=1)
        best = sorted((-float(value), self._ids[row]) for value, row in zip(near, rows, strict=True))[:most]
        return [(prior_id, -value) for value, prior_id in best]

    def _of(self, priors: Sequence[Prior]) -> Mapping[str, Vectors]:
        """Return the vectors of some priors by id; take them from the store if it has them."""
        parts = {prior.id: passages(prior) for prior in priors}
        keys = {prior_id: key_of(texts) for prior_id, texts in parts.items()}
        found = self._store.read(self._embedder.name, list(keys.values()))
        missing = {prior_id: texts for prior_id, texts in parts.items() if keys[prior_id] not in found}
        if missing:
            made = _rounded(self._embedder.embed([text for texts in missing.values() for text in texts]))
            ends = np.cumsum([len(texts) for texts in missing.values()])
            new = {keys[prior_id]: part for prior_id, part in zip(missing, np.split(made, ends[:-1]), strict=True)}
            self._store.write(self._embedder.name, new)
            found.update(new)
        return {prior_id: found[keys[prior_id]] for prior_id in parts}

    def _asked(self, texts: Sequence[str]) -> Numbers:
        """Return the vectors of questions [len(texts), dim]; cache them, since nodes are context repeatedly."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._questions))
        if missing:
            made = _rounded(self._embedder.embed(missing)).astype(np.float32)
            self._questions.update(zip(missing, made, strict=True))
        for text in texts:
            self._questions.move_to_end(text)
        asked = np.array([self._questions[text] for text in texts])
        while len(self._questions) > _QUESTIONS_KEPT:
            self._questions.popitem(last=False)
        return asked


def _rounded(vectors: NDArray[np.float32]) -> Vectors:
    return np.rint(vectors * _SCALE).astype(np.int16)


def _cosines(vectors: Numbers, asked: Numbers) -> Numbers:
    """Return the cosines [n, m] of rounded vectors [n, dim] and [m, dim]."""
    step = max(_BLOCK // asked.size, 1)
    blocks = [vectors[start : start + step] @ asked.T for start in range(0, len(vectors), step)]
    cosines: Numbers = np.concatenate(blocks)
    cosines /= _SCALE**2
    return cosines
