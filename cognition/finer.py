"""A slower, better measure of meaning beside the static vectors: small bases wait for it, large ones are filled behind.

A question takes some 10 ms, and so does each sentence of a prior. Up to a hundred new priors are embedded at once,
so that a search always gives the same. For more, a thread embeds them beside the searches, which get none until it is
done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from cognition.embedders import Embedder, EmbedderError
from cognition.meaning import MeaningIndex
from cognition.prior import Prior
from cognition.vectors import VectorStore

__all__ = ["FinerIndex", "changes_of"]

_AT_ONCE = 100
"""New priors that a search waits for."""
_CHUNK = 10
"""Priors that the thread embeds before it looks whether it is to end."""
_RETRY_SECONDS = 60.0


class FinerIndex:
    """Finds priors by meaning, or tells that it cannot now. One thread at a time may call it.

    Args:
        embedder: embeds texts slowly; closed with this.
        store: keeps vectors between processes.
    """

    def __init__(self, embedder: Embedder, store: VectorStore) -> None:
        self.problem = ""
        """Why it cannot; empty if it can, or while a large base is embedded."""
        self._embedder = embedder
        self._index = MeaningIndex(embedder, store)
        self._embedded: Mapping[str, Prior] = {}
        self._filling: threading.Thread | None = None
        self._closed = threading.Event()
        self._retry_at = 0.0

    def search(
        self, priors: Mapping[str, Prior], asked: Sequence[str], most: int, also: Sequence[str]
    ) -> list[tuple[str, float]] | None:
        """Return ids and nearness as `MeaningIndex.search` does; None if it cannot now."""
        if time.monotonic() < self._retry_at or (self._filling is not None and self._filling.is_alive()):
            return None
        self._filling = None
        try:
            if self._embedded is not priors:
                changed, gone = changes_of(self._embedded, priors)
                if len(changed) > _AT_ONCE:
                    self._filling = threading.Thread(target=self._fill, args=(priors, changed, gone), daemon=True)
                    self._filling.start()
                    return None
                self._index.update(changed, gone)
                self._embedded = priors
            found = self._index.search(asked, most, also)
        except EmbedderError as exc:
            self._fail(exc)
            return None
        self.problem = ""
        return found

    def close(self) -> None:
        """End the thread and close the embedder."""
        self._closed.set()
        if self._filling is not None:
            self._filling.join()
        self._embedder.close()

    def _fill(self, priors: Mapping[str, Prior], changed: Sequence[Prior], gone: Sequence[str]) -> None:
        try:
            self._index.update([], gone)
            for start in range(0, len(changed), _CHUNK):
                if self._closed.is_set():
                    return
                self._index.update(changed[start : start + _CHUNK], [])
            self._embedded = priors
        except EmbedderError as exc:
            self._fail(exc)

    def _fail(self, error: EmbedderError) -> None:
        self.problem = str(error)
        self._retry_at = time.monotonic() + _RETRY_SECONDS


def changes_of(old: Mapping[str, Prior], new: Mapping[str, Prior]) -> tuple[list[Prior], list[str]]:
    """Return the priors that are new or edited, and the ids of those that are gone."""
    changed = [prior for name, prior in new.items() if old.get(name) is not prior and old.get(name) != prior]
    return changed, [name for name in old if name not in new]
