"""Read the text for language modelling: the user's, or the sources of Python's standard library."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Corpus", "CorpusError", "read_corpus"]

HELD_OUT = 20
"""One document in this many is held out."""
LARGEST = 60_000
"""Longer modules of the standard library are skipped: they are tables rather than text."""


class CorpusError(Exception):
    """The text cannot be used; the message names file and row and says what to do."""


@dataclass(frozen=True)
class Corpus:
    """The tokens of all documents, concatenated."""

    name: str
    train: np.ndarray
    held_out: np.ndarray
    vocabulary: int

    def draw(self, count: int, length: int, rng: np.random.Generator, *, held_out: bool) -> np.ndarray:
        """Draw windows [count, length] at random positions.

        Raises:
            CorpusError: there is not enough text.
        """
        tokens = self.held_out if held_out else self.train
        if len(tokens) <= length:
            which = "held-out" if held_out else "training"
            raise CorpusError(
                f"{self.name} has {len(tokens):,} {which} tokens; one sequence takes {length:,}: give more text"
            )
        starts = rng.integers(0, len(tokens) - length + 1, count)
        return tokens[starts[:, None] + np.arange(length)]


def read_corpus(path: str, tokenizer: str, folder: Path) -> Corpus:
    """Read and split text.

    Args:
        path: a file or a folder of .txt (one document per file) and .jsonl (one per row, under "text"); relative to
            `folder`. Empty: the sources of Python's standard library.
        tokenizer: a tokenizer.json for Hugging Face's `tokenizers`; empty for bytes.
        folder: the task's folder.

    Raises:
        CorpusError: a file is missing or is not text.
    """
    name = str(path) or f"standard library of Python {sys.version_info.major}.{sys.version_info.minor}"
    documents = _read(folder / path) if path else _library()
    encode, vocabulary = _tokenizer(folder / tokenizer) if tokenizer else (_bytes, 256)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for document in documents:
        digest = int.from_bytes(hashlib.sha256(document.encode()).digest()[:4], "big")
        parts[digest % HELD_OUT == 0].append(encode(document))
    if not parts[0] or not parts[1]:
        count = len(parts[0]) + len(parts[1])
        raise CorpusError(f"{name} has {count} documents, too few to hold one in {HELD_OUT} out: give {3 * HELD_OUT}")
    train, held_out = (np.concatenate(part) for part in parts)
    return Corpus(name, train, held_out, vocabulary)


def _library() -> Iterator[str]:
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        content = file.read_bytes()
        if content.isascii() and len(content) <= LARGEST:
            yield content.decode()


def _read(path: Path) -> Iterator[str]:
    files = sorted([*path.rglob("*.txt"), *path.rglob("*.jsonl")]) if path.is_dir() else [path]
    if not files or not path.exists():
        what = "holds no .txt or .jsonl" if path.is_dir() else "does not exist here"
        raise CorpusError(f"`text` = '{path}' {what} (a folder outside the task's own must stand in `mounts`)")
    for file in files:
        try:
            if file.suffix == ".jsonl":
                with file.open(encoding="utf-8") as rows:
                    yield from (_row(row, f"{file}, row {number}") for number, row in enumerate(rows, 1) if row.strip())
            else:
                yield file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise CorpusError(f"{file} cannot be read as text: {exc}") from None


def _row(row: str, where: str) -> str:
    try:
        found = json.loads(row)
    except ValueError as exc:
        raise CorpusError(f"{where}: not JSON: {exc}") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise CorpusError(f'{where}: needs a text as "text"')
    return str(found["text"])


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode() + b"\0", np.uint8)


def _tokenizer(path: Path) -> tuple[Callable[[str], np.ndarray], int]:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise CorpusError(
            "`tokenizer` needs the library tokenizers: install the extra 'rl', or leave it empty"
        ) from None
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as exc:  # the library raises no narrower class
        raise CorpusError(f"`tokenizer` = '{path}' cannot be read: {exc}") from None
    end = found.token_to_id("<|endoftext|>")
    tail = [] if end is None else [end]
    kind = np.uint16 if found.get_vocab_size() <= 2**16 else np.uint32
    return lambda text: np.array(found.encode(text).ids + tail, kind), found.get_vocab_size()
