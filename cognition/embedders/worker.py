"""Run the embedder's process: read a line of JSON texts on stdin, write a line of JSON and float32 numbers to stdout.

`python -m cognition.embedders.worker IDLE_SECONDS NAME [MODEL]`
"""

from __future__ import annotations

import json
import select
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cognition.embedders.base import unit_rows

__all__ = ["main"]

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def main(arguments: Sequence[str]) -> None:
    """Serve requests until stdin ends or no request came for the idle time."""
    # Ctrl-C in the terminal reaches the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    idle = float(arguments[0])
    # Output of libraries must not get between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    embed: Embed | None = None
    requests = sys.stdin.buffer
    # Each request is one line, sent after the last answer: `select` misses nothing in the buffer.
    while select.select([requests], [], [], idle)[0] and (line := requests.readline()):
        try:
            if embed is None:
                embed = _load(arguments[1:])
            vectors = np.ascontiguousarray(embed(json.loads(line)), dtype="<f4")
        except Exception as exc:
            # Any error of a library or a strange text is the answer to this request.
            answers.write(json.dumps({"error": _one_line(exc)}).encode() + b"\n")
        else:
            answers.write(json.dumps({"dim": vectors.shape[1]}).encode() + b"\n" + vectors.tobytes())
        answers.flush()


def _load(arguments: Sequence[str]) -> Embed:
    if arguments[0] == "wordllama":
        from cognition.embedders.static import load_static

        return load_static()
    if arguments[0] == "minilm":
        from cognition.embedders.minilm import load_minilm
        from cognition.embedders.static import load_static

        return _beside(load_static(), load_minilm())
    from cognition.embedders.sentence_transformers import load_sentence_transformer

    return load_sentence_transformer(arguments[1])


def _beside(one: Embed, other: Embed) -> Embed:
    """Return both vectors of unit length in one, so that a cosine is the mean of both."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = np.concatenate([unit_rows(one(texts)), unit_rows(other(texts))], axis=1)
        return made

    return embed


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    main(sys.argv[1:])
