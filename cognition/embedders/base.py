"""The protocol of embedders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder", "EmbedderError", "unit_rows"]


class EmbedderError(Exception):
    """Texts cannot be embedded now; the message is one sentence that says why."""


class Embedder(Protocol):
    """Turns texts into vectors whose cosine measures nearness in meaning."""

    @property
    def name(self) -> str:
        """Identifies what made a vector: vectors of two names are never compared."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of unit length [len(texts), dim]; an empty text may have a vector of zeros.

        A text's vector does not depend on the other texts. The call may block for seconds.

        Raises:
            EmbedderError: the texts cannot be embedded now.
        """

    def close(self) -> None:
        """Close processes and connections; a later call may open them again."""


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1 [n, dim]; leave rows of zeros.

    Raises:
        EmbedderError: a number is not finite.
    """
    if not np.isfinite(vectors).all():
        raise EmbedderError("the embedder gave a vector with a number that is not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled
