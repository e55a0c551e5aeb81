"""Mixed search: between the calls of a model, recombination writes a share of the candidates for next to nothing."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from engine.designers.base import Design, Designer, NothingToDesign
from engine.journal.events import Event
from engine.llm.requests import DesignRequest, Mode

__all__ = ["MixedDesigner"]


class MixedDesigner:
    """Draws for each attempt who writes it; both take note of every event, so that either learns from all outcomes.

    Args:
        model: asks a model.
        recombine: recombines what was written down.
        share: gives the chance of the second, by the settings as they are now.
    """

    name = "llm"
    modes: tuple[Mode, ...]
    reads_hints = True

    def __init__(self, model: Designer, recombine: Designer, share: Callable[[], float]) -> None:
        self._model = model
        self._recombine = recombine
        self._share = share
        self.modes = model.modes

    def apply(self, event: Event) -> None:
        """Hand an event of the journal to both."""
        self._model.apply(event)
        self._recombine.apply(event)

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate; the request's seed decides who does.

        Raises:
            NothingToDesign: no recombination is left, and the model is given no share.
            DesignerError: the one drawn has nothing to offer.
        """
        # Not the stream that the recombination draws from.
        if random.Random(f"{request.seed}/share").random() >= self._share():
            return await self._model.design(request)
        mode = request.mode if request.mode in self._recombine.modes else "diff"
        try:
            return await self._recombine.design(dataclasses.replace(request, mode=mode))
        except NothingToDesign:
            if self._share() >= 1:
                raise
            # That all is recombined is no end where a model may be asked.
            return await self._model.design(request)

    async def aclose(self) -> None:
        """End what both have started."""
        await self._model.aclose()
        await self._recombine.aclose()
