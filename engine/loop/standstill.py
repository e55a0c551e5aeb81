"""Before a round starts: record a standstill, and choose what the search tries against it."""

from __future__ import annotations

import msgspec

from engine.journal.events import StandstillActed
from engine.loop.memory import RunDesigner
from engine.loop.session import RunSession
from engine.samplers.standstill import due
from engine.settings.model import Settings, designs_by_model, designs_freely
from engine.settings.standstill import Action
from engine.state.run_state import RunState
from engine.state.tried import tried_in_vain

__all__ = ["StandstillWatch", "strong_model"]

_BASELINES = ("iid", "sequential")
"""Samplers whose parent is what they are."""


class StandstillWatch:
    """Look whether the run stands still.

    Args:
        session: the run.
        designer: tells in which modes it designs.
    """

    def __init__(self, session: RunSession, designer: RunDesigner) -> None:
        self._session, self._designer = session, designer

    def look(self) -> None:
        """Record what is due; call it before every round, so that each knows what it is under."""
        session, state = self._session, self._session.state
        if state.settings.standstill.action == "off":
            return
        rng = session.rng(state.standstill.actions, "standstill")
        told = due(state, possible_actions(state, len(self._designer.modes)), rng, self._complete)
        if told:
            session.emit(*told, node=state.best)

    def _complete(self, acted: StandstillActed) -> StandstillActed:
        state = self._session.state
        match acted.action:
            case "model":
                return msgspec.structs.replace(acted, model=strong_model(state.settings))
            case "lessons":
                return msgspec.structs.replace(acted, tried=tried_in_vain(state))
        return acted


def possible_actions(state: RunState, modes: int) -> list[Action]:
    """Return the actions that can change anything in a run whose designer has so many modes."""
    settings = state.settings
    found: list[Action] = ["modes"] if modes > 1 else []
    if designs_freely(settings):
        asked = designs_by_model(settings) and strong_model(settings)
        found += ["model", "lessons"] if asked else ["lessons"]
    if settings.sampler.name not in _BASELINES:
        found += ["explore", "restart"]
    return found


def strong_model(settings: Settings) -> str:
    """Return the name of the strong model; empty if none is named and prices tell none, or if it designs everything."""
    weights = {name: weight for name, weight in settings.roles.researcher.items() if weight > 0}
    drawn = [name for name in weights or settings.models if name in settings.models]
    named = settings.standstill.model
    if named:
        return named if named in settings.models and drawn != [named] else ""
    prices = {name: spec.price_out or 0.0 for name, spec in settings.models.items()}
    top = max(prices, key=lambda name: prices[name], default="")
    dearest = [name for name, price in prices.items() if top and price == prices[top]]
    return top if len(dearest) == 1 and prices[top] > 0 and drawn != [top] else ""
