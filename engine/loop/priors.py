"""The priors of a run: retrieve some for a round, and record what people change in them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cognition.retrieve import Hit
from engine.journal.events import PriorWarned
from engine.loop.session import RunSession
from engine.priors.search import PriorSearch
from engine.priors.watch import Look, PriorWatch, Proposal
from engine.settings.model import RetrievalSettings

__all__ = ["RunPriors"]


class RunPriors:
    """Read the priors of a run while people edit them.

    Args:
        session: the run, which records changes, decisions on proposals and problems.
        watch: reads the priors.
        search: finds priors by meaning.
        on_error: called with an error that nobody waits for.
    """

    def __init__(
        self, session: RunSession, watch: PriorWatch, search: PriorSearch, on_error: Callable[[Exception], None]
    ) -> None:
        self._session, self._watch, self._search = session, watch, search
        self._on_error = on_error
        self._problems: list[str] = []
        """Problems of the last look."""

    @property
    def paths(self) -> set[Path]:
        """What changes if the priors do."""
        return self._watch.paths

    async def retrieve(self, texts: Sequence[str], settings: RetrievalSettings, rng: random.Random) -> list[Hit]:
        """Return the priors that match texts, from the cognition base as it is now.

        Args:
            texts: what to look for.
            settings: how many to return, and how to find them.
            rng: draws those that are chosen at random.
        """
        loop = asyncio.get_running_loop()
        retriever = await self._search.retriever(settings)
        read = self._reader()

        def look_and_search() -> list[Hit]:
            look = read()
            if look.changes or look.decided or look.problems != self._problems:
                # At once, since the search may wait for an embedder while others look.
                loop.call_soon_threadsafe(self._record_beside, look)
            return retriever.search(look.priors, texts, settings.top_k, settings.drawn, settings.threshold, rng)

        hits = await loop.run_in_executor(None, look_and_search)
        self._warn()
        return hits

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return vectors of unit length [n, dim] by the static embedder of the settings; None if there is none now."""
        retriever = await self._search.retriever(self._session.state.settings.retrieval)
        return await asyncio.to_thread(retriever.embed, texts)

    async def look(self) -> bool:
        """Record changes of the priors since the last look, and problems with any of them.

        Returns:
            Whether some could not be read, so that another look may find more.
        """
        look = await asyncio.to_thread(self._reader())
        self._record(look)
        return look.incomplete

    async def aclose(self) -> None:
        """Close the embedder and the base."""
        await self._search.aclose()
        self._watch.close()

    def _reader(self) -> Callable[[], Look]:
        """Return a function that reads the priors in a thread and tells the base what the run proposed."""
        state = self._session.state
        mode = state.settings.retrieval.proposals
        waiting = (
            [] if mode == "off" else [Proposal(p, self._session.text(p.text_blob)) for p in state.proposed.values()]
        )
        return partial(self._watch.read, waiting, mode == "auto")

    def _record_beside(self, look: Look) -> None:
        """Record a look on behalf of the event loop, which would carry on after an error."""
        try:
            self._record(look)
        except Exception as exc:
            self._on_error(exc)

    def _record(self, look: Look) -> None:
        texts = {prior.id: prior.text for prior in look.priors} if look.changes else {}
        for change in look.changes:
            # Its text is kept, so that a fork can go back to it although no design was shown it.
            self._session.emit(change, blobs=[texts[change.id].encode()] if change.id in texts else [])
        for decided in look.decided:
            # Two looks at once may both have found it.
            if decided.id in self._session.state.proposed:
                self._session.emit(decided)
        self._problems = look.problems
        self._warn()

    def _warn(self) -> None:
        """Record problems with priors and with finding them, if they are new."""
        problems = [*self._problems, *self._search.problems]
        if problems != self._session.state.prior_problems:
            self._session.emit(PriorWarned(problems))
