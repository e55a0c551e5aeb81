"""Retrieval as a run's settings want it: the embedder that they name, made anew when a person names another."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cognition.embedders import make_embedder
from cognition.retrieve import Retriever
from cognition.vectors import VectorStore
from engine.settings.model import RetrievalSettings
from engine.workspace import network_file_system

__all__ = ["PriorSearch", "make_retriever"]


def make_retriever(settings: RetrievalSettings, base: Path) -> Retriever:
    """A retriever with the embedder of the settings; nothing is started or loaded before the first search.

    Args:
        settings: of a run, or the defaults.
        base: the cognition base, where vectors are kept.
    """
    embedder, problem = make_embedder(settings.embedder, settings.model, settings.base_url, settings.key_env)
    return Retriever(embedder, VectorStore(None if network_file_system(base) else base), problem)


class PriorSearch:
    """What searches the priors for the rounds of a run.

    Args:
        base: the cognition base, where vectors are kept.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._retriever: Retriever | None = None
        self._made_for: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Why the last search went by words only, a sentence; empty when all is well."""
        problem = self._retriever.problem if self._retriever is not None else ""
        return [f"priors are found by their words only: {problem}"] if problem else []

    async def retriever(self, settings: RetrievalSettings) -> Retriever:
        """The retriever for these settings. A search may wait for an embedder, so it belongs into a thread."""
        wanted = (settings.embedder, settings.model, settings.base_url, settings.key_env)
        former = None
        if self._retriever is None or wanted != self._made_for:
            former, self._retriever = self._retriever, make_retriever(settings, self._base)
            self._made_for = wanted
        if former is not None:
            await asyncio.to_thread(former.close)
        return self._retriever

    async def aclose(self) -> None:
        """End the embedder's process or connection."""
        if self._retriever is not None:
            await asyncio.to_thread(self._retriever.close)
