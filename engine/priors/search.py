"""Retrieve priors with the embedder of a run's settings, and change it when the settings change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cognition.embedders import make_embedder, make_finer
from cognition.retrieve import Retriever
from cognition.vectors import VectorStore
from engine.settings.model import RetrievalSettings
from engine.workspace import network_file_system

__all__ = ["PriorSearch", "make_retriever"]


def make_retriever(settings: RetrievalSettings, base: Path) -> Retriever:
    """Return a retriever with the embedder of the settings; nothing is started or loaded before the first search.

    Args:
        settings: the run's, or the defaults.
        base: the cognition base, which keeps the vectors.
    """
    embedder, problem = make_embedder(settings.embedder, settings.model, settings.base_url, settings.key_env)
    finer, lacking = make_finer(settings.embedder)
    return Retriever(embedder, VectorStore(None if network_file_system(base) else base), problem, finer, lacking)


class PriorSearch:
    """Holds the retriever of a run.

    Args:
        base: the cognition base, which keeps the vectors.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._retriever: Retriever | None = None
        self._made_for: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Return sentences that say why the last search was by words only, or by static vectors; none if it was not."""
        problem, lacking = (self._retriever.problem, self._retriever.lacking) if self._retriever else ("", "")
        told = [f"priors are found by their words only: {problem}"] if problem else []
        return told + ([f"priors are found without MiniLM: {lacking}"] if lacking else [])

    async def retriever(self, settings: RetrievalSettings) -> Retriever:
        """Return the retriever for these settings. Search in a thread, since a search may wait for the embedder."""
        wanted = (settings.embedder, settings.model, settings.base_url, settings.key_env)
        former = None
        if self._retriever is None or wanted != self._made_for:
            former, self._retriever = self._retriever, make_retriever(settings, self._base)
            self._made_for = wanted
        if former is not None:
            await asyncio.to_thread(former.close)
        return self._retriever

    async def aclose(self) -> None:
        """Close the embedder."""
        if self._retriever is not None:
            await asyncio.to_thread(self._retriever.close)
