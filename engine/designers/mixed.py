"""Mixed search: recombination writes a share of the candidates, at almost no cost, beside a model or a command."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from engine.designers.base import Design, Designer, NothingToDesign
from engine.journal.events import Event
from engine.llm.requests import DesignRequest, Mode

__all__ = ["MixedDesigner"]


class MixedDesigner:
    """Choose one of two designers at random for each attempt; both process every event and learn from all outcomes.

    Args:
        model: the designer that asks a model, or runs a command.
        recombine: the designer that recombines existing parts.
        share: returns the probability of `recombine` under the current settings.
    """

    name: str
    modes: tuple[Mode, ...]
    reads_hints = True

    def __init__(self, model: Designer, recombine: Designer, share: Callable[[], float]) -> None:
        self._model = model
        self._recombine = recombine
        self._share = share
        self.name, self.modes = model.name, model.modes

    def apply(self, event: Event) -> None:
        """Pass an event of the journal to both."""
        self._model.apply(event)
        self._recombine.apply(event)

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate with the designer that the request's seed selects.

        Raises:
            NothingToDesign: no recombination is left, and the model's share is zero.
            DesignerError: the selected designer has no design.
        """
        # A random stream other than the one that recombination uses.
        if random.Random(f"{request.seed}/share").random() >= self._share():
            return await self._model.design(request)
        mode = request.mode if request.mode in self._recombine.modes else "diff"
        try:
            return await self._recombine.design(dataclasses.replace(request, mode=mode))
        except NothingToDesign:
            if self._share() >= 1:
                raise
            # If a model may be asked, running out of recombinations does not end the search.
            return await self._model.design(request)

    async def aclose(self) -> None:
        """End the processes of both."""
        await self._model.aclose()
        await self._recombine.aclose()
