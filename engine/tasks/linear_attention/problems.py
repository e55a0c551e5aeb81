"""Define the trainings: language modelling of a text, and recall; each with its model, batches and held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus, CorpusError, read_corpus
from proxies import VOCABULARY, draw

from kernels.language_model import SIZES, Size

__all__ = ["Problem", "make_problems"]

TEXT = "text"


@dataclass(frozen=True)
class Problem:
    """One training and its held-out rows."""

    name: str
    """`text`, or the name of a recall proxy."""
    size: Size
    batch: int
    rate: float
    seed: int
    """Seed of everything that no sandbox may predict."""
    sandbox_seed: int
    """Seed that the sandbox uses itself."""
    corpus: Corpus | None
    tokens: np.ndarray
    """Held-out rows, [n, context + 1]."""
    marks: np.ndarray
    """Which predictions count, [n, context]."""

    @property
    def inputs(self) -> np.ndarray:
        """Return the held-out rows without their last token, [n, context]."""
        return self.tokens[:, :-1]

    def batches(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return `count` training batches from `first` on: tokens [count, batch, context + 1], and marks or None."""
        parts = [self._draw(self.batch, np.random.default_rng([self.seed, 5, first + i])) for i in range(count)]
        tokens = np.stack([part[0] for part in parts])
        return tokens, None if self.corpus else np.stack([part[1] for part in parts])

    def _draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return _draw(self.name, self.corpus, self.size, count, rng, held_out=False)


def make_problems(settings: dict[str, Any], seed: int, sandbox_seed: int, folder: Path) -> list[Problem]:
    """Return the trainings that the settings name, each once per seed.

    Args:
        settings: the task's settings; see task.toml.
        seed: seed of data; no sandbox may predict what follows from it.
        sandbox_seed: seed of what happens in the candidate's sandbox.
        folder: the task's folder, from which relative paths start.

    Raises:
        CorpusError: the text cannot be used, or the settings name a size that does not exist.
    """
    if settings["size"] not in SIZES:
        raise CorpusError(f"size is '{settings['size']}'; there are {', '.join(SIZES)}")
    corpus = read_corpus(str(settings["text"]), str(settings["tokenizer"]), folder)
    whole = SIZES[settings["size"]]
    text = Size(corpus.vocabulary, whole.layers, whole.width, whole.heads, whole.context)
    recall = Size(
        VOCABULARY,
        int(settings["recall_layers"]),
        int(settings["recall_width"]),
        int(settings["recall_heads"]),
        int(settings["recall_length"]),
    )
    found = []
    for index in range(int(settings["seeds"])):
        own, theirs = seed + 7919 * index, sandbox_seed + 7919 * index
        kinds: list[tuple[str, Corpus | None, Size, str]] = [(TEXT, corpus, text, "text")]
        kinds += [(name, None, recall, "recall") for name in settings["recall"]]
        for name, source, size, prefix in kinds:
            rng = np.random.default_rng([own, 7])
            tokens, marks = _draw(name, source, size, int(settings["held_out"]), rng, held_out=True)
            batch, rate = int(settings[f"{prefix}_batch"]), float(settings[f"{prefix}_rate"])
            found.append(Problem(name, size, batch, rate, own, theirs, source, tokens, marks))
    return found


def _draw(
    name: str, corpus: Corpus | None, size: Size, count: int, rng: np.random.Generator, *, held_out: bool
) -> tuple[np.ndarray, np.ndarray]:
    if corpus is None:
        return draw(name, count, size.context, rng)
    tokens = corpus.draw(count, size.context + 1, rng, held_out=held_out)
    return tokens, np.ones((count, size.context), bool)
