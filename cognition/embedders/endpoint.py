"""Embed by an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from cognition.embedders.base import EmbedderError, unit_rows

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["EndpointEmbedder"]

_BATCH = 64
_SECONDS = 30.0
_RETRIES = 2
_SHORTEST_SECRET = 8
"""Shorter keys are placeholders, and may occur in any text."""


class EndpointEmbedder:
    """Requests `/embeddings` of an endpoint.

    Args:
        model: the endpoint's name for the model.
        base_url: its URL, usually ending in `/v1`; OpenAI's if empty.
        key_env: the environment variable that holds the key; empty if the endpoint needs none.
    """

    def __init__(self, model: str, base_url: str = "", key_env: str = "OPENAI_API_KEY") -> None:
        self._model = model
        self._base_url = base_url
        self._key_env = key_env
        self._client: OpenAI | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """See `Embedder.name`."""
        return f"endpoint {urlsplit(self._base_url).netloc or 'api.openai.com'} {self._model}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        with self._lock:
            parts = [self._batch(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        try:
            return unit_rows(np.concatenate(parts)) if parts else np.zeros((0, 0), np.float32)
        except ValueError:
            raise EmbedderError(f"{self.name} gave vectors of different lengths") from None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        from openai import OpenAIError

        try:
            # Plain numbers, since not every endpoint knows the other encoding; some refuse an empty text.
            answer = self._connected().embeddings.create(
                model=self._model,
                input=[text.encode("utf-8", "replace").decode() or " " for text in texts],
                encoding_format="float",
            )
            found = sorted(answer.data, key=lambda item: item.index)
            vectors = np.array([item.embedding for item in found], np.float32)
        except OpenAIError as exc:
            said = str(exc)
            if len(self._key()) >= _SHORTEST_SECRET:
                # The server may have echoed it.
                said = said.replace(self._key(), "***")
            raise EmbedderError(f"{self.name}: {' '.join(said.split())[:200]}") from None
        except (AttributeError, TypeError, ValueError) as exc:
            raise EmbedderError(f"{self.name} gave an answer that holds no vectors: {exc}") from None
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EmbedderError(f"{self.name} gave {len(found)} vectors for {len(texts)} texts")
        return vectors

    def _key(self) -> str:
        return os.environ.get(self._key_env, "").strip() if self._key_env else ""

    def _connected(self) -> OpenAI:
        if self._client is None:
            from openai import OpenAI

            key = self._key()
            if self._key_env and not key:
                raise EmbedderError(f"{self.name}: the environment variable {self._key_env} with its key is not set")
            if not (key.isascii() and key.isprintable()):
                raise EmbedderError(
                    f"{self.name}: the key in {self._key_env} holds a line break or another character that no key has"
                )
            self._client = OpenAI(
                base_url=self._base_url or None, api_key=key or "none", timeout=_SECONDS, max_retries=_RETRIES
            )
        return self._client
