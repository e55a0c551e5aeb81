"""What every embedder does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder", "EmbedderError", "unit_rows"]


class EmbedderError(Exception):
    """Texts cannot be embedded now; one sentence that says why."""


class Embedder(Protocol):
    """Turns texts into vectors whose cosine tells how near they are in meaning."""

    @property
    def name(self) -> str:
        """What made a vector: those of two names are never compared."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, [len(texts), dim]; an empty text may have a vector of zeros.

        The same text has the same vector, whatever it is embedded beside. It may block for seconds.

        Raises:
            EmbedderError: nothing can be embedded now.
        """

    def close(self) -> None:
        """Let go of processes and connections; a later call may take them up again."""


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1 [n, dim]; rows of zeros stay.

    Raises:
        EmbedderError: a number is not finite.
    """
    if not np.isfinite(vectors).all():
        raise EmbedderError("the embedder gave a vector with a number that is not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled
