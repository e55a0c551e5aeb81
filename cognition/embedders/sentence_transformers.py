"""Load models of the library sentence-transformers from a local folder. Only the worker imports this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_sentence_transformer"]


def load_sentence_transformer(folder: str) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Return a function that embeds texts by the model in a folder, on the CPU: the GPUs are for evaluations.

    Raises:
        FileNotFoundError: the folder is missing.
        ImportError: the library is not installed.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"there is no folder {folder} with a model")
    model = import_module("sentence_transformers").SentenceTransformer(folder, device="cpu", local_files_only=True)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        # One by one: in a batch, padding and thus the last digits depend on the other texts.
        return np.stack([np.asarray(model.encode(text, show_progress_bar=False), np.float32) for text in texts])

    return embed
